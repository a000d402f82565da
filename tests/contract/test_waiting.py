"""Counts the requests to storage of an hour of waiting: the saga in memory, its journal and locks on the emulator."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from shared.adapters.storage.journal_table import TableJournal
from shared.adapters.storage.lock_table import TableLocks
from shared.domain.states import DeploymentState
from shared.saga import waking_locks
from shared.saga.command.verbs import Verb
from tests.contract.harness import FaultyTransport, faulty_clients
from tests.simulation.test_waiting import APPROVAL, HELD, NEXT
from tests.simulation.world import World

pytestmark = pytest.mark.azurite
HOUR_OF_WAITING = 200
"""Requests that the hour of one waiting deployment may cost. The simulation's own sweeper does not run here, because
it would find the deployments of other tests."""


@pytest.fixture
def stored(storage: str, monkeypatch: pytest.MonkeyPatch) -> tuple[World, FaultyTransport]:
    """Return a world whose journal and locks are the real adapters, and the transport that counts their requests."""
    clients, wire = faulty_clients(storage, monkeypatch)
    world = World()
    journal, locks = TableJournal(clients, world.clock.now), TableLocks(clients)
    world.journal = cast(Any, journal)
    world.services = replace(world.services, journal=journal)
    world.acceptance = replace(world.acceptance, journal=journal)
    world._held = waking_locks.by_event(locks, journal, world._engine)
    return world, wire


def at(target: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest for another target."""
    return {**manifest, "target": target}


def _behind_a_held_target(world: World, name: str) -> Callable[[], object]:
    world.submit(at(name, HELD), f"{name}-first")
    world.run(f"{name}-first", hours=0.05, sweeping=False)
    assert world.state(f"{name}-first") is DeploymentState.HELD
    world.submit(at(name, NEXT), name)
    return lambda: world.ask(Verb.CANCEL, f"{name}-first")


def _before_an_approval(world: World, name: str) -> Callable[[], object]:
    world.submit(at(name, APPROVAL), name)
    return lambda: world.ask(Verb.APPROVE, name, "gate")


@pytest.mark.parametrize("prepare", [_behind_a_held_target, _before_an_approval])
def test_hour_of_waiting_costs_few_requests(
    stored: tuple[World, FaultyTransport], fresh_id: str, prepare: Callable[[World, str], Callable[[], object]]
) -> None:
    """A deployment waits behind a held target, or for an approval; then it continues at once."""
    world, wire = stored
    go_on = prepare(world, fresh_id)
    world.run(fresh_id, hours=0.01, sweeping=False)
    wire.requests = 0
    world.pass_hours(1.0, sweeping=False)
    print(f"requests in an hour of waiting: {wire.requests}")
    assert 20 < wire.requests <= HOUR_OF_WAITING
    go_on()
    assert world.run(fresh_id, hours=0.01, sweeping=False) == [DeploymentState.SUCCEEDED]
