"""In-memory twins of the adapters. They pass the same contract suites, and have neither a clock nor randomness of
their own."""

import hashlib
import heapq
import itertools
import json
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import tracing
from shared.adapters.storage import breaker_table, rate_table
from shared.adapters.storage.clients import MAX_DELAY_SECONDS, MESSAGE_BYTES
from shared.domain.breaker import BreakerRecord
from shared.domain.clock_offset import ClockOffset
from shared.domain.errors import ConflictError, InvalidInputError, LimitError, NotFoundError, Problem
from shared.domain.messages import StepMessage
from shared.domain.ports import Clock, DeployedItem, DriftSignal, Lock, PoisonSignal, SweepSignal, Versioned
from shared.domain.rate import Bucket
from shared.domain.rate_window import SharedWindow
from shared.domain.telemetry import PROPERTIES, Properties
from shared.domain.trace import TraceContext

START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """A clock that moves only when a test advances it."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class MemoryLocks:
    """The port Locks in a dictionary."""

    def __init__(self) -> None:
        self._locks: dict[str, Lock] = {}

    def acquire(self, target: str, holder: str, now: datetime, lease_seconds: float) -> Lock:
        stored = self._locks.get(target)
        expires = now + timedelta(seconds=lease_seconds)
        if stored is None:
            lock = Lock(holder, expires, 1)
        elif stored.holder == holder:
            lock = replace(stored, expires_at=expires)
        elif stored.expires_at > now:
            return stored
        else:
            lock = Lock(holder, expires, stored.fence + 1)
        self._locks[target] = lock
        return lock

    def release(self, target: str, holder: str) -> None:
        stored = self._locks.get(target)
        if stored is not None and stored.holder == holder:
            self._locks[target] = replace(stored, expires_at=datetime.fromtimestamp(0, UTC))


class MemoryBreakers:
    """The port BreakerStore in a dictionary; rows pass through the real entity, so limits and JSON are the same."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[dict[str, object], int]] = {}
        self._tags = itertools.count(1)
        self._lock = threading.Lock()
        self.reads = self.writes = 0

    @property
    def is_shared(self) -> bool:
        return True

    def read(self, name: str) -> Versioned[BreakerRecord] | None:
        self.reads += 1
        found = self._rows.get(name)
        return None if found is None else Versioned(breaker_table.record_of(found[0]), str(found[1]))

    def write(self, before: Versioned[BreakerRecord] | None, after: BreakerRecord) -> Versioned[BreakerRecord]:
        entity = breaker_table.entity_of(after)
        with self._lock:
            self.writes += 1
            stored = self._rows.get(after.name)
            if (str(stored[1]) if stored else None) != (before.etag if before else None):
                raise ConflictError(f"the breaker '{after.name}' moved since it was read")
            tag = next(self._tags)
            self._rows[after.name] = (entity, tag)
        return Versioned(after, str(tag))

    def all(self) -> list[Versioned[BreakerRecord]]:
        return [Versioned(breaker_table.record_of(e), str(tag)) for _, (e, tag) in sorted(self._rows.items())]


class MemoryRates:
    """The port RateStore in a dictionary; rows pass through the real entity, so limits and JSON are the same."""

    def __init__(self) -> None:
        self._rows: dict[Bucket, tuple[dict[str, object], int]] = {}
        self._tags = itertools.count(1)
        self._lock = threading.Lock()
        self.offset: ClockOffset | None = None
        self.reads = self.writes = 0

    def read(self, bucket: Bucket) -> Versioned[SharedWindow] | None:
        self.reads += 1
        found = self._rows.get(bucket)
        return None if found is None else Versioned(rate_table.window_of(found[0]), str(found[1]))

    def write(self, before: Versioned[SharedWindow] | None, after: SharedWindow) -> Versioned[SharedWindow]:
        entity = rate_table.entity_of(after)
        with self._lock:
            self.writes += 1
            stored = self._rows.get(after.bucket)
            if (str(stored[1]) if stored else None) != (before.etag if before else None):
                raise ConflictError(f"the rate of '{after.bucket}' changed since it was read")
            tag = next(self._tags)
            self._rows[after.bucket] = (entity, tag)
        return Versioned(after, str(tag))

    def clock(self) -> ClockOffset | None:
        return self.offset


