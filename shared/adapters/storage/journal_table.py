"""The journal on Azure Table Storage.

A deployment is one partition of table `journal`: its header, a row a step, and its audit. A partition is what a
batch can write all or nothing, so a move and its audit entry are one write: the audit cannot miss a move or invent
one. Table `deployments` is a projection of the headers, by target, for lists (journal_pages.py has one by time); it may
lag and is mended when read.
"""

# The vendor annotates **kwargs as unknown, which makes every one of its methods partially unknown.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient, UpdateMode

from shared.adapters.storage import journal_batches as batching
from shared.adapters.storage import journal_rows as rows
from shared.adapters.storage.clients import BATCH_OPERATIONS, StorageClients, checked_key, ensure, escape_key, mapped
from shared.adapters.storage.journal_batches import StoredRow, Update, condition_of, mapped_transaction, quoted
from shared.adapters.storage.journal_pages import JournalPages
from shared.domain import audit, transitions
from shared.domain.errors import ConflictError, ForgottenError, NotFoundError, StorageUnavailableError
from shared.domain.json import JsonObject
from shared.domain.ports import Change, CorruptRow, NoteHead, Versioned
from shared.domain.records import AuditEntry, Chain, DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState

JOURNAL, DEPLOYMENTS = "journal", "deployments"
ORPHAN_AGE = timedelta(hours=1)
"""A projection whose header never came to be is dropped after this; until then its accept may be under way."""
_RACES = 20


