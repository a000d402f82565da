"""The contract of both exporters to Application Insights, against a local ingestion endpoint."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local.ingestion import SILENT, Ingestion, connection_string, serving
from shared import tracing
from shared.adapters.telemetry.buffered import BufferedTelemetry, Exporter
from shared.domain.errors import FabricRefusedError
from shared.domain.ports import Telemetry
from shared.domain.telemetry import Event, Metric
from shared.domain.trace import TraceContext

ROOT = Path(__file__).resolve().parents[2]
EXPORTERS = ("opentelemetry", "opencensus")
SPAN = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7")
AT = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
CANARY = "canary-4b1d0e"


@dataclass
class ConnectedTelemetry:
    """Telemetry, and the local endpoint that receives it."""

    telemetry: BufferedTelemetry
    ingestion: Ingestion

    def arrived(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Return the envelopes of a base type after a flush."""
        self.telemetry.flush(30)
        found = self.ingestion.of_kind(kind)
        assert len(found) == count, found
        return found


def make(name: str, port: int, folder: Path) -> Callable[[], Exporter]:
    """Return a function that builds the exporter as the composition root does, with a folder of the test's own."""

    def build() -> Exporter:
        if name == "opencensus":
            from shared.adapters.telemetry.opencensus_exporter import OpenCensusExporter as Chosen
        else:
            from shared.adapters.telemetry.opentelemetry_exporter import OpenTelemetryExporter as Chosen
        return Chosen(connection_string(port), "a-worker", None, str(folder))

    return build


@pytest.fixture(scope="module", autouse=True)
def _quiet_afterwards() -> Iterator[None]:
    """The vendors' threads try again after a test has ended; what they log belongs to no later test of the process."""
    yield
    for name in ("opencensus", "azure.monitor"):
        logging.getLogger(name).propagate = False


@pytest.fixture(params=EXPORTERS)
def connected(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ConnectedTelemetry]:
    """Return each exporter in turn, connected to an endpoint that answers."""
    for name in SILENT:
        monkeypatch.setenv(name, "true")
    with serving() as (ingestion, port):
        telemetry = BufferedTelemetry(make(request.param, port, tmp_path), lambda: AT, linger_seconds=0.01)
        yield ConnectedTelemetry(telemetry, ingestion)
        ingestion.release()
        telemetry.stop(30)


def check_tags(envelope: dict[str, Any]) -> None:
    """Check the role, the instance and the operation of an envelope."""
    assert envelope["tags"]["ai.operation.id"] == SPAN.trace_id
    assert envelope["tags"]["ai.cloud.role"] == "fabric-saga"
    assert envelope["tags"]["ai.cloud.roleInstance"] == "a-worker"
    assert datetime.fromisoformat(envelope["time"]).utcoffset() is not None


def test_event_arrives_with_name_properties_and_operation(connected: ConnectedTelemetry) -> None:
    """An event is a custom event; numbers and booleans become text, and None is left out."""
    with tracing.use_span(SPAN):
        connected.telemetry.event(Event.STEP_FINISHED, {"step_id": "bronze", "attempts": 2, "ok": True, "none": None})
    (found,) = connected.arrived("EventData")
    check_tags(found)
    assert found["tags"]["ai.operation.parentId"] == SPAN.span_id
    assert datetime.fromisoformat(found["time"]) == AT
    assert found["data"]["baseData"]["name"] == "StepFinished"
    assert found["data"]["baseData"]["properties"] == {"step_id": "bronze", "attempts": "2", "ok": "true"}


def test_metric_arrives_with_name_value_properties_and_operation(connected: ConnectedTelemetry) -> None:
    """A metric is one measurement: it is not aggregated, and belongs to the operation in which it was measured."""
    with tracing.use_span(SPAN):
        connected.telemetry.metric(Metric.STEP_SECONDS, 1.5, {"kind": "lakehouse"})
        connected.telemetry.metric(Metric.STEP_SECONDS, 2.5, {"kind": "lakehouse"})
    found = connected.arrived("MetricData", 2)
    assert sorted(e["data"]["baseData"]["metrics"][0]["value"] for e in found) == [1.5, 2.5]
    for each in found:
        check_tags(each)
        assert each["data"]["baseData"]["metrics"][0]["name"] == "StepSeconds"
        assert each["data"]["baseData"]["properties"] == {"kind": "lakehouse"}


