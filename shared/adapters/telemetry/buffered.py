"""Buffered telemetry: a signal is put on a bounded list, and one thread sends the list.

A deployment therefore never waits for the exporter, even if it is slow, down, or not imported yet. A signal that does
not fit on the list is dropped and counted; the count is emitted as a metric when sending works again.
"""

import atexit
import importlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from shared import tracing
from shared.domain.printable import escaped
from shared.domain.telemetry import Metric, Properties
from shared.domain.trace import TraceContext

log = logging.getLogger(__name__)

MAX_WAITING = 8192
"""The most signals that wait: a burst of some minutes, a few megabytes."""
BATCH = 200
LINGER_SECONDS = 0.5
"""How long the first signal of a batch waits for others."""
EXIT_SECONDS, LATE_SECONDS = 5.0, 1.0
"""How long the end of the process waits for the waiting signals, and for those that its last threads emit then."""


class SignalKind(StrEnum):
    EVENT = "event"
    METRIC = "metric"
    EXCEPTION = "exception"
    DEPENDENCY = "dependency"
    TRACE = "trace"


class Signal(NamedTuple):
    """One piece of telemetry on its way to an exporter. It is a tuple, because that is fast to make.

    `name` is the event's, metric's or dependency's name, or the text of a trace. `value` is a metric's value, or a
    dependency's seconds (it ended `at`). `context` is the span of the code that emitted it; a dependency has its own.
    """

    kind: SignalKind
    name: str
    at: datetime
    properties: Properties
    context: TraceContext | None
    value: float = 0.0
    target: str = ""
    success: bool = True
    status: int | None = None
    error: BaseException | None = None

    @property
    def trace_id(self) -> str:
        """Return the operation id, or an empty text outside of any operation."""
        return self.context.trace_id if self.context else ""


class Exporter(Protocol):
    """Sends signals to the ingestion endpoint by a vendor's library."""

    def send(self, signals: Sequence[Signal]) -> None:
        """Send the signals, then return. It may be slow and may raise: only the buffer's own thread waits."""
        ...

    def close(self) -> None:
        """Stop the library's threads: the process ends."""
        ...


class _Mark:
    """A mark that a flush puts on the list; it is reached when all signals before it were sent."""

    def __init__(self) -> None:
        self.reached = threading.Event()


class BufferedTelemetry:
    """Implements the port `Telemetry`. Thread-safe. No method raises, and only `flush` waits."""

    def __init__(
        self,
        exporter: Callable[[], Exporter],
        now: Callable[[], datetime],
        *,
        max_waiting: int = MAX_WAITING,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        """`exporter` is called once, in the sending thread, because importing a vendor's library takes a second."""
        self._make, self._now, self._most, self._linger = exporter, now, max_waiting, linger_seconds
        self._exporter: Exporter | None = None
        self._waiting: deque[Signal | _Mark] = deque()
        self._something, self._hurry = threading.Event(), threading.Event()
        self._counting = threading.Lock()
        self._dropped = self._reported_dropped = 0
        self._is_failing = False
        threading.Thread(target=self._run, name="telemetry", daemon=True).start()

    @property
    def dropped(self) -> int:
        """Return how many signals did not fit on the list, or could not be sent."""
        return self._dropped

    def event(self, name: str, properties: Properties | None = None) -> None:
        self._put(Signal(SignalKind.EVENT, name, self._now(), _copied(properties), tracing.current()))

    def metric(self, name: str, value: float, properties: Properties | None = None) -> None:
        self._put(Signal(SignalKind.METRIC, name, self._now(), _copied(properties), tracing.current(), value))

    def exception(self, error: BaseException, properties: Properties | None = None) -> None:
        name, given = type(error).__name__, _copied(properties)
        self._put(Signal(SignalKind.EXCEPTION, name, self._now(), given, tracing.current(), error=error))

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
        span, given = context or tracing.next_span(), _copied(properties)
        self._put(Signal(SignalKind.DEPENDENCY, name, self._now(), given, span, seconds, target, success, status))

    def trace(self, message: str, properties: Properties | None = None) -> None:
        self._put(Signal(SignalKind.TRACE, escaped(message), self._now(), _copied(properties), tracing.current()))

    def flush(self, seconds: float) -> None:
        """Wait until all signals so far are sent, at most `seconds`."""
        mark = _Mark()
        self._waiting.append(mark)
        self._hurry.set()
        self._something.set()
        mark.reached.wait(seconds)

    def at_exit(self) -> None:
        """Send the waiting signals when the process ends, for at most six seconds."""
        # atexit alone is too late: Python then runs no more futures, which a library that is imported only now may need
        # (OpenTelemetry does). Functions that are registered as concurrent.futures registers its own run before that.
        importlib.import_module("concurrent.futures.thread")  # they run in reverse order, so it registers first
        left = [LATE_SECONDS, EXIT_SECONDS]
        threading._register_atexit(lambda: self.flush(left.pop()))  # type: ignore[attr-defined]  # no public name
        # A host that does not wait for its threads runs only this at its end; then it has all of the time.
        atexit.register(lambda: self.stop(left.pop()))

    def stop(self, seconds: float) -> None:
        """Send the waiting signals for at most `seconds`, then close the exporter: the process ends."""
        self.flush(seconds)
        lost = sum(isinstance(each, Signal) for each in self._waiting)
        if lost:
            log.warning("the process ends with %d telemetry signals that could not be sent in %g s", lost, seconds)
        elif self._exporter is not None:
            self._exporter.close()

    def _put(self, signal: Signal) -> None:
        if len(self._waiting) >= self._most:
            self._count(1)
            return
        self._waiting.append(signal)
        if not self._something.is_set():
            self._something.set()

    def _count(self, dropped: int) -> None:
        with self._counting:
            self._dropped += dropped

    def _run(self) -> None:
        while True:
            self._something.wait()
            self._hurry.wait(self._linger)
            self._something.clear()
            self._hurry.clear()
            while self._waiting:
                self._send_some()

    def _send_some(self) -> None:
        batch: list[Signal] = []
        marks: list[_Mark] = []
        while self._waiting and len(batch) < BATCH:
            found = self._waiting.popleft()
            if isinstance(found, _Mark):
                marks.append(found)
            else:
                batch.append(found)
        self._send([*self._drops(), *batch])
        for mark in marks:
            mark.reached.set()

    def _drops(self) -> list[Signal]:
        new = self._dropped - self._reported_dropped
        if not new or self._is_failing:
            return []
        self._reported_dropped += new
        log.warning("%d telemetry signals were dropped: they were emitted faster than they could be sent", new)
        return [Signal(SignalKind.METRIC, Metric.TELEMETRY_DROPPED, self._now(), {}, None, float(new))]

    def _send(self, batch: list[Signal]) -> None:
        if not batch:
            return
        try:
            if self._exporter is None:
                self._exporter = self._make()
            self._exporter.send(batch)
            self._is_failing = False
        except Exception as error:
            # Only the type, because a vendor's text may contain the connection string.
            if not self._is_failing:
                log.warning("telemetry cannot be sent (%s); deployments go on without it", type(error).__name__)
            self._is_failing = True
            self._count(len(batch))


def _copied(properties: Properties | None) -> Properties:
    """Return a copy, because the caller may change its own later."""
    return {**properties} if properties else {}
