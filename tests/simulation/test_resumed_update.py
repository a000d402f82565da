"""A resumed update sends its calls again: Fabric accepted them the first time, and what they began failed."""

import json
from dataclasses import replace
from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.states import DeploymentState
from shared.saga.command.verbs import Verb
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.fault_table import CAPACITIES
from tests.simulation.world import World

pytestmark = pytest.mark.law(1)


def test_assignment_that_failed_later_is_sent_again_after_the_resume() -> None:
    """The new capacity was paused. A person starts it and resumes the deployment."""
    world = World()
    control.seed(world.model, {"capacities": [{"id": capacity} for capacity in CAPACITIES]})
    row = {"displayName": "sales", "roleAssignments": [own_role()], "capacityId": CAPACITIES[0]}
    control.seed(world.model, {"workspaces": [row]})
    [place] = world.model.store.workspaces.values()
    world.model.update_settings({"capacity_assignment_seconds": 45.0, "capacity_shown_late": True})
    handle = world.model.handle

    def failing(request: Any) -> Any:
        reply = handle(request)
        if place.capacity_id != CAPACITIES[0] and world.clock.now().timestamp() >= place.assigned_at:
            place.capacity_id = CAPACITIES[0]
            place.assigned_at = 0.0
            failed.append(request.path)
        if failed and request.path == f"/v1/workspaces/{place.id}":
            shown = {**json.loads(reply.body), "capacityId": CAPACITIES[0], "capacityAssignmentProgress": "Failed"}
            return replace(reply, body=json.dumps(shown).encode())
        return reply

    failed = list[str]()
    world.model.handle = failing
    spec = {"workspaceId": WORKSPACE, "capacityId": CAPACITIES[1]}
    steps = [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}},
        {"id": "move", "kind": "capacity_assignment", "with": spec},
    ]
    world.submit({"name": "m", "onFailure": "hold", "steps": steps})
    world.run(hours=1.0)
    assert (world.state(), len(failed)) == (DeploymentState.HELD, 1)
    world.model.handle = handle
    assert world.ask(Verb.RESUME).accepted
    assert world.run(hours=1.0) == [DeploymentState.SUCCEEDED]
    assert place.capacity_id == CAPACITIES[1]
