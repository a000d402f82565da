"""Kind `workspace` against the simulator: found in any case, marked, restored, and not deleted with foreign items in
it."""

import json

import pytest

from local.fabric_simulator import control
from shared.domain.errors import FabricAuthError, FabricConflictError
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps.kind import GuardError, NotYetError, VerificationError
from shared.steps.makers import OwnItems
from shared.steps.parents import is_workspace_gone
from shared.steps.workspace import WorkspaceKind
from tests.unit.steps.tenant import MARKER, Tenant, problems

KIND = WorkspaceKind()
CAPACITY = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER_CAPACITY = "aaaaaaaa-0000-4000-8000-000000000002"
CREATE = Intent(IntentAction.CREATE, MARKER)


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({}, "$.displayName"),
        ({"displayName": "x" * 257}, "$.displayName"),
        ({"displayName": "ADMIN Monitoring"}, "$.displayName"),
        ({"displayName": "trailing "}, "$.displayName"),
        ({"displayName": "w", "description": "x" * 3990}, "$.description"),
        ({"displayName": "w", "capacityId": "F2"}, "$.capacityId"),
        ({"displayName": "w", "ifExists": "overwrite"}, "$.ifExists"),
        ({"displayName": "w", "colour": "red"}, "$.colour"),
    ],
)
def test_workspace_check_names_the_field(spec: dict[str, str], where: str) -> None:
    assert list(problems(KIND, spec)) == [where]


def test_workspace_check_accepts_the_longest_values() -> None:
    """The limits themselves are allowed."""
    spec = {"displayName": "x" * 256, "description": "d" * (4000 - 20), "capacityId": CAPACITY, "ifExists": "update"}
    assert problems(KIND, spec) == {}


def test_workspace_create_is_found_recognised_verified_and_deleted() -> None:
    """The whole life of a created workspace, marked in its description."""
    tenant = Tenant()
    spec = {"displayName": "Sales", "description": "of ours"}
    assert KIND.find(tenant.fabric, spec) is None
    resource = tenant.create(KIND, spec)
    assert tenant.stored(resource.id).description == f"of ours [saga:{MARKER}]"
    found = KIND.find(tenant.fabric, {"displayName": "sALES"})
    assert found is not None
    assert found.resource == resource
    assert KIND.recognises(spec, CREATE, found, uncertain=False)
    assert not KIND.recognises(spec, Intent(IntentAction.CREATE, "0" * 12), found, uncertain=True)
    outputs = KIND.verify(tenant.fabric, spec, resource, CREATE)
    assert outputs == {"id": resource.id, "displayName": "Sales", "capacityId": ""}
    assert set(outputs) == KIND.outputs
    assert KIND.guard(tenant.fabric, resource, OwnItems) == []
    tenant.compensate(KIND, spec, CREATE, resource)
    assert KIND.locate(tenant.fabric, spec, resource) is None


def test_workspace_longest_description_fits_with_its_marker() -> None:
    """The space for the marker is reserved, so that Fabric accepts the longest valid description."""
    tenant = Tenant()
    resource = tenant.create(KIND, {"displayName": "w", "description": "d" * (4000 - 20)})
    assert len(tenant.stored(resource.id).description) == 4000


def test_workspace_find_reads_all_pages_and_ignores_personal_ones() -> None:
    """A personal workspace never counts as the requested one."""
    tenant = Tenant()
    tenant.model.settings.page_size = 2
    for i in range(5):
        tenant.workspace(f"w{i}")
    wanted = tenant.workspace("last")
    found = KIND.find(tenant.fabric, {"displayName": "LAST"})
    assert found is not None
    assert found.resource.id == wanted
    rows = [{"id": "p", "displayName": "mine", "type": "Personal"}]
    tenant.fabric.list = lambda path, query=None: iter(rows)  # type: ignore[method-assign]
    assert KIND.find(tenant.fabric, {"displayName": "mine"}) is None


def test_workspace_with_an_invisible_name_is_a_conflict() -> None:
    """Only the create reports a name that somebody else holds invisibly."""
    tenant = Tenant()
    tenant.stored(tenant.workspace("theirs")).roles.clear()
    assert KIND.find(tenant.fabric, {"displayName": "theirs"}) is None
    with pytest.raises(FabricConflictError) as caught:
        tenant.create(KIND, {"displayName": "Theirs"})
    assert caught.value.error_code == "WorkspaceNameAlreadyExists"


def test_workspace_adopt_verifies_only_that_it_exists() -> None:
    """An adopted workspace may have any description."""
    tenant = Tenant()
    workspace_id = tenant.workspace(description="theirs")
    found = KIND.find(tenant.fabric, {"displayName": "sales"})
    assert found is not None
    spec = {"displayName": "sales", "description": "ours"}
    assert KIND.verify(tenant.fabric, spec, found.resource, Intent(IntentAction.ADOPT, MARKER))["id"] == workspace_id


