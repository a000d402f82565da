"""The changes of an update from Git in a workspace, as the status of Git shows them before the update."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from shared.domain.errors import FabricTransientError, InvalidInputError, Problem
from shared.domain.json import JsonObject, as_list, as_object
from shared.steps.orphans import keeps_data

_NO_CONFLICT = ("None", "SameChanges")
_NAMED = 10


class Change(StrEnum):
    """The change of one item by the update."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"


def affected(status: JsonObject, items: Sequence[JsonObject], policy: str) -> list[JsonObject]:
    """Return one row for each item that the update changes: its logical id, id, type, and what can be restored of it.

    `items` are those of the workspace, `policy` the resolution of conflicts; empty for none. Raises InvalidInputError
    for conflicts that the policy does not resolve, FabricTransientError for a change whose item is not clear.
    """
    by_id = {str(item["id"]).lower(): item for item in items}
    rows: list[JsonObject] = []
    conflicts: list[str] = []
    for change in changes(status):
        remote = change.get("remoteChange")
        if not remote and not change.get("workspaceChange"):
            raise _unclear(change, "shows no change of")
        if not remote or remote == "None":
            continue
        is_conflict = bool(change.get("workspaceChange")) and change.get("conflictType") not in _NO_CONFLICT
        row = _row(change, by_id)
        if is_conflict and policy == "PreferWorkspace":
            continue
        if is_conflict and not policy:
            conflicts.append(f"{row['name']}.{row['type']}" if row else "an item")
        if row:
            rows.append(row)
    if conflicts:
        raise InvalidInputError(
            [
                Problem(
                    "$.with.conflictResolution",
                    f"the workspace and the branch have both changed {listed(conflicts)}: set PreferRemote or "
                    "PreferWorkspace, or commit or discard the workspace's changes first",
                )
            ]
        )
    return rows


def changes(status: JsonObject) -> list[JsonObject]:
    """Return the rows of a status. Raises FabricTransientError if it has none, or one that names no item: then it
    proves nothing."""
    rows = as_list(status.get("changes"))
    if rows is None:
        raise FabricTransientError("Fabric's response has no changes", call="GET git/status")
    found = [as_object(row) or {} for row in rows]
    if not all(row.get("itemMetadata") for row in found):
        raise FabricTransientError("Fabric's response has a change without an item", call="GET git/status")
    return found


def identifier(change: JsonObject) -> tuple[str, str]:
    """Return the logical id and the id of the item of a row; empty for one that the row does not name."""
    found = as_object((as_object(change.get("itemMetadata")) or {}).get("itemIdentifier")) or {}
    return str(found.get("logicalId") or "").lower(), str(found.get("objectId") or "").lower()


def _row(change: JsonObject, by_id: dict[str, JsonObject]) -> JsonObject | None:
    """Return the row of an item; None if the workspace has already lost what the branch deletes."""
    shown = as_object(change.get("itemMetadata")) or {}
    key, item_id = identifier(change)
    item = by_id.get(item_id)
    if item is None:
        if change.get("remoteChange") == "Deleted":
            return None
        if change.get("remoteChange") == "Modified" and change.get("workspaceChange") != "Deleted":
            raise _unclear(change, "names no item of the workspace for")
        made: JsonObject = {"key": key, "id": "", "change": Change.ADDED.value}
        return {**made, "type": str(shown.get("itemType")), "name": str(shown.get("displayName"))}
    if not item["displayName"]:
        raise _unclear(change, "names no item of the workspace for")
    is_deleted = change.get("remoteChange") == "Deleted"
    return {
        "key": key,
        "id": item["id"],
        "change": (Change.DELETED if is_deleted else Change.MODIFIED).value,
        "type": item["type"],
        "name": item["displayName"],
        "description": item["description"],
        "folderId": item["folderId"],
    }


def _unclear(change: JsonObject, what: str) -> FabricTransientError:
    """Return the error of a change of an item that could not be restored, because it is not clear which it is."""
    shown = as_object(change.get("itemMetadata")) or {}
    name = f"{shown.get('displayName')}.{shown.get('itemType')}"
    return FabricTransientError(f"Fabric's response {what} {name}", call="GET git/status")


def check_data(rows: Iterable[JsonObject], allowed: Iterable[str]) -> None:
    """Raise InvalidInputError if the update would delete an item with data that nobody allowed to be lost."""
    may_go = {each.casefold() for each in allowed}
    names = [f"{row['name']}.{row['type']}" for row in rows if row["change"] == Change.DELETED]
    kept = [name for name in names if keeps_data(name.rpartition(".")[2]) and name.casefold() not in may_go]
    if kept:
        raise InvalidInputError(
            [
                Problem(
                    "$.with.allowDataLoss",
                    f"the branch does not contain {listed(kept)} any more, and the update would delete the data too: "
                    "name what may be lost, or commit it to the branch again",
                )
            ]
        )


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
