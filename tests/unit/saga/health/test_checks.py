"""The checks of the app's own state: what each finds, and when it is a warning."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from shared.domain.breaker import BreakerState
from shared.domain.policy import HealthPolicy
from shared.domain.ports import QueueDepth, SweepSignal
from shared.saga.health import checks
from shared.saga.health.monitor import Status
from tests.fakes import START, MemorySignals

POLICY = HealthPolicy(queue_age_seconds=300, sweep_late_seconds=900, poison_seconds=3600)


@dataclass(frozen=True)
class Breaker:
    """A breaker in this state."""

    state: BreakerState = BreakerState.CLOSED
    reason: str = ""
    is_shared: bool = True


@dataclass(frozen=True)
class Rate:
    """A rate in this state."""

    bucket: str = "platform"
    limit: int = 475
    per_minute: int = 475
    used: int = 12
    blocked_seconds: float = 0.0
    is_shared: bool = True


def ago(seconds: float) -> QueueDepth:
    """Return a queue whose oldest message has this age."""
    return QueueDepth("deployments", 3, START - timedelta(seconds=seconds))


@pytest.mark.parametrize(("status", "expected"), [(200, "pass"), (401, "pass"), (404, "pass"), (503, "warn")])
def test_checks_fabric_that_answers_is_reachable(status: int, expected: str) -> None:
    """A refusal is an answer; 5xx is a warning, because the breakers handle it."""
    assert checks.fabric_endpoint(status).status == expected


def test_checks_rates_report_limit_and_use() -> None:
    """Limit and use of each quota are reported; a limit that grows again is not a warning."""
    found = checks.rates([Rate(), Rate("deletes", limit=150, per_minute=190)])
    assert [(f.measurement, f.component, f.observed, f.status) for f in found] == [
        ("limit", "platform", 475, "pass"),
        ("used", "platform", 12, "pass"),
        ("limit", "deletes", 150, "pass"),
        ("used", "deletes", 12, "pass"),
    ]


@pytest.mark.parametrize(
    ("rate", "says"),
    [
        (Rate(blocked_seconds=29.6), "no call for 30 s"),
        (Rate(limit=237), "429s lowered it from 475"),
        (Rate(is_shared=False), "its storage fails"),
    ],
)
def test_checks_rate_that_is_blocked_halved_or_alone_is_a_warning(rate: Rate, says: str) -> None:
    limit, used = checks.rates([rate])
    assert (limit.status, used.status) == (Status.WARN, Status.PASS)
    assert says in limit.output


def test_checks_rate_that_is_off_is_named() -> None:
    (found,) = checks.rates(None)
    assert (found.status, found.observed) == (Status.PASS, "off")


def test_checks_queues_warn_of_old_messages_and_of_poison_messages() -> None:
    """Depth and age of each; a queue that works through its messages is healthy, however many they are."""
    seen = [ago(299), QueueDepth("deployment-steps", 5_000, None), QueueDepth("deployments-poison", 0, None)]
    assert {f.status for f in checks.queues(seen, START, POLICY)} == {Status.PASS}
    assert [(f.measurement, f.component, f.observed) for f in checks.queues([ago(7)], START, POLICY)] == [
        ("depth", "deployments", 3),
        ("oldestAge", "deployments", 7.0),
    ]
    assert [f.status for f in checks.queues([ago(301)], START, POLICY)] == [Status.PASS, Status.WARN]
    record_poison_message = QueueDepth("deployment-steps-poison", 1, START)
    assert [f.status for f in checks.queues([record_poison_message], START, POLICY)] == [Status.WARN, Status.PASS]


@pytest.mark.parametrize("state", [BreakerState.OPEN, BreakerState.HALF_OPEN])
def test_checks_breaker_that_is_not_closed_is_a_warning_with_its_reason(state: BreakerState) -> None:
    """An open breaker does not fail the app."""
    found = checks.breakers({"items": Breaker(state, "HTTP 503"), "roles": Breaker()}, is_on=True)
    assert [(f.component, f.observed, f.status) for f in found] == [
        ("items", state.value, Status.WARN),
        ("roles", "closed", Status.PASS),
    ]
    assert found[0].output == "HTTP 503"


def test_checks_breaker_that_is_not_shared_is_a_warning_and_disabled_ones_are_reported() -> None:
    """The storage of the breakers fails, or the breakers are off."""
    assert checks.breakers({"items": Breaker(is_shared=False)}, is_on=True)[0].status is Status.WARN
    assert [(f.observed, f.status) for f in checks.breakers({}, is_on=False)] == [("off", Status.PASS)]


def test_checks_sweep_that_is_late_is_a_warning() -> None:
    """The time counts from the last sweep or, before the first one, from the start of the process."""
    signals = MemorySignals()
    for seconds, expected in ((900, Status.PASS), (901, Status.WARN)):
        now = START + timedelta(seconds=seconds)
        assert checks.sweep(signals, now, START, POLICY)[0].status is expected
    signals.record_sweep(SweepSignal(START + timedelta(seconds=600), 2.0, {}))
    assert checks.sweep(signals, START + timedelta(seconds=1_500), START, POLICY)[0].status is Status.PASS
    assert checks.sweep(signals, START + timedelta(seconds=1_501), START, POLICY)[0].status is Status.WARN


@pytest.mark.parametrize(
    ("name", "expected"),
    [("stuck", "warn"), ("stalled", "warn"), ("orphans_left", "warn"), ("failed", "warn"), ("held", "pass")],
)
def test_checks_sweep_reports_what_it_left(name: str, expected: str) -> None:
    """Stuck deployments, remaining orphans and failed tasks; a held deployment waits as its manifest says."""
    signals, last = MemorySignals(), SweepSignal(START, 2.0, {"seen": 5, name: 7}, {name: ["a", "b", "c", "d", "e"]})
    signals.record_sweep(last)
    found = {f.measurement: f for f in checks.sweep(signals, START, START, POLICY)}
    assert (found[name].status, found[name].observed) == (expected, 7)
    assert found[name].output.startswith("a, b, c, d, e and 2 more: ")
    signals.record_sweep(replace(last, counts={}))
    assert {f.status for f in checks.sweep(signals, START, START, POLICY)} == {Status.PASS}


def test_checks_poison_messages_warn_for_a_while() -> None:
    """The count stays, the warning ends."""
    signals = MemorySignals()
    assert checks.poison(signals, START, POLICY).status is Status.PASS
    signals.record_poison_message("deployments", START)
    found = checks.poison(signals, START + timedelta(seconds=3_599), POLICY)
    assert (found.status, found.observed) == (Status.WARN, 1)
    found = checks.poison(signals, START + timedelta(seconds=3_600), POLICY)
    assert (found.status, found.observed) == (Status.PASS, 1)
