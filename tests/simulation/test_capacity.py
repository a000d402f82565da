"""Capacities whose assignment takes time: Fabric shows the earlier one until then, and may fail to assign it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from local.fabric_simulator.http import Reply, Request
from local.fabric_simulator.store import Workspace
from shared.domain.states import DeploymentState, StepState
from shared.saga.command.verbs import Verb
from tests.simulation.edges import WORKSPACE
from tests.simulation.fault_table import CAPACITIES, SCENARIOS, Scenario, prepared
from tests.simulation.world import World

pytestmark = pytest.mark.law(1)
MOVES = [
    s
    for s in SCENARIOS
    if s.capacity == CAPACITIES[0] or s.name in ("capacity, assigned", "workspace, given a capacity")
]
EACH = pytest.mark.parametrize("scenario", MOVES, ids=lambda s: s.name)
FLOWS = pytest.mark.parametrize("is_late", [False, True], ids=["shown at once", "shown late"])


def slow(scenario: Scenario, *, fails: bool, is_late: bool) -> World:
    """Return a world with the scenario's deployment, in which an assignment takes 45 s."""
    world = prepared(scenario, fails)
    world.model.update_settings({"capacity_assignment_seconds": 45.0, "capacity_shown_late": is_late})
    return world


def place(world: World) -> Workspace:
    [workspace] = world.model.store.workspaces.values()
    return workspace


@EACH
@FLOWS
def test_capacity_is_restored_before_the_deployment_is_compensated(scenario: Scenario, is_late: bool) -> None:
    """The assignment of the step has ended, and so has the one that restores the earlier capacity."""
    world = slow(scenario, fails=True, is_late=is_late)
    assert world.run(hours=2.0) == [DeploymentState.COMPENSATED]
    assert place(world).capacity_id == scenario.capacity
    assert place(world).assigned_at <= world.clock.now().timestamp()
    sent = [c for c in world.model.calls if c["path"].endswith(("/assignToCapacity", "/unassignFromCapacity"))]
    assert len(sent) == 2


@EACH
@FLOWS
def test_capacity_whose_assignment_runs_at_the_rollback_is_restored(scenario: Scenario, is_late: bool) -> None:
    """A person cancels while Fabric assigns the capacity: what is shown then is not what will be."""
    world = slow(scenario, fails=False, is_late=is_late)
    while place(world).capacity_id != CAPACITIES[1]:
        assert world.step() or world.pass_time() is None
    assert world.ask(Verb.CANCEL).accepted
    assert world.run(hours=2.0) == [DeploymentState.CANCELLED]
    assert place(world).capacity_id == scenario.capacity
    assert place(world).assigned_at <= world.clock.now().timestamp()


@EACH
def test_capacity_that_cannot_be_restored_is_not_called_restored(scenario: Scenario) -> None:
    """Fabric accepts the assignment to the earlier capacity and fails it later: the deployment is stuck until then."""
    world = slow(scenario, fails=True, is_late=False)
    world.model.update_settings({"capacity_assignment_seconds": 0.0})
    handle, failed = world.model.handle, list[str]()

    def failing(request: Any) -> Any:
        reply = handle(request)
        if request.path.endswith("Capacity") and place(world).capacity_id == scenario.capacity:
            place(world).capacity_id = CAPACITIES[1]
            failed.append(request.path)
        if failed and request.path == f"/v1/workspaces/{place(world).id}":
            shown = {**json.loads(reply.body), "capacityAssignmentProgress": "Failed"}
            return replace(reply, body=json.dumps(shown).encode())
        return reply

    world.model.handle = failing
    world.run(hours=2.0)
    assert world.state() is DeploymentState.STUCK
    error = world.journal.step("d", 0 if scenario.step["kind"] == "workspace" else 1)[1].record.compensation_error
    assert error is not None
    assert "could not assign the workspace to its earlier capacity" in error.message
    world.model.handle = handle
    assert world.run(hours=4.0) == [DeploymentState.COMPENSATED]
    assert place(world).capacity_id == scenario.capacity


def test_workspace_whose_own_capacity_is_never_assigned_is_deleted() -> None:
    """The progress can stay InProgress (terraform-provider-fabric #76). Nothing is restored, so nothing waits."""
    world = World()
    world.model.update_settings({"capacity_assignment_seconds": 1e9, "capacity_shown_late": True})
    spec: dict[str, Any] = {"displayName": "sales", "description": "x"}
    ball = {"workspaceId": WORKSPACE, "type": "Crystal", "displayName": "ball"}
    steps = [{"id": "ws", "kind": "workspace", "with": spec}, {"id": "ball", "kind": "item", "with": ball}]
    world.submit({"name": "m", "steps": steps})
    while not world.model.store.workspaces:
        assert world.step() or world.pass_time() is None
    place(world).assigned_at = 1e12
    assert world.run(hours=2.0) == [DeploymentState.COMPENSATED]
    assert {s.record.state for s in world.journal.steps("d")} == {StepState.COMPENSATED}


@pytest.mark.parametrize("name", ["capacity, changed", "workspace, moved to another capacity"])
def test_workspace_is_not_moved_from_a_capacity_without_a_way_back(name: str) -> None:
    """The identity has no role on the earlier capacity: Fabric would refuse the assignment that restores it, and the
    deployment would be stuck. Without a list of capacities nothing is proved, and the workspace is moved."""
    scenario = next(each for each in SCENARIOS if each.name == name)
    for status in (200, 403):
        world = prepared(scenario, False)
        handle = world.model.handle

        def answered(request: Request, handle: Any = handle, status: int = status) -> Reply:
            reply = handle(request)
            if request.path != "/v1/capacities":
                return reply
            if status == 403:
                return replace(reply, status=403, body=b'{"errorCode": "InsufficientScopes", "message": "no"}')
            rows = [row for row in json.loads(reply.body)["value"] if row["id"] != CAPACITIES[0]]
            return replace(reply, body=json.dumps({"value": rows}).encode())

        world.model.handle = answered
        ended = world.run(hours=2.0)
        is_moved = place(world).capacity_id == CAPACITIES[1]
        moves = [c for c in world.model.calls if c["path"].endswith("/assignToCapacity")]
        if status == 403:
            assert (ended, is_moved, len(moves)) == ([DeploymentState.SUCCEEDED], True, 1)
            continue
        assert (ended, is_moved, moves) == ([DeploymentState.COMPENSATED], False, [])
        errors = [s.record.error.message for s in world.journal.steps("d") if s.record.error is not None]
        assert any("has no role, so that it could not be moved back" in each for each in errors)
