"""What the engine needs of the outside, as Protocols that adapters (and the tests' in-memory twins) satisfy."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.domain.breaker import BreakerRecord
from shared.domain.json import JsonObject
from shared.domain.messages import StepMessage
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DeploymentState


@dataclass(frozen=True)
class Versioned[T]:
    """A record as read, with the tag that a conditional write of its successor must match."""

    record: T
    etag: str


@dataclass(frozen=True)
class Change[T]:
    """One conditional write: from what was read to what shall stand, who moved it and why.

    `correlation_id` finds the same work in telemetry; without one, the deployment's id does.
    """

    before: Versioned[T]
    after: T
    actor: str
    reason: str
    correlation_id: str | None = None


@dataclass(frozen=True)
class NoteHead:
    """How many notes a deployment's audit has, and the hash of the last one."""

    number: int
    hash: str


@dataclass(frozen=True)
class Misfit:
    """A row that does not stand as it is written: what is wrong with it, and whether its record can be read at all."""

    row: str
    message: str
    is_legible: bool


class JournalReads(Protocol):
    """What can be read of the journal from outside. All methods raise StorageUnavailableError where the service cannot
    be reached."""

    def header(self, deployment_id: str) -> Versioned[DeploymentRecord]:
        """Raises NotFoundError; of a deployment past its retention ForgottenError, with what stays of it."""
        ...

    def steps(self, deployment_id: str) -> list[Versioned[StepRecord]]:
        """All steps, by ordinal."""
        ...

    def audit(self, deployment_id: str) -> list[AuditEntry]:
        """All entries, oldest first."""
        ...

    def page(
        self,
        limit: int,
        *,
        target: str | None = None,
        states: Collection[DeploymentState] = (),
        open_only: bool = False,
    ) -> list[DeploymentRecord]:
        """At most `limit` headers, newest first; of one target, in some states, or only those that have not ended."""
        ...


class Journal(JournalReads, Protocol):
    """Deployments, their steps and their audit: the truth. Every write is conditional and carries its audit.

    All methods raise StorageUnavailableError where the service cannot be reached.
    """

    def create(self, header: DeploymentRecord, steps: Sequence[StepRecord], reason: str) -> DeploymentRecord:
        """Write a new deployment, or finish writing one that a crash cut short, and return the header that stands; of a
        deployment that `purge` forgot, what stays of it.

        The header is what claims the id: one that stands already is returned as it is, so a caller tells a
        repetition from a conflict by its manifest_hash. Steps are only ever added, never overwritten, and not to what
        has ended.
        """
        ...

    def step(self, deployment_id: str, ordinal: int) -> tuple[Versioned[DeploymentRecord], Versioned[StepRecord]]:
        """The header and one step in one read. Raises NotFoundError."""
        ...

    def write_step(self, change: Change[StepRecord]) -> Versioned[StepRecord]:
        """Raises ConflictError when the row moved since it was read, IllegalTransitionError for an illegal move."""
        ...

    def write_steps(self, changes: Sequence[Change[StepRecord]]) -> None:
        """Many rows of one deployment; each batch is all or nothing. Raises as `write_step`."""
        ...

    def append(self, change: Change[DeploymentRecord], step: StepRecord) -> Versioned[DeploymentRecord]:
        """Add a row to a deployment whose steps become known one by one, together with the header's change, whose
        reason is the row's. Raises ConflictError where the header moved or the row is there, and as `write_step`."""
        ...

    def write_header(self, change: Change[DeploymentRecord]) -> Versioned[DeploymentRecord]:
        """Raises as `write_step`."""
        ...

    def note(self, deployment_id: str, entry: AuditEntry) -> None:
        """Append to the audit something that moved nothing (a refused submission, a poison message)."""
        ...

    def sequences(self, deployment_id: str) -> dict[str, int]:
        """Return the sequence number of each row, by the row's name (`header`, `step_NNNNN`), and as `notes` how many
        notes there are; a small part of what reading the rows costs. Raises NotFoundError."""
        ...

    def note_head(self, deployment_id: str) -> NoteHead | None:
        """The last note's place in the chain of the notes; None where there is none."""
        ...

    def misfits(self, deployment_id: str) -> list[Misfit]:
        """Rows of a deployment that no write of this program leaves so; what their records say of each other is
        verify.py's to judge."""
        ...

    def deployments(
        self, target: str | None = None, *, open_only: bool = False, turn: int = 0
    ) -> Iterator[DeploymentRecord]:
        """Headers, newest first; of one target, or only those that have not ended. A projection of `header`. `turn`
        begins so many places on and goes round: who stops half-way meets others the next time."""
        ...

    def page(
        self,
        limit: int,
        *,
        after: tuple[datetime, str] | None = None,
        target: str | None = None,
        states: Collection[DeploymentState] = (),
        open_only: bool = False,
    ) -> list[DeploymentRecord]:
        """At most `limit` headers, newest first and of one instant by id; those after the position (accepted_at, id).

        What is accepted meanwhile comes before any position, so whoever goes on from the last header of a page meets
        each deployment once. A projection, but for what is open. Costs as much as the page, not as what there is.
        """
        ...

    def due(self, now: datetime, turn: int = 0) -> Iterator[DeploymentRecord]:
        """Headers of deployments that have ended and whose `due_at` is over; `turn` as above."""
        ...

    def purge(self, deployment_id: str) -> None:
        """Forget an ended deployment: its steps go, its audit stays, and so does as much of its header as keeps the id
        taken (`audit.forgotten`). Safe to repeat. Raises ConflictError if a person takes it up again meanwhile."""
        ...


