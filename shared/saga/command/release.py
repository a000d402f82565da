"""The way out of `stuck`: a person gives up what could not be compensated, and the target is free.

    stuck ─ release: no try is begun any more ─ what is under way settles ─ each row is left as it is ─> failed

The order matters, as at the start of a rollback (activities.py). The header says first that the deployment is
released, so a delivery that reads it starts nothing. Then the holders of claims finish, or are dead for so long that no
call of theirs can act any more. Then each row is written once more, so that a delivery which read the header earlier
loses its conditional write; once, however often this is run, because its end binds that write. Only then does the
header end. A row that cannot be written stays as it is: no delivery can claim it either.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from shared.domain import audit
from shared.domain.actors import ORCHESTRATOR, RELEASE
from shared.domain.errors import LimitError
from shared.domain.ports import Change, Locks, Versioned
from shared.domain.records import DeploymentChanges, DeploymentRecord, RecordedError, StepRecord
from shared.domain.row_limits import fitted
from shared.domain.states import DeploymentState, IntentAction, StepState
from shared.saga import deployed
from shared.saga.orchestration.ends import changed_nothing, end_fields, final_state
from shared.saga.orchestration.views import Ended, Wait
from shared.saga.step.delivery import Services

log = logging.getLogger(__name__)

_DONE = frozenset({StepState.COMPENSATED, StepState.SKIPPED})
_MAX_NAMED = 12
_MAX_NAME, _MAX_WHY = 80, 160
REMEDY = (
    "Delete or restore the named resources by hand, or leave them. When the obstacle is gone, `compensate` rolls this "
    "deployment back; first roll back every later deployment that uses these resources."
)


def release_fields(header: DeploymentRecord, who: str, reason: str) -> DeploymentChanges:
    """Return the fields that a header gets when a person releases it."""
    error = RecordedError(f"released by {who}: {reason}", REMEDY)
    return {"release_write": header.sequence + 1, "retry_began_at": None, "error": error}


def settle(services: Services, locks: Locks, header: Versioned[DeploymentRecord]) -> Ended | Wait:
    """End a released deployment when none of its steps is in flight, and return the answer to the orchestrator. Raises
    ConflictError if a row has moved in the meantime; the caller must then call again."""
    record, journal = header.record, services.journal
    rows = journal.steps(record.deployment_id)
    seconds = _busy_seconds(services, [row.record for row in rows])
    if seconds > 0:
        return Wait(seconds, record.deployment_id)
    left = [row for row in rows if row.record.state not in _DONE and row.record.left_with != record.release_write]
    changes = [_left(services, row, record.release_write) for row in left]
    if changes:
        _write_all(services, changes)
    steps = [row.record for row in journal.steps(record.deployment_id)]
    state, after = _end(services, record, steps)
    deployed.settle(services.deployed, record, steps, state)
    reason = after.error.message if state is DeploymentState.FAILED and after.error else "everything is rolled back"
    journal.write_header(Change(header, fitted(after), ORCHESTRATOR, reason))
    locks.release(record.target, record.deployment_id)
    return Ended(state)


def _busy_seconds(services: Services, steps: Sequence[StepRecord]) -> float:
    """Return for how long to wait before looking again; 0 if no delivery, dead or alive, can act any more."""
    ends: list[datetime] = [step.late_call_until for step in steps if step.late_call_until is not None]
    for claim in (step.claim for step in steps if step.claim is not None):
        ends.append(services.policy.late_call_until(claim.expires_at) if claim.acts else claim.expires_at)
    left = max(((end - services.clock.now()).total_seconds() for end in ends), default=0.0)
    return min(left, services.policy.step_lease_seconds) if left > 0 else 0.0


def _left(services: Services, row: Versioned[StepRecord], release_write: int) -> Change[StepRecord]:
    """Return the change to the row's last state. A step that needs no call to be compensated is compensated."""
    step = row.record.replace(claim=None, wait_until=None, left_with=release_write)
    reason = audit.release_reason(release_write)
    if step.state in (StepState.SUCCEEDED, StepState.FAILED) and changed_nothing(step):
        now = services.clock.now()
        step = step.replace(state=StepState.COMPENSATED, compensation_finished_at=now)
        reason = "nothing of this deployment's to compensate"
    elif step.state is StepState.COMPENSATING:
        error = step.compensation_error or RecordedError("it was given up while it was compensated", REMEDY)
        step = step.replace(state=StepState.COMPENSATION_FAILED, compensation_error=error)
    return Change(row, step, RELEASE, reason)


def _write_all(services: Services, changes: Sequence[Change[StepRecord]]) -> None:
    """Write all rows, or, if one of them cannot be written, each row that can be."""
    try:
        services.journal.write_steps(changes)
        return
    except LimitError as error:
        log.error("a row of %s stays as it is: %s", changes[0].after.deployment_id, error)
    for change in changes:
        _, row = services.journal.step(change.after.deployment_id, change.after.ordinal)
        if row.record == change.after.replace(sequence=row.record.sequence):
            continue  # written by the first try
        try:
            services.journal.write_step(change)
        except LimitError as error:
            log.error("step %s of %s stays as it is: %s", change.after.step_id, change.after.deployment_id, error)


def _end(
    services: Services, record: DeploymentRecord, steps: Sequence[StepRecord]
) -> tuple[DeploymentState, DeploymentRecord]:
    """Return the header at its end. The last holder may have compensated all the rest: then nothing is given up."""
    left = [step for step in steps if step.state not in _DONE]
    end = final_state(record.replace(retry_began_at=services.clock.now()), steps) if not left else None
    state = end[0] if end is not None else DeploymentState.FAILED
    ended: DeploymentChanges = {"state": state, **end_fields(services, record, state)}
    after = record.replace(**ended)
    if end is not None:
        return state, after.replace(release_write=0)
    names = [_standing(step) for step in left[:_MAX_NAMED]]
    names += [f"and {len(left) - _MAX_NAMED} more steps"] if len(left) > _MAX_NAMED else []
    text = record.error.message if record.error else "released"
    count = f"{len(left)} step{'s are' if len(left) > 1 else ' is'} not rolled back"
    error = RecordedError(f"{text}; {count}: {'; '.join(names)}", record.error.remedy if record.error else REMEDY)
    return state, after.replace(error=error)


def _standing(step: StepRecord) -> str:
    """Describe what remains of a step, where, and why it could not be compensated."""
    resource, intent = step.resource, step.intent
    if resource is not None:
        where = f" in workspace {resource.parent_id}" if resource.parent_id else ""
        what = f"{resource.type} '{resource.name[:_MAX_NAME]}' ({resource.id}){where}"
        what += " stands" if intent is None or intent.action is IntentAction.CREATE else " is as it was changed"
    else:
        what = f"what it may have created has {intent.marker}" if intent is not None else "what it made is not known"
    why = f" ({step.compensation_error.message[:_MAX_WHY]})" if step.compensation_error else ""
    return f"step {step.step_id}: {what}{why}"
