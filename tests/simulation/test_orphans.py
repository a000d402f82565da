"""Items that a repository does not contain any more: quarantined, restored by a rollback, deleted at the very end."""

from datetime import timedelta
from typing import Any

import pytest

from local.fabric_simulator import control
from local.fabric_simulator.folders import Folders
from local.fabric_simulator.schedules import Schedules
from local.fabric_simulator.store import Item
from shared.domain.json import canonical
from shared.domain.states import DeploymentState
from shared.repository.item_types import ITEM_TYPES
from shared.saga.command.verbs import Verb
from shared.steps import restorable
from shared.steps.orphans import is_quarantined, keeps_data
from shared.steps.restorable import Restorable
from tests.simulation import repositories
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.item_types import NOT_RESTORED
from tests.simulation.test_repository import BALL, ids, manifest
from tests.simulation.world import World

DAILY = {
    "type": "Daily",
    "startDateTime": "2026-01-01T00:00:00",
    "endDateTime": "2027-01-01T00:00:00",
    "localTimeZoneId": "UTC",
    "times": ["06:00"],
}


def content(world: World, *others: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a repository of one notebook and these items."""
    return repositories.step(WORKSPACE, [repositories.item(world.blobs, "Notebook", "load", "x = 1"), *others], **more)


def old(world: World, **more: Any) -> dict[str, Any]:
    """Return an item that a later deployment does not contain."""
    return repositories.item(world.blobs, "DataPipeline", "old", "{}", folder="/Raw", **more)


def items(world: World) -> dict[str, Item]:
    """Return the items by their ids."""
    return {i.id: i for w in world.model.store.workspaces.values() for i in w.standing()}


def deployed(world: World, *others: dict[str, Any]) -> str:
    """Deploy the repository with an item whose schedule is on; return the item's id."""
    world.submit(manifest(content(world, *(others or (old(world),)))))
    assert world.run() == [DeploymentState.SUCCEEDED]
    [item_id] = [i.id for i in items(world).values() if i.name == "old"]
    [place] = world.model.store.workspaces
    path = f"/v1/workspaces/{place}/items/{item_id}/jobs/Pipeline/schedules"
    if items(world)[item_id].type == "DataPipeline":
        world.fabric.send("POST", path.removeprefix("/v1"), {"enabled": True, "configuration": DAILY})
    return item_id


def state(item: Item) -> tuple[str, bool, list[bool]]:
    """Return its name, if it is in a folder, and which of its schedules are on."""
    schedules = [s.shown["enabled"] for s in item.part(Schedules).by_id.values()]
    return item.name, item.folder_id is not None, schedules


@pytest.mark.law(1)
def test_orphan_is_quarantined_and_a_rollback_restores_it() -> None:
    world = World(1)
    item_id = deployed(world)
    world.submit(manifest(content(world, orphans="quarantine"), BALL), "e")
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert state(items(world)[item_id]) == ("old", True, [True])
    calls = [c for c in world.model.calls if c["path"].endswith(f"/items/{item_id}") and c["method"] == "PATCH"]
    assert len(calls) == 2
    world.submit(manifest(content(world, orphans="quarantine")), "f")
    assert world.run("f") == [DeploymentState.SUCCEEDED]
    name, is_in_folder, schedules = state(items(world)[item_id])
    assert (name, is_in_folder, schedules) == (f"quarantine_{item_id[:8]}_old", False, [False])


def test_orphan_that_comes_back_keeps_its_id() -> None:
    """It is recognised by its logical id, and has its name and its folder again."""
    world = World(1)
    item_id = deployed(world)
    for deployment_id, step in (
        ("e", content(world, orphans="quarantine")),
        ("f", content(world, orphans="quarantine")),
        ("g", content(world, old(world), orphans="quarantine")),
    ):
        world.submit(manifest(step), deployment_id)
        assert world.run(deployment_id) == [DeploymentState.SUCCEEDED]
        assert is_quarantined({"id": item_id, "displayName": items(world)[item_id].name}) == (deployment_id != "g")
    assert state(items(world)[item_id])[:2] == ("old", True)


def test_orphan_gives_its_name_to_an_item_that_is_renamed() -> None:
    """The quarantine comes first, so the name is free; the renamed item keeps its id."""
    world = World(1)
    first = repositories.item(world.blobs, "DataPipeline", "first", "{}")
    deployed(world, old(world), first)
    known = ids(world)
    renamed = {**first, "displayName": "old"}
    world.submit(manifest(content(world, renamed, orphans="quarantine")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    assert ids(world)["old"] == known["first"]
    assert ids(world)[f"quarantine_{known['old'][:8]}_old"] == known["old"]


def test_item_whose_logical_id_changed_is_no_orphan() -> None:
    """It has the name of an item of the repository, so it is updated, and its data stays."""
    world = World(1)
    item_id = deployed(world)
    again = {**old(world), "logicalId": repositories.logical_id("DataPipeline", "another")}
    world.submit(manifest(content(world, again, orphans="delete")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    world.pass_hours(1)
    assert state(items(world)[item_id])[:2] == ("old", True)


def test_orphan_is_deleted_after_its_time_and_then_nobody_retires_the_deployment() -> None:
    """Until then a person can; the audit names the item before it is deleted."""
    world = World(1)
    item_id = deployed(world)
    world.submit(manifest(content(world, orphans="delete", keepOrphansFor="2h")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    world.pass_hours(1.5)
    assert item_id in items(world)
    world.pass_hours(1)
    assert item_id not in items(world)
    reasons = [e.reason for e in world.journal.audit("e")]
    assert any(item_id in reason and "is deleted" in reason for reason in reasons)
    answer = world.ask(Verb.RETIRE, "e")
    assert (answer.accepted, world.state("e")) == (False, DeploymentState.SUCCEEDED)
    assert "redeploy an earlier release" in answer.message
    assert [n.name for n in world.deployed.of_workspace(next(iter(world.model.store.workspaces)))] == ["load"]


def test_deployment_is_retired_before_its_orphans_are_deleted() -> None:
    world = World(1)
    item_id = deployed(world)
    world.submit(manifest(content(world, orphans="delete", keepOrphansFor="2h")), "e")
    world.run("e")
    assert world.ask(Verb.RETIRE, "e").accepted
    assert world.run("e") == [DeploymentState.COMPENSATED]
    world.pass_hours(3)
    assert state(items(world)[item_id]) == ("old", True, [True])


def test_orphan_that_somebody_deleted_is_forgotten() -> None:
    """No later deployment looks for it; the notes on what is still there stay."""
    world = World(1)
    deployed(world, old(world), repositories.item(world.blobs, "DataPipeline", "older", "{}"))
    [place] = world.model.store.workspaces.values()
    del place.items[ids(world)["old"]]
    world.submit(manifest(content(world, orphans="quarantine")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    assert sorted(note.name for note in world.deployed.of_workspace(place.id)) == ["load", "older"]


def test_orphan_that_somebody_deleted_is_remembered_if_the_deployment_is_rolled_back() -> None:
    world = World(1)
    deployed(world)
    [place] = world.model.store.workspaces.values()
    del place.items[ids(world)["old"]]
    world.submit(manifest(content(world, orphans="quarantine"), BALL), "e")
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert sorted(note.name for note in world.deployed.of_workspace(place.id)) == ["load", "old"]


@pytest.mark.law(2)
def test_item_of_others_with_the_name_of_a_deleted_one_is_never_an_orphan() -> None:
    """Ours was deleted by hand, and somebody created another of the name. A deployment updates that; it is not ours."""
    world = World(1)
    deployed(world)
    [place] = world.model.store.workspaces.values()
    del place.items[ids(world)["old"]]
    row = {"type": "DataPipeline", "displayName": "old", "description": "own"}
    control.seed(world.model, {"workspaces": [{"id": place.id, "items": [row]}]})
    for deployment_id, step in (("e", content(world, old(world))), ("f", content(world, orphans="delete"))):
        world.submit(manifest(step), deployment_id)
        assert world.run(deployment_id) == [DeploymentState.SUCCEEDED]
    world.pass_hours(1)
    assert sorted(i.name for i in items(world).values()) == ["load", "old"]


@pytest.mark.law(1)
def test_orphan_whose_folder_somebody_deleted_is_restored_at_the_top() -> None:
    """In quarantine it has left the folder, so that somebody could delete that."""
    world = World(1)
    item_id = deployed(world)
    world.submit(manifest(content(world, orphans="quarantine")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    [place] = world.model.store.workspaces.values()
    place.part(Folders).by_id.clear()
    assert world.ask(Verb.RETIRE, "e").accepted
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert state(items(world)[item_id]) == ("old", False, [True])
    assert any("the folder of 1 item(s) was deleted meanwhile" in e.reason for e in world.journal.audit("e"))


@pytest.mark.law(1)
def test_item_whose_old_folder_somebody_deleted_is_restored_at_the_top() -> None:
    """A deployment moved it into a folder of its own, which goes with the rollback."""
    world = World(1)
    item_id = deployed(world)
    moved = repositories.item(world.blobs, "DataPipeline", "old", "{}", folder="/New")
    world.submit(manifest(content(world, moved)), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    [place] = world.model.store.workspaces.values()
    folders = place.part(Folders).by_id
    del folders[next(folder.id for folder in folders.values() if folder.name == "Raw")]
    assert world.ask(Verb.RETIRE, "e").accepted
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert state(items(world)[item_id])[:2] == ("old", False)
    assert folders == {}


@pytest.mark.parametrize("item_type", ["Lakehouse", "Eventstream"])
@pytest.mark.parametrize("allowed", [False, True])
def test_orphan_with_data_is_deleted_only_if_the_manifest_names_it(allowed: bool, item_type: str) -> None:
    world = World(1)
    text = "{}" if item_type == "Eventstream" else ""
    item_id = deployed(world, repositories.item(world.blobs, item_type, "old", text))
    permits = {"allowDataLoss": [f"old.{item_type}"]} if allowed else {}
    world.submit(manifest(content(world, orphans="delete", **permits)), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    world.pass_hours(1)
    assert (item_id in items(world)) != allowed


def test_types_that_lose_data_with_an_item_are_those_that_a_rollback_does_not_restore() -> None:
    """The page of item types names the types that the sweeper keeps because of their data; it keeps an unknown type."""
    loses = ("Data", "Documents", "Tables", "Runs", "The loaded graph")
    told = {name for name, reason in NOT_RESTORED.items() if reason.startswith(loses)}
    told |= {name for name in ITEM_TYPES if restorable.of_update(name) is Restorable.NO}
    assert {"Lakehouse", "KQLDatabase", "SemanticModel", "MLExperiment", "GraphModel"} <= told
    assert {name for name in told if not keeps_data(name)} == set()
    assert keeps_data("Nobody knows")


@pytest.mark.law(1)
def test_orphan_stays_while_another_deployment_is_under_way() -> None:
    """It may be about to take the item out of the quarantine, also if dead processes let its lease expire."""
    world = World(1)
    item_id = deployed(world)
    world.submit(manifest(content(world, orphans="delete", keepOrphansFor="2h")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    gate = {"id": "go", "kind": "approval", "needs": ["content"], "timeout": "12h", "with": {"message": "Go?"}}
    world.submit(manifest(content(world), gate), "f")
    world.pass_hours(1, sweeping=False)
    world.clock.advance(2 * 3600)
    world.locks.release(world.journal.header("f").record.target, "f")
    world.sweep()
    assert world.state("f") is DeploymentState.RUNNING
    assert item_id in items(world)


def test_orphan_that_fabric_refuses_to_delete_stops_no_other_and_fills_no_audit() -> None:
    """The others are deleted; it is tried again in growing pauses, and deleted when Fabric allows it."""
    world = World(1)
    item_id = deployed(world, old(world), repositories.item(world.blobs, "DataPipeline", "older", "{}"))
    refusal = {"status": 403, "body": {"errorCode": "ItemHasProtectedLabel", "message": "protected"}}
    rule = {"match": {"method": "DELETE", "path": f".*/{item_id}"}, "action": refusal}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, canonical([rule]).encode())[0] == 200
    world.submit(manifest(content(world, orphans="delete")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    world.pass_hours(24)
    assert sorted(item.name for item in items(world).values()) == ["load", f"quarantine_{item_id[:8]}_old"]
    tries = [e for e in world.journal.audit("e") if "tried again at" in e.reason]
    assert "ItemHasProtectedLabel" in tries[0].reason
    assert 2 <= len(tries) <= 12
    assert control.handle(world.model, "POST", "/_sim/faults", {}, b"[]")[0] == 200
    world.pass_hours(48)
    assert item_id not in items(world)


@pytest.mark.law(2)
def test_item_of_others_is_never_an_orphan() -> None:
    """An item that a deployment found and updated is not an orphan, nor is one that no deployment knows."""
    world = World(1)
    rows = [{"type": "DataPipeline", "displayName": name, "description": "own"} for name in ("old", "stranger")]
    workspace = {"displayName": "sales", "roleAssignments": [own_role()], "items": rows}
    control.seed(world.model, {"workspaces": [workspace]})
    deployed(world)
    world.submit(manifest(content(world, orphans="delete")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    world.pass_hours(1)
    assert sorted(i.name for i in items(world).values()) == ["load", "old", "stranger"]


@pytest.mark.law(3)
@pytest.mark.parametrize("seed", range(12))
def test_orphans_under_crashes_end_as_without_them(seed: int) -> None:
    world = World(seed, overtake_rate=0.03)
    item_id = deployed(world)
    world.crash_rate = 0.05
    world.submit(manifest(content(world, orphans="delete"), *([BALL] if seed % 2 else [])), "e")
    [end] = world.run("e")
    world.crash_rate = 0.0
    world.pass_hours(1)
    if seed % 2:
        assert end is DeploymentState.COMPENSATED
        assert state(items(world)[item_id]) == ("old", True, [True])
    else:
        assert end is DeploymentState.SUCCEEDED
        assert item_id not in items(world)
    assert world.clock.now() - world.journal.header("e").record.accepted_at < timedelta(days=2)
