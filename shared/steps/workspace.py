"""Kind `workspace`: a workspace by its name, unique in the tenant whatever the case of its letters."""

from shared.domain.fields import Fields
from shared.domain.json import JsonObject
from shared.domain.names import same_name
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.records import Intent, Resource
from shared.steps.companions import Found, Makers, proven
from shared.steps.kind import (
    IF_EXISTS,
    Call,
    GuardError,
    NotYetError,
    Snapshot,
    VerificationError,
    check_description,
    check_name,
    has_marker,
    keep_marker,
    located,
    says_the_same,
    usable,
    with_marker,
)

NAME_LIMIT = 256
"""Characters of a workspace's name: published OpenAPI, CreateWorkspaceRequest.displayName."""
DESCRIPTION_LIMIT = 4000
"""Characters of a workspace's description: published OpenAPI, CreateWorkspaceRequest.description."""
RESERVED_NAME = "admin monitoring"
CAPACITY_SECONDS = 2.0
"""Usual seconds of a capacity assignment; recorded reads right after it said Completed already."""


class WorkspaceKind:
    """Creates a workspace or adopts one; may set its description and its capacity."""

    name = "workspace"
    if_exists = "adopt"
    outputs = frozenset({"id", "displayName", "capacityId"})
    keys = ("displayName",)

    def check(self, spec: Fields) -> None:
        """`with`: displayName, description, capacityId, ifExists."""
        name = spec.text("displayName", required=True, maximum=NAME_LIMIT, refers=True)
        if name.strip().lower() == RESERVED_NAME:
            spec.problem("displayName", "is reserved by Fabric; choose another")
        else:
            check_name(spec, name)
        check_description(spec, DESCRIPTION_LIMIT)
        spec.guid("capacityId")
        spec.choice("ifExists", IF_EXISTS)

    def expand(self, spec: JsonObject) -> None:
        """A plain kind."""
        return

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """By name among the workspaces that the identity can see."""
        for row in usable(fabric.list("/workspaces"), "/workspaces"):
            if same_name(row["displayName"], spec["displayName"]) and row.get("type") != "Personal":
                return _snapshot(row, fabric.get(f"/workspaces/{row['id']}"))
        return None

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Description or capacity, where the manifest names them."""
        return list(_changes(spec, found.image))

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Allow every update: compensation needs nothing of it."""

    def capture(
        self, fabric: Fabric, spec: JsonObject, found: Snapshot, captured: JsonObject | None
    ) -> JsonObject | OperationStarted:
        """The snapshot holds everything already."""
        return found.image

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """POST /workspaces, or PATCH and assignToCapacity."""
        if intent.action == "create":
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
        return _calls(f"/workspaces/{intent.before_id}", changes)

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        """The 201's own body."""
        return Resource("Workspace", answer["id"], answer.get("displayName", spec["displayName"]))

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """By the marker in its description, which nobody else writes."""
        return has_marker(found.image["description"], intent.marker)

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """It exists; description and capacity are as asked unless it was adopted as it is."""
        shown = fabric.get(f"/workspaces/{resource.id}")
        if intent.action != "adopt":
            image = _image(shown)
            if (spec.get("capacityId") or "").lower() and shown.get("capacityAssignmentProgress") == "InProgress":
                raise NotYetError("the capacity is being assigned", CAPACITY_SECONDS)
            if shown.get("capacityAssignmentProgress") == "Failed" and spec.get("capacityId"):
                raise VerificationError(f"the capacity {spec['capacityId']} could not be assigned; is it running?")
            wrong = sorted(_changes(spec, image))
            if wrong:
                raise VerificationError(f"workspace {resource.id}: Fabric shows another {' and '.join(wrong)}")
        return {
            "id": resource.id,
            "displayName": shown.get("displayName", resource.name),
            "capacityId": shown.get("capacityId", ""),
        }

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """By id in the list: a 404 alone could be a paused capacity."""
        row = located(fabric, "/workspaces", None, resource.id)
        if row is None:
            return None
        return _snapshot({"displayName": resource.name, **row}, fabric.get(f"/workspaces/{resource.id}"))

    def guard(self, fabric: Fabric, resource: Resource, makers: Makers) -> list[Found]:
        """Deleting a workspace deletes its items, so there must be none left but what Fabric added beside ours: ours
        are gone by then."""
        rows = list(fabric.list(f"/workspaces/{resource.id}/items"))
        companions = proven(makers(), rows, resource.id) if rows else []
        known = {companion.resource.id for companion in companions}
        names = [f"{row.get('type')} '{row.get('displayName')}'" for row in rows if row.get("id") not in known]
        if names:
            listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            raise GuardError(
                f"workspace '{resource.name}' ({resource.id}) was created by this deployment, but holds what it did "
                f"not create: {listed}. Move or delete them, and the sweeper will delete the workspace."
            )
        return companions

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """DELETE it, or set description and capacity back."""
        path = f"/workspaces/{found.resource.id}"
        if intent.action == "create":
            return [Call("DELETE", path, "workspace")]
        before = intent.before or {}
        return _calls(path, {name: before[name] for name in _changes(spec, before)})


def _image(shown: JsonObject) -> JsonObject:
    return {"description": shown.get("description", ""), "capacityId": shown.get("capacityId", "")}


def _snapshot(row: JsonObject, shown: JsonObject) -> Snapshot:
    """A workspace by its row of the list, and as it is shown by itself, which says more."""
    name = shown.get("displayName", row["displayName"])
    return Snapshot(Resource("Workspace", row["id"], name), _image({**row, **shown}))


def _changes(spec: JsonObject, image: JsonObject) -> JsonObject:
    """The fields that the manifest names and that are otherwise in the image."""
    changes: JsonObject = {}
    if "description" in spec and not says_the_same(image["description"], spec["description"]):
        changes["description"] = spec["description"]
    if spec.get("capacityId") and image["capacityId"].lower() != spec["capacityId"].lower():
        changes["capacityId"] = spec["capacityId"]
    return changes


def _calls(path: str, changes: JsonObject) -> list[Call]:
    calls: list[Call] = []
    if "description" in changes:
        calls.append(Call("PATCH", path, "workspace", {"description": changes["description"]}))
    if changes.get("capacityId"):
        # A PATCH of capacityId is silently ignored by Fabric; only assignToCapacity moves a workspace.
        body = {"capacityId": changes["capacityId"]}
        calls.append(Call("POST", f"{path}/assignToCapacity", "capacity", body))
    elif "capacityId" in changes:
        calls.append(Call("POST", f"{path}/unassignFromCapacity", "capacity"))
    return calls
