"""Waiting costs nothing: a deployment that waits for its target, or for a person, sleeps until an event wakes it; its
timers and the sweeper are the safety net for an event, a timer or a result that the engine loses."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.domain.errors import StorageUnavailableError
from shared.domain.messages import COMMAND_EVENT, TARGET_EVENT
from shared.domain.states import DeploymentState
from shared.saga.command.verbs import Verb
from shared.saga.orchestration import names
from tests.simulation import bugs
from tests.simulation.edges import WORKSPACE, Crash
from tests.simulation.orchestration import HANGS
from tests.simulation.world import SWEEP_SECONDS, World

WORKSPACE_STEP: dict[str, Any] = {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}}
FIRST = {"name": "m", "target": "t", "steps": [WORKSPACE_STEP]}
NEXT = {"name": "n", "target": "t", "steps": [WORKSPACE_STEP]}
REFUSED = {"workspaceId": WORKSPACE, "type": "CrystalBall", "displayName": "ball"}
HELD = {
    **FIRST,
    "onFailure": "hold",
    "steps": [WORKSPACE_STEP, {"id": "ball", "kind": "item", "with": REFUSED}],
}
APPROVAL = {
    **FIRST,
    "steps": [
        {"id": "gate", "kind": "approval", "timeout": "24h", "with": {"message": "Continue?"}},
        {**WORKSPACE_STEP, "needs": ["gate"]},
    ],
}
STARTS = (DeploymentState.ACCEPTED, DeploymentState.RUNNING)
HOUR = timedelta(hours=1)
ACTIVITIES, EVENT_SECONDS = 40, 2.0
"""The activities that an hour of waiting may cost, and the time in which the next deployment starts."""


def held(world: World, *waiting: str) -> datetime:
    """Submit a deployment that is held, and others that wait behind it; return when all of them wait."""
    world.submit(HELD, "first")
    world.run("first", hours=0.05)
    assert world.state("first") is DeploymentState.HELD
    for deployment_id in waiting:
        world.submit(NEXT, deployment_id)
        world.run(deployment_id, hours=0.01)
        assert world.state(deployment_id) is DeploymentState.ACCEPTED
    return world.clock.now()


def started_at(world: World, deployment_id: str) -> datetime:
    """Return when a deployment got its target."""
    started = world.journal.header(deployment_id).record.started_at
    assert started is not None
    return started


def finished_at(world: World, deployment_id: str) -> datetime:
    """Return when a deployment ended."""
    finished = world.journal.header(deployment_id).record.finished_at
    assert finished is not None
    return finished


def test_waiting_for_a_held_target_costs_few_activities() -> None:
    """An hour, for each of three deployments that wait behind one that a person holds."""
    world = World()
    began = held(world, "b", "c", "d")
    world.activities.clear()
    world.pass_hours(1.0)
    assert world.clock.now() - began >= HOUR
    for deployment_id in ("b", "c", "d"):
        asked = [name for _, who, name in world.activities if who == deployment_id]
        assert 10 < len(asked) <= ACTIVITIES
        assert set(asked) == {names.BEGIN_DEPLOYMENT}


def test_waiting_for_a_person_costs_few_activities() -> None:
    """An hour before an approval: the watchdog comes only to renew the lease of the target and to send its heartbeat,
    and the sweeper finds nothing to do."""
    world = World()
    world.submit(APPROVAL, "first")
    world.run("first", hours=0.05)
    world.activities.clear()
    world.pass_hours(1.0)
    assert 10 < len(world.activities) <= ACTIVITIES
    now = world.clock.now()
    assert world.locks.acquire("t", "other", now, 1.0).holder == "first"
    assert world.ask(Verb.APPROVE, "first", "gate").accepted
    assert world.run("first", hours=0.01) == [DeploymentState.SUCCEEDED]


@pytest.mark.parametrize(
    ("leave", "end"),
    [
        (lambda world: world.ask(Verb.CANCEL, "first"), DeploymentState.CANCELLED),
        (lambda world: world.ask(Verb.COMPENSATE, "first"), DeploymentState.COMPENSATED),
    ],
    ids=["cancelled", "rolled back"],
)
def test_waiting_ends_by_the_event_of_the_one_that_leaves(
    leave: Callable[[World], object], end: DeploymentState
) -> None:
    """After an hour its timer is minutes away, and it starts within two seconds: the event woke it. The third in line
    follows the second in the same way."""
    world = World()
    held(world, "b", "c")
    world.pass_hours(1.0)
    leave(world)
    assert world.run("c", hours=0.1) == [DeploymentState.SUCCEEDED]
    assert world.state("first") is end
    for before, after in (("first", "b"), ("b", "c")):
        assert (started_at(world, after) - finished_at(world, before)).total_seconds() <= EVENT_SECONDS


def test_waiting_is_served_by_order_of_arrival() -> None:
    """The one that arrived first is woken, whatever their ids are."""
    world = World()
    held(world, "z", "m", "a")
    world.ask(Verb.CANCEL, "first")
    world.run("z", "m", "a", hours=1.0)
    starts = [after for before, after in world.journal.history if (before.state, after.state) == STARTS]
    assert [after.deployment_id for after in starts] == ["first", "z", "m", "a"]


def test_waiting_continues_behind_one_that_leaves_the_line() -> None:
    """The next in line is cancelled in the moment in which it is woken: it wakes the one behind it."""
    world = World()
    held(world, "b", "c")
    world.pass_hours(1.0)
    header = world.journal.header("b")
    world.ask(Verb.CANCEL, "first")
    world.orchestrations["b"].is_busy = True  # its activity is on its way when the person cancels it
    world.run("first", hours=0.05)
    assert header.record.state is world.state("b") is DeploymentState.ACCEPTED
    world.orchestrations["b"].is_busy = False
    world.ask(Verb.CANCEL, "b")
    assert world.run("c", hours=0.01) == [DeploymentState.SUCCEEDED]
    assert (started_at(world, "c") - finished_at(world, "b")).total_seconds() <= EVENT_SECONDS


def test_waiting_behind_a_waker_that_forgets_ends_with_the_safety_net() -> None:
    """With the mechanism removed, the laws still hold, and the next deployment starts by its own timer: five minutes
    late at most, also without the sweeper. So it is the event that makes the two seconds."""
    world = World()
    held(world, "b")
    world.pass_hours(1.0)
    with bugs.waker_forgets():
        world.ask(Verb.CANCEL, "first")
        assert world.run("b", hours=0.2, sweeping=False) == [DeploymentState.SUCCEEDED]
    waited = (started_at(world, "b") - finished_at(world, "first")).total_seconds()
    assert EVENT_SECONDS < waited <= world.policy.target_retry_max_seconds


@pytest.mark.parametrize("times", [0, 2, 5])
def test_waiting_survives_a_lost_or_doubled_wake_up(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """A lost event costs the rest of the timer, five minutes at most; a doubled one costs nothing but a look."""
    world = World()
    held(world, "b")
    world.pass_hours(1.0)
    deliver = world.deliver_event

    def faulty(deployment_id: str, name: str, payload: Any) -> None:
        for _ in range(times if name == TARGET_EVENT else 1):
            deliver(deployment_id, name, payload)

    monkeypatch.setattr(world, "deliver_event", faulty)
    world.ask(Verb.CANCEL, "first")
    world.activities.clear()
    assert world.run("b", hours=0.2, sweeping=False) == [DeploymentState.SUCCEEDED]
    waited = (started_at(world, "b") - finished_at(world, "first")).total_seconds()
    assert waited <= (EVENT_SECONDS if times else world.policy.target_retry_max_seconds)
    assert (waited > EVENT_SECONDS) == (times == 0)
    assert [name for _, who, name in world.activities if who == "b"].count(names.BEGIN_DEPLOYMENT) <= 2


def test_waiting_survives_the_death_of_the_one_that_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process dies between the release and the event: the activity is run again, and wakes the next."""
    world = World()
    held(world, "b")
    world.pass_hours(1.0)
    deliver, died = world.deliver_event, list[str]()

    def dying(deployment_id: str, name: str, payload: Any) -> None:
        if name == TARGET_EVENT and not died:
            died.append(deployment_id)
            raise Crash("before the wake-up")
        deliver(deployment_id, name, payload)

    monkeypatch.setattr(world, "deliver_event", dying)
    world.ask(Verb.CANCEL, "first")
    assert world.run("b", hours=0.01) == [DeploymentState.SUCCEEDED]
    assert died == ["b"]


