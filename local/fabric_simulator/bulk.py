"""Export and import of many definitions in one call.

Source: a recording of microsoft/fabric-cli for the export; the published OpenAPI for the import, which no recording
shows. Assumed: the import creates and updates in the order of references, and replaces logical ids by the items' ids.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from local.fabric_simulator import folders, items
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import WORKSPACE, Route
from local.fabric_simulator.store import Item, Workspace
from local.fabric_simulator.world import Body, World, object_field, rows_field

_PLATFORM = ".platform"


@dataclass
class LogicalIds:
    """The ids of a workspace's items by the logical ids under which they were imported."""

    by_logical: dict[str, str] = field(default_factory=lambda: dict[str, str]())


@dataclass
class Import:
    """An item folder of an import: its place, its metadata and its parts as bytes by path below it."""

    folder: str
    type: str
    name: str
    logical_id: str
    parts: dict[str, bytes]


def rows_of(root: str, files: Mapping[str, bytes]) -> list[Body]:
    """Return files below a folder as the parts of an import."""
    return [
        {"path": f"{root}/{path}", "payload": base64.b64encode(data).decode(), "payloadType": "InlineBase64"}
        for path, data in files.items()
    ]


def root_of(workspace: Workspace, item: Item) -> str:
    """Return the path of an item's folder, with the folders above it, its name and its type."""
    above = [f.name for f in workspace.part(folders.Folders).above(item.folder_id)]
    return "/" + "/".join([*reversed(above), f"{item.name}.{item.type}"])


