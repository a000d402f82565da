"""The public module, the hand-over, the names, and the trace's ids."""

import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared import bootstrap, entry, settings, telemetry, tracing
from shared.adapters.fabric.observed_transport import ObservedTransport, templated
from shared.adapters.fabric.transport import AnswerLostError
from shared.adapters.telemetry.buffered import BufferedTelemetry, Signal
from shared.domain import trace
from shared.domain.ports import Telemetry
from shared.domain.telemetry import PROPERTIES, Event, Metric, NoTelemetry
from shared.saga.sweep.sweeper import SweepReport
from tests.fakes import START, FakeClock, MemorySignals, MemoryTelemetry

ROOT = Path(__file__).resolve().parents[2]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CONNECTION = "InstrumentationKey=00000000-0000-0000-0000-000000000000;IngestionEndpoint=http://127.0.0.1:1"


def names_of(constants: type) -> set[str]:
    """The values of a class of constants."""
    return {value for name, value in vars(constants).items() if name.isupper()}


def test_documentation_names_every_event_with_its_properties() -> None:
    """docs/telemetry.md's table is the code's."""
    text = (ROOT / "docs" / "telemetry.md").read_text()
    rows = re.findall(r"^\| `([A-Z]\w+)` \|[^|]*\| ([^|]*) \|$", text, re.MULTILINE)
    documented = {name: set(re.findall(r"`(\w+)`", properties)) for name, properties in rows}
    assert documented == {name: set(given) for name, given in PROPERTIES.items()}
    assert set(PROPERTIES) == names_of(Event)
    assert [name for name in names_of(Metric) if f"`{name}`" not in text] == []


def test_sweep_finished_carries_every_count_of_a_sweep() -> None:
    """And how long it took, and whether it was dry."""
    assert {*SweepReport().counts(), "dry_run", "seconds"} == set(PROPERTIES[Event.SWEEP_FINISHED])


class Stuck:
    """An exporter that sends nothing until it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.sent: list[Signal] = []

    def send(self, signals: Sequence[Signal]) -> None:
        """When it may."""
        self.may.wait(30)
        self.sent += signals

    def close(self) -> None:
        """Nothing."""


def test_hand_over_drops_and_counts_what_does_not_fit() -> None:
    """A list of ten and an exporter that is stuck: forty calls return, what did not fit is counted, and told later."""
    exporter = Stuck()
    reported = BufferedTelemetry(lambda: exporter, lambda: START, max_waiting=10, linger_seconds=0.0)
    for i in range(40):
        reported.metric("Number", float(i))
    dropped = reported.dropped
    assert 40 - 2 * 10 <= dropped <= 30
    exporter.may.set()
    reported.flush(30)
    reported.trace("later")
    reported.flush(30)
    values = [s.value for s in exporter.sent if s.name == "Number"]
    assert values == sorted(values)
    assert len(values) == 40 - dropped
    assert [s.value for s in exporter.sent if s.name == Metric.TELEMETRY_DROPPED] == [float(dropped)]


def test_hand_over_outlives_an_exporter_that_raises() -> None:
    """What it raised on is counted; what is told afterwards is sent."""

    class Raising(Stuck):
        def send(self, signals: Sequence[Signal]) -> None:
            """Not the first time."""
            if not self.may.is_set():
                self.may.set()
                raise ConnectionError("InstrumentationKey=...")
            self.sent += signals

    exporter = Raising()
    reported = BufferedTelemetry(lambda: exporter, lambda: START, linger_seconds=0.0)
    reported.event("First")
    reported.flush(30)
    assert reported.dropped == 1
    reported.event("Second")
    reported.flush(30)
    assert "Second" in [s.name for s in exporter.sent]


def test_hand_over_keeps_the_caller_s_properties_as_they_were() -> None:
    """What the caller changes afterwards is not what was told."""
    exporter = Stuck()
    reported, given = BufferedTelemetry(lambda: exporter, lambda: START), {"state": "before"}
    reported.event("X", given)
    given["state"] = "after"
    exporter.may.set()
    reported.flush(30)
    assert exporter.sent[0].properties == {"state": "before"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/workspaces", "/v1/workspaces"),
        ("/v1/workspaces/5b218778-e7a5-4d73-8187-f10824047715", "/v1/workspaces/{workspaceId}"),
        (
            "/v1/workspaces/5b218778-e7a5-4d73-8187-f10824047715/items/431e8d7b-4a95-4c02-8ccd-6faef5ba1bd7/getDefinition",
            "/v1/workspaces/{workspaceId}/items/{itemId}/getDefinition",
        ),
        ("/v1/capacities/0f084df7-c13d-451b-af5f-ed0c466403b2", "/v1/capacities/{capacityId}"),
        ("/v1/operations/abc123/result", "/v1/operations/{operationId}/result"),
        ("/v1/workspaces/1a/roleAssignments/2b", "/v1/workspaces/{workspaceId}/roleAssignments/{roleAssignmentId}"),
        ("/123/456", "/{id}/{id}"),
    ],
)
def test_dependency_is_named_without_ids(path: str, name: str) -> None:
    """Calls can be grouped by their names."""
    assert templated(path) == name


class Answering:
    """A transport that answers, or does not."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.headers: dict[str, str] = {}

    def exchange(self, method: str, url: str, headers: Any, body: bytes | None) -> tuple[int, dict[str, str], bytes]:
        """Once."""
        self.headers = dict(headers)
        if self.error:
            raise self.error
        return 201, {"requestid": "r-1"}, b"{}"


