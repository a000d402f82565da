"""The decision after an error: another attempt and when, or none. The journal counts the attempts."""

from dataclasses import dataclass

from shared.domain.errors import (
    FabricMissingError,
    FabricNameReservedError,
    FabricNotFoundError,
    FabricTransientError,
    SagaError,
)
from shared.domain.policy import RetryPolicy
from shared.domain.polling import name_wait_seconds

_MISSING_SECONDS = (2.0, 4.0, 8.0)
"""The waits between the looks for something that only a directory which lags behind could still show."""


@dataclass(frozen=True)
class TryAgain:
    """Deliver the step again after `seconds`. `counts` is True if this used up an attempt."""

    seconds: float
    counts: bool


@dataclass(frozen=True)
class GiveUp:
    """Fail the step."""


def decide_retry(
    error: SagaError, attempt: int, deliveries: int, policy: RetryPolicy, fraction: float
) -> TryAgain | GiveUp:
    """Return what to do after `error`, before which `attempt` attempts have failed.

    `fraction` (0 to 1) is the jitter. A Retry-After is obeyed exactly: the next attempt is never sooner, and no jitter
    is added.
    """
    if isinstance(error, FabricNameReservedError):
        return TryAgain(name_wait_seconds(deliveries), counts=False)
    if isinstance(error, FabricMissingError):
        is_last = attempt >= len(_MISSING_SECONDS) or attempt + 1 >= policy.max_attempts
        return GiveUp() if is_last else TryAgain(_MISSING_SECONDS[attempt], counts=True)
    if not isinstance(error, FabricTransientError):
        return GiveUp()
    if not error.counts_as_attempt:
        wait = error.retry_after_seconds
        return TryAgain(backoff(policy, attempt, fraction) if wait is None else wait, counts=False)
    if attempt + 1 >= policy.max_attempts:
        return GiveUp()
    wait = error.retry_after_seconds
    return TryAgain(backoff(policy, attempt, fraction) if wait is None else wait, counts=True)


def perhaps_late(error: SagaError) -> SagaError:
    """Return the error as the retry policy sees it. A missing resource may have been created a moment ago: a read right
    after a create may not find it yet (terraform-provider-fabric #497, on warehouses)."""
    if not isinstance(error, FabricNotFoundError) or isinstance(error, FabricMissingError):
        return error
    return FabricTransientError(error.detail, call=error.call, retry_after_seconds=error.retry_after_seconds)


def backoff(policy: RetryPolicy, attempt: int, fraction: float) -> float:
    """Return the seconds to wait: full jitter, at least 1."""
    ceiling = min(policy.max_seconds, policy.base_seconds * 2 ** min(attempt, 20))
    return max(1.0, ceiling * fraction)
