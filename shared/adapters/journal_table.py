"""The journal on Azure Table Storage.

A deployment is one partition of table `journal`: its header, a row a step, and its audit. A partition is what a
batch can write all or nothing, so a move and its audit entry are one write: the audit cannot miss a move or invent
one. Table `deployments` is a projection of the headers, by target, for lists (journal_pages.py has one by time); it may
lag and is mended when read.
"""

# The vendor annotates **kwargs as unknown, which makes every one of its methods partially unknown.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableClient, TableTransactionError, UpdateMode

from shared.adapters import journal_rows as rows
from shared.adapters.journal_pages import JournalPages
from shared.adapters.storage import (
    BATCH_BYTES,
    BATCH_OPERATIONS,
    StorageClients,
    checked_entity,
    checked_key,
    escape_key,
    mapped,
)
from shared.domain import transitions
from shared.domain.errors import ConflictError, NotFoundError, StorageUnavailableError
from shared.domain.json import JsonObject
from shared.domain.ports import Change, Versioned
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState

log = logging.getLogger(__name__)

JOURNAL, DEPLOYMENTS = "journal", "deployments"
_ORPHAN_AGE = timedelta(hours=1)
"""A projection whose header never came to be is dropped after this; until then its accept may be under way."""
_RACES = 20


