"""The in-memory twin of the journal on tables. It passes the same contract suite, and has no clock of its own.

A write that is one request of the real journal is atomic here, and one that needs several requests, such as the
projection of a header, has several stages here. `between` is called between the stages: there a process may die, or
another worker may be faster.
"""

import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime

from shared.adapters.storage import journal_rows as rows
from shared.adapters.storage.clients import BATCH_OPERATIONS
from shared.adapters.storage.journal_lists import ORPHAN_AGE, time_key
from shared.domain import audit, transitions
from shared.domain.errors import ConflictError, NotFoundError
from shared.domain.forgotten import ForgottenError
from shared.domain.json import JsonObject
from shared.domain.labels import has_labels
from shared.domain.ports import Change, Clock, CorruptRow, NoteHead, Versioned
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState


def _nothing(_: str) -> None:
    return None


class MemoryJournal:
    """The port Journal in dictionaries; entities pass through the real row format, so limits and JSON are the same.

    `rows_at_once` is the number of rows of a new deployment that one request writes.
    """

    def __init__(
        self, clock: Clock, between: Callable[[str], None] = _nothing, rows_at_once: int = BATCH_OPERATIONS
    ) -> None:
        self._clock, self._between, self._rows_at_once = clock, between, rows_at_once
        self._headers: dict[str, tuple[DeploymentRecord, int]] = {}
        self._steps: dict[str, dict[int, tuple[StepRecord, int]]] = {}
        self._audit: dict[str, dict[str, AuditEntry]] = {}
        self._notes: dict[str, NoteHead] = {}
        self._listed: dict[tuple[str, str], tuple[DeploymentRecord, bool]] = {}
        self._tags = itertools.count(1)
        self._lock = threading.RLock()
        self.history: list[tuple[StepRecord | DeploymentRecord, StepRecord | DeploymentRecord]] = []

    def create(self, header: DeploymentRecord, steps: Sequence[StepRecord], reason: str) -> DeploymentRecord:
        rows.header_entity(header)
        started = audit.chain_start(steps)
        for step in started:
            rows.step_entity(step)
        stored = self._stored_header(header.deployment_id)
        if stored is None:
            header, entry = audit.chain_accept(header, started, reason, self._clock.now())
            self._list(header, is_open=True)
            self._between("create: listed")
            if self._insert_whole(header, entry, started):
                return header
            stored = self.header(header.deployment_id).record
            self._unlist(header, stored)
            self._between("create: lost the race, no longer listed")
            self._list(stored)
        if stored.manifest_hash == header.manifest_hash and stored.state not in DEPLOYMENT_ENDED:
            there = self._steps.get(header.deployment_id, {})
            self._insert_steps(header.deployment_id, [s for s in started if s.ordinal not in there])
        return stored

    def _insert_whole(self, header: DeploymentRecord, entry: AuditEntry, steps: Sequence[StepRecord]) -> bool:
        """Insert the deployment and return True, or return False if a header with its id already exists."""
        with self._lock:
            if header.deployment_id in self._headers:
                return False
            self._headers[header.deployment_id] = (header, next(self._tags))
            self._append(rows.audit_entity(header.deployment_id, entry))
            first = max(0, self._rows_at_once - 2)
            for step in steps[:first]:  # one batch with the header, in whatever state it is created
                self._put(step)
        self._insert_steps(header.deployment_id, steps[first:])
        if header.state in DEPLOYMENT_ENDED:
            self._between("create: written whole")
            self._list(header)
        return True

    def _insert_steps(self, deployment_id: str, steps: Sequence[StepRecord]) -> None:
        for i in range(0, len(steps), self._rows_at_once):
            self._between("create: written in part")
            self._add(deployment_id, steps[i : i + self._rows_at_once])

    def _add(self, deployment_id: str, steps: Sequence[StepRecord]) -> None:
        """Add the steps that do not exist yet, unless the deployment has ended; the header gets a new tag.

        An existing step was added by another writer and stays unchanged.
        """
        with self._lock:
            header, _ = self._headers[deployment_id]
            if header.state in DEPLOYMENT_ENDED:
                return
            self._headers[deployment_id] = (header, next(self._tags))
            for step in steps:
                self._put(step)

    def _put(self, step: StepRecord) -> None:
        self._steps.setdefault(step.deployment_id, {}).setdefault(step.ordinal, (step, next(self._tags)))

    def cut_create(self, header: DeploymentRecord, steps: Sequence[StepRecord], written: int) -> None:
        """Create a deployment like a process that dies after it has written so many of the steps."""
        self.create(header, steps, "submitted")
        for step in steps[written:]:
            del self._steps[step.deployment_id][step.ordinal]

    def header(self, deployment_id: str) -> Versioned[DeploymentRecord]:
        found = self._headers.get(deployment_id)
        if found is None:
            raise NotFoundError(f"there is no deployment '{deployment_id}'")
        if found[0].forgotten_at is not None:
            raise ForgottenError(found[0])
        return Versioned(found[0], str(found[1]))

    def _stored_header(self, deployment_id: str) -> DeploymentRecord | None:
        found = self._headers.get(deployment_id)
        return found[0] if found is not None else None

    def _header_or_none(self, deployment_id: str) -> DeploymentRecord | None:
        found = self._stored_header(deployment_id)
        return found if found is not None and found.forgotten_at is None else None

    def step(self, deployment_id: str, ordinal: int) -> tuple[Versioned[DeploymentRecord], Versioned[StepRecord]]:
        found = self._steps.get(deployment_id, {}).get(ordinal)
        if found is None:
            raise NotFoundError(f"there is no step {ordinal} of deployment '{deployment_id}'")
        return self.header(deployment_id), Versioned(found[0], str(found[1]))

    def steps(self, deployment_id: str) -> list[Versioned[StepRecord]]:
        own = sorted(self._steps.get(deployment_id, {}).items())
        return [Versioned(record, str(tag)) for _, (record, tag) in own]

    def write_step(self, change: Change[StepRecord]) -> Versioned[StepRecord]:
        return self._write([change])[0]

    def write_steps(self, changes: Sequence[Change[StepRecord]]) -> None:
        """Write half a batch at a time, each of them completely or not at all."""
        size = max(1, self._rows_at_once // 2)
        for i in range(0, len(changes), size):
            if i:
                self._between("write steps: written in part")
            self._write(changes[i : i + size])

    def _write(self, changes: Sequence[Change[StepRecord]]) -> list[Versioned[StepRecord]]:
        with self._lock:
            return self._write_batch(changes)

    def _write_batch(self, changes: Sequence[Change[StepRecord]]) -> list[Versioned[StepRecord]]:
        written: list[audit.AuditedWrite[StepRecord]] = []
        for change in changes:
            before = change.before.record
            transitions.check_step(before.state, change.after.state)
            stored = self._steps.get(before.deployment_id, {}).get(before.ordinal)
            if stored is None or str(stored[1]) != change.before.etag:
                raise ConflictError(f"step {before.ordinal} moved since it was read")
            moved = audit.chain_move(change, self._clock.now())
            rows.step_entity(moved.record)
            written.append(audit.AuditedWrite(StepRecord.from_json(moved.record.to_json()), moved.entry))
        answers: list[Versioned[StepRecord]] = []
        for change, each in zip(changes, written, strict=True):
            tag, after = next(self._tags), each.record
            self._steps[after.deployment_id][after.ordinal] = (after, tag)
            self._record(after.deployment_id, each.entry)
            self.history.append((change.before.record, after))
            answers.append(Versioned(after, str(tag)))
        return answers

    def write_header(self, change: Change[DeploymentRecord]) -> Versioned[DeploymentRecord]:
        """Write the header, and its projection afterwards; the projection of a reopened deployment is written first."""
        before = change.before.record
        transitions.check_deployment(before.state, change.after.state)
        heads = None
        if audit.has_ended(change.after):
            heads = audit.heads_of(s.record for s in self.steps(before.deployment_id))
        moved = audit.chain_move(change, self._clock.now(), heads)
        after = DeploymentRecord.from_json(moved.record.to_json())
        rows.header_entity(after)
        if before.state in DEPLOYMENT_ENDED and after.state not in DEPLOYMENT_ENDED:
            self._list(after)
            self._between("write header: listed as open")
        with self._lock:
            stored = self._headers.get(before.deployment_id)
            if stored is None or str(stored[1]) != change.before.etag:
                raise ConflictError("the header moved since it was read")
            tag = next(self._tags)
            self._headers[after.deployment_id] = (after, tag)
            self._record(after.deployment_id, moved.entry)
            self.history.append((before, after))
        if (before.state, before.due_at) != (after.state, after.due_at):
            self._between("write header: written, not yet listed")
            self._list(after)
        return Versioned(after, str(tag))

    def append(self, change: Change[DeploymentRecord], step: StepRecord) -> Versioned[DeploymentRecord]:
        before = change.before.record
        transitions.check_deployment(before.state, change.after.state)
        with self._lock:
            stored = self._headers.get(before.deployment_id)
            is_there = step.ordinal in self._steps.get(step.deployment_id, {})
            if stored is None or str(stored[1]) != change.before.etag or is_there:
                raise ConflictError("the header moved since it was read, or the step is there already")
            header, row = audit.chain_append(change, step, self._clock.now())
            rows.header_entity(header.record)
            rows.step_entity(row.record)
            tag, after = next(self._tags), DeploymentRecord.from_json(header.record.to_json())
            self._headers[after.deployment_id] = (after, tag)
            added = StepRecord.from_json(row.record.to_json())
            self._steps.setdefault(added.deployment_id, {})[added.ordinal] = (added, next(self._tags))
            self._record(after.deployment_id, header.entry)
            self._record(after.deployment_id, row.entry)
            self.history.append((before, after))
            return Versioned(after, str(tag))

    def _record(self, deployment_id: str, entry: AuditEntry | None) -> None:
        if entry is not None:
            self._append(rows.audit_entity(deployment_id, entry))

    def note(self, deployment_id: str, entry: AuditEntry) -> None:
        with self._lock:
            if rows.note_entity(deployment_id, entry)["RowKey"] not in self._audit.get(deployment_id, {}):
                entry, self._notes[deployment_id] = audit.chain_note(
                    deployment_id, entry, self.note_head(deployment_id)
                )
                self._append(rows.note_entity(deployment_id, entry))

    def sequences(self, deployment_id: str) -> dict[str, int]:
        with self._lock:
            found = {rows.HEADER: self.header(deployment_id).record.sequence}
            found |= {rows.step_key(o): s.sequence for o, (s, _) in self._steps.get(deployment_id, {}).items()}
            notes = self._notes.get(deployment_id)
            return found | ({rows.NOTES: notes.number} if notes else {})

    def note_head(self, deployment_id: str) -> NoteHead | None:
        return self._notes.get(deployment_id)

    def corrupt_rows(self, deployment_id: str) -> list[CorruptRow]:
        """Return nothing, because records here have no rows that could differ from them."""
        return []

    def _append(self, entity: JsonObject) -> None:
        entry = AuditEntry.from_json(rows.record_of(entity))
        self._audit.setdefault(entity["PartitionKey"], {})[entity["RowKey"]] = entry

    def audit(self, deployment_id: str) -> list[AuditEntry]:
        return [entry for _, entry in sorted(self._audit.get(deployment_id, {}).items())]

    # The projection: what lists show. It may lag behind the headers, and is repaired when it is read.

    def _list(self, header: DeploymentRecord, *, is_open: bool | None = None) -> None:
        rows.index_entity(header)
        shown = header.state not in DEPLOYMENT_ENDED if is_open is None else is_open
        self._listed[(header.target, header.deployment_id)] = (header, shown)
        fresh = None if shown else self._header_or_none(header.deployment_id)
        if fresh is not None and fresh.state not in DEPLOYMENT_ENDED:
            self._list(fresh)

    def _unlist(self, header: DeploymentRecord, standing: DeploymentRecord | None = None) -> None:
        if standing is None or standing.target != header.target:
            self._listed.pop((header.target, header.deployment_id), None)

    def deployments(
        self, target: str | None = None, *, open_only: bool = False, oldest_first: bool = False, turn: int = 0
    ) -> Iterator[DeploymentRecord]:
        found = [row for (at, _), row in self._listed.items() if target in (None, at) and (row[1] or not open_only)]
        found.sort(key=lambda r: (r[0].accepted_at, r[0].deployment_id), reverse=not oldest_first)
        for header, _ in rows.turned(found, turn):
            fresh = self._repaired(header) if open_only else header
            if fresh is not None:
                yield fresh

    def _repaired(self, record: DeploymentRecord) -> DeploymentRecord | None:
        fresh = self._header_or_none(record.deployment_id)
        if fresh is None or fresh.target != record.target:
            if self._clock.now() - record.accepted_at > ORPHAN_AGE:
                self._unlist(record, fresh)
            return None
        has_ended = fresh.state in DEPLOYMENT_ENDED
        if has_ended or (fresh.state, fresh.manifest_hash) != (record.state, record.manifest_hash):
            self._list(fresh)
        return None if has_ended else fresh

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
        last = time_key(*after) if after is not None else ""
        shown = [self._header_or_none(h.deployment_id) if is_open else h for h, is_open in self._listed.values()]
        keyed = {time_key(h.accepted_at, h.deployment_id): h for h in shown if h and target in (None, h.target)}
        found = [h for key, h in sorted(keyed.items()) if key > last and (not states or h.state in states)]
        found = [h for h in found if has_labels(h.labels, labels or {})]
        return [h for h in found if not open_only or h.state not in DEPLOYMENT_ENDED][:limit]

    def due(self, now: datetime, turn: int = 0) -> Iterator[DeploymentRecord]:
        listed = [r for r, _ in self._listed.values() if r.due_at is not None and r.due_at <= now]
        for record in rows.turned(listed, turn):
            fresh = self._header_or_none(record.deployment_id)
            if fresh is None or fresh.target != record.target:
                self._unlist(record, fresh)
            elif fresh.state in DEPLOYMENT_ENDED and fresh.due_at is not None and fresh.due_at <= now:
                yield fresh
            else:
                self._list(fresh)

    def purge(self, deployment_id: str) -> None:
        found = self._header_or_none(deployment_id)
        if found is not None and found.state in DEPLOYMENT_ENDED:
            kept = audit.forgotten_header(found, self._clock.now())
            rows.header_entity(kept)
            self._headers[deployment_id] = (kept, next(self._tags))
            self._steps.pop(deployment_id, None)
            self._between("purge: forgotten, still listed")
            self._unlist(found)
