"""The names of what the app tells monitors, and the port it tells them through.

Names are constants here and nowhere else: the alerts and the workbook of infra/ are checked against them.
"""

from collections.abc import Mapping
from typing import Protocol

Properties = Mapping[str, str | int | float | bool | None]
"""What goes with an event: short values, never a secret; None is left out."""


class Event:
    """Names of events. Persisted in other people's alerts: add, never rename."""

    DEPLOYMENT_ACCEPTED = "DeploymentAccepted"
    DEPLOYMENT_STARTED = "DeploymentStarted"
    DEPLOYMENT_FINISHED = "DeploymentFinished"
    DEPLOYMENT_REJECTED = "DeploymentRejected"
    STEP_STARTED = "StepStarted"
    STEP_FINISHED = "StepFinished"
    STEP_FAILED = "StepFailed"
    RETRY = "Retry"
    BREAKER_OPENED = "CircuitBreakerOpened"
    BREAKER_HALF_OPEN = "CircuitBreakerHalfOpen"
    BREAKER_CLOSED = "CircuitBreakerClosed"
    ROLLBACK_STARTED = "RollbackStarted"
    ROLLBACK_FINISHED = "RollbackFinished"
    COMPENSATION_FAILED = "CompensationFailed"
    ORPHAN_FOUND = "OrphanFound"
    ORPHAN_DELETED = "OrphanDeleted"
    POISON_MESSAGE = "PoisonMessage"
    HEALTH_CHANGED = "HealthChanged"
    SWEEP_FINISHED = "SweepFinished"


class Telemetry(Protocol):
    """Where events, metrics, exceptions, dependencies and traces go. No method raises, and none waits."""

    def event(self, name: str, properties: Properties | None = None) -> None:
        """Something happened; `name` is one of Event's."""
        ...

    def metric(self, name: str, value: float, properties: Properties | None = None) -> None:
        """A measurement; durations in seconds."""
        ...

    def exception(self, error: BaseException, properties: Properties | None = None) -> None:
        """An error that was not expected."""
        ...

    def dependency(
        self,
        name: str,
        *,
        target: str,
        seconds: float,
        success: bool,
        status: int | None = None,
        properties: Properties | None = None,
    ) -> None:
        """A call to somebody else that ended just now: `name` is `METHOD /path/with/{placeholders}`."""
        ...

    def trace(self, message: str, properties: Properties | None = None) -> None:
        """A line for a person."""
        ...

    def flush(self, seconds: float) -> None:
        """Send what is still here, for at most so long."""
        ...


class NoTelemetry:
    """Implements `Telemetry` by doing nothing."""

    def event(self, name: str, properties: Properties | None = None) -> None:
        """Nothing."""

    def metric(self, name: str, value: float, properties: Properties | None = None) -> None:
        """Nothing."""

    def exception(self, error: BaseException, properties: Properties | None = None) -> None:
        """Nothing."""

    def dependency(
        self,
        name: str,
        *,
        target: str,
        seconds: float,
        success: bool,
        status: int | None = None,
        properties: Properties | None = None,
    ) -> None:
        """Nothing."""

    def trace(self, message: str, properties: Properties | None = None) -> None:
        """Nothing."""

    def flush(self, seconds: float) -> None:
        """Nothing."""
