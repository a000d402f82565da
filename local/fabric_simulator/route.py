"""The form of a route, and the lookup of an item: all modules of the API's areas use them."""

from collections.abc import Callable
from dataclasses import dataclass

from local.fabric_simulator import items
from local.fabric_simulator.http import Answer, ApiError
from local.fabric_simulator.store import Item, Workspace
from local.fabric_simulator.world import World

WORKSPACE = "/v1/workspaces/([^/]+)"
ID = "([0-9a-fA-F-]{36})"
ITEM = f"{WORKSPACE}/items/{ID}"
ROOT_IDS = (None, "", "00000000-0000-0000-0000-000000000000")


@dataclass(frozen=True)
class Route:
    """A method, a pattern of the whole path (case does not matter), and the handler of such calls.

    The handler's arguments are the world, the request and the pattern's groups. `synthetic` is True if no recording
    shows the route; its answers then have the header `x-sim-synthetic`.
    """

    method: str
    pattern: str
    handler: Callable[..., Answer]
    synthetic: bool = False


def item_of(world: World, workspace_id: str, item_id: str, *types: str) -> tuple[Workspace, Item]:
    """Return a workspace and one of its shown items, which has one of `types` if there are any. Raises ApiError 404."""
    workspace = world.workspace(workspace_id)
    for item in items.visible(world, workspace):
        if item.id == item_id.lower() and (not types or item.type in types):
            return workspace, item
    raise ApiError(404, "ItemNotFound", "The requested item was not found.")
