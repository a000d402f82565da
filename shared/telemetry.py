"""Telemetry to Application Insights, for the triggers and for other programs.

    from shared import telemetry

    with telemetry.track_operation("nightly refresh", workspace="contoso-sales"):   # a span; what it raises goes on
        telemetry.event("RefreshBegan", {"workspace": "contoso-sales"})

    @telemetry.track_performance("RefreshSeconds")                                 # a metric at every call
    def refresh() -> None: ...

With FEATURE_USE_TELEMETRY off, all of it does nothing. Nothing here raises of its own but settings.SettingsError, and
nothing but `flush` waits. Importing this module reads nothing.
"""

import functools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from shared import bootstrap, tracing
from shared.domain.telemetry import Properties
from shared.domain.trace import parse


def event(name: str, properties: Properties | None = None) -> None:
    """Something happened. Values are short and never a secret."""
    bootstrap.app().telemetry.event(name, properties)


def metric(name: str, value: float, properties: Properties | None = None) -> None:
    """A measurement; durations in seconds."""
    bootstrap.app().telemetry.metric(name, value, properties)


def exception(error: BaseException, properties: Properties | None = None) -> None:
    """An error that was not expected: its kind and where it was raised; its text only where it is this app's own."""
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
    """A call to somebody else that ended just now. Keep ids out of the name, so that calls can be grouped by it."""
    reported = bootstrap.app().telemetry
    reported.dependency(name, target=target, seconds=seconds, success=success, status=status, properties=properties)


def trace(message: str, properties: Properties | None = None) -> None:
    """A line for a person."""
    bootstrap.app().telemetry.trace(message, properties)


def flush(seconds: float = 5.0) -> None:
    """Send what is still here, for at most so long. The end of the process does it too."""
    bootstrap.app().telemetry.flush(seconds)


def track_operation(
    name: str, *, traceparent: str = "", **properties: str | int | float | bool | None
) -> AbstractContextManager[None]:
    """Return a context manager that records its block as a span: its duration, and whether it raised.

    Events and calls to Fabric in the block belong to the span. Its parent is the span that `traceparent` names, or the
    current one."""
    return tracing.operation(bootstrap.app().telemetry, name, parse(traceparent), **properties)


def track_performance[**P, R](name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: the seconds that each call takes, as the metric `name`, with whether it succeeded."""

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
