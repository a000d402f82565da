"""Notes on deployed items: table `deployed`, one partition for each workspace."""

import hashlib
import json
from collections.abc import Sequence

from shared.adapters.storage.clients import BATCH_OPERATIONS, StorageClients
from shared.adapters.storage.table import Table, quoted
from shared.domain.json import JsonObject, canonical
from shared.domain.ports import DeployedItem
from shared.domain.record_json import dump, load

TABLE = "deployed"
_COLUMN = "record"


class TableDeployedItems:
    """Implements the port `DeployedItems`."""

    def __init__(self, clients: StorageClients) -> None:
        self._table = Table(clients, TABLE)

    def get(self, workspace_id: str, identity: str) -> DeployedItem | None:
        """Return the note of an item, or None."""
        found = self._table.read(workspace_id.lower(), _row(identity))
        return None if found is None else _read(found)

    def of_workspace(self, workspace_id: str) -> list[DeployedItem]:
        """Return the notes of all items of a workspace."""
        return [_read(row) for row in self._table.query(f"PartitionKey eq '{quoted(workspace_id.lower())}'")]

    def put(self, items: Sequence[DeployedItem]) -> None:
        """Write notes in batches; each batch is one partition's."""
        partitions: dict[str, dict[str, JsonObject]] = {}
        for item in items:
            rows = partitions.setdefault(item.workspace_id.lower(), {})
            rows[_row(item.identity)] = {_COLUMN: canonical(dump(item))}
        for partition, rows in partitions.items():
            entities = [{"PartitionKey": partition, "RowKey": key, **row} for key, row in rows.items()]
            for start in range(0, len(entities), BATCH_OPERATIONS):
                self._table.submit([("upsert", entity) for entity in entities[start : start + BATCH_OPERATIONS]])

    def remove(self, workspace_id: str, identities: Sequence[str]) -> None:
        """Delete the rows one by one: a batch would fail if one of them were missing."""
        for identity in dict.fromkeys(identities):
            self._table.delete(workspace_id.lower(), _row(identity))


def _row(identity: str) -> str:
    """Return the key of a row. A name may hold characters that a key must not."""
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _read(row: JsonObject) -> DeployedItem:
    return load(DeployedItem, json.loads(row[_COLUMN]))
