"""A shortcut with a transform, if Fabric answers the call for many shortcuts at once, without an operation."""

import json
from typing import Any

import pytest

from local.fabric_simulator import control
from local.fabric_simulator.shortcuts import OneLakePaths
from shared.domain.states import DeploymentState
from tests.simulation.edges import WORKSPACE
from tests.simulation.world import World

pytestmark = pytest.mark.law(1)


def deployed(value: dict[str, Any], effect: str) -> World:
    """Deploy a shortcut with a transform; Fabric answers its create with 200 and this row."""
    world = World(4)
    action = {"status": 200, "effect": effect, "body": {"value": [value]}}
    rule = {"match": {"method": "POST", "path": ".*/shortcuts/bulkCreate"}, "action": action}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, json.dumps([rule]).encode())[0] == 200
    place = {"workspaceId": WORKSPACE, "itemId": "${{ steps.lake.outputs.id }}"}
    link = {
        **place,
        "path": "Files",
        "name": "orders",
        "target": {"oneLake": {**place, "path": "Tables"}},
        "transform": {"type": "csvToDelta"},
    }
    steps = [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}},
        {"id": "lake", "kind": "lakehouse", "with": {"workspaceId": WORKSPACE, "displayName": "lake"}},
        {"id": "orders", "kind": "shortcut", "with": link},
    ]
    world.submit({"name": "m", "target": "T", "steps": steps})
    return world


def test_shortcut_that_fabric_refuses_at_once_fails_with_its_reason() -> None:
    error = {"errorCode": "InvalidTransform", "message": "the delimiter has two characters"}
    world = deployed({"status": "Failed", "error": error}, "before")
    assert world.run() == [DeploymentState.COMPENSATED]
    [found] = [row.record.error for row in world.journal.steps("d") if row.record.step_id == "orders"]
    assert found is not None
    assert (found.message, found.error_code) == ("the delimiter has two characters", "InvalidTransform")
    assert world.names() == {}


def test_shortcut_that_fabric_makes_at_once_is_found_and_made_once() -> None:
    """The row does not say which shortcut it is: a look shows that."""
    world = deployed({"status": "Succeeded"}, "after")
    assert world.run() == [DeploymentState.SUCCEEDED]
    [lake] = [i for w in world.model.store.workspaces.values() for i in w.standing() if i.name == "lake"]
    assert set(lake.part(OneLakePaths).shortcuts) == {("Files", "orders")}
    assert sum(call["path"].endswith("/bulkCreate") for call in world.model.calls) == 1
