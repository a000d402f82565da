"""The persisted records: frozen, versioned, and JSON throughout. A change makes a new record (`replace`).

Times are aware UTC datetimes, written as ISO 8601. Payloads that may be large (a step's spec, a before-image)
are either inline JSON or a reference `{"$blob": "<sha256>"}`; saga/payloads.py turns one into the other.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self, TypedDict, Unpack

from shared.domain.json import JsonObject
from shared.domain.ordinals import unpacked
from shared.domain.record_json import changed, dump, load
from shared.domain.states import (
    Concurrency,
    DeploymentState,
    IntentAction,
    OnFailure,
    OperationPurpose,
    Origin,
    StepState,
)


@dataclass(frozen=True)
class Resource:
    """A thing in Fabric: its type in Fabric's terms, its id, its name, and the workspace that holds it."""

    type: str
    id: str
    name: str
    parent_id: str | None = None


@dataclass(frozen=True)
class Operation:
    """A long-running operation of Fabric's, as its 202 named it.

    `purpose` says what waits for it: `capture` (reading a before-image), `apply` or `compensate`. `polls` counts the
    answers "still running"; `started_at` is when the 202 came. `ended_at` is when it was known that it had succeeded,
    if what it made was still to be looked for then.
    """

    id: str
    purpose: OperationPurpose
    kind: str
    started_at: datetime
    location: str | None = None
    polls: int = 0
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Intent:
    """The entry that a step writes before a call that changes something.

    `action` is create, update or adopt. `before` is what was there (None: nothing), as much of it as this deployment
    may change; it is what compensation restores. `marker` is put into the description of what is created, so that after
    a lost answer it can be told from a stranger's thing of the same name. Of an item that Fabric adds companions to
    (steps/companions.py), `beside` maps types to the ids of what bore a companion's name before the create, and `made`
    to those of the companions that Fabric named when the item was verified or before it is deleted. A type maps to an
    empty text there if no companion of it can be proved any more.
    """

    action: IntentAction
    marker: str
    before: JsonObject | None = None
    before_id: str | None = None
    beside: JsonObject | None = None
    made: JsonObject | None = None


@dataclass(frozen=True)
class Claim:
    """A worker's hold on a step: the owner, the end of the lease, and a fencing number that grows with every claim.
    `acts` is False while the owner has only looked."""

    owner: str
    expires_at: datetime
    fence: int
    acts: bool = True


@dataclass(frozen=True)
class RecordedError:
    """An error as a person needs it: what, where, and what to do next. Never a secret, never a whole body."""

    message: str
    remedy: str
    call: str | None = None
    status: int | None = None
    error_code: str | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class Chain:
    """The link from a row to the audit. Only the store sets it (audit.py).

    `head` is the hash of the row's last audit entry, or of the row as it was created where it has none; `row` is the
    digest of the row as it stands.
    """

    head: str
    row: str


class StepChanges(TypedDict, total=False):
    """Fields of a StepRecord that a write changes, so that every change is checked by its type."""

    deployment_id: str
    ordinal: int
    step_id: str
    kind: str
    spec: JsonObject
    needs: tuple[int, ...]
    refers_to: JsonObject
    timeout_seconds: float
    on_failure: OnFailure
    is_always: bool
    state: StepState
    attempt: int
    deliveries: int
    fence: int
    sequence: int
    ambiguous: bool
    late_call_until: datetime | None
    calls_done: int
    claim: Claim | None
    intent: Intent | None
    operation: Operation | None
    resource: Resource | None
    outputs: JsonObject | None
    error: RecordedError | None
    compensation_error: RecordedError | None
    wait_until: datetime | None
    waits: tuple[JsonObject, ...] | None
    freed_at: datetime | None
    deadline_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    compensation_started_at: datetime | None
    compensation_finished_at: datetime | None
    left_with: int
    done: str | None
    chain: Chain | None


