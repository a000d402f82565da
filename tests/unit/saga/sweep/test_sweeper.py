"""The sweeper: deployments that nothing moves are restarted, and one deployment's error affects no other."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.domain.errors import StorageUnavailableError
from shared.domain.json import JsonObject
from shared.domain.messages import COMMAND_EVENT
from shared.domain.policy import EnginePolicy
from shared.domain.ports import Change
from shared.domain.states import DeploymentState, StepState
from shared.saga.sweep import sweeper
from tests.fakes import START
from tests.unit.saga.fixture import ERROR, SagaFixture, row

D = DeploymentState


class Engine:
    """The port Orchestrations as a set of running ids."""

    def __init__(self, *running: str, failing: str = "") -> None:
        self.running = dict.fromkeys(running, START)
        self.failing = failing
        self.changes: list[tuple[str, str]] = []

    def start(self, deployment_id: str) -> None:
        """Start it, or raise the error."""
        if deployment_id == self.failing:
            raise StorageUnavailableError("the durable engine does not answer")
        self.running[deployment_id] = START

    def raise_event(self, deployment_id: str, name: str, payload: JsonObject) -> None:
        """Record it."""
        self.changes.append((deployment_id, name))

    def abandon(self, deployment_id: str) -> None:
        """Record it; the engine ends the instance."""
        self.changes.append((deployment_id, "abandoned"))
        self.running.pop(deployment_id, None)

    def forget(self, deployment_id: str) -> None:
        self.running.pop(deployment_id, None)

    def running_since(self, deployment_id: str) -> datetime | None:
        return self.running.get(deployment_id)


def sweep(saga: SagaFixture, engine: Engine, locks: Any = None) -> sweeper.SweepReport:
    """Run one sweep."""
    return sweeper.sweep(saga.services, locks or saga.locks, engine)


def open_fixture(*states: D) -> SagaFixture:
    """Return deployments d0, d1, ... one second apart, all past the grace period."""
    saga = SagaFixture()
    for i, state in enumerate(states):
        saga.deployment(state, StepState.PENDING, deployment_id=f"d{i}")
        saga.clock.advance(1)
    saga.clock.advance(60)
    return saga


def test_sweep_restarts_deployments_that_nothing_moves() -> None:
    """Every state that is not final is restarted if it does not run; a second sweep finds nothing to do."""
    states = [s for s in D if s is not D.HELD]
    saga, engine = open_fixture(*states), Engine("d0")
    report = sweep(saga, engine)
    wanted = {f"d{i}" for i, s in enumerate(states) if s in (D.ACCEPTED, D.RUNNING, D.COMPENSATING, D.STUCK)} - {"d0"}
    assert set(report.restarted) == wanted
    assert sweep(saga, engine).restarted == []


@pytest.mark.parametrize("state", [D.ACCEPTED, D.RUNNING, D.COMPENSATING])
def test_sweep_wakes_then_ends_then_restarts_an_orchestration_without_a_heartbeat(state: D) -> None:
    """Each needs the next only if the one before did not help; a heartbeat in between is a sign of life."""
    saga, engine = SagaFixture(), Engine("d")
    saga.deployment(state, StepState.PENDING, heartbeat_at=START)
    saga.clock.advance(saga.services.policy.stalled_seconds - 1)
    assert (sweep(saga, engine).stalled, engine.changes) == ([], [])
    saga.clock.advance(1)
    assert (sweep(saga, engine).stalled, engine.changes) == (["d"], [("d", COMMAND_EVENT)])
    saga.change_header(heartbeat_at=saga.clock.now())
    assert sweep(saga, engine).stalled == []
    saga.clock.advance(1.5 * saga.services.policy.stalled_seconds)
    engine.changes.clear()
    report = sweep(saga, engine)
    assert (report.stalled, report.restarted, engine.changes) == (["d"], [], [("d", "abandoned")])
    assert sweep(saga, engine).restarted == ["d"]


def test_sweep_leaves_an_orchestration_that_was_just_started() -> None:
    """The heartbeat of a deployment that was stuck or held for days is old; its new orchestration has not sent one."""
    saga, engine = SagaFixture(), Engine("d")
    saga.deployment(D.STUCK, StepState.COMPENSATION_FAILED, heartbeat_at=START)
    saga.clock.advance(86400)
    engine.running["d"] = saga.clock.now()
    saga.clock.advance(saga.services.policy.stalled_seconds - 1)
    assert (sweep(saga, engine).stalled, engine.changes) == ([], [])


@pytest.mark.parametrize(
    ("failing_minutes", "pause_minutes"), [(1, 0), (20, 5), (120, 30), (600, 60), (6000, 60)], ids=str
)
def test_sweep_tries_a_stuck_deployment_in_growing_pauses(failing_minutes: int, pause_minutes: int) -> None:
    """A quarter of the time for which its compensations have failed, and an hour at most."""
    saga = SagaFixture()
    failed = row(0, StepState.COMPENSATION_FAILED, compensation_started_at=START)
    finished_at = START + timedelta(minutes=failing_minutes)
    saga.deployment(D.STUCK, failed, finished_at=finished_at)
    saga.clock.advance((failing_minutes + pause_minutes) * 60 - 1)
    assert sweep(saga, Engine()).restarted == (["d"] if failing_minutes == 1 and pause_minutes else [])
    saga.clock.advance(16)
    report = sweep(saga, Engine())
    assert (report.restarted, report.stuck) == (["d"], ["d"])


@pytest.mark.parametrize("changes", [{"retry_began_at": START}, {"release_write": 2}])
def test_sweep_continues_a_try_or_a_release_of_a_stuck_deployment_at_once(changes: dict[str, Any]) -> None:
    """Its orchestration was lost in the middle of it."""
    saga = SagaFixture()
    failed = row(0, StepState.COMPENSATION_FAILED, compensation_started_at=START)
    saga.deployment(D.STUCK, failed, finished_at=START + timedelta(days=1), **changes)
    saga.clock.advance(86_460)
    assert sweep(saga, Engine()).restarted == ["d"]


def test_sweep_never_takes_a_wait_that_the_settings_allow_for_a_stall() -> None:
    """With longer waits the bound is longer too, whatever STALLED_SECONDS says."""
    policy = EnginePolicy(watchdog_max_seconds=2000.0, stalled_seconds=10.0)
    assert policy.heartbeat_late_seconds == 4000.0
    assert EnginePolicy().heartbeat_late_seconds == EnginePolicy().stalled_seconds


def test_sweep_does_not_restart_young_deployments() -> None:
    """The worker that accepted a deployment is about to start it."""
    saga, engine = SagaFixture(), Engine()
    saga.deployment(D.ACCEPTED)
    saga.clock.advance(59)
    assert (sweep(saga, engine).seen, engine.running) == (1, {})
    saga.clock.advance(2)
    assert sweep(saga, engine).restarted == ["d"]


def test_sweep_keeps_the_target_of_a_held_deployment() -> None:
    """A held deployment has no orchestration, so the sweeper renews its lease."""
    saga, engine = open_fixture(D.HELD), Engine()
    assert sweep(saga, engine).restarted == []
    saga.clock.advance(600)
    assert saga.locks.acquire("target", "other", saga.clock.now(), 900).holder == "d0"


def test_sweep_continues_after_a_deployment_that_fails() -> None:
    """A failed start and a failed renewal are reported, and the other deployments are handled."""

    class Broken:
        def acquire(self, *_: object) -> Any:
            raise StorageUnavailableError("down")

        def release(self, *_: object) -> None: ...

    saga, engine = open_fixture(D.RUNNING, D.HELD, D.RUNNING), Engine(failing="d2")
    report = sweep(saga, engine, Broken())
    report.failed.sort()
    assert report == sweeper.SweepReport(3, restarted=["d0"], failed=["d1", "d2"], held=["d1"])


def test_sweep_continues_after_a_bug() -> None:
    """The sweep continues also after an error that is not one of the app's own."""
    saga, engine = open_fixture(D.RUNNING, D.RUNNING), Engine()
    ask = engine.running_since

    def broken(deployment_id: str) -> datetime | None:
        if deployment_id == "d1":
            raise KeyError(deployment_id)
        return ask(deployment_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "running_since", broken)
        report = sweep(saga, engine)
    assert (report.failed, report.restarted) == (["d1"], ["d0"])


