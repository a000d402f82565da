"""Measure what the circuit breaker and the rate limit add to a call, with the breaker's record in a real table."""

import itertools
import shutil
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from local import azurite
from local.bench.measure import heading, row, spread
from local.paths import HOME
from shared.adapters.breaker.circuit_breakers import BreakerOpenError, CircuitBreakers
from shared.adapters.fabric.gate import FabricGate
from shared.adapters.fabric.rate_limiter import RateLimiter
from shared.adapters.storage.breaker_table import TableBreakers
from shared.adapters.storage.clients import StorageClients
from shared.domain.breaker import BreakerPolicy
from shared.domain.rate import RatePolicy

_CHECKS = 20_000
_PATH = "/workspaces/w/items/i"


def run(rounds: int) -> None:
    """Measure on a separate Azurite, and print."""
    folder = HOME / "bench-breaker"
    running = azurite.start(HOME, folder)
    try:
        _measure(TableBreakers(StorageClients(running.connection_string)), rounds)
    finally:
        azurite.stop(running.pid)
        shutil.rmtree(folder, ignore_errors=True)


def _measure(store: TableBreakers, rounds: int) -> None:
    def now() -> datetime:
        return datetime.now(UTC)

    def exchange() -> tuple[int, dict[str, str], bytes]:
        return 200, {}, b""

    def refused() -> None:
        try:
            breaker.call(exchange)
        except BreakerOpenError:
            return
        raise AssertionError("an open breaker let a call pass")

    breakers = CircuitBreakers(store, BreakerPolicy(), now)
    breaker = breakers.get("items")
    breaker.close()
    numbers = itertools.count()
    rated = FabricGate(None, RateLimiter(RatePolicy(180), lambda: datetime.fromtimestamp(next(numbers), UTC)), now)
    cached = [_median(lambda: breaker.call(exchange)) for _ in range(rounds)]
    taken = [_median(lambda: rated.through("GET", _PATH, exchange)) for _ in range(rounds)]
    uncached: list[float] = []
    for _ in range(20 * rounds):
        fresh = CircuitBreakers(store, BreakerPolicy(), now)
        began = time.perf_counter()
        fresh.get("items").call(exchange)
        uncached.append(1e3 * (time.perf_counter() - began))
    breaker.open()
    opened = [_median(refused) for _ in range(rounds)]
    heading(f"what circuit breaker and rate limit add to a call (median of {rounds} medians of {_CHECKS} calls)")
    row("breaker closed, record cached", f"{statistics.median(cached):.1f} us", spread(cached, "us", 1))
    row("breaker open, record cached", f"{statistics.median(opened):.1f} us", spread(opened, "us", 1))
    row("breaker closed, record read", f"{statistics.median(uncached):.1f} ms", spread(uncached, "ms", 1))
    row("rate limit, a third of the bucket used", f"{statistics.median(taken):.1f} us", spread(taken, "us", 1))


def _median(call: Callable[[], object]) -> float:
    """Return the median microseconds of a call. Each call is timed alone: the few that read the table are outliers."""
    took: list[int] = []
    for _ in range(_CHECKS):
        began = time.perf_counter_ns()
        call()
        took.append(time.perf_counter_ns() - began)
    return statistics.median(took) / 1e3