def export(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST bulkExportDefinitions: an operation whose result has the parts of all items or of the named ones."""
    workspace, body = world.workspace(workspace_id), request.json()
    world.needs_contributor(workspace)
    ids = [str(row.get("id")).lower() for row in rows_field(body, "items")]
    if body.get("mode") not in ("All", "Selective") or (body["mode"] == "Selective") != bool(ids):
        raise ApiError(400, "InvalidInput", "The mode must be All, or Selective with the field items.")
    if len(set(ids)) < len(ids):
        raise ApiError(400, "ItemReferencedMoreThanOnce", "An item is named twice.")
    visible = {item.id: item for item in items.visible(world, workspace)}
    if missing := [i for i in ids if i not in visible]:
        raise ApiError(404, "ItemNotFound", f"The requested item {missing[0][:36]} was not found.")
    index: list[Body] = []
    parts: list[Body] = []
    for item in [visible[i] for i in ids] or list(visible.values()):
        found = exported(world, workspace, item)
        if found is not None:
            root = root_of(workspace, item)
            index.append({"id": item.id, "rootPath": root})
            parts += [{**part, "path": f"{root}/{part['path']}"} for part in found]
    return world.begin("bulkExportDefinitions", {"itemDefinitionsIndex": index, "definitionParts": parts})[0]


def exported(world: World, workspace: Workspace, item: Item) -> list[Body] | None:
    """Return the parts that getDefinition returns; None for an item that does not support it."""
    quiet = replace(world, fault={})
    try:
        answer = items.get_definition(quiet, Request("POST", ""), workspace.id, item.id)
    except ApiError:
        return None
    result: Any = answer.body
    if answer.status == 202:
        result = world.store.operations.pop(answer.headers["x-ms-operation-id"]).result
    return result["definition"]["parts"]


def import_(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST bulkImportDefinitions: an operation whose result says what became of each item."""
    workspace, body = world.workspace(workspace_id), request.json()
    world.needs_contributor(workspace)
    wanted = ordered(imports(body))
    by_name = bool(object_field(body, "options").get("allowPairingByName"))
    details: list[Body] = []
    answer, operation = world.begin("bulkImportDefinitions", {"importItemDefinitionsDetails": details})
    if operation.error is None:
        details += [put(replace(world, fault={}), workspace, one, by_name=by_name) for one in wanted]
    return answer


def imports(body: Body) -> list[Import]:
    """Return the item folders of a request. Raises ApiError 400."""
    files: dict[str, bytes] = {}
    for row in rows_field(body, "definitionParts"):
        try:
            files[str(row["path"]).strip("/")] = base64.b64decode(row["payload"], validate=True)
        except (KeyError, ValueError, TypeError):
            raise ApiError(400, "CorruptedPayload", "The definition's parts are not valid.") from None
    roots = sorted(path.removesuffix(f"/{_PLATFORM}") for path in files if path.endswith(f"/{_PLATFORM}"))
    lost = [path for path in files if not any(path.startswith(f"{root}/") for root in roots)]
    if lost or not roots:
        raise ApiError(400, "InvalidFilesPath", f"{lost[0][:200] if lost else 'The request'} has no {_PLATFORM} file.")
    found = [_read(root, files) for root in roots]
    keys = [(one.type, one.name) for one in found]
    if len(set(keys)) < len(keys):
        raise ApiError(400, "DuplicateDisplayNameAndType", "Two items have the same type and name.")
    return found


def _read(root: str, files: dict[str, bytes]) -> Import:
    parts = {path.removeprefix(f"{root}/"): data for path, data in files.items() if path.startswith(f"{root}/")}
    try:
        platform: Any = json.loads(parts[_PLATFORM])
        metadata, config = platform["metadata"], platform.get("config", {})
        folder = root.rpartition("/")[0]
        return Import(folder, metadata["type"], metadata["displayName"], str(config.get("logicalId", "")), parts)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ApiError(400, "CorruptedPayload", f"{root[:200]}/{_PLATFORM} is not valid.") from None


def ordered(wanted: list[Import]) -> list[Import]:
    """Return the imports, each after those whose logical ids it contains. Raises ApiError 400 for a circle."""
    left, done = list(wanted), list[Import]()
    while left:
        ready = [o for o in left if not any(p is not o and _names(o, p.logical_id) for p in left)]
        if not ready:
            raise ApiError(400, "DependenciesCouldNotBeResolved", "The items refer to each other in a circle.")
        done += ready
        left = [one for one in left if one not in ready]
    return done


def _names(one: Import, logical_id: str) -> bool:
    needle = logical_id.encode()
    return bool(needle.strip(b"0-")) and any(needle in data for path, data in one.parts.items() if path != _PLATFORM)


def folder_at(world: World, workspace: Workspace, path: str) -> str | None:
    """Return the id of a folder by its path; the folders that are missing are created."""
    held, at = workspace.part(folders.Folders), None
    for name in path.split("/") if path else []:
        found = next((f for f in held.children(at) if f.name == name), None)
        if found is None:
            folders.check_name(workspace, at, name)
            found = folders.Folder(world.store.new_id(), name, at)
            held.by_id[found.id] = found
        at = found.id
    return at


def put(world: World, workspace: Workspace, one: Import, *, by_name: bool) -> Body:
    """Create or update one item; return what became of it."""
    logical = workspace.part(LogicalIds).by_logical
    known = {item.id: item for item in items.visible(world, workspace)}
    item = known.get(logical.get(one.logical_id, ""))
    if item is None and (by_name or not one.logical_id.strip("0-")):
        item = next((i for i in known.values() if (i.type, i.name) == (one.type, one.name)), None)
    rows: list[Body] = []
    for path, data in one.parts.items():
        for logical_id, item_id in logical.items() if path != _PLATFORM else ():
            data = data.replace(logical_id.encode(), item_id.encode())
        rows.append({"path": path, "payload": base64.b64encode(data).decode(), "payloadType": "InlineBase64"})
    shells = [row for row in rows if row["path"] != _PLATFORM]
    definition: Body = {"definition": {"parts": rows}} if shells else {}
    detail: Body = {"itemDisplayName": one.name, "itemType": one.type, "itemLogicalId": one.logical_id}
    detail["operationType"] = "Create" if item is None else "Update"
    try:
        if item is None:
            at = folder_at(world, workspace, one.folder)
            body = {"type": one.type, "displayName": one.name, "folderId": at, **definition}
            answer = items.create(world, Request("POST", "", body=json.dumps(body).encode()), workspace.id)
            item_id = _made(world, answer)["id"]
        else:
            item_id = item.id
            if definition:
                request = Request("POST", "", body=json.dumps(definition).encode())
                items.update_definition(world, request, workspace.id, item.id)
    except ApiError:
        return {**detail, "operationStatus": "Failed"}
    if one.logical_id.strip("0-"):
        logical[one.logical_id] = item_id
    return {**detail, "itemId": item_id, "operationStatus": "Succeeded"}


def _made(world: World, answer: Answer) -> Body:
    if answer.status == 201:
        return answer.body
    return world.store.operations[answer.headers["x-ms-operation-id"]].result or {}


ROUTES = [
    Route("POST", f"{WORKSPACE}/items/bulkExportDefinitions", export),
    Route("POST", f"{WORKSPACE}/items/bulkImportDefinitions", import_, synthetic=True),
]
