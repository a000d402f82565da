"""What this thread is at work on: the current span, and operations, which are the spans that live in one process.

An operation begins before it is known which deployment it is about (a message was taken, an activity was called).
The first header that is read in it says so: saga's
observed_journal.py calls `set_parent`, and everything that the operation
does, calls to Fabric included, is part of that deployment's trace.
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
    """The span of an operation; which trace it is part of may be learned while it goes on."""

    __slots__ = ("context", "is_placed")

    def __init__(self, context: TraceContext, is_placed: bool) -> None:
        self.context, self.is_placed = context, is_placed


_current: ContextVar[_Span | None] = ContextVar("shared.tracing", default=None)


def current() -> TraceContext | None:
    """The span that this thread is in; None where it is in none."""
    span = _current.get()
    return None if span is None else span.context


def next_span() -> TraceContext:
    """A new span within the current one, or of a new trace."""
    outer = current()
    return outer.child(_new_span_id()) if outer else TraceContext(f"{random.getrandbits(128):032x}", _new_span_id())


def _new_span_id() -> str:
    # Not `secrets`: its system call lets other threads in, and whoever tells something would wait for them.
    return f"{random.getrandbits(64):016x}"


def set_parent(parent: TraceContext) -> None:
    """Say which span the current operation is part of, unless that is known; without an operation, nothing."""
    span = _current.get()
    if span is not None and not span.is_placed:
        span.context, span.is_placed = parent.child(span.context.span_id), True


@contextmanager
def use_span(context: TraceContext) -> Generator[None]:
    """Let what is told meanwhile be part of that span."""
    token = _current.set(_Span(context, True))
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def operation(
    telemetry: Telemetry, name: str, parent: TraceContext | None = None, **properties: str | int | float | bool | None
) -> Generator[None]:
    """Tell how long a piece of work took and whether it succeeded, as a span that its calls are part of.

    What it raises goes on; the outermost operation tells it as an exception. Without telemetry this does nothing.
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
