"""Kind `git_update`: bring a connected workspace to the head of its branch, with a before-image of all that changes.

ADR 36 says what is proved of the update and of its compensation.
"""

import re
from collections.abc import Mapping

from shared.domain.errors import FabricTransientError, InvalidInputError, Problem
from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject, as_object
from shared.domain.names import same_name
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.records import Intent, Resource
from shared.domain.row_limits import APART
from shared.domain.states import IntentAction
from shared.domain.text import counted
from shared.steps import definition_parts, git_changes, git_restore, git_schedules, restorable
from shared.steps.details import Details
from shared.steps.gathering_kind import Gathered, GatheringKind
from shared.steps.git_changes import Change
from shared.steps.git_connection import INITIALISED, connection, git_path
from shared.steps.kind import (
    WORKSPACE_ID,
    Call,
    NoBeforeImageError,
    NotYetError,
    Snapshot,
    VerificationError,
)
from shared.steps.rows import located

TYPE = "GitUpdate"
POLICIES = ("PreferRemote", "PreferWorkspace")
"""Source: published OpenAPI, ConflictResolutionPolicy."""
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_STATUS = "git status"


class GitUpdateKind(GatheringKind):
    """Update a workspace from Git. Compensation restores, item by item, what the update changed."""

    name = "git_update"
    idle = "the workspace is at the head of the branch"
    about = "An update of a connected workspace from Git, to the head of its branch."
    outputs = frozenset({"workspaceId", "commit", "previousCommit"})
    keys = ("workspaceId",)
    pieces = "definitions"
    tracks = ""
    tracked_fields: Mapping[str, str] = {}

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        spec.text(
            "commit",
            maximum=64,
            pattern=_COMMIT,
            hint="must be the full hash of a commit: 40 or 64 of 0-9 and a-f",
            refers=True,
            words=Words(
                "The commit that the branch's head must be; with another one the step fails. Default: any.", "0" * 40
            ),
        )
        spec.choice(
            "conflictResolution",
            POLICIES,
            words=Words("The side that counts if both changed an item. By default that fails the step.", POLICIES[0]),
        )
        spec.texts(
            "allowDataLoss",
            words=Words(
                "Items that the update may delete although their data is lost, as name and type.", ["old.Lakehouse"]
            ),
        )

    def absent(self, spec: JsonObject) -> str:
        return (
            f"workspace {spec['workspaceId']} is not connected to Git, or its connection is not initialised: connect "
            "it first, for example by a step of kind git_connection that this step needs"
        )

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """Return the connection's place in Git; None if the workspace has none."""
        shown = connection(fabric, spec["workspaceId"])
        if shown["gitConnectionState"] != INITIALISED:
            return None
        place = spec["workspaceId"]
        return Snapshot(Resource(TYPE, f"{place}/{self.name}", "update from Git", place), {"head": _head(shown)})

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Return what the update changes: until the status has been read, that is not known."""
        image = found.image
        if "rows" not in image:
            return ["items"]
        return [*(["items"] if image["rows"] else []), *(["commit"] if image["head"] != image["commit"] else [])]

    def details(self, spec: JsonObject, found: Snapshot) -> Details:
        """Return what becomes of each item."""
        rows = found.image["rows"]
        files = [f"{row['type']}/{row['name']} {_fate(row)}" for row in rows]
        is_exact = all(
            row["change"] == Change.ADDED
            or (row["change"] == Change.MODIFIED and restorable.of_update(row["type"]) == "exact")
            for row in rows
        )
        return Details(tuple(files), (), "exact" if is_exact else "lossy")

    def did(self, spec: JsonObject, intent: Intent) -> str:
        """Return the numbers of items; the before-image has one row for each."""
        if intent.action is not IntentAction.UPDATE:
            return self.idle
        return f"changed {counted(len((intent.before or {}).get('rows') or []), 'item')} from Git"

    def gather(
        self, fabric: Fabric, spec: JsonObject, image: JsonObject | None, count: int, answer: JsonObject | None
    ) -> Gathered:
        """Read the status of Git, and then the definition and the schedules of each item that the update changes or
        deletes."""
        if image is None:
            status = answer if answer is not None else _status(fabric, spec["workspaceId"])
            if isinstance(status, OperationStarted):
                return Gathered(operation=status, operation_kind=_STATUS)
            begun = self._begun(fabric, spec, status)
            return Gathered(begun, is_complete=not git_restore.to_read(begun))
        wanted, place = git_restore.to_read(image), spec["workspaceId"]
        item_id = wanted[count]
        if answer is None:
            path = f"/workspaces/{place}/items/{item_id}/getDefinition"
            reply = fabric.send("POST", path)  # changes nothing, so it needs no intent
            if reply.operation is not None:
                return Gathered(image, operation=reply.operation, operation_kind="getDefinition")
            answer = reply.body or {}
        definition = definition_parts.restorable(as_object(answer.get("definition")) or {})
        if definition is None:
            message = f"Fabric does not return the complete definition of item {item_id}, so it could not be restored"
            raise NoBeforeImageError(message, call="getDefinition")
        row = next(row for row in image["rows"] if row["id"] == item_id)
        name = git_schedules.piece_name(item_id, git_schedules.read(fabric, place, item_id, row["type"]))
        return Gathered(image, (name, definition), is_complete=count + 1 == len(wanted))

    def _begun(self, fabric: Fabric, spec: JsonObject, status: JsonObject) -> JsonObject:
        """Return the image without definitions. Raises InvalidInputError for an update that may not be made."""
        head, commit = str(status.get("workspaceHead") or ""), str(status.get("remoteCommitHash") or "")
        if not commit:
            raise FabricTransientError("Fabric's response names no remoteCommitHash", call="GET git/status")
        if spec.get("commit") and spec["commit"] != commit:
            what = f"the head of the branch is {commit}, and Fabric updates to the head only: name that commit, or"
            remedy = f"{what} none, or bring the branch to the commit that is wanted (revert, or a branch of its own)"
            raise InvalidInputError([Problem("$.with.commit", remedy)])
        items, folders = git_restore.present(fabric, spec["workspaceId"])
        rows = git_changes.affected(status, items, str(spec.get("conflictResolution") or ""))
        git_changes.check_data(rows, spec.get("allowDataLoss") or [])
        ids = [row["id"] for row in items]
        image: JsonObject = {"head": head, "commit": commit, "rows": rows, "ids": ids}
        return {**image, "folders": [row["id"] for row in folders], git_schedules.ARE_READ: True, APART: True}

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return git/updateFromGit, which Fabric refuses if one of both heads has moved since the status was read."""
        before = intent.before or {}
        body: JsonObject = {"remoteCommitHash": before.get("commit") or spec.get("commit") or ""}
        if before.get("head"):
            body["workspaceHead"] = before["head"]
        if policy := spec.get("conflictResolution"):
            body["conflictResolution"] = {"conflictResolutionType": "Workspace", "conflictResolutionPolicy": policy}
        return [Call("POST", f"{git_path(spec['workspaceId'])}/updateFromGit", "updateFromGit", body)]

    def took_effect(self, fabric: Fabric, spec: JsonObject, intent: Intent) -> bool:
        before = intent.before or {}
        return before["head"] != before["commit"] == _head(connection(fabric, spec["workspaceId"]))

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check that the workspace is at the commit, with the items that the branch added and without the others."""
        head, place = _head(connection(fabric, spec["workspaceId"])), spec["workspaceId"]
        before = intent.before
        if before is None:
            return {"workspaceId": place, "commit": head, "previousCommit": head}
        if head != before["commit"]:
            if head == before["head"]:
                raise NotYetError(f"workspace {place} is still at commit '{head}'", 2.0)
            raise VerificationError(f"workspace {place} is at commit {head}, not {before['commit']}: somebody else's")
        items, _ = git_restore.present(fabric, place)
        for row in before["rows"]:
            is_there = any(_is_same(row, item) for item in items)
            if is_there == (row["change"] == Change.DELETED):
                wanted = "gone" if is_there else "shown"
                raise NotYetError(f"{row['type']} '{row['name']}' is not {wanted} yet", 2.0)
        return {"workspaceId": place, "commit": head, "previousCommit": before["head"]}

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """Return the items and folders that the workspace has now; None if it is gone."""
        place = resource.parent_id or ""
        if located(fabric, "/workspaces", None, place) is None:
            return None
        items, folders = git_restore.present(fabric, place)
        return Snapshot(resource, {"items": items, "folders": folders})

    def shown(self, fabric: Fabric, spec: JsonObject, intent: Intent) -> JsonObject:
        """Return the ids of the new items with the types and names of those that the branch added, and the schedules of
        the changed items."""
        before, place = intent.before or {}, spec["workspaceId"]
        added = git_restore.added(before, git_restore.present(fabric, place)[0])
        return {"added": added, "schedules": git_schedules.shown(fabric, place, before)}

    def survey(
        self, fabric: Fabric, spec: JsonObject, intent: Intent, answer: JsonObject | None
    ) -> JsonObject | OperationStarted:
        """Return the items that the update created, by the status of Git, those that are still there, and the schedules
        to restore."""
        if answer is None and git_restore.needs_status(fabric, spec["workspaceId"], intent.before or {}):
            status = _status(fabric, spec["workspaceId"])
            if isinstance(status, OperationStarted):
                return status
            answer = status
        return git_restore.survey(fabric, spec["workspaceId"], intent.before or {}, answer or {}, intent.made)

    def completed(self, fabric: Fabric, intent: Intent, found: Snapshot, sent: int) -> Snapshot:
        """Return the items and folders with the present schedules of those whose schedules are restored; without them
        while definitions are still to be sent, because these may change them."""
        place, before, made = found.resource.parent_id or "", intent.before or {}, intent.made or {}
        is_update = intent.action is IntentAction.UPDATE
        if not is_update or git_restore.definitions_remain(before, made, found.image, sent):
            return found
        rows = git_schedules.present(fabric, place, made, found.image["items"])
        return Snapshot(found.resource, {**found.image, "schedules": rows})

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return the calls that restore the before-image; nothing was created by the step itself."""
        if intent.action is not IntentAction.UPDATE:
            return []
        return git_restore.calls(spec["workspaceId"], intent.before or {}, intent.made or {}, found.image)


def _head(shown: JsonObject) -> str:
    details = as_object(shown.get("gitSyncDetails")) or {}
    return str(details.get("head") or "")


def _status(fabric: Fabric, workspace_id: str) -> JsonObject | OperationStarted:
    reply = fabric.send("GET", f"{git_path(workspace_id)}/status")
    return reply.operation if reply.operation is not None else reply.body or {}


def _is_same(row: JsonObject, item: JsonObject) -> bool:
    if row["change"] == Change.ADDED:
        return bool(item["type"] == row["type"] and same_name(item["displayName"], row["name"]))
    return bool(item["id"] == row["id"])


def _fate(row: JsonObject) -> str:
    if row["change"] == Change.DELETED:
        return "deleted (a rollback creates it again from its definition, with another id)"
    return str(row["change"])
