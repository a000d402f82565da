"""The routes of folders, and of moving items into them.

Source: recordings of microsoft/fabric-cli for list, create, delete and move of folders; the published OpenAPI for the
rest. `CannotMoveChildOnly` is assumed to mean an item that Fabric added to another.
"""

from local.fabric_simulator import items, recovery
from local.fabric_simulator.folders import (
    Folder,
    Folders,
    check_depth,
    check_name,
    find,
    listed,
    parent,
    shown,
    wanted,
)
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import ID, ITEM, WORKSPACE, Route, item_of
from local.fabric_simulator.store import Item, Workspace
from local.fabric_simulator.world import World, list_field, text_field

_MAX_MOVED = 50


def list_(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer GET folders: those below `rootFolderId`, on all levels unless `recursive` is false."""
    workspace = world.workspace(workspace_id)
    root, recursive = wanted(workspace, request.query)
    rows = [shown(folder, workspace) for folder in listed(workspace, root, recursive=recursive)]
    return world.page(rows, request.query, request.path)


def create(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST folders: 201."""
    workspace, body = world.workspace(workspace_id), request.json()
    world.needs_contributor(workspace)
    above = parent(workspace, body.get("parentFolderId"))
    name = text_field(body, "displayName", 10_000, required=True)
    check_name(workspace, above, name)
    check_depth(workspace, above, 1)
    folder = Folder(world.store.new_id(), name, above)
    workspace.part(Folders).by_id[folder.id] = folder
    location = f"{world.api_url()}/v1/workspaces/{workspace.id}/folders/{folder.id}"
    return Answer(201, shown(folder, workspace), {"Location": location})


def get(world: World, request: Request, workspace_id: str, folder_id: str) -> Answer:
    """Answer GET of a folder."""
    workspace = world.workspace(workspace_id)
    return Answer(200, shown(find(workspace, folder_id), workspace))


def rename(world: World, request: Request, workspace_id: str, folder_id: str) -> Answer:
    """Answer PATCH of a folder's name."""
    workspace = world.workspace(workspace_id)
    world.needs_contributor(workspace)
    folder = find(workspace, folder_id)
    name = text_field(request.json(), "displayName", 10_000, required=True)
    check_name(workspace, folder.parent_id, name, own=folder.id)
    folder.name = name
    return Answer(200, shown(folder, workspace))


def delete(world: World, request: Request, workspace_id: str, folder_id: str) -> Answer:
    """Answer DELETE of a folder: 200 and an empty body, or 400 if a folder or an item is in it."""
    workspace = world.workspace(workspace_id)
    world.needs_contributor(workspace)
    folder, folders = find(workspace, folder_id), workspace.part(Folders)
    # An item whose creation failed keeps its name, and is nowhere.
    inside = (item for item in workspace.items.values() if item.visible_at != float("inf"))
    has_item = any(item.folder_id == folder.id for item in inside)
    if folders.children(folder.id) or has_item or recovery.is_in_use(workspace, folder.id):
        related = {"resourceId": folder.id, "resourceType": "Folder"}
        raise ApiError(400, "FolderNotEmpty", "The requested folder is not empty.", related=related)
    del folders.by_id[folder.id]
    return Answer(200, empty=True)


def move(world: World, request: Request, workspace_id: str, folder_id: str) -> Answer:
    """Answer POST move of a folder with everything in it."""
    workspace = world.workspace(workspace_id)
    world.needs_contributor(workspace)
    folder, folders = find(workspace, folder_id), workspace.part(Folders)
    target = parent(workspace, request.json().get("targetFolderId"))
    if folder in folders.above(target):
        raise ApiError(400, "InfiniteFolderHierarchyLoop", "A folder cannot be moved into itself.")
    check_name(workspace, target, folder.name, own=folder.id)
    check_depth(workspace, target, folders.height(folder.id))
    folder.parent_id = target
    return Answer(200, shown(folder, workspace))


def move_item(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST move of an item: 200 with the moved items."""
    workspace, item = item_of(world, workspace_id, item_id)
    return _move(world, workspace, [item], request.json().get("targetFolderId"))


def move_items(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST bulkMove: all items are moved or none."""
    workspace, body = world.workspace(workspace_id), request.json()
    ids = list_field(body, "items")
    if not 0 < len(ids) <= _MAX_MOVED or not all(isinstance(i, str) for i in ids):
        raise ApiError(400, "InvalidInput", f"The items field must be a list of 1 to {_MAX_MOVED} ids.")
    moved = [item_of(world, workspace_id, item_id)[1] for item_id in ids]
    return _move(world, workspace, moved, body.get("targetFolderId"))


def _move(world: World, workspace: Workspace, moved: list[Item], folder_id: object) -> Answer:
    world.needs_contributor(workspace)
    target = parent(workspace, folder_id)
    chosen = {item.id for item in moved}
    if any(item.maker_id and not item.outlives and item.maker_id not in chosen for item in moved):
        raise ApiError(400, "CannotMoveChildOnly", "The item can be moved only with the item to which it belongs.")
    children = [i for i in workspace.items.values() if i.maker_id in chosen and not i.outlives and i.id not in chosen]
    for item in (*moved, *children):
        item.folder_id = target
    visible = {item.id for item in items.visible(world, workspace)}
    rows = [items.shown(i, workspace) for i in (*moved, *children) if i.id in visible]
    return Answer(200, {"value": rows})


ROUTES = [
    Route("GET", f"{WORKSPACE}/folders", list_),
    Route("POST", f"{WORKSPACE}/folders", create),
    Route("GET", f"{WORKSPACE}/folders/{ID}", get, synthetic=True),
    Route("PATCH", f"{WORKSPACE}/folders/{ID}", rename, synthetic=True),
    Route("DELETE", f"{WORKSPACE}/folders/{ID}", delete),
    Route("POST", f"{WORKSPACE}/folders/{ID}/move", move),
    Route("POST", f"{ITEM}/move", move_item),
    Route("POST", f"{WORKSPACE}/items/bulkMove", move_items, synthetic=True),
]
