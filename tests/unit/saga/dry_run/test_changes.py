"""The dry run against the simulator's model: each kind, each action, and not one call that changes anything."""

from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.errors import FabricAuthError, FabricRefusedError, FabricTransientError
from shared.domain.manifest import compile_manifest
from shared.saga.dry_run.changes import DRY_RUN_RETRY, Action, DryRun, StepChange, dry_run
from shared.saga.dry_run.read_only import ReadOnlyFabric
from shared.steps import KINDS, STEPS
from tests.simulation.laws import encoded
from tests.unit.steps.tenant import OTHER, PERSON, Tenant

WS = "${{ steps.ws.outputs.id }}"
PART = {"path": "notebook-content.py", "text": "x = 1"}
STORED = {"parts": [{"path": "notebook-content.py", "payload": "eCA9IDE=", "payloadType": "InlineBase64"}]}
OLD = {"parts": [{"path": "notebook-content.py", "payload": "b2xk", "payloadType": "InlineBase64"}]}


def workspace(**fields: Any) -> dict[str, Any]:
    """The step `ws`."""
    return {"id": "ws", "kind": "workspace", "with": {"displayName": "sales", **fields}}


def lakehouse(**fields: Any) -> dict[str, Any]:
    """The step `bronze`."""
    return {"id": "bronze", "kind": "lakehouse", "with": {"workspaceId": WS, "displayName": "bronze", **fields}}


def notebook(**fields: Any) -> dict[str, Any]:
    """The step `clean`, with a definition."""
    spec = {"workspaceId": WS, "type": "Notebook", "displayName": "clean", "definition": {"parts": [PART]}}
    return {"id": "clean", "kind": "item", "with": {**spec, **fields}}


def role(**fields: Any) -> dict[str, Any]:
    """The step `reader`."""
    spec = {"workspaceId": WS, "principalId": PERSON, "principalType": "User", "role": "Viewer"}
    return {"id": "reader", "kind": "role_assignment", "with": {**spec, **fields}}


def looked(tenant: Tenant, *steps: dict[str, Any], **options: Any) -> DryRun:
    """The dry run of these steps, by one thread for the model's sake."""
    plan = compile_manifest({"name": "m", "steps": list(steps)}, KINDS)
    return dry_run(tenant.fabric, STEPS, plan, clock=tenant.clock, sleep=tenant.clock.advance, parallel=1, **options)


def only(tenant: Tenant, step: dict[str, Any]) -> StepChange:
    """What becomes of a step of the workspace `sales`."""
    return looked(tenant, workspace(), step).steps[-1]


def mutating(tenant: Tenant) -> list[str]:
    """Calls that may change something, by the simulator's own log."""
    reads = ("/getDefinition",)
    return [
        f"{c['method']} {c['path']}"
        for c in tenant.model.calls
        if c["method"] != "GET" and not (c["method"] == "POST" and c["path"].endswith(reads))
    ]


def faulty(tenant: Tenant, path: str, **action: Any) -> None:
    """Answer calls to a path with a fault."""
    control.handle(tenant.model, "POST", "/_sim/faults", {}, encoded([{"match": {"path": path}, "action": action}]))


def test_dry_run_of_an_empty_tenant_creates_everything_and_calls_nothing() -> None:
    """What hangs on a workspace that is not there cannot be looked up: it is known after apply."""
    tenant = Tenant()
    found = looked(tenant, workspace(), lakehouse(), notebook(), role())
    assert [s.action for s in found.steps] == [Action.CREATE] * 4
    assert [s.reason for s in found.steps] == ["absent"] + ["known after apply: workspaceId"] * 3
    assert found.changes == 4
    assert mutating(tenant) == []
    assert {c["path"] for c in tenant.model.calls} == {"/v1/workspaces"}


STANDING: dict[str, dict[str, Any]] = {
    "bronze": {"type": "Lakehouse", "displayName": "bronze", "description": "theirs"},
    "clean": {"type": "Notebook", "displayName": "clean", "description": "theirs", "definition": STORED},
}