def test_exception_arrives_with_kind_place_and_operation(connected: ConnectedTelemetry) -> None:
    """The text of one of the app's own errors is sent."""
    with tracing.use_span(SPAN):
        try:
            raise FabricRefusedError("the name is taken", call="POST /workspaces")
        except FabricRefusedError as error:
            connected.telemetry.exception(error, {"operation": "execute_step"})
    (found,) = connected.arrived("ExceptionData")
    check_tags(found)
    (reported,) = found["data"]["baseData"]["exceptions"]
    assert reported["typeName"] == "FabricRefusedError"
    assert "the name is taken" in reported["message"]
    assert "test_exception_arrives_with_kind_place_and_operation" in json.dumps(reported)
    assert found["data"]["baseData"]["properties"] == {"operation": "execute_step"}


def test_exception_of_foreign_code_is_sent_without_its_text(connected: ConnectedTelemetry) -> None:
    """The text of a foreign error may contain anything, a connection string too."""

    def leak(secret: str) -> None:
        raise ValueError(f"AccountKey={secret}")

    try:
        leak(CANARY)
    except ValueError as error:
        connected.telemetry.exception(error)
    (found,) = connected.arrived("ExceptionData")
    assert CANARY not in json.dumps(connected.ingestion.envelopes)
    assert found["data"]["baseData"]["exceptions"][0]["typeName"] == "ValueError"
    assert "leak" in json.dumps(found)


@pytest.mark.parametrize(("status", "success"), [(200, True), (404, False), (None, False)])
def test_dependency_arrives_with_its_own_span(connected: ConnectedTelemetry, status: int | None, success: bool) -> None:
    """A call belongs to the span in which it was made, and is sent with its status, duration and properties."""
    name = "GET /v1/workspaces/{workspaceId}/items"
    host, request = "api.fabric.microsoft.com", {"request_id": "r-1"}
    connected.telemetry.dependency(
        name, target=host, seconds=0.25, success=success, status=status, properties=request, context=SPAN
    )
    (found,) = connected.arrived("RemoteDependencyData")
    check_tags(found)
    assert found["tags"]["ai.operation.parentId"] == SPAN.parent_id
    data = found["data"]["baseData"]
    assert (data["name"], data["target"], data["type"]) == (name, host, "HTTP")
    assert (data["id"], data["resultCode"], data["success"]) == (SPAN.span_id, str(status or 0), success)
    assert data["duration"] == "0.00:00:00.250"
    assert data["properties"] == request
    assert (AT - datetime.fromisoformat(found["time"])).total_seconds() == 0.25


@pytest.mark.parametrize("success", [True, False])
def test_operation_arrives_as_a_separate_span(connected: ConnectedTelemetry, success: bool) -> None:
    """An operation of the app has no target, and succeeds or fails."""
    connected.telemetry.dependency("sweep", target="", seconds=1.0, success=success, context=SPAN)
    (found,) = connected.arrived("RemoteDependencyData")
    check_tags(found)
    data = found["data"]["baseData"]
    assert (data["name"], data["type"], data["success"], data["id"]) == ("sweep", "InProc", success, SPAN.span_id)


def test_trace_arrives_with_text_properties_and_operation(connected: ConnectedTelemetry) -> None:
    """A trace is a line for a person."""
    with tracing.use_span(SPAN):
        connected.telemetry.trace("feature flags on: none", {"who": "tests"})
    (found,) = connected.arrived("MessageData")
    check_tags(found)
    assert found["data"]["baseData"]["message"] == "feature flags on: none"
    assert found["data"]["baseData"]["properties"] == {"who": "tests"}


def emit_all(telemetry: Telemetry) -> None:
    """Emit one signal of each kind."""
    telemetry.event(Event.STEP_STARTED)
    telemetry.metric(Metric.STEP_SECONDS, 1.0)
    telemetry.exception(ValueError())
    telemetry.dependency("GET /", target="localhost", seconds=0.1, success=True, status=200)
    telemetry.trace("a line")


KINDS = ("EventData", "MetricData", "ExceptionData", "RemoteDependencyData", "MessageData")


