"""Kind `workspace` against the simulator: found in any case, marked, restored, and not deleted with others in it."""

import pytest

from shared.domain.errors import FabricConflictError
from shared.domain.records import Intent, Resource
from shared.steps.kind import GuardError, NotYetError, VerificationError
from shared.steps.workspace import WorkspaceKind
from tests.unit.steps.tenant import MARKER, Tenant, problems

KIND = WorkspaceKind()
CAPACITY = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER_CAPACITY = "aaaaaaaa-0000-4000-8000-000000000002"
CREATE = Intent("create", MARKER)


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
    """Each value that Fabric would refuse is refused at its path."""
    assert list(problems(KIND, spec)) == [where]


def test_workspace_check_accepts_the_longest_values() -> None:
    """The limits themselves are allowed."""
    spec = {"displayName": "x" * 256, "description": "d" * (4000 - 20), "capacityId": CAPACITY, "ifExists": "update"}
    assert problems(KIND, spec) == {}


def test_workspace_create_is_found_recognised_verified_and_deleted() -> None:
    """The whole life of a created workspace, marked by its description."""
    tenant = Tenant()
    spec = {"displayName": "Sales", "description": "of ours"}
    assert KIND.find(tenant.fabric, spec) is None
    resource = tenant.create(KIND, spec)
    assert tenant.stored(resource.id).description == f"of ours [saga:{MARKER}]"
    found = KIND.find(tenant.fabric, {"displayName": "sALES"})
    assert found is not None
    assert found.resource == resource
    assert KIND.recognises(spec, CREATE, found, uncertain=False)
    assert not KIND.recognises(spec, Intent("create", "0" * 12), found, uncertain=True)
    outputs = KIND.verify(tenant.fabric, spec, resource, CREATE)
    assert outputs == {"id": resource.id, "displayName": "Sales", "capacityId": ""}
    assert set(outputs) == KIND.outputs
    assert KIND.guard(tenant.fabric, resource, list) == []
    tenant.undo(KIND, spec, CREATE, resource)
    assert KIND.locate(tenant.fabric, spec, resource) is None


def test_workspace_longest_description_fits_with_its_marker() -> None:
    """The marker's characters are kept free, so that the longest lawful description is accepted by Fabric."""
    tenant = Tenant()
    resource = tenant.create(KIND, {"displayName": "w", "description": "d" * (4000 - 20)})
    assert len(tenant.stored(resource.id).description) == 4000


def test_workspace_find_goes_over_all_pages_and_passes_personal_ones() -> None:
    """The one asked for may be on the last page; somebody's personal workspace is never taken for it."""
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


def test_workspace_invisible_name_is_a_conflict() -> None:
    """A name that somebody else holds out of sight is told by the create."""
    tenant = Tenant()
    tenant.stored(tenant.workspace("theirs")).roles.clear()
    assert KIND.find(tenant.fabric, {"displayName": "theirs"}) is None
    with pytest.raises(FabricConflictError) as caught:
        tenant.create(KIND, {"displayName": "Theirs"})
    assert caught.value.error_code == "WorkspaceNameAlreadyExists"


def test_workspace_adopt_verifies_only_that_it_exists() -> None:
    """What is adopted may have any description."""
    tenant = Tenant()
    workspace_id = tenant.workspace(description="theirs")
    found = KIND.find(tenant.fabric, {"displayName": "sales"})
    assert found is not None
    spec = {"displayName": "sales", "description": "ours"}
    assert KIND.verify(tenant.fabric, spec, found.resource, Intent("adopt", MARKER))["id"] == workspace_id


def test_workspace_update_is_put_back_as_it_was() -> None:
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
    tenant.undo(KIND, spec, intent, found.resource)
    assert tenant.stored(workspace_id).description == foreign
    assert tenant.stored(workspace_id).capacity_id == CAPACITY


def test_workspace_without_capacity_is_put_back_without() -> None:
    """Where there was no capacity, compensation unassigns the one that was given."""
    tenant = Tenant()
    workspace_id = tenant.workspace()
    spec = {"displayName": "sales", "capacityId": CAPACITY}
    found, intent = tenant.image(KIND, spec)
    tenant.send(KIND.apply(spec, intent))
    assert tenant.stored(workspace_id).capacity_id == CAPACITY
    tenant.undo(KIND, spec, intent, found.resource)
    assert tenant.stored(workspace_id).capacity_id is None


def test_workspace_differs_only_in_what_the_manifest_names() -> None:
    """A field that the manifest leaves out is nobody's business, and a capacity's case does not count."""
    tenant = Tenant()
    tenant.workspace(description="x [saga:0123456789ab]", capacityId=CAPACITY)
    found = KIND.find(tenant.fabric, {"displayName": "sales"})
    assert found is not None
    assert not KIND.changes({"displayName": "sales"}, found)
    assert not KIND.changes({"displayName": "sales", "description": "x", "capacityId": CAPACITY.upper()}, found)
    assert KIND.changes({"displayName": "sales", "description": ""}, found) == ["description"]


def test_workspace_capacity_under_way_is_not_yet_and_then_verified() -> None:
    """An assignment in progress is waited for, not taken for a failure."""
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


def test_workspace_verify_names_what_is_otherwise() -> None:
    """A description that did not take is a verification error naming the field."""
    tenant = Tenant()
    resource = tenant.create(KIND, {"displayName": "sales", "description": "one"})
    tenant.stored(resource.id).description = "another"
    with pytest.raises(VerificationError, match="another description"):
        KIND.verify(tenant.fabric, {"displayName": "sales", "description": "one"}, resource, CREATE)


def test_workspace_failed_capacity_is_a_verification_error() -> None:
    """A capacity that Fabric could not assign is told with the question to ask."""
    tenant = Tenant()
    shown = {"id": "i", "capacityAssignmentProgress": "Failed"}
    tenant.fabric.get = lambda path, query=None: shown  # type: ignore[method-assign]
    spec = {"displayName": "w", "capacityId": CAPACITY}
    with pytest.raises(VerificationError, match="is it running"):
        KIND.verify(tenant.fabric, spec, Resource("Workspace", "i", "w"), CREATE)


def test_workspace_guard_names_what_stands_in_it() -> None:
    """A workspace of ours that holds another's items is not deleted; the first five are named."""
    tenant = Tenant()
    items = [{"type": "Notebook", "displayName": f"n{i}"} for i in range(7)]
    workspace_id = tenant.workspace(items=items)
    with pytest.raises(GuardError, match=r"Notebook 'n0'.*'n4' and 2 more"):
        KIND.guard(tenant.fabric, Resource("Workspace", workspace_id, "sales"), list)
