"""The list of deployments in the order of time: table `deploymentsbytime`, one partition, the newest row first.

A projection like table `deployments`, which has them by target: a page of it is one range of rows, whatever there is.
"""

# The vendor annotates **kwargs as unknown, which makes every one of its methods partially unknown.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from azure.data.tables import TableClient, UpdateMode

from shared.adapters.storage import journal_rows as rows
from shared.adapters.storage.clients import StorageClients, escape_key, mapped
from shared.domain.json import JsonObject
from shared.domain.records import DeploymentRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState

TABLE = "deploymentsbytime"
_PARTITION = "by_time"
_LATEST = 10**18
_MAX_ROWS = 1_000
"""What Azure gives in one answer."""

Fresh = Callable[[DeploymentRecord], DeploymentRecord | None]


class JournalPages:
    """Puts, removes and pages the rows. `fresh` gives the header of an open row as it stands, None for none."""

    def __init__(self, clients: StorageClients, fresh: Fresh) -> None:
        self.table: TableClient = clients.tables.get_table_client(TABLE)
        self._fresh = fresh

    def put(self, header: DeploymentRecord, is_open: bool | None) -> None:
        """Write the row. Raises StorageUnavailableError, as all here do."""
        with mapped("table", "list deployment"):
            self.table.upsert_entity(time_entity(header, is_open), mode=UpdateMode.REPLACE)

    def remove(self, header: DeploymentRecord) -> None:
        """Delete the row, if it is there."""
        with mapped("table", "unlist deployment"):
            self.table.delete_entity(_PARTITION, time_key(header.accepted_at, header.deployment_id))

    def page(
        self,
        limit: int,
        after: tuple[datetime, str] | None,
        target: str | None,
        states: Collection[DeploymentState],
        open_only: bool,
    ) -> list[DeploymentRecord]:
        """As the port says."""
        parts = [f"PartitionKey eq '{_PARTITION}'"]
        parts += [f"RowKey gt '{time_key(*after)}'"] if after is not None else []
        parts += [f"target_key eq '{escape_key(target)}'"] if target is not None else []
        parts += ["is_open eq true"] if open_only else []
        parts += ["(" + " or ".join(f"state eq '{state}'" for state in sorted(states)) + ")"] if states else []
        found = self._found(" and ".join(parts), min(limit, _MAX_ROWS))
        fitting = (
            header
            for header in found
            if (not states or header.state in states) and not (open_only and header.state in DEPLOYMENT_ENDED)
        )
        with mapped("table", "page"):
            return list(islice(fitting, limit))

    def _found(self, query: str, rows_at_once: int) -> Iterator[DeploymentRecord]:
        for entity in self.table.query_entities(query, results_per_page=rows_at_once):
            header = rows.skip_unreadable(entity["RowKey"], partial(self._shown, entity))
            if header is not None:
                yield header

    def _shown(self, entity: Any) -> DeploymentRecord | None:
        record = rows.header_of(entity)
        return self._fresh(record) if entity["is_open"] else record


def time_key(accepted_at: datetime, deployment_id: str) -> str:
    """The row key: the newest first, and what came at one instant by id."""
    microseconds = (accepted_at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    return f"{_LATEST - microseconds:019d}_{deployment_id}"


def time_entity(header: DeploymentRecord, is_open: bool | None = None) -> JsonObject:
    """The row: as the one by target, with other keys."""
    row = rows.index_entity(header, is_open)
    key = time_key(header.accepted_at, header.deployment_id)
    return {**row, "PartitionKey": _PARTITION, "RowKey": key, "target_key": row["PartitionKey"]}
