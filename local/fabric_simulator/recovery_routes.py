"""The routes of deleted items: list, recover, delete permanently. No recording and no published file shows them."""

from local.fabric_simulator import items
from local.fabric_simulator.catalogue import ignoring_case
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.recovery import Bin, Deleted
from local.fabric_simulator.route import ID, WORKSPACE, Route
from local.fabric_simulator.store import Workspace, stamp
from local.fabric_simulator.world import World


def _of(world: World, workspace_id: str) -> Workspace:
    workspace = world.workspace(workspace_id)
    world.needs_contributor(workspace)
    if not world.settings.item_recovery:
        raise ApiError(403, "TenantSwitchDisabled", "Item recovery is disabled for the tenant.")
    return workspace


def _deleted(workspace: Workspace, item_id: str) -> Deleted:
    found = workspace.part(Bin).by_id.get(item_id.lower())
    if found is None:
        raise ApiError(404, "ItemNotFound", "The requested item was not found.")
    return found


def list_(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer GET recoverableItems."""
    workspace = _of(world, workspace_id)
    rows = [
        {**items.shown(d.item, workspace), "deletedDateTime": f"{stamp(d.deleted_at)}Z"}
        for d in workspace.part(Bin).by_id.values()
    ]
    return world.page(rows, request.query, request.path)


def recover(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST recover: 200 with the item, which keeps its id. A name that is taken is a conflict."""
    workspace = _of(world, workspace_id)
    deleted = _deleted(workspace, item_id)
    key = deleted.item.type, ignoring_case(deleted.item.name)
    if any((i.type, ignoring_case(i.name)) == key for i in workspace.items.values()):
        message = f"Requested '{deleted.item.name}' is already in use"
        raise ApiError(world.settings.conflict_status, "ItemDisplayNameAlreadyInUse", message)
    for item in (deleted.item, *deleted.companions):
        workspace.items[item.id] = item
    workspace.reserved.pop(key, None)
    del workspace.part(Bin).by_id[deleted.item.id]
    return Answer(200, items.shown(deleted.item, workspace))


def delete(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer DELETE of a deleted item: it can no longer be recovered."""
    workspace = _of(world, workspace_id)
    world.needs_admin(workspace)
    del workspace.part(Bin).by_id[_deleted(workspace, item_id).item.id]
    return Answer(200, empty=True)


_ALL = f"{WORKSPACE}/recoverableItems"
ROUTES = [
    Route("GET", _ALL, list_, synthetic=True),
    Route("POST", f"{_ALL}/{ID}/recover", recover, synthetic=True),
    Route("DELETE", f"{_ALL}/{ID}", delete, synthetic=True),
]
