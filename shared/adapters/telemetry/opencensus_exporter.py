"""Telemetry by opencensus-ext-azure, for monitoring that is built on it. Microsoft retired the library in 2024.

Its exporters are called directly, in the thread of BufferedTelemetry: its log handlers would send from threads of their
own, and since Python 3.13 `Handler.handle` fails on them because they have no lock (census-instrumentation #1249).
A telemetry processor, the library's hook for that, completes what its envelopes have no field for.
"""

# The vendor has no types, and what its classes leave to a subclass begins with an underscore.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportPrivateUsage=false

import logging
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

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

_CLOSE_SECONDS = 1.0
_OPERATION_ID, _TARGET, _SUCCESS, _STATUS = "_operation_id", "_target", "_success", "_status"
"""Fields that the vendor's records do not have: they travel as properties, which the processor removes."""
_LOG_LINE = ("process", "module", "fileName", "lineNumber", "level")
"""Properties that the vendor takes from a log line, which does not exist here."""


class OpenCensusExporter:
    """Implements `Exporter`. Not thread-safe."""

    def __init__(
        self, connection_string: str, instance: str, credential: Any = None, storage_folder: str | None = None
    ) -> None:
        """`storage_folder` keeps what could not be sent; None: a folder that the vendor chooses.

        Raises ValueError if the connection string is not valid.
        """
        options: dict[str, Any] = {"connection_string": connection_string, "grace_period": _CLOSE_SECONDS}
        if credential is not None:
            options["credential"] = credential
        if storage_folder is not None:
            options["storage_path"] = storage_folder
        self._instance = instance
        self._events, self._logs = AzureEventHandler(**options), AzureLogHandler(**options)
        self._spans, self._metrics = AzureExporter(**options), MetricsExporter(**options)
        for part in (self._events, self._logs, self._spans, self._metrics):
            part.add_telemetry_processor(self._complete)

    def send(self, signals: Sequence[Signal]) -> None:
        """Send each kind by its own exporter. Unsent data waits on disk for the next batch."""
        for exporter, kinds in (
            (self._events, (SignalKind.EVENT,)),
            (self._logs, (SignalKind.TRACE, SignalKind.EXCEPTION)),
        ):
            exporter._export([_record(s) for s in signals if s.kind in kinds])
        spans = [_span(s) for s in signals if s.kind is SignalKind.DEPENDENCY]
        if spans:
            self._spans.emit(spans)
        metrics = [_metric(s) for s in signals if s.kind is SignalKind.METRIC]
        if metrics:
            self._metrics.export_metrics(metrics)

    def close(self) -> None:
        """Stop the vendor's threads, each within a second."""
        self._events.close(_CLOSE_SECONDS)
        self._logs.close(_CLOSE_SECONDS)
        self._metrics.shutdown()

    def _complete(self, envelope: Any) -> bool:
        """Complete an envelope from the properties that its signal carried."""
        data = envelope.data.baseData
        given: dict[str, Any] = data["properties"]
        envelope.tags["ai.cloud.role"], envelope.tags["ai.cloud.roleInstance"] = ROLE, self._instance
        operation_id = given.pop(_OPERATION_ID, "")
        if operation_id:
            envelope.tags["ai.operation.id"] = operation_id
        parent = str(envelope.tags.get("ai.operation.parentId") or "")
        if parent.startswith("|"):  # the log handlers write |trace.span., but spans have their plain id here
            envelope.tags["ai.operation.parentId"] = parent.rstrip(".").rpartition(".")[2]
        if _SUCCESS in given:
            data["success"] = given.pop(_SUCCESS) == "true"
            data["target"] = given.pop(_TARGET)
            data["resultCode"] = given.pop(_STATUS)
            data["type"] = "HTTP" if data["target"] else "InProc"
        for name in _LOG_LINE:
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
        # Type and place only. The text is set here, so that the vendor's formatter does not take the error's own.
        values["exc_info"] = (type(signal.error), None, _cut(signal.error.__traceback__))
        values["exc_text"] = " "
    return logging.makeLogRecord(values)


def _cut(trace: Any) -> Any:
    """Return the traceback from its innermost MAX_FRAMES frames on."""
    frames = sum(1 for _ in traceback.walk_tb(trace))
    while frames > MAX_FRAMES:
        trace, frames = trace.tb_next, frames - 1
    return trace


def _span(signal: Signal) -> SpanData:
    assert signal.context is not None  # noqa: S101 - BufferedTelemetry gives every dependency a span
    own, properties = signal.context, texts(signal)
    properties |= {_TARGET: signal.target, _SUCCESS: str(signal.success).lower(), _STATUS: str(signal.status or 0)}
    unused = (
        "child_span_count",
        "stack_trace",
        "annotations",
        "message_events",
        "links",
        "same_process_as_parent_span",
    )
    return SpanData(
        name=signal.name,
        context=SpanContext(trace_id=own.trace_id, span_id=own.span_id),
        span_id=own.span_id,
        parent_span_id=own.parent_id or None,
        attributes=properties,
        start_time=_iso(signal.at - timedelta(seconds=signal.value)),
        end_time=_iso(signal.at),
        status=Status(0 if signal.success else 2),
        span_kind=SpanKind.CLIENT if signal.target else SpanKind.UNSPECIFIED,
        **dict.fromkeys(unused),
    )


def _metric(signal: Signal) -> Any:
    """Return a gauge that was set once: the vendor has no other way to send a single measurement."""
    properties = {**texts(signal), _OPERATION_ID: signal.trace_id}
    gauge = DoubleGauge(signal.name, "", "", [LabelKey(name, "") for name in properties])
    gauge.get_or_create_time_series([LabelValue(value) for value in properties.values()]).set(signal.value)
    return gauge.get_metric(signal.at.astimezone(UTC))


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
