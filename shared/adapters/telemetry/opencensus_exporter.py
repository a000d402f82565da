"""Telemetry by opencensus-ext-azure, for those whose monitoring is built on it. Microsoft retired it in 2024.

What was told goes through its own log handlers, span exporter and metrics exporter. Two mends, each where it is used:
its handlers' lock on Python 3.13, and their flush. What its envelopes have no field for is put right by a telemetry
processor, its hook for that.
"""

# The vendor has no types, and what its classes leave to a subclass begins with an underscore.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeArgument=false, reportUnknownParameterType=false

import logging
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from opencensus.common.schedule import QueueEvent
from opencensus.ext.azure.log_exporter import AzureEventHandler, AzureLogHandler
from opencensus.ext.azure.metrics_exporter import MetricsExporter
from opencensus.ext.azure.trace_exporter import AzureExporter
from opencensus.metrics.export.gauge import DoubleGauge
from opencensus.metrics.label_key import LabelKey
from opencensus.metrics.label_value import LabelValue
from opencensus.trace.span import SpanKind
from opencensus.trace.span_context import SpanContext
from opencensus.trace.span_data import SpanData
from opencensus.trace.status import Status

from shared.adapters.telemetry.buffered import Signal, SignalKind
from shared.adapters.telemetry.envelope import MAX_FRAMES, ROLE, message_of, texts

_SEND_SECONDS = 60.0
"""How long one batch may take: its handlers give an answer up after ten seconds, redirects and what waits on disk
come on top."""
_CLOSE_SECONDS = 1.0
_OPERATION_ID, _TARGET, _SUCCESS, _STATUS = "_operation_id", "_target", "_success", "_status"
"""What a signal says and the vendor's records cannot carry: a property on the way, taken out by the processor."""


class _Mended:
    """What both log handlers need."""

    _queue: Any

    def createLock(self) -> None:
        """A real lock. The vendor sets None, which `logging` took for "none needed" up to Python 3.12; since 3.13
        `Handler.handle` enters it as it is, and every record raises TypeError (census-instrumentation #1249)."""
        logging.Handler.createLock(self)  # type: ignore[arg-type]  # a mixin of logging.Handler

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all before it was sent. The vendor's returns at once when the queue is empty, which it also is
        while its thread holds a batch back to fill it, up to 15 s."""
        if timeout is None:  # logging.shutdown, after `close`: nobody is there any more
            return
        event = QueueEvent("flush")
        self._queue.put(event, block=True, timeout=timeout)
        if not event.wait(timeout):
            raise TimeoutError("the telemetry handler is stuck")


class _EventHandler(_Mended, AzureEventHandler):
    """Events."""


class _LogHandler(_Mended, AzureLogHandler):
    """Traces and exceptions."""


class OpenCensusExporter:
    """Implements `Exporter`. Not thread-safe."""

    def __init__(
        self, connection_string: str, instance: str, credential: Any = None, storage_folder: str | None = None
    ) -> None:
        """`storage_folder` is where what could not be sent waits; None: a folder of the vendor's choice.

        Raises ValueError for a connection string that is none.
        """
        options: dict[str, Any] = {"connection_string": connection_string, "grace_period": _CLOSE_SECONDS}
        if credential is not None:
            options["credential"] = credential
        if storage_folder is not None:
            options["storage_path"] = storage_folder
        self._instance = instance
        self._events, self._logs = _EventHandler(**options), _LogHandler(**options)
        self._spans, self._metrics = AzureExporter(**options), MetricsExporter(**options)
        for part in (self._events, self._logs, self._spans, self._metrics):
            part.add_telemetry_processor(self._complete)

    def send(self, signals: Sequence[Signal]) -> None:
        """Each kind by its own exporter. Raises TimeoutError where one is stuck."""
        handlers: set[Any] = set()
        for signal in signals:
            if signal.kind in (SignalKind.EVENT, SignalKind.TRACE, SignalKind.EXCEPTION):
                handler = self._events if signal.kind is SignalKind.EVENT else self._logs
                handler.handle(_record(signal))
                handlers.add(handler)
        for handler in handlers:
            handler.flush(timeout=_SEND_SECONDS)
        spans = [_span(s) for s in signals if s.kind is SignalKind.DEPENDENCY]
        if spans:
            self._spans.emit(spans)
        metrics = [_metric(s) for s in signals if s.kind is SignalKind.METRIC]
        if metrics:
            self._metrics.export_metrics(metrics)

    def close(self) -> None:
        """Stop the vendor's threads; each ends within a second."""
        self._events.close(_CLOSE_SECONDS)
        self._logs.close(_CLOSE_SECONDS)
        self._metrics.shutdown()

    def _complete(self, envelope: Any) -> bool:
        """Put right what the vendor's conversion had no place for."""
        data = envelope.data.baseData
        given: dict[str, Any] = data["properties"]
        envelope.tags["ai.cloud.role"], envelope.tags["ai.cloud.roleInstance"] = ROLE, self._instance
        operation_id = given.pop(_OPERATION_ID, "")
        if operation_id:
            envelope.tags["ai.operation.id"] = operation_id
        parent = str(envelope.tags.get("ai.operation.parentId") or "")
        if parent.startswith("|"):  # the log handlers' old form |trace.span.: spans go by their plain id here
            envelope.tags["ai.operation.parentId"] = parent.rstrip(".").rpartition(".")[2]
        if _SUCCESS in given:
            data["success"] = given.pop(_SUCCESS) == "true"
            data["target"] = given.pop(_TARGET)
            data["resultCode"] = given.pop(_STATUS)
            data["type"] = "HTTP" if data["target"] else "InProc"
        for name in ("process", "module", "fileName", "lineNumber", "level"):  # of a log line that there is none of
            given.pop(name, None)
        for each in data.get("exceptions") or ():
            each["message"] = each["message"].strip()
        return True


