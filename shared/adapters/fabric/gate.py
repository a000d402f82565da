"""The gate of every call to Fabric: a token from the rate limiter's bucket, then the circuit breaker of the area.

The token comes first, because a probe without a token would count as an answer that Fabric did not give. If the breaker
rejects the call, the token is returned unused. The gate never waits; a rejected call gets the time to come back.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from shared.adapters.breaker.circuit_breakers import BreakerOpenError, CircuitBreakers
from shared.adapters.fabric.errors import retry_after
from shared.adapters.fabric.rate_limiter import RateLimiter
from shared.domain.errors import FabricTransientError
from shared.domain.fabric_paths import area

Answer = tuple[int, dict[str, str], bytes]

_UNNAMED_SECONDS = 30.0
"""The delay after a 429 without Retry-After: half a window of Fabric's quota, because its start is unknown."""


class FabricGate:
    """Implements the port `Gate`. Thread-safe. Either part may be None."""

    def __init__(
        self, breakers: CircuitBreakers | None, limiter: RateLimiter | None, now: Callable[[], datetime]
    ) -> None:
        self._breakers, self._limiter, self._now = breakers, limiter, now

    def through(self, method: str, path: str, exchange: Callable[[], Answer]) -> Answer:
        """Return the answer of `exchange`, called at most once. Raises what it raises. If the call is rejected, raises
        FabricTransientError with the time to come back, which does not count as an attempt."""
        if self._limiter is None:
            return self._guarded(method, path, exchange)
        grant = self._limiter.take(method, path)
        called = False

        def call() -> Answer:
            nonlocal called
            called = True
            return exchange()

        try:
            status, headers, body = self._guarded(method, path, call)
            if status == 429:
                grant.throttled(self._requested_delay(headers))
            return status, headers, body
        finally:
            if called:
                grant.ended()
            else:
                grant.unused()

    def _guarded(self, method: str, path: str, exchange: Callable[[], Answer]) -> Answer:
        if self._breakers is None:
            return exchange()
        try:
            return self._breakers.get(area(path)).call(exchange)
        except BreakerOpenError as error:
            raise FabricTransientError(
                str(error),
                call=f"{method} {path}",
                retry_after_seconds=error.retry_after_seconds,
                counts_as_attempt=False,
            ) from None

    def _requested_delay(self, headers: Mapping[str, str]) -> float:
        seconds = retry_after(headers, self._now())
        return _UNNAMED_SECONDS if seconds is None else seconds
