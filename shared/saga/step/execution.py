"""One delivery of a step message: read the row, decide whether there is anything to do, and do it once."""

import logging

from shared.domain.actors import ENGINE, POISON_QUEUE
from shared.domain.approval import APPROVAL
from shared.domain.errors import ConflictError, LimitError, NotFoundError, UnwritableError
from shared.domain.messages import Direction, StepMessage
from shared.domain.policy import HEARTBEATS_PER_LEASE
from shared.domain.ports import Change
from shared.domain.records import DeploymentRecord, RecordedError, StepChanges, StepRecord
from shared.domain.row_limits import fitted
from shared.domain.states import BACKWARD_SETTLED, FORWARD_SETTLED, DeploymentState, Origin, StepState
from shared.saga.content_budget import NoRoomError
from shared.saga.step import backward, forward, giving_up, runs
from shared.saga.step.delivery import Delivery, Services, Settled
from shared.saga.step.outcome import Ignore, Outcome, Repeat, Reschedule, Settle

log = logging.getLogger(__name__)

_GIVE_UP_TRIES = 5
_ROW_FULL_REMEDY = (
    "Look for a name, an id or an address of unusual length in what Fabric answers, and shorten it there. A step that "
    "could not be compensated is tried again at least every hour, or at once by `compensate`."
)


def execute_step(services: Services, message: StepMessage) -> Settled | None:
    """Handle one message. Return the event to raise, or None.

    Safe for any number of deliveries, late, duplicated or out of order. If the row has no room for a write, the step
    fails. Raises StorageUnavailableError: then the host delivers the message again.
    """
    try:
        header, row = services.journal.step(message.deployment_id, message.ordinal)
    except NotFoundError:
        log.warning("no step %d of deployment %s: message dropped", message.ordinal, message.deployment_id)
        return None
    delivery = Delivery(services, message, header.record, row)
    try:
        with services.heartbeat.during(delivery.heartbeat, services.policy.step_lease_seconds / HEARTBEATS_PER_LEASE):
            return _deliver(delivery)
    except ConflictError:
        # Another delivery moved the row. It holds the step now, and has looked for the effects of this delivery.
        log.info("step %s of %s was moved by another delivery", row.record.step_id, message.deployment_id)
        return None
    except LimitError as error:
        log.error("step %s of %s is given up: %s", row.record.step_id, message.deployment_id, error)
        reported = RecordedError(f"its row cannot take what was to be written: {error}", _ROW_FULL_REMEDY)
        return _give_up(services, message, reported, ENGINE)
    finally:
        delivery.content.release()


def _deliver(delivery: Delivery) -> Settled | None:
    is_forward = delivery.message.direction is Direction.FORWARD
    try:
        return delivery.persist(_forward(delivery) if is_forward else _backward(delivery))
    except UnwritableError as error:
        if not is_forward:
            raise
        return delivery.persist(giving_up.unwritable(delivery, error))
    except NoRoomError as error:
        # No attempt was made. The timeout of a step runs from its first attempt. The claim of a delivery that died is
        # released, so the row says that a call of it may have been sent.
        uncertain = delivery.step.ambiguous or delivery.is_uncertain
        return delivery.persist(Reschedule(error.seconds, changes={"ambiguous": uncertain}))


def _forward(delivery: Delivery) -> Outcome:
    step, header = delivery.step, delivery.header
    if step.state in FORWARD_SETTLED:
        return Repeat()
    if header.state is not DeploymentState.RUNNING or delivery.is_claimed_by_another():
        return Ignore()
    if header.origin is Origin.SCRIPT:
        return _fail_scripts_step(delivery)
    if header.resume_requested_by is not None:
        return Ignore()  # its steps are being made ready; what is ready then gets a message
    if step.state is StepState.PENDING and header.is_rolling_back and not runs.is_freed(delivery):
        return Settle(StepState.SKIPPED, "the rollback began before the step had started")
    if _is_early(delivery):
        return Ignore()  # when all others have ended, it gets a message
    if (_ends_at_once(step) and header.is_abort_requested) or runs.is_given_up(delivery):
        return giving_up.abandon(delivery)
    return forward.advance(delivery)


