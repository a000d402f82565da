"""Measure how long telemetry calls block their caller, with an endpoint that is healthy, slow or down."""

import json
import logging
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from local.bench.measure import heading, row
from local.ingestion import connection_string, serving
from shared import tracing
from shared.adapters.telemetry.buffered import BufferedTelemetry, Exporter
from shared.domain.ports import Telemetry
from shared.domain.telemetry import Event, Metric, NoTelemetry
from shared.domain.trace import root

_CALLS = 1_000
_PAUSE_SECONDS = 0.002
"""Between two calls: at most 500 calls a second in each thread, about ten times as many as a busy worker makes."""
_CALLERS = 2
_LIMIT_MICROSECONDS = 50.0


def run() -> None:
    """Measure both exporters; the limit applies to the 99th percentile of each kind of call."""
    logging.disable(logging.CRITICAL)  # the vendors log an endpoint that is down
    heading(f"telemetry (time that a call blocks; {_CALLERS} threads, {_CALLS} calls of each kind; limit: p99 50 us)")
    yardsticks: dict[str, Callable[[Telemetry], object]] = {
        "telemetry off: event": _CALLS_OF["event"],
        "json.dumps of an event's properties": lambda _: json.dumps(_ABOUT),  # about 3 us of work, to judge the machine
    }
    for name, call in yardsticks.items():
        middle, high = _percentiles(NoTelemetry(), call)
        row(f"for comparison, {name}", f"{high:.1f} us", f"p50 {middle:.1f} us")
    for name in ("opentelemetry", "opencensus"):
        for state in ("healthy", "slow", "down"):
            _measure(name, state)


def _measure(name: str, state: str) -> None:
    with serving() as (ingestion, port), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if state == "slow":
            ingestion.hold()
        wrong = 1  # a reserved port on which nothing listens
        telemetry = BufferedTelemetry(
            _maker(name, wrong if state == "down" else port, folder), lambda: datetime.now(UTC)
        )
        telemetry.event(Event.SWEEP_FINISHED)
        if state == "healthy":
            telemetry.flush(30.0)  # the import of the vendor's library blocks no call, but uses the same cores
        worst = {kind: _percentiles(telemetry, call) for kind, call in _CALLS_OF.items()}
        ingestion.release()
        dropped = telemetry.dropped
        for kind, (middle, high) in worst.items():
            note = "" if high <= _LIMIT_MICROSECONDS else "above the limit"
            row(f"{name}, endpoint {state}: {kind}", f"{high:.1f} us", f"p50 {middle:.1f} us {note}")
        row(f"{name}, endpoint {state}: dropped", f"{dropped}")
        telemetry.stop(1.0)


def _maker(name: str, port: int, folder: str) -> Callable[[], Exporter]:
    def make() -> Exporter:
        if name == "opencensus":
            from shared.adapters.telemetry.opencensus_exporter import OpenCensusExporter as Chosen
        else:
            from shared.adapters.telemetry.opentelemetry_exporter import OpenTelemetryExporter as Chosen
        return Chosen(connection_string(port), "bench", None, folder)

    return make


def _percentiles(telemetry: Telemetry, call: Callable[[Telemetry], object]) -> tuple[float, float]:
    found: list[float] = []

    def tell() -> None:
        with tracing.use_span(root("bench", datetime.now(UTC))):
            for _ in range(_CALLS):
                began = time.perf_counter_ns()
                call(telemetry)
                found.append((time.perf_counter_ns() - began) / 1000)
                time.sleep(_PAUSE_SECONDS)

    threads = [threading.Thread(target=tell) for _ in range(_CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.sort()
    return found[len(found) // 2], found[len(found) * 99 // 100]


_ABOUT = {"deployment_id": "d", "step_id": "bronze", "kind": "lakehouse", "attempts": 1, "seconds": 1.5}
_ERROR = ValueError("no")
_CALLS_OF: dict[str, Callable[[Telemetry], None]] = {
    "event": lambda t: t.event(Event.STEP_FINISHED, _ABOUT),
    "metric": lambda t: t.metric(Metric.STEP_SECONDS, 1.5, {"kind": "lakehouse"}),
    "exception": lambda t: t.exception(_ERROR, _ABOUT),
    "dependency": lambda t: t.dependency("GET /v1/x", target="host", seconds=0.1, success=True, status=200),
    "trace": lambda t: t.trace("a line", _ABOUT),
}
