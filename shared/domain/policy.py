"""The durations and the numbers of attempts, as frozen values that settings.py fills."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from shared.domain.access import KEYS, AccessPolicy
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
"""Heartbeats within one lease. A running holder may miss one without losing its step to another delivery."""


@dataclass(frozen=True)
class EnginePolicy:
    """The durations and attempts of the engine. All durations are in seconds.

    `step_lease_seconds` is the time without a heartbeat after which another worker takes over a step. A worker sends
    several heartbeats within it, so that it need not outlast a call to Fabric.
    `late_call_seconds` is the time in which a call may still take effect after its sender last proved its claim. An
    interrupted step is not compensated before that.
    `orphan_grace_seconds` is the time after a rollback in which the sweeper looks for what a late call left. It must
    outlast the host's functionTimeout, after which no delivery runs.
    `watchdog_seconds` is the time between two rounds of the watchdog. While all steps wait for a person, or for a later
    time that Fabric named, rounds are less frequent, but at most `watchdog_max_seconds` apart. Rounds also renew
    the lease of the target, `target_lease_seconds`, which must last longer than two rounds at that distance.
    `target_retry_seconds` is when a waiting deployment asks for its target if no event wakes it; the waits grow with
    its age to `target_retry_max_seconds`.
    `stalled_seconds` is the time without a heartbeat after which the sweeper wakes a running orchestration.
    `stuck_retry_max_seconds` is the longest time between two tries of a stuck deployment.
    `script_lease_seconds` is the time without a heartbeat after which a script is taken for dead and rolled back.
    `content_memory_mib` is how much content of items the deliveries of one process have in memory at a time, in MiB.
    `drift_watch_seconds` is the time between two rounds of the drift watch (0: no watch).
    With `rollback` False, a deployment that fails or is cancelled ends `failed` and is not compensated until a person
    asks for it; what its manifest asks for by name (keepFor, expiresAfter) is still done.
    """

    rollback: bool = True
    access: AccessPolicy = KEYS

    forward: RetryPolicy = RetryPolicy(max_attempts=8, base_seconds=2.0, max_seconds=60.0)
    backward: RetryPolicy = RetryPolicy(max_attempts=10, base_seconds=2.0, max_seconds=300.0)
    step_lease_seconds: float = 15.0
    compensation_timeout_seconds: float = 3600.0
    late_call_seconds: float = 20.0
    watchdog_seconds: float = 20.0
    target_lease_seconds: float = 900.0
    watchdog_max_seconds: float = 300.0
    target_retry_seconds: float = 3.0
    target_retry_max_seconds: float = 300.0
    stalled_seconds: float = 600.0
    stuck_retry_max_seconds: float = 3600.0
    restart_grace_seconds: float = 60.0
    orphan_grace_seconds: float = 900.0
    retention_seconds: float = 90 * 86400.0
    script_lease_seconds: float = 120.0
    drift_watch_seconds: float = 0.0
    content_memory_mib: int = 128

    @property
    def heartbeat_late_seconds(self) -> float:
        """Return the age of the last heartbeat from which an orchestration counts as stalled: never less than two of
        the longest waits after which a healthy one sends the next."""
        longest = max(self.watchdog_seconds, self.watchdog_max_seconds, self.target_retry_max_seconds)
        return max(self.stalled_seconds, 2 * longest)

    @property
    def renewal_seconds(self) -> float:
        """Return the age that a heartbeat may reach before a round sends another and renews the lease of the target. A
        small part of the longest time between two rounds, so that both stay as safe as if every round renewed them."""
        return min(self.watchdog_max_seconds, self.target_lease_seconds / 3) / 5

    def late_call_until(self, lease_end: datetime) -> datetime:
        """Return until when a call of a dead or delayed holder may still take effect, from the end of its lease.

        After its first missed heartbeat, a holder sends no call without renewing the lease.
        """
        unproven = self.step_lease_seconds * (1 - 1 / HEARTBEATS_PER_LEASE)
        return lease_end + timedelta(seconds=self.late_call_seconds - unproven)

    def under(self, flags: FeatureFlags) -> Self:
        """Return the policy under the feature flags. Nothing else passes the flags to the engine."""
        policy = replace(self, rollback=flags.rollback)
        if flags.retry_logic:
            return policy
        return replace(policy, forward=self.forward.once(), backward=self.backward.once())


@dataclass(frozen=True)
class HealthPolicy:
    """The limits of health, in seconds.

    `cache_seconds` is the maximum age of a round that is reused. The others are the ages from which health warns: of an
    unhandled message, of the last sweep, and of the last poison message (until that age).
    """

    cache_seconds: float = 10.0
    queue_age_seconds: float = 300.0
    sweep_late_seconds: float = 900.0
    poison_seconds: float = 3600.0
