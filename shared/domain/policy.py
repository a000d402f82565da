"""How long to wait and how often to try: the numbers, as one frozen value that settings.py fills."""

from dataclasses import dataclass, replace
from typing import Self

from shared.domain.flags import FeatureFlags


@dataclass(frozen=True)
class RetryPolicy:
    """Full-jitter exponential waits: the n-th wait is uniform in [0, min(longest, base * 2**n)] seconds, at least 1."""

    max_attempts: int
    base_seconds: float
    longest_seconds: float

    def once(self) -> Self:
        """One try and no other. Waiting out a throttled call or a reserved name is no try, and goes on."""
        return replace(self, max_attempts=1)


@dataclass(frozen=True)
class EnginePolicy:
    """What bounds the engine. All durations in seconds.

    `step_lease_seconds` must outlast a delivery's usual calls, or a live worker would be taken for a dead one; one
    that has used up most of it sends nothing more, and its late write fails.
    `orphan_grace_seconds` is how long after a deployment was put back the sweeper looks for what a call that was
    still under way may have left: it must outlast the host's functionTimeout, after which no delivery lives.
    With `rollback` False a deployment that fails or is cancelled ends `failed`, and nothing of it is undone until a
    person asks; what its manifest asks for by name (keepFor, expiresAfter) is done all the same.
    """

    rollback: bool = True

    forward: RetryPolicy = RetryPolicy(max_attempts=8, base_seconds=2.0, longest_seconds=60.0)
    backward: RetryPolicy = RetryPolicy(max_attempts=10, base_seconds=2.0, longest_seconds=300.0)
    step_lease_seconds: float = 90.0
    compensation_timeout_seconds: float = 3600.0
    settle_seconds: float = 10.0
    watchdog_seconds: float = 30.0
    target_lease_seconds: float = 900.0
    target_retry_seconds: float = 3.0
    restart_grace_seconds: float = 60.0
    orphan_grace_seconds: float = 900.0
    retention_seconds: float = 90 * 86400.0

    def under(self, flags: FeatureFlags) -> Self:
        """The policy that the feature flags leave: the one place where they reach the engine."""
        policy = replace(self, rollback=flags.rollback)
        if flags.retry_logic:
            return policy
        return replace(policy, forward=self.forward.once(), backward=self.backward.once())
