"""Telemetry agrees with the journal over whole deployments, whatever happens to them."""

from collections import Counter

import pytest

from shared.domain import trace
from shared.domain.breaker import BreakerPolicy
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState, StepState
from shared.domain.telemetry import Event, Properties
from shared.saga.command.verbs import Verb
from shared.steps.marker import marker_of, with_marker
from tests.fakes import MemoryTelemetry
from tests.simulation.test_laws import MEDALLION, check_laws, failing
from tests.simulation.test_sweeper import late, pass_grace, roll_back, workspace
from tests.simulation.world import World

OF_STEP = {
    StepState.SUCCEEDED: Event.STEP_FINISHED,
    StepState.FAILED: Event.STEP_FAILED,
    StepState.COMPENSATED: Event.STEP_COMPENSATED,
    StepState.COMPENSATION_FAILED: Event.COMPENSATION_FAILED,
}


def moves(world: World) -> Counter[str]:
    """Return the events of the journal's moves, one for each write that succeeded."""
    found: Counter[str] = Counter()
    for before, after in world.journal.history:
        if isinstance(before, StepRecord) and isinstance(after, StepRecord):
            found[Event.STEP_STARTED] += before.started_at is None and after.started_at is not None
            found[Event.RETRY] += after.attempt > before.attempt
            if before.state is not after.state and after.state in OF_STEP:
                found[OF_STEP[after.state]] += 1
        elif isinstance(before, DeploymentRecord) and isinstance(after, DeploymentRecord):
            found[Event.ROLLBACK_STARTED] += after.may_compensate and not before.may_compensate
            found[Event.ROLLBACK_FINISHED] += before.may_compensate and not after.may_compensate
            if before.state is after.state:
                continue
            found[Event.DEPLOYMENT_STARTED] += before.state is DeploymentState.ACCEPTED
            found[Event.DEPLOYMENT_FINISHED] += after.state in DEPLOYMENT_ENDED
    found[Event.DEPLOYMENT_ACCEPTED] += 1
    return +found


def event_counts(telemetry: MemoryTelemetry) -> Counter[str]:
    """Return the events by name."""
    return Counter(t.name for t in telemetry.events())


class BrokenTelemetry(MemoryTelemetry):
    """A telemetry adapter that breaks the promises of its port."""

    def event(self, name: str, properties: Properties | None = None) -> None:
        raise RuntimeError(name)


@pytest.mark.parametrize("is_failing", [False, True])
def test_event_that_cannot_be_emitted_changes_no_deployment(is_failing: bool) -> None:
    """A failure of telemetry is not a failure of the write: nothing is repeated, and nothing waits for a lease."""
    worlds = [World(telemetry=telemetry) for telemetry in (MemoryTelemetry(), BrokenTelemetry())]
    for world in worlds:
        world.submit(failing() if is_failing else MEDALLION)
        world.run()
        check_laws(world)
    [sound, broken] = [[(s.record.state, s.record.deliveries) for s in w.journal.steps("d")] for w in worlds]
    assert sound == broken


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("is_failing", [False, True])
def test_events_are_the_moves_of_the_journal(seed: int, is_failing: bool) -> None:
    """Each move that was written has one event, in any interleaving of deliveries and with any answer of Fabric."""
    telemetry = MemoryTelemetry()
    world = World(seed, overtake_rate=0.05, stall_rate=0.01, telemetry=telemetry)
    world.model.faults.replace([{"match": {"path": ".*/items"}, "when": {"times": 3}, "action": {"status": 503}}])
    world.submit(failing() if is_failing else MEDALLION)
    world.run()
    check_laws(world)
    assert event_counts(telemetry) == moves(world)
    header = world.journal.header("d").record
    span = trace.of_deployment("d", header.accepted_at, header.traceparent)
    assert {t.context.trace_id for t in telemetry.events() if t.context} == {span.trace_id}
    assert all(t.properties["deployment_id"] == "d" for t in telemetry.events())


@pytest.mark.parametrize("seed", range(6))
def test_crash_may_lose_an_event_and_never_adds_one(seed: int) -> None:
    """If a process dies between its write and its event, the event is lost: no other process emits it, and none emits
    it twice."""
    telemetry = MemoryTelemetry()
    world = World(seed, crash_rate=0.03, telemetry=telemetry)
    world.submit(failing())
    world.run()
    check_laws(world)
    assert event_counts(telemetry) <= moves(world)