def test_exchange_is_told_and_carries_its_span() -> None:
    """Status, request id and the templated name; of token and query nothing; its own span goes to Fabric."""
    reported, inner = MemoryTelemetry(), Answering()
    transport = ObservedTransport(inner, reported)
    with tracing.use_span(trace.TraceContext("0" * 31 + "1", "b" * 16)):
        transport.exchange("POST", "https://h/v1/workspaces/1a?token=canary", {"authorization": "Bearer canary"}, b"{}")
    (found,) = reported.told
    assert (found.name, found.status, found.success) == ("POST /v1/workspaces/{workspaceId}", 201, True)
    assert found.properties == {"request_id": "r-1"}
    assert found.context is not None
    assert inner.headers == {"authorization": "Bearer canary", "traceparent": found.context.traceparent}
    assert (found.context.trace_id, found.context.parent_id) == ("0" * 31 + "1", "b" * 16)
    assert "canary" not in repr(reported.told)


def test_exchange_without_an_answer_is_told_too() -> None:
    """As failed, with the reason; the error goes on."""
    reported = MemoryTelemetry()
    transport = ObservedTransport(Answering(AnswerLostError("no answer: Timeout")), reported)
    with pytest.raises(AnswerLostError):
        transport.exchange("GET", "https://h/", {}, None)
    (found,) = reported.told
    assert (found.status, found.success, found.properties) == (None, False, {"error": "no answer: Timeout"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT + "-x",
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + PARENT[35:],
        PARENT[:36] + "0" * 16 + "-01",
    ],
)
def test_trace_takes_no_traceparent_that_is_none(text: str) -> None:
    """As W3C Trace Context says."""
    assert trace.parse(text) is None


def test_trace_ids_follow_from_the_journal() -> None:
    """Any worker comes to the same spans; each step and direction has its own; all are of the submitter's trace."""
    deployment = trace.of_deployment("d", START, PARENT)
    assert deployment == trace.of_deployment("d", datetime(2030, 1, 1, tzinfo=UTC), PARENT)
    assert (deployment.trace_id, deployment.parent_id) == (PARENT[3:35], PARENT[36:52])
    spans = {trace.of_step(deployment, i, way) for i in range(3) for way in ("forward", "backward")}
    assert len({s.span_id for s in spans}) == 6
    assert {s.parent_id for s in spans} == {deployment.span_id}
    assert trace.of_deployment("d", START, None).trace_id != trace.of_deployment("e", START, None).trace_id


def test_operation_learns_where_it_belongs() -> None:
    """It begins in a trace of its own; what is told after it was placed, and its own span, are of the deployment's."""
    reported, deployment = MemoryTelemetry(), trace.of_deployment("d", START, PARENT)
    with tracing.operation(reported, "execute_step"):
        tracing.set_parent(deployment)
        tracing.set_parent(trace.of_deployment("other", START, None))
        reported.event(Event.SWEEP_FINISHED)
    event, span = reported.told
    assert span.context is not None
    assert span.context.parent_id == deployment.span_id
    assert event.context == span.context
    assert tracing.current() is None


