"""Kind `workspace`: a workspace by its name, which is unique in the tenant; its case does not matter."""

from collections.abc import Mapping, Sequence

from shared.domain.errors import FabricNotFoundError
from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject
from shared.domain.names import same_name
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps import capacity
from shared.steps.companions import proven
from shared.steps.kind import (
    Call,
    GuardError,
    IfExists,
    ResourceKind,
    Snapshot,
    VerificationError,
    check_if_exists,
    check_name,
)
from shared.steps.makers import Found, Own, OwnItems, described
from shared.steps.marker import check_description, has_marker, keep_marker, says_the_same, with_marker
from shared.steps.rows import located, usable
from shared.steps.staging import doubted

NAME_LIMIT = 256
"""Characters of a workspace's name. Source: published OpenAPI, CreateWorkspaceRequest.displayName."""
DESCRIPTION_LIMIT = 4000
"""Characters of a workspace's description. Source: published OpenAPI, CreateWorkspaceRequest.description."""
RESERVED_NAME = "admin monitoring"


class WorkspaceKind(ResourceKind):
    """Create or adopt a workspace, and set its description and its capacity."""

    name = "workspace"
    about = "A workspace, by its name."
    if_exists = IfExists.ADOPT
    outputs = frozenset({"id", "displayName", "capacityId"})
    keys = ("displayName",)
    tracks = "Workspace"
    tracked_fields: Mapping[str, str] = {"displayName": "name"}

    def check(self, spec: Fields) -> None:
        name = spec.text(
            "displayName",
            required=True,
            maximum=NAME_LIMIT,
            refers=True,
            words=Words("Unique in the tenant; its case does not matter.", "contoso-sales-dev"),
        )
        if name.strip().lower() == RESERVED_NAME:
            spec.problem("displayName", "is reserved by Fabric; choose another")
        else:
            check_name(spec, name)
        check_description(spec, DESCRIPTION_LIMIT)
        spec.guid(
            "capacityId",
            words=Words(
                "The capacity that the workspace is assigned to, by its id.", "6a3b1c7e-2f0d-4a55-9a0f-1b2c3d4e5f60"
            ),
        )
        check_if_exists(spec, self.if_exists)

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """Search by name among the workspaces that the identity can see."""
        for row in usable(fabric.list("/workspaces"), "/workspaces"):
            if same_name(row["displayName"], spec["displayName"]) and row.get("type") != "Personal":
                return _snapshot(row, fabric.get(f"/workspaces/{row['id']}"))
        return None

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        return list(_changes(spec, found.image))

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Raise InvalidInputError if the identity could not assign the earlier capacity again."""
        if found is not None and spec.get("capacityId"):
            capacity.check_way_back(fabric, found.image["capacityId"], spec["capacityId"])

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return POST /workspaces, or PATCH and assignToCapacity."""
        if intent.action is IntentAction.CREATE:
            body = {
                "displayName": spec["displayName"],
                "description": with_marker(spec.get("description", ""), intent.marker),
            }
            if spec.get("capacityId"):
                body["capacityId"] = spec["capacityId"]
            return [Call("POST", "/workspaces", "workspace", body)]
        before = intent.before or {}
        changes = _changes(spec, before)
        if "description" in changes:
            changes["description"] = keep_marker(spec["description"], before.get("description", ""))
        return _calls(intent.before_id or "", changes)

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        return Resource("Workspace", answer["id"], answer.get("displayName", spec["displayName"]))

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """Return True if its description carries the marker, which nobody else writes."""
        return has_marker(found.image["description"], intent.marker)

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Compare description and capacity, unless the workspace was adopted unchanged."""
        shown = fabric.get(f"/workspaces/{resource.id}")
        if intent.action is not IntentAction.ADOPT:
            image = _image(shown)
            if spec.get("capacityId"):
                capacity.check_assigned(shown, spec["capacityId"])
            wrong = sorted(_changes(spec, image))
            if wrong:
                raise VerificationError(f"workspace {resource.id}: Fabric shows a different {' and '.join(wrong)}")
        return {
            "id": resource.id,
            "displayName": shown.get("displayName", resource.name),
            "capacityId": shown.get("capacityId", ""),
        }

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """Search by id in the list, because a 404 alone could be a paused capacity.

        The list does not show a workspace in which the deployer has no role any more. It counts as deleted only if the
        workspace itself answers 404, too; a 403 says that it exists. Raises FabricError.
        """
        row = located(fabric, "/workspaces", None, resource.id)
        try:
            shown = fabric.get(f"/workspaces/{resource.id}")
        except FabricNotFoundError:
            if row is None:
                return None
            raise
        return _snapshot({"id": resource.id, "displayName": resource.name, **(row or {})}, shown)

    def guard(self, fabric: Fabric, resource: Resource, own: Own) -> list[Found]:
        """Return the companions inside. Raises GuardError if there is any other item.

        Deleting a workspace deletes its items. Those of the deployment have been deleted before.
        """
        rows = list(fabric.list(f"/workspaces/{resource.id}/items"))
        items = own() if rows else OwnItems()
        companions = proven(fabric, items.makers, rows, resource.id)
        known = {companion.resource.id for companion in companions}
        names = [described(row) for row in rows if row.get("id") not in known]
        if names:
            listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            raise GuardError(
                f"workspace '{resource.name}' ({resource.id}) was created by this deployment, but contains items that "
                f"it did not create: {listed}. Move or delete them; then the sweeper deletes the workspace.",
                doubted(items, rows, resource.id),
            )
        return companions

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return DELETE, or the calls that restore description and capacity where they differ. Raises NotYetError."""
        if intent.action is IntentAction.CREATE:
            return [Call("DELETE", f"/workspaces/{found.resource.id}", "workspace")]
        before = intent.before or {}
        if "capacityId" in _changes(spec, before):
            capacity.check_over(found.image)
        changed = {name: before[name] for name in _changes(spec, before)}
        return _calls(found.resource.id, {name: old for name, old in changed.items() if found.image[name] != old})

    def check_compensated(self, fabric: Fabric, spec: JsonObject, resource: Resource, calls: Sequence[Call]) -> None:
        """Wait until the earlier capacity is assigned. Raises NotYetError, FabricError."""
        capacity.check_restored(fabric, resource.id, calls)


def _image(shown: JsonObject) -> JsonObject:
    return {"description": shown.get("description", ""), **capacity.image(shown)}


def _snapshot(row: JsonObject, shown: JsonObject) -> Snapshot:
    """Return a workspace from its row in the list and from its own resource, which has more fields."""
    name = shown.get("displayName", row["displayName"])
    return Snapshot(Resource("Workspace", row["id"], name), _image({**row, **shown}))


def _changes(spec: JsonObject, image: JsonObject) -> JsonObject:
    """Return the fields that the manifest names and that differ in the image."""
    changes: JsonObject = {}
    if "description" in spec and not says_the_same(image["description"], spec["description"]):
        changes["description"] = spec["description"]
    if spec.get("capacityId") and image["capacityId"].lower() != spec["capacityId"].lower():
        changes["capacityId"] = spec["capacityId"]
    return changes


def _calls(workspace_id: str, changes: JsonObject) -> list[Call]:
    """Return PATCH and the assignment: Fabric silently ignores a capacityId in a PATCH."""
    calls: list[Call] = []
    if "description" in changes:
        body: JsonObject = {"description": changes["description"]}
        calls.append(Call("PATCH", f"/workspaces/{workspace_id}", "workspace", body))
    if "capacityId" in changes:
        calls.append(capacity.call(workspace_id, changes["capacityId"]))
    return calls
