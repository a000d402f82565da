"""The compensation of an update from Git: which items the update created, and the calls that restore all the others."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.names import same_name
from shared.domain.ports import Fabric
from shared.domain.records import Resource
from shared.steps import eventhouse, git_schedules
from shared.steps.git_changes import Change, changes, identifier, listed
from shared.steps.git_connection import INITIALISED, connection
from shared.steps.items import description_call
from shared.steps.kind import Call, GuardError
from shared.steps.makers import OwnItems
from shared.steps.rows import complete

_CONTAINERS = ("Eventhouse", "Lakehouse", "Warehouse")
"""Types whose deletion deletes other items: they are deleted after those."""
_ALL = {"recursive": "true"}


def present(fabric: Fabric, workspace_id: str) -> tuple[list[JsonObject], list[JsonObject]]:
    """Return the items and the folders that a workspace has now. Raises FabricError."""
    path = f"/workspaces/{workspace_id}"
    items = [
        {
            "id": row["id"],
            "type": row.get("type", ""),
            "displayName": row.get("displayName") or "",
            "description": row.get("description") or "",
            "folderId": row.get("folderId") or "",
        }
        for row in complete(fabric.list(f"{path}/items"), f"{path}/items")
    ]
    rows = complete(fabric.list(f"{path}/folders", _ALL), f"{path}/folders")
    return items, [{"id": row["id"], "parent": row.get("parentFolderId") or ""} for row in rows]


def to_read(image: JsonObject) -> list[str]:
    """Return the ids of the items whose definitions a before-image contains, in the order in which they are read."""
    return list(dict.fromkeys(row["id"] for row in image["rows"] if row["id"]))


def needs_status(fabric: Fabric, workspace_id: str, before: JsonObject) -> bool:
    """Return True if the workspace has an item that the update may have created: the status of Git shows whether it
    did. Raises FabricError, and GuardError if the workspace is not connected any more."""
    found = _candidates(before, present(fabric, workspace_id)[0])
    if found and connection(fabric, workspace_id)["gitConnectionState"] != INITIALISED:
        names = listed([f"'{item['displayName']}' ({item['id']})" for _, item in found])
        raise GuardError(
            f"the workspace is not connected to Git any more, so nothing shows whether the update created {names}: "
            "delete what it created, or connect the workspace again; then the sweeper goes on"
        )
    return bool(found)


def _candidates(before: JsonObject, items: Iterable[JsonObject]) -> list[tuple[JsonObject, JsonObject]]:
    """Return the rows of items that the update adds, each with an item of that type and name that is new."""
    old = set(before["ids"])
    added = [row for row in before["rows"] if row["change"] == Change.ADDED]
    return [
        (row, item)
        for item in items
        for row in added
        if item["id"] not in old and item["type"] == row["type"] and same_name(item["displayName"], row["name"])
    ]


def added(before: JsonObject, items: Iterable[JsonObject]) -> list[str]:
    """Return the ids of the items that the update may have created."""
    return [item["id"] for _, item in _candidates(before, items)]


def survey(
    fabric: Fabric, workspace_id: str, before: JsonObject, status: JsonObject, shown: JsonObject | None = None
) -> JsonObject:
    """Return what the update created, what it changed that is still there, the folders that it created for them, and
    the schedules to restore.

    An item is the update's if Git's status links it with the logical id that the branch added, or if the status has
    neither that logical id nor an uncommitted item of that id. `shown` has the ids of those that were there when the
    update was verified: an item that came later is somebody else's, also if it was committed. Raises FabricError, and
    GuardError for an eventhouse with databases of others.
    """
    items, folders = present(fabric, workspace_id)
    known = as_list((shown or {}).get("added"))
    candidates = [(row, item) for row, item in _candidates(before, items) if known is None or item["id"] in known]
    named = {identifier(change) for change in (changes(status) if candidates else ())}
    by_key = {key: item_id for key, item_id in named if key}
    loose = {item_id for _, item_id in named if item_id}
    created = [
        item
        for row, item in candidates
        if (by_key.get(row["key"]) == item["id"].lower())
        or (row["key"] not in by_key and item["id"].lower() not in loose)
    ]
    own = OwnItems((), frozenset(item["id"] for item in created))
    for item in created:
        if item["type"] == eventhouse.TYPE:
            eventhouse.guard(fabric, Resource(item["type"], item["id"], item["displayName"], workspace_id), lambda: own)
    here = {item["id"]: item for item in items}
    kept = [row["id"] for row in before["rows"] if row["id"] in here]
    places = [*(item["folderId"] for item in created), *(here[item_id]["folderId"] for item_id in kept)]
    ids = [item["id"] for item in created]
    after = as_object((shown or {}).get("schedules")) or {}
    return {
        "created": ids,
        "kept": kept,
        "folders": _new_folders(before, folders, places),
        "lookalikes": git_schedules.lookalikes(before, items, ids),
        "schedules": git_schedules.surveyed(fabric, workspace_id, before, items, after),
    }


def _new_folders(before: JsonObject, folders: Iterable[JsonObject], places: Iterable[str]) -> list[str]:
    """Return the folders that were not there before and that contain, at any depth, what the update created or moved;
    the deepest first."""
    parents = {row["id"]: row["parent"] for row in folders}
    found: dict[str, int] = {}
    for place in places:
        chain = list(_upwards(place, parents))
        for depth, folder in enumerate(reversed(chain)):
            if folder not in before["folders"]:
                found[folder] = depth
    return sorted(found, key=lambda folder: -found[folder])


def _upwards(folder: str, parents: dict[str, str]) -> Iterator[str]:
    seen = set[str]()
    while folder in parents and folder not in seen:
        seen.add(folder)
        yield folder
        folder = parents[folder]


def calls(workspace_id: str, before: JsonObject, made: JsonObject, now: JsonObject) -> list[Call]:
    """Return the calls that restore a before-image, in an order in which no name is taken.

    `now` are the items, folders and schedules of the workspace at this moment; while `definitions_remain`, the
    schedules are missing. A call whose effect they show already is left out. They do not show definitions, so the calls
    for all definitions are in the list, in the same order each time.
    """
    path = f"/workspaces/{workspace_id}"
    here = {item["id"]: item for item in now["items"]}
    rows = [row for row in before["rows"] if row["change"] != Change.ADDED]
    kept = [row for row in rows if row["id"] in here]
    created = [here[item_id] for item_id in made["created"] if item_id in here]
    created.sort(key=lambda item: item["type"] in _CONTAINERS)
    found = [_looked_for("DELETE", f"{path}/items/{item['id']}") for item in created]
    found += _names(path, kept, here)
    folder_ids = {row["id"] for row in now["folders"]}
    for row in kept:
        if here[row["id"]]["description"] != row["description"]:
            found.append(description_call(workspace_id, row["id"], row["description"]))
        wanted = row["folderId"] if row["folderId"] in folder_ids else ""
        if here[row["id"]]["folderId"] != wanted:
            body: JsonObject = {"targetFolderId": wanted} if wanted else {}
            found.append(_looked_for("POST", f"{path}/items/{row['id']}/move", body))
    found += _folders(path, made["folders"], now, {item["id"] for item in created}, {r["id"]: r for r in kept})
    pieces, has_schedules = git_schedules.definitions(before), bool(made.get("schedules"))
    # A new item has an id, and so schedules, only when it was created.
    found += [
        replace(_create(path, row, pieces[row["id"]], folder_ids), decides_next=has_schedules)
        for row in _missing(before, made, now)
    ]
    definitions = [
        Call("POST", f"{path}/items/{item_id}/updateDefinition", "updateDefinition", {"definition": pieces[item_id]})
        for item_id in _replaced(before, made)
    ]
    if has_schedules and definitions:  # each may change schedules
        definitions[-1] = replace(definitions[-1], decides_next=True)
    return [
        *map(_uncounted, found),
        *definitions,
        *git_schedules.calls(workspace_id, made, now.get("schedules") or {}),
    ]


def definitions_remain(before: JsonObject, made: JsonObject, now: JsonObject, sent: int) -> bool:
    """Return True if `calls` has calls with a definition that are still to be sent; `sent` counted ones were sent."""
    return sent < len(_replaced(before, made)) or bool(_missing(before, made, now))


def _replaced(before: JsonObject, made: JsonObject) -> list[str]:
    """Return the ids of the items that get the definitions of a before-image again."""
    pieces = git_schedules.definitions(before)
    return [item_id for item_id in made["kept"] if item_id in pieces]


def _missing(before: JsonObject, made: JsonObject, now: JsonObject) -> list[JsonObject]:
    """Return the rows of the deleted items that are still to be created: whose names nobody else's item has."""
    here = {item["id"] for item in now["items"]}
    names = {row["id"]: row["name"] for row in before["rows"] if row["change"] != Change.ADDED}  # renamed first
    others = [
        {**item, "displayName": names.get(item["id"], item["displayName"])}
        for item in now["items"]
        if item["id"] not in made["created"]
    ]
    gone = [row for row in before["rows"] if row["change"] == Change.DELETED and row["id"] not in here]
    return [row for row in gone if not _is_named(row, others)]


