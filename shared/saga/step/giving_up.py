"""Gives up the forward action of a step: its time is over, its deployment is aborted, or its outcome is unwritable.

The step fails. Its row keeps what it may have begun (intent, operation, resource), and a compensation looks for that.
"""

from datetime import datetime, timedelta

from shared.domain.errors import UnwritableError
from shared.domain.records import RecordedError, StepChanges
from shared.domain.remedies import recorded
from shared.domain.states import StepState
from shared.saga.step import runs
from shared.saga.step.delivery import Delivery
from shared.saga.step.outcome import Attempt, Settle


def started(d: Delivery) -> StepChanges:
    """Return the times that the first write of a row sets: the timeout runs from the first delivery."""
    if d.step.started_at is not None:
        return {}
    return {"started_at": d.now, "deadline_at": d.now + timedelta(seconds=d.step.timeout_seconds)}


def unwritable(d: Delivery, error: UnwritableError) -> Attempt:
    """Fail a step whose outcome cannot be written. The staged changes of its row are dropped; a compensation finds the
    resource by its marker."""
    d.discard_staged()
    changes: StepChanges = {"error": recorded(error), "ambiguous": True, **started(d)}
    return runs.stopped(d, Settle(StepState.FAILED, str(error), changes), waits=False)


def abandon(d: Delivery) -> Attempt:
    """Fail a step that waits for a retry or for the end of a run, because the deployment is rolled back. The effects of
    earlier attempts are looked for and compensated as after any failure."""
    last = f"; last: {d.step.error.message}" if d.step.error else ""
    what = "the end of its run" if runs.is_awaited(d.step) else "another attempt"
    message = f"abandoned while it waited for {what}{last}"
    return _abandoned(d, message)


def abandon_wait(d: Delivery, awaited: str) -> Attempt:
    """Fail a step that waits for Fabric, because the deployment is aborted. Its row keeps the operation: a compensation
    looks for what that makes, and waits for it as long as it must (backward.py)."""
    return _abandoned(d, f"abandoned while it waited: {awaited}")


def _abandoned(d: Delivery, message: str) -> Attempt:
    remedy = "No action needed: the effects of earlier attempts are compensated, or kept if rollback is off."
    error = RecordedError(message, remedy)
    changes: StepChanges = {"error": error, "ambiguous": d.is_uncertain, **started(d)}
    return runs.stopped(d, Settle(StepState.FAILED, message, changes))


def out_of_time(d: Delivery, deadline: datetime) -> Settle:
    """Fail a step whose timeout is over."""
    message = f"the step's timeout of {d.step.timeout_seconds:g} s was over at {deadline:%Y-%m-%d %H:%M:%S} UTC"
    last = f"; last: {d.step.error.message}" if d.step.error else ""
    remedy = "Raise the step's timeout, or look into why Fabric took so long."
    error = RecordedError(message + last, remedy)
    return Settle(StepState.FAILED, message, {"error": error, "ambiguous": d.is_uncertain})