def _is_early(delivery: Delivery) -> bool:
    """Return True if a step that runs always has not begun, and the message is from before a resume: the steps that it
    needs and that had failed must be applied first. Any other step began only after what it needs had succeeded."""
    step = delivery.step
    if not step.is_always or step.state is not StepState.PENDING or runs.is_freed(delivery):
        return False
    states = {row.record.ordinal: row.record.state for row in delivery.services.journal.steps(step.deployment_id)}
    return any(states[ordinal] is not StepState.SUCCEEDED for ordinal in step.needed)


def _fail_scripts_step(delivery: Delivery) -> Outcome:
    """Fail the step that a script was applying when its deployment began to roll back: only the script applies its
    steps, and nobody may finish one for it."""
    if delivery.step.state is not StepState.INTENT or not delivery.header.is_rolling_back:
        return Ignore()
    error = RecordedError(
        "the script did not say what became of it", "Nothing: what it made is looked for by its marker and deleted."
    )
    return Settle(StepState.FAILED, error.message, {"error": error, "ambiguous": True})


def _backward(delivery: Delivery) -> Outcome:
    step = delivery.step
    if step.state in BACKWARD_SETTLED - {StepState.COMPENSATION_FAILED}:
        return Repeat()
    if not delivery.header.may_compensate or delivery.is_claimed_by_another():
        return Ignore()
    if step.state not in (
        StepState.SUCCEEDED,
        StepState.FAILED,
        StepState.COMPENSATING,
        StepState.COMPENSATION_FAILED,
    ):
        return Ignore()
    return backward.advance(delivery)


def may_be_abandoned(step: StepRecord) -> bool:
    """Return True if a delivery ends the step's wait when the deployment is aborted: for another attempt, for a run, or
    for an operation of Fabric that still runs."""
    return step.kind != APPROVAL and step.state in (StepState.INTENT, StepState.SUBMITTED)


def _ends_at_once(step: StepRecord) -> bool:
    """Return True if a step waits for another attempt, because the last one failed or its result is not known, or for a
    run, which can be stopped."""
    has_failed_attempt = step.state is StepState.SUBMITTED and step.error is not None
    is_waiting = step.state is StepState.INTENT or has_failed_attempt or runs.is_awaited(step)
    return step.kind != APPROVAL and is_waiting


def poisoned_step(services: Services, message: StepMessage, reason: str) -> Settled | None:
    """Fail the step of a message whose every delivery failed, so that the deployment can be rolled back."""
    remedy = "Look for the exception in the app's log, mend its cause, and submit again."
    return _give_up(services, message, RecordedError(reason, remedy), POISON_QUEUE)


def _give_up(services: Services, message: StepMessage, error: RecordedError, actor: str) -> Settled | None:
    """Settle the step as failed in the message's direction, whatever state its row has: its deployment is rolled back,
    or is stuck, which people see. It never keeps its target locked for ever."""
    for _ in range(_GIVE_UP_TRIES):
        try:
            header, row = services.journal.step(message.deployment_id, message.ordinal)
            for changes in _moves_to_failed(services, message.direction, header.record, row.record, error):
                released: StepChanges = {"claim": None, **changes}
                after = fitted(row.record.replace(**released))
                row = services.journal.write_step(Change(row, after, actor, error.message))
            return Settled(message.deployment_id, message.ordinal, row.record.state)
        except NotFoundError:
            log.warning("message for an unknown step %s/%d", message.deployment_id, message.ordinal)
            return None
        except ConflictError:
            continue
    return None


def _moves_to_failed(
    services: Services, direction: Direction, header: DeploymentRecord, step: StepRecord, error: RecordedError
) -> list[StepChanges]:
    """Return the moves, one after the other, that settle a step as failed; none if it has settled."""
    if direction is Direction.FORWARD:
        is_under_way = step.state in (StepState.PENDING, StepState.INTENT, StepState.SUBMITTED)
        if header.state is DeploymentState.RUNNING and is_under_way:
            late = services.policy.late_call_until(step.claim.expires_at) if step.claim else step.late_call_until
            is_unsure = step.state is not StepState.PENDING
            return [{"state": StepState.FAILED, "error": error, "ambiguous": is_unsure, "late_call_until": late}]
    elif header.may_compensate:
        given_up: StepChanges = {"state": StepState.COMPENSATION_FAILED, "compensation_error": error}
        if step.state is StepState.COMPENSATING:
            return [given_up]
        if step.state in (StepState.SUCCEEDED, StepState.FAILED):
            return [{"state": StepState.COMPENSATING, "attempt": 0, "calls_done": 0}, given_up]
    return []
