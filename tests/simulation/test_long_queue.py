"""A queue that is far behind: deployments wait for their first step, cost little, and lose nothing."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.messages import StepMessage
from shared.domain.states import DeploymentState
from tests.simulation.edges import Crash
from tests.simulation.world import World

pytestmark = [pytest.mark.law(3)]
COUNT = 20
MINUTES = 10
OPERATIONS = 40
"""Calls to the journal, the locks and the queue that ten minutes of waiting may cost. A watchdog that comes every 20 s
makes 94, and sends each message five times."""
STEP = {"id": "ws", "kind": "workspace", "with": {"displayName": "w"}}


def crowd(world: World) -> list[str]:
    """Submit deployments to targets of their own, and run them until their first messages are on the queue."""
    ids = [f"d{i:02d}" for i in range(COUNT)]
    for name in ids:
        step = {**STEP, "with": {"displayName": name}}
        world.submit({"name": name, "target": name, "steps": [step]}, name)
    return ids


def stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no worker take a message until `monkeypatch.undo`."""
    monkeypatch.setattr(world.queue, "due", list[StepMessage])


def test_law_waiting_in_a_long_queue_costs_few_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker comes to the queue for ten minutes. No message is sent twice, the watchdogs read ever more rarely, and
    then each deployment succeeds by its first message."""
    world = World()
    stopped(world, monkeypatch)
    ids = crowd(world)
    world.pass_hours(0.01, sweeping=False)
    calls, point = Counter[str](), world.point

    def counted(where: str) -> None:
        calls[where.removeprefix("before ")] += where.startswith("before ")
        point(where)

    services: Any = world.services
    held: Any = world._held
    for port in (services.journal._journal, services.queue, held._locks):
        monkeypatch.setattr(port, "_crash", counted)
    world.pass_hours(MINUTES / 60, sweeping=False)
    assert 10 * COUNT < sum(calls.values()) <= OPERATIONS * COUNT
    assert len(world.queue.waiting) == COUNT
    monkeypatch.undo()
    assert world.run(*ids, hours=0.1, sweeping=False) == [DeploymentState.SUCCEEDED] * COUNT
    assert [world.journal.step(name, 0)[1].record.deliveries for name in ids] == [1] * COUNT


@pytest.mark.parametrize("late_minutes", [0.0, 5.0], ids=["in time", "late"])
def test_law_message_that_is_lost_from_a_queue_is_found(monkeypatch: pytest.MonkeyPatch, late_minutes: float) -> None:
    """One message of twenty is lost. If workers come to the queue at once, the step runs after one round of the
    watchdog; else when they have come past its place, and not later than twice as late as the queue was."""
    world = World()
    stopped(world, monkeypatch)
    ids = crowd(world)
    world.pass_hours(0.002, sweeping=False)
    began = world.clock.now()
    lost = next(entry for entry in world.queue.waiting if entry[2].deployment_id == ids[7])
    world.queue.waiting.remove(lost)
    world.pass_hours(late_minutes / 60, sweeping=False)
    assert len(world.queue.waiting) == COUNT - 1
    monkeypatch.undo()
    assert world.run(*ids, hours=1.0, sweeping=False) == [DeploymentState.SUCCEEDED] * COUNT
    longest = timedelta(seconds=world.policy.watchdog_seconds + 1) + 2 * timedelta(minutes=late_minutes)
    assert world.clock.now() - began <= longest


def test_law_holder_that_dies_after_a_long_queue_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host comes back to a queue that is a minute late, takes a step, and dies at its call. The watchdog comes once
    more within the time that the queue was late, and finds that the lease is over."""
    world = World()
    stopped(world, monkeypatch)
    ids = crowd(world)
    world.pass_hours(1 / 60, sweeping=False)
    monkeypatch.undo()
    dead, deliver = list[StepMessage](), world.deliver

    def dying(message: StepMessage) -> None:
        if message.deployment_id == ids[0] and not dead:
            dead.append(message)
            lose_after_claim(world, monkeypatch, message, deliver)
        else:
            deliver(message)

    monkeypatch.setattr(world, "deliver", dying)
    began = world.clock.now()
    assert world.run(*ids, hours=1.0, sweeping=False) == [DeploymentState.SUCCEEDED] * COUNT
    assert dead
    assert world.clock.now() - began <= timedelta(seconds=60 + 30)


def lose_after_claim(world: World, monkeypatch: pytest.MonkeyPatch, message: StepMessage, deliver: Any) -> None:
    """Let the process die when it has written the claim, and its message with it."""

    def die(*_: Any) -> Any:
        raise Crash("after the claim")

    with monkeypatch.context() as context:
        context.setattr("shared.saga.step.delivery.Delivery.change", die)
        deliver(message)
    world.queue.waiting = [entry for entry in world.queue.waiting if entry[2] is not message]
