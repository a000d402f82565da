"""The durations and the numbers of attempts, as frozen values that settings.py fills."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from shared.domain.flags import FeatureFlags


@dataclass(frozen=True)
class RetryPolicy:
    """Full-jitter exponential waits: the n-th wait is uniform in [0, min(longest, base * 2**n)] seconds, at least 1."""

    max_attempts: int
    base_seconds: float
    max_seconds: float

    def once(self) -> Self:
        """Return a policy of one attempt. It still waits for throttled calls and reserved names, which do not count."""
        return replace(self, max_attempts=1)


HEARTBEATS_PER_LEASE = 3
"""Signs of life within one lease: a holder that lives may miss one, and no other delivery takes its step."""


@dataclass(frozen=True)
class EnginePolicy:
    """What bounds the engine. All durations in seconds.

    `step_lease_seconds` is how long a worker may give no sign of life before another takes its step. A worker gives
    one a few times within it, so it need not outlast a call to Fabric.
    `late_call_seconds` is how long a call may take to have its effect after its sender last proved that it held the
    step: what was left half done is not compensated before.
    `orphan_grace_seconds` is how long after a deployment was put back the sweeper looks for what a call that was
    still under way may have left: it must outlast the host's functionTimeout, after which no delivery lives.
    `script_lease_seconds` is how long a script may give no sign of life before it is taken for dead and put back.
    With `rollback` False a deployment that fails or is cancelled ends `failed`, and nothing of it is undone until a
    person asks; what its manifest asks for by name (keepFor, expiresAfter) is done all the same.
    """

    rollback: bool = True

    forward: RetryPolicy = RetryPolicy(max_attempts=8, base_seconds=2.0, max_seconds=60.0)
    backward: RetryPolicy = RetryPolicy(max_attempts=10, base_seconds=2.0, max_seconds=300.0)
    step_lease_seconds: float = 15.0
    compensation_timeout_seconds: float = 3600.0
    late_call_seconds: float = 20.0
    watchdog_seconds: float = 20.0
    target_lease_seconds: float = 900.0
    target_retry_seconds: float = 3.0
    restart_grace_seconds: float = 60.0
    orphan_grace_seconds: float = 900.0
    retention_seconds: float = 90 * 86400.0
    script_lease_seconds: float = 120.0

    def late_call_until(self, lease_end: datetime) -> datetime:
        """Return until when a call of a holder that died or was held up may still have its effect, from when its lease
        ended. It sent none after its first missed sign of life without renewing the lease."""
        unproven = self.step_lease_seconds * (1 - 1 / HEARTBEATS_PER_LEASE)
        return lease_end + timedelta(seconds=self.late_call_seconds - unproven)

    def under(self, flags: FeatureFlags) -> Self:
        """The policy that the feature flags leave: the one place where they reach the engine."""
        policy = replace(self, rollback=flags.rollback)
        if flags.retry_logic:
            return policy
        return replace(policy, forward=self.forward.once(), backward=self.backward.once())


@dataclass(frozen=True)
class HealthPolicy:
    """How old a round of health checks may be that is told again, and from when on what is found is a warning: how
    long a message may lie untouched, how long ago the last sweep and the last poisoned message were. In seconds."""

    cache_seconds: float = 10.0
    queue_age_seconds: float = 300.0
    sweep_late_seconds: float = 900.0
    poison_seconds: float = 3600.0
