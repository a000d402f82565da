"""Kind `lakehouse` against the simulator: distinguished from its SQL endpoint, marked, adopted, restored."""

from typing import Any

import pytest

from shared.domain.errors import FabricConflictError
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps.kind import NotYetError, VerificationError
from shared.steps.lakehouse import LakehouseKind
from shared.steps.makers import OwnItems
from tests.unit.steps.tenant import MARKER, PERSON, Tenant, problems

KIND = LakehouseKind()
CREATE = Intent(IntentAction.CREATE, MARKER)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"workspaceId": "sales"}, "$.workspaceId"),
        ({"displayName": "1st"}, "$.displayName"),
        ({"displayName": "_x"}, "$.displayName"),
        ({"displayName": "a-b"}, "$.displayName"),
        ({"displayName": "x" * 124}, "$.displayName"),
        ({"description": "x" * 237}, "$.description"),
        ({"enableSchemas": "true"}, "$.enableSchemas"),
        ({"waitForSqlEndpoint": 1}, "$.waitForSqlEndpoint"),
        ({"definition": {}}, "$.definition"),
    ],
)
def test_lakehouse_check_names_the_field(change: dict[str, Any], where: str) -> None:
    assert list(problems(KIND, {"workspaceId": PERSON, "displayName": "bronze", **change})) == [where]


def test_lakehouse_reference_is_checked_when_it_is_resolved() -> None:
    """The length of a name from another step is not known yet."""
    spec = {"workspaceId": "${{ steps.ws.outputs.id }}", "displayName": "${{ steps.ws.outputs.displayName }}"}
    assert problems(KIND, spec) == {}


def test_lakehouse_create_is_found_recognised_verified_and_deleted() -> None:
    """The whole life of a created lakehouse; its SQL endpoint with the same name is never mistaken for it."""
    tenant = Tenant()
    spec = {"workspaceId": tenant.workspace(), "displayName": "bronze", "waitForSqlEndpoint": True}
    assert KIND.find(tenant.fabric, spec) is None
    resource = tenant.create(KIND, spec)
    shown = list(tenant.fabric.list(f"/workspaces/{spec['workspaceId']}/items"))
    assert sorted(row["type"] for row in shown) == ["Lakehouse", "SQLEndpoint"]
    found = KIND.find(tenant.fabric, {**spec, "displayName": "BRONZE"})
    assert found is not None
    assert found.resource == resource
    assert KIND.recognises(spec, CREATE, found, uncertain=False)
    outputs = KIND.verify(tenant.fabric, spec, resource, CREATE)
    assert outputs["sqlEndpointId"] not in ("", resource.id)
    assert set(outputs) == KIND.outputs
    assert KIND.guard(tenant.fabric, resource, OwnItems) == []
    tenant.compensate(KIND, spec, CREATE, resource)
    assert KIND.locate(tenant.fabric, spec, resource) is None


def test_lakehouse_endpoint_alone_is_not_a_lakehouse() -> None:
    """A list that ignores the requested type does not mislead the look."""
    tenant = Tenant()
    spec = {"workspaceId": tenant.workspace(), "displayName": "bronze"}
    rows = [{"id": "e", "type": "SQLEndpoint", "displayName": "bronze"}]
    tenant.fabric.list = lambda path, query=None: iter(rows)  # type: ignore[method-assign]
    assert KIND.find(tenant.fabric, spec) is None


def test_lakehouse_of_somebody_else_is_not_recognised() -> None:
    """A lakehouse that somebody else created under the same name is found but never recognised."""
    tenant = Tenant()
    workspace_id = tenant.workspace(items=[{"type": "Lakehouse", "displayName": "bronze", "description": "theirs"}])
    spec = {"workspaceId": workspace_id, "displayName": "bronze"}
    found = KIND.find(tenant.fabric, spec)
    assert found is not None
    assert not KIND.recognises(spec, CREATE, found, uncertain=True)
    with pytest.raises(FabricConflictError):
        tenant.create(KIND, spec)


def test_lakehouse_find_reads_all_pages() -> None:
    tenant = Tenant()
    tenant.model.settings.page_size = 1
    items = [{"type": "Lakehouse", "displayName": f"l{i}"} for i in range(4)]
    spec = {"workspaceId": tenant.workspace(items=items), "displayName": "L3"}
    found = KIND.find(tenant.fabric, spec)
    assert found is not None
    assert found.resource.name == "l3"
    assert KIND.locate(tenant.fabric, spec, found.resource) == found


def test_lakehouse_update_is_compensated() -> None:
    """The description is changed, with an existing marker kept, and restored exactly."""
    tenant = Tenant()
    row = {"type": "Lakehouse", "displayName": "bronze", "description": "theirs [saga:0123456789ab]"}
    spec = {"workspaceId": tenant.workspace(items=[row]), "displayName": "bronze", "description": "ours"}
    found, intent = tenant.image(KIND, spec)
    assert KIND.changes(spec, found) == ["description"]
    tenant.send(KIND.apply(spec, intent))
    assert tenant.item(spec["workspaceId"], "bronze").description == "ours [saga:0123456789ab]"
    KIND.verify(tenant.fabric, spec, found.resource, intent)
    tenant.compensate(KIND, spec, intent, found.resource)
    assert tenant.item(spec["workspaceId"], "bronze").description == row["description"]


def test_lakehouse_update_without_effect_is_a_verification_error() -> None:
    """The same if Fabric returns no description at all."""
    tenant = Tenant()
    row = {"type": "Lakehouse", "displayName": "bronze", "description": "theirs"}
    spec = {"workspaceId": tenant.workspace(items=[row]), "displayName": "bronze", "description": "ours"}
    found, intent = tenant.image(KIND, spec)
    with pytest.raises(VerificationError, match="a different description"):
        KIND.verify(tenant.fabric, spec, found.resource, intent)
    tenant.fabric.get = lambda path, query=None: {}  # type: ignore[method-assign]
    with pytest.raises(VerificationError, match="a different description"):
        KIND.verify(tenant.fabric, spec, found.resource, intent)


def test_lakehouse_schemas_are_created_and_verified() -> None:
    """A lakehouse without schemas cannot be adopted as if it had them."""
    tenant = Tenant()
    workspace_id = tenant.workspace(items=[{"type": "Lakehouse", "displayName": "old"}])
    spec = {"workspaceId": workspace_id, "displayName": "new", "enableSchemas": True}
    KIND.verify(tenant.fabric, spec, tenant.create(KIND, spec), CREATE)
    old = KIND.find(tenant.fabric, {**spec, "displayName": "old"})
    assert old is not None
    with pytest.raises(VerificationError, match="has no schemas"):
        KIND.verify(tenant.fabric, spec, old.resource, Intent(IntentAction.ADOPT, MARKER))


@pytest.mark.parametrize(
    ("status", "error"), [("InProgress", NotYetError), ("Success", NotYetError), ("Failed", VerificationError)]
)
def test_lakehouse_endpoint_is_waited_for_unless_it_failed(status: str, error: type[Exception]) -> None:
    """An endpoint that is in progress, or has no id yet, is checked again; a failed one is an error."""
    tenant = Tenant()
    shown = {"properties": {"sqlEndpointProperties": {"provisioningStatus": status, "id": None}}}
    tenant.fabric.get = lambda path, query=None: shown  # type: ignore[method-assign]
    spec = {"workspaceId": PERSON, "displayName": "bronze", "waitForSqlEndpoint": True}
    with pytest.raises(error):
        KIND.verify(tenant.fabric, spec, Resource("Lakehouse", "i", "bronze", PERSON), CREATE)
