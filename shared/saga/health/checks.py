"""The health checks of the app's own state: queues, breakers, the last sweep, poison messages.

They use ports only, so that each runs in a plain test; bootstrap lists them.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Protocol

from shared.domain.breaker import BreakerState
from shared.domain.policy import HealthPolicy
from shared.domain.ports import QueueDepth, Signals
from shared.saga.health.monitor import Finding, Status

ENGINE_FAILURE_SECONDS = 600.0
"""How long a failed call counts if no other call follows: two runs of the sweeper."""


class BreakerView(Protocol):
    """The part of a circuit breaker that a check reads."""

    @property
    def state(self) -> BreakerState:
        """Return the state for all workers, or for this one only."""
        ...

    @property
    def reason(self) -> str:
        """Return the reason of the state."""
        ...

    @property
    def is_shared(self) -> bool:
        """Return True if all workers share the state."""
        ...


def fabric_endpoint(status: int) -> Finding:
    """Rate the status of an answer: 4xx comes from a healthy service, 5xx from a failing one."""
    is_failing = status >= 500
    output = f"Fabric answers with HTTP {status}" if is_failing else ""
    return Finding(Status.WARN if is_failing else Status.PASS, "httpStatus", observed=status, output=output)


def queues(depths: Iterable[QueueDepth], now: datetime, policy: HealthPolicy) -> list[Finding]:
    """Report the number of messages in each queue, and the age of the oldest visible one.

    The age of a delayed message counts from when it was sent, so the age is an upper bound.
    """
    found: list[Finding] = []
    for depth in depths:
        is_poison = depth.name.endswith("-poison")
        status = Status.WARN if is_poison and depth.messages else Status.PASS
        output = "messages whose every delivery failed and that are not recorded yet" if status != "pass" else ""
        found.append(Finding(status, "depth", depth.name, depth.messages, "messages", output))
        age = max(0.0, (now - depth.oldest_at).total_seconds()) if depth.oldest_at is not None else 0.0
        is_old = age > policy.queue_age_seconds and not is_poison
        output = f"no worker has taken it for more than {policy.queue_age_seconds:g} s" if is_old else ""
        status = Status.WARN if is_old else Status.PASS
        found.append(Finding(status, "oldestAge", depth.name, round(age, 1), "s", output))
    return found


def sign_in(check: Callable[[], object] | None) -> Finding:
    """Report how callers of the HTTP API prove themselves; `check` raises if tokens cannot be verified now."""
    if check is None:
        return Finding(Status.PASS, "callers", observed="function keys")
    check()
    return Finding(Status.PASS, "callers", observed="signed in")


class EngineCalls:
    """Remembers how this process's last changing call to the durable engine ended. Thread-safe.

    Reads would not be enough: an engine whose store is full still answers them.
    """

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._failed: tuple[float, str] | None = None

    def ended(self, failure: str) -> None:
        """Record how a call ended; an empty text is a success."""
        self._failed = (self._ticks(), failure) if failure else None

    def finding(self) -> Finding:
        """Return a warning if the last call failed, until the sweeper must have tried again."""
        failed = self._failed
        if failed is None or self._ticks() - failed[0] > ENGINE_FAILURE_SECONDS:
            return Finding()
        return Finding(Status.WARN, output=f"{failed[1]}; the call is tried again")


def breakers(standing: Mapping[str, BreakerView], *, is_on: bool) -> list[Finding]:
    """Report the state of each breaker. An open one is a warning: the app delays its calls and recovers by itself."""
    if not is_on:
        return [Finding(observed="off", output="no circuit breaker is in use")]
    found: list[Finding] = []
    for name, breaker in standing.items():
        is_closed = breaker.state is BreakerState.CLOSED
        texts = [] if is_closed else [breaker.reason or "no reason recorded"]
        texts += [] if breaker.is_shared else ["its storage fails: this worker uses its own records"]
        status = Status.PASS if is_closed and breaker.is_shared else Status.WARN
        found.append(Finding(status, "state", name, breaker.state.value, output="; ".join(texts)))
    return found


class RateView(Protocol):
    """The part of a rate that a check reads."""

    @property
    def bucket(self) -> str:
        """Return the name of the quota."""
        ...

    @property
    def limit(self) -> int:
        """Return the calls a minute at present."""
        ...

    @property
    def per_minute(self) -> int:
        """Return the calls a minute by the settings."""
        ...

    @property
    def used(self) -> int:
        """Return how many calls of the last minute count, with those that workers may still make of their shares."""
        ...

    @property
    def blocked_seconds(self) -> float:
        """Return the seconds until calls may be made again."""
        ...

    @property
    def is_shared(self) -> bool:
        """Return True if all workers share the rate."""
        ...


def rates(standing: Iterable[RateView] | None) -> list[Finding]:
    """Report the rate of each quota. One that Fabric's answers have halved is a warning: deployments take longer."""
    if standing is None:
        return [Finding(observed="off", output="RATE_PER_MINUTE is 0: the app does not limit its calls")]
    found: list[Finding] = []
    for rate in standing:
        texts: list[str] = []
        if rate.blocked_seconds > 0:
            texts.append(f"Fabric answered 429: no call for {rate.blocked_seconds:.0f} s")
        if rate.limit <= rate.per_minute / 2:
            texts.append(f"429s lowered it from {rate.per_minute}; it grows by a tenth of that in each quiet minute")
        if not rate.is_shared:
            texts.append("its storage fails: this worker keeps to its own part")
        status = Status.WARN if texts else Status.PASS
        found.append(Finding(status, "limit", rate.bucket, rate.limit, "calls/min", "; ".join(texts)))
        found.append(Finding(Status.PASS, "used", rate.bucket, rate.used, "calls/min"))
    return found