def test_every_signal_is_sent_once_and_completely(connected: ConnectedTelemetry) -> None:
    """Many threads emit at the same time."""
    threads = [threading.Thread(target=lambda: [emit_all(connected.telemetry) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connected.telemetry.flush(60)
    assert {kind: len(connected.ingestion.of_kind(kind)) for kind in KINDS} == dict.fromkeys(KINDS, 400)
    assert connected.telemetry.dropped == 0


def test_endpoint_that_delays_every_response_blocks_no_caller(connected: ConnectedTelemetry) -> None:
    """Without a response the calls return: the thread that makes them also releases the endpoint afterwards."""
    connected.ingestion.hold()
    for _ in range(100):
        emit_all(connected.telemetry)
    connected.ingestion.release()
    connected.telemetry.flush(60)
    assert {kind: len(connected.ingestion.of_kind(kind)) for kind in KINDS} == dict.fromkeys(KINDS, 100)


@pytest.mark.parametrize("name", EXPORTERS)
def test_endpoint_that_is_down_raises_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call returns as usual, and a flush ends within its time."""
    for each in SILENT:
        monkeypatch.setenv(each, "true")
    with serving() as (_, port):
        pass
    telemetry = BufferedTelemetry(make(name, port, tmp_path), lambda: AT)
    emit_all(telemetry)
    telemetry.flush(0.1)
    emit_all(telemetry)


@pytest.mark.parametrize("status", [500, 439, 206])
def test_endpoint_that_fails_raises_nothing_and_is_used_again(connected: ConnectedTelemetry, status: int) -> None:
    """The vendor decides whether to keep or drop what the endpoint refuses for a while; a later signal arrives."""
    connected.ingestion.status = status
    emit_all(connected.telemetry)
    connected.telemetry.flush(60)
    connected.ingestion.status = 200
    connected.telemetry.event(Event.SWEEP_FINISHED)
    connected.telemetry.flush(60)
    assert "SweepFinished" in [e["data"]["baseData"]["name"] for e in connected.ingestion.of_kind("EventData")]


WHOLE = """
import atexit, sys
from shared import settings, telemetry
telemetry.event("Short", {"of": "life"})
with telemetry.track_operation("short work", traceparent=sys.argv[1]):
    telemetry.trace("at work")

@telemetry.track_performance("ShortSeconds")
def work():
    return 7

assert work() == 7
"""


@pytest.mark.parametrize("name", EXPORTERS)
def test_process_that_ends_at_once_sends_what_it_emitted(name: str, tmp_path: Path) -> None:
    """The end of the process waits for the exporter."""
    with serving() as (ingestion, port):
        environment = {
            **os.environ,
            **dict.fromkeys(SILENT, "true"),
            "TMPDIR": str(tmp_path),
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "FEATURE_USE_TELEMETRY": "true",
            "TELEMETRY_EXPORTER": name,
            "APPLICATIONINSIGHTS_CONNECTION_STRING": connection_string(port),
        }
        command = [sys.executable, "-c", WHOLE, SPAN.traceparent]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert [e["data"]["baseData"]["name"] for e in ingestion.of_kind("EventData")] == ["Short"]
        (metric,) = ingestion.of_kind("MetricData")
        assert metric["data"]["baseData"]["metrics"][0]["name"] == "ShortSeconds"
        assert metric["data"]["baseData"]["properties"] == {"function": "work", "success": "true"}
        (span,) = ingestion.of_kind("RemoteDependencyData")
        (line,) = [e for e in ingestion.of_kind("MessageData") if e["data"]["baseData"]["message"] == "at work"]
        assert span["tags"]["ai.operation.id"] == line["tags"]["ai.operation.id"] == SPAN.trace_id
        assert span["tags"]["ai.operation.parentId"] == SPAN.span_id
        assert line["tags"]["ai.operation.parentId"] == span["data"]["baseData"]["id"]


LOADED = """
import sys
from shared import bootstrap, settings, telemetry
telemetry.event("X")
telemetry.flush(30)
print(sorted({n.split(".")[0] for n in sys.modules} & {"opencensus", "opentelemetry"}))
"""


@pytest.mark.parametrize(
    ("flag", "name", "loaded"),
    [
        ("false", "opentelemetry", []),
        ("true", "opentelemetry", ["opentelemetry"]),
        ("true", "opencensus", ["opencensus"]),
    ],
)
def test_only_the_chosen_exporter_is_loaded(flag: str, name: str, loaded: list[str], tmp_path: Path) -> None:
    """With the feature off neither library is imported; with it on, only the chosen one."""
    with serving() as (_, port):
        environment = {
            **os.environ,
            **dict.fromkeys(SILENT, "true"),
            "TMPDIR": str(tmp_path),
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "FEATURE_USE_TELEMETRY": flag,
            "TELEMETRY_EXPORTER": name,
            "APPLICATIONINSIGHTS_CONNECTION_STRING": connection_string(port),
        }
        command = [sys.executable, "-c", LOADED]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout.strip() == str(loaded), done.stderr
