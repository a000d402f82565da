"""The dry run against the simulator's model: each kind, each action, and no call that changes anything."""

from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.errors import FabricAuthError, FabricRefusedError, FabricTransientError
from shared.domain.manifest import compile_manifest
from shared.saga.dry_run.changes import DRY_RUN_RETRY, dry_run
from shared.saga.dry_run.read_only import ReadOnlyFabric
from shared.saga.dry_run.result import Action, DryRun, StepChange
from shared.steps import KINDS, STEPS
from tests.simulation.laws import encoded
from tests.unit.steps.tenant import OTHER, PERSON, Tenant

WS = "${{ steps.ws.outputs.id }}"
PART = {"path": "notebook-content.py", "text": "x = 1"}
STORED = {"parts": [{"path": "notebook-content.py", "payload": "eCA9IDE=", "payloadType": "InlineBase64"}]}
OLD = {"parts": [{"path": "notebook-content.py", "payload": "b2xk", "payloadType": "InlineBase64"}]}


def workspace(**fields: Any) -> dict[str, Any]:
    """Return the step `ws`."""
    return {"id": "ws", "kind": "workspace", "with": {"displayName": "sales", **fields}}


def lakehouse(**fields: Any) -> dict[str, Any]:
    """Return the step `bronze`."""
    return {"id": "bronze", "kind": "lakehouse", "with": {"workspaceId": WS, "displayName": "bronze", **fields}}


def notebook(**fields: Any) -> dict[str, Any]:
    """Return the step `clean`, with a definition."""
    spec = {"workspaceId": WS, "type": "Notebook", "displayName": "clean", "definition": {"parts": [PART]}}
    return {"id": "clean", "kind": "item", "with": {**spec, **fields}}


def role(**fields: Any) -> dict[str, Any]:
    """Return the step `reader`."""
    spec = {"workspaceId": WS, "principalId": PERSON, "principalType": "User", "role": "Viewer"}
    return {"id": "reader", "kind": "role_assignment", "with": {**spec, **fields}}


def planned(tenant: Tenant, *steps: dict[str, Any], **options: Any) -> DryRun:
    """Return the dry run of these steps, with one thread because of the model."""
    plan = compile_manifest({"name": "m", "steps": list(steps)}, KINDS)
    return dry_run(tenant.fabric, STEPS, plan, clock=tenant.clock, sleep=tenant.clock.advance, parallel=1, **options)


def only(tenant: Tenant, step: dict[str, Any]) -> StepChange:
    """Return the change of one step in the workspace `sales`."""
    return planned(tenant, workspace(), step).steps[-1]


def mutating(tenant: Tenant) -> list[str]:
    """Return the calls that may change something, from the simulator's own log."""
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
    """A resource in a workspace that does not exist yet cannot be looked up: it is known after apply."""
    tenant = Tenant()
    found = planned(tenant, workspace(), lakehouse(), notebook(), role())
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
def test_dry_run_names_the_action_of_the_kind(step: dict[str, Any], action: Action, fields: tuple[str, ...]) -> None:
    """For an existing resource in an existing workspace it depends on ifExists and on the real differences."""
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
    tenant = Tenant()
    tenant.workspace(description="theirs")
    [found] = planned(tenant, workspace(**fields)).steps
    assert (found.action, found.fields) == (action, changed)
    assert mutating(tenant) == []


def test_dry_run_compares_definitions_that_fabric_returns_slowly() -> None:
    """A long-running operation is waited for; a definition that takes too long is reported as not compared."""
    tenant = Tenant()
    tenant.workspace(items=[{**STANDING["clean"], "definition": OLD}])
    assert only(tenant, notebook(ifExists="update")).fields == ("definition",)
    rule = {"match": {"path": ".*/getDefinition"}, "action": {"operation": "never"}}
    control.handle(tenant.model, "POST", "/_sim/faults", {}, encoded([rule]))
    found = only(tenant, notebook(ifExists="update"))
    assert (found.action, found.fields) == (Action.UPDATE, ("definition",))
    assert "not compared" in found.reason
    assert mutating(tenant) == []


def test_dry_run_of_a_forbidden_resource_is_blocked_with_fabrics_own_error() -> None:
    """Code, request id and remedy are included; a step that needs it is blocked too, and any other is looked up."""
    tenant = Tenant()
    tenant.workspace(items=list(STANDING.values()))
    body = {"errorCode": "InsufficientPrivileges", "message": "no role", "requestId": "r-1"}
    faulty(tenant, ".*/items", status=403, body=body)
    steps = [workspace(), lakehouse(), {**role(), "needs": ["bronze"]}, {**role(principalId=OTHER), "id": "other"}]
    found = planned(tenant, *steps).steps
    assert [s.action for s in found] == [Action.ADOPT, Action.BLOCKED, Action.BLOCKED, Action.CREATE]
    assert all(word in found[1].reason for word in ("HTTP 403", "InsufficientPrivileges", "no role", "Grant"))
    assert "request " in found[1].reason
    assert found[2].reason == "it needs bronze, which is blocked"


def test_dry_run_of_a_wrong_workspace_id_is_blocked() -> None:
    """Fabric refuses a fixed id of no workspace now, as it would later."""
    tenant = Tenant()
    found = planned(tenant, lakehouse(workspaceId=OTHER)).steps[0]
    assert found.action is Action.BLOCKED
    assert "HTTP 404" in found.reason


