"""In-memory twins of the adapters. They pass the contract suites of the real ones, and own no clock and no chance."""

import hashlib
import heapq
import itertools
import json
import math
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import tracing
from shared.adapters import breaker_table
from shared.adapters import journal_rows as rows
from shared.adapters.journal_pages import time_key
from shared.adapters.storage import MESSAGE_BYTES, MOST_DELAY_SECONDS
from shared.domain import audit, transitions
from shared.domain.breaker import BreakerRecord
from shared.domain.errors import ConflictError, InvalidInputError, LimitError, NotFoundError, Problem
from shared.domain.json import JsonObject
from shared.domain.messages import StepMessage
from shared.domain.ports import Change, Clock, LastSweep, Lock, Misfit, NoteHead, Poisonings, Versioned
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState
from shared.domain.telemetry import PROPERTIES, Properties
from shared.domain.trace import TraceContext

START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """A clock that moves when told to."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now

    def now(self) -> datetime:
        """The present."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on."""
        self._now += timedelta(seconds=seconds)


class MemoryJournal:
    """The port Journal in dictionaries; entities go through the real row form, so limits and JSON are the same."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._headers: dict[str, tuple[DeploymentRecord, int]] = {}
        self._steps: dict[tuple[str, int], tuple[StepRecord, int]] = {}
        self._audit: dict[str, dict[str, AuditEntry]] = {}
        self._notes: dict[str, NoteHead] = {}
        self._tags = itertools.count(1)
        self._lock = threading.RLock()
        self.history: list[tuple[StepRecord | DeploymentRecord, StepRecord | DeploymentRecord]] = []

    def create(self, header: DeploymentRecord, steps: Sequence[StepRecord], reason: str) -> DeploymentRecord:
        """As the port says."""
        rows.header_entity(header)
        rows.index_entity(header)
        steps = audit.begun(steps)
        for step in steps:
            rows.step_entity(step)
        with self._lock:
            standing = self._headers.get(header.deployment_id)
            if standing is not None and standing[0].manifest_hash != header.manifest_hash:
                return standing[0]
            if standing is None:
                header, entry = audit.accepted(header, steps, reason, self._clock.now())
                self._headers[header.deployment_id] = (header, next(self._tags))
                self._append(rows.audit_entity(header.deployment_id, entry))
            is_over = standing is not None and standing[0].state in DEPLOYMENT_ENDED
            for step in [] if is_over else steps:
                self._steps.setdefault((step.deployment_id, step.ordinal), (step, next(self._tags)))
            return self._headers[header.deployment_id][0]

    def cut_create(self, header: DeploymentRecord, steps: Sequence[StepRecord], written: int) -> None:
        """As `create` by a process that dies when it has written so many of the steps."""
        self.create(header, steps, "submitted")
        for step in steps[written:]:
            del self._steps[(step.deployment_id, step.ordinal)]

    def header(self, deployment_id: str) -> Versioned[DeploymentRecord]:
        """As the port says."""
        found = self._headers.get(deployment_id)
        if found is None:
            raise NotFoundError(f"there is no deployment '{deployment_id}'")
        return Versioned(found[0], str(found[1]))

    def step(self, deployment_id: str, ordinal: int) -> tuple[Versioned[DeploymentRecord], Versioned[StepRecord]]:
        """As the port says."""
        found = self._steps.get((deployment_id, ordinal))
        if found is None:
            raise NotFoundError(f"there is no step {ordinal} of deployment '{deployment_id}'")
        return self.header(deployment_id), Versioned(found[0], str(found[1]))

    def steps(self, deployment_id: str) -> list[Versioned[StepRecord]]:
        """As the port says."""
        mine = sorted((key, value) for key, value in self._steps.items() if key[0] == deployment_id)
        return [Versioned(record, str(tag)) for _, (record, tag) in mine]

    def write_step(self, change: Change[StepRecord]) -> Versioned[StepRecord]:
        """As the port says."""
        return self._write([change])[0]

    def write_steps(self, changes: Sequence[Change[StepRecord]]) -> None:
        """As the port says: fifty at a time, all or nothing."""
        for i in range(0, len(changes), 50):
            self._write(changes[i : i + 50])

    def _write(self, changes: Sequence[Change[StepRecord]]) -> list[Versioned[StepRecord]]:
        with self._lock:
            return self._write_batch(changes)

    def _write_batch(self, changes: Sequence[Change[StepRecord]]) -> list[Versioned[StepRecord]]:
        written: list[audit.Written[StepRecord]] = []
        for change in changes:
            before = change.before.record
            transitions.check_step(before.state, change.after.state)
            key = (before.deployment_id, before.ordinal)
            if key not in self._steps or str(self._steps[key][1]) != change.before.etag:
                raise ConflictError(f"step {before.ordinal} moved since it was read")
            moved = audit.moved(change, self._clock.now())
            rows.step_entity(moved.record)
            written.append(replace(moved, record=StepRecord.from_json(moved.record.to_json())))
        answers: list[Versioned[StepRecord]] = []
        for change, each in zip(changes, written, strict=True):
            tag, after = next(self._tags), each.record
            self._steps[(after.deployment_id, after.ordinal)] = (after, tag)
            self._record(after.deployment_id, each.entry)
            self.history.append((change.before.record, after))
            answers.append(Versioned(after, str(tag)))
        return answers

    def write_header(self, change: Change[DeploymentRecord]) -> Versioned[DeploymentRecord]:
        """As the port says."""
        before = change.before.record
        transitions.check_deployment(before.state, change.after.state)
        with self._lock:
            standing = self._headers.get(before.deployment_id)
            if standing is None or str(standing[1]) != change.before.etag:
                raise ConflictError("the header moved since it was read")
            ended = audit.has_ended(change.after)
            heads = audit.heads_of(s.record for s in self.steps(before.deployment_id)) if ended else None
            moved = audit.moved(change, self._clock.now(), heads)
            after = DeploymentRecord.from_json(moved.record.to_json())
            rows.header_entity(after)
            tag = next(self._tags)
            self._headers[after.deployment_id] = (after, tag)
            self._record(after.deployment_id, moved.entry)
            self.history.append((before, after))
            return Versioned(after, str(tag))

    def append(self, change: Change[DeploymentRecord], step: StepRecord) -> Versioned[DeploymentRecord]:
        """As the port says."""
        before = change.before.record
        transitions.check_deployment(before.state, change.after.state)
        with self._lock:
            standing = self._headers.get(before.deployment_id)
            is_there = (step.deployment_id, step.ordinal) in self._steps
            if standing is None or str(standing[1]) != change.before.etag or is_there:
                raise ConflictError("the header moved since it was read, or the step is there already")
            header, row = audit.appended(change, step, self._clock.now())
            rows.header_entity(header.record)
            rows.step_entity(row.record)
            tag, after = next(self._tags), DeploymentRecord.from_json(header.record.to_json())
            self._headers[after.deployment_id] = (after, tag)
            added = StepRecord.from_json(row.record.to_json())
            self._steps[(step.deployment_id, step.ordinal)] = (added, next(self._tags))
            self._record(after.deployment_id, header.entry)
            self._record(after.deployment_id, row.entry)
            self.history.append((before, after))
            return Versioned(after, str(tag))

    def _record(self, deployment_id: str, entry: AuditEntry | None) -> None:
        if entry is not None:
            self._append(rows.audit_entity(deployment_id, entry))

    def note(self, deployment_id: str, entry: AuditEntry) -> None:
        """As the port says."""
        with self._lock:
            if rows.note_entity(deployment_id, entry)["RowKey"] not in self._audit.get(deployment_id, {}):
                entry, self._notes[deployment_id] = audit.noted(deployment_id, entry, self.note_head(deployment_id))
                self._append(rows.note_entity(deployment_id, entry))

    def note_head(self, deployment_id: str) -> NoteHead | None:
        """As the port says."""
        return self._notes.get(deployment_id)

    def misfits(self, deployment_id: str) -> list[Misfit]:
        """As the port says: records have no rows here that could differ from them."""
        return []

    def _append(self, entity: JsonObject) -> None:
        entry = AuditEntry.from_json(rows.record_of(entity))
        self._audit.setdefault(entity["PartitionKey"], {})[entity["RowKey"]] = entry

    def audit(self, deployment_id: str) -> list[AuditEntry]:
        """As the port says."""
        return [entry for _, entry in sorted(self._audit.get(deployment_id, {}).items())]

    def deployments(self, target: str | None = None, *, open_only: bool = False) -> Iterator[DeploymentRecord]:
        """As the port says."""
        found = [h for h, _ in self._headers.values() if target in (None, h.target)]
        for header in sorted(found, key=lambda h: (h.accepted_at, h.deployment_id), reverse=True):
            if not open_only or header.state not in DEPLOYMENT_ENDED:
                yield header

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
        last = time_key(*after) if after is not None else ""
        keyed = sorted(
            ((time_key(h.accepted_at, h.deployment_id), h) for h in self.deployments(target)), key=lambda k: k[0]
        )
        found = [h for key, h in keyed if key > last and (not states or h.state in states)]
        return [h for h in found if not open_only or h.state not in DEPLOYMENT_ENDED][:limit]

    def due(self, now: datetime) -> Iterator[DeploymentRecord]:
        """As the port says."""
        for header, _ in list(self._headers.values()):
            if header.state in DEPLOYMENT_ENDED and header.due_at is not None and header.due_at <= now:
                yield header

    def purge(self, deployment_id: str) -> None:
        """As the port says."""
        found = self._headers.get(deployment_id)
        if found is not None and found[0].state in DEPLOYMENT_ENDED:
            del self._headers[deployment_id]
            self._steps = {key: value for key, value in self._steps.items() if key[0] != deployment_id}


class MemoryLocks:
    """The port Locks in a dictionary."""

    def __init__(self) -> None:
        self._locks: dict[str, Lock] = {}

    def acquire(self, target: str, holder: str, now: datetime, lease_seconds: float) -> Lock:
        """As the port says."""
        standing = self._locks.get(target)
        expires = now + timedelta(seconds=lease_seconds)
        if standing is None:
            lock = Lock(holder, expires, 1)
        elif standing.holder == holder:
            lock = replace(standing, expires_at=expires)
        elif standing.expires_at > now:
            return standing
        else:
            lock = Lock(holder, expires, standing.fence + 1)
        self._locks[target] = lock
        return lock

    def release(self, target: str, holder: str) -> None:
        """As the port says."""
        standing = self._locks.get(target)
        if standing is not None and standing.holder == holder:
            self._locks[target] = replace(standing, expires_at=datetime.fromtimestamp(0, UTC))


class MemoryBreakers:
    """The port BreakerStore in a dictionary; rows go through the real entity, so limits and JSON are the same."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[dict[str, object], int]] = {}
        self._tags = itertools.count(1)
        self._lock = threading.Lock()
        self.reads = self.writes = 0

    @property
    def is_shared(self) -> bool:
        """As the port says."""
        return True

    def read(self, name: str) -> Versioned[BreakerRecord] | None:
        """As the port says."""
        self.reads += 1
        found = self._rows.get(name)
        return None if found is None else Versioned(breaker_table.record_of(found[0]), str(found[1]))

    def write(self, before: Versioned[BreakerRecord] | None, after: BreakerRecord) -> Versioned[BreakerRecord]:
        """As the port says."""
        entity = breaker_table.entity_of(after)
        with self._lock:
            self.writes += 1
            standing = self._rows.get(after.name)
            if (str(standing[1]) if standing else None) != (before.etag if before else None):
                raise ConflictError(f"the breaker '{after.name}' moved since it was read")
            tag = next(self._tags)
            self._rows[after.name] = (entity, tag)
        return Versioned(after, str(tag))

    def all(self) -> list[Versioned[BreakerRecord]]:
        """As the port says."""
        return [Versioned(breaker_table.record_of(e), str(tag)) for _, (e, tag) in sorted(self._rows.items())]


