"""How long to wait and how often to try: the numbers, as one frozen value that settings.py fills."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """Full-jitter exponential waits: the n-th wait is uniform in [0, min(longest, base * 2**n)] seconds, at least 1."""

    max_attempts: int
    base_seconds: float
    longest_seconds: float


@dataclass(frozen=True)
class EnginePolicy:
    """What bounds the engine. All durations in seconds.

    `step_lease_seconds` must outlast a delivery's usual calls, or a live worker would be taken for a dead one; one
    that has used up most of it sends nothing more, and its late write fails.
    `orphan_grace_seconds` is how long after a deployment was put back the sweeper looks for what a call that was
    still under way may have left: it must outlast the host's functionTimeout, after which no delivery lives.
    """

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


@dataclass(frozen=True)
class HealthPolicy:
    """How old a round of health checks may be that is told again, and from when on what is found is a warning: how
    long a message may lie untouched, how long ago the last sweep and the last poisoned message were. In seconds."""

    cache_seconds: float = 10.0
    queue_age_seconds: float = 300.0
    sweep_late_seconds: float = 900.0
    poison_seconds: float = 3600.0
