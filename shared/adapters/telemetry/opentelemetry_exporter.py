"""Telemetry by azure-monitor-opentelemetry: signals become OpenTelemetry's log records, spans and metric points, which
Azure Monitor's exporters send, and keep on disk while the endpoint does not respond.

The exporters are called directly. The package's `configure_azure_monitor` would set providers for the whole process:
its samplers would drop events, its instrumentation would report every call to Fabric a second time, and the durable
engine's own spans would be sent too. Nothing here is global, so an app that uses OpenTelemetry itself is not affected.
"""

# The vendor's classes have types only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from azure.monitor.opentelemetry.exporter import (
    AzureMonitorLogExporter,
    AzureMonitorMetricExporter,
    AzureMonitorTraceExporter,
)
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import Gauge, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.metrics.export import Metric as MetricPoint
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from shared.adapters.telemetry.buffered import Signal, SignalKind
from shared.adapters.telemetry.envelope import ROLE, message_of, stack_of, texts

_EVENT_NAME = "microsoft.custom_event.name"
_OPERATION_ID = "ai.operation.id"
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SCOPE = InstrumentationScope(ROLE)


class _MetricExporter(AzureMonitorMetricExporter):
    """Adds the operation to a metric: the vendor has none, but the app's metrics are single measurements with one."""

    def _point_to_envelope(self, point: Any, *args: Any, **kwargs: Any) -> Any:
        attributes = dict(point.attributes)
        operation_id = attributes.pop(_OPERATION_ID, "")
        plain = NumberDataPoint(attributes, point.start_time_unix_nano, point.time_unix_nano, point.value)
        envelope = super()._point_to_envelope(plain, *args, **kwargs)
        if envelope is not None and operation_id:
            envelope.tags = {**(envelope.tags or {}), _OPERATION_ID: operation_id}
        return envelope


class _SpanExporter(AzureMonitorTraceExporter):
    """Omits the metric that the vendor adds to every batch to describe a global provider, which does not exist."""

    def _should_collect_otel_resource_metric(self) -> bool:
        return False


class OpenTelemetryExporter:
    """Implements `Exporter`. Not thread-safe."""

    def __init__(
        self, connection_string: str, instance: str, credential: Any = None, storage_folder: str | None = None
    ) -> None:
        """`storage_folder` keeps what could not be sent; None: a folder that the vendor chooses.

        Raises ValueError if the connection string is not valid.
        """
        logging.getLogger("azure.monitor.opentelemetry.exporter").setLevel(logging.WARNING)  # a line for each batch
        options: dict[str, Any] = {"connection_string": connection_string, "credential": credential}
        if storage_folder is not None:
            options["storage_directory"] = storage_folder
        self._logs = AzureMonitorLogExporter(**options)
        self._spans = _SpanExporter(**options)
        self._metrics = _MetricExporter(**options)
        self._resource = Resource({SERVICE_NAME: ROLE, SERVICE_INSTANCE_ID: instance})

    def send(self, signals: Sequence[Signal]) -> None:
        """Send one request for each kind of data. Unsent data waits on disk for the next batch."""
        metrics = [s for s in signals if s.kind is SignalKind.METRIC]
        spans = [self._span(s) for s in signals if s.kind is SignalKind.DEPENDENCY]
        logs = [self._log(s) for s in signals if s.kind not in (SignalKind.METRIC, SignalKind.DEPENDENCY)]
        if logs:
            self._logs.export(logs)
        if spans:
            self._spans.export(spans)
        if metrics:
            self._metrics.export(self._points(metrics))

    def close(self) -> None:
        """Stop the threads that send what waits on disk."""
        for exporter in (self._logs, self._spans, self._metrics):
            exporter.shutdown()

    def _log(self, signal: Signal) -> ReadableLogRecord:
        attributes: dict[str, Any] = dict(texts(signal))
        severity, body = SeverityNumber.INFO, signal.name
        if signal.kind is SignalKind.EVENT:
            attributes[_EVENT_NAME] = signal.name
        elif signal.kind is SignalKind.EXCEPTION:
            severity, body = SeverityNumber.ERROR, message_of(signal.error)
            attributes["exception.type"] = signal.name
            attributes["exception.message"] = body
            attributes["exception.stacktrace"] = stack_of(signal.error)
        record = LogRecord(
            timestamp=_nanoseconds(signal.at),
            context=_context(signal),
            severity_number=severity,
            body=body,
            attributes=attributes,
        )
        return ReadableLogRecord(record, self._resource)

    def _span(self, signal: Signal) -> ReadableSpan:
        own = _span_context(signal, parent=False)
        ended = _nanoseconds(signal.at)
        attributes: dict[str, Any] = dict(texts(signal))
        method, _, path = signal.name.partition(" ")
        if signal.target and path.startswith("/"):
            # The vendor takes the name from the address, so this is the one with placeholders; it is never called.
            attributes |= {"http.request.method": method, "url.full": f"https://{signal.target}{path}"}
            attributes["http.response.status_code"] = signal.status or 0
        elif signal.target:
            attributes["peer.service"] = signal.target
        return ReadableSpan(
            name=signal.name,
            context=own,
            parent=_span_context(signal, parent=True),
            resource=self._resource,
            attributes=attributes,
            kind=SpanKind.CLIENT if signal.target else SpanKind.INTERNAL,
            status=Status(StatusCode.OK if signal.success else StatusCode.ERROR),
            start_time=ended - int(signal.value * 1e9),
            end_time=ended,
            instrumentation_scope=_SCOPE,
        )

    def _points(self, signals: Iterable[Signal]) -> MetricsData:
        points = [MetricPoint(s.name, None, None, Gauge([_point(s)])) for s in signals]
        scope = ScopeMetrics(_SCOPE, points, "")
        return MetricsData([ResourceMetrics(self._resource, [scope], "")])


def _point(signal: Signal) -> NumberDataPoint:
    at = _nanoseconds(signal.at)
    return NumberDataPoint({**texts(signal), _OPERATION_ID: signal.trace_id}, at, at, signal.value)


def _context(signal: Signal) -> Context:
    own = _span_context(signal, parent=False)
    # An empty context in place of the thread's, to which a worker library may have attached its own.
    return Context() if own is None else set_span_in_context(NonRecordingSpan(own), Context())


def _span_context(signal: Signal, *, parent: bool) -> SpanContext | None:
    if signal.context is None:
        return None
    span_id = signal.context.parent_id if parent else signal.context.span_id
    return SpanContext(int(signal.trace_id, 16), int(span_id, 16), True, _SAMPLED) if span_id else None


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1e9)