def _record(signal: Signal) -> logging.LogRecord:
    values: dict[str, Any] = {
        "name": ROLE,
        "msg": signal.name,
        "levelno": logging.INFO,
        "levelname": "INFO",
        "created": signal.at.timestamp(),
        "custom_dimensions": texts(signal),
    }
    if signal.context is not None:
        values |= {"traceId": signal.trace_id, "spanId": signal.context.span_id}
    if signal.error is not None:
        values |= {"levelno": logging.ERROR, "levelname": "ERROR", "msg": message_of(signal.error)}
        # The type and the place; what stands as text already, the vendor's formatter does not make of the error itself.
        values["exc_info"] = (type(signal.error), None, _cut(signal.error.__traceback__))
        values["exc_text"] = " "
    return logging.makeLogRecord(values)


def _cut(trace: Any) -> Any:
    """The innermost frames."""
    frames = sum(1 for _ in traceback.walk_tb(trace))
    while frames > MAX_FRAMES:
        trace, frames = trace.tb_next, frames - 1
    return trace


def _span(signal: Signal) -> SpanData:
    assert signal.context is not None  # noqa: S101 - the hand-over gives every dependency a span
    own, properties = signal.context, texts(signal)
    properties |= {_TARGET: signal.target, _SUCCESS: str(signal.success).lower(), _STATUS: str(signal.status or 0)}
    return SpanData(
        name=signal.name,
        context=SpanContext(trace_id=own.trace_id, span_id=own.span_id),
        span_id=own.span_id,
        parent_span_id=own.parent_id or None,
        attributes=properties,
        start_time=_iso(signal.at - timedelta(seconds=signal.value)),
        end_time=_iso(signal.at),
        child_span_count=None,
        stack_trace=None,
        annotations=None,
        message_events=None,
        links=None,
        status=Status(0 if signal.success else 2),
        same_process_as_parent_span=None,
        span_kind=SpanKind.CLIENT if signal.target else SpanKind.UNSPECIFIED,
    )


def _metric(signal: Signal) -> Any:
    """A gauge that was set once: the vendor's only way to a single measurement."""
    properties = {**texts(signal), _OPERATION_ID: signal.trace_id}
    gauge = DoubleGauge(signal.name, "", "", [LabelKey(name, "") for name in properties])
    gauge.get_or_create_time_series([LabelValue(value) for value in properties.values()]).set(signal.value)
    return gauge.get_metric(signal.at.astimezone(UTC))


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
