"""Packed repositories for the simulation: items of a few lines, whose files stand in the world's storage."""

import hashlib
import json
from graphlib import TopologicalSorter
from typing import Any

from shared.domain.json import canonical
from shared.domain.ports import Blobs
from shared.repository.model import TARGET_WORKSPACE, ZERO_ID, LogicalIds, NamedRef, WorkspaceIds, item_ref
from shared.repository.model_json import to_json


def logical_id(item_type: str, name: str) -> str:
    """Return the logical id of an item: the same name always has the same one."""
    digest = hashlib.sha256(f"{item_type}/{name}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def item(
    blobs: Blobs, item_type: str, name: str, text: str = "", refers_to: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    """Return the packed entry of an item with one part, which names other items (`Type/Name`) by logical id."""
    row: dict[str, Any] = {"type": item_type, "displayName": name, "logicalId": logical_id(item_type, name)}
    if text:
        named = [NamedRef(logical_id(*key.split("/")), item_ref(*key.split("/"))) for key in refers_to]
        found = [each.find for each in named]
        body = json.dumps([text, *found]) if _FILES[item_type].endswith(".json") else "\n".join([text, *found])
        platform = {
            "metadata": {"type": item_type, "displayName": name},
            "config": {"version": "2.0", "logicalId": row["logicalId"]},
        }
        files = {".platform": canonical(platform), _FILES[item_type]: body, **_MORE.get(item_type, {})}
        parts = [
            {
                "path": path,
                "sha256": blobs.put(content.encode()),
                "size": len(content),
                "is_text": True,
                "replacements": to_json((LogicalIds(tuple(named)),)) if named and path != ".platform" else [],
            }
            for path, content in files.items()
        ]
        row["template"] = blobs.put(canonical({"format": "", "parts": parts}).encode())
        row["refs"] = [to_json(each.ref) for each in named]
        row["needs"] = list(refers_to)
    return {**row, **more}


def scheduled(
    blobs: Blobs, row: dict[str, Any], times: dict[str, bool], data: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the entry of an item with a daily schedule at each of these times, and whether it is switched on. All give
    the same data to their jobs."""
    more = {"executionData": data} if data else {}
    rows = [
        {"enabled": is_on, "jobType": "Execute", "configuration": configuration(time), **more}
        for time, is_on in times.items()
    ]
    content = json.dumps({"schedules": rows}).encode()
    part = {"path": ".schedules", "sha256": blobs.put(content), "size": len(content), "is_text": True}
    template = canonical({"format": "", "parts": [{**part, "replacements": []}]})
    return {**row, "schedules": {"template": blobs.put(template.encode()), "refs": []}}


def configuration(time: str) -> dict[str, Any]:
    """Return when a daily schedule starts its job."""
    days = {"startDateTime": "2026-01-01T00:00:00", "endDateTime": "2030-01-01T00:00:00"}
    return {"type": "Daily", **days, "localTimeZoneId": "UTC", "times": [time]}


def lakehouse(
    blobs: Blobs, name: str, targets: dict[str, str], transform: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """Return the packed entry of a lakehouse with a shortcut to the files of another one for each name: `targets` has
    the name of that lakehouse."""
    own = [NamedRef(logical_id("Lakehouse", other), item_ref("Lakehouse", other)) for other in set(targets.values())]
    rows = [
        {"path": "/Files", "name": link, "target": {"oneLake": _files_of(other)}, "transform": transform}
        for link, other in targets.items()
    ]
    content = json.dumps(rows).encode()
    part = {
        "path": "shortcuts.metadata.json",
        "sha256": blobs.put(content),
        "size": len(content),
        "is_text": True,
        "replacements": to_json((LogicalIds(tuple(own)), WorkspaceIds())),
    }
    shortcuts = {
        "template": blobs.put(canonical({"format": "", "parts": [part]}).encode()),
        "refs": [to_json(ref) for ref in (TARGET_WORKSPACE, *(each.ref for each in own))],
        "needs": [f"Lakehouse/{other}#whole" for other in sorted(set(targets.values()))],
        "rows": [{"path": "Files", "name": link} for link in targets],
    }
    row = {"type": "Lakehouse", "displayName": name, "logicalId": logical_id("Lakehouse", name)}
    return {**row, **({"shortcuts": shortcuts} if targets else {}), **more}


def _files_of(name: str) -> dict[str, str]:
    return {"workspaceId": ZERO_ID, "itemId": logical_id("Lakehouse", name), "path": "Files"}


_MORE = {
    "SemanticModel": {"definition/model.tmdl": "model Model\n"},
    "Dataflow": {"queryMetadata.json": "{}"},
    "VariableLibrary": {"variables.json": '{"variables": []}', "settings.json": '{"valueSetsOrder": ["PROD"]}'},
}
"""The other parts that Fabric requires, by type."""
_FILES = {
    "SemanticModel": "definition.pbism",
    "Notebook": "notebook-content.py",
    "Environment": "Setting/Sparkcompute.yml",
    "VariableLibrary": "valueSets/PROD.json",
    "DataPipeline": "pipeline-content.json",
    "Eventstream": "eventstream.json",
    "Reflex": "ReflexEntities.json",
    "Eventhouse": "EventhouseProperties.json",
    "Dataflow": "mashup.pq",
}


def text_of(item_type: str, number: int) -> str:
    """Return a text that differs from that of another number."""
    return f"driver_cores: {4 * number}\n" if item_type == "Environment" else f"x = {number}"


def step(workspace_id: str, items: list[dict[str, Any]], shells: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """Return a step of kind `repository` with these items, their folders, and the order of their references.

    `shells` are the keys of the items that are created bare, because others need them and they need others.
    """
    paths = [row.get("folder") or "" for row in items]
    folders = sorted({"/".join(path.split("/")[: i + 2]) for path in paths for i in range(path.count("/"))})
    rows = {f"{row['type']}/{row['displayName']}": dict(row) for row in items}
    needs: dict[str, list[str]] = {}
    for key, row in rows.items():
        if key in shells:
            needs[f"{key}#shell"] = []
        others = [f"{other}#{'shell' if other in shells else 'whole'}" for other in row.pop("needs", [])]
        needs[f"{key}#definition" if key in shells else f"{key}#whole"] = [
            *([f"{key}#shell"] if key in shells else []),
            *others,
        ]
    order = [
        {"item": node.rpartition("#")[0], "phase": node.rpartition("#")[2], "needs": needs[node]}
        for node in TopologicalSorter(needs).static_order()
    ]
    spec = {"workspaceId": workspace_id, "folders": folders, "items": list(rows.values()), "order": order, **more}
    return {"id": "content", "kind": "repository", "with": spec}
