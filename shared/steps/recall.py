"""The notes of earlier deployments of the same repository, as a kind may read them."""

from typing import Protocol

from shared.domain.json import JsonObject


class Recall(Protocol):
    """The notes of earlier deployments on the items of repositories."""

    def of_item(self, workspace_id: str, logical_id: str, key: str) -> JsonObject | None:
        """Return the note of an item by its logical id or, if it has none, by `type/name`; None if it is missing."""
        ...

    def named(self, workspace_id: str, key: str) -> list[JsonObject]:
        """Return the identity and the id of each item that earlier deployments have noted under this `type/name`."""
        ...

    def of_part(self, workspace_id: str, part: str, item_id: str, name: str = "") -> JsonObject | None:
        """Return the last note of this type on a part of an item, and with `name` on the part of this name; None if it
        is missing. It is found by the item's id: the item may have had another logical id."""
        ...

    def of_step(self, workspace_id: str, step_id: str) -> list[JsonObject]:
        """Return the notes of all items that a step of this manifest has deployed to a workspace. One on a part of an
        item has a `holder`: the identity and the `type/name` under which that item was deployed last."""
        ...

    def payload(self, digest: str) -> bytes:
        """Return what the command line stored beside the manifest, by its SHA-256."""
        ...