def test_operation_that_raises_is_told_as_failed_and_its_error_once() -> None:
    """However deep it was raised; the error goes on."""
    reported = MemoryTelemetry()
    with (
        pytest.raises(ValueError, match="no"),
        tracing.operation(reported, "outer"),
        tracing.operation(reported, "inner"),
    ):
        raise ValueError("no")
    assert [(t.kind, t.name, t.success) for t in reported.told] == [
        ("dependency", "inner", False),
        ("exception", "ValueError", True),
        ("dependency", "outer", False),
    ]


class FakeApp:
    """As much of the app as the module asks for."""

    def __init__(self, told: Telemetry) -> None:
        self.telemetry, self.signals = told, MemorySignals()
        self.services = SimpleNamespace(clock=FakeClock())


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> MemoryTelemetry:
    """What the public module tells."""
    found = MemoryTelemetry()
    monkeypatch.setattr(bootstrap, "app", lambda: FakeApp(found))
    return found


def test_track_performance_measures_what_returns_and_what_raises(told: MemoryTelemetry) -> None:
    """A metric each, with the function's name and whether it succeeded; arguments and result go through."""

    @telemetry.track_performance("WorkSeconds")
    def work(number: int) -> float:
        return 1 / number

    assert work(2) == 0.5
    with pytest.raises(ZeroDivisionError):
        work(0)
    assert [(t.name, t.properties["success"]) for t in told.told] == [("WorkSeconds", True), ("WorkSeconds", False)]
    assert all(t.value >= 0 and str(t.properties["function"]).endswith("work") for t in told.told)
    assert work.__name__ == "work"


def test_track_operation_joins_the_callers_trace(told: MemoryTelemetry) -> None:
    """By its traceparent; without one, or with one that is none, a trace of its own."""
    for parent in (PARENT, "", "nonsense"):
        with telemetry.track_operation("refresh", traceparent=parent, workspace="w"):
            telemetry.trace("at work")
    joined, alone, wrong = [t.context for t in told.told if t.kind == "dependency"]
    assert joined is not None
    assert (joined.trace_id, joined.parent_id) == (PARENT[3:35], PARENT[36:52])
    assert alone is not None
    assert wrong is not None
    assert len({joined.trace_id, alone.trace_id, wrong.trace_id}) == 3


def test_poison_message_is_told_even_where_it_is_no_message(told: MemoryTelemetry) -> None:
    """What every delivery failed on is an event, whatever it holds."""
    entry.poisoned_step(b"\xff{", None)
    (found,) = told.events(Event.POISON_MESSAGE)
    assert found.properties == {"queue": "deployment-steps"}


def test_settings_name_the_variable_and_not_its_value() -> None:
    """A connection string that is none, an authentication that is unknown, an exporter that there is not."""
    for name, value in (
        ("APPLICATIONINSIGHTS_CONNECTION_STRING", "canary"),
        ("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "ClientId=canary"),
        ("TELEMETRY_EXPORTER", "prometheus"),
    ):
        with pytest.raises(settings.SettingsError, match=name) as caught:
            settings.load({name: value})
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize("flag", ["false", "true"])
def test_settings_without_a_connection_string_leave_the_app_as_it_is(flag: str) -> None:
    """What a new machine has: the feature on, nowhere to send to. The app is built, and tells nobody."""
    loaded = settings.load({"AzureWebJobsStorage": "UseDevelopmentStorage=true", "FEATURE_USE_TELEMETRY": flag})
    app = bootstrap.build(loaded)
    assert isinstance(app.telemetry, NoTelemetry)
    assert type(app.services.journal).__name__ == "TableJournal"


def test_settings_of_an_identity_are_read() -> None:
    """As the Functions host reads them."""
    found = settings.load(
        {
            "APPLICATIONINSIGHTS_CONNECTION_STRING": CONNECTION,
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "ClientId=abc;Authorization=AAD",
        }
    ).telemetry
    assert (found.uses_identity, found.client_id, found.exporter) == (True, "abc", "opentelemetry")