class MemoryBlobs:
    """The port Blobs in a dictionary."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        """As the port says."""
        digest = hashlib.sha256(content).hexdigest()
        self._blobs[digest] = content
        return digest

    def get(self, digest: str) -> bytes:
        """As the port says."""
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise InvalidInputError([Problem("$", "a payload is named by 64 lower-case hex digits")])
        if digest not in self._blobs:
            raise NotFoundError("no such payload")
        return self._blobs[digest]


class MemoryStepQueue:
    """The port StepQueue as a heap of what is due when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = itertools.count()
        self.waiting: list[tuple[datetime, int, StepMessage]] = []

    def send(self, message: StepMessage, delay_seconds: float = 0.0) -> None:
        """As the port says."""
        if len(json.dumps(message.to_json())) > MESSAGE_BYTES:
            raise LimitError("a message is too large")
        delay = min(MOST_DELAY_SECONDS, max(0, math.ceil(delay_seconds)))
        due = self._clock.now() + timedelta(seconds=delay)
        heapq.heappush(self.waiting, (due, next(self._count), message))

    def due(self) -> list[StepMessage]:
        """Take everything that may be delivered now."""
        found: list[StepMessage] = []
        while self.waiting and self.waiting[0][0] <= self._clock.now():
            found.append(heapq.heappop(self.waiting)[2])
        return found

    def next_due(self) -> datetime | None:
        """When the next message may be delivered."""
        return self.waiting[0][0] if self.waiting else None


