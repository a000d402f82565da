"""Companions in a folder that a deployment created: they are deleted with it, and what another actor has there stays.

No recording shows in which folder Fabric puts the staging items of a dataflow, so both places are tried.
"""

from typing import Any

import pytest

from local.fabric_simulator.folders import Folders
from local.fabric_simulator.store import Item, Workspace
from shared.domain.states import DeploymentState, StepState
from shared.saga.audit import verify
from shared.saga.command.verbs import Verb
from tests.simulation import repositories
from tests.simulation.edges import WORKSPACE
from tests.simulation.test_companions import adopted, delete_item
from tests.simulation.test_repository import BALL, manifest
from tests.simulation.world import World


def content(world: World) -> dict[str, Any]:
    """Return a repository of one dataflow, in a folder."""
    flow = repositories.item(world.blobs, "Dataflow", "orders", "section Section1;", folder="/Raw")
    return repositories.step(WORKSPACE, [flow])


def place(world: World) -> Workspace:
    return next(iter(world.model.store.workspaces.values()))


def staging(world: World) -> list[Item]:
    return [i for i in place(world).standing() if i.name.startswith("Staging")]


def folders(world: World) -> list[str]:
    return [folder.name for folder in place(world).part(Folders).by_id.values()]


def obstacle(world: World) -> str:
    """Return the error of the folder that could not be deleted, and check that it is the only one."""
    left = [s.record for s in world.journal.steps("d") if s.record.state is StepState.COMPENSATION_FAILED]
    [row] = left
    assert row.kind == "folder"
    assert row.compensation_error is not None
    return row.compensation_error.message


def retired_with(world: World, *, beside: bool) -> list[Item]:
    """Retire the deployment after another actor created a dataflow in its folder, `beside` in the same seconds; return
    the other actor's items."""
    world.submit(manifest(content(world)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    own = {i.id for i in place(world).items.values()}
    [folder_id] = place(world).part(Folders).by_id
    now = world.clock.now().timestamp() + (0 if beside else 3600)
    flow = Item(world.model.store.new_id(), "Dataflow", "theirs", "", now, now, folder_id=folder_id)
    place(world).items[flow.id] = flow
    world.model.add_companions(place(world), flow)
    theirs = [i for i in place(world).standing() if i.id not in own]
    assert len(theirs) == 3
    world.ask(Verb.RETIRE)
    world.run(hours=2.0)
    assert world.state() is DeploymentState.STUCK
    assert all(i.id in place(world).items for i in theirs)
    return theirs


@pytest.mark.parametrize("is_inside", [True, False], ids=["in the folder", "at the top"])
def test_companions_of_a_dataflow_in_a_folder_are_deleted_with_it(is_inside: bool) -> None:
    """The workspace is as it was, wherever Fabric puts them."""
    world = World()
    adopted(world)
    world.submit(manifest(content(world)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    [folder_id] = place(world).part(Folders).by_id
    assert [i.folder_id for i in staging(world)] == [folder_id, folder_id]
    if not is_inside:
        for each in place(world).items.values():
            each.folder_id = folder_id if each.name == "orders" else None
    world.ask(Verb.RETIRE)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {"sales": []}
    assert folders(world) == []


@pytest.mark.law(1)
def test_companions_of_a_dataflow_with_many_references_are_deleted_with_its_folder() -> None:
    """The step is too large for its row, so that its folder stands in a payload."""
    world = World()
    adopted(world)
    notebooks = [repositories.item(world.blobs, "Notebook", f"load{i}", "x = 1") for i in range(20)]
    refers_to = tuple(f"Notebook/{each['displayName']}" for each in notebooks)
    flow = repositories.item(world.blobs, "Dataflow", "orders", "section Section1;", refers_to, folder="/Raw")
    world.submit(manifest(repositories.step(WORKSPACE, [*notebooks, flow])))
    assert world.run() == [DeploymentState.SUCCEEDED]
    [row] = [s.record for s in world.journal.steps("d") if s.record.step_id == "content/Dataflow/orders"]
    assert "folderId" not in row.spec
    world.ask(Verb.RETIRE)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {"sales": []}
    assert folders(world) == []


@pytest.mark.law(1)
def test_companions_that_appear_late_do_not_keep_their_folder() -> None:
    """The step of the dataflow is over before Fabric shows them, so the step of the folder deletes them."""
    world = World()
    world.model.settings.companion_seconds = 600.0
    adopted(world)
    world.submit(manifest(content(world), BALL))
    assert world.run(hours=3.0) == [DeploymentState.COMPENSATED]
    assert world.names() == {"sales": []}
    assert folders(world) == []
    told = [e.reason for e in world.journal.audit("d") if "with it what Fabric had added" in e.reason]
    assert any("StagingLakehouse" in reason and "StagingWarehouse" in reason for reason in told)
    assert verify.verify(verify.read(world.journal, "d")).differences == ()


@pytest.mark.law(1, 2)
@pytest.mark.parametrize("removes", ["ours", "theirs"])
def test_companions_that_nobody_can_tell_apart_stay_for_good(removes: str) -> None:
    """Another actor's dataflow of the same seconds is in the folder (seed 7000296). A person removes one pair of
    staging items: nothing proves whose the other is, because the person may have left their own."""
    world = World()
    adopted(world)
    theirs = retired_with(world, beside=True)
    assert "Lakehouse 'StagingLakehouseForDataflows_" in obstacle(world)
    assert len(staging(world)) == 4
    ours = [i for i in staging(world) if i not in theirs]
    first, others = (ours, theirs) if removes == "ours" else (theirs, ours)
    for each in first:
        delete_item(world, each)
    world.run(hours=3.0)
    assert world.state() is DeploymentState.STUCK
    assert {i.id for i in place(world).standing()} == {i.id for i in others}
    for each in others:
        delete_item(world, each)
    assert world.run(hours=3.0) == [DeploymentState.COMPENSATED]
    assert folders(world) == []
    assert verify.verify(verify.read(world.journal, "d")).differences == ()


@pytest.mark.law(2)
def test_items_left_at_the_top_are_not_deleted_when_ours_have_been_removed() -> None:
    """The person moved their own items out of the folder and deleted ours, as the error asks."""
    world = World()
    adopted(world)
    theirs = retired_with(world, beside=True)
    for each in staging(world):
        if each not in theirs:
            delete_item(world, each)
    for each in place(world).items.values():
        each.folder_id = None
    assert world.run(hours=3.0) == [DeploymentState.COMPENSATED]
    world.clock.advance(world.policy.orphan_grace_seconds + 1)
    world.sweep()
    assert world.names() == {"sales": sorted(i.name for i in theirs)}


@pytest.mark.law(2)
def test_items_that_look_like_companions_stay_in_our_workspace_when_ours_have_been_removed() -> None:
    """The workspace is ours, and another actor's dataflow of the same seconds was in it."""
    world = World()
    theirs = retired_with(world, beside=True)
    for each in [i for i in staging(world) if i not in theirs] + theirs[:1]:
        delete_item(world, each)
    world.run(hours=3.0)
    assert world.state() is DeploymentState.STUCK
    assert world.names() == {"sales": sorted(i.name for i in theirs[1:])}


@pytest.mark.law(2)
def test_items_of_another_actor_keep_a_folder_whose_companions_go() -> None:
    """Another actor's dataflow was created an hour later: only ours has lost its staging items."""
    world = World()
    adopted(world)
    theirs = retired_with(world, beside=False)
    assert "Dataflow 'theirs'" in obstacle(world)
    assert world.names() == {"sales": sorted(i.name for i in theirs)}
