"""Retries of what Fabric or its directory does not know yet, and error codes, which mean the same in every answer."""

import copy
from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.states import DeploymentState
from tests.simulation.edges import IDENTITY
from tests.simulation.laws import encoded
from tests.simulation.test_laws import MEDALLION, WHOLE, check_laws
from tests.simulation.world import World


def _injected(times: int, path: str, method: str = "POST", **action: Any) -> World:
    """Submit a medallion in a world that replaces the answers to some calls."""
    world = World()
    rule = {"match": {"method": method, "path": path}, "when": {"times": times}, "action": action}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    manifest = copy.deepcopy(MEDALLION)
    manifest["steps"][1]["with"]["enableSchemas"] = True  # so that its own route verifies this lakehouse
    world.submit(manifest)
    return world


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        (".*/roleAssignments", "POST", 400, "PrincipalNotFound"),
        (".*/roleAssignments", "POST", 404, "PrincipalNotFound"),
        ("/v1/workspaces", "POST", 400, "CapacityNotFound"),
        (".*/lakehouses", "POST", 404, "WorkspaceNotFound"),
        (".*/lakehouses", "POST", 400, "EntityNotFound"),
        (".*/lakehouses/[^/]+", "GET", 404, "ItemNotFound"),
        (".*/items", "GET", 404, "WorkspaceNotFound"),
        (".*/items", "POST", 400, "UnknownError"),
        (".*/items", "POST", 409, "InternalError"),
        (".*/items", "POST", 500, "RequestBlocked"),
    ],
)
def test_lag_is_waited_for(path: str, method: str, status: int, code: str) -> None:
    """Fabric refuses three times in a row and then accepts: everything is applied, each resource once."""
    world = _injected(3, path, method, status=status, body={"errorCode": code, "message": "m"})
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert world.names() == WHOLE
    assert len([call for call in world.model.calls if call["status"] == status]) >= 3
    check_laws(world)


def test_lag_that_does_not_end_fails_with_a_remedy() -> None:
    """The principal does not exist: the step uses all attempts of the policy, and the remedy names both possible
    causes."""
    world = _injected(99, ".*/roleAssignments", status=400, body={"errorCode": "PrincipalNotFound", "message": "m"})
    assert world.run() == [DeploymentState.COMPENSATED]
    [error, *_] = [s.record.error for s in world.journal.steps("d") if s.record.error is not None]
    posts = [c for c in world.model.calls if c["error_code"] == "PrincipalNotFound"]
    assert world.policy.forward.max_attempts <= len(posts) <= 2 * world.policy.forward.max_attempts
    assert "object id" in error.remedy
    assert "created just now" in error.remedy
    check_laws(world)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [("ItemDisplayNameAlreadyInUse", "ifExists"), ("InvalidInput", "Correct the field")],
)
def test_operation_that_failed_means_what_its_code_says(code: str, remedy: str) -> None:
    """A code has the same meaning and remedy under a failed operation as under a refused call."""
    world = World()
    handle = world.model.handle

    def failing(request: Any) -> Any:
        reply = handle(request)
        for operation in world.model.store.operations.values():
            if operation.kind == "create Notebook":
                operation.error = {"errorCode": code, "message": "m", "isRetriable": False}
        return reply

    world.model.handle = failing
    world.submit(MEDALLION)
    assert world.run() == [DeploymentState.COMPENSATED]
    error = next(s.record.error for s in world.journal.steps("d") if s.record.step_id == "nb")
    assert error is not None
    assert error.error_code == code
    assert remedy in error.remedy


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_token_refused_under_any_status_is_renewed(status: int) -> None:
    """The code says that Fabric refused the call unread because of its token: a new token is fetched, and the call
    repeated."""
    world = _injected(1, "/v1/workspaces", status=status, body={"errorCode": "TokenExpired", "message": "m"})
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert all(s.record.attempt == 0 for s in world.journal.steps("d"))
    assert IDENTITY in str(world.model.calls[0]["identity"])
