"""The notes of earlier deployments of a repository on the items of a workspace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.domain.json import JsonObject

SHORTCUT = "Shortcut"
"""The type of the note on a shortcut of a lakehouse."""
SCHEDULES = "Schedules"
"""The type of the note on the schedules of an item."""
PARTS_OF_ITEMS = frozenset({SHORTCUT, SCHEDULES})
"""The types of notes that are on parts of items and not on items."""
ZERO_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class DeployedItem:
    """An item as a deployment left it.

    `identity` is its logical id in the repository, or type and name if it has none. `sent` is a digest of what its
    definition was made of; empty for an item without a definition. For a shortcut, `item_id` is that of its lakehouse,
    `name` has its path, and `sent` is its destination as JSON; for schedules,
    `sent` has digests of those that deployments created. `is_own` is True if a deployment created the item.
    `seen` is a digest of the definition as Fabric showed it then, in its own form; None if it was not read back.
    `source` is the target and the step of the manifest. `previous` is what was noted before that deployment.
    """

    workspace_id: str
    identity: str
    item_id: str
    type: str
    name: str
    sent: str
    is_own: bool
    source: str
    deployment_id: str
    accepted_at: datetime
    previous: JsonObject | None = None
    seen: str | None = None


def identity_of(logical_id: str, item_type: str, name: str) -> str:
    """Return what identifies an item of a repository from one deployment to the next."""
    usable = logical_id and logical_id != ZERO_ID
    return logical_id.lower() if usable else f"{item_type}/{name.casefold()}"


class DeployedItems(Protocol):
    """The notes on deployed items. All methods raise StorageUnavailableError."""

    def get(self, workspace_id: str, identity: str) -> DeployedItem | None:
        """Return the note of an item, or None."""
        ...

    def of_workspace(self, workspace_id: str) -> list[DeployedItem]:
        """Return the notes of all items of a workspace."""
        ...

    def put(self, items: Sequence[DeployedItem]) -> None:
        """Write notes, each in place of the one before. Safe to repeat."""
        ...

    def remove(self, workspace_id: str, identities: Sequence[str]) -> None:
        """Remove notes; a missing one is not an error."""
        ...
