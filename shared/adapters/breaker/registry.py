"""All circuit breakers of a process: one each name, made on first use."""

import threading
from collections.abc import Callable
from datetime import datetime

from shared.adapters.breaker.cell import BreakerCell
from shared.adapters.breaker.circuit_breaker import BreakerStatus, SharedCircuitBreaker
from shared.adapters.breaker.fallback import FallbackBreakers
from shared.adapters.breaker.observed_store import ObservedBreakers
from shared.domain.breaker import AREAS, BreakerPolicy
from shared.domain.errors import NotFoundError
from shared.domain.json import JsonObject
from shared.domain.ports import BreakerStore, Telemetry
from shared.domain.telemetry import NoTelemetry


class CircuitBreakers:
    """Thread-safe. Never raises StorageUnavailableError."""

    def __init__(
        self,
        store: BreakerStore,
        policy: BreakerPolicy,
        now: Callable[[], datetime],
        telemetry: Telemetry | None = None,
    ) -> None:
        self._store = ObservedBreakers(FallbackBreakers(store, now), telemetry or NoTelemetry())
        self._policy, self._now = policy, now
        self._made: dict[str, SharedCircuitBreaker] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> SharedCircuitBreaker:
        """The breaker of that name."""
        found = self._made.get(name)
        if found is not None:
            return found
        made = SharedCircuitBreaker(BreakerCell(name, self._store, self._policy, self._now))
        with self._lock:
            return self._made.setdefault(name, made)

    def all(self) -> dict[str, SharedCircuitBreaker]:
        """Those that any worker has ever written a record of, and those in use here; by name."""
        names = {row.record.name for row in self._store.all()} | set(self._made)
        return {name: self.get(name) for name in sorted(names)}

    def statuses(self) -> dict[str, BreakerStatus]:
        """How each stands, by name: those that guard Fabric, used yet or not, and any other that a worker has written
        about."""
        return {name: self.get(name).status() for name in sorted({*AREAS, *self.all()})}

    def items(self) -> list[JsonObject]:
        """The same for machines."""
        return [status.to_json(self._now()) for status in self.statuses().values()]

    def reset(self, name: str) -> JsonObject:
        """Close it for all workers and forget its faults; others notice within `cache_seconds`. How it stands then.
        Raises NotFoundError for a name that is none of `items`."""
        if name not in {*AREAS, *self.all()}:
            raise NotFoundError(f"there is no circuit breaker '{name[:80]}'")
        breaker = self.get(name)
        breaker.close()
        return breaker.status().to_json(self._now())