@dataclass(frozen=True)
class StepRecord:
    """One row of the journal: everything known of one step.

    `needs` are the ordinals that must have succeeded before it, packed (ordinals.py); `needed` unpacks them.
    `refers_to` maps the ids of the steps whose outputs its spec names to their ordinals, and is stored as a payload.
    `attempt` counts tries that went wrong in the present direction. `fence` is the last fencing number given out.
    `ambiguous` says that the answer of a create was lost at least once. `late_call_until` is until when a call of a
    delivery that died or was held up may still have its effect. `calls_done` counts the finished calls of an update or
    a restore. `wait_until` is when the delivery that is on the queue already will come, and `waits` are the last such
    waits (since, until), so that waiting can be told from work; `is_always`: it runs also after a failure, and
    `freed_at` is since when it may, although its deployment has failed; `deadline_at` bounds the present direction.
    `left_with` is the `release_write` of the last release that left the step as it is. `done` is what a step that
    succeeded did, if its kind has words for it. `sequence` grows with every write of the row; only the store sets it.
    """

    deployment_id: str
    ordinal: int
    step_id: str
    kind: str
    spec: JsonObject
    needs: tuple[int, ...]
    refers_to: JsonObject
    timeout_seconds: float
    on_failure: OnFailure = OnFailure.ROLLBACK
    is_always: bool = False
    freed_at: datetime | None = None
    state: StepState = StepState.PENDING
    attempt: int = 0
    deliveries: int = 0
    fence: int = 0
    sequence: int = 0
    ambiguous: bool = False
    late_call_until: datetime | None = None
    calls_done: int = 0
    claim: Claim | None = None
    intent: Intent | None = None
    operation: Operation | None = None
    resource: Resource | None = None
    outputs: JsonObject | None = None
    error: RecordedError | None = None
    compensation_error: RecordedError | None = None
    wait_until: datetime | None = None
    waits: tuple[JsonObject, ...] | None = None
    deadline_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    compensation_started_at: datetime | None = None
    compensation_finished_at: datetime | None = None
    left_with: int = 0
    done: str | None = None
    chain: Chain | None = field(default=None, compare=False)

    @property
    def needed(self) -> tuple[int, ...]:
        """Return the ordinals of the steps that must have succeeded before this one."""
        return unpacked(self.needs)

    def replace(self, **changes: Unpack[StepChanges]) -> Self:
        return changed(self, changes)

    def to_json(self) -> JsonObject:
        """Return the row as JSON; fields that are None are left out."""
        return dump(self)

    @classmethod
    def from_json(cls, data: JsonObject, *, ignore_unknown: bool = False) -> Self:
        """Return the row that JSON stands for. Raises UnknownVersionError (record_json.load)."""
        return load(cls, data, ignore_unknown=ignore_unknown)


class DeploymentChanges(TypedDict, total=False):
    """Fields of a DeploymentRecord that a write changes, so that every change is checked by its type."""

    deployment_id: str
    name: str
    target: str
    state: DeploymentState
    manifest_hash: str
    accepted_at: datetime
    origin: Origin
    concurrency: Concurrency
    on_failure: OnFailure
    requested_by: str
    requester_id: str
    expires_after_seconds: float
    keep_for_seconds: float
    labels: JsonObject | None
    promotes: str
    step_count: int
    sequence: int
    lock_fence: int
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime | None
    due_at: datetime | None
    deletes_at: datetime | None
    deleted_since: datetime | None
    orphan_checked_at: datetime | None
    held_until: datetime | None
    retry_began_at: datetime | None
    release_write: int
    forgotten_at: datetime | None
    cancel_requested_by: str | None
    compensate_requested_by: str | None
    resume_requested_by: str | None
    retire_requested_by: str | None
    error: RecordedError | None
    problems: tuple[JsonObject, ...]
    traceparent: str | None
    chain: Chain | None