def test_sweep_has_a_maximum_of_tasks() -> None:
    """The next sweep does the rest. A failing task does not delay the others."""
    saga, engine = open_fixture(*[D.RUNNING] * (sweeper.MAX_TASKS + 5)), Engine(failing=f"d{sweeper.MAX_TASKS + 4}")
    assert len(sweep(saga, engine).restarted) == sweeper.MAX_TASKS
    engine.failing = ""
    assert len(sweep(saga, engine).restarted) == 5


def test_sweep_reads_no_more_headers_than_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands may be due: a sweep that read all of their headers would have no time left for any task."""
    saga, read = SagaFixture(), list[str]()
    for i in range(10 * sweeper.MAX_TASKS):
        saga.deployment(D.REJECTED, deployment_id=f"d{i}", due_at=saga.clock.now())
    look = saga.journal._header_or_none
    monkeypatch.setattr(
        saga.journal, "_header_or_none", lambda deployment_id: read.append(deployment_id) or look(deployment_id)
    )
    assert len(sweep(saga, Engine()).purged) == sweeper.MAX_TASKS
    assert len(set(read)) <= sweeper.MAX_TASKS + 1


@pytest.mark.parametrize("fails", [False, True])
def test_sweep_handles_every_deployment_in_the_end(fails: bool) -> None:
    """More deployments than the maximum are stuck and stop again at once, or use up the whole time and fail. Every
    other deployment is handled all the same, and so are the due ones."""
    saga, engine = open_fixture(*[D.STUCK] * (3 * sweeper.MAX_TASKS)), Engine()
    saga.deployment(D.REJECTED, deployment_id="old", due_at=saga.clock.now())
    tried = set[str]()

    class Stopping(Engine):
        def start(self, deployment_id: str) -> None:
            tried.add(deployment_id)
            if fails:
                saga.clock.advance(2)
                raise StorageUnavailableError("the durable engine does not answer")

    engine = Stopping()
    for run in range(40):
        report = sweep(saga, engine)
        if run == 0:
            assert report.purged == ["old"]
        saga.clock.advance(300)
    assert len(tried) == 3 * sweeper.MAX_TASKS


def test_sweep_checks_no_orphans_while_another_deployment_is_active() -> None:
    """Its lease has expired because the host was down; a resource that it is about to adopt must not be deleted."""
    saga, engine = SagaFixture(), Engine("other")
    saga.deployment(D.COMPENSATED, StepState.COMPENSATED, due_at=saga.clock.now())
    saga.clock.advance(1)
    saga.deployment(D.RUNNING, StepState.PENDING, deployment_id="other")
    assert sweep(saga, engine).orphan_checked == []
    assert saga.header().orphan_checked_at is None


def test_sweep_does_not_keep_the_target_of_a_deployment_that_ended_after_the_listing() -> None:
    """Held when it was listed, and no longer when its turn comes."""
    saga, engine = open_fixture(D.HELD), Engine()
    before = saga.journal.header("d0")
    resumed = before.record.replace(state=D.RUNNING)
    saga.journal.write_header(Change(before, resumed, "anna", "resumed"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saga.journal, "deployments", lambda **_: iter([before.record]))
        assert sweep(saga, engine).held == ["d0"]
    assert saga.locks.acquire("target", "another", saga.clock.now(), 60).holder == "another"


def test_sweep_dry_run_writes_nothing_and_names_what_a_sweep_does() -> None:
    """This holds for every task: every port is only read, and not even a target lock is acquired."""

    def saga() -> SagaFixture:
        made, now = SagaFixture(), START
        made.deployment(D.RUNNING, StepState.PENDING, deployment_id="lost")
        made.deployment(D.RUNNING, StepState.PENDING, deployment_id="hangs", accepted_at=START - timedelta(days=1))
        held = {"held_until": now, "keep_for_seconds": 60.0, "error": ERROR, "target": "other"}
        made.deployment(D.HELD, StepState.FAILED, deployment_id="held", **held)
        expired = {"due_at": now, "expires_after_seconds": 60.0, "target": "third"}
        made.deployment(D.SUCCEEDED, StepState.SUCCEEDED, deployment_id="expired", **expired)
        made.deployment(D.COMPENSATED, deployment_id="back", due_at=now, target="fourth")
        made.deployment(D.REJECTED, deployment_id="old", due_at=now)
        made.clock.advance(61)
        return made

    def hanging() -> Engine:
        engine = Engine()
        engine.running["hangs"] = START - timedelta(days=1)
        return engine

    class Looks:
        def __init__(self, port: object, *allowed: str) -> None:
            self.port, self.allowed = port, allowed

        def __getattr__(self, name: str) -> Any:
            assert name in self.allowed, f"a dry run called {name}"
            return getattr(self.port, name)

    dry = saga()
    services: Any = replace(
        dry.services, journal=Looks(dry.journal, "deployments", "due", "header", "steps"), queue=Looks(dry.queue)
    )
    engine: Any = Looks(hanging(), "running_since")
    locks: Any = Looks(dry.locks)
    found = sweeper.sweep(services, locks, engine, dry_run=True)
    assert found.failed == []
    assert found.restarted == ["lost"]
    assert sorted(found.expired) == ["expired", "held"]
    assert (found.orphan_checked, found.purged) == (["back"], ["old"])
    assert found.stalled == ["hangs"]
    assert sweep(saga(), hanging()).ids() == found.ids()
