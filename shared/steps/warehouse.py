"""Kind `warehouse`: a warehouse in a workspace, with its collation."""

from collections.abc import Mapping

from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.steps import items
from shared.steps.kind import (
    WORKSPACE_ID,
    IfExists,
    NotYetError,
    VerificationError,
    check_if_exists,
)
from shared.steps.marker import check_description

COLLATIONS = ("Latin1_General_100_BIN2_UTF8", "Latin1_General_100_CI_AS_KS_WS_SC_UTF8")
"""Source: published OpenAPI, CollationType."""
READY_SECONDS = 9.0
"""Usual seconds until a warehouse has its connection string. Source: recorded creates."""


class WarehouseKind(items.DescribedItem):
    """Create or adopt a warehouse, and set its description. Its collation is fixed when it is created."""

    name = "warehouse"
    about = "A warehouse in a workspace."
    collection = "warehouses"
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

    def creation_payload(self, spec: JsonObject) -> JsonObject:
        return {"collationType": spec["collation"]} if spec.get("collation") else {}

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check the collation and wait for the connection string. Raises NotYetError, VerificationError."""
        shown = self.shown(fabric, spec, resource)
        properties = as_object(shown.get("properties")) or {}
        collation = properties.get("collationType")
        if spec.get("collation") and collation and collation != spec["collation"]:
            raise VerificationError(
                f"warehouse '{resource.name}' ({resource.id}) has the collation {collation}, and Fabric cannot change "
                "it; delete it, or leave collation out"
            )
        self.check_description(spec, resource, intent, shown)
        address = properties.get("connectionString") or properties.get("connectionInfo")
        if not address:
            raise NotYetError(f"warehouse '{resource.name}' has no connection string yet", READY_SECONDS)
        return {
            "id": resource.id,
            "displayName": resource.name,
            "workspaceId": spec["workspaceId"],
            "connectionString": str(address),
        }