@dataclass(frozen=True)
class Told:
    """Something that telemetry was told, and the span it was told in."""

    kind: str
    name: str
    properties: dict[str, Any]
    context: TraceContext | None
    value: float = 0.0
    success: bool = True
    status: int | None = None


class MemoryTelemetry:
    """The port Telemetry as a list. Of events it takes only those, with only the properties, that are documented."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    def event(self, name: str, properties: Properties | None = None) -> None:
        """As the port says."""
        given = {k: v for k, v in (properties or {}).items() if v is not None}
        assert given.keys() <= set(PROPERTIES[name]), f"{name}: {sorted(given.keys() - set(PROPERTIES[name]))}"
        self.told.append(Told("event", name, given, tracing.current()))

    def metric(self, name: str, value: float, properties: Properties | None = None) -> None:
        """As the port says."""
        self.told.append(Told("metric", name, dict(properties or {}), tracing.current(), value))

    def exception(self, error: BaseException, properties: Properties | None = None) -> None:
        """As the port says."""
        self.told.append(Told("exception", type(error).__name__, dict(properties or {}), tracing.current()))

    def dependency(
        self,
        name: str,
        *,
        target: str,
        seconds: float,
        success: bool,
        status: int | None = None,
        properties: Properties | None = None,
        context: TraceContext | None = None,
    ) -> None:
        """As the port says."""
        span = context or tracing.next_span()
        self.told.append(Told("dependency", name, dict(properties or {}), span, seconds, success, status))

    def trace(self, message: str, properties: Properties | None = None) -> None:
        """As the port says."""
        self.told.append(Told("trace", message, dict(properties or {}), tracing.current()))

    def flush(self, seconds: float) -> None:
        """As the port says: nothing waits here."""

    def events(self, *names: str) -> list[Told]:
        """The events of these names, or all."""
        return [t for t in self.told if t.kind == "event" and (not names or t.name in names)]


class MemorySignals:
    """The port Signals in two attributes."""

    def __init__(self) -> None:
        self._sweep: LastSweep | None = None
        self._poisonings: Poisonings | None = None
        self._lock = threading.Lock()

    def swept(self, sweep: LastSweep) -> None:
        """As the port says."""
        self._sweep = sweep

    def last_sweep(self) -> LastSweep | None:
        """As the port says."""
        return self._sweep

    def poisoned(self, queue: str, at: datetime) -> None:
        """As the port says."""
        with self._lock:
            count = self._poisonings.count if self._poisonings is not None else 0
            self._poisonings = Poisonings(count + 1, at, queue)

    def poisonings(self) -> Poisonings | None:
        """As the port says."""
        return self._poisonings
