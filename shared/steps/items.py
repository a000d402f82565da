"""What every kind that is an item in a workspace does alike: looking by type and name, descriptions, deleting."""

import re

from shared.domain.json import JsonObject
from shared.domain.names import same_name
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.steps.kind import Call, Snapshot, has_marker, located, says_the_same, usable

NAME_LIMIT = 123
"""Characters of an item's name: the cap of the Terraform provider for Fabric; the OpenAPI names none."""
DESCRIPTION_LIMIT = 256
"""Characters of an item's description: published OpenAPI, CreateItemRequest.description."""
WORD_NAME = re.compile(r"[A-Za-z0-9_]+")
WORD_NAMED = frozenset({"Lakehouse", "Warehouse", "Environment"})
"""Item types whose names Fabric limits to letters, digits and underscores (400 InvalidInput otherwise)."""
WORD_HINT = "may hold only letters, digits and underscores (a rule of Fabric's for this type)"


def items_path(spec: JsonObject) -> str:
    """The items of the step's workspace."""
    return f"/workspaces/{spec['workspaceId']}/items"


def snapshot(row: JsonObject, resource: Resource) -> Snapshot:
    """Return an item as a list shows it. The fields that the row leaves out are those of `resource`."""
    shown = Resource(
        row.get("type", resource.type), row["id"], row.get("displayName", resource.name), resource.parent_id
    )
    return Snapshot(shown, {"description": row.get("description", "")})


def find_item(fabric: Fabric, spec: JsonObject, item_type: str) -> Snapshot | None:
    """The item of that type and name. A lakehouse's SQLEndpoint bears the same name, so the type is checked too."""
    path, wanted = items_path(spec), spec["displayName"]
    for row in usable(fabric.list(path, {"type": item_type}), path):
        if same_name(row["displayName"], wanted) and row.get("type", item_type) == item_type:
            return snapshot(row, Resource(item_type, row["id"], wanted, spec["workspaceId"]))
    return None


def locate_item(fabric: Fabric, resource: Resource) -> Snapshot | None:
    """The very item, by id in the list: a 404 on it alone could be a paused capacity."""
    row = located(fabric, f"/workspaces/{resource.parent_id}/items", {"type": resource.type}, resource.id)
    return None if row is None else snapshot(row, resource)


def created_item(spec: JsonObject, answer: JsonObject, item_type: str) -> Resource:
    """The resource that a 201's body, or an operation's result, names; what it does not say is as asked for."""
    name = answer.get("displayName", spec["displayName"])
    return Resource(answer.get("type", item_type), answer["id"], name, spec["workspaceId"])


def recognises_item(intent: Intent, found: Snapshot) -> bool:
    """By the marker in its description."""
    return has_marker(found.image["description"], intent.marker)


def description_differs(spec: JsonObject, image: JsonObject) -> bool:
    """Whether the manifest names a description and the item has another."""
    return "description" in spec and not says_the_same(image["description"], spec["description"])


def description_call(workspace_id: str, item_id: str, description: str) -> Call:
    """PATCH the description to exactly this text."""
    return Call("PATCH", f"/workspaces/{workspace_id}/items/{item_id}", "item", {"description": description})


def delete_call(found: Snapshot) -> Call:
    """DELETE the item: soft where Fabric supports it, so that a person can still bring it back."""
    return Call("DELETE", item_path(found.resource), "item")


def item_path(resource: Resource) -> str:
    """The item itself."""
    return f"/workspaces/{resource.parent_id}/items/{resource.id}"
