"""The writes of an update from Git while its deliveries read the before-image, piece by piece."""

from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.states import DeploymentState
from shared.saga.command.verbs import Verb
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.fault_table import BRANCH, put_connections
from tests.simulation.git_branches import files, push
from tests.simulation.world import World

MANIFEST: dict[str, Any] = {
    "name": "m",
    "steps": [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}},
        {"id": "update", "kind": "git_update", "with": {"workspaceId": WORKSPACE}},
    ],
}


def behind(count: int) -> World:
    """Return a tenant with a workspace of so many notebooks, all of which the head of its branch changes."""
    world = World(3)
    control.seed(world.model, {"workspaces": [{"displayName": "sales", "roleAssignments": [own_role()]}]})
    put_connections(world.model, is_bound=False)
    [place] = world.model.store.workspaces
    for text, workspace_id in (("x = 1", place), ("x = 2", "")):
        changed: dict[str, str | None] = {}
        for number in range(count):
            logical_id = f"{number:08x}-0000-4000-8000-000000000001"
            changed |= files("Notebook", f"n{number}", logical_id, f"{text}  # {number}")
        push(world.model, BRANCH, changed, workspace_id)
    return world


def stored_bytes(world: World) -> list[int]:
    """Count from now on what is stored in blobs, in a list that grows."""
    sizes, put = list[int](), world.blobs.put

    def counting(content: bytes) -> str:
        sizes.append(len(content))
        return put(content)

    world.blobs.put = counting
    return sizes


def texts(world: World) -> dict[str, Any]:
    """Return the definition of each item."""
    [place] = world.model.store.workspaces.values()
    return {item.name: item.definition for item in place.items.values()}


def written(count: int) -> tuple[int, int]:
    """Return the bytes that an update of so many notebooks stores, and its deliveries."""
    world = behind(count)
    sizes = stored_bytes(world)
    world.submit(MANIFEST)
    assert world.run() == [DeploymentState.SUCCEEDED]
    return sum(sizes), world.journal.step("d", 1)[1].record.deliveries


def test_bytes_of_a_before_image_grow_as_its_pieces() -> None:
    """Each piece is an operation of its own, and so a delivery. Four times as many store four times as many bytes, and
    not sixteen times."""
    (few, _), (many, deliveries) = written(60), written(240)
    assert deliveries > 240
    assert many < 5 * few


@pytest.mark.law(1)
def test_pieces_of_several_blocks_are_all_restored() -> None:
    world = behind(50)
    before = texts(world)
    world.submit(MANIFEST)
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert all(definition != before[name] for name, definition in texts(world).items())
    assert world.ask(Verb.RETIRE).accepted
    assert world.run() == [DeploymentState.COMPENSATED]
    assert texts(world) == before
