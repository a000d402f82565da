"""The compensating action of a step: undo what this deployment did, and only that. One call is one delivery.

    succeeded / failed ─┬─ adopted, or nothing begun ───────────────────────────────────── compensated
                        └─ claim ─ compensating ─ operation over? ─ look ─┬─ absent ──────── compensated
                                                                          ├─ a stranger's ── compensated (left alone)
                                                                          └─ ours ─ calls ── compensated

What cannot be undone after growing delays is `compensation_failed`: a person is told, and the sweeper tries again.
"""

from dataclasses import replace
from datetime import timedelta
from functools import partial

from shared.domain.errors import FabricError, FabricNotFoundError, FabricTransientError, SagaError
from shared.domain.ports import OperationStatus
from shared.domain.records import Intent, Operation, RecordedError
from shared.domain.retry import TryAgain, backoff, decide, recorded
from shared.domain.states import StepState
from shared.saga import companions, operations
from shared.saga.delivery import Delivery, Settled
from shared.steps.companions import Found
from shared.steps.kind import GuardError, Snapshot


def advance(d: Delivery) -> Settled | None:
    """Move the compensation. None: it will be delivered again. Raises as forward.advance."""
    intent = d.step.intent
    if intent is None or intent.action == "adopt":
        reason = "nothing was begun" if intent is None else "adopted: left as it is"
        return d.settle(StepState.COMPENSATED, reason, operation=None)
    deadline = d.step.deadline_at
    if d.step.state is not StepState.COMPENSATING:
        deadline = d.now + timedelta(seconds=d.services.policy.compensation_timeout_seconds)
        d.claim(
            "undo it",
            state=StepState.COMPENSATING,
            attempt=0,
            moves_done=0,
            deadline_at=deadline,
            compensation_started_at=d.step.compensation_started_at or d.now,
        )
    elif deadline is not None and d.now >= deadline:
        return _give_up(d, _out_of_time(d))
    else:
        d.claim()
    try:
        return _undo(d, intent)
    except (FabricError, GuardError) as error:
        return _went_wrong(d, error)


def _undo(d: Delivery, intent: Intent) -> Settled | None:
    step = d.step
    operation = step.operation
    if operation is not None:
        status = _look(d, operation)
        if status is None:
            return None
        if operation.purpose == "compensate":
            operations.check(status, operation)
            d.write(operation=None, moves_done=step.moves_done + 1)
        elif operation.purpose == "apply" and step.resource is None and status.state == "succeeded":
            # The step ran out of time while Fabric went on: what it made now shows, and is ours.
            d.write(operation=None, ambiguous=True)
    spec = d.services.payloads.load(step.spec)
    if intent.before is not None:
        intent = replace(intent, before=d.services.payloads.load(intent.before))
    if step.resource is not None:
        found = d.kind.locate(d.services.fabric, spec, step.resource)
    else:
        found = d.kind.find(d.services.fabric, spec)
        if found is not None and not d.kind.recognises(spec, intent, found, d.step.ambiguous):
            return d.settle(StepState.COMPENSATED, "what bears the name is not this deployment's: left alone")
        if found is not None:
            d.write(resource=found.resource)  # before it is deleted: what was made beside it is known by its maker
    if found is None:
        return _absent(d)
    return _send(d, intent, found, spec)


def _send(d: Delivery, intent: Intent, found: Snapshot, spec: dict[str, object]) -> Settled | None:
    going: list[Found] = []
    if intent.action == "create":
        makers = partial(companions.makers, d.services, d.step.deployment_id)
        going = d.kind.guard(d.services.fabric, found.resource, makers)
    for call in d.kind.compensate(spec, intent, found)[d.step.moves_done :]:
        if not d.may_send():
            d.again(1.0, "held up for most of its lease: looks again")
            return None
        reply = d.services.fabric.send(call.method, call.path, call.body, call.query)
        if reply.operation is not None:
            begun = operations.started(d, reply.operation, "compensate", call.operation_kind)
            d.again(operations.first_delay(begun.kind), operation=begun)
            return None
    done = f"deleted{companions.with_it(going)}" if intent.action == "create" else "put back as it was"
    return companions.settle(d, done)


def _absent(d: Delivery) -> Settled | None:
    """Nothing there. Where the answer of a create was lost, its effect may still be on its way: look once more."""
    started = d.step.compensation_started_at or d.now
    settled_at = started + timedelta(seconds=d.services.policy.settle_seconds)
    remaining = (settled_at - d.services.clock.now()).total_seconds()
    if d.step.ambiguous and d.step.resource is None and remaining > 0:
        d.again(remaining)
        return None
    return companions.settle(d, "nothing there to undo")


def _look(d: Delivery, operation: Operation) -> OperationStatus | None:
    try:
        return operations.look(d, operation)
    except FabricNotFoundError:
        return OperationStatus("succeeded", has_result=False)


def _went_wrong(d: Delivery, error: SagaError) -> Settled | None:
    policy = d.services.policy.backward
    decision = decide(error, d.step.attempt, d.step.deliveries, policy, d.services.jitter())
    if not isinstance(decision, TryAgain):
        # Even a final refusal is tried again while attempts last: what stands in the way may be taken away.
        if isinstance(error, GuardError) or d.step.attempt + 1 >= policy.max_attempts:
            return _give_up(d, recorded(error))
        seconds = backoff(policy, d.step.attempt, d.services.jitter())
        decision = TryAgain(seconds, counts=True)
    failed = isinstance(error, FabricTransientError) and error.call.startswith("operation ")
    d.again(
        decision.seconds,
        attempt=d.step.attempt + (1 if decision.counts else 0),
        compensation_error=recorded(error),
        operation=None if failed else d.step.operation,
    )
    return None


def _out_of_time(d: Delivery) -> RecordedError:
    message = "the compensation was not done in time"
    if d.step.operation is not None:
        message += f"; Fabric's operation {d.step.operation.id} ({d.step.operation.kind}) still runs"
    elif d.step.compensation_error is not None:
        message += f"; last: {d.step.compensation_error.message}"
    return RecordedError(message, "Nothing is lost: the sweeper tries again until what stands in the way is gone.")


def _give_up(d: Delivery, error: RecordedError) -> Settled:
    return d.settle(StepState.COMPENSATION_FAILED, error.message, compensation_error=error)