@pytest.mark.parametrize("how", HANGS)
@pytest.mark.parametrize("manifest", [FIRST, APPROVAL], ids=["runs", "waits for a person"])
def test_stalled_orchestration_is_woken_or_replaced(how: str, manifest: dict[str, Any]) -> None:
    """The engine counts it as running, and it does nothing: the sweeper sees that it sends no heartbeat, wakes it, and
    if that does not help ends it, so that the next sweep starts another. All within half an hour."""
    world = World()
    world.submit(manifest, "first")
    while world.state("first") is not DeploymentState.RUNNING:
        world.step()
    world.orchestrations["first"].hang(how)
    began = world.clock.now()
    if manifest is APPROVAL:
        world.pass_hours(0.6)
        assert world.ask(Verb.APPROVE, "first", "gate").accepted
    assert world.run("first", hours=1.0) == [DeploymentState.SUCCEEDED]
    assert finished_at(world, "first") - began < timedelta(minutes=40)


@pytest.mark.parametrize("how", HANGS)
def test_stalled_wait_is_woken_or_replaced(how: str) -> None:
    """The same holds for a deployment that waits: it gets its target although its wake-up reached nothing."""
    world = World()
    held(world, "b")
    world.orchestrations["b"].hang(how)
    world.ask(Verb.CANCEL, "first")
    assert world.run("b", hours=1.0) == [DeploymentState.SUCCEEDED]