class TableJournal:
    """Implements the port `Journal`. `now` dates the audit; the caller's clock, so that tests own it."""

    def __init__(self, clients: StorageClients, now: Callable[[], datetime]) -> None:
        self._journal: TableClient = clients.tables.get_table_client(JOURNAL)
        self._deployments: TableClient = clients.tables.get_table_client(DEPLOYMENTS)
        self._pages = JournalPages(clients, self._as_it_stands)
        self._now = now
        self._is_there = False
        self._lock = threading.Lock()

    def create(self, header: DeploymentRecord, steps: Sequence[StepRecord], reason: str) -> DeploymentRecord:
        """Write a deployment whole, or finish writing it; the header that stands."""
        self._ensure()
        entities = [rows.step_entity(s) for s in steps]  # limits are checked before anything is written
        standing = self._header_or_none(header.deployment_id)
        if standing is None:
            if self._insert_whole(header, entities, reason):
                return header
            # Another accept was quicker, or the answer to our own write was lost.
            standing = self.header(header.deployment_id).record
            self._unlist(header, standing)
            self._list(standing)
        if standing.manifest_hash == header.manifest_hash:
            self._add_missing(header.deployment_id, entities)
        return standing

    def header(self, deployment_id: str) -> Versioned[DeploymentRecord]:
        """Raises NotFoundError."""
        found = self._read(deployment_id, rows.HEADER)
        if found is None:
            raise NotFoundError(f"there is no deployment '{deployment_id}'")
        return Versioned(DeploymentRecord.from_json(rows.record_of(found)), found.metadata["etag"])

    def step(self, deployment_id: str, ordinal: int) -> tuple[Versioned[DeploymentRecord], Versioned[StepRecord]]:
        """Header and step. Raises NotFoundError."""
        key = rows.step_key(ordinal)
        query = f"PartitionKey eq '{_quoted(deployment_id)}' and (RowKey eq '{rows.HEADER}' or RowKey eq '{key}')"
        found = {entity["RowKey"]: entity for entity in self._query(self._journal, query)}
        if rows.HEADER not in found or key not in found:
            raise NotFoundError(f"there is no step {ordinal} of deployment '{deployment_id}'")
        header, step = found[rows.HEADER], found[key]
        return (
            Versioned(DeploymentRecord.from_json(rows.record_of(header)), header.metadata["etag"]),
            Versioned(StepRecord.from_json(rows.record_of(step)), step.metadata["etag"]),
        )

    def steps(self, deployment_id: str) -> list[Versioned[StepRecord]]:
        """All steps, by ordinal."""
        return [
            Versioned(StepRecord.from_json(rows.record_of(entity)), entity.metadata["etag"])
            for entity in self._range(deployment_id, rows.STEP_PREFIX)
        ]

    def write_step(self, change: Change[StepRecord]) -> Versioned[StepRecord]:
        """Raises ConflictError or IllegalTransitionError."""
        return self._write([change])[0]

    def write_steps(self, changes: Sequence[Change[StepRecord]]) -> None:
        """Half a batch each, for every change may owe an audit entry."""
        size = BATCH_OPERATIONS // 2
        for i in range(0, len(changes), size):
            self._write(changes[i : i + size])

    def _write(self, changes: Sequence[Change[StepRecord]]) -> list[Versioned[StepRecord]]:
        operations: list[Any] = []
        written: list[StepRecord] = []
        for change in changes:
            before = change.before.record
            transitions.check_step(before.state, change.after.state)
            after = change.after.replace(sequence=before.sequence + 1)
            written.append(after)
            subject = rows.step_key(after.ordinal)
            operations += self._operations(change, rows.step_entity(after), subject, after.sequence)
        etags = self._submit(written[0].deployment_id, operations, written[-1].ordinal)
        return [Versioned(record, etag) for record, etag in zip(written, etags, strict=True)]

    def write_header(self, change: Change[DeploymentRecord]) -> Versioned[DeploymentRecord]:
        """Raises ConflictError or IllegalTransitionError. The projection follows."""
        before = change.before.record
        transitions.check_deployment(before.state, change.after.state)
        after = change.after.replace(sequence=before.sequence + 1)
        operations = self._operations(change, rows.header_entity(after), "deployment", after.sequence)
        if before.state in DEPLOYMENT_ENDED and after.state not in DEPLOYMENT_ENDED:
            # The projection goes first: what goes on again and no list shows would never be swept.
            self._list(after)
        etag = self._submit(after.deployment_id, operations, None)[0]
        if (before.state, before.due_at) != (after.state, after.due_at):
            self._list(after)
        return Versioned(after, etag)

    def note(self, deployment_id: str, entry: AuditEntry) -> None:
        """Append to the audit."""
        self._ensure()
        with mapped("table", "note"):
            self._journal.upsert_entity(rows.note_entity(deployment_id, entry), mode=UpdateMode.REPLACE)

    def audit(self, deployment_id: str) -> list[AuditEntry]:
        """Oldest first."""
        return [
            AuditEntry.from_json(rows.record_of(entity)) for entity in self._range(deployment_id, rows.AUDIT_PREFIX)
        ]

    def deployments(self, target: str | None = None, *, open_only: bool = False) -> Iterator[DeploymentRecord]:
        """Newest first. Of what is open, the headers themselves are read and the projection is mended."""
        self._ensure()
        parts = [f"PartitionKey eq '{_quoted(escape_key(target))}'"] if target is not None else []
        parts += ["is_open eq true"] if open_only else []
        found = [
            DeploymentRecord.from_json(rows.record_of(e)) for e in self._query(self._deployments, " and ".join(parts))
        ]
        for record in sorted(found, key=lambda r: (r.accepted_at, r.deployment_id), reverse=True):
            fresh = self._mended(record) if open_only else record
            if fresh is not None:
                yield fresh

    def page(
        self,
        limit: int,
        *,
        after: tuple[datetime, str] | None = None,
        target: str | None = None,
        states: Collection[DeploymentState] = (),
        open_only: bool = False,
    ) -> list[DeploymentRecord]:
        """As the port says."""
        self._ensure()
        return self._pages.page(limit, after, target, states, open_only)

    def due(self, now: datetime) -> Iterator[DeploymentRecord]:
        """The headers themselves, as fresh as can be; the projection is mended where it lagged behind."""
        self._ensure()
        for entity in self._query(self._deployments, f"due_at le '{now.astimezone(UTC).isoformat()}'"):
            record = DeploymentRecord.from_json(rows.record_of(entity))
            fresh = self._header_or_none(record.deployment_id)
            if fresh is None or fresh.target != record.target:
                self._unlist(record, fresh)
            elif fresh.state in DEPLOYMENT_ENDED and fresh.due_at is not None and fresh.due_at <= now:
                yield fresh
            else:
                self._list(fresh)

    def purge(self, deployment_id: str) -> None:
        """Steps, then the header, then its projection: cut short anywhere, the rest is still due."""
        header = self._header_or_none(deployment_id)
        if header is None or header.state not in DEPLOYMENT_ENDED:
            return
        keys = [entity["RowKey"] for entity in self._range(deployment_id, rows.STEP_PREFIX, ["RowKey"])]
        for start in range(0, len(keys), BATCH_OPERATIONS):
            batch = [{"PartitionKey": deployment_id, "RowKey": key} for key in keys[start : start + BATCH_OPERATIONS]]
            with suppress(ConflictError), mapped_transaction():
                self._journal.submit_transaction([("delete", entity) for entity in batch])
        with mapped("table", "purge"):
            self._journal.delete_entity(deployment_id, rows.HEADER)
        self._unlist(header)

    def _mended(self, record: DeploymentRecord) -> DeploymentRecord | None:
        fresh = self._header_or_none(record.deployment_id)
        if fresh is None or fresh.target != record.target:
            if self._now() - record.accepted_at > _ORPHAN_AGE:
                self._unlist(record, fresh)
            return None
        has_ended = fresh.state in DEPLOYMENT_ENDED
        if has_ended or (fresh.state, fresh.manifest_hash) != (record.state, record.manifest_hash):
            self._list(fresh)
        return None if has_ended else fresh

    def _as_it_stands(self, record: DeploymentRecord) -> DeploymentRecord | None:
        fresh = self._header_or_none(record.deployment_id)
        if fresh is None or fresh.accepted_at != record.accepted_at:
            if self._now() - record.accepted_at > _ORPHAN_AGE:
                self._unlist(record, fresh)
            return None
        if fresh.state in DEPLOYMENT_ENDED or fresh.state != record.state:
            self._list(fresh)
        return fresh

    def _list(self, header: DeploymentRecord, *, is_open: bool | None = None) -> None:
        self._pages.put(header, is_open)
        with mapped("table", "list deployment"):
            self._deployments.upsert_entity(rows.index_entity(header, is_open), mode=UpdateMode.REPLACE)

    def _unlist(self, header: DeploymentRecord, standing: DeploymentRecord | None = None) -> None:
        """Take away the projections of a header, but for those that the one which stands under its id shares."""
        if standing is None or standing.accepted_at != header.accepted_at:
            self._pages.remove(header)
        if standing is None or standing.target != header.target:
            with mapped("table", "unlist deployment"):
                self._deployments.delete_entity(escape_key(header.target), header.deployment_id)

    def _insert_whole(self, header: DeploymentRecord, entities: Sequence[JsonObject], reason: str) -> bool:
        """Whether all was written; False where a row stood already, and perhaps others were not written."""
        entry = AuditEntry(self._now(), "deployment", "", header.state.value, "accept", reason[:1000], 0)
        first = [rows.header_entity(header), rows.audit_entity(header.deployment_id, entry)]
        # The projection goes first, and as open: a header that no list shows would never be swept.
        self._list(header, is_open=True)
        if not all(self._insert(batch) for batch in _batches([*first, *entities])):
            return False
        if header.state in DEPLOYMENT_ENDED:
            self._list(header)
        return True

    def _add_missing(self, deployment_id: str, entities: Sequence[JsonObject]) -> None:
        """Steps that a crash kept from being written; who else does the same at the same time does no harm."""
        for _ in range(_RACES):
            there = {entity["RowKey"] for entity in self._range(deployment_id, rows.STEP_PREFIX, ["RowKey"])}
            if all(self._insert(batch) for batch in _batches(e for e in entities if e["RowKey"] not in there)):
                return
        raise StorageUnavailableError(f"the steps of '{deployment_id}' were written by {_RACES} others at once")

    def _operations(self, change: Change[Any], entity: JsonObject, subject: str, sequence: int) -> list[Any]:
        condition = {
            "mode": UpdateMode.REPLACE,
            "etag": change.before.etag,
            "match_condition": MatchConditions.IfNotModified,
        }
        operations: list[Any] = [("update", entity, condition)]
        entry = rows.audit_of(change, subject, sequence, self._now())
        if entry is not None:
            operations.append(("create", rows.audit_entity(entity["PartitionKey"], entry)))
        return operations

    def _submit(self, deployment_id: str, operations: list[Any], ordinal: int | None) -> list[str]:
        """The batch, all or nothing; the ETags of its updates. Raises ConflictError where a condition fails."""
        try:
            with mapped_transaction():
                if len(operations) == 1:
                    entity, condition = operations[0][1], operations[0][2]
                    return [self._journal.update_entity(entity, **condition)["etag"]]
                answers = self._journal.submit_transaction(operations)
                return [a["etag"] for a, o in zip(answers, operations, strict=True) if o[0] == "update"]
        except ConflictError:
            etags = self._own_write(deployment_id, operations)
            if etags is not None:
                return etags
            row = "the header" if ordinal is None else f"step {ordinal}"
            raise ConflictError(f"{row} of '{deployment_id}' moved since it was read") from None

    def _own_write(self, deployment_id: str, operations: list[Any]) -> list[str] | None:
        """Where a write's answer was lost and the SDK sent it again, the condition fails on our own first write."""
        etags: list[str] = []
        for kind, entity, *_ in operations:
            if kind != "update":
                continue
            found = self._read(deployment_id, entity["RowKey"])
            if found is None or found["record"] != entity["record"]:
                return None
            etags.append(found.metadata["etag"])
        return etags

    def _insert(self, batch: list[JsonObject]) -> bool:
        try:
            with mapped_transaction():
                if len(batch) == 1:
                    self._journal.create_entity(batch[0])
                else:
                    self._journal.submit_transaction([("create", entity) for entity in batch])
        except ConflictError:
            return False
        return True

    def _header_or_none(self, deployment_id: str) -> DeploymentRecord | None:
        try:
            return self.header(deployment_id).record
        except NotFoundError:
            return None

    def _read(self, partition: str, row: str) -> Any:
        self._ensure()
        with mapped("table", "read"):
            try:
                return self._journal.get_entity(checked_key(partition, "a deployment id"), row)
            except ResourceNotFoundError:
                return None

    def _range(self, deployment_id: str, prefix: str, columns: list[str] | None = None) -> list[Any]:
        last = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        partition = f"PartitionKey eq '{_quoted(deployment_id)}'"
        return self._query(self._journal, f"{partition} and RowKey ge '{prefix}' and RowKey lt '{last}'", columns)

    def _query(self, table: TableClient, query: str, columns: list[str] | None = None) -> list[Any]:
        self._ensure()
        with mapped("table", "query"):
            return list(table.query_entities(query, select=columns) if query else table.list_entities())

    def _ensure(self) -> None:
        if self._is_there:
            return
        with self._lock, mapped("table", "create table"):
            for table in (self._journal, self._deployments, self._pages.table):
                with suppress(ResourceExistsError):
                    table.create_table()
            self._is_there = True


class mapped_transaction:
    """Failed conditions become ConflictError; everything else as `storage.mapped`."""

    def __enter__(self) -> None:
        self._outer = mapped("table", "write")
        self._outer.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if isinstance(error, HttpResponseError | TableTransactionError) and error.status_code in (404, 409, 412):
            raise ConflictError("a condition of the write failed") from None
        return self._outer.__exit__(kind, error, trace)


def _batches(entities: Iterable[JsonObject]) -> Iterator[list[JsonObject]]:
    """Rows, in their order, in batches that Azure takes: 100 operations, 4 MiB."""
    batch, size = list[JsonObject](), 0
    for entity in entities:
        length = 2 * checked_entity(entity) + 1024  # JSON and MIME around it, on the safe side
        if batch and (len(batch) >= BATCH_OPERATIONS or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entity)
        size += length
    if batch:
        yield batch


def _quoted(text: str) -> str:
    """For an OData filter: quotes doubled, and only what may be a key at all."""
    return checked_key(text, "a key").replace("'", "''")
