"""The journal of one script's transaction, as the script writes it.

Every write is conditional on the header as read, so a rollback and an append cannot miss each other.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.domain.actors import SCRIPT
from shared.domain.errors import ConflictError, RolledBackError, StorageUnavailableError, TransactionError
from shared.domain.ports import Change, Versioned
from shared.domain.records import DeploymentRecord, RecordedError, StepRecord
from shared.domain.row_limits import fitted
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState, StepState
from shared.domain.trace import TraceContext
from shared.saga.scripts.rows import TrackedResource, row_of
from shared.saga.step.delivery import Services

_RACES = 20
_TRIES, _PAUSE_SECONDS = 3, 2.0


@dataclass
class ScriptJournal:
    """The journal of one deployment whose origin is a script.

    Methods raise StorageUnavailableError, and NotFoundError before the deployment was created.
    """

    services: Services
    deployment_id: str
    span: TraceContext
    sleep: Callable[[float], None] = time.sleep
    _workspaces: dict[str, int] = field(default_factory=lambda: dict[str, int]())

    @property
    def record(self) -> DeploymentRecord:
        """Return the present header."""
        return self.services.journal.header(self.deployment_id).record

    def rows(self) -> list[Versioned[StepRecord]]:
        """Return the tracked resources' rows, in order."""
        return self.services.journal.steps(self.deployment_id)

    def append(self, made: TrackedResource, *, is_there: bool) -> tuple[StepRecord, DeploymentRecord]:
        """Add a row, with a heartbeat; return the row and the header before it.

        A resource that exists already is added even during a rollback, so that it is compensated with the rest. Raises
        RolledBackError if no row can, or may, be added any more.
        """
        parent = self._workspaces.get(made.workspace_id.lower())
        reason = "created by its script" if is_there else "about to be created by its script"

        def add(header: Versioned[DeploymentRecord]) -> tuple[StepRecord, DeploymentRecord]:
            record = header.record
            if record.state in DEPLOYMENT_ENDED or (not is_there and not is_forward(record)):
                raise RolledBackError(rollback_reason(record))
            needs = () if parent is None else (parent,)
            row = row_of(self.services, self.deployment_id, record.step_count, made, needs=needs, is_there=is_there)
            after = record.replace(step_count=record.step_count + 1, heartbeat_at=self.now())
            self._surely(Change(header, after, SCRIPT, reason), row)
            return row, record

        row, record = self._write(add)
        self._remember(row)
        return row, record

    def _surely(self, change: Change[DeploymentRecord], row: StepRecord) -> None:
        """Append with retries, because a transient error of storage must not lose a resource. Repeating it is safe."""
        for tries_left in reversed(range(_TRIES)):
            try:
                self.services.journal.append(change, row)
                return
            except StorageUnavailableError:
                if not tries_left:
                    raise
                self.sleep(_PAUSE_SECONDS)

    def created(self, row: StepRecord, made: TrackedResource) -> StepRecord:
        """Record that a resource exists. Raises RolledBackError if its row was given up in the meantime."""
        _, stored = self.services.journal.step(self.deployment_id, row.ordinal)
        after = stored.record.replace(state=StepState.SUCCEEDED, resource=made.resource, finished_at=self.now())
        try:
            if stored.record.state is not StepState.INTENT:
                raise ConflictError("given up")
            self.services.journal.write_step(Change(stored, after, SCRIPT, "created by its script"))
        except ConflictError:
            raise RolledBackError(rollback_reason(self.record)) from None
        self._remember(after)
        return after

    def heartbeat(self) -> DeploymentRecord:
        """Write a heartbeat. Raises ConflictError if the header moved: that was a heartbeat too, or the end."""
        header = self.services.journal.header(self.deployment_id)
        if header.record.state in DEPLOYMENT_ENDED:
            return header.record
        after = header.record.replace(heartbeat_at=self.now())
        return self.services.journal.write_header(Change(header, after, SCRIPT, "")).record

    def end(self, state: DeploymentState, reason: str) -> None:
        """Finish the transaction, with no unresolved intent: a concurrent append moves the header, which causes another
        attempt. Raises RolledBackError if the transaction is being rolled back or has ended."""

        def close(header: Versioned[DeploymentRecord]) -> None:
            if not is_forward(header.record):
                raise RolledBackError(rollback_reason(header.record))
            self.resolve()
            now = self.now()
            due = now + timedelta(seconds=self.services.policy.retention_seconds)
            after = header.record.replace(state=state, finished_at=now, due_at=due)
            self.services.journal.write_header(Change(header, after, SCRIPT, reason))

        self._write(close)

    def start_rollback(self, requested_by: str, error: RecordedError | None) -> None:
        """Record the request to roll back. FEATURE_USE_ROLLBACK does not prevent it, because the script asks for it.
        Raises TransactionError if the transaction is committed."""

        def turn(header: Versioned[DeploymentRecord]) -> None:
            record = header.record
            if record.state is DeploymentState.SUCCEEDED:
                raise TransactionError(f"transaction {self.deployment_id} is committed: retire the deployment instead")
            if is_forward(record):
                after = fitted(record.replace(compensate_requested_by=requested_by, error=error))
                reason = f"{error.message}: rolled back" if error else "rollback by its script"
                self.services.journal.write_header(Change(header, after, SCRIPT, reason))

        self._write(turn)

    def resolve(self) -> None:
        """Look for each resource whose creation was interrupted by an exception after which the script continued.
        Raises ConflictError if a row moved in the meantime."""
        services = self.services
        for row in self.rows():
            step = row.record
            if step.state is not StepState.INTENT or step.intent is None:
                continue
            kind, spec = services.kinds[step.kind], services.payloads.load(step.spec)
            found = kind.find(services.fabric, spec)
            if found is not None and kind.recognises(spec, step.intent, found, True):
                after, reason = (
                    step.replace(state=StepState.SUCCEEDED, resource=found.resource),
                    "found: it was created",
                )
            else:
                error = RecordedError("it was never created", "No action is needed: it does not exist.")
                after, reason = step.replace(state=StepState.FAILED, error=error), error.message
            services.journal.write_step(Change(row, fitted(after.replace(finished_at=self.now())), SCRIPT, reason))

    def now(self) -> datetime:
        return self.services.clock.now()

    def _remember(self, row: StepRecord) -> None:
        if row.resource is not None:
            self._workspaces[row.resource.id] = row.ordinal

    def _write[T](self, write: Callable[[Versioned[DeploymentRecord]], T]) -> T:
        for _ in range(_RACES):
            try:
                return write(self.services.journal.header(self.deployment_id))
            except ConflictError:
                continue
        raise TransactionError(f"the header of {self.deployment_id} changes too often at present: repeat the call")


def is_forward(record: DeploymentRecord) -> bool:
    """Return True if the script may still add to the transaction and commit it."""
    return record.state in (DeploymentState.ACCEPTED, DeploymentState.RUNNING) and not record.is_rolling_back


def rollback_reason(record: DeploymentRecord) -> str:
    """Return the message for a script that calls after its transaction was rolled back."""
    requester: Any = record.cancel_requested_by or record.compensate_requested_by or "nobody"
    why = record.error.message if record.error else f"{requester} requested it"
    return f"transaction {record.deployment_id} is closed ({why}): it is {record.state.value}"