class Blobs(Protocol):
    """Content-addressed payloads too large for a row or a message."""

    def put(self, content: bytes) -> str:
        """Store and return the SHA-256 (hex) that names it; storing the same twice is harmless."""
        ...

    def get(self, digest: str) -> bytes:
        """Raises NotFoundError; raises InvalidInputError where the content does not have that hash."""
        ...


class StepQueue(Protocol):
    """The queue `deployment-steps`."""

    def send(self, message: StepMessage, delay_seconds: float = 0.0) -> None:
        """Deliver the message, at least once, not before `delay_seconds` (0 to 7 days; whole seconds, rounded up)."""
        ...


@dataclass(frozen=True)
class Lock:
    """A lease on a target: who holds it until when, and the fencing number that grows with every holder."""

    holder: str
    expires_at: datetime
    fence: int


class Locks(Protocol):
    """One deployment at a time for each target."""

    def acquire(self, target: str, holder: str, now: datetime, lease_seconds: float) -> Lock:
        """Take, keep or renew the lease; the Lock returned is the one that stands, perhaps another's."""
        ...

    def release(self, target: str, holder: str) -> None:
        """Give the lease back; does nothing where another holds it by now."""
        ...


@dataclass(frozen=True)
class LastSweep:
    """A sweep, as it is left for monitors: when it ended, how long it took, how many it found of what, and the
    ids of the first few of each."""

    at: datetime
    seconds: float
    counts: dict[str, int]
    names: dict[str, list[str]] = field(default_factory=lambda: dict[str, list[str]]())


@dataclass(frozen=True)
class Poisonings:
    """How many messages ended on a poison queue since the app was installed, and when the last one did."""

    count: int
    last_at: datetime
    queue: str


class Signals(Protocol):
    """What monitors must know and no single worker does. All methods raise StorageUnavailableError."""

    def swept(self, sweep: LastSweep) -> None:
        """Keep it in place of the one before."""
        ...

    def last_sweep(self) -> LastSweep | None:
        """None where there was none yet."""
        ...

    def poisoned(self, queue: str, at: datetime) -> None:
        """Count one more. Raises ConflictError where too many others count at once."""
        ...

    def poisonings(self) -> Poisonings | None:
        """None where there was none yet."""
        ...


