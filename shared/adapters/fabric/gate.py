"""What every call to Fabric passes: a token of the rate's bucket, then the circuit breaker of its area.

The token is first: a breaker's probe that found no token would be an answer that nobody gave. Where the breaker
refuses, the token goes back unused. Neither ever waits: who may not call is told when to come back.
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
"""A 429 without Retry-After: half a window of Fabric's quota, whose beginning is not known."""


class FabricGate:
    """Thread-safe. Either part may be absent."""

    def __init__(
        self, breakers: CircuitBreakers | None, limiter: RateLimiter | None, now: Callable[[], datetime]
    ) -> None:
        self._breakers, self._limiter, self._now = breakers, limiter, now

    def through(self, method: str, path: str, exchange: Callable[[], Answer]) -> Answer:
        """The answer of `exchange`, called at most once. Raises what it raises, or FabricTransientError that counts as
        no attempt, with the time to come back, where it was not called."""
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
