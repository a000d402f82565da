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
from shared.adapters.breaker.circuit_breakers import BreakerOpenError, CircuitBreakers, SharedCircuitBreaker
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
    heading(f"what circuit breaker and rate limit add to a call (median of {rounds} medians of {_CHECKS} calls)")
    breaker = CircuitBreakers(store, BreakerPolicy(), _now).get("items")
    breaker.close()
    _print("breaker closed, record cached", [_median(lambda: breaker.call(_exchange)) for _ in range(rounds)], "us")
    numbers = itertools.count()
    rated = FabricGate(
        None,
        RateLimiter(RatePolicy(180), lambda: datetime.fromtimestamp(next(numbers), UTC)),
        _now,
    )
    taken = [_median(lambda: rated.through("GET", _PATH, _exchange)) for _ in range(rounds)]
    uncached = [_first_call(store) for _ in range(20 * rounds)]
    breaker.open()
    _print("breaker open, record cached", [_median(lambda: _refused(breaker)) for _ in range(rounds)], "us")
    _print("breaker closed, record read", uncached, "ms")
    _print("rate limit, a third of the bucket used", taken, "us")


def _print(label: str, found: list[float], unit: str) -> None:
    row(label, f"{statistics.median(found):.1f} {unit}", spread(found, unit, 1))


def _now() -> datetime:
    return datetime.now(UTC)


def _exchange() -> tuple[int, dict[str, str], bytes]:
    return 200, {}, b""


def _refused(breaker: SharedCircuitBreaker) -> None:
    try:
        breaker.call(_exchange)
    except BreakerOpenError:
        return
    raise AssertionError("an open breaker let a call pass")


def _first_call(store: TableBreakers) -> float:
    """Return the milliseconds of a call for which a new process would read the record."""
    fresh = CircuitBreakers(store, BreakerPolicy(), _now)
    began = time.perf_counter()
    fresh.get("items").call(_exchange)
    return 1e3 * (time.perf_counter() - began)


def _median(call: Callable[[], object]) -> float:
    """Return the median microseconds of a call. Each call is timed alone: the few that read the table are outliers."""
    took: list[int] = []
    for _ in range(_CHECKS):
        began = time.perf_counter_ns()
        call()
        took.append(time.perf_counter_ns() - began)
    return statistics.median(took) / 1e3
