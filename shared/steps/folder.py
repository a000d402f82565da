"""Kind `folder`: a folder of a workspace. Fabric has no description for it, so it carries no marker."""

import re
from collections.abc import Iterable, Mapping

from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject
from shared.domain.names import same_name
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps.companions import proven
from shared.steps.kind import (
    WORKSPACE_ID,
    Call,
    GuardError,
    IfExists,
    ResourceKind,
    Snapshot,
    VerificationError,
    check_if_exists,
)
from shared.steps.makers import Found, Own, OwnItems, described
from shared.steps.rows import located, usable
from shared.steps.staging import doubted

TYPE = "Folder"
NAME_LIMIT = 255
"""Characters of a folder's name. Source: fabric-docs, workspaces-folders, folder name requirements."""
_NAME = re.compile(r"[^~\x22#.&*:<>?\/\\\{\|\}\x00-\x1f\x7f-\x9f]+")
_RECURSIVE = {"recursive": "true"}
_NAMED = 3


class FolderKind(ResourceKind):
    """Create or adopt a folder. Compensation deletes it if it is empty."""

    name = "folder"
    about = "A folder in a workspace, at its root or in another folder."
    if_exists = IfExists.ADOPT
    outputs = frozenset({"id", "displayName", "workspaceId"})
    keys = ("workspaceId", "parentFolderId", "displayName")
    must_be_empty = True
    tracks = TYPE
    tracked_fields: Mapping[str, str] = {"workspaceId": "workspace_id", "displayName": "name"}

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        name = spec.text(
            "displayName",
            required=True,
            maximum=NAME_LIMIT,
            pattern=_NAME,
            hint="must not contain any of ~ \" # . & * : < > ? / \\ { | } (Fabric's rule for folders)",
            refers=True,
            words=Words("Unique in its folder.", "Raw"),
        )
        if name.strip() and name != name.strip():
            spec.problem("displayName", "must not begin or end with white space")
        spec.guid(
            "parentFolderId",
            words=Words("The folder that contains it. Default: the workspace's root.", "${{ steps.sales.outputs.id }}"),
        )
        check_if_exists(spec, self.if_exists)

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """Search by name among the folders of the same parent."""
        path, parent = _path(spec["workspaceId"]), spec.get("parentFolderId") or ""
        for row in usable(fabric.list(path, _RECURSIVE), path):
            is_inside = (row.get("parentFolderId") or "").lower() == parent.lower()
            if is_inside and same_name(row["displayName"], spec["displayName"]):
                return _snapshot(row, spec["workspaceId"])
        return None

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Return an empty list: a folder has nothing but its place and its name, by which it is found."""
        return []

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return POST /folders; an existing folder is never changed."""
        if intent.action is not IntentAction.CREATE:
            return []
        body: JsonObject = {"displayName": spec["displayName"]}
        if spec.get("parentFolderId"):
            body["parentFolderId"] = spec["parentFolderId"]
        return [Call("POST", _path(spec["workspaceId"]), "create Folder", body)]

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        return Resource(TYPE, answer["id"], answer.get("displayName", spec["displayName"]), spec["workspaceId"])

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """Return True if the response was lost: a folder carries no marker.

        A folder that somebody else created in that place at that moment cannot be distinguished. It is deleted only
        while it is empty.
        """
        return uncertain

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check that the folder is shown under its name."""
        found = self.locate(fabric, spec, resource)
        if found is None:
            raise VerificationError(f"folder '{resource.name}' ({resource.id}) is not shown")
        return {"id": resource.id, "displayName": found.resource.name, "workspaceId": spec["workspaceId"]}

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        row = located(fabric, _path(resource.parent_id or ""), _RECURSIVE, resource.id)
        return None if row is None else _snapshot(row, resource.parent_id or "", resource.name)

    def guard(self, fabric: Fabric, resource: Resource, own: Own) -> list[Found]:
        """Return the companions inside. Raises GuardError if anything else is in the folder: the items of this
        deployment have left it by now.

        Fabric refuses to delete a folder that is not empty, but a message of its own names nothing. An item counts as a
        companion only when Fabric shows all companions of the makers that are counted (left_behind).
        """
        place = resource.parent_id or ""
        items = list(fabric.list(f"/workspaces/{place}/items"))
        inside = _in_folder(items, "folderId", resource)
        ids = {row.get("id") for row in inside}
        created = own() if inside else OwnItems()
        going = [f for f in proven(fabric, created.settled, items, place) if f.resource.id in ids]
        known = {found.resource.id for found in going}
        strange = [row for row in inside if row.get("id") not in known]
        strange += _in_folder(fabric.list(_path(place), _RECURSIVE), "parentFolderId", resource)
        if strange:
            names = [described(row, TYPE) for row in strange]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            raise GuardError(
                f"folder '{resource.name}' ({resource.id}) contains what this deployment did not create: "
                f"{', '.join(names[:_NAMED])}{more}; move or delete that first",
                doubted(created, items, place),
            )
        return going

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return DELETE."""
        if intent.action is not IntentAction.CREATE:
            return []
        return [Call("DELETE", f"{_path(found.resource.parent_id or '')}/{found.resource.id}", "folder")]


def _path(workspace_id: str) -> str:
    return f"/workspaces/{workspace_id}/folders"


def _in_folder(rows: Iterable[JsonObject], field: str, folder: Resource) -> list[JsonObject]:
    """Return the rows whose `field` names the folder."""
    return [row for row in rows if str(row.get(field) or "").lower() == folder.id.lower()]


def _snapshot(row: JsonObject, workspace_id: str, name: str = "") -> Snapshot:
    return Snapshot(Resource(TYPE, row["id"], row.get("displayName", name), workspace_id), {})
