"""The schedules of the items that an update from Git changes or deletes, and the calls that restore them.

Fabric keeps an item's schedules in the branch, in the part `.schedules` of its definition. Source: "Job scheduler in
Microsoft Fabric" (learn.microsoft.com/fabric/fundamentals/job-scheduler). No documentation and no recording shows how
an update from Git treats the schedules that the item has. So nothing is assumed of it: they are read before the update,
when it was verified, and before a rollback restores the definitions.
"""

import json
import logging
from collections.abc import Collection, Iterable

from shared.domain.errors import FabricAuthError, FabricNotFoundError, FabricRefusedError
from shared.domain.json import JsonObject, as_list, as_object, canonical
from shared.domain.names import same_name
from shared.domain.ports import Fabric
from shared.steps import schedules
from shared.steps.git_changes import Change
from shared.steps.kind import Call

log = logging.getLogger(__name__)

ARE_READ = "schedules"
"""The member of a before-image that is True if it has schedules. Earlier versions of the app read none."""
LOOKS = 100
"""The items without a schedule before the update that one delivery looks for new schedules in, because the rate limit
lets a delivery make only so many calls."""


def piece_name(item_id: str, rows: list[JsonObject] | None) -> str:
    """Return the name of the piece of a before-image that is the item's definition.

    After the id it has the item's schedules, if there are any: a compensation decides by them, and a piece is loaded
    only when it is sent. `rows` is None if Fabric refuses to show them.
    """
    return item_id if rows == [] else f"{item_id} {canonical(rows)}"


def definitions(before: JsonObject) -> dict[str, JsonObject]:
    """Return the definitions of a before-image by the ids of their items."""
    return {name.partition(" ")[0]: piece for name, piece in before["definitions"].items()}


def read(fabric: Fabric, workspace_id: str, item_id: str, item_type: str) -> list[JsonObject] | None:
    """Return the schedules of an item; None if Fabric refuses to show them, which prevents no update. Raises
    FabricError."""
    try:
        return schedules.of_item(fabric, workspace_id, item_id, item_type)
    except (FabricRefusedError, FabricAuthError, FabricNotFoundError) as error:
        log.warning("the schedules of %s %s cannot be read, so a rollback leaves them: %s", item_type, item_id, error)
        return None


def _earlier(before: JsonObject) -> list[tuple[JsonObject, list[JsonObject]]]:
    """Return the rows of the items whose schedules were read, each with these; items that had some come first."""
    if not before.get(ARE_READ):
        return []
    named = dict[str, list[JsonObject] | None]()
    for name in before["definitions"]:
        item_id, _, text = name.partition(" ")
        named[item_id] = json.loads(text) if text else []
    rows = [row for row in before["rows"] if row["type"] in schedules.JOBS]
    found = [(row, old) for row in rows if (old := named.get(row["id"])) is not None]
    return sorted(found, key=lambda pair: not pair[1])


def shown(fabric: Fabric, workspace_id: str, before: JsonObject) -> JsonObject:
    """Return the schedules of the changed items, immediately after the update was verified, by the ids of the items. Of
    an item that it does not name, it is not known which schedules the update made. Raises FabricError."""
    changed = [row for row, _ in _earlier(before) if row["change"] == Change.MODIFIED]
    found = {row["id"]: read(fabric, workspace_id, row["id"], row["type"]) for row in changed[:LOOKS]}
    return {item_id: rows for item_id, rows in found.items() if rows is not None}