def test_workspace_update_is_compensated() -> None:
    """Description and capacity are changed and restored, and a foreign marker survives both."""
    tenant = Tenant()
    foreign = "theirs [saga:0123456789ab]"
    workspace_id = tenant.workspace(description=foreign, capacityId=CAPACITY)
    spec = {"displayName": "sales", "description": "ours", "capacityId": OTHER_CAPACITY}
    found, intent = tenant.image(KIND, spec)
    assert KIND.changes(spec, found) == ["description", "capacityId"]
    tenant.send(KIND.apply(spec, intent))
    assert tenant.stored(workspace_id).description == "ours [saga:0123456789ab]"
    assert tenant.stored(workspace_id).capacity_id == OTHER_CAPACITY
    assert KIND.verify(tenant.fabric, spec, found.resource, intent)["capacityId"] == OTHER_CAPACITY
    changed = KIND.find(tenant.fabric, spec)
    assert changed is not None
    assert KIND.changes(spec, changed) == []
    tenant.compensate(KIND, spec, intent, found.resource)
    assert tenant.stored(workspace_id).description == foreign
    assert tenant.stored(workspace_id).capacity_id == CAPACITY


def test_workspace_without_a_capacity_is_compensated_to_none() -> None:
    """Compensation removes the capacity that the step assigned."""
    tenant = Tenant()
    workspace_id = tenant.workspace()
    spec = {"displayName": "sales", "capacityId": CAPACITY}
    found, intent = tenant.image(KIND, spec)
    tenant.send(KIND.apply(spec, intent))
    assert tenant.stored(workspace_id).capacity_id == CAPACITY
    tenant.compensate(KIND, spec, intent, found.resource)
    assert tenant.stored(workspace_id).capacity_id is None


def test_workspace_differs_only_in_the_fields_of_the_manifest() -> None:
    """A field that is not in the manifest is not compared, and a capacity's case does not count."""
    tenant = Tenant()
    tenant.workspace(description="x [saga:0123456789ab]", capacityId=CAPACITY)
    found = KIND.find(tenant.fabric, {"displayName": "sales"})
    assert found is not None
    assert not KIND.changes({"displayName": "sales"}, found)
    assert not KIND.changes({"displayName": "sales", "description": "x", "capacityId": CAPACITY.upper()}, found)
    assert KIND.changes({"displayName": "sales", "description": ""}, found) == ["description"]


def test_workspace_capacity_in_progress_is_waited_for_and_then_verified() -> None:
    """An assignment in progress is not a failure."""
    tenant = Tenant()
    tenant.model.settings.capacity_assignment_seconds = 30
    tenant.workspace()
    spec = {"displayName": "sales", "capacityId": CAPACITY}
    found, intent = tenant.image(KIND, spec)
    tenant.send(KIND.apply(spec, intent))
    with pytest.raises(NotYetError):
        KIND.verify(tenant.fabric, spec, found.resource, intent)
    tenant.clock.advance(31)
    KIND.verify(tenant.fabric, spec, found.resource, intent)


def test_workspace_verify_names_the_difference() -> None:
    """A description that was not written is a verification error that names the field."""
    tenant = Tenant()
    resource = tenant.create(KIND, {"displayName": "sales", "description": "one"})
    tenant.stored(resource.id).description = "another"
    with pytest.raises(VerificationError, match="a different description"):
        KIND.verify(tenant.fabric, {"displayName": "sales", "description": "one"}, resource, CREATE)


def test_workspace_failed_capacity_is_a_verification_error() -> None:
    """The error of a capacity that Fabric could not assign asks whether it is running."""
    tenant = Tenant()
    shown = {"id": "i", "capacityAssignmentProgress": "Failed"}
    tenant.fabric.get = lambda path, query=None: shown  # type: ignore[method-assign]
    spec = {"displayName": "w", "capacityId": CAPACITY}
    with pytest.raises(VerificationError, match="check that it is running"):
        KIND.verify(tenant.fabric, spec, Resource("Workspace", "i", "w"), CREATE)


def test_workspace_guard_names_the_foreign_items() -> None:
    """A created workspace with somebody else's items is not deleted; the first five are named."""
    tenant = Tenant()
    items = [{"type": "Notebook", "displayName": f"n{i}"} for i in range(7)]
    workspace_id = tenant.workspace(items=items)
    with pytest.raises(GuardError, match=r"Notebook 'n0'.*'n4' and 2 more"):
        KIND.guard(tenant.fabric, Resource("Workspace", workspace_id, "sales"), OwnItems)


def test_workspace_that_refuses_to_be_read_is_not_taken_for_deleted() -> None:
    """Without a role the list does not show it. A 403 of the workspace itself says that it exists; a 404 does not."""
    tenant = Tenant()
    spec = {"displayName": "sales"}
    resource = tenant.create(KIND, spec)
    tenant.stored(resource.id).roles.clear()
    assert KIND.locate(tenant.fabric, spec, resource) is None
    assert is_workspace_gone(tenant.fabric, resource.id)
    refused = {"status": 403, "body": {"errorCode": "InsufficientPrivileges", "message": "Not for this caller."}}
    rule = {"match": {"method": "GET", "path": f"/v1/workspaces/{resource.id}"}, "action": refused}
    assert control.handle(tenant.model, "POST", "/_sim/faults", {}, json.dumps([rule]).encode())[0] == 200
    with pytest.raises(FabricAuthError):
        KIND.locate(tenant.fabric, spec, resource)
    with pytest.raises(FabricAuthError):
        is_workspace_gone(tenant.fabric, resource.id)
