"""Kind `orphans`: the items that earlier deployments of a repository created and that it does not contain any more.

A manifest cannot name it; `repository` expands to it. The step puts them into quarantine: it switches their schedules
off, renames them, and moves them out of their folders. All of that can be restored. It runs before the items of the
repository, so that their names are free. Nothing is deleted before the deployment has succeeded (saga/sweep).

Only notes prove that an item is an orphan: a deployment of this repository created it, under an identity that the
repository does not have now. Each is looked up by its id.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from shared.domain.fields import Fields
from shared.domain.json import JsonObject, as_list
from shared.domain.ports import Fabric
from shared.domain.ports.deployed import PARTS_OF_ITEMS
from shared.domain.records import Intent, Resource
from shared.domain.row_limits import as_many
from shared.domain.text import counted
from shared.steps import freed_names, items, schedules
from shared.steps.details import Details
from shared.steps.kind import (
    Call,
    NotYetError,
    Snapshot,
    VerificationError,
)
from shared.steps.recall import Recall
from shared.steps.rows import usable
from shared.steps.updating_kind import UpdatingKind

_WITHOUT_DATA = frozenset(
    {
        *("ApacheAirflowJob", "CopyJob", "DataAgent", "DataBuildToolJob", "DataPipeline", "Dataflow", "Environment"),
        *("GraphQLApi", "KQLDashboard", "KQLQueryset", "Map", "MountedDataFactory", "Notebook", "PaginatedReport"),
        *("Reflex", "Report", "SparkJobDefinition", "UserDataFunction", "VariableLibrary"),
    }
)
"""Types whose definition has all that is lost with an item, apart from its runs and the files that people uploaded to
its resources. Every other type counts as one that keeps data, also one that Fabric may add: an eventstream, for
example, keeps its events for up to 90 days. Source: Microsoft's documentation of deletion, and of each type."""
_PREFIX = "quarantine"
_GONE_CHARACTERS = 3_000
"""Characters of the outputs for candidates that are deleted; later deployments find the others."""


class Orphans(StrEnum):
    """The treatment of orphans."""

    KEEP = "keep"
    QUARANTINE = "quarantine"
    DELETE = "delete"


class OrphansKind(UpdatingKind):
    """Quarantine the orphans of a repository; compensation restores names, folders and schedules."""

    name = "orphans"
    about = "The items that a repository does not contain any more; a step of the kind repository expands to it."
    idle = idle_of_new = "nothing to quarantine"
    keys = ("workspaceId",)
    outputs = frozenset({"id", "workspaceId"})

    def check(self, spec: Fields) -> None:
        """Check the workspace's id; the kind `repository` has checked or made all other fields."""
        spec.guid("workspaceId", required=True)
        for name in (
            *("repository", "identities", "names", "present", "types", "mode", "keepOrphansFor", "allowDataLoss"),
        ):
            spec.raw(name)

    def prepare(self, fabric: Fabric, spec: JsonObject, recall: Recall) -> JsonObject:
        """Return the spec with the candidates, as earlier deployments of the repository noted them."""
        identities, types = set(spec["identities"]), set(as_list(spec.get("types")) or ())
        notes = recall.of_step(spec["workspaceId"], spec["repository"])
        here = {str(note["id"]).lower() for note in notes if note["identity"] in identities}
        found = [
            note
            for note in notes
            if note["isOwn"]
            and note["type"] not in PARTS_OF_ITEMS
            and note["identity"] not in identities
            and str(note["id"]).lower() not in here
            and (not types or note["type"] in types)
        ]
        kept = {key: spec[key] for key in spec if key not in ("identities", "present")}
        taken = [key for key, identity in spec["present"].items() if not any(n["identity"] == identity for n in notes)]
        if found and spec.get("names"):
            others = (key.partition("/") for key in freed_names.keys_left_out(recall, spec["names"]))
            taken += [f"{item_type}/{name.casefold()}" for item_type, _, name in others]
        return {**kept, "candidates": found, "byName": taken}

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """Return the candidates that exist. A candidate is left out if an item of the repository that no deployment
        knew has its name: it will be updated as that item, now or when that item is deployed."""
        rows = candidates_in(spec, listed_for(fabric, spec))
        resource = Resource("Orphans", f"{spec['workspaceId']}:{spec['repository']}", "orphans", spec["workspaceId"])
        return Snapshot(resource, {"items": rows})

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        return ["quarantine"] if any(not is_quarantined(row) for row in found.image["items"]) else []

    def details(self, spec: JsonObject, found: Snapshot) -> Details:
        """Return what becomes of each item."""
        rows = [row for row in found.image["items"] if not is_quarantined(row)]
        files = [f"{row['type']}/{row['displayName']} {_fate(spec, row)}" for row in rows]
        return Details(tuple(files), (), "exact", f"quarantines {counted(len(files), 'orphan')}")

    def did(self, spec: JsonObject, intent: Intent) -> str:
        rows = as_list((intent.before or {}).get("items")) or []
        return f"quarantined {counted(len(rows), 'orphan')}" if rows else super().did(spec, intent)

    def capture(self, fabric: Fabric, spec: JsonObject, found: Snapshot, captured: JsonObject | None) -> JsonObject:
        """Return the names and folders, with the schedules of the items that will be quarantined."""
        place = spec["workspaceId"]
        rows = [
            {**row, "schedules": schedules.of_item(fabric, place, row["id"], row["type"])}
            for row in found.image["items"]
            if not is_quarantined(row)
        ]
        return {"items": rows}

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return for each item: its schedules off, its new name, and the move to the workspace's root."""
        calls: list[Call] = []
        for row in _rows(intent):
            path = f"{items.items_path(spec)}/{row['id']}"
            calls += schedules.switched(spec["workspaceId"], row["id"], row["type"], row["schedules"], is_on=False)
            calls.append(Call("PATCH", path, "item", {"displayName": quarantine_name(row)}))
            if row["folderId"]:
                calls.append(items.move_call(spec["workspaceId"], row["id"], ""))
        return calls

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check that each item has its new name; a deleted item needs no check. Return which candidates are deleted."""
        listed = listed_for(fabric, spec)
        now: dict[str, JsonObject] = {row["id"]: row for row in candidates_in(spec, listed)}
        for row in _rows(intent):
            shown = now.get(row["id"])
            if shown is not None and not is_quarantined(shown):
                if shown["displayName"] == row["displayName"]:
                    raise NotYetError(f"{row['type']} '{row['displayName']}' does not show its new name yet", 1.0)
                raise VerificationError(f"{row['type']} {row['id']}: Fabric shows another name than the quarantine's")
        return {
            "id": resource.id,
            "workspaceId": spec["workspaceId"],
            "deletes": len(list(deletable(spec, now))),
            "gone": _gone(spec, listed),
        }

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        return self.find(fabric, spec)

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return the calls that restore each item that is still there and still has the quarantine's name or its own:
        folder, name, and schedules last."""
        now = {row["id"]: row for row in found.image["items"]}
        calls: list[Call] = []
        for row in _rows(intent):
            shown = now.get(row["id"])
            if shown is None or shown["displayName"] not in (quarantine_name(row), row["displayName"]):
                continue
            path = f"{items.items_path(spec)}/{row['id']}"
            if row["folderId"] and shown["folderId"] != row["folderId"]:
                calls.append(items.move_call(spec["workspaceId"], row["id"], row["folderId"]))
            if shown["displayName"] != row["displayName"]:
                calls.append(Call("PATCH", path, "item", {"displayName": row["displayName"]}))
            calls += schedules.switched(spec["workspaceId"], row["id"], row["type"], row["schedules"], is_on=True)
        return calls


