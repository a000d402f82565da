"""Fabric for a dry run: it can only be read.

A list is read once and cached, so that a hundred roles on one workspace cost one call, and all of them are compared
with the same moment.
"""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from shared.domain.errors import FabricError, FabricRefusedError
from shared.domain.json import JsonObject
from shared.domain.policy import RetryPolicy
from shared.domain.polling import poll_delay_seconds
from shared.domain.ports import Clock, Fabric, FabricReply, OperationStarted, OperationStatus
from shared.domain.retry import GiveUp, decide_retry
from shared.domain.states import OperationState
from shared.steps import expected_seconds

READING_POSTS = ("/getDefinition", "/items/bulkExportDefinitions")
"""POST calls of Fabric that change nothing."""


class ReadOnlyFabric:
    """The port `Fabric` without the calls that change something. Thread-safe.

    Unlike the engine it waits: for the rate limit, for a breaker, for a transient error to pass, until `budget_seconds`
    after its creation; then it raises the FabricTransientError.
    """

    def __init__(
        self,
        fabric: Fabric,
        clock: Clock,
        policy: RetryPolicy,
        *,
        budget_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._fabric, self._clock, self._policy, self._sleep = fabric, clock, policy, sleep
        self._until = clock.now() + timedelta(seconds=budget_seconds)
        self._lists: dict[str, list[JsonObject]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def identity(self) -> str:
        return self._with_retry(self._fabric.identity)

    def get(self, path: str, query: dict[str, str] | None = None) -> JsonObject:
        return self._with_retry(lambda: self._fabric.get(path, query))

    def list(self, path: str, query: dict[str, str] | None = None) -> Iterator[JsonObject]:
        """Return all rows of all pages, as of the first request for them."""
        key = f"{path}?{sorted((query or {}).items())}"
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._lists:
                self._lists[key] = self._with_retry(lambda: list(self._fabric.list(path, query)))
        return iter(self._lists[key])

    def send(
        self, method: str, path: str, body: JsonObject | None = None, query: dict[str, str] | None = None
    ) -> FabricReply:
        """Send a call that is known to read only. Raises FabricRefusedError, without a call, for every other one."""
        if method != "GET" and (method != "POST" or not path.endswith(READING_POSTS)):
            raise FabricRefusedError("a dry run sends only calls that change nothing", call=f"{method} {path}")
        return self._with_retry(lambda: self._fabric.send(method, path, body, query))

    def poll(self, operation_id: str, location: str | None) -> OperationStatus:
        return self._with_retry(lambda: self._fabric.poll(operation_id, location))

    def result(self, operation_id: str, location: str | None) -> JsonObject | None:
        return self._with_retry(lambda: self._fabric.result(operation_id, location))

    def wait_for(self, operation: OperationStarted, kind: str, seconds: float) -> OperationStatus | None:
        """Poll an operation until it ends; return None if it still runs after `seconds`."""
        began, expected = self._clock.now(), expected_seconds(kind)
        while True:
            elapsed = (self._clock.now() - began).total_seconds()
            delay = min(poll_delay_seconds(expected, elapsed), max(0.0, seconds - elapsed))
            self._sleep(delay)
            status = self.poll(operation.id, operation.location)
            if status.state is not OperationState.RUNNING:
                return status
            if (self._clock.now() - began).total_seconds() >= seconds:
                return None

    def _with_retry[T](self, call: Callable[[], T]) -> T:
        attempt = 0
        while True:
            try:
                return call()
            except FabricError as error:
                decision = decide_retry(error, attempt, 0, self._policy, 1.0)
                if isinstance(decision, GiveUp):
                    raise
                if self._clock.now() + timedelta(seconds=decision.seconds) > self._until:
                    raise
                attempt += 1 if decision.counts else 0
                self._sleep(decision.seconds)