class TableJournal:
    """Implements the port `Journal`. `now` dates the audit; the caller's clock, so that tests own it."""

    def __init__(self, clients: StorageClients, now: Callable[[], datetime]) -> None:
        self._journal: TableClient = clients.tables.get_table_client(JOURNAL)
        self._deployments: TableClient = clients.tables.get_table_client(DEPLOYMENTS)
        self._pages = JournalPages(clients, self._fresh_header)
        self._now = now
        self._is_there = False
        self._lock = threading.Lock()

    def create(self, header: DeploymentRecord, steps: Sequence[StepRecord], reason: str) -> DeploymentRecord:
        """Write a deployment whole, or finish writing it; the header that stands."""
        self._ensure()
        started = audit.chain_start(steps)
        entities = [rows.step_entity(s) for s in started]  # limits are checked before anything is written
        stored = self._stored_header(header.deployment_id)
        if stored is None:
            header, entry = audit.chain_accept(header, started, reason, self._now())
            if self._insert_whole(header, entry, entities):
                return header
            # Another accept was quicker, or the answer to our own write was lost.
            stored = self.header(header.deployment_id).record
            self._unlist(header, stored)
            self._list(stored)
        if stored.manifest_hash == header.manifest_hash and stored.state not in DEPLOYMENT_ENDED:
            self._add_missing(header.deployment_id, entities)
        return stored

    def header(self, deployment_id: str) -> Versioned[DeploymentRecord]:
        """Raises NotFoundError and ForgottenError."""
        found = self._read(deployment_id, rows.HEADER)
        if found is None:
            raise NotFoundError(f"there is no deployment '{deployment_id}'")
        header = rows.header_of(found)
        if header.forgotten_at is not None:
            raise ForgottenError(header)
        return Versioned(header, found.metadata["etag"])

    def step(self, deployment_id: str, ordinal: int) -> tuple[Versioned[DeploymentRecord], Versioned[StepRecord]]:
        """Header and step. Raises NotFoundError."""
        key = rows.step_key(ordinal)
        query = f"PartitionKey eq '{quoted(deployment_id)}' and (RowKey eq '{rows.HEADER}' or RowKey eq '{key}')"
        found = {entity["RowKey"]: entity for entity in self._query(self._journal, query)}
        if rows.HEADER not in found or key not in found:
            raise NotFoundError(f"there is no step {ordinal} of deployment '{deployment_id}'")
        header, step = found[rows.HEADER], found[key]
        return (
            Versioned(rows.header_of(header), header.metadata["etag"]),
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
        for change in changes:
            transitions.check_step(change.before.record.state, change.after.state)
        written = [audit.chain_move(change, self._now()) for change in changes]
        updates = [
            Update(rows.step_entity(w.record), change.before.etag, w.entry)
            for change, w in zip(changes, written, strict=True)
        ]
        last = written[-1].record
        tags = self._submit(last.deployment_id, updates, f"step {last.ordinal}")
        return [
            Versioned(w.record.replace(chain=tag.chain or w.record.chain), tag.etag)
            for w, tag in zip(written, tags, strict=True)
        ]

    def write_header(self, change: Change[DeploymentRecord]) -> Versioned[DeploymentRecord]:
        """Raises ConflictError or IllegalTransitionError. The projection follows."""
        before, deployment_id = change.before.record, change.after.deployment_id
        transitions.check_deployment(before.state, change.after.state)
        heads = None
        if audit.has_ended(change.after):
            heads = audit.heads_of(s.record for s in self.steps(deployment_id))
        written = audit.chain_move(change, self._now(), heads)
        if before.state in DEPLOYMENT_ENDED and written.record.state not in DEPLOYMENT_ENDED:
            # The projection goes first: what goes on again and no list shows would never be swept.
            self._list(written.record)
        update = Update(rows.header_entity(written.record), change.before.etag, written.entry)
        tag = self._submit(deployment_id, [update], "the header")[0]
        after = written.record.replace(chain=tag.chain or written.record.chain)
        if (before.state, before.due_at) != (after.state, after.due_at):
            self._list(after)
        return Versioned(after, tag.etag)

    def append(self, change: Change[DeploymentRecord], step: StepRecord) -> Versioned[DeploymentRecord]:
        """Header, row and their audit entries in one batch. Raises ConflictError or IllegalTransitionError."""
        transitions.check_deployment(change.before.record.state, change.after.state)
        header, row = audit.chain_append(change, step, self._now())
        update = Update(rows.header_entity(header.record), change.before.etag, header.entry)
        tag = self._submit(step.deployment_id, [update], "the header", row)[0]
        return Versioned(header.record.replace(chain=tag.chain or header.record.chain), tag.etag)

    def note(self, deployment_id: str, entry: AuditEntry) -> None:
        """Append to the audit."""
        for _ in range(_RACES):
            if self._read(deployment_id, rows.note_entity(deployment_id, entry)["RowKey"]) is not None:
                return  # the same note, whose answer was lost
            stored = self._read(deployment_id, rows.NOTES)
            last = rows.note_head_of(stored) if stored is not None else None
            linked, head = audit.chain_note(deployment_id, entry, last)
            first = rows.note_head_entity(deployment_id, head)
            condition = condition_of(stored.metadata["etag"]) if stored is not None else {}
            operations: list[Any] = [("update", first, condition) if stored is not None else ("create", first)]
            with suppress(ConflictError), mapped_transaction():
                self._journal.submit_transaction([*operations, ("create", rows.note_entity(deployment_id, linked))])
                return
        raise StorageUnavailableError(f"{_RACES} others wrote notes to '{deployment_id}' at once")

    def sequences(self, deployment_id: str) -> dict[str, int]:
        """One range of rows: the header sorts before the notes, and the notes before the steps."""
        found = self._range(deployment_id, rows.STEP_PREFIX, rows.SEQUENCES, first=rows.HEADER)
        return rows.sequences_of(deployment_id, found)

    def note_head(self, deployment_id: str) -> NoteHead | None:
        """None where there is no note."""
        found = self._read(deployment_id, rows.NOTES)
        return rows.note_head_of(found) if found is not None else None

    def corrupt_rows(self, deployment_id: str) -> list[CorruptRow]:
        """The whole partition in one query, row by row."""
        entities = self._query(self._journal, f"PartitionKey eq '{quoted(deployment_id)}'")
        return [found for entity in entities if (found := rows.corrupt_row(entity)) is not None]

    def audit(self, deployment_id: str) -> list[AuditEntry]:
        """Oldest first."""
        return [
            AuditEntry.from_json(rows.record_of(entity)) for entity in self._range(deployment_id, rows.AUDIT_PREFIX)
        ]

    def deployments(
        self, target: str | None = None, *, open_only: bool = False, turn: int = 0
    ) -> Iterator[DeploymentRecord]:
        """Newest first. Of what is open, the headers themselves are read and the projection is mended. Who asks for
        one target has to know all that is there: only then is what cannot be read an error."""
        self._ensure()
        parts = [f"PartitionKey eq '{quoted(escape_key(target))}'"] if target is not None else []
        parts += ["is_open eq true"] if open_only else []
        skip_unreadable = rows.skip_unreadable if target is None else rows.raise_unreadable
        entities = self._query(self._deployments, " and ".join(parts))
        read = (skip_unreadable(entity["RowKey"], partial(rows.header_of, entity)) for entity in entities)
        found = [record for record in read if record is not None]
        found.sort(key=lambda r: (r.accepted_at, r.deployment_id), reverse=True)
        for record in rows.turned(found, turn):
            fresh = skip_unreadable(record.deployment_id, partial(self._repaired, record)) if open_only else record
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
        self._ensure()
        return self._pages.page(limit, after, target, states, open_only)

    def due(self, now: datetime, turn: int = 0) -> Iterator[DeploymentRecord]:
        """The headers themselves, as fresh as can be; the projection is mended where it lagged behind."""
        self._ensure()
        entities = self._query(self._deployments, f"due_at le '{now.astimezone(UTC).isoformat()}'")
        for entity in rows.turned(entities, turn):
            fresh = rows.skip_unreadable(entity["RowKey"], partial(self._due, entity, now))
            if fresh is not None:
                yield fresh

    def _due(self, entity: Any, now: datetime) -> DeploymentRecord | None:
        record = rows.header_of(entity)
        fresh = self._header_or_none(record.deployment_id)
        if fresh is None or fresh.target != record.target:
            self._unlist(record, fresh)
            return None
        if fresh.state in DEPLOYMENT_ENDED and fresh.due_at is not None and fresh.due_at <= now:
            return fresh
        self._list(fresh)
        return None

    def purge(self, deployment_id: str) -> None:
        """The steps, then with the last of them the header, then its projection: cut short anywhere, the rest is
        still due. Up to 99 steps that is one write. Raises ConflictError if it goes on again meanwhile."""
        try:
            header = self.header(deployment_id)
        except NotFoundError:
            return
        if header.record.state not in DEPLOYMENT_ENDED:
            return
        steps = [entity["RowKey"] for entity in self._range(deployment_id, rows.STEP_PREFIX, ["RowKey"])]
        kept = Update(rows.header_entity(audit.forgotten_header(header.record, self._now())), header.etag, None)
        for batch in batching.purging(steps, kept):
            with mapped_transaction():
                self._journal.submit_transaction(batch)
        self._unlist(header.record)

    def _repaired(self, record: DeploymentRecord) -> DeploymentRecord | None:
        fresh = self._header_or_none(record.deployment_id)
        if fresh is None or fresh.target != record.target:
            if self._now() - record.accepted_at > ORPHAN_AGE:
                self._unlist(record, fresh)
            return None
        has_ended = fresh.state in DEPLOYMENT_ENDED
        if has_ended or (fresh.state, fresh.manifest_hash) != (record.state, record.manifest_hash):
            self._list(fresh)
        return None if has_ended else fresh

    def _fresh_header(self, record: DeploymentRecord) -> DeploymentRecord | None:
        fresh = self._header_or_none(record.deployment_id)
        if fresh is None or fresh.accepted_at != record.accepted_at:
            if self._now() - record.accepted_at > ORPHAN_AGE:
                self._unlist(record, fresh)
            return None
        if fresh.state in DEPLOYMENT_ENDED or fresh.state != record.state:
            self._list(fresh)
        return fresh

    def _list(self, header: DeploymentRecord, *, is_open: bool | None = None) -> None:
        self._pages.put(header, is_open)
        with mapped("table", "list deployment"):
            self._deployments.upsert_entity(rows.index_entity(header, is_open), mode=UpdateMode.REPLACE)
        if not is_open and header.state in DEPLOYMENT_ENDED:
            # Held up since the header was read, this may have hidden what was taken up again meanwhile.
            fresh = self._header_or_none(header.deployment_id)
            if fresh is not None and fresh.state not in DEPLOYMENT_ENDED:
                self._list(fresh)

    def _unlist(self, header: DeploymentRecord, standing: DeploymentRecord | None = None) -> None:
        """Take away the projections of a header, but for those that the one which stands under its id shares."""
        if standing is None or standing.accepted_at != header.accepted_at:
            self._pages.remove(header)
        if standing is None or standing.target != header.target:
            with mapped("table", "unlist deployment"):
                self._deployments.delete_entity(escape_key(header.target), header.deployment_id)

    def _insert_whole(self, header: DeploymentRecord, entry: AuditEntry, entities: Sequence[JsonObject]) -> bool:
        """Whether all was written; False where a row stood already, and perhaps others were not written."""
        first = [rows.header_entity(header), rows.audit_entity(header.deployment_id, entry)]
        # The projection goes first, and as open: a header that no list shows would never be swept.
        self._list(header, is_open=True)
        if not all(self._insert(batch) for batch in batching.batches([*first, *entities])):
            return False
        if header.state in DEPLOYMENT_ENDED:
            self._list(header)
        return True

    def _add_missing(self, deployment_id: str, entities: Sequence[JsonObject]) -> None:
        """Steps that a crash kept from being written; who else does the same at the same time does no harm."""
        for _ in range(_RACES):
            there = {entity["RowKey"] for entity in self._range(deployment_id, rows.STEP_PREFIX, ["RowKey"])}
            if all(self._insert(batch) for batch in batching.batches(e for e in entities if e["RowKey"] not in there)):
                return
        raise StorageUnavailableError(f"the steps of '{deployment_id}' were written by {_RACES} others at once")

    def _submit(
        self,
        deployment_id: str,
        updates: Sequence["Update"],
        row: str,
        added: "audit.AuditedWrite[StepRecord] | None" = None,
    ) -> list[StoredRow]:
        """The batch, all or nothing; how each row stands then. Raises ConflictError where a condition fails."""
        operations: list[Any] = []
        for update in updates:
            operations.append(("update", update.entity, condition_of(update.etag)))
            if update.entry is not None:
                operations.append(("create", rows.audit_entity(deployment_id, update.entry)))
        if added is not None:
            operations.append(("create", rows.step_entity(added.record)))
            operations += [("create", rows.audit_entity(deployment_id, e)) for e in [added.entry] if e is not None]
        try:
            with mapped_transaction():
                if len(operations) == 1:
                    _, entity, condition = operations[0]
                    return [StoredRow(self._journal.update_entity(entity, **condition)["etag"])]
                answers = self._journal.submit_transaction(operations)
                return [StoredRow(a["etag"]) for a, o in zip(answers, operations, strict=True) if o[0] == "update"]
        except ConflictError:
            stored = [self._own_write(deployment_id, update.entity) for update in updates]
            is_added = added is None or self._own_write(deployment_id, rows.step_entity(added.record)) is not None
            if None in stored or not is_added:
                raise ConflictError(f"{row} of '{deployment_id}' moved since it was read") from None
            return [each for each in stored if each is not None]

    def _own_write(self, deployment_id: str, entity: JsonObject) -> StoredRow | None:
        """Where a write's answer was lost and it is sent again, its condition fails on our own first write. That one
        may have been audited a moment earlier, so its place in the chain is the one that counts."""
        found = self._read(deployment_id, entity["RowKey"])
        if found is None:
            return None
        current, own = rows.record_of(found), rows.record_of(entity)
        chain = current.pop("chain", None)
        own.pop("chain", None)
        return StoredRow(found.metadata["etag"], Chain(**chain) if chain else None) if current == own else None

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

    def _stored_header(self, deployment_id: str) -> DeploymentRecord | None:
        """The header that has the id, or what stays of it; None if the id is free."""
        try:
            return self.header(deployment_id).record
        except ForgottenError as error:
            return error.record
        except NotFoundError:
            return None

    def _header_or_none(self, deployment_id: str) -> DeploymentRecord | None:
        found = self._stored_header(deployment_id)
        return found if found is not None and found.forgotten_at is None else None

    def _read(self, partition: str, row: str) -> Any:
        self._ensure()
        with mapped("table", "read"):
            try:
                return self._journal.get_entity(checked_key(partition, "a deployment id"), row)
            except ResourceNotFoundError:
                return None

    def _range(self, deployment_id: str, prefix: str, columns: list[str] | None = None, first: str = "") -> list[Any]:
        last = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        keys = f"RowKey ge '{first or prefix}' and RowKey lt '{last}'"
        return self._query(self._journal, f"PartitionKey eq '{quoted(deployment_id)}' and {keys}", columns)

    def _query(self, table: TableClient, query: str, columns: list[str] | None = None) -> list[Any]:
        self._ensure()
        with mapped("table", "query"):
            return list(table.query_entities(query, select=columns) if query else table.list_entities())

    def _ensure(self) -> None:
        if self._is_there:
            return
        with self._lock, mapped("table", "create table"):
            for table in (self._journal, self._deployments, self._pages.table):
                ensure(table.create_table)
            self._is_there = True
