"""Look for what a step needs and no step makes: a connection, or the item that a shortcut points to."""

from shared.domain.errors import FabricAuthError, FabricNotFoundError
from shared.domain.json import JsonObject
from shared.domain.ports import Fabric
from shared.steps import parents
from shared.steps.missing import Missing

_LATER = "Then submit again, or resume a deployment that is held."


def connection(fabric: Fabric, spec: JsonObject) -> Missing | None:
    """Return the connection that `connectionId` names if Fabric does not show it. Raises FabricError.

    One list answers for many steps. A connection that it does not show is asked for by its id, because
    a list may be older.
    """
    wanted = spec.get("connectionId")
    if not wanted:
        return None
    try:
        if any(str(row.get("id", "")).lower() == wanted.lower() for row in fabric.list("/connections")):
            return None
        fabric.get(f"/connections/{wanted}")
    except FabricAuthError:
        return None  # it exists, or nothing can be said of it
    except FabricNotFoundError:
        what = f"the connection {wanted} does not exist, or the identity that deploys has no role on it"
        remedy = f"Create the connection, or correct the id, and give the identity a role on it. {_LATER}"
        return Missing(wanted, what, remedy)
    return None


def item(fabric: Fabric, place: JsonObject) -> Missing | None:
    """Return the item that `workspaceId` and `itemId` name if Fabric does not show it. Raises FabricError, also for a
    404 that proves nothing, as that of a paused capacity."""
    workspace_id, item_id = place.get("workspaceId"), place.get("itemId")
    if not workspace_id or not item_id:
        return None
    try:
        if not parents.is_item_gone(fabric, workspace_id, item_id):
            return None
    except FabricAuthError:
        return None  # the item may be shared without a role in its workspace
    try:
        fabric.get(f"/workspaces/{workspace_id}/items/{item_id}")
    except FabricAuthError:
        return None
    except FabricNotFoundError:
        what = f"there is no item {item_id} in workspace {workspace_id} that the identity that deploys can see"
        remedy = f"Correct the target's workspaceId and itemId, or give the identity a role in that workspace. {_LATER}"
        return Missing(item_id, what, remedy)
    return None