def listed_for(fabric: Fabric, spec: JsonObject) -> list[JsonObject]:
    """Return the items of the workspace, if there is a candidate to look for. Raises FabricError."""
    return list(fabric.list(items.items_path(spec))) if spec["candidates"] else []


def candidates_in(spec: JsonObject, listed: Iterable[JsonObject]) -> list[JsonObject]:
    """Return the candidates among the items of the workspace."""
    wanted = {str(each["id"]).lower(): each["type"] for each in spec["candidates"]}
    by_name = set(spec["byName"])
    return [
        {
            "id": row["id"],
            "type": row["type"],
            "displayName": row["displayName"],
            "folderId": row.get("folderId") or "",
        }
        for row in usable(listed, items.items_path(spec))
        if row.get("type") == wanted.get(row["id"].lower(), "")
        and f"{row['type']}/{row['displayName'].casefold()}" not in by_name
    ]


def deleted_from(spec: JsonObject, listed: Iterable[JsonObject]) -> list[JsonObject]:
    """Return the candidates that are deleted. A row of the list without an id proves nothing."""
    ids = {str(row.get("id") or "").lower() for row in listed}
    return [each for each in spec["candidates"] if "" not in ids and str(each["id"]).lower() not in ids]


def _gone(spec: JsonObject, listed: Iterable[JsonObject]) -> list[str]:
    """Return the identities of candidates that are deleted, as many as a row has room for."""
    return as_many([each["identity"] for each in deleted_from(spec, listed)], _GONE_CHARACTERS)


def quarantine_name(row: JsonObject) -> str:
    """Return the name of an item in quarantine: unique by its id, and in the characters of every type."""
    begin = f"{_PREFIX}_{str(row['id'])[:8].lower()}_"
    return begin + str(row["displayName"])[: items.NAME_LIMIT - len(begin)]


def is_quarantined(row: JsonObject) -> bool:
    """Return True if an item's name is that of the quarantine."""
    return str(row["displayName"]).startswith(f"{_PREFIX}_{str(row['id'])[:8].lower()}_")


def deletable(spec: JsonObject, present: Mapping[str, JsonObject]) -> Iterator[JsonObject]:
    """Yield the candidates that may be deleted: they are in quarantine, and lose no data that nobody allowed to lose.

    `spec` is the step's, prepared; `present` are the rows of `OrphansKind.find` by id."""
    for each in spec["candidates"]:
        row = present.get(each["id"])
        if row is not None and is_quarantined(row) and may_delete(spec, each["type"], each["name"]):
            yield each


def keeps_data(item_type: str) -> bool:
    """Return True if the deletion of such an item may lose data that no definition contains."""
    return item_type not in _WITHOUT_DATA


def may_delete(spec: JsonObject, item_type: str, name: str) -> bool:
    """Return True if the manifest allows to delete such an orphan."""
    is_allowed = f"{name}.{item_type}".casefold() in {each.casefold() for each in spec["allowDataLoss"]}
    return spec["mode"] == Orphans.DELETE and (not keeps_data(item_type) or is_allowed)


def _fate(spec: JsonObject, row: JsonObject) -> str:
    if spec["mode"] != Orphans.DELETE:
        return "quarantined"
    if not may_delete(spec, row["type"], row["displayName"]):
        name = f"{row['displayName']}.{row['type']}"
        return f"quarantined and not deleted, because its data would be lost (allowDataLoss: [{name}] permits it)"
    return "quarantined, and deleted after the deployment has succeeded"


def _rows(intent: Intent) -> list[Any]:
    return as_list((intent.before or {}).get("items")) or []