@dataclass(frozen=True)
class QueueDepth:
    """About how many messages a queue holds, waiting ones included, and when the oldest visible one was put there."""

    name: str
    messages: int
    oldest_at: datetime | None


class BreakerStore(Protocol):
    """Where the records of the circuit breakers are, one row each. Raises StorageUnavailableError."""

    @property
    def is_shared(self) -> bool:
        """Whether all workers see the same records, as far as is known."""
        ...

    def read(self, name: str) -> Versioned[BreakerRecord] | None:
        """The record as it stands; None where there is none yet."""
        ...

    def write(self, before: Versioned[BreakerRecord] | None, after: BreakerRecord) -> Versioned[BreakerRecord]:
        """The whole record in one conditional write: on what was read, or, where `before` is None, on there being
        none. Raises ConflictError where somebody else was first."""
        ...

    def all(self) -> list[Versioned[BreakerRecord]]:
        """Every record, by name."""
        ...


class Clock(Protocol):
    """The time, so that tests own it."""

    def now(self) -> datetime:
        """Aware, UTC."""
        ...


@dataclass(frozen=True)
class OperationStarted:
    """Fabric answered 202: the work goes on under this id."""

    id: str
    location: str | None
    retry_after_seconds: float | None


@dataclass(frozen=True)
class FabricReply:
    """A success of the Fabric REST API. `body` is None where there is none (or a bare `null`)."""

    status: int
    body: JsonObject | None
    operation: OperationStarted | None = None


@dataclass(frozen=True)
class OperationStatus:
    """How an operation stands: `running`, `succeeded` or `failed`; `has_result` says whether to ask for one. `message`
    says why it failed, or what is odd about one that runs."""

    state: str
    has_result: bool
    error_code: str | None = None
    message: str | None = None
    is_retriable: bool | None = None
    request_id: str | None = None


class Fabric(Protocol):
    """The Fabric REST API. Paths start with `/workspaces/...`; every method raises FabricError's children."""

    def identity(self) -> str:
        """Return the object id that the calls are made as, in lower case; empty if that is not known."""
        ...

    def get(self, path: str, query: dict[str, str] | None = None) -> JsonObject:
        """One resource. Repeated within the delivery's budget where the fault is transient."""
        ...

    def list(self, path: str, query: dict[str, str] | None = None) -> Iterator[JsonObject]:
        """All rows of all pages."""
        ...

    def send(
        self, method: str, path: str, body: JsonObject | None = None, query: dict[str, str] | None = None
    ) -> FabricReply:
        """One mutating call, sent once. Raises FabricAmbiguousError where it may have happened."""
        ...

    def poll(self, operation_id: str, location: str | None) -> OperationStatus:
        """One look at a long-running operation."""
        ...

    def result(self, operation_id: str, location: str | None) -> JsonObject | None:
        """The result of a succeeded operation, None where it has none."""
        ...


class Orchestrations(Protocol):
    """The durable engine, as far as the saga needs it."""

    def start(self, deployment_id: str) -> None:
        """Start the orchestration of a deployment unless it is running; harmless to repeat."""
        ...

    def raise_event(self, deployment_id: str, name: str, payload: JsonObject) -> None:
        """Tell the orchestration something; does nothing where it is gone."""
        ...

    def is_running(self, deployment_id: str) -> bool:
        """Whether the engine knows it and it has not ended."""
        ...

    def forget(self, deployment_id: str) -> None:
        """Drop the history of an orchestration that has ended; one that is gone already is no error."""
        ...


class BreakerDesk(Protocol):
    """The circuit breakers, for the command line; a row each, as the HTTP API has it."""

    def items(self) -> list[JsonObject]:
        """All of them."""
        ...

    def reset(self, name: str) -> JsonObject:
        """Close one for all workers; how it stands then. Raises NotFoundError."""
        ...
