"""Tags of the tenant, and the tags of items and workspaces: state and lookups, without routes.

Source: the published OpenAPI; no recording shows tags.
"""

from dataclasses import dataclass, field

from local.fabric_simulator.http import ApiError
from local.fabric_simulator.store import Parts, Store
from local.fabric_simulator.world import Body


@dataclass
class Tags:
    """The tags of the tenant, by id."""

    by_id: dict[str, Body] = field(default_factory=lambda: dict[str, Body]())


@dataclass
class Applied:
    """The tags of one item or workspace, in the order in which they were applied."""

    tags: list[Body] = field(default_factory=lambda: list[Body]())


def find(store: Store, tag_id: object) -> Body:
    """Return a tag. Raises ApiError 404."""
    found = store.part(Tags).by_id.get(str(tag_id).lower())
    if found is None:
        raise ApiError(404, "EntityNotFound", "The requested tag was not found.")
    return found


def shown(tagged: Parts) -> list[Body]:
    """Return the tags of an item or a workspace as it shows them."""
    return [{"id": tag["id"], "displayName": tag["displayName"]} for tag in tagged.part(Applied).tags]