def test_dry_run_resolves_references_to_existing_resources() -> None:
    """An output that the manifest itself sets is known even before the resource exists; others are known after
    apply."""
    tenant = Tenant()
    tenant.workspace(items=list(STANDING.values()))
    stored = lakehouse(displayName="bronze")
    absent = {**lakehouse(displayName="silver"), "id": "silver"}
    name = "${{ steps.bronze.outputs.displayName }}"
    by_name = {**notebook(displayName=name), "id": "by_name"}
    reported = {**lakehouse(displayName="gold", description="of ${{ steps.silver.outputs.id }}"), "id": "told"}
    same = {**lakehouse(ifExists="update", description="of ${{ steps.silver.outputs.id }}"), "id": "same"}
    found = {s.id: s for s in planned(tenant, workspace(), stored, absent, by_name, reported, same).steps}
    assert found["by_name"].name == "bronze"
    assert (found["by_name"].action, found["by_name"].reason) == (Action.CREATE, "absent")
    assert (found["told"].action, found["told"].reason) == (Action.CREATE, "absent")
    assert (found["same"].action, found["same"].fields) == (Action.UPDATE, ("description",))


def test_dry_run_of_a_value_that_does_not_fit_is_blocked() -> None:
    """A reference with a value that the field may not have would fail the step, and is reported beforehand."""
    tenant = Tenant()
    tenant.workspace("with blanks")
    steps = [workspace(displayName="with blanks"), lakehouse(displayName="${{ steps.ws.outputs.displayName }}")]
    found = planned(tenant, *steps).steps[1]
    assert found.action is Action.BLOCKED
    assert "$.with.displayName" in found.reason


def test_dry_run_waits_for_a_throttled_fabric_within_its_budget() -> None:
    """The dry run waits after a 429; one that never ends is an error of its own, and not a plan."""
    tenant = Tenant()
    tenant.workspace()
    answer = {"status": 429, "headers": {"Retry-After": "7"}, "body": {"errorCode": "RequestBlocked", "message": "x"}}
    rule = {"match": {"path": "/v1/workspaces"}, "when": {"times": 3}, "action": answer}
    control.handle(tenant.model, "POST", "/_sim/faults", {}, encoded([rule]))
    began = tenant.clock.now()
    assert planned(tenant, workspace()).steps[0].action is Action.ADOPT
    assert (tenant.clock.now() - began).total_seconds() >= 21
    faulty(tenant, "/v1/workspaces", **answer)
    with pytest.raises(FabricTransientError):
        planned(tenant, workspace(), budget_seconds=30)


def test_dry_run_of_an_unknown_identity_is_an_error() -> None:
    """A 401 is not about a step, so it is raised at once."""
    tenant = Tenant()
    faulty(tenant, "/v1/workspaces", status=401, body={"errorCode": "Unauthorized", "message": "who?"})
    with pytest.raises(FabricAuthError):
        planned(tenant, workspace())


def test_dry_run_lists_a_workspace_once_however_many_roles_it_has() -> None:
    """Fifty principals need one list of the role assignments."""
    tenant = Tenant()
    tenant.workspace()
    people = [{"principalId": f"{PERSON[:-2]}{i:02d}", "principalType": "User", "role": "Viewer"} for i in range(50)]
    team = {"id": "team", "kind": "principals", "with": {"workspaceId": WS, "principals": people}}
    assert planned(tenant, workspace(), team).counts[Action.CREATE] == 50
    assert [c["path"].endswith("/roleAssignments") for c in tenant.model.calls].count(True) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/workspaces", "/workspaces/w/items/getDefinition/x", "/workspaces/w/roleAssignments"]
)
def test_dry_run_sends_no_call_that_changes_anything(method: str, path: str) -> None:
    """Only known reads are sent, even if a kind tries another call."""
    tenant = Tenant()
    reading = ReadOnlyFabric(tenant.fabric, tenant.clock, DRY_RUN_RETRY, budget_seconds=1)
    with pytest.raises(FabricRefusedError):
        reading.send(method, path, {})
    assert tenant.model.calls == []


def test_dry_run_as_json_follows_the_contract() -> None:
    """The page and programs read this format."""
    tenant = Tenant()
    workspace_id = tenant.workspace()
    found = planned(tenant, workspace(), lakehouse()).to_json()
    assert found["changes"] == 1
    assert found["steps"][0] == {
        "id": "ws",
        "kind": "workspace",
        "action": "adopt",
        "name": "sales",
        "fields": [],
        "files": [],
        "lines": [],
        "restorable": "",
        "reason": "there: used as it is",
        "resource": {"type": "Workspace", "id": workspace_id, "name": "sales", "parent_id": None},
    }


def test_dry_run_of_an_approval_is_unchanged() -> None:
    """A deployment will wait for a person; the following steps are looked up as if the person approved."""
    tenant = Tenant()
    gate = {"id": "gate", "kind": "approval", "with": {"message": "Go live?"}}
    found = planned(tenant, gate, {**workspace(), "needs": ["gate"]}).steps
    assert [(s.action, s.reason) for s in found] == [
        (Action.UNCHANGED, "waits for a person"),
        (Action.CREATE, "absent"),
    ]
