"""The journal of one script's transaction, as the script writes it. Every write is conditional on the header as read,
so whoever turns the transaction back and whoever adds to it see each other.
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
from shared.saga.step.execution import is_rolling_back

_RACES = 20
_TRIES, _PAUSE_SECONDS = 3, 2.0


@dataclass
class ScriptJournal:
    """Of one deployment whose origin is a script. Methods raise StorageUnavailableError, and NotFoundError before it
    was created."""

    services: Services
    deployment_id: str
    span: TraceContext
    sleep: Callable[[float], None] = time.sleep
    _workspaces: dict[str, int] = field(default_factory=lambda: dict[str, int]())

    @property
    def record(self) -> DeploymentRecord:
        """The header as it stands."""
        return self.services.journal.header(self.deployment_id).record

    def rows(self) -> list[Versioned[StepRecord]]:
        """What is tracked, in order."""
        return self.services.journal.steps(self.deployment_id)

    def append(self, made: TrackedResource, *, is_there: bool) -> tuple[StepRecord, DeploymentRecord]:
        """Add a row, with a sign of life; the row, and the header that it was added to. What is there already is added
        even to what turns back, so that it is undone with the rest. Raises RolledBackError where nothing can, or may,
        be added any more."""
        parent = self._workspaces.get(made.workspace_id.lower())
        reason = "made by its script" if is_there else "about to be made by its script"

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
        """What is there must not be forgotten for a fault of storage that passes. Repeating the very same is safe."""
        for tries_left in reversed(range(_TRIES)):
            try:
                self.services.journal.append(change, row)
                return
            except StorageUnavailableError:
                if not tries_left:
                    raise
                self.sleep(_PAUSE_SECONDS)

    def created(self, row: StepRecord, made: TrackedResource) -> StepRecord:
        """What was about to be made is there. Raises RolledBackError where the row was given up meanwhile."""
        _, stored = self.services.journal.step(self.deployment_id, row.ordinal)
        after = stored.record.replace(state=StepState.SUCCEEDED, resource=made.resource, finished_at=self.now())
        try:
            if stored.record.state is not StepState.INTENT:
                raise ConflictError("given up")
            self.services.journal.write_step(Change(stored, after, SCRIPT, "made by its script"))
        except ConflictError:
            raise RolledBackError(rollback_reason(self.record)) from None
        self._remember(after)
        return after

    def heartbeat(self) -> DeploymentRecord:
        """A sign of life. Raises ConflictError where the header moved: that was a sign too, or the end."""
        header = self.services.journal.header(self.deployment_id)
        if header.record.state in DEPLOYMENT_ENDED:
            return header.record
        after = header.record.replace(heartbeat_at=self.now())
        return self.services.journal.write_header(Change(header, after, SCRIPT, "")).record

    def end(self, state: DeploymentState, reason: str) -> None:
        """The end of what went forward, with nothing in it that is still to be made: whoever takes something up
        meanwhile moves the header, and is met too. Raises RolledBackError where it does not go forward."""

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
        """Note that it is to be put back, which FEATURE_USE_ROLLBACK does not prevent: the script asks for it by name.
        Raises TransactionError where it is committed."""

        def turn(header: Versioned[DeploymentRecord]) -> None:
            record = header.record
            if record.state is DeploymentState.SUCCEEDED:
                raise TransactionError(f"transaction {self.deployment_id} is committed: retire the deployment instead")
            if is_forward(record):
                after = fitted(record.replace(compensate_requested_by=requested_by, error=error))
                reason = f"{error.message}: put back" if error else "rollback by its script"
                self.services.journal.write_header(Change(header, after, SCRIPT, reason))

        self._write(turn)

    def resolve(self) -> None:
        """What was about to be made when an exception came, and its script went on: looked for before it is kept.
        Raises ConflictError where a row moved meanwhile."""
        services = self.services
        for row in self.rows():
            step = row.record
            if step.state is not StepState.INTENT or step.intent is None:
                continue
            kind, spec = services.kinds[step.kind], services.payloads.load(step.spec)
            found = kind.find(services.fabric, spec)
            if found is not None and kind.recognises(spec, step.intent, found, True):
                after, reason = step.replace(state=StepState.SUCCEEDED, resource=found.resource), "found: it was made"
            else:
                error = RecordedError("it was never made", "Nothing: nothing of it is there.")
                after, reason = step.replace(state=StepState.FAILED, error=error), error.message
            services.journal.write_step(Change(row, fitted(after.replace(finished_at=self.now())), SCRIPT, reason))

    def now(self) -> datetime:
        """The present."""
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
        raise TransactionError(f"the header of {self.deployment_id} is written too often at once")


def is_forward(record: DeploymentRecord) -> bool:
    """Whether its script may still add to it and commit it."""
    return record.state in (DeploymentState.ACCEPTED, DeploymentState.RUNNING) and not is_rolling_back(record)


def rollback_reason(record: DeploymentRecord) -> str:
    """For who asks too late."""
    requester: Any = record.cancel_requested_by or record.compensate_requested_by or "nobody"
    why = record.error.message if record.error else f"{requester} asked for it"
    return f"transaction {record.deployment_id} takes nothing more ({why}): it is {record.state.value}"