def sweep(signals: Signals, now: datetime, up_since: datetime, policy: HealthPolicy) -> list[Finding]:
    """Report the last sweep, and what it left: stuck and held deployments, orphans, failed tasks."""
    last = signals.last_sweep()
    seconds = (now - (last.at if last is not None else up_since)).total_seconds()
    is_late = seconds > policy.sweep_late_seconds
    late = f"no sweep for more than {policy.sweep_late_seconds:g} s" if is_late else ""
    age = Finding(Status.WARN if is_late else Status.PASS, "age", observed=round(seconds, 1), unit="s", output=late)
    if last is None:
        return [Finding(age.status, "age", output=late or "no sweep yet")]
    found = [age, Finding(measurement="duration", observed=round(last.seconds, 3), unit="s")]
    for name, text in _LEFT.items():
        count = last.counts.get(name, 0)
        status = Status.WARN if count and name != "held" else Status.PASS
        named = _named(last.names.get(name, []), count)
        found.append(Finding(status, name, observed=count, unit="deployments", output=named + text if count else ""))
    return found


def drift(signals: Signals, every_seconds: float) -> list[Finding]:
    """Report the last round of the drift watch: a finding for each target that drifted."""
    if not every_seconds:
        return [Finding(measurement="watch", output="off (DRIFT_WATCH_SECONDS)")]
    last = signals.last_drift()
    if last is None:
        return [Finding(measurement="watch", output="no round yet")]
    found = [Finding(measurement="targets", observed=last.targets, unit="targets planned")]
    if last.unread:
        text = "cannot be planned: the app's log says why"
        found.append(Finding(measurement="unread", observed=last.unread, unit="targets", output=text))
    for each in last.drifted:
        more = f" and {each.count - len(each.items)} more" if each.count > len(each.items) else ""
        text = f"differs from deployment {each.deployment_id}: {', '.join(each.items)}{more}"
        found.append(Finding(Status.WARN, "drifted", each.target, each.count, "steps", text))
    return found


def _named(ids: list[str], count: int) -> str:
    """Name the deployments or resources, as the beginning of a sentence."""
    more = f" and {count - len(ids)} more" if count > len(ids) else ""
    return f"{', '.join(ids)}{more}: " if ids else ""


_LEFT = {
    "stuck": "could not be rolled back: see `python -m shared.cli list --open`; the sweeper tries again",
    "held": "wait for a person, as their manifests ask",
    "orphans_left": "resources that no deployment accounts for, found and not deleted: see the last sweep's log",
    "stalled": "run without a heartbeat: the sweeper wakes them, then starts their orchestrations again",
    "failed": "not processed by the last sweep: see its log",
}


def poison(signals: Signals, now: datetime, policy: HealthPolicy) -> Finding:
    """Report the poison messages that were recorded; a recent one is a warning."""
    seen = signals.poison_signal()
    if seen is None:
        return Finding(measurement="recorded", observed=0, unit="messages")
    is_recent = (now - seen.last_at).total_seconds() < policy.poison_seconds
    output = f"the last one on {seen.queue} at {seen.last_at.isoformat()}: see the app's log" if is_recent else ""
    return Finding(Status.WARN if is_recent else Status.PASS, "recorded", "", seen.count, "messages", output)
