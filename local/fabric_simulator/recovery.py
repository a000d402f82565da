"""The bin of a workspace: items that were deleted and can be recovered, if the tenant's setting allows it.

Source: Fabric's documentation of item recovery, the published error codes of DELETE; no recording shows it. Assumed:
the form of the list, and that items of all types except eventhouses and their databases can be recovered.
"""

from dataclasses import dataclass, field

from local.fabric_simulator.http import ApiError
from local.fabric_simulator.store import Item, Workspace
from local.fabric_simulator.world import World

_NEVER = frozenset({"Eventhouse", "KQLDatabase"})


@dataclass
class Deleted:
    """A deleted item with the companions that were deleted with it."""

    item: Item
    companions: list[Item]
    deleted_at: float


@dataclass
class Bin:
    """The deleted items of one workspace that can be recovered, by id."""

    by_id: dict[str, Deleted] = field(default_factory=lambda: dict[str, Deleted]())


def check_hard(world: World, workspace: Workspace, query: dict[str, str]) -> bool:
    """Return True if a DELETE is final. Raises ApiError unless an admin asks for that."""
    is_hard = query.get("hardDelete", "").lower() == "true"
    if is_hard and workspace.roles[world.identity]["role"] != "Admin":
        raise ApiError(
            403, "InsufficientWorkspaceRole", "Only an admin of the workspace may delete an item permanently."
        )
    return is_hard


def keep(world: World, workspace: Workspace, item: Item, gone: list[Item]) -> None:
    """Keep a deleted item and its companions, unless the tenant's setting is off or its type cannot be recovered."""
    if world.settings.item_recovery and item.type not in _NEVER:
        workspace.part(Bin).by_id[item.id] = Deleted(item, gone, world.clock())


def is_in_use(workspace: Workspace, folder_id: str) -> bool:
    """Return True if a deleted item is in the folder, which then cannot be deleted."""
    return any(deleted.item.folder_id == folder_id for deleted in workspace.part(Bin).by_id.values())
