"""Health: one round for a thousand callers, within its time budget whatever a check does, coarse for anybody."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.domain.telemetry import Event, NoTelemetry, Properties
from shared.saga.health import monitor as health
from shared.saga.health.monitor import Check, Finding, Monitor, Status
from tests.fakes import START, FakeClock
from tests.waiting import eventually


def passing_check() -> str:
    """Run a check that passes."""
    return "sim.token"


def failing_check() -> None:
    """Fail with a text that only an operator may see."""
    raise RuntimeError("no answer of contoso.table.core.windows.net")


class Watched(NoTelemetry):
    """Telemetry that records the events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def event(self, name: str, properties: Properties | None = None) -> None:
        """Record the event."""
        self.events.append((name, dict(properties or {})))


class MonitorFixture:
    """A monitor with its own clock, and the events that it emitted."""

    def __init__(self, checks: dict[str, Check], cache_seconds: float = 10.0) -> None:
        self.seconds = 0.0
        self.telemetry = Watched()
        self.monitor = Monitor(
            checks,
            cache_seconds=cache_seconds,
            now=FakeClock().now,
            telemetry=self.telemetry,
            ticks=lambda: self.seconds,
        )

    def status(self) -> Status:
        """Return the status after the last round became stale."""
        self.seconds += 10.0
        return self.monitor.report().status


def test_health_passes_when_all_checks_do() -> None:
    """Anybody gets each status, and operators its time and measurement too; what a check returns stays hidden."""
    report = MonitorFixture({"storage": passing_check, "fabric_identity": passing_check}).monitor.report()
    assert report.status is Status.PASS
    words = {"storage": [{"status": "pass"}], "fabric_identity": [{"status": "pass"}]}
    assert report.coarse() == {"status": "pass", "checks": words}
    details = report.details()
    assert set(details["checks"]) == {"storage:responseTime", "fabric_identity:responseTime"}
    entry = details["checks"]["storage:responseTime"][0]
    assert (entry["status"], entry["observedUnit"], entry["time"]) == ("pass", "s", START.isoformat())
    assert "sim.token" not in json.dumps(details)


def test_health_without_checks_passes() -> None:
    assert MonitorFixture({}).monitor.report().coarse() == {"status": "pass", "checks": {}}


@pytest.mark.parametrize("name", ["storage", "fabric_identity", "fabric_endpoint"])
def test_health_fails_with_an_essential_check(name: str) -> None:
    """Without it no deployment can be finished."""
    report = MonitorFixture({name: failing_check, "poison": passing_check}).monitor.report()
    assert report.status is Status.FAIL
    assert report.coarse()["checks"] == {name: [{"status": "fail"}], "poison": [{"status": "pass"}]}


@pytest.mark.parametrize("name", ["key_vault", "queues", "breakers", "sweep", "poison", "of a later version"])
def test_health_warns_of_all_other_checks(name: str) -> None:
    """The vault too: the check that misses a secret reports the effect on the app."""
    report = MonitorFixture({name: failing_check, "storage": passing_check}).monitor.report()
    assert report.status is Status.WARN
    assert report.coarse()["checks"][name] == [{"status": "warn"}]


def test_health_error_texts_are_for_operators_only() -> None:
    """The details contain the cause; the coarse answer contains neither text, number nor address."""
    report = MonitorFixture({"storage": failing_check}).monitor.report()
    assert "contoso" in json.dumps(report.details())
    assert report.coarse() == {"status": "fail", "checks": {"storage": [{"status": "fail"}]}}


def test_health_findings_are_grouped_by_measurement_and_component() -> None:
    """As in the draft: a list for each check:measurement with an entry for each component; the worst status counts."""
    found = [
        Finding(Status.PASS, "depth", "deployments", 3, "messages"),
        Finding(Status.WARN, "depth", "deployments-poison", 1, "messages", "look"),
        Finding(observed="free"),
    ]
    report = MonitorFixture({"queues": lambda: found}).monitor.report()
    assert report.coarse() == {"status": "warn", "checks": {"queues": [{"status": "warn"}]}}
    assert report.details()["checks"] == {
        "queues:depth": [
            {
                "componentId": "deployments",
                "status": "pass",
                "observedValue": 3,
                "observedUnit": "messages",
                "time": START.isoformat(),
            },
            {
                "componentId": "deployments-poison",
                "status": "warn",
                "observedValue": 1,
                "observedUnit": "messages",
                "time": START.isoformat(),
                "output": "look",
            },
        ],
        "queues": [{"status": "pass", "observedValue": "free", "time": START.isoformat()}],
    }


def test_health_of_a_thousand_concurrent_callers_costs_one_round() -> None:
    """All call before the first round ends and get its result; afterwards it is reused until it is stale."""
    rounds, gate, asking = list[int](), threading.Event(), threading.Barrier(1_001)

    def check() -> None:
        rounds.append(1)
        gate.wait(30)

    request = MonitorFixture({"storage": check})

    def ask() -> Status:
        asking.wait(60)
        return request.monitor.report().status

    with ThreadPoolExecutor(1_000) as pool:
        answers = [pool.submit(ask) for _ in range(1_000)]
        asking.wait(60)
        gate.set()
        assert {a.result() for a in answers} == {Status.PASS}
    assert len(rounds) == 1
    request.seconds = 9.9
    request.monitor.report()
    assert len(rounds) == 1
    request.seconds = 10.0
    request.monitor.report()
    assert len(rounds) == 2


@pytest.mark.parametrize("order", [("storage", "fast"), ("fast", "storage")])
def test_health_hanging_check_fails_within_the_budget_and_is_not_started_twice(
    monkeypatch: pytest.MonkeyPatch, order: tuple[str, ...]
) -> None:
    """It does not make other checks fail; it is reported in each round while it hangs, and passes when it ends."""
    monkeypatch.setattr(health, "BUDGET_SECONDS", 0.3)
    release, started = threading.Event(), list[int]()

    def hanging() -> None:
        started.append(1)
        release.wait(30)

    checks: dict[str, Callable[[], object]] = {"storage": hanging, "fast": passing_check}
    request = MonitorFixture({name: checks[name] for name in order})
    try:
        for _ in range(2):
            assert request.status() is Status.FAIL
            words = request.monitor.report().coarse()["checks"]
            assert words == {"storage": [{"status": "fail"}], "fast": [{"status": "pass"}]}
        assert len(started) == 1
    finally:
        release.set()
    eventually(lambda: request.status() is Status.PASS)


def test_health_change_is_emitted_once() -> None:
    """From healthy to failing and back: one event each, with the checks that caused it."""
    results: list[Finding] = [Finding(s) for s in (Status.PASS, Status.WARN, Status.WARN, Status.FAIL, Status.PASS)]
    request = MonitorFixture({"breakers": lambda: results.pop(0)})
    assert [request.status().value for _ in range(5)] == ["pass", "warn", "warn", "fail", "pass"]
    assert request.telemetry.events == [
        (Event.HEALTH_CHANGED, {"before": "pass", "after": "warn", "checks": "breakers"}),
        (Event.HEALTH_CHANGED, {"before": "warn", "after": "fail", "checks": "breakers"}),
        (Event.HEALTH_CHANGED, {"before": "fail", "after": "pass", "checks": ""}),
    ]