def surveyed(
    fabric: Fabric, workspace_id: str, before: JsonObject, items: Collection[JsonObject], known: JsonObject
) -> JsonObject:
    """Return the schedules that the rollback restores, by the ids of their items before the update: an image as
    `schedules.restored` takes it, and the name of an item that the update deleted.

    `items` are those of the workspace before anything is restored, `known` is what `shown` returned. Raises
    FabricError, also if Fabric refuses to show schedules: it showed them before the update, so a rollback without them
    would not restore everything. A paused capacity, for example, answers 404.
    """
    here = {item["id"] for item in items}
    found, looks = dict[str, JsonObject](), 0
    for row, old in _earlier(before):
        item_id, item_type = row["id"], row["type"]
        if item_id in here and (old or looks < LOOKS):
            looks += 0 if old else 1
            rows = schedules.of_item(fabric, workspace_id, item_id, item_type, ("owner",))
            image = _image(old, rows, as_list(known.get(item_id)), fabric.identity())
            found[item_id] = {"type": item_type, **image}
        elif item_id not in here and row["change"] == Change.DELETED:
            found[item_id] = {"type": item_type, "name": row["name"], "schedules": old, "sentSchedules": []}
    return {item_id: image for item_id, image in found.items() if schedules.may_change(image)}


def _image(
    old: list[JsonObject], present: list[JsonObject], after: list[JsonObject] | None, identity: str
) -> JsonObject:
    """Return the schedules that an item has after the rollback, and those that the update made.

    `after` are those of the verified update: what has changed since then was changed by somebody else, and stays.
    Without it, a new schedule is the update's only if Fabric shows the deployer as its owner.
    """
    ids = {row["id"] for row in old}
    new = [row for row in (present if after is None else after) if row["id"] not in ids and "configuration" in row]
    made = [row for row in new if after is not None or _is_owner(row, identity)]
    untouched = {
        row["id"]
        for row in old
        for each in after or ()
        if each["id"] == row["id"] and schedules.is_as_it_was(row, each)
    }
    others = (ids - untouched) | {row["id"] for row in made}
    kept = [row for row in old if row["id"] not in untouched]
    return {"schedules": kept + [row for row in present if row["id"] not in others], "sentSchedules": made}


def _is_owner(row: JsonObject, identity: str) -> bool:
    owner = as_object(row.get("owner")) or {}
    return bool(identity) and str(owner.get("id") or "").lower() == identity


def lookalikes(before: JsonObject, items: Iterable[JsonObject], ours: Collection[str]) -> list[str]:
    """Return the ids of the items of somebody else that have the type and name of one that the update deleted."""
    kept = {row["id"] for row in before["rows"]}
    gone = [row for row in before["rows"] if row["change"] == Change.DELETED]
    return [
        item["id"]
        for item in items
        if item["id"] not in kept and item["id"] not in ours and any(_is_alike(row["name"], row, item) for row in gone)
    ]


def _is_alike(name: str, row: JsonObject, item: JsonObject) -> bool:
    return bool(item["type"] == row["type"] and same_name(item["displayName"], name))


def present(fabric: Fabric, workspace_id: str, made: JsonObject, items: Collection[JsonObject]) -> JsonObject:
    """Return the present schedules of the items of `surveyed` that are there now, each with the id that it has now.
    Raises FabricError."""
    found = dict[str, JsonObject]()
    for item_id, image in (as_object(made.get("schedules")) or {}).items():
        now = _id_now(item_id, image, made, items)
        if now:
            rows = schedules.of_item(fabric, workspace_id, now, image["type"])
            found[item_id] = {"id": now, "rows": rows}
    return found


def _id_now(item_id: str, image: JsonObject, made: JsonObject, items: Iterable[JsonObject]) -> str:
    """Return the id of an item, or of the one that the rollback has created in its place; empty if it is not shown."""
    others = {*made["created"], *made["lookalikes"]}
    for item in items:
        is_new = "name" in image and item["id"] not in others and _is_alike(image["name"], image, item)
        if item["id"] == item_id or is_new:
            return str(item["id"])
    return ""


def calls(workspace_id: str, made: JsonObject, now: JsonObject) -> list[Call]:
    """Return the calls that lead from the present schedules to those of `surveyed`; `now` is what `present`
    returned."""
    images: JsonObject = as_object(made.get("schedules")) or {}
    return [
        call
        for item_id, held in now.items()
        for call in schedules.restored(workspace_id, held["id"], images[item_id]["type"], images[item_id], held["rows"])
    ]