def _looked_for(method: str, path: str, body: JsonObject | None = None) -> Call:
    return Call(method, path, "item", body, is_looked_for=True)


def _uncounted(call: Call) -> Call:
    return replace(call, is_looked_for=True)


def _names(path: str, kept: Sequence[JsonObject], here: dict[str, JsonObject]) -> list[Call]:
    """Return the renames. If the name of one is taken by another of them, all have a name of their own in between."""
    wrong = [row for row in kept if here[row["id"]]["displayName"] != row["name"]]
    taken = {(here[row["id"]]["type"], here[row["id"]]["displayName"].casefold()) for row in wrong}
    final = [_looked_for("PATCH", f"{path}/items/{row['id']}", {"displayName": row["name"]}) for row in wrong]
    if all((row["type"], row["name"].casefold()) not in taken for row in wrong):
        return final
    between = [
        _looked_for("PATCH", f"{path}/items/{row['id']}", {"displayName": f"restoring_{row['id'][:8]}"})
        for row in wrong
    ]
    return between + final


def _folders(
    path: str, candidates: Iterable[str], now: JsonObject, deleted: set[str], kept: dict[str, Any]
) -> list[Call]:
    """Return the deletion of the folders that the update created and that nothing is in after the other calls."""
    parents = {row["id"]: row["parent"] for row in now["folders"]}
    used = {
        kept[item["id"]]["folderId"] if item["id"] in kept else item["folderId"]
        for item in now["items"]
        if item["id"] not in deleted
    }
    found: list[Call] = []
    for folder in candidates:  # the deepest first
        if folder in parents and folder not in used and folder not in parents.values():
            del parents[folder]
            found.append(_looked_for("DELETE", f"{path}/folders/{folder}"))
    return found


def _is_named(row: JsonObject, items: Iterable[JsonObject]) -> bool:
    return any(item["type"] == row["type"] and same_name(item["displayName"], row["name"]) for item in items)


def _create(path: str, row: JsonObject, definition: JsonObject, folder_ids: set[str]) -> Call:
    """Return POST /items for an item that the update deleted."""
    body: JsonObject = {"displayName": row["name"], "type": row["type"], "description": row["description"]}
    if row["folderId"] in folder_ids:
        body["folderId"] = row["folderId"]
    body["definition"] = definition
    return Call("POST", f"{path}/items", f"create {row['type']}", body)
