"""The public module, the buffer, the names of events and metrics, and the trace ids."""

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
    """Return the values of a class of constants."""
    return {value for name, value in vars(constants).items() if name.isupper()}


def test_documentation_has_every_event_with_its_properties() -> None:
    """The table is in docs/telemetry.md."""
    text = (ROOT / "docs" / "telemetry.md").read_text()
    rows = re.findall(r"^\| `([A-Z]\w+)` \|[^|]*\| ([^|]*) \|$", text, re.MULTILINE)
    documented = {name: set(re.findall(r"`(\w+)`", properties)) for name, properties in rows}
    different = [name for name, given in PROPERTIES.items() if documented.get(name) != set(given)]
    assert not different, f"docs/telemetry.md: add or correct the rows of {different}"
    unknown = sorted(set(documented) - set(PROPERTIES))
    assert not unknown, f"docs/telemetry.md: these rows have no event: {unknown}"
    assert set(PROPERTIES) == names_of(Event), "Event and PROPERTIES (shared/domain/telemetry.py) differ"
    unnamed = [name for name in names_of(Metric) if f"`{name}`" not in text]
    assert not unnamed, f"docs/telemetry.md does not name the metrics {unnamed}"


def test_sweep_finished_has_every_count_of_a_sweep() -> None:
    """It also has the duration, and whether the sweep was a dry run."""
    assert {*SweepReport().counts(), "dry_run", "seconds"} == set(PROPERTIES[Event.SWEEP_FINISHED])


class Stuck:
    """An exporter that sends nothing until the test lets it."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.sent: list[Signal] = []

    def send(self, signals: Sequence[Signal]) -> None:
        """Send the signals when the test lets it."""
        self.may.wait(30)
        self.sent += signals

    def close(self) -> None: ...


def test_buffer_drops_and_counts_signals_above_its_limit() -> None:
    """With a limit of ten and a blocked exporter forty calls return; the dropped signals are counted and reported
    later."""
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


def test_buffer_survives_an_exporter_that_raises() -> None:
    """The lost signal is counted; a later signal is sent."""

    class Raising(Stuck):
        def send(self, signals: Sequence[Signal]) -> None:
            """Raise the first time, and send afterwards."""
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


def test_buffer_keeps_the_callers_properties_unchanged() -> None:
    """A later change by the caller has no effect on the signal."""
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
    """Therefore calls can be grouped by their names."""
    assert templated(path) == name


class Answering:
    """A transport that returns a response, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.headers: dict[str, str] = {}

    def exchange(self, method: str, url: str, headers: Any, body: bytes | None) -> tuple[int, dict[str, str], bytes]:
        """Record the headers, and return or raise."""
        self.headers = dict(headers)
        if self.error:
            raise self.error
        return 201, {"requestid": "r-1"}, b"{}"


def test_exchange_is_reported_and_carries_its_span() -> None:
    """Status, request id and the templated name are reported, and nothing of token and query; Fabric gets the
    exchange's own span."""
    reported, inner = MemoryTelemetry(), Answering()
    transport = ObservedTransport(inner, reported)
    with tracing.use_span(trace.TraceContext("0" * 31 + "1", "b" * 16)):
        transport.exchange("POST", "https://h/v1/workspaces/1a?token=canary", {"authorization": "Bearer canary"}, b"{}")
    (found,) = reported.signals
    assert (found.name, found.status, found.success) == ("POST /v1/workspaces/{workspaceId}", 201, True)
    assert found.properties == {"request_id": "r-1"}
    assert found.context is not None
    assert inner.headers == {"authorization": "Bearer canary", "traceparent": found.context.traceparent}
    assert (found.context.trace_id, found.context.parent_id) == ("0" * 31 + "1", "b" * 16)
    assert "canary" not in repr(reported.signals)


def test_exchange_without_a_response_is_reported_too() -> None:
    """It is reported as failed, with the reason, and the error is raised."""
    reported = MemoryTelemetry()
    transport = ObservedTransport(Answering(AnswerLostError("no answer: Timeout")), reported)
    with pytest.raises(AnswerLostError):
        transport.exchange("GET", "https://h/", {}, None)
    (found,) = reported.signals
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
def test_trace_ignores_an_invalid_traceparent(text: str) -> None:
    """Validity follows the rules of W3C Trace Context."""
    assert trace.parse(text) is None


def test_trace_ids_are_derived_from_the_journal() -> None:
    """Any worker derives the same spans; each step and direction has its own; all belong to the submitter's trace."""
    deployment = trace.of_deployment("d", START, PARENT)
    assert deployment == trace.of_deployment("d", datetime(2030, 1, 1, tzinfo=UTC), PARENT)
    assert (deployment.trace_id, deployment.parent_id) == (PARENT[3:35], PARENT[36:52])
    spans = {trace.of_step(deployment, i, way) for i in range(3) for way in ("forward", "backward")}
    assert len({s.span_id for s in spans}) == 6
    assert {s.parent_id for s in spans} == {deployment.span_id}
    assert trace.of_deployment("d", START, None).trace_id != trace.of_deployment("e", START, None).trace_id


