"""Decide what a 404 proves about a step whose workspace or item may be gone.

A 404 alone proves nothing: a paused capacity answers it for everything in its workspaces, and what was created a moment
ago may not be known everywhere yet. The list of workspaces comes from no capacity. A workspace that it does not show
and that answers 404 is deleted, or hidden from the deployer, as the kind `workspace` itself decides; what is in it is
gone with it. An item is deleted if Fabric lists the items of its workspace without it.
"""

from collections.abc import Callable

from shared.domain.errors import FabricNotFoundError
from shared.domain.json import JsonObject
from shared.domain.ports import Fabric
from shared.domain.records import Resource
from shared.steps.items import item_path
from shared.steps.kind import Snapshot
from shared.steps.rows import located


def is_workspace_gone(fabric: Fabric, workspace_id: str) -> bool:
    """Return True if the list of workspaces does not show it any more, and it answers 404. Raises FabricError: a 403
    says that it exists, and that the deployer has no role in it."""
    if located(fabric, "/workspaces", None, workspace_id) is not None:
        return False
    try:
        fabric.get(f"/workspaces/{workspace_id}")
    except FabricNotFoundError:
        return True
    return False


def is_item_gone(fabric: Fabric, workspace_id: str, item_id: str) -> bool:
    """Return True if an item is deleted, alone or with its workspace. Raises FabricError if nothing proves either."""
    try:
        return located(fabric, f"/workspaces/{workspace_id}/items", None, item_id) is None
    except FabricNotFoundError:
        if is_workspace_gone(fabric, workspace_id):
            return True
        raise


def is_parent_gone(fabric: Fabric, spec: JsonObject, resource: Resource | None) -> bool:
    """Return True if the workspace of a step is gone, or the item that its `with` names. Raises FabricError."""
    workspace_id = (resource and resource.parent_id) or spec.get("workspaceId")
    if not workspace_id:
        return False
    if spec.get("itemId"):
        return is_item_gone(fabric, workspace_id, spec["itemId"])
    return is_workspace_gone(fabric, workspace_id)


def is_folder_gone(fabric: Fabric, workspace_id: str, folder_id: str) -> bool:
    """Return True if a folder is deleted. Raises FabricError."""
    return located(fabric, f"/workspaces/{workspace_id}/folders", {"recursive": "true"}, folder_id) is None


def delete_item(fabric: Fabric, resource: Resource) -> None:
    """Delete an item, which somebody else may have deleted already. Raises FabricError."""
    try:
        fabric.send("DELETE", item_path(resource))
    except FabricNotFoundError:
        if not is_item_gone(fabric, resource.parent_id or "", resource.id):
            raise


def unless_gone(
    look: Callable[[], Snapshot | None], fabric: Fabric, spec: JsonObject, resource: Resource | None
) -> Snapshot | None:
    """Return what a look at a step's resource finds; None also if it finds no workspace or item to look in, because
    that is gone. Raises FabricError, also for a 404 that does not prove it."""
    try:
        return look()
    except FabricNotFoundError:
        if is_parent_gone(fabric, spec, resource):
            return None
        raise
