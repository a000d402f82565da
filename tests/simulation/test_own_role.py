"""The identity that deploys must not lower its own role: with what is left it could not roll back."""

from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.manifest import compile_manifest
from shared.domain.states import DeploymentState, StepState
from shared.saga.dry_run.changes import dry_run
from shared.saga.dry_run.result import Action
from shared.steps import KINDS, STEPS
from tests.simulation.edges import IDENTITY, WORKSPACE
from tests.simulation.world import World

GROUP = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c09"
WS = WORKSPACE


def _manifest(role: str, principal: str = IDENTITY.upper(), **more: Any) -> dict[str, Any]:
    """Return a manifest of a workspace, another admin, and a role for the given principal."""
    rows = [
        {"principalId": GROUP, "principalType": "Group", "role": "Admin"},
        {"principalId": principal, "principalType": "ServicePrincipal", "role": role},
    ]
    steps: list[dict[str, Any]] = [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}},
        {"id": "team", "kind": "principals", "with": {"workspaceId": WS, "principals": rows, **more}},
    ]
    return {"name": "m", "steps": steps}


def _seed(world: World, role: str) -> None:
    """Create the workspace with our role on it, beside the role of a group that makes us its admin."""
    roles = [
        {"id": IDENTITY, "type": "ServicePrincipal", "role": role},
        {"id": GROUP, "type": "Group", "role": "Admin"},
    ]
    control.seed(world.model, {"workspaces": [{"displayName": "sales", "roleAssignments": roles}]})


def _planned(world: World, manifest: dict[str, Any]) -> dict[str, tuple[Action, str]]:
    found = dry_run(
        world.fabric, STEPS, compile_manifest(manifest, KINDS), clock=world.clock, sleep=world.clock.advance
    )
    return {step.id: (step.action, step.reason) for step in found.steps}


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("role", ["Member", "Contributor", "Viewer"])
def test_own_role_is_not_lowered(role: str, is_there: bool) -> None:
    """It is refused in the dry run and before the call, also if the workspace does not exist yet. Everything is rolled
    back."""
    world = World()
    if is_there:
        _seed(world, "Admin")
    action, reason = _planned(world, _manifest(role))["team.002"]
    assert action is Action.BLOCKED
    assert f"from Admin to {role}" in reason
    world.submit(_manifest(role))
    assert world.run() == [DeploymentState.COMPENSATED]
    assert not [c for c in world.model.calls if c["method"] == "PATCH"]
    assert world.names() == ({"sales": []} if is_there else {})
    failed = next(s.record for s in world.journal.steps("d") if s.record.step_id == "team.002")
    assert failed.error is not None
    assert "the identity could then compensate nothing: leave the step out" in failed.error.message


def test_own_role_may_stay_or_rise() -> None:
    """An equal role changes nothing, and a higher role is assigned."""
    for before, role, wanted in (("Admin", "Admin", Action.UNCHANGED), ("Member", "Admin", Action.UPDATE)):
        world = World()
        _seed(world, before)
        assert _planned(world, _manifest(role))["team.002"][0] is wanted
        # The simulator knows no members of groups, so an admin must exist for the call.
        next(iter(world.model.store.workspaces.values())).roles[IDENTITY]["role"] = "Admin"
        world.submit(_manifest(role))
        assert world.run() == [DeploymentState.SUCCEEDED]


def test_own_role_may_be_adopted_and_roles_of_others_lowered() -> None:
    """`adopt` changes nothing, and the role of any other principal may be lowered."""
    world = World()
    world.submit(_manifest("Viewer", ifExists="adopt"))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert {s.record.state for s in world.journal.steps("d")} == {StepState.SUCCEEDED}
    other = World()
    other.submit(_manifest("Viewer", GROUP.replace("09", "08")))
    assert other.run() == [DeploymentState.SUCCEEDED]
