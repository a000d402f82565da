"""Kind `lakehouse`: a lakehouse, with or without schemas, and on request its SQL endpoint."""

import re
from collections.abc import Mapping

from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps import items
from shared.steps.kind import (
    WORKSPACE_ID,
    IfExists,
    NotYetError,
    VerificationError,
    check_if_exists,
)
from shared.steps.marker import check_description

SQL_ENDPOINT_SECONDS = 12.0
"""Usual seconds until a new lakehouse's SQL endpoint exists. Source: recorded traffic, 11 to 15."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class LakehouseKind(items.DescribedItem):
    """Create or adopt a lakehouse, and wait for the SQL endpoint that Fabric adds to it."""

    name = "lakehouse"
    about = "A lakehouse in a workspace."
    collection = "lakehouses"
    refuses_taken_names = True
    if_exists = IfExists.ADOPT
    outputs = frozenset({"id", "displayName", "workspaceId", "sqlEndpointId", "sqlEndpointConnectionString"})
    keys = ("workspaceId", "displayName")
    expected_seconds: Mapping[str, float] = {"create Lakehouse": 4.5}
    """Source: see item.py."""
    tracks = "Lakehouse"
    tracked_fields: Mapping[str, str] = {"workspaceId": "workspace_id", "displayName": "name"}

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        spec.text(
            "displayName",
            required=True,
            maximum=items.NAME_LIMIT,
            pattern=_NAME,
            hint="must begin with a letter and contain only letters, digits and underscores (Fabric's rule)",
            refers=True,
            words=Words("Letters, digits and underscores; a letter first.", "bronze"),
        )
        check_description(spec, items.DESCRIPTION_LIMIT)
        spec.boolean("enableSchemas", words=Words("True to organise its tables in schemas.", True))
        spec.boolean(
            "waitForSqlEndpoint", words=Words("True to finish the step only when its SQL endpoint is available.", True)
        )
        check_if_exists(spec, self.if_exists)

    def item_type(self, spec: JsonObject) -> str:
        return "Lakehouse"

    def creation_payload(self, spec: JsonObject) -> JsonObject:
        return {"enableSchemas": True} if spec.get("enableSchemas") else {}

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check that it has the schemas and the SQL endpoint that were asked for."""
        is_plain = not spec.get("enableSchemas") and not spec.get("waitForSqlEndpoint")
        is_listed = is_plain and intent.action is IntentAction.CREATE
        # Its own route shows nothing more that was asked for.
        shown = (items.listed(fabric, resource) if is_listed else None) or self.shown(fabric, spec, resource)
        properties = as_object(shown.get("properties")) or {}
        if spec.get("enableSchemas") and not properties.get("defaultSchema"):
            raise VerificationError(
                f"lakehouse '{resource.name}' ({resource.id}) has no schemas, and Fabric cannot add them later; "
                "delete it, or leave enableSchemas out"
            )
        self.check_description(spec, resource, intent, shown)
        outputs: JsonObject = {"id": resource.id, "displayName": resource.name, "workspaceId": spec["workspaceId"]}
        if spec.get("waitForSqlEndpoint"):
            outputs |= _sql_endpoint(as_object(properties.get("sqlEndpointProperties")) or {}, resource)
        return outputs


def _sql_endpoint(properties: JsonObject, resource: Resource) -> JsonObject:
    status = properties.get("provisioningStatus")
    if status == "Failed":
        raise VerificationError(
            f"Fabric failed to provision the SQL endpoint of lakehouse '{resource.name}' ({resource.id})"
        )
    if status != "Success" or not properties.get("id"):
        raise NotYetError(f"Fabric is provisioning the SQL endpoint of '{resource.name}'", SQL_ENDPOINT_SECONDS)
    return {
        "sqlEndpointId": properties["id"],
        "sqlEndpointConnectionString": properties.get("connectionString", ""),
    }
