"""Journal of deployments, steps and audit."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DeploymentState


@dataclass(frozen=True)
class Versioned[T]:
    """A record as it was read, with the ETag that the next conditional write must match."""

    record: T
    etag: str


@dataclass(frozen=True)
class Change[T]:
    """One conditional write: the record as read, its successor, the actor and the reason.

    `correlation_id` identifies the same work in telemetry; the default is the deployment's id.
    """

    before: Versioned[T]
    after: T
    actor: str
    reason: str
    correlation_id: str | None = None


@dataclass(frozen=True)
class NoteHead:
    """The number of notes in a deployment's audit, and the hash of the last one."""

    number: int
    hash: str


@dataclass(frozen=True)
class CorruptRow:
    """A row that this program did not write so: what is wrong, and if its record can be read."""

    row: str
    message: str
    is_readable: bool


class JournalReads(Protocol):
    """The reads of the journal that callers outside the engine need. All methods raise StorageUnavailableError."""

    def header(self, deployment_id: str) -> Versioned[DeploymentRecord]:
        """Return the header. Raises NotFoundError; past the retention ForgottenError, with the kept header."""
        ...

    def steps(self, deployment_id: str) -> list[Versioned[StepRecord]]:
        """Return all steps, by ordinal."""
        ...

    def audit(self, deployment_id: str) -> list[AuditEntry]:
        """Return all entries of the audit, oldest first."""
        ...

    def page(
        self,
        limit: int,
        *,
        target: str | None = None,
        states: Collection[DeploymentState] = (),
        open_only: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> list[DeploymentRecord]:
        """Return at most `limit` headers, newest first: of one target, in some states, only open ones, or only
        those that have all these labels."""
        ...


class Journal(JournalReads, Protocol):
    """Deployments, their steps and their audit: the source of truth. Every write is conditional and includes its audit.

    All methods raise StorageUnavailableError if the service cannot be reached.
    """

    def create(self, header: DeploymentRecord, steps: Sequence[StepRecord], reason: str) -> DeploymentRecord:
        """Write a new deployment, or finish a write that a crash interrupted, and return the stored header.

        For a deployment that `purge` forgot, return the kept header. The header claims the id: an existing one is
        returned unchanged, so that a caller distinguishes a repetition from a conflict by its manifest_hash. Steps are
        only added, never overwritten, and never added to an ended deployment.
        """
        ...

    def step(self, deployment_id: str, ordinal: int) -> tuple[Versioned[DeploymentRecord], Versioned[StepRecord]]:
        """Return the header and one step. Raises NotFoundError, ForgottenError.

        The header is never older than the step: if the step is still as shown when it is written, then it was so when
        the header was read."""
        ...

    def write_step(self, change: Change[StepRecord]) -> Versioned[StepRecord]:
        """Write a step. Raises ConflictError if the row has changed since, or IllegalTransitionError."""
        ...

    def write_steps(self, changes: Sequence[Change[StepRecord]]) -> None:
        """Write many steps of one deployment. Each batch is atomic. Raises as `write_step`."""
        ...

    def append(self, change: Change[DeploymentRecord], step: StepRecord) -> Versioned[DeploymentRecord]:
        """Add a step to a deployment of a script, together with a change of the header, whose reason is the step's.

        Raises ConflictError if the header has changed or the row exists, and as `write_step`.
        """
        ...

    def write_header(self, change: Change[DeploymentRecord]) -> Versioned[DeploymentRecord]:
        """Write the header. Raises as `write_step`."""
        ...

    def note(self, deployment_id: str, entry: AuditEntry) -> None:
        """Append an entry without a move to the audit (a rejected submission, a poison message)."""
        ...

    def sequences(self, deployment_id: str) -> dict[str, int]:
        """Return the sequence number of each row by its name (`header`, `step_NNNNN`), and the number of `notes`.

        This costs a small part of reading the rows. Raises NotFoundError.
        """
        ...

    def note_head(self, deployment_id: str) -> NoteHead | None:
        """Return the head of the notes' chain; None without notes."""
        ...

    def corrupt_rows(self, deployment_id: str) -> list[CorruptRow]:
        """Return the rows of a deployment that this program cannot have written so.

        Comparing the records with each other is the task of verify.py.
        """
        ...

    def deployments(
        self, target: str | None = None, *, open_only: bool = False, oldest_first: bool = False, turn: int = 0
    ) -> Iterator[DeploymentRecord]:
        """Yield headers, newest first unless told otherwise: of one target, or only those that have not ended. A
        projection of `header`. Open ones are read from the journal one by one, as the caller takes them.

        The list starts at position `turn` and wraps around, so that a caller that stops early gets others next time.
        """
        ...

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
        """Return at most `limit` headers after the position (accepted_at, id), newest first, and by id at one instant.

        A deployment that is accepted later comes before any position, so a caller that continues after the last header
        of a page gets each deployment once. A projection, except for open deployments. The cost is that of the page.
        """
        ...

    def due(self, now: datetime, turn: int = 0) -> Iterator[DeploymentRecord]:
        """Yield the headers of ended deployments whose `due_at` is in the past; `turn` as in `deployments`."""
        ...

    def purge(self, deployment_id: str) -> None:
        """Forget an ended deployment: delete its steps, and keep its audit and `audit.forgotten_header`.

        Safe to repeat. Raises ConflictError if a person has reopened it.
        """
        ...
