"""Kind `lakehouse`: a lakehouse, with or without schemas, and if asked its SQL endpoint."""

import re

from shared.domain.fields import Fields
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.records import Intent, Resource
from shared.steps import items
from shared.steps.companions import Found, Makers
from shared.steps.kind import (
    IF_EXISTS,
    Call,
    NotYetError,
    Snapshot,
    VerificationError,
    check_description,
    keep_marker,
    with_marker,
)

SQL_ENDPOINT_SECONDS = 12.0
"""Usual seconds until a new lakehouse's SQL endpoint is there; a recorded trace shows 11 to 15."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class LakehouseKind:
    """Creates a lakehouse or adopts one; may wait for the SQL endpoint that Fabric provisions beside it."""

    name = "lakehouse"
    if_exists = "adopt"
    outputs = frozenset({"id", "displayName", "workspaceId", "sqlEndpointId", "sqlEndpointConnectionString"})
    keys = ("workspaceId", "displayName")

    def check(self, spec: Fields) -> None:
        """`with`: workspaceId, displayName, description, enableSchemas, waitForSqlEndpoint, ifExists."""
        spec.guid("workspaceId", required=True)
        spec.text(
            "displayName",
            required=True,
            maximum=items.NAME_LIMIT,
            pattern=_NAME,
            hint="must begin with a letter and may hold only letters, digits and underscores (a rule of Fabric's)",
            refers=True,
        )
        check_description(spec, items.DESCRIPTION_LIMIT)
        spec.boolean("enableSchemas")
        spec.boolean("waitForSqlEndpoint")
        spec.choice("ifExists", IF_EXISTS)

    def expand(self, spec: JsonObject) -> None:
        """A plain kind."""
        return

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """By name among the workspace's lakehouses."""
        return items.find_item(fabric, spec, "Lakehouse")

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Only the description can be changed later."""
        return ["description"] if items.description_differs(spec, found.image) else []

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Allow every update: compensation needs nothing of it."""

    def capture(
        self, fabric: Fabric, spec: JsonObject, found: Snapshot, captured: JsonObject | None
    ) -> JsonObject | OperationStarted:
        """The snapshot holds everything already."""
        return found.image

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """POST /lakehouses, or PATCH the description."""
        if intent.action == "create":
            body: JsonObject = {
                "displayName": spec["displayName"],
                "description": with_marker(spec.get("description", ""), intent.marker),
            }
            if spec.get("enableSchemas"):
                body["creationPayload"] = {"enableSchemas": True}
            return [Call("POST", f"/workspaces/{spec['workspaceId']}/lakehouses", "create Lakehouse", body)]
        text = keep_marker(spec["description"], (intent.before or {}).get("description", ""))
        return [items.description_call(spec["workspaceId"], intent.before_id or "", text)]

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        """The 201's own body."""
        return items.created_item(spec, answer, "Lakehouse")

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """By the marker in its description, which nobody else writes."""
        return items.recognises_item(intent, found)

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """It exists, has schemas if asked, and its SQL endpoint is there if asked."""
        shown = fabric.get(f"/workspaces/{spec['workspaceId']}/lakehouses/{resource.id}")
        properties = as_object(shown.get("properties")) or {}
        if spec.get("enableSchemas") and not properties.get("defaultSchema"):
            raise VerificationError(
                f"lakehouse '{resource.name}' ({resource.id}) has no schemas, and Fabric cannot add them later: "
                "delete it, or leave enableSchemas out"
            )
        image: JsonObject = {"description": shown.get("description", "")}
        if intent.action == "update" and items.description_differs(spec, image):
            raise VerificationError(f"lakehouse {resource.id}: Fabric shows another description")
        outputs: JsonObject = {"id": resource.id, "displayName": resource.name, "workspaceId": spec["workspaceId"]}
        if spec.get("waitForSqlEndpoint"):
            outputs |= _sql_endpoint(as_object(properties.get("sqlEndpointProperties")) or {}, resource)
        return outputs

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """By id in the list."""
        return items.locate_item(fabric, resource)

    def guard(self, fabric: Fabric, resource: Resource, makers: Makers) -> list[Found]:
        """Nothing of another's lives inside an item of ours, as far as the API shows. Tables are not looked at."""
        return []

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """DELETE it, or set the description back."""
        if intent.action == "create":
            return [items.delete_call(found)]
        before = (intent.before or {}).get("description", "")
        return [items.description_call(spec["workspaceId"], found.resource.id, before)]


def _sql_endpoint(properties: JsonObject, resource: Resource) -> JsonObject:
    status = properties.get("provisioningStatus")
    if status == "Failed":
        raise VerificationError(f"the SQL endpoint of lakehouse '{resource.name}' ({resource.id}) failed to provision")
    if status != "Success" or not properties.get("id"):
        raise NotYetError(f"the SQL endpoint of '{resource.name}' is being provisioned", SQL_ENDPOINT_SECONDS)
    return {
        "sqlEndpointId": properties["id"],
        "sqlEndpointConnectionString": properties.get("connectionString", ""),
    }