class MemoryBlobs:
    """The port Blobs in a dictionary."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        self._blobs[digest] = content
        return digest

    def missing(self, digests: Sequence[str]) -> list[str]:
        return [digest for digest in dict.fromkeys(digests) if self._checked(digest) not in self._blobs]

    def put_pieces(self, digest: str, size: int, pieces: Iterable[bytes]) -> None:
        self._blobs.setdefault(self._checked(digest), b"".join(pieces))

    def copy(self, other: "MemoryBlobs") -> None:
        """Store all that another one holds."""
        self._blobs.update(other._blobs)

    def get(self, digest: str, room: Callable[[int], None] | None = None) -> bytes:
        if self._checked(digest) not in self._blobs:
            raise NotFoundError("no such payload")
        if room is not None:
            room(len(self._blobs[digest]))
        return self._blobs[digest]

    @staticmethod
    def _checked(digest: str) -> str:
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise InvalidInputError([Problem("$", "a payload is named by 64 lower-case hex digits")])
        return digest


class MemoryStepQueue:
    """The port StepQueue as a heap, sorted by due time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = itertools.count()
        self.waiting: list[tuple[datetime, int, StepMessage]] = []

    def send(self, message: StepMessage, delay_seconds: float = 0.0) -> None:
        if len(json.dumps(message.to_json())) > MESSAGE_BYTES:
            raise LimitError("a message is too large")
        delay = min(MAX_DELAY_SECONDS, max(0, math.ceil(delay_seconds)))
        due = self._clock.now() + timedelta(seconds=delay)
        heapq.heappush(self.waiting, (due, next(self._count), message))

    def send_all(self, messages: Sequence[StepMessage]) -> None:
        for message in messages:
            self.send(message)

    def oldest_due(self) -> datetime | None:
        return self.waiting[0][0] if self.waiting and self.waiting[0][0] <= self._clock.now() else None

    def due(self) -> list[StepMessage]:
        """Take every message that may be delivered now."""
        found: list[StepMessage] = []
        while self.waiting and self.waiting[0][0] <= self._clock.now():
            found.append(heapq.heappop(self.waiting)[2])
        return found

    def next_due(self) -> datetime | None:
        """Return the time at which the next message may be delivered."""
        return self.waiting[0][0] if self.waiting else None


@dataclass(frozen=True)
class RecordedSignal:
    """One emitted signal, and the span in which it was emitted."""

    kind: str
    name: str
    properties: dict[str, Any]
    context: TraceContext | None
    value: float = 0.0
    success: bool = True
    status: int | None = None


UNDECLARED: list[str] = []
"""Events and properties that were emitted without a declaration. The app survives an error of its telemetry, so the
twin's AssertionError alone would be logged and lost; tests/conftest.py fails the test."""


class MemoryTelemetry:
    """The port Telemetry as a list. It accepts only documented events with documented properties."""

    def __init__(self) -> None:
        self.signals: list[RecordedSignal] = []

    def event(self, name: str, properties: Properties | None = None) -> None:
        given = {k: v for k, v in (properties or {}).items() if v is not None}
        undeclared = (
            sorted(given.keys() - set(PROPERTIES.get(name, ()))) if name in PROPERTIES else ["the event itself"]
        )
        if undeclared:
            UNDECLARED.append(f"shared/domain/telemetry.py does not declare, of the event {name}: {undeclared}")
            raise AssertionError(UNDECLARED[-1])
        self.signals.append(RecordedSignal("event", name, given, tracing.current()))

    def metric(self, name: str, value: float, properties: Properties | None = None) -> None:
        self.signals.append(RecordedSignal("metric", name, dict(properties or {}), tracing.current(), value))

    def exception(self, error: BaseException, properties: Properties | None = None) -> None:
        self.signals.append(
            RecordedSignal("exception", type(error).__name__, dict(properties or {}), tracing.current())
        )

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
        span = context or tracing.next_span()
        self.signals.append(RecordedSignal("dependency", name, dict(properties or {}), span, seconds, success, status))

    def trace(self, message: str, properties: Properties | None = None) -> None:
        self.signals.append(RecordedSignal("trace", message, dict(properties or {}), tracing.current()))

    def flush(self, seconds: float) -> None: ...

    def events(self, *names: str) -> list[RecordedSignal]:
        """Return the events with these names, or all events."""
        return [t for t in self.signals if t.kind == "event" and (not names or t.name in names)]


class MemorySignals:
    """The port Signals in two attributes."""

    def __init__(self) -> None:
        self._sweep: SweepSignal | None = None
        self._poisonings: PoisonSignal | None = None
        self._drift: DriftSignal | None = None
        self._lock = threading.Lock()

    def record_sweep(self, sweep: SweepSignal) -> None:
        self._sweep = sweep

    def last_sweep(self) -> SweepSignal | None:
        return self._sweep

    def record_drift(self, drift: DriftSignal) -> None:
        self._drift = drift

    def last_drift(self) -> DriftSignal | None:
        return self._drift

    def record_poison_message(self, queue: str, at: datetime) -> None:
        with self._lock:
            count = self._poisonings.count if self._poisonings is not None else 0
            self._poisonings = PoisonSignal(count + 1, at, queue)

    def poison_signal(self) -> PoisonSignal | None:
        return self._poisonings


class MemoryDeployedItems:
    """The port DeployedItems in a dictionary."""

    def __init__(self) -> None:
        self._notes: dict[tuple[str, str], DeployedItem] = {}

    def get(self, workspace_id: str, identity: str) -> DeployedItem | None:
        return self._notes.get((workspace_id.lower(), identity))

    def of_workspace(self, workspace_id: str) -> list[DeployedItem]:
        return [note for (place, _), note in self._notes.items() if place == workspace_id.lower()]

    def put(self, items: Sequence[DeployedItem]) -> None:
        for item in items:
            self._notes[(item.workspace_id.lower(), item.identity)] = item

    def remove(self, workspace_id: str, identities: Sequence[str]) -> None:
        for identity in identities:
            self._notes.pop((workspace_id.lower(), identity), None)
