"""The lists of deployments: two projections of the headers, which may lag behind the journal.

Table `deployments` has one partition for each target. Table `deploymentsbytime` has one partition for all deployments,
newest first, so that a page of it is one range of rows, however many there are. Both are written after the header,
except for a header that opens a deployment: then the lists come first, because the sweeper would never find an open
deployment that no list contains. A row that lags is repaired when it is read.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from shared.adapters.storage import journal_rows as rows
from shared.adapters.storage.clients import StorageClients, escape_key
from shared.adapters.storage.table import Table, literal, quoted
from shared.domain.json import JsonObject
from shared.domain.records import DeploymentRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState

BY_TARGET, BY_TIME = "deployments", "deploymentsbytime"
ORPHAN_AGE = timedelta(hours=1)
"""A row without a header is deleted after this; until then the deployment's accept may be in progress."""
_PARTITION = "by_time"
_LATEST = 10**18
_MAX_ROWS = 1_000
"""Azure returns at most so many rows in one answer."""
_MAX_COMPARISONS = 15
"""Azure refuses a filter with more; Azurite takes it. Source: "Querying tables and entities",
learn.microsoft.com/rest/api/storageservices/querying-tables-and-entities."""

ReadHeader = Callable[[str], DeploymentRecord | None]
"""Read the header of a deployment from the journal; None if it does not exist or is forgotten."""


class JournalLists:
    """All methods raise StorageUnavailableError."""

    def __init__(self, clients: StorageClients, read_header: ReadHeader, now: Callable[[], datetime]) -> None:
        self._by_target, self._by_time = Table(clients, BY_TARGET), Table(clients, BY_TIME)
        self._read_header, self._now = read_header, now

    def put(self, header: DeploymentRecord, is_open: bool | None = None) -> None:
        """Write a header to both lists. `is_open` is set before a header is written whose state will differ."""
        self._by_time.put(time_entity(header, is_open))
        self._by_target.put(rows.index_entity(header, is_open))
        if not is_open and header.state in DEPLOYMENT_ENDED:
            # If this write was delayed, it may have hidden a deployment that was resumed in the meantime.
            fresh = self._read_header(header.deployment_id)
            if fresh is not None and fresh.state not in DEPLOYMENT_ENDED:
                self.put(fresh)

    def remove(self, header: DeploymentRecord, stored: DeploymentRecord | None = None) -> None:
        """Delete the rows of a header, except those that `stored`, the journal's header of that id, also has."""
        if stored is None or stored.accepted_at != header.accepted_at:
            self._by_time.delete(_PARTITION, time_key(header.accepted_at, header.deployment_id))
        if stored is None or stored.target != header.target:
            self._by_target.delete(escape_key(header.target), header.deployment_id)

    def deployments(
        self, target: str | None, *, open_only: bool, oldest_first: bool, turn: int
    ) -> Iterator[DeploymentRecord]:
        """Yield headers as the port `Journal` says. With `open_only` the headers come from the journal.

        An unreadable row is logged and skipped, unless a target is given: the caller then needs a complete list.
        """
        parts = [f"PartitionKey eq '{quoted(escape_key(target))}'"] if target is not None else []
        parts += ["is_open eq true"] if open_only else []
        read = rows.skip_unreadable if target is None else rows.raise_unreadable
        entities = list(self._by_target.query(" and ".join(parts)))
        listed = [read(entity["RowKey"], partial(rows.header_of, entity)) for entity in entities]
        found = [record for record in listed if record is not None]
        found.sort(key=lambda r: (r.accepted_at, r.deployment_id), reverse=not oldest_first)
        for record in rows.turned(found, turn):
            fresh = read(record.deployment_id, partial(self._open_header, record)) if open_only else record
            if fresh is not None:
                yield fresh

    def due(self, now: datetime, turn: int) -> Iterator[DeploymentRecord]:
        """Yield the ended deployments that are due, as the journal has them; an unreadable row is skipped."""
        entities = list(self._by_target.query(f"due_at le '{now.astimezone(UTC).isoformat()}'"))
        for entity in rows.turned(entities, turn):
            fresh = rows.skip_unreadable(entity["RowKey"], partial(self._due, entity, now))
            if fresh is not None:
                yield fresh

    def page(
        self,
        limit: int,
        after: tuple[datetime, str] | None,
        target: str | None,
        states: Collection[DeploymentState],
        open_only: bool,
        labels: Mapping[str, str],
    ) -> list[DeploymentRecord]:
        """Return one page of headers as the port `Journal` says."""
        query = page_filter(after, target, states, open_only, labels)
        entities = self._by_time.query(query, page=min(limit, _MAX_ROWS))
        found = (rows.skip_unreadable(e["RowKey"], partial(self._paged_header, e)) for e in entities)
        matching = (
            header
            for header in found
            if header is not None
            and (not states or header.state in states)
            and not (open_only and header.state in DEPLOYMENT_ENDED)
        )
        return list(islice(matching, limit))

    def _open_header(self, record: DeploymentRecord) -> DeploymentRecord | None:
        fresh = self._fresh_header(record, lambda header: header.target)
        return fresh if fresh is not None and fresh.state not in DEPLOYMENT_ENDED else None

    def _paged_header(self, entity: Any) -> DeploymentRecord | None:
        record = rows.header_of(entity)
        return self._fresh_header(record, lambda header: header.accepted_at) if entity["is_open"] else record

    def _fresh_header(
        self, record: DeploymentRecord, key: Callable[[DeploymentRecord], object]
    ) -> DeploymentRecord | None:
        """Return the journal's header for a row that shows `record`, and repair the lists if they lag behind it.

        `key` is what the row is stored under. If the header has another key, or does not exist, the row belongs to
        nothing: it is deleted once it is old enough, and None is returned.
        """
        fresh = self._read_header(record.deployment_id)
        if fresh is None or key(fresh) != key(record):
            if self._now() - record.accepted_at > ORPHAN_AGE:
                self.remove(record, fresh)
            return None
        has_moved = (fresh.state, fresh.manifest_hash) != (record.state, record.manifest_hash)
        if fresh.state in DEPLOYMENT_ENDED or has_moved:
            self.put(fresh)
        return fresh

    def _due(self, entity: Any, now: datetime) -> DeploymentRecord | None:
        record = rows.header_of(entity)
        fresh = self._read_header(record.deployment_id)
        if fresh is None or fresh.target != record.target:
            self.remove(record, fresh)
            return None
        if fresh.state in DEPLOYMENT_ENDED and fresh.due_at is not None and fresh.due_at <= now:
            return fresh
        self.put(fresh)
        return None