def line_of_two(lose: tuple[int, str] | None = None) -> tuple[World, datetime]:
    """Run a deployment that is rolled back and one that waits behind it; after the activity with that number, let the
    orchestration that ran it hang. Return the world, and when it hung."""
    world = World()
    ball = {"id": "ball", "kind": "item", "with": REFUSED}
    world.submit({**FIRST, "steps": [WORKSPACE_STEP, ball]}, "first")
    world.submit(NEXT, "second")
    at = world.clock.now()
    end = at + 2 * HOUR
    while world.clock.now() < end and not (world.has_ended("first") and world.has_ended("second")):
        if not world.step():
            world.pass_time()
        if lose is not None and len(world.activities) > lose[0]:
            at, hung = world.clock.now(), world.orchestrations[world.activities[lose[0]][1]]
            if not hung.is_over:
                hung.hang(lose[1])
            lose = None
    return world, at


@pytest.mark.parametrize("how", HANGS)
def test_engine_that_loses_an_orchestration_after_any_activity_changes_nothing(how: str) -> None:
    """The fault table of the engine: both deployments end as without the fault, with the same resources, within forty
    minutes of it."""
    healthy, _ = line_of_two()
    for number in range(len(healthy.activities)):
        world, hung_at = line_of_two((number, how))
        assert (world.state("first"), world.state("second")) == (healthy.state("first"), healthy.state("second"))
        assert world.names() == healthy.names()
        assert finished_at(world, "second") - hung_at < timedelta(minutes=40), (number, how)


LEGAL: dict[str, Callable[[World], object]] = {
    "a person": lambda world: world.submit(APPROVAL, "first"),
    "an operation": lambda world: world.model.faults.replace(
        [{"match": {"method": "POST", "path": ".*/items"}, "action": {"operation": "never"}}]
    ),
    "a Retry-After": lambda world: world.model.faults.replace(
        [
            {
                "match": {"path": ".*/items"},
                "action": {"status": 429, "headers": {"Retry-After": "3000"}, "body": {}},
            }
        ]
    ),
    "its target": lambda world: held(world, "b"),
}


@pytest.mark.parametrize("what", LEGAL)
def test_healthy_wait_is_left_alone(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """An orchestration that waits for an approval, a long operation, a Retry-After or a held target is not stalled: in
    six hours the sweeper neither wakes nor ends it."""
    world = World()
    LEGAL[what](world)
    if not world.orchestrations:
        part = {"path": "notebook-content.py", "text": "x = 1"}
        notebook = {"workspaceId": WORKSPACE, "type": "Notebook", "displayName": "n", "definition": {"parts": [part]}}
        step = {"id": "n", "kind": "item", "timeout": "12h", "with": notebook}
        world.submit({**FIRST, "steps": [WORKSPACE_STEP, step]}, "first")
    commands = list[str]()
    deliver = world.deliver_event

    def watched(deployment_id: str, name: str, payload: Any) -> None:
        commands.extend([deployment_id] if name == COMMAND_EVENT else [])
        deliver(deployment_id, name, payload)

    monkeypatch.setattr(world, "deliver_event", watched)
    since = {d: o.started_at for d, o in world.orchestrations.items() if not o.is_over}
    for _ in range(72):
        world.pass_hours(SWEEP_SECONDS / 3600)
        assert world.sweep().stalled == []
    assert since
    assert {d: world.running_since(d) for d in since} == since
    assert commands == []
    assert world.occurred["orchestration abandoned"] == 0


def test_deployments_whose_start_the_engine_refused_are_started_by_the_sweep() -> None:
    """Four at one target stand as accepted; the sweep starts them, and each wakes the next when it leaves."""
    world = World()
    start = world.start

    def refused(deployment_id: str) -> None:
        raise StorageUnavailableError("the durable engine does not answer")

    world.start = refused  # type: ignore[method-assign]
    ids = ["a", "b", "c", "d"]
    for deployment_id in ids:
        with pytest.raises(StorageUnavailableError):
            world.submit(NEXT, deployment_id)
    world.start = start  # type: ignore[method-assign]
    world.pass_hours(0.02, sweeping=False)
    assert [world.state(d) for d in ids] == [DeploymentState.ACCEPTED] * 4
    world.clock.advance(world.policy.restart_grace_seconds)
    assert sorted(world.sweep().restarted) == ids
    swept = world.clock.now()
    assert world.run(*ids, hours=0.1, sweeping=False) == [DeploymentState.SUCCEEDED] * 4
    assert finished_at(world, "d") - swept < timedelta(seconds=60)
