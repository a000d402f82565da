"""For operators, monitors and programs of one's own: the circuit breakers of this process, and Fabric's retry.

A breaker is pybreaker's: `get_circuit_breaker("items").call(function)` calls through it, `.open()` and `.close()`
change it for all workers, `.status()` tells how it stands. The names of those that guard Fabric are
`shared.domain.fabric_paths.AREAS`. Importing this module imports pybreaker and tenacity, and reads nothing.
"""

import functools
import inspect
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, overload

import tenacity

from shared import bootstrap, settings
from shared.adapters.breaker.circuit_breakers import SharedCircuitBreaker
from shared.adapters.fabric.foreign_errors import fabric_error_of
from shared.domain.errors import FabricAmbiguousError, FabricError
from shared.domain.policy import RetryPolicy
from shared.domain.retry import GiveUp, decide_retry

log = logging.getLogger(__name__)


def get_circuit_breaker(name: str) -> SharedCircuitBreaker:
    """The breaker of that name, shared by all workers; made where there is none. Raises settings.SettingsError, and
    LimitError for a name that is no table key. Storage that fails raises nothing: the breaker is local then."""
    return bootstrap.app().breakers.get(name)


def get_all_circuit_breakers() -> dict[str, SharedCircuitBreaker]:
    """By name: those that any worker has written about, and those used here. Raises settings.SettingsError."""
    return bootstrap.app().breakers.all()


def reset_circuit_breaker(name: str) -> None:
    """Close it for all workers and forget its faults; the others notice within BREAKER_CACHE_SECONDS. Raises as
    `get_circuit_breaker`."""
    bootstrap.app().breakers.get(name).close()


@overload
def fabric_retry[**P, T](function: Callable[P, T], /) -> Callable[P, T]: ...


@overload
def fabric_retry[**P, T](
    *,
    max_attempts: int = ...,
    min_wait: float = ...,
    max_wait: float = ...,
    idempotent: bool = ...,
    sleep: Callable[[float], None] = ...,
) -> Callable[[Callable[P, T]], Callable[P, T]]: ...


def fabric_retry(
    function: Callable[..., Any] | None = None,
    /,
    *,
    max_attempts: int = 5,
    min_wait: float = 1.0,
    max_wait: float = 60.0,
    idempotent: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Any:
    """Call a function of your own again where what it raised may pass by itself: `@fabric_retry`, or with arguments.

    By the engine's own table, for this app's errors and for those of an HTTP library: requests, httpx, azure-core.
    Whatever else it raises, and what is final, is raised at once; after `max_attempts` calls the last error is. Waits
    are uniform between `min_wait` and min(`max_wait`, 2^n) seconds. A Retry-After is obeyed to the second; one beyond
    `max_wait` is raised at once, for to come sooner than asked is no use.

    A lost answer (FabricAmbiguousError; a timeout, a broken connection or a 5xx of a call that is no GET) may hide an
    effect: the call is repeated only where you say that the function is `idempotent`, or looks before it acts.
    With FEATURE_USE_RETRY_LOGIC off the function is called once. Not for coroutines (TypeError).
    """
    if max_attempts < 1 or not 0 <= min_wait <= max_wait:
        raise ValueError("max_attempts must be at least 1, and min_wait between 0 and max_wait")
    waits = _Waits(min_wait, max_wait, idempotent)

    def decorate(inner: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(inner):
            raise TypeError("fabric_retry is for plain functions, and this one is a coroutine's")

        @functools.wraps(inner)
        def call(*args: Any, **kwargs: Any) -> Any:
            attempts = max_attempts if settings.load().flags.retry_logic else 1
            retrying = tenacity.Retrying(
                retry=tenacity.retry_if_exception(lambda error: waits.after(error, 0) is not None),
                stop=tenacity.stop_after_attempt(attempts),
                wait=lambda state: waits.after(_raised(state), state.attempt_number - 1) or 0.0,
                before_sleep=_told,
                sleep=sleep,
                reraise=True,
            )
            return retrying(inner, *args, **kwargs)

        return call

    return decorate if function is None else decorate(function)


@dataclass(frozen=True)
class _Waits:
    """From an error to the seconds until the next call; None where there is none."""

    minimum: float
    maximum: float
    is_idempotent: bool

    def after(self, raised: BaseException, attempt: int) -> float | None:
        error = fabric_error_of(raised, datetime.now(UTC))
        if error is None or (isinstance(error, FabricAmbiguousError) and not self.is_idempotent):
            return None
        # One try more than this one is always left to it: how many there are is counted by the caller.
        policy = RetryPolicy(max_attempts=attempt + 2, base_seconds=1.0, max_seconds=self.maximum)
        decision = decide_retry(error, attempt, attempt, policy, random.random())
        if isinstance(decision, GiveUp):
            return None
        request = error.retry_after_seconds
        if request is not None:
            return request if request <= self.maximum else None
        return min(self.maximum, max(self.minimum, decision.seconds))


def _raised(state: tenacity.RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome is not None else None
    assert error is not None  # noqa: S101 - tenacity asks for a wait only after an exception
    return error


def _told(state: tenacity.RetryCallState) -> None:
    error, seconds = _raised(state), state.next_action.sleep if state.next_action is not None else 0.0
    # Of another library's error only the kind: its text may quote the request, and that a token.
    text = str(error) if isinstance(error, FabricError) else type(error).__name__
    log.warning("%s: again in %.1f s, after try %d", text, seconds, state.attempt_number)
