"""Circuit breakers of this process and retries of Fabric calls, for operators, monitors and Python programs.

A breaker is a pybreaker: `get_circuit_breaker("items").call(function)` calls through it, `.open()` and `.close()`
change it for all workers, `.status()` returns its status. `shared.domain.fabric_paths.AREAS` has the names of Fabric's
breakers. Importing this module imports pybreaker and tenacity, and reads nothing.
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
    """Return the breaker of that name, shared by all workers; create it on first use.

    Raises settings.SettingsError, and LimitError for a name that is not a valid table key. An error of storage raises
    nothing: the breaker is then local to this process.
    """
    return bootstrap.app().breakers.get(name)


def get_all_circuit_breakers() -> dict[str, SharedCircuitBreaker]:
    """Return the breakers that any worker has stored or this process uses, by name. Raises settings.SettingsError."""
    return bootstrap.app().breakers.all()


def reset_circuit_breaker(name: str) -> None:
    """Close a breaker for all workers and clear its failures; other workers see it within BREAKER_CACHE_SECONDS.
    Raises like `get_circuit_breaker`."""
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
    """Call a function again after a transient error: use it as `@fabric_retry`, or with arguments.

    The engine's own rules decide, for this app's errors and for those of the HTTP libraries requests, httpx and
    azure-core. Every other error, and a permanent one, is raised at once; after `max_attempts` calls the last error is
    raised. Waits are random between `min_wait` and min(`max_wait`, 2^n) seconds. A Retry-After is obeyed to the second;
    one longer than `max_wait` raises at once, because an earlier retry would be rejected again.

    A lost answer (FabricAmbiguousError; a timeout, a broken connection, or a 5xx of a call other than GET) may hide an
    effect: the call is repeated only if the function is `idempotent`, or looks before it acts. With
    FEATURE_USE_RETRY_LOGIC off the function is called once. Raises TypeError for a coroutine function.
    """
    if max_attempts < 1 or not 0 <= min_wait <= max_wait:
        raise ValueError("max_attempts must be at least 1, and min_wait between 0 and max_wait")
    waits = _Waits(min_wait, max_wait, idempotent)

    def decorate(inner: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(inner):
            raise TypeError("fabric_retry does not support coroutine functions: decorate a plain function")

        @functools.wraps(inner)
        def call(*args: Any, **kwargs: Any) -> Any:
            attempts = max_attempts if settings.load().flags.retry_logic else 1
            retrying = tenacity.Retrying(
                retry=tenacity.retry_if_exception(lambda error: waits.after(error, 0) is not None),
                stop=tenacity.stop_after_attempt(attempts),
                wait=lambda state: waits.after(_raised(state), state.attempt_number - 1) or 0.0,
                before_sleep=_log_retry,
                sleep=sleep,
                reraise=True,
            )
            return retrying(inner, *args, **kwargs)

        return call

    return decorate if function is None else decorate(function)


@dataclass(frozen=True)
class _Waits:
    """Computes the seconds from an error until the next call; None if no call follows."""

    minimum: float
    maximum: float
    is_idempotent: bool

    def after(self, raised: BaseException, attempt: int) -> float | None:
        error = fabric_error_of(raised, datetime.now(UTC))
        if error is None or (isinstance(error, FabricAmbiguousError) and not self.is_idempotent):
            return None
        # The policy always has one more attempt than this one, because tenacity counts the attempts.
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


def _log_retry(state: tenacity.RetryCallState) -> None:
    error, seconds = _raised(state), state.next_action.sleep if state.next_action is not None else 0.0
    # Only the type of another library's error: its text may contain the request, and so a token.
    text = str(error) if isinstance(error, FabricError) else type(error).__name__
    log.warning("%s: retried in %.1f s, after attempt %d", text, seconds, state.attempt_number)
