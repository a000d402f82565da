"""The shared parts of the kinds of items in a workspace: search by type and name, descriptions, deletion."""

import re

from shared.domain.json import JsonObject
from shared.domain.names import same_name
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps.kind import Call, ResourceKind, Snapshot, VerificationError
from shared.steps.marker import has_marker, keep_marker, says_the_same, with_marker
from shared.steps.rows import located, usable

NAME_LIMIT = 123
"""Characters of an item's name. Source: the limit of the Terraform provider for Fabric; the OpenAPI has none."""
DESCRIPTION_LIMIT = 256
"""Characters of an item's description. Source: published OpenAPI, CreateItemRequest.description."""
WORD_NAME = re.compile(r"[A-Za-z0-9_]+")
WORD_NAMED = frozenset({"Lakehouse", "Warehouse"})
"""Item types whose names Fabric limits to letters, digits and underscores (400 InvalidInput otherwise). An environment
is not among them: one with a space in its name was created in recorded traffic."""
WORD_HINT = "may contain only letters, digits and underscores (Fabric's rule for this type)"


class InWorkspace(ResourceKind):
    """Base of the kinds that are items in a workspace."""

    def item_type(self, spec: JsonObject) -> str:
        """Return Fabric's type of the item."""
        raise NotImplementedError

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        return find_item(fabric, spec, self.item_type(spec))

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        """Return the item that the body of a 201, or the result of an operation, names.

        Its type is the one that was asked for: the item is looked for in the list of that type, and `verify` compares
        what Fabric shows there.
        """
        name = answer.get("displayName", spec["displayName"])
        return Resource(self.item_type(spec), answer["id"], name, spec["workspaceId"])

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """Return True if its description carries the marker, which nobody else writes."""
        return has_marker(found.image["description"], intent.marker)

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        return locate_item(fabric, resource)


class DescribedItem(InWorkspace):
    """Base of the kinds of items whose description alone can be changed after they were created."""

    collection: str
    """The part of the path with which Fabric creates and shows them."""
    refuses_taken_names = False
    """If True, Fabric answers at once, without an operation, that the workspace has such an item of that name."""

    def creation_payload(self, spec: JsonObject) -> JsonObject:
        """Return what is fixed when the item is created; empty for Fabric's defaults."""
        raise NotImplementedError

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Return the description if it differs; Fabric changes nothing else later."""
        return ["description"] if description_differs(spec, found.image) else []

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return the POST that creates the item, or PATCH with the description."""
        if intent.action is not IntentAction.CREATE:
            text = keep_marker(spec["description"], (intent.before or {}).get("description", ""))
            return [description_call(spec["workspaceId"], intent.before_id or "", text)]
        body: JsonObject = {
            "displayName": spec["displayName"],
            "description": with_marker(spec.get("description", ""), intent.marker),
        }
        if payload := self.creation_payload(spec):
            body["creationPayload"] = payload
        path = f"/workspaces/{spec['workspaceId']}/{self.collection}"
        return [Call("POST", path, f"create {self.item_type(spec)}", body)]

    def shown(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> JsonObject:
        """Return the item as its own route shows it. Raises FabricError."""
        return fabric.get(f"/workspaces/{spec['workspaceId']}/{self.collection}/{resource.id}")

    def check_description(self, spec: JsonObject, resource: Resource, intent: Intent, shown: JsonObject) -> None:
        """Raise VerificationError if an updated item has a different description."""
        image: JsonObject = {"description": shown.get("description", "")}
        if intent.action is IntentAction.UPDATE and description_differs(spec, image):
            raise VerificationError(
                f"{self.item_type(spec).lower()} {resource.id}: Fabric shows a different description"
            )

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return DELETE, or PATCH with the earlier description."""
        if intent.action is IntentAction.CREATE:
            return [delete_call(found)]
        before = (intent.before or {}).get("description", "")
        return [description_call(spec["workspaceId"], found.resource.id, before)]


def items_path(spec: JsonObject) -> str:
    """Return the path of the items in the step's workspace."""
    return f"/workspaces/{spec['workspaceId']}/items"


def snapshot(row: JsonObject, resource: Resource) -> Snapshot:
    """Return an item as a list shows it. The fields that the row leaves out are those of `resource`."""
    shown = Resource(
        row.get("type", resource.type), row["id"], row.get("displayName", resource.name), resource.parent_id
    )
    return Snapshot(shown, {"description": row.get("description", "")})


def find_item(fabric: Fabric, spec: JsonObject, item_type: str) -> Snapshot | None:
    """Return the item of that type and name; a lakehouse and its SQLEndpoint have the same name."""
    path, wanted = items_path(spec), spec["displayName"]
    for row in usable(fabric.list(path, {"type": item_type}), path):
        if same_name(row["displayName"], wanted) and row.get("type", item_type) == item_type:
            return snapshot(row, Resource(item_type, row["id"], wanted, spec["workspaceId"]))
    return None


def locate_item(fabric: Fabric, resource: Resource) -> Snapshot | None:
    """Search by id in the list, because a 404 alone could be a paused capacity."""
    row = listed(fabric, resource)
    return None if row is None else snapshot(row, resource)


def shown_item(fabric: Fabric, resource: Resource) -> JsonObject:
    """Return an item as the list of its type shows it, because many steps share a list; if that does not show it, as
    its own route does. Raises FabricError."""
    row = listed(fabric, resource)
    return fabric.get(item_path(resource)) if row is None else row


def listed(fabric: Fabric, resource: Resource) -> JsonObject | None:
    """Return an item as the list of its type shows it."""
    return located(fabric, f"/workspaces/{resource.parent_id}/items", {"type": resource.type}, resource.id)


def description_differs(spec: JsonObject, image: JsonObject) -> bool:
    """Return True if the manifest sets a description and the item has a different one."""
    return "description" in spec and not says_the_same(image["description"], spec["description"])


def move_call(workspace_id: str, item_id: str, folder_id: str) -> Call:
    """Return the move of an item into a folder; without one, to the root of the workspace."""
    body = {"targetFolderId": folder_id} if folder_id else {}
    path = f"/workspaces/{workspace_id}/items/{item_id}/move"
    return Call("POST", path, "item", body, folder_id=folder_id)


def description_call(workspace_id: str, item_id: str, description: str) -> Call:
    """Return PATCH with exactly this description."""
    return Call("PATCH", f"/workspaces/{workspace_id}/items/{item_id}", "item", {"description": description})


def delete_call(found: Snapshot) -> Call:
    """Return DELETE. For types with soft delete, a person can still restore the item."""
    return Call("DELETE", item_path(found.resource), "item")


def item_path(resource: Resource) -> str:
    """Return the path of the item itself."""
    return f"/workspaces/{resource.parent_id}/items/{resource.id}"
