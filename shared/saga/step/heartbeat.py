"""The heartbeats of all running deliveries, sent from one thread of the process.

Each heartbeat renews a lease. So a lease can be short, and a slow service is not taken for a dead worker. Heartbeats
end with the process, or with the block that requested them.
"""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

log = logging.getLogger(__name__)

Beat = Callable[[], bool]
"""Sends one heartbeat; returns False if no further one is needed."""


class Heartbeat(Protocol):
    """Sends heartbeats while a block runs."""

    def during(self, heartbeat: Beat, seconds: float) -> AbstractContextManager[None]:
        """Call `heartbeat` every `seconds` until the block ends or `heartbeat` returns False; the first time after
        `seconds`."""
        ...


@dataclass
class _Block:
    heartbeat: Beat
    seconds: float
    is_over: bool = False


class HeartbeatThread:
    """The port Heartbeat. The thread is started by the first block and ends with the process.

    A beat that raises is logged, and called again when it is due next: the lease must not be lost because storage fails
    for a moment. The beats of all blocks share the thread, so one that is slow delays the others.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, _Block]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    @contextmanager
    def during(self, heartbeat: Beat, seconds: float) -> Generator[None]:
        """Beat while the block runs."""
        block = _Block(heartbeat, seconds)
        self._schedule(block)
        try:
            yield
        finally:
            block.is_over = True

    def _schedule(self, block: _Block) -> None:
        with self._changed:
            entry = (time.monotonic() + block.seconds, next(self._numbers), block)
            heapq.heappush(self._due, entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()
            elif self._due[0] is entry:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            block = self._next()
            if not block.is_over and self._goes_on(block) and not block.is_over:
                self._schedule(block)

    def _next(self) -> _Block:
        """Wait until a block is due, and take it."""
        with self._changed:
            while not self._due or self._due[0][0] > time.monotonic():
                self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
            return heapq.heappop(self._due)[2]

    @staticmethod
    def _goes_on(block: _Block) -> bool:
        try:
            return block.heartbeat()
        except Exception as error:
            log.warning("a heartbeat failed: %s", type(error).__name__)
            return True