@pytest.mark.parametrize(
    ("step", "action", "fields"),
    [
        (lakehouse(), Action.ADOPT, ()),
        (lakehouse(description="ours"), Action.ADOPT, ()),
        (lakehouse(ifExists="update"), Action.UNCHANGED, ()),
        (lakehouse(ifExists="update", description="theirs"), Action.UNCHANGED, ()),
        (lakehouse(ifExists="update", description="ours"), Action.UPDATE, ("description",)),
        (lakehouse(ifExists="fail"), Action.BLOCKED, ()),
        (lakehouse(enableSchemas=True), Action.BLOCKED, ()),
        (lakehouse(displayName="silver"), Action.CREATE, ()),
        (notebook(), Action.ADOPT, ()),
        (notebook(ifExists="update"), Action.UNCHANGED, ()),
        (notebook(ifExists="update", description="ours"), Action.UPDATE, ("description",)),
        (notebook(ifExists="update", definition={"parts": [{**PART, "text": "y"}]}), Action.UPDATE, ("definition",)),
        (notebook(ifExists="fail"), Action.BLOCKED, ()),
        (notebook(displayName="join"), Action.CREATE, ()),
        (role(), Action.UNCHANGED, ()),
        (role(role="Member"), Action.UPDATE, ("role",)),
        (role(role="Member", ifExists="adopt"), Action.ADOPT, ()),
        (role(ifExists="fail"), Action.BLOCKED, ()),
        (role(principalId=OTHER), Action.CREATE, ()),
    ],
)
def test_dry_run_says_what_the_kind_would_do(step: dict[str, Any], action: Action, fields: tuple[str, ...]) -> None:
    """Of a thing that stands in a workspace that stands: by its ifExists, and by what really differs."""
    tenant = Tenant()
    tenant.workspace(items=list(STANDING.values()), roles=[{"id": PERSON, "type": "User", "role": "Viewer"}])
    before = tenant.model.state()
    found = only(tenant, step)
    assert (found.action, found.fields) == (action, fields), found.reason
    assert (found.resource is None) == (action in (Action.CREATE, Action.BLOCKED))
    assert mutating(tenant) == []
    after = tenant.model.state()
    assert (after["workspaces"], after["deleted"]) == (before["workspaces"], before["deleted"])


@pytest.mark.parametrize(
    ("fields", "action", "changed"),
    [
        ({}, Action.ADOPT, ()),
        ({"ifExists": "update", "description": "theirs"}, Action.UNCHANGED, ()),
        ({"ifExists": "update", "description": "ours"}, Action.UPDATE, ("description",)),
        ({"ifExists": "update", "capacityId": OTHER}, Action.UPDATE, ("capacityId",)),
        ({"ifExists": "fail"}, Action.BLOCKED, ()),
    ],
)
def test_dry_run_of_a_workspace(fields: dict[str, Any], action: Action, changed: tuple[str, ...]) -> None:
    """The same for the workspace itself."""
    tenant = Tenant()
    tenant.workspace(description="theirs")
    [found] = looked(tenant, workspace(**fields)).steps
    assert (found.action, found.fields) == (action, changed)
    assert mutating(tenant) == []


def test_dry_run_compares_definitions_that_fabric_hands_out_slowly() -> None:
    """An operation is waited for; one that takes too long is said to be not compared, and nothing is claimed."""
    tenant = Tenant()
    tenant.workspace(items=[{**STANDING["clean"], "definition": OLD}])
    assert only(tenant, notebook(ifExists="update")).fields == ("definition",)
    rule = {"match": {"path": ".*/getDefinition"}, "action": {"operation": "never"}}
    control.handle(tenant.model, "POST", "/_sim/faults", {}, encoded([rule]))
    found = only(tenant, notebook(ifExists="update"))
    assert (found.action, found.fields) == (Action.UPDATE, ("definition",))
    assert "not compared" in found.reason
    assert mutating(tenant) == []


def test_dry_run_of_what_is_forbidden_is_blocked_with_fabrics_own_words() -> None:
    """Code, request id and remedy; what depends on it is blocked too, and what does not is looked at."""
    tenant = Tenant()
    tenant.workspace(items=list(STANDING.values()))
    body = {"errorCode": "InsufficientPrivileges", "message": "no role", "requestId": "r-1"}
    faulty(tenant, ".*/items", status=403, body=body)
    steps = [workspace(), lakehouse(), {**role(), "needs": ["bronze"]}, {**role(principalId=OTHER), "id": "other"}]
    found = looked(tenant, *steps).steps
    assert [s.action for s in found] == [Action.ADOPT, Action.BLOCKED, Action.BLOCKED, Action.CREATE]
    assert all(word in found[1].reason for word in ("HTTP 403", "InsufficientPrivileges", "no role", "Grant"))
    assert "request " in found[1].reason
    assert found[2].reason == "it needs bronze, which is blocked"


def test_dry_run_of_a_workspace_id_that_is_none_is_blocked() -> None:
    """A fixed id that leads nowhere is refused by Fabric now, as it would be then."""
    tenant = Tenant()
    found = looked(tenant, lakehouse(workspaceId=OTHER)).steps[0]
    assert found.action is Action.BLOCKED
    assert "HTTP 404" in found.reason


