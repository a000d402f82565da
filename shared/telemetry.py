"""Telemetry to Application Insights, for the triggers and for other programs.

    from shared import telemetry

    with telemetry.track_operation("nightly refresh", workspace="contoso-sales"):   # a span; what it raises goes on
        telemetry.event("RefreshBegan", {"workspace": "contoso-sales"})

    @telemetry.track_performance("RefreshSeconds")                                 # a metric at every call
    def refresh() -> None: ...

With FEATURE_USE_TELEMETRY off, all functions do nothing. They raise only settings.SettingsError, and only `flush`
waits. Importing this module reads no settings.
"""

import functools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from shared import bootstrap, tracing
from shared.domain.telemetry import Properties
from shared.domain.trace import parse


def event(name: str, properties: Properties | None = None) -> None:
    """Emit an event. Values must be short, and never a secret."""
    bootstrap.app().telemetry.event(name, properties)


def metric(name: str, value: float, properties: Properties | None = None) -> None:
    """Emit a measurement; durations are in seconds."""
    bootstrap.app().telemetry.metric(name, value, properties)


def exception(error: BaseException, properties: Properties | None = None) -> None:
    """Emit an unexpected error: its type and place, and its text only if the error is the app's own."""
    bootstrap.app().telemetry.exception(error, properties)


def dependency(
    name: str,
    *,
    target: str,
    seconds: float,
    success: bool,
    status: int | None = None,
    properties: Properties | None = None,
) -> None:
    """Emit a call to another service that has just ended. Keep ids out of the name, so that calls can be grouped."""
    reported = bootstrap.app().telemetry
    reported.dependency(name, target=target, seconds=seconds, success=success, status=status, properties=properties)


def trace(message: str, properties: Properties | None = None) -> None:
    """Emit a line of text for a person."""
    bootstrap.app().telemetry.trace(message, properties)


def flush(seconds: float = 5.0) -> None:
    """Send the buffered telemetry, for at most `seconds`. The end of the process sends it too."""
    bootstrap.app().telemetry.flush(seconds)


def track_operation(
    name: str, *, traceparent: str = "", **properties: str | int | float | bool | None
) -> AbstractContextManager[None]:
    """Return a context manager that records its block as a span: its duration, and whether it raised.

    Events and calls to Fabric in the block belong to the span. Its parent is the span that `traceparent` names, or the
    current one."""
    return tracing.operation(bootstrap.app().telemetry, name, parse(traceparent), **properties)


def track_performance[**P, R](name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function: emit the seconds of each call as the metric `name`, and whether the call succeeded."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def measured(*args: P.args, **kwargs: P.kwargs) -> R:
            began, success = time.perf_counter(), False
            try:
                result = function(*args, **kwargs)
                success = True
                return result
            finally:
                metric(name, time.perf_counter() - began, {"function": function.__qualname__, "success": success})

        return measured

    return decorate