def test_step_that_cannot_be_compensated_emits_an_event_each_time() -> None:
    """When the attempts are used up, compensation has failed and the rollback ends stuck; this is emitted again after
    each further try."""
    telemetry = MemoryTelemetry()
    world = World(telemetry=telemetry)
    world.model.faults.replace(
        [{"match": {"method": "DELETE"}, "action": {"status": 400, "body": {"errorCode": "No"}}}]
    )
    world.submit(failing())
    world.run(hours=3)
    assert event_counts(telemetry) == moves(world)
    assert len(telemetry.events(Event.COMPENSATION_FAILED)) > 1, "the sweeper has tried again"
    assert {t.properties["state"] for t in telemetry.events(Event.ROLLBACK_FINISHED)} == {"stuck"}
    assert telemetry.events(Event.COMPENSATION_FAILED)[0].properties["error_code"] == "No"


def test_breaker_emits_one_event_a_change_from_the_worker_that_won() -> None:
    """Five workers get 503 for twenty minutes: opened, half-open, opened ... closed, each emitted once."""
    telemetry = MemoryTelemetry()
    world = World(breaker=BreakerPolicy(), workers=5, telemetry=telemetry)
    world.model.faults.replace([{"match": {"path": ".*"}, "action": {"status": 503}}])
    world.submit(MEDALLION)
    world.run(hours=1 / 3, sweeping=False)
    world.model.faults.replace([])
    assert world.run() == [DeploymentState.SUCCEEDED]
    names = [t.name for t in telemetry.signals if t.name.startswith("CircuitBreaker")]
    probes = len(names) // 2
    assert names == [Event.BREAKER_OPENED, Event.BREAKER_HALF_OPEN] * probes + [Event.BREAKER_CLOSED]
    assert probes > 1


@pytest.mark.parametrize("dry_run", [False, True])
def test_orphan_emits_an_event_when_found_and_when_deleted(dry_run: bool) -> None:
    """In a dry run the orphan is only found. Both events belong to the trace of the deployment that left it."""
    telemetry = MemoryTelemetry()
    world = World(telemetry=telemetry)
    place = workspace(world)
    roll_back(world)
    orphan = late(world, place, "silver", with_marker("", marker_of("d", "silver")))
    pass_grace(world)
    world.sweep(dry_run=dry_run)
    wanted = [Event.ORPHAN_FOUND] if dry_run else [Event.ORPHAN_FOUND, Event.ORPHAN_DELETED]
    found = telemetry.events(Event.ORPHAN_FOUND, Event.ORPHAN_DELETED)
    assert [t.name for t in found] == wanted
    assert {(t.properties["resource_type"], t.properties["resource_id"]) for t in found} == {("Lakehouse", orphan)}
    started = telemetry.events(Event.DEPLOYMENT_ACCEPTED)[0].context
    assert started is not None
    assert {t.context and t.context.trace_id for t in found} == {started.trace_id}


def test_rejected_deployment_emits_an_event_with_the_number_of_its_problems() -> None:
    """The deployment emits only this event, because it never began."""
    telemetry = MemoryTelemetry()
    world = World(telemetry=telemetry)
    steps = [{"id": "w", "kind": "workspaec", "with": {}}, {"id": "l", "kind": "lakehouse", "needs": ["x"], "with": {}}]
    assert world.submit({"name": "wrong", "steps": steps}) is DeploymentState.REJECTED
    assert event_counts(telemetry) == Counter({Event.DEPLOYMENT_REJECTED: 1})
    properties = telemetry.events()[0].properties
    assert properties["problems"] == len(world.journal.header("d").record.problems) > 1


def test_approval_that_waits_emits_an_event() -> None:
    """It is emitted once, when the step begins to wait, and not when it is delivered again."""
    telemetry = MemoryTelemetry()
    world = World(telemetry=telemetry)
    world.submit(
        {"name": "m", "steps": [{"id": "go", "kind": "approval", "timeout": "2h", "with": {"message": "Go?"}}]}
    )
    world.run(hours=1.0)
    [waiting] = telemetry.events(Event.APPROVAL_WAITING)
    assert waiting.properties == {"deployment_id": "d", "step_id": "go", "kind": "approval"}
    assert [(n.row, n.kind.value) for n in world.news.announced] == [("step_00000", "approval_waiting")]
    assert world.ask(Verb.APPROVE, step="go").accepted
    world.run()
    assert len(telemetry.events(Event.APPROVAL_WAITING)) == 1


def test_held_deployment_emits_an_event_and_is_rolled_back_only_on_request() -> None:
    """A held deployment is not being rolled back and has not ended."""
    telemetry = MemoryTelemetry()
    world = World(telemetry=telemetry)
    world.submit({**failing(), "onFailure": "hold"})
    world.run(hours=1.0)
    assert world.state() is DeploymentState.HELD
    assert len(telemetry.events(Event.DEPLOYMENT_HELD)) == 1
    assert not telemetry.events(Event.ROLLBACK_STARTED, Event.DEPLOYMENT_FINISHED)
    assert world.ask(Verb.COMPENSATE).accepted
    world.run()
    assert len(telemetry.events(Event.ROLLBACK_STARTED)) == 1