def page_filter(
    after: tuple[datetime, str] | None,
    target: str | None,
    states: Collection[DeploymentState],
    open_only: bool,
    labels: Mapping[str, str],
) -> str:
    """Return the filter of a page. States for which it has no room are left out: then the caller alone filters them."""
    parts = [f"PartitionKey eq '{_PARTITION}'"]
    parts += [f"RowKey gt '{time_key(*after)}'"] if after is not None else []
    parts += [f"target_key eq '{escape_key(target)}'"] if target is not None else []
    parts += ["is_open eq true"] if open_only else []
    parts += [f"{rows.label_column(name)} eq '{literal(value)}'" for name, value in sorted(labels.items())]
    if states and len(parts) + len(states) <= _MAX_COMPARISONS:
        parts.append("(" + " or ".join(f"state eq '{state}'" for state in sorted(states)) + ")")
    return " and ".join(parts)


def time_key(accepted_at: datetime, deployment_id: str) -> str:
    """Return the row key by time: the newest row sorts first, and rows of one instant sort by id."""
    microseconds = (accepted_at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    return f"{_LATEST - microseconds:019d}_{deployment_id}"


def time_entity(header: DeploymentRecord, is_open: bool | None = None) -> JsonObject:
    """Return the row by time: the row by target with other keys."""
    row = rows.index_entity(header, is_open)
    key = time_key(header.accepted_at, header.deployment_id)
    return {**row, "PartitionKey": _PARTITION, "RowKey": key, "target_key": row["PartitionKey"]}
