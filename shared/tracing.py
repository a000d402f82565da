"""The current span of a thread, and operations, which are the spans that begin and end in one process.

An operation begins before its deployment is known (a message was taken, an activity was called). The first header that
it reads determines the deployment: observed_journal.py calls `set_parent`, and everything that the operation does,
calls to Fabric included, is part of that deployment's trace.
"""

import random
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from shared.domain.ports import Telemetry
from shared.domain.telemetry import NoTelemetry
from shared.domain.trace import TraceContext


class _Span:
    """The span of an operation; its trace may become known while the operation runs."""

    __slots__ = ("context", "is_placed")

    def __init__(self, context: TraceContext, is_placed: bool) -> None:
        self.context, self.is_placed = context, is_placed


_current: ContextVar[_Span | None] = ContextVar("shared.tracing", default=None)


def current() -> TraceContext | None:
    """Return the span of this thread; None outside any span."""
    span = _current.get()
    return None if span is None else span.context


def next_span() -> TraceContext:
    """Return a new span in the current one, or in a new trace."""
    outer = current()
    return outer.child(_new_span_id()) if outer else TraceContext(f"{random.getrandbits(128):032x}", _new_span_id())


def _new_span_id() -> str:
    # Not `secrets`: its system call yields to other threads, and telemetry would wait for them.
    return f"{random.getrandbits(64):016x}"


def set_parent(parent: TraceContext) -> None:
    """Set the parent of the current operation unless it is known; without an operation, do nothing."""
    span = _current.get()
    if span is not None and not span.is_placed:
        span.context, span.is_placed = parent.child(span.context.span_id), True


@contextmanager
def use_span(context: TraceContext) -> Generator[None]:
    """Make the telemetry of the block part of a span."""
    token = _current.set(_Span(context, True))
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def operation(
    telemetry: Telemetry, name: str, parent: TraceContext | None = None, **properties: str | int | float | bool | None
) -> Generator[None]:
    """Emit the duration and success of the block as a span, which the block's calls are part of.

    An exception is raised again; the outermost operation also emits it. Without telemetry this does nothing.
    """
    if isinstance(telemetry, NoTelemetry):
        yield
        return
    outer = _current.get()
    context = parent.child(_new_span_id()) if parent else next_span()
    span = _Span(context, parent is not None or (outer is not None and outer.is_placed))
    token, began, success = _current.set(span), time.perf_counter(), False
    try:
        yield
        success = True
    except Exception as error:
        if outer is None:
            telemetry.exception(error, {"operation": name, **properties})
        raise
    finally:
        _current.reset(token)
        seconds = time.perf_counter() - began
        telemetry.dependency(
            name, target="", seconds=seconds, success=success, properties=properties, context=span.context
        )
