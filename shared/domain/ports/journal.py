"""Journal of deployments, steps and audit."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

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
class CorruptRow:
    """A row that does not stand as it is written: what is wrong with it, and whether its record can be read at all."""

    row: str
    message: str
    is_readable: bool


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

    def corrupt_rows(self, deployment_id: str) -> list[CorruptRow]:
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
