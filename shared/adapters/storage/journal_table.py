"""The journal on Azure Table Storage.

A deployment is one partition of table `journal`: its header, one row for each step, and its audit. A batch writes rows
of one partition all or nothing, so a move and its audit entry are one write: the audit cannot miss a move or invent
one. The lists of deployments are projections of the headers (journal_lists.py).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from azure.data.tables import UpdateMode

from shared.adapters.storage import journal_rows as rows
from shared.adapters.storage.clients import BATCH_OPERATIONS, StorageClients, checked_key
from shared.adapters.storage.journal_batches import StoredRow, Update, batches, purging
from shared.adapters.storage.journal_lists import JournalLists
from shared.adapters.storage.table import Table, condition_of, quoted
from shared.domain import audit, transitions
from shared.domain.errors import ConflictError, NotFoundError, StorageUnavailableError
from shared.domain.forgotten import ForgottenError
from shared.domain.json import JsonObject
from shared.domain.ports import Change, CorruptRow, NoteHead, Versioned
from shared.domain.records import AuditEntry, Chain, DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState

JOURNAL = "journal"
_RACES = 20


class TableJournal:
    """Implements the port `Journal`. `now` gives the time of audit entries."""

    def __init__(self, clients: StorageClients, now: Callable[[], datetime]) -> None:
        self._journal = Table(clients, JOURNAL)
        self._lists = JournalLists(clients, self._header_or_none, now)
        self._now = now

    def create(self, header: DeploymentRecord, steps: Sequence[StepRecord], reason: str) -> DeploymentRecord:
        """Write a whole deployment, or finish writing it, and return the stored header."""
        started = audit.chain_start(steps)
        entities = [rows.step_entity(s) for s in started]  # limits are checked before anything is written
        stored = self._stored_header(header.deployment_id)
        if stored is None:
            header, entry = audit.chain_accept(header, started, reason, self._now())
            if self._insert_whole(header, entry, entities):
                return header
            # Another accept was faster, or the response to this write was lost.
            stored = self.header(header.deployment_id).record
            self._lists.remove(header, stored)
            self._lists.put(stored)
        if stored.manifest_hash == header.manifest_hash and stored.state not in DEPLOYMENT_ENDED:
            self._add_missing(header.deployment_id, entities)
        return stored

    def header(self, deployment_id: str) -> Versioned[DeploymentRecord]:
        """Return the header. Raises NotFoundError, ForgottenError."""
        found = self._read(deployment_id, rows.HEADER)
        if found is None:
            raise NotFoundError(f"there is no deployment '{deployment_id}'")
        header = rows.header_of(found)
        if header.forgotten_at is not None:
            raise ForgottenError(header)
        return Versioned(header, found.metadata["etag"])

    def step(self, deployment_id: str, ordinal: int) -> tuple[Versioned[DeploymentRecord], Versioned[StepRecord]]:
        """Return one step and then the header, by two point reads. Raises NotFoundError, ForgottenError.

        A query for both would be one request, but a filter with `or` on RowKey makes Table Storage scan the partition
        ("Design for querying", learn.microsoft.com/azure/storage/tables). The step is read first: if it is then written
        under its ETag, the header was read while the step was as shown.
        """
        found = self._read(deployment_id, rows.step_key(ordinal))
        if found is None:
            raise NotFoundError(f"there is no step {ordinal} of deployment '{deployment_id}'")
        step = Versioned(StepRecord.from_json(rows.record_of(found)), str(found.metadata["etag"]))
        return self.header(deployment_id), step

    def steps(self, deployment_id: str) -> list[Versioned[StepRecord]]:
        """Return all steps, by ordinal."""
        return [
            Versioned(StepRecord.from_json(rows.record_of(entity)), entity.metadata["etag"])
            for entity in self._range(deployment_id, rows.STEP_PREFIX)
        ]

    def write_step(self, change: Change[StepRecord]) -> Versioned[StepRecord]:
        """Write one step. Raises ConflictError, IllegalTransitionError."""
        return self._write([change])[0]

    def write_steps(self, changes: Sequence[Change[StepRecord]]) -> None:
        """Write steps in groups of half a batch, because each change may need an audit entry as well."""
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
        stored = self._submit(last.deployment_id, updates, f"step {last.ordinal}")
        return [
            Versioned(w.record.replace(chain=row.chain or w.record.chain), row.etag)
            for w, row in zip(written, stored, strict=True)
        ]

    def write_header(self, change: Change[DeploymentRecord]) -> Versioned[DeploymentRecord]:
        """Write the header, then the lists. Raises ConflictError, IllegalTransitionError."""
        before, deployment_id = change.before.record, change.after.deployment_id
        transitions.check_deployment(before.state, change.after.state)
        heads = None
        if audit.has_ended(change.after):
            heads = audit.heads_of(s.record for s in self.steps(deployment_id))
        written = audit.chain_move(change, self._now(), heads)
        if before.state in DEPLOYMENT_ENDED and written.record.state not in DEPLOYMENT_ENDED:
            # The lists are written first: the sweeper would never find a reopened deployment that no list contains.
            self._lists.put(written.record)
        update = Update(rows.header_entity(written.record), change.before.etag, written.entry)
        stored = self._submit(deployment_id, [update], "the header")[0]
        after = written.record.replace(chain=stored.chain or written.record.chain)
        if (before.state, before.due_at) != (after.state, after.due_at):
            self._lists.put(after)
        return Versioned(after, stored.etag)

    def append(self, change: Change[DeploymentRecord], step: StepRecord) -> Versioned[DeploymentRecord]:
        """Write header, new step and their audit entries in one batch. Raises ConflictError, IllegalTransitionError."""
        transitions.check_deployment(change.before.record.state, change.after.state)
        header, row = audit.chain_append(change, step, self._now())
        update = Update(rows.header_entity(header.record), change.before.etag, header.entry)
        stored = self._submit(step.deployment_id, [update], "the header", row)[0]
        return Versioned(header.record.replace(chain=stored.chain or header.record.chain), stored.etag)

    def note(self, deployment_id: str, entry: AuditEntry) -> None:
        """Append a note to the audit; a note that is already there is not written again."""
        for _ in range(_RACES):
            if self._read(deployment_id, rows.note_entity(deployment_id, entry)["RowKey"]) is not None:
                return  # the same note, written before its response was lost
            stored = self._read(deployment_id, rows.NOTES)
            last = rows.note_head_of(stored) if stored is not None else None
            linked, head = audit.chain_note(deployment_id, entry, last)
            first = rows.note_head_entity(deployment_id, head)
            operations: list[Any] = [("create", rows.note_entity(deployment_id, linked))]
            if stored is None:
                operations.insert(0, ("create", first))
            else:
                operations.insert(0, ("update", first, condition_of(stored.metadata["etag"])))
            with suppress(ConflictError):
                self._journal.submit(operations)
                return
        raise StorageUnavailableError(f"the notes of '{deployment_id}' changed {_RACES} times during one write")

    def sequences(self, deployment_id: str) -> dict[str, int]:
        """Read one range of rows: the header sorts before the notes, and the notes before the steps."""
        found = self._range(deployment_id, rows.STEP_PREFIX, rows.SEQUENCES, first=rows.HEADER)
        return rows.sequences_of(deployment_id, found)

    def note_head(self, deployment_id: str) -> NoteHead | None:
        """Return the head of the notes' chain, or None without notes."""
        found = self._read(deployment_id, rows.NOTES)
        return rows.note_head_of(found) if found is not None else None

    def corrupt_rows(self, deployment_id: str) -> list[CorruptRow]:
        """Compare each row of the partition, by one query, with what would be written for its record."""
        entities = self._journal.query(f"PartitionKey eq '{quoted(deployment_id)}'")
        return [found for entity in entities if (found := rows.corrupt_row(entity)) is not None]

    def audit(self, deployment_id: str) -> list[AuditEntry]:
        """Return the audit, oldest entry first."""
        return [
            AuditEntry.from_json(rows.record_of(entity)) for entity in self._range(deployment_id, rows.AUDIT_PREFIX)
        ]

    def deployments(
        self, target: str | None = None, *, open_only: bool = False, oldest_first: bool = False, turn: int = 0
    ) -> Iterator[DeploymentRecord]:
        """Yield headers from the list by target."""
        return self._lists.deployments(target, open_only=open_only, oldest_first=oldest_first, turn=turn)

    def page(
        self,
        limit: int,
        *,
        after: tuple[datetime, str] | None = None,
        target: str | None = None,
        states: Collection[DeploymentState] = (),
        open_only: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> list[DeploymentRecord]:
        """Return one page of the list by time."""
        return self._lists.page(limit, after, target, states, open_only, labels or {})

    def due(self, now: datetime, turn: int = 0) -> Iterator[DeploymentRecord]:
        """Yield the ended deployments that are due, as the journal has them."""
        return self._lists.due(now, turn)

    def purge(self, deployment_id: str) -> None:
        """Delete the steps, rewrite the header with the last of them, then remove the deployment from the lists.

        A purge that a crash interrupts is still due. Up to 99 steps it is one write. Raises ConflictError if the
        deployment is resumed in the meantime.
        """
        try:
            header = self.header(deployment_id)
        except NotFoundError:
            return
        if header.record.state not in DEPLOYMENT_ENDED:
            return
        steps = [entity["RowKey"] for entity in self._range(deployment_id, rows.STEP_PREFIX, ["RowKey"])]
        kept = Update(rows.header_entity(audit.forgotten_header(header.record, self._now())), header.etag, None)
        for batch in purging(steps, kept):
            self._journal.submit(batch)
        self._lists.remove(header.record)

    def _insert_whole(self, header: DeploymentRecord, entry: AuditEntry, entities: Sequence[JsonObject]) -> bool:
        """Return True if this call wrote the header; False if one existed: then some steps may be missing."""
        first = [rows.header_entity(header), rows.audit_entity(header.deployment_id, entry)]
        # The lists are written first, as open: the sweeper would never find a header that no list contains.
        self._lists.put(header, is_open=True)
        batch = next(batches([*first, *entities]))
        if not self._insert(batch):
            return False
        if rest := entities[len(batch) - len(first) :]:
            self._add_missing(header.deployment_id, rest)
        if header.state in DEPLOYMENT_ENDED:
            self._lists.put(header)
        return True

    def _add_missing(self, deployment_id: str, entities: Sequence[JsonObject]) -> None:
        """Write the steps that do not exist yet. Another worker may do the same at the same time.

        A deployment that ended meanwhile gets no step, because its end binds the heads of the steps that it had.
        """
        for _ in range(_RACES):
            header = self.header(deployment_id)
            if header.record.state in DEPLOYMENT_ENDED:
                return
            existing = {entity["RowKey"] for entity in self._range(deployment_id, rows.STEP_PREFIX, ["RowKey"])}
            if self._add(header, [entity for entity in entities if entity["RowKey"] not in existing]):
                return
        raise StorageUnavailableError(f"the steps of '{deployment_id}' changed {_RACES} times during one write")

    def _add(self, header: Versioned[DeploymentRecord], entities: Sequence[JsonObject]) -> bool:
        """Return False if a step exists, or if the header changed since it was read.

        Each batch also merges nothing into the header: that gives it a new ETag. So a write of the header that read
        the steps before this batch fails, and this batch fails after such a write.
        """
        touched, etag = {"PartitionKey": header.record.deployment_id, "RowKey": rows.HEADER}, header.etag
        try:
            for batch in batches(entities, room=1):
                touch = ("update", touched, condition_of(etag, UpdateMode.MERGE))
                etag = self._journal.submit([touch, *(("create", entity) for entity in batch)])[0]["etag"]
        except ConflictError:
            return False
        return True

    def _submit(
        self,
        deployment_id: str,
        updates: Sequence[Update],
        row: str,
        added: "audit.AuditedWrite[StepRecord] | None" = None,
    ) -> list[StoredRow]:
        """Write a batch, all or nothing, and return each updated row as stored. Raises ConflictError."""
        operations: list[Any] = []
        for update in updates:
            operations.append(("update", update.entity, condition_of(update.etag)))
            if update.entry is not None:
                operations.append(("create", rows.audit_entity(deployment_id, update.entry)))
        if added is not None:
            operations.append(("create", rows.step_entity(added.record)))
            operations += [("create", rows.audit_entity(deployment_id, e)) for e in [added.entry] if e is not None]
        try:
            if len(operations) == 1:
                return [StoredRow(self._journal.replace(updates[0].entity, updates[0].etag))]
            answers = self._journal.submit(operations)
            return [StoredRow(a["etag"]) for a, o in zip(answers, operations, strict=True) if o[0] == "update"]
        except ConflictError:
            stored = [self._lost_response_of(deployment_id, update.entity) for update in updates]
            is_added = (
                added is None or self._lost_response_of(deployment_id, rows.step_entity(added.record)) is not None
            )
            if None in stored or not is_added:
                raise ConflictError(f"{row} of '{deployment_id}' changed since it was read") from None
            return [each for each in stored if each is not None]

    def _lost_response_of(self, deployment_id: str, entity: JsonObject) -> StoredRow | None:
        """Return the row if it is already as this write would leave it, else None.

        If a response is lost and the write is sent again, its condition fails because of its own first try. That try
        may have been audited a moment earlier, so its place in the chain is the valid one.
        """
        found = self._read(deployment_id, entity["RowKey"])
        if found is None:
            return None
        current, own = rows.record_of(found), rows.record_of(entity)
        chain = current.pop("chain", None)
        own.pop("chain", None)
        return StoredRow(found.metadata["etag"], Chain(**chain) if chain else None) if current == own else None

    def _insert(self, batch: list[JsonObject]) -> bool:
        """Return False if a row exists."""
        try:
            if len(batch) == 1:
                self._journal.insert(batch[0])
            else:
                self._journal.submit([("create", entity) for entity in batch])
        except ConflictError:
            return False
        return True

    def _stored_header(self, deployment_id: str) -> DeploymentRecord | None:
        """Return the header that has the id, also of a forgotten deployment, or None if the id is free."""
        try:
            return self.header(deployment_id).record
        except ForgottenError as error:
            return error.record
        except NotFoundError:
            return None

    def _header_or_none(self, deployment_id: str) -> DeploymentRecord | None:
        found = self._stored_header(deployment_id)
        return None if found is None or found.forgotten_at is not None else found

    def _read(self, partition: str, row: str) -> Any:
        return self._journal.read(checked_key(partition, "a deployment id"), row)

    def _range(self, deployment_id: str, prefix: str, columns: list[str] | None = None, first: str = "") -> list[Any]:
        last = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        keys = f"RowKey ge '{first or prefix}' and RowKey lt '{last}'"
        return list(self._journal.query(f"PartitionKey eq '{quoted(deployment_id)}' and {keys}", columns))
