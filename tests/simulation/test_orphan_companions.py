"""Staging items that Fabric leaves when an orphan of a repository, a dataflow, is deleted."""

from typing import Any

import pytest

from local.fabric_simulator import control
from local.fabric_simulator.store import Item
from shared.domain.json import canonical
from shared.domain.states import DeploymentState
from shared.saga.audit import verify
from tests.simulation import repositories
from tests.simulation.test_orphans import content, items
from tests.simulation.test_repository import manifest
from tests.simulation.world import World


def flow(world: World, name: str = "old") -> dict[str, Any]:
    return repositories.item(world.blobs, "Dataflow", name, "section Section1;")


def names(world: World) -> list[str]:
    """Return the names of all items; of staging items, only what they are."""
    return sorted(item.name.split("_")[0] for item in items(world).values())


def deployed(world: World, *flows: dict[str, Any]) -> None:
    world.submit(manifest(content(world, *flows)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    world.clock.advance(600)


def without(world: World, *flows: dict[str, Any], hours: float = 1) -> str:
    """Deploy the repository with these dataflows alone, delete its orphans, and return what the audit says of it."""
    world.submit(manifest(content(world, *flows, orphans="delete")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    world.pass_hours(hours)
    assert verify.verify(verify.read(world.journal, "e")).differences == ()
    return " / ".join(e.reason for e in world.journal.audit("e") if "quarantine is over" in e.reason)


PAIR = ["StagingLakehouseForDataflows", "StagingWarehouseForDataflows"]


def test_staging_items_of_an_orphan_are_deleted_with_it() -> None:
    """The journal of the deployment that created it proves them, and the audit names them before."""
    world = World(1)
    deployed(world, flow(world))
    assert names(world) == sorted(["load", "old", *PAIR])
    told = without(world)
    assert names(world) == ["load"]
    assert "with it what Fabric had added beside items of this deployment: Lakehouse 'Staging" in told


@pytest.mark.law(2)
def test_staging_items_stay_while_a_dataflow_of_the_same_seconds_stands() -> None:
    """Nobody can tell which pair belongs to which. When both dataflows are orphans, both pairs go."""
    world = World(1)
    deployed(world, flow(world), flow(world, "kept"))
    told = without(world, flow(world, "kept"))
    assert names(world) == sorted(["load", "kept", *PAIR, *PAIR])
    assert "kept, because nothing proves that Fabric added it" in told
    world.submit(manifest(content(world, orphans="delete")), "f")
    assert world.run("f") == [DeploymentState.SUCCEEDED]
    world.pass_hours(1)
    assert names(world) == ["load"]


@pytest.mark.law(2)
def test_staging_items_stay_if_another_actor_has_a_dataflow_of_the_same_seconds() -> None:
    world = World(1)
    world.submit(manifest(content(world, flow(world))))
    assert world.run() == [DeploymentState.SUCCEEDED]
    [place] = world.model.store.workspaces.values()
    now = next(item for item in items(world).values() if item.name == "old").created_at
    theirs = Item(world.model.store.new_id(), "Dataflow", "theirs", "", now, now)
    place.items[theirs.id] = theirs
    world.model.add_companions(place, theirs)
    world.clock.advance(600)
    told = without(world)
    assert names(world) == sorted(["load", "theirs", *PAIR, *PAIR])
    assert "kept, because nothing proves that Fabric added it" in told


def reads_of_journals(flows: int) -> int:
    """Return how often a sweep reads the steps of a deployment to delete so many dataflows."""
    world = World(1)
    deployed(world, *(flow(world, f"old {number}") for number in range(flows)))
    world.submit(manifest(content(world, orphans="delete")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    journal: Any = world.services.journal
    read, steps = list[str](), journal.steps

    def counted(deployment_id: str) -> Any:
        read.append(deployment_id)
        return steps(deployment_id)

    journal.steps = counted
    world.pass_hours(1)
    assert "Dataflow" not in {item.type for item in items(world).values()}
    return len(read)


def test_journals_of_a_target_are_read_once_for_all_orphans() -> None:
    assert reads_of_journals(2) == reads_of_journals(8)


@pytest.mark.law(1)
def test_staging_items_that_an_interruption_left_are_deleted_later() -> None:
    """Fabric fails when the warehouse is deleted, after the dataflow was: the next sweeps go on with the pair alone."""
    world = World(1)
    deployed(world, flow(world))
    [warehouse] = [item for item in items(world).values() if item.type == "Warehouse"]
    error = {"status": 503, "body": {"errorCode": "ServiceUnavailable", "message": "x"}}
    rule = {"match": {"method": "DELETE", "path": f".*/{warehouse.id}"}, "when": {"times": 3}, "action": error}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, canonical([rule]).encode())[0] == 200
    told = without(world, hours=24)
    assert names(world) == ["load"]
    assert "was deleted before; with it what Fabric had added" in told


@pytest.mark.law(3)
@pytest.mark.parametrize("seed", range(8))
def test_staging_items_under_crashes_are_deleted_too(seed: int) -> None:
    world = World(seed)
    deployed(world, flow(world))
    world.submit(manifest(content(world, orphans="delete")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    world.crash_rate = 0.1
    world.pass_hours(0.5)
    world.crash_rate = 0.0
    world.pass_hours(48)
    assert names(world) == ["load"]
