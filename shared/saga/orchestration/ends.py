"""How a deployment ends: which end its rows prove, when that was, and when the sweeper has to see to it again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from shared.domain.records import DeploymentChanges, DeploymentRecord, RecordedError, StepRecord
from shared.domain.states import DeploymentState, IntentAction, Origin, StepState
from shared.saga.scripts.script_journal import is_forward
from shared.saga.step.delivery import Services
from shared.steps.orphans import OrphansKind


def is_owned_by_script(record: DeploymentRecord) -> bool:
    """Return True if only its script may end it: it is going forward, or has not started."""
    return record.origin is Origin.SCRIPT and is_forward(record)


def end_fields(services: Services, record: DeploymentRecord, state: DeploymentState) -> DeploymentChanges:
    """Return the fields that an end sets: when that was, and when the sweeper has to see to it again."""
    now, policy = services.clock.now(), services.policy
    if state is DeploymentState.STUCK:
        return {"finished_at": now, "retry_began_at": None}
    seconds = policy.retention_seconds
    is_given_up = state is DeploymentState.FAILED and record.is_released
    if state in (DeploymentState.COMPENSATED, DeploymentState.CANCELLED) or is_given_up:
        seconds = policy.orphan_grace_seconds
    elif state is DeploymentState.SUCCEEDED and record.expires_after_seconds:
        seconds = record.expires_after_seconds
    due = now + timedelta(seconds=seconds)
    return {"finished_at": now, "retry_began_at": None, "due_at": due, "orphan_checked_at": None}


def with_deletion(
    services: Services,
    record: DeploymentRecord,
    rows: Sequence[StepRecord],
    fields: DeploymentChanges,
    state: DeploymentState,
) -> DeploymentChanges:
    """Return the fields of an end with the time when the sweeper deletes what the deployment has put into quarantine.

    A deployment that expires deletes nothing, because it will be rolled back.
    """
    if state is not DeploymentState.SUCCEEDED or record.expires_after_seconds:
        return {**fields, "deletes_at": None}
    steps = [row for row in rows if row.kind == OrphansKind.name and (row.outputs or {}).get("deletes")]
    if not steps:
        return fields
    kept = max(services.payloads.load(row.spec)["keepOrphansFor"] for row in steps)
    at = services.clock.now() + timedelta(seconds=kept)
    return {**fields, "deletes_at": at, "due_at": min(fields.get("due_at") or at, at)}


def changed_nothing(step: StepRecord) -> bool:
    """Return True if a step changed nothing in Fabric: it needs no call to be compensated."""
    return step.intent is None or step.intent.action is IntentAction.ADOPT


def deployment_error(step: StepRecord) -> RecordedError | None:
    """Return the error of a step as its deployment's header names it; None if it has none."""
    return step.error and replace(step.error, message=f"step {step.step_id}: {step.error.message}")


def final_state(record: DeploymentRecord, rows: Sequence[StepRecord]) -> tuple[DeploymentState, str] | None:
    """Return the final state that the rows prove, and why; None if there is none yet, or only its script may end it."""
    states = {row.state for row in rows}
    if is_owned_by_script(record):
        return None
    goes_on = record.state is DeploymentState.RUNNING and not record.is_rolling_back
    if goes_on and states == {StepState.SUCCEEDED} and len(rows) >= record.step_count:
        return DeploymentState.SUCCEEDED, f"all {len(rows)} steps are applied and verified"
    if not record.may_compensate:
        return None
    if states <= {StepState.COMPENSATED, StepState.SKIPPED}:
        if record.cancel_requested_by:
            return DeploymentState.CANCELLED, f"everything is rolled back, as {record.cancel_requested_by} asked"
        return DeploymentState.COMPENSATED, "everything is rolled back"
    if StepState.COMPENSATION_FAILED in states and StepState.COMPENSATING not in states:
        failed = [row.step_id for row in rows if row.state is StepState.COMPENSATION_FAILED]
        return DeploymentState.STUCK, f"could not be compensated: {', '.join(failed[:10])}"
    return None
