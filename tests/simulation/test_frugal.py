"""How many calls the steps of kind `item` cost, and what happens if the list does not show what they created yet."""

from collections import Counter
from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.states import DeploymentState
from tests.simulation.edges import WORKSPACE
from tests.simulation.laws import encoded
from tests.simulation.world import World

COUNT = 20
LIST, ONE, RESULT = "GET items", "GET item", "GET result"


def _manifest(count: int) -> dict[str, Any]:
    part = {"path": "notebook-content.py", "text": "# Fabric notebook source\nprint(1)\n"}
    steps: list[dict[str, Any]] = [{"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}}]
    for n in range(count):
        spec = {"workspaceId": WORKSPACE, "type": "Notebook", "displayName": f"n{n}", "definition": {"parts": [part]}}
        steps.append({"id": f"n{n}", "kind": "item", "with": spec})
    return {"name": "m", "steps": steps}


def _calls(world: World) -> Counter[str]:
    """Count the reads of items, and the results of operations."""
    found = Counter[str]()
    for call in world.model.calls:
        parts = call["path"].split("/")[2:]
        if call["method"] == "GET" and parts[0] == "operations" and parts[-1] == "result":
            found[RESULT] += 1
        elif call["method"] == "GET" and parts[2:3] == ["items"]:
            found[ONE if len(parts) == 4 else LIST] += 1
    return found


def test_items_are_verified_by_lists_that_they_share() -> None:
    """No result of a create is read and no item alone, and the lists are fewer than the items."""
    world = World(pace=0.5)
    world.submit(_manifest(COUNT))
    assert world.run() == [DeploymentState.SUCCEEDED]
    calls = _calls(world)
    assert calls[RESULT] == calls[ONE] == 0
    assert calls[LIST] < COUNT
    assert world.names() == {"sales": sorted(f"n{n}" for n in range(COUNT))}


@pytest.mark.parametrize("lists", [[2], [2, 3], list(range(2, 40))])
def test_an_item_that_no_list_shows_yet_is_the_one_that_the_result_names(lists: list[int]) -> None:
    """The operation has succeeded and the list lags behind it: no attempt is lost, and the deployment succeeds."""
    world = World()
    rule = {
        "match": {"method": "GET", "path": "/v1/workspaces/[^/]+/items"},
        "when": {"nth": lists},
        "action": {"status": 200, "body": {"value": []}},
    }
    assert control.handle(world.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    world.submit(_manifest(1))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert _calls(world)[RESULT] == _calls(world)[ONE] == 1
    assert [step.record.attempt for step in world.journal.steps("d")] == [0, 0]
    assert world.names() == {"sales": ["n0"]}
