"""Kind `warehouse`: a warehouse in a workspace, with its collation."""

from collections.abc import Mapping

from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps import items
from shared.steps.kind import (
    WORKSPACE_ID,
    Call,
    IfExists,
    NotYetError,
    Snapshot,
    VerificationError,
    check_if_exists,
)
from shared.steps.marker import check_description, keep_marker, with_marker

COLLATIONS = ("Latin1_General_100_BIN2_UTF8", "Latin1_General_100_CI_AS_KS_WS_SC_UTF8")
"""Source: published OpenAPI, CollationType."""
READY_SECONDS = 9.0
"""Usual seconds until a warehouse has its connection string. Source: recorded creates."""


class WarehouseKind(items.InWorkspace):
    """Create or adopt a warehouse, and set its description. Its collation is fixed when it is created."""

    name = "warehouse"
    about = "A warehouse in a workspace."
    if_exists = IfExists.ADOPT
    outputs = frozenset({"id", "displayName", "workspaceId", "connectionString"})
    keys = ("workspaceId", "displayName")
    expected_seconds: Mapping[str, float] = {"create Warehouse": 9.1}
    """Source: see item.py."""
    tracks = "Warehouse"
    tracked_fields: Mapping[str, str] = {"workspaceId": "workspace_id", "displayName": "name"}

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        spec.text(
            "displayName",
            required=True,
            maximum=items.NAME_LIMIT,
            pattern=items.WORD_NAME,
            hint=items.WORD_HINT,
            refers=True,
            words=Words("Letters, digits and underscores.", "sales"),
        )
        check_description(spec, items.DESCRIPTION_LIMIT)
        spec.choice("collation", COLLATIONS, words=Words("The collation. Default: Fabric's.", COLLATIONS[1]))
        check_if_exists(spec, self.if_exists)

    def item_type(self, spec: JsonObject) -> str:
        return "Warehouse"

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Return the description if it differs; Fabric changes nothing else later."""
        return ["description"] if items.description_differs(spec, found.image) else []

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return POST /warehouses, or PATCH with the description."""
        if intent.action is not IntentAction.CREATE:
            text = keep_marker(spec["description"], (intent.before or {}).get("description", ""))
            return [items.description_call(spec["workspaceId"], intent.before_id or "", text)]
        body: JsonObject = {
            "displayName": spec["displayName"],
            "description": with_marker(spec.get("description", ""), intent.marker),
        }
        if spec.get("collation"):
            body["creationPayload"] = {"collationType": spec["collation"]}
        return [Call("POST", f"/workspaces/{spec['workspaceId']}/warehouses", "create Warehouse", body)]

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check the collation and wait for the connection string. Raises NotYetError, VerificationError."""
        shown = fabric.get(f"/workspaces/{spec['workspaceId']}/warehouses/{resource.id}")
        properties = as_object(shown.get("properties")) or {}
        collation = properties.get("collationType")
        if spec.get("collation") and collation and collation != spec["collation"]:
            raise VerificationError(
                f"warehouse '{resource.name}' ({resource.id}) has the collation {collation}, and Fabric cannot change "
                "it; delete it, or leave collation out"
            )
        image: JsonObject = {"description": shown.get("description", "")}
        if intent.action is IntentAction.UPDATE and items.description_differs(spec, image):
            raise VerificationError(f"warehouse {resource.id}: Fabric shows a different description")
        address = properties.get("connectionString") or properties.get("connectionInfo")
        if not address:
            raise NotYetError(f"warehouse '{resource.name}' has no connection string yet", READY_SECONDS)
        return {
            "id": resource.id,
            "displayName": resource.name,
            "workspaceId": spec["workspaceId"],
            "connectionString": str(address),
        }

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return DELETE, or PATCH with the earlier description."""
        if intent.action is IntentAction.CREATE:
            return [items.delete_call(found)]
        before = (intent.before or {}).get("description", "")
        return [items.description_call(spec["workspaceId"], found.resource.id, before)]