@dataclass(frozen=True)
class DeploymentRecord:
    """The header of a deployment.

    `requester_id` is the object id of the signed-in requester; empty if the requester is not proven. `origin` is where
    its steps come from: a `manifest`, or a `script` that creates them one by one. `lock_fence` is the fencing token of
    the lock on `target`. `expires_after_seconds` is how long the deployed resources live, and `keep_for_seconds` how
    long the deployment is held at most (0: without limit); `held_until` is when that time is over. `labels` are names
    and values by which people find it; None without any. `promotes` is the deployment of the stage before, whose parts
    it has. `retry_began_at` is set while a stuck deployment is tried again. `release_write` is the number of the write
    by which a person gave up what could not be compensated (`release`); 0 if nobody did. `forgotten_at` is when its
    retention was over: what stays of the header then keeps the id taken. Of an ended deployment, `due_at` is when the
    sweeper has its next task for it, and `orphan_checked_at` when it was last checked for orphans. `deletes_at` is when
    the sweeper deletes what a succeeded one has put into quarantine, and `deleted_since` when it began to: from then on
    nobody can roll the deployment back. `..._requested_by` is the requester of a verb: `cancel`; `compensate` (of a
    held or failed deployment); `resume` (only until its steps are made ready); `retire`. `traceparent` is the span of
    its submission, as W3C Trace Context writes it (domain/trace.py).
    """

    deployment_id: str
    name: str
    target: str
    state: DeploymentState
    manifest_hash: str
    accepted_at: datetime
    origin: Origin = Origin.MANIFEST
    concurrency: Concurrency = Concurrency.QUEUE
    on_failure: OnFailure = OnFailure.ROLLBACK
    requested_by: str = ""
    requester_id: str = ""
    expires_after_seconds: float = 0.0
    keep_for_seconds: float = 0.0
    labels: JsonObject | None = None
    promotes: str = ""
    step_count: int = 0
    sequence: int = 0
    lock_fence: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    heartbeat_at: datetime | None = None
    due_at: datetime | None = None
    deletes_at: datetime | None = None
    deleted_since: datetime | None = None
    orphan_checked_at: datetime | None = None
    held_until: datetime | None = None
    retry_began_at: datetime | None = None
    release_write: int = 0
    forgotten_at: datetime | None = None
    cancel_requested_by: str | None = None
    compensate_requested_by: str | None = None
    resume_requested_by: str | None = None
    retire_requested_by: str | None = None
    error: RecordedError | None = None
    problems: tuple[JsonObject, ...] = ()
    traceparent: str | None = None
    chain: Chain | None = field(default=None, compare=False)

    @property
    def may_compensate(self) -> bool:
        """Return True if its steps may be compensated now. A stuck deployment stays `stuck` during another try, so that
        nobody loses sight of it before everything is compensated."""
        return self.state is DeploymentState.COMPENSATING or self.retry_began_at is not None

    @property
    def is_abort_requested(self) -> bool:
        """Return True if a person asked to abort it: then pending retries are abandoned. After the failure of another
        step they continue, because their outcome decides whether the deployment is held."""
        return bool(self.cancel_requested_by or self.compensate_requested_by)

    @property
    def is_rolling_back(self) -> bool:
        """Return True if no further step may start: a step failed, or a person asked to abort the deployment."""
        return bool(self.error) or self.is_abort_requested

    @property
    def is_being_released(self) -> bool:
        """Return True if a person released it and it has not ended: no attempt starts, and the present ones settle."""
        return self.state is DeploymentState.STUCK and self.is_released

    @property
    def is_released(self) -> bool:
        """Return True if a person released it: what could not be compensated stays as it is."""
        return self.release_write > 0

    def to_json(self) -> JsonObject:
        """Return the header as JSON; fields that are None are left out."""
        return dump(self)

    @classmethod
    def from_json(cls, data: JsonObject, *, ignore_unknown: bool = False) -> Self:
        """Return the header that JSON stands for. Raises UnknownVersionError (record_json.load)."""
        return load(cls, data, ignore_unknown=ignore_unknown)

    def replace(self, **changes: Unpack[DeploymentChanges]) -> Self:
        """Return the header with some fields changed."""
        return changed(self, changes)


@dataclass(frozen=True)
class Link:
    """An audit entry's place in its chain; audit.py says how it is made and verify.py what it proves.

    `previous` is the head of the chain before it and `hash` the head after it. `row` is the digest of the row that
    was written together with it. `steps` is a digest over the steps: how they were created, in the entry of an
    acceptance; the heads of their chains, in an entry of a deployment that has ended. `note` counts the notes.
    """

    previous: str
    hash: str
    row: str | None = None
    steps: str | None = None
    note: int | None = None


@dataclass(frozen=True)
class AuditEntry:
    """One line of the append-only audit: what moved from where to where, when, by whom and why.

    `correlation_id` finds the same work in telemetry. Entries written before there were chains have no `link`.
    """

    at: datetime
    subject: str
    before: str
    after: str
    actor: str
    reason: str
    sequence: int
    correlation_id: str | None = field(default=None, compare=False)
    link: Link | None = field(default=None, compare=False)

    def to_json(self) -> JsonObject:
        """Return the entry as JSON."""
        return dump(self)

    @classmethod
    def from_json(cls, data: JsonObject, *, ignore_unknown: bool = False) -> Self:
        """Return the entry that JSON stands for. Raises UnknownVersionError (record_json.load)."""
        return load(cls, data, ignore_unknown=ignore_unknown)