def test_operation_joins_its_deployments_trace() -> None:
    """It begins in a trace of its own; signals after its assignment, and its own span, belong to the deployment's
    trace."""
    reported, deployment = MemoryTelemetry(), trace.of_deployment("d", START, PARENT)
    with tracing.operation(reported, "execute_step"):
        tracing.set_parent(deployment)
        tracing.set_parent(trace.of_deployment("other", START, None))
        reported.event(Event.SWEEP_FINISHED)
    event, span = reported.signals
    assert span.context is not None
    assert span.context.parent_id == deployment.span_id
    assert event.context == span.context
    assert tracing.current() is None


def test_operation_that_raises_is_reported_as_failed_and_its_error_once() -> None:
    """However deep it was raised; the error is raised further."""
    reported = MemoryTelemetry()
    with (
        pytest.raises(ValueError, match="no"),
        tracing.operation(reported, "outer"),
        tracing.operation(reported, "inner"),
    ):
        raise ValueError("no")
    assert [(t.kind, t.name, t.success) for t in reported.signals] == [
        ("dependency", "inner", False),
        ("exception", "ValueError", True),
        ("dependency", "outer", False),
    ]


class FakeApp:
    """The part of the app that the module uses."""

    def __init__(self, emitted: Telemetry) -> None:
        self.telemetry, self.signals = emitted, MemorySignals()
        self.services = SimpleNamespace(clock=FakeClock())


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> MemoryTelemetry:
    """Return the telemetry that the public module emits to."""
    found = MemoryTelemetry()
    monkeypatch.setattr(bootstrap, "app", lambda: FakeApp(found))
    return found


def test_track_performance_measures_success_and_failure(emitted: MemoryTelemetry) -> None:
    """One metric each, with the function's name and whether it succeeded; arguments and result are passed through."""

    @telemetry.track_performance("WorkSeconds")
    def work(number: int) -> float:
        return 1 / number

    assert work(2) == 0.5
    with pytest.raises(ZeroDivisionError):
        work(0)
    assert [(t.name, t.properties["success"]) for t in emitted.signals] == [
        ("WorkSeconds", True),
        ("WorkSeconds", False),
    ]
    assert all(t.value >= 0 and str(t.properties["function"]).endswith("work") for t in emitted.signals)
    assert work.__name__ == "work"


def test_track_operation_joins_the_callers_trace(emitted: MemoryTelemetry) -> None:
    """It joins by the caller's traceparent; without a valid one it starts a trace of its own."""
    for parent in (PARENT, "", "nonsense"):
        with telemetry.track_operation("refresh", traceparent=parent, workspace="w"):
            telemetry.trace("at work")
    joined, alone, wrong = [t.context for t in emitted.signals if t.kind == "dependency"]
    assert joined is not None
    assert (joined.trace_id, joined.parent_id) == (PARENT[3:35], PARENT[36:52])
    assert alone is not None
    assert wrong is not None
    assert len({joined.trace_id, alone.trace_id, wrong.trace_id}) == 3


def test_poison_message_is_reported_even_if_it_is_unreadable(emitted: MemoryTelemetry) -> None:
    """Every delivery of it failed, whatever it contains."""
    entry.poisoned_step(b"\xff{", None)
    (found,) = emitted.events(Event.POISON_MESSAGE)
    assert found.properties == {"queue": "deployment-steps"}


def test_settings_name_the_variable_and_not_its_value() -> None:
    """The value is an invalid connection string, an unknown authentication, or an unknown exporter."""
    for name, value in (
        ("APPLICATIONINSIGHTS_CONNECTION_STRING", "canary"),
        ("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "ClientId=canary"),
        ("TELEMETRY_EXPORTER", "prometheus"),
    ):
        with pytest.raises(settings.SettingsError, match=name) as caught:
            settings.load({name: value})
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize("flag", ["false", "true"])
def test_settings_without_a_connection_string_disable_telemetry(flag: str) -> None:
    """A new machine has the feature on and no endpoint: the app is built, and emits nothing."""
    loaded = settings.load({"AzureWebJobsStorage": "UseDevelopmentStorage=true", "FEATURE_USE_TELEMETRY": flag})
    app = bootstrap.build(loaded)
    assert isinstance(app.telemetry, NoTelemetry)
    assert type(app.services.journal).__name__ == "TableJournal"


def test_settings_of_an_identity_are_read() -> None:
    """The setting has the format of the Functions host."""
    found = settings.load(
        {
            "APPLICATIONINSIGHTS_CONNECTION_STRING": CONNECTION,
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "ClientId=abc;Authorization=AAD",
        }
    ).telemetry
    assert (found.uses_identity, found.client_id, found.exporter) == (True, "abc", "opentelemetry")
