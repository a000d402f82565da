"""What telemetry is told of whole deployments agrees with what the journal went through, whatever befalls them."""

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
    """The events that the journal's moves stand for: one by one, from every write that was won."""
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


def told(telemetry: MemoryTelemetry) -> Counter[str]:
    """Events by name."""
    return Counter(t.name for t in telemetry.events())


class BrokenTelemetry(MemoryTelemetry):
    """Keeps none of the port's promises."""

    def event(self, name: str, properties: Properties | None = None) -> None:
        """Raises."""
        raise RuntimeError(name)


@pytest.mark.parametrize("is_failing", [False, True])
def test_what_cannot_be_told_changes_no_deployment(is_failing: bool) -> None:
    """A fault of the telling is none of the write: nothing is done over, and nothing waits for a lease."""
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
    """However deliveries overtake each other, whatever Fabric answers: one event for each move that was won."""
    telemetry = MemoryTelemetry()
    world = World(seed, overtake_rate=0.05, stall_rate=0.01, telemetry=telemetry)
    world.model.faults.replace([{"match": {"path": ".*/items"}, "when": {"times": 3}, "action": {"status": 503}}])
    world.submit(failing() if is_failing else MEDALLION)
    world.run()
    check_laws(world)
    assert told(telemetry) == moves(world)
    header = world.journal.header("d").record
    span = trace.of_deployment("d", header.accepted_at, header.traceparent)
    assert {t.context.trace_id for t in telemetry.events() if t.context} == {span.trace_id}
    assert all(t.properties["deployment_id"] == "d" for t in telemetry.events())


@pytest.mark.parametrize("seed", range(6))
def test_crash_may_lose_an_event_and_never_adds_one(seed: int) -> None:
    """A process that dies between its write and its word says nothing; nobody else says it for it, or twice."""
    telemetry = MemoryTelemetry()
    world = World(seed, crash_rate=0.03, telemetry=telemetry)
    world.submit(failing())
    world.run()
    check_laws(world)
    assert told(telemetry) <= moves(world)


def test_step_that_cannot_be_undone_is_told_each_time() -> None:
    """Out of attempts: compensation failed, the rollback ended stuck; and again after each further try."""
    telemetry = MemoryTelemetry()
    world = World(telemetry=telemetry)
    world.model.faults.replace(
        [{"match": {"method": "DELETE"}, "action": {"status": 400, "body": {"errorCode": "No"}}}]
    )
    world.submit(failing())
    world.run(hours=6)
    assert told(telemetry) == moves(world)
    assert telemetry.events(Event.COMPENSATION_FAILED)
    assert {t.properties["state"] for t in telemetry.events(Event.ROLLBACK_FINISHED)} == {"stuck"}
    assert telemetry.events(Event.COMPENSATION_FAILED)[0].properties["error_code"] == "No"


def test_breaker_is_told_once_a_change_by_whichever_worker_won() -> None:
    """Twenty minutes of 503 met by five workers: opened, half-open, opened ... closed, each once."""
    telemetry = MemoryTelemetry()
    world = World(breaker=BreakerPolicy(), workers=5, telemetry=telemetry)
    world.model.faults.replace([{"match": {"path": ".*/items"}, "action": {"status": 503}}])
    world.submit(MEDALLION)
    world.run(hours=1 / 3, sweeping=False)
    world.model.faults.replace([])
    assert world.run() == [DeploymentState.SUCCEEDED]
    names = [t.name for t in telemetry.signals if t.name.startswith("CircuitBreaker")]
    probes = len(names) // 2
    assert names == [Event.BREAKER_OPENED, Event.BREAKER_HALF_OPEN] * probes + [Event.BREAKER_CLOSED]
    assert probes > 1


@pytest.mark.parametrize("dry_run", [False, True])
def test_orphan_is_told_when_found_and_when_deleted(dry_run: bool) -> None:
    """In a dry run it is found only. Both are part of the trace of the deployment that left it."""
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


def test_deployment_that_is_rejected_is_told_with_the_number_of_its_problems() -> None:
    """And nothing else is: it never began."""
    telemetry = MemoryTelemetry()
    world = World(telemetry=telemetry)
    steps = [{"id": "w", "kind": "workspaec", "with": {}}, {"id": "l", "kind": "lakehouse", "needs": ["x"], "with": {}}]
    assert world.submit({"name": "wrong", "steps": steps}) is DeploymentState.REJECTED
    assert told(telemetry) == Counter({Event.DEPLOYMENT_REJECTED: 1})
    properties = telemetry.events()[0].properties
    assert properties["problems"] == len(world.journal.header("d").record.problems) > 1


def test_deployment_that_is_held_is_told_and_turns_back_only_when_a_person_says_so() -> None:
    """Held is no rollback, and no end."""
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
