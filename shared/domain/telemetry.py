"""The names of events and metrics, and the properties of each event.

Names are constants here and nowhere else. Tests compare them with the alerts and the workbook of infra/ and with the
table in docs/telemetry.md.
"""

from collections.abc import Mapping

from shared.domain.trace import TraceContext

Properties = Mapping[str, str | int | float | bool | None]
"""The properties of an event: short values, never a secret. None is left out."""


class Event:
    """The names of events. Other people's alerts use them: add, never rename."""

    DEPLOYMENT_ACCEPTED = "DeploymentAccepted"
    DEPLOYMENT_STARTED = "DeploymentStarted"
    DEPLOYMENT_FINISHED = "DeploymentFinished"
    DEPLOYMENT_REJECTED = "DeploymentRejected"
    DEPLOYMENT_HELD = "DeploymentHeld"
    STEP_STARTED = "StepStarted"
    STEP_FINISHED = "StepFinished"
    STEP_FAILED = "StepFailed"
    RETRY = "Retry"
    BREAKER_OPENED = "CircuitBreakerOpened"
    BREAKER_HALF_OPEN = "CircuitBreakerHalfOpen"
    BREAKER_CLOSED = "CircuitBreakerClosed"
    ROLLBACK_STARTED = "RollbackStarted"
    ROLLBACK_FINISHED = "RollbackFinished"
    STEP_COMPENSATED = "StepCompensated"
    COMPENSATION_FAILED = "CompensationFailed"
    ORPHAN_FOUND = "OrphanFound"
    ORPHAN_DELETED = "OrphanDeleted"
    POISON_MESSAGE = "PoisonMessage"
    HEALTH_CHANGED = "HealthChanged"
    SWEEP_FINISHED = "SweepFinished"
    RATE_LOWERED = "RateLowered"
    APPROVAL_WAITING = "ApprovalWaiting"
    NOTIFICATION_FAILED = "NotificationFailed"
    DRIFT_FOUND = "DriftFound"


class Metric:
    """The names of metrics. Add, never rename."""

    DEPLOYMENT_SECONDS = "DeploymentSeconds"
    STEP_SECONDS = "StepSeconds"
    COMPENSATION_SECONDS = "CompensationSeconds"
    READY_SECONDS = "ReadySeconds"
    TELEMETRY_DROPPED = "TelemetryDropped"


_DEPLOYMENT = ("deployment_id", "name", "target")
_STEP = ("deployment_id", "step_id", "kind")
_ERROR = ("status", "error_code", "request_id", "message")
_BREAKER = ("breaker", "reason", "openings", "open_seconds", "is_shared")
_ORPHAN = (*_STEP, "resource_type", "resource_id")

PROPERTIES: Mapping[str, tuple[str, ...]] = {
    Event.DEPLOYMENT_ACCEPTED: (*_DEPLOYMENT, "steps"),
    Event.DEPLOYMENT_STARTED: (*_DEPLOYMENT, "steps", "waited_seconds"),
    Event.DEPLOYMENT_FINISHED: (*_DEPLOYMENT, "steps", "state", "seconds"),
    Event.DEPLOYMENT_REJECTED: (*_DEPLOYMENT, "problems"),
    Event.DEPLOYMENT_HELD: (*_DEPLOYMENT, "steps"),
    Event.STEP_STARTED: _STEP,
    Event.STEP_FINISHED: (*_STEP, "action", "attempts", "deliveries", "seconds"),
    Event.STEP_FAILED: (*_STEP, "attempts", "deliveries", "seconds", *_ERROR),
    Event.RETRY: (*_STEP, "direction", "attempt", "wait_seconds", *_ERROR),
    Event.BREAKER_OPENED: _BREAKER,
    Event.BREAKER_HALF_OPEN: _BREAKER,
    Event.BREAKER_CLOSED: _BREAKER,
    Event.ROLLBACK_STARTED: (*_DEPLOYMENT, "reason"),
    Event.ROLLBACK_FINISHED: (*_DEPLOYMENT, "state"),
    Event.STEP_COMPENSATED: (*_STEP, "attempts", "deliveries", "seconds"),
    Event.COMPENSATION_FAILED: (*_STEP, "attempts", "deliveries", "seconds", *_ERROR),
    Event.ORPHAN_FOUND: _ORPHAN,
    Event.ORPHAN_DELETED: _ORPHAN,
    Event.POISON_MESSAGE: ("queue", "deployment_id", "ordinal", "direction"),
    Event.HEALTH_CHANGED: ("before", "after", "checks"),
    Event.SWEEP_FINISHED: (
        *("seen", "restarted", "expired", "orphan_checked", "orphans", "orphans_left", "purged", "failed", "stalled"),
        *("stuck", "held"),
        *("dry_run", "seconds"),
    ),
    Event.APPROVAL_WAITING: _STEP,
    Event.DRIFT_FOUND: (*_DEPLOYMENT, "count", "items"),
    Event.NOTIFICATION_FAILED: ("deployment_id", "kind", "message"),
    Event.RATE_LOWERED: ("bucket", "limit", "per_minute", "retry_after_seconds", "is_shared"),
}
"""The properties that each event may have. An unknown value is left out."""


class NoTelemetry:
    """Implements `Telemetry` by doing nothing."""

    def event(self, name: str, properties: Properties | None = None) -> None:
        """Do nothing."""

    def metric(self, name: str, value: float, properties: Properties | None = None) -> None:
        """Do nothing."""

    def exception(self, error: BaseException, properties: Properties | None = None) -> None:
        """Do nothing."""

    def dependency(
        self,
        name: str,
        *,
        target: str,
        seconds: float,
        success: bool,
        status: int | None = None,
        properties: Properties | None = None,
        context: TraceContext | None = None,
    ) -> None:
        """Do nothing."""

    def trace(self, message: str, properties: Properties | None = None) -> None:
        """Do nothing."""

    def flush(self, seconds: float) -> None:
        """Do nothing."""
