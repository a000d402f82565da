"""Health: one round for a thousand who ask, within its budget whatever a check does, coarse for anybody."""

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


def nothing_wrong() -> str:
    """A check that is content."""
    return "sim.token"


def secret() -> None:
    """A check that fails with what nobody but an operator may see."""
    raise RuntimeError("no answer of contoso.table.core.windows.net")


class Watched(NoTelemetry):
    """Remembers the events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def event(self, name: str, properties: Properties | None = None) -> None:
        """Note it."""
        self.events.append((name, dict(properties or {})))


class Asked:
    """A monitor with its own time, and what it was told."""

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
        """Ask, a round's age later."""
        self.seconds += 10.0
        return self.monitor.report().status


def test_health_passes_when_all_checks_do() -> None:
    """Each with a word for anybody, and with its time and measurement for operators; what it returned stays hidden."""
    report = Asked({"storage": nothing_wrong, "fabric_identity": nothing_wrong}).monitor.report()
    assert report.status is Status.PASS
    words = {"storage": [{"status": "pass"}], "fabric_identity": [{"status": "pass"}]}
    assert report.coarse() == {"status": "pass", "checks": words}
    details = report.details()
    assert set(details["checks"]) == {"storage:responseTime", "fabric_identity:responseTime"}
    entry = details["checks"]["storage:responseTime"][0]
    assert (entry["status"], entry["observedUnit"], entry["time"]) == ("pass", "s", START.isoformat())
    assert "sim.token" not in json.dumps(details)


def test_health_without_checks_passes() -> None:
    """Nothing to ask."""
    assert Asked({}).monitor.report().coarse() == {"status": "pass", "checks": {}}


@pytest.mark.parametrize("name", ["storage", "fabric_identity", "fabric_endpoint"])
def test_health_fails_with_what_is_essential(name: str) -> None:
    """Without it nothing can be carried to its end."""
    report = Asked({name: secret, "poison": nothing_wrong}).monitor.report()
    assert report.status is Status.FAIL
    assert report.coarse()["checks"] == {name: [{"status": "fail"}], "poison": [{"status": "pass"}]}


@pytest.mark.parametrize("name", ["key_vault", "queues", "breakers", "sweep", "poison", "of a later version"])
def test_health_warns_of_all_else(name: str) -> None:
    """The vault too: what it takes from the app is told by the check that misses it."""
    report = Asked({name: secret, "storage": nothing_wrong}).monitor.report()
    assert report.status is Status.WARN
    assert report.coarse()["checks"][name] == [{"status": "warn"}]


def test_health_error_texts_are_for_operators_alone() -> None:
    """Details say what is the matter; the coarse answer has neither text, number nor address."""
    report = Asked({"storage": secret}).monitor.report()
    assert "contoso" in json.dumps(report.details())
    assert report.coarse() == {"status": "fail", "checks": {"storage": [{"status": "fail"}]}}


def test_health_findings_are_told_by_measurement_and_component() -> None:
    """As the draft has it: a list under check:measurement, an entry a component; the worst counts."""
    found = [
        Finding(Status.PASS, "depth", "deployments", 3, "messages"),
        Finding(Status.WARN, "depth", "deployments-poison", 1, "messages", "look"),
        Finding(observed="free"),
    ]
    report = Asked({"queues": lambda: found}).monitor.report()
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


def test_health_thousand_at_once_cost_one_round() -> None:
    """All ask before the first round is over, and all get its answer; afterwards it is told until it is stale."""
    rounds, gate, asking = list[int](), threading.Event(), threading.Barrier(1_001)

    def check() -> None:
        rounds.append(1)
        gate.wait(30)

    request = Asked({"storage": check})

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
    """The others are not made to fail by it; it is told in each round while it hangs, and well when it is over."""
    monkeypatch.setattr(health, "BUDGET_SECONDS", 0.3)
    release, started = threading.Event(), list[int]()

    def hanging() -> None:
        started.append(1)
        release.wait(30)

    checks: dict[str, Callable[[], object]] = {"storage": hanging, "fast": nothing_wrong}
    request = Asked({name: checks[name] for name in order})
    try:
        for _ in range(2):
            assert request.status() is Status.FAIL
            words = request.monitor.report().coarse()["checks"]
            assert words == {"storage": [{"status": "fail"}], "fast": [{"status": "pass"}]}
        assert len(started) == 1
    finally:
        release.set()
    eventually(lambda: request.status() is Status.PASS)


def test_health_change_is_told_once() -> None:
    """From well to ill, and back: an event each, with the checks that made it so."""
    results: list[Finding] = [Finding(s) for s in (Status.PASS, Status.WARN, Status.WARN, Status.FAIL, Status.PASS)]
    request = Asked({"breakers": lambda: results.pop(0)})
    assert [request.status().value for _ in range(5)] == ["pass", "warn", "warn", "fail", "pass"]
    assert request.telemetry.events == [
        (Event.HEALTH_CHANGED, {"before": "pass", "after": "warn", "checks": "breakers"}),
        (Event.HEALTH_CHANGED, {"before": "warn", "after": "fail", "checks": "breakers"}),
        (Event.HEALTH_CHANGED, {"before": "fail", "after": "pass", "checks": ""}),
    ]
