"""Where telemetry goes."""

from typing import Protocol

from shared.domain.telemetry import Properties
from shared.domain.trace import TraceContext


class Telemetry(Protocol):
    """Where events, metrics, exceptions, dependencies and traces go. No method raises, and none waits.

    What is told belongs to the span that the thread is in (tracing.py), unless a context is given.
    """

    def event(self, name: str, properties: Properties | None = None) -> None:
        """Something happened; `name` is one of Event's."""
        ...

    def metric(self, name: str, value: float, properties: Properties | None = None) -> None:
        """A measurement; durations in seconds."""
        ...

    def exception(self, error: BaseException, properties: Properties | None = None) -> None:
        """An error that was not expected. Of one that is not ours only the kind and the place are told, not its text,
        which may hold anything."""
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
        context: TraceContext | None = None,
    ) -> None:
        """A call to somebody else that ended just now: `name` is `METHOD /path/with/{placeholders}`. Without a target:
        a piece of this app's own work. `context` is its own span; None makes one within the current span."""
        ...

    def trace(self, message: str, properties: Properties | None = None) -> None:
        """A line for a person."""
        ...

    def flush(self, seconds: float) -> None:
        """Send what is still here, for at most so long."""
        ...