def test_dry_run_resolves_references_to_what_is_there() -> None:
    """An output that the manifest itself fixes is known even of what is yet to be created; others are after apply."""
    tenant = Tenant()
    tenant.workspace(items=list(STANDING.values()))
    stored = lakehouse(displayName="bronze")
    absent = {**lakehouse(displayName="silver"), "id": "silver"}
    name = "${{ steps.bronze.outputs.displayName }}"
    by_name = {**notebook(displayName=name), "id": "by_name"}
    reported = {**lakehouse(displayName="gold", description="of ${{ steps.silver.outputs.id }}"), "id": "told"}
    same = {**lakehouse(ifExists="update", description="of ${{ steps.silver.outputs.id }}"), "id": "same"}
    found = {s.id: s for s in looked(tenant, workspace(), stored, absent, by_name, reported, same).steps}
    assert found["by_name"].name == "bronze"
    assert (found["by_name"].action, found["by_name"].reason) == (Action.CREATE, "absent")
    assert (found["told"].action, found["told"].reason) == (Action.CREATE, "absent")
    assert (found["same"].action, found["same"].fields) == (Action.UPDATE, ("description",))


def test_dry_run_of_a_value_that_does_not_fit_is_blocked() -> None:
    """A reference that resolves to what the field may not hold fails the step, and is said beforehand."""
    tenant = Tenant()
    tenant.workspace("with blanks")
    steps = [workspace(displayName="with blanks"), lakehouse(displayName="${{ steps.ws.outputs.displayName }}")]
    found = looked(tenant, *steps).steps[1]
    assert found.action is Action.BLOCKED
    assert "$.with.displayName" in found.reason


def test_dry_run_waits_for_a_throttled_fabric_within_its_budget() -> None:
    """A 429 is waited out; one that never ends is an error of its own kind, and no plan."""
    tenant = Tenant()
    tenant.workspace()
    answer = {"status": 429, "headers": {"Retry-After": "7"}, "body": {"errorCode": "RequestBlocked", "message": "x"}}
    rule = {"match": {"path": "/v1/workspaces"}, "when": {"times": 3}, "action": answer}
    control.handle(tenant.model, "POST", "/_sim/faults", {}, encoded([rule]))
    began = tenant.clock.now()
    assert looked(tenant, workspace()).steps[0].action is Action.ADOPT
    assert (tenant.clock.now() - began).total_seconds() >= 21
    faulty(tenant, "/v1/workspaces", **answer)
    with pytest.raises(FabricTransientError):
        looked(tenant, workspace(), budget_seconds=30)


def test_dry_run_of_an_unknown_identity_is_no_plan() -> None:
    """401 is not about a step: whoever asks is told so at once."""
    tenant = Tenant()
    faulty(tenant, "/v1/workspaces", status=401, body={"errorCode": "Unauthorized", "message": "who?"})
    with pytest.raises(FabricAuthError):
        looked(tenant, workspace())


def test_dry_run_lists_a_workspace_once_however_many_roles_it_has() -> None:
    """Fifty principals cost one list of the assignments."""
    tenant = Tenant()
    tenant.workspace()
    people = [{"principalId": f"{PERSON[:-2]}{i:02d}", "principalType": "User", "role": "Viewer"} for i in range(50)]
    team = {"id": "team", "kind": "principals", "with": {"workspaceId": WS, "principals": people}}
    assert looked(tenant, workspace(), team).counts[Action.CREATE] == 50
    assert [c["path"].endswith("/roleAssignments") for c in tenant.model.calls].count(True) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/workspaces", "/workspaces/w/items/getDefinition/x", "/workspaces/w/roleAssignments"]
)
def test_dry_run_cannot_send_what_changes_anything(method: str, path: str) -> None:
    """Whatever a kind might try, only what is known to be a read is sent."""
    tenant = Tenant()
    reading = ReadOnlyFabric(tenant.fabric, tenant.clock, DRY_RUN_RETRY, budget_seconds=1)
    with pytest.raises(FabricRefusedError):
        reading.send(method, path, {})
    assert tenant.model.calls == []


def test_dry_run_as_json_is_the_contract() -> None:
    """What the page and programs read."""
    tenant = Tenant()
    workspace_id = tenant.workspace()
    found = looked(tenant, workspace(), lakehouse()).to_json()
    assert found["changes"] == 1
    assert found["steps"][0] == {
        "id": "ws",
        "kind": "workspace",
        "action": "adopt",
        "name": "sales",
        "fields": [],
        "reason": "there: used as it is",
        "resource": {"type": "Workspace", "id": workspace_id, "name": "sales", "parent_id": None},
    }


def test_dry_run_of_an_approval_is_nothing_to_do_at_fabric() -> None:
    """A person will be waited for; what follows is looked at as if they approved."""
    tenant = Tenant()
    gate = {"id": "gate", "kind": "approval", "with": {"message": "Go live?"}}
    found = looked(tenant, gate, {**workspace(), "needs": ["gate"]}).steps
    assert [(s.action, s.reason) for s in found] == [
        (Action.UNCHANGED, "waits for a person"),
        (Action.CREATE, "absent"),
    ]
