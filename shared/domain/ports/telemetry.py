"""The destination of telemetry."""

from typing import Protocol

from shared.domain.telemetry import Properties
from shared.domain.trace import TraceContext


class Telemetry(Protocol):
    """The destination of events, metrics, exceptions, dependencies and traces. No method raises, and none waits.

    All of them belong to the current span of the thread (tracing.py), unless a context is given.
    """

    def event(self, name: str, properties: Properties | None = None) -> None:
        """Emit an event; `name` is one of `Event`."""
        ...

    def metric(self, name: str, value: float, properties: Properties | None = None) -> None:
        """Emit a measurement. Durations are in seconds."""
        ...

    def exception(self, error: BaseException, properties: Properties | None = None) -> None:
        """Emit an unexpected error.

        Of an error that is not the app's own, only class and place are sent, because its text may contain anything.
        """
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
        """Emit a call to another service that has just ended; `name` is `METHOD /path/with/{placeholders}`.

        Without a target it is work of this app itself. `context` is its span; None makes one within the current span.
        """
        ...

    def trace(self, message: str, properties: Properties | None = None) -> None:
        """Emit a line of text for a person."""
        ...

    def flush(self, seconds: float) -> None:
        """Send what is still buffered, for at most so many seconds."""
        ...
