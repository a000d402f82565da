"""The compensating action of a step: reverse what this deployment did, and only that. One call is one delivery.

    succeeded / failed ─┬─ adopted, or nothing begun ───────────────────────────────────── compensated
                        └─ claim ─ compensating ─ operation over? ─ look ─┬─ absent ──────── compensated
                                                                          ├─ a stranger's ── compensated (left alone)
                                                                          └─ ours ─ calls ── compensated

A step that cannot be compensated after growing delays is `compensation_failed`: an alert is raised, and the sweeper
tries again.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from shared.domain.errors import FabricError, FabricNotFoundError, FabricRefusedError, SagaError
from shared.domain.json import JsonObject
from shared.domain.polling import poll_delay_seconds
from shared.domain.ports import FabricReply, OperationStarted, OperationStatus
from shared.domain.records import Intent, Operation, RecordedError, StepChanges
from shared.domain.remedies import recorded
from shared.domain.retry import TryAgain, backoff, decide_retry
from shared.domain.states import IntentAction, OperationPurpose, OperationState, StepState
from shared.saga.step import companions, gathering, operations, runs, specs
from shared.saga.step.delivery import Delivery
from shared.saga.step.outcome import Attempt, Reschedule, Settle
from shared.steps.gathering_kind import GatheringKind
from shared.steps.kind import Call, GuardError, NotYetError, Snapshot
from shared.steps.makers import Found
from shared.steps.parents import is_folder_gone, is_parent_gone
from shared.steps.run_kind import RunKind

_PARENT_GONE = (
    "nothing there to compensate: what it was in is not shown any more, so it was deleted, or the deployer has no role "
    "on it now"
)
_OWN = (OperationPurpose.COMPENSATE, OperationPurpose.RECREATE)
"""The operations that the compensation itself began."""


def advance(d: Delivery) -> Attempt:
    """Move the compensation as far as it can go now. Raises as forward.advance."""
    intent = d.step.intent
    if intent is None or intent.action is IntentAction.ADOPT:
        reason = "nothing was begun" if intent is None else "adopted: left as it is"
        return Settle(StepState.COMPENSATED, reason, {"operation": None})
    deadline = d.step.deadline_at
    started: StepChanges = {} if d.step.state is StepState.COMPENSATING else _start_compensation(d)
    if not started and deadline is not None and d.now >= deadline:
        return _give_up(_out_of_time(d))
    late_call_until = d.late_call_until
    if late_call_until is not None and d.now < late_call_until:
        # The effect of that call could come after the compensation, and would stay.
        seconds = (late_call_until - d.now).total_seconds()
        return Reschedule(seconds, "a call of an interrupted delivery may still act", started)
    d.claim(started, "compensate it" if started else "")
    try:
        return _compensate(d, intent)
    except NotYetError as error:
        waited = (d.services.clock.now() - (d.step.compensation_started_at or d.now)).total_seconds()
        return Reschedule(poll_delay_seconds(error.expected_seconds, waited), str(error))
    except GuardError as error:
        companions.doubt(d, error.doubted)
        return _retry_or_fail(d, error)
    except FabricError as error:
        return _retry_or_fail(d, error)


def _start_compensation(d: Delivery) -> StepChanges:
    """Return what the first write of a try sets. An operation of the last try is abandoned: it had all of its time."""
    step = d.step
    is_given_up = step.operation is not None and step.operation.purpose in _OWN
    return {
        "state": StepState.COMPENSATING,
        "attempt": 0,
        "calls_done": 0,
        "deadline_at": d.now + timedelta(seconds=d.services.policy.compensation_timeout_seconds),
        "compensation_started_at": step.compensation_started_at or d.now,
        "operation": None if is_given_up else step.operation,
    }


def _compensate(d: Delivery, intent: Intent) -> Attempt:
    operation = d.step.operation
    unseen: Operation | None = None
    if operation is not None and operation.purpose is not OperationPurpose.CAPTURE:
        status = _status(d, operation)
        if operation.purpose in _OWN:
            if status.state is OperationState.RUNNING:
                return operations.wait(d, operation)
            operations.check(status, operation)
            ended = 1 if operation.purpose is OperationPurpose.COMPENSATE else 0
            d.write({"operation": None, "calls_done": d.step.calls_done + ended})
        elif status.state is OperationState.RUNNING:
            if intent.action is not IntentAction.CREATE and not _is_given_up(d, operation):
                return operations.wait(d, operation)  # its change could overwrite what is restored
            unseen = operation
        elif d.step.resource is None and status.state is OperationState.SUCCEEDED:
            # The step ran out of time while Fabric went on: its item is shown now, and is ours.
            d.write({"operation": None, "ambiguous": True})
    step = d.step
    spec = specs.read(d)
    if intent.before is not None:
        intent = specs.intent_of(d)
    if elsewhere := d.services.elsewhere.get(step.kind):
        if step.resource is not None:
            elsewhere.reverse(step.resource)
        return _absent(d, unseen)
    found = _located(d, spec)
    if found is None and (step.resource is None or intent.action is IntentAction.CREATE):
        # The response to the create named another resource than it created: that one is found by name and marker.
        uncertain = d.step.ambiguous and step.resource is None
        found = _found_again(d, spec, intent, uncertain)
        if found is not None and not d.kind.recognises(spec, intent, found, uncertain):
            if step.resource is None and unseen is None:
                return Settle(StepState.COMPENSATED, "a resource of that name is not this deployment's: left alone")
            found = None
        if found is not None:
            d.write({"resource": found.resource})  # before it is deleted: its companions are recognised by it
    if found is None:
        return _absent(d, unseen)
    return _send(d, intent, found, spec)


def _located(d: Delivery, spec: JsonObject) -> Snapshot | None:
    """Return the resource that the row names, if it names one and it exists. Raises FabricError."""
    resource = d.step.resource
    if resource is None:
        return None
    return _look(d, spec, partial(d.kind.locate, d.fabric, spec, resource))


def _found_again(d: Delivery, spec: JsonObject, intent: Intent, uncertain: bool) -> Snapshot | None:
    """Return what a create made whose response was lost, or named something else. Raises FabricError."""
    look = partial(d.kind.find, d.fabric, spec)
    if isinstance(d.kind, RunKind):
        if not uncertain:
            return None
        look = partial(d.kind.lost, d.fabric, spec, intent)
    return _look(d, spec, look)


def _look(d: Delivery, spec: JsonObject, look: Callable[[], Snapshot | None]) -> Snapshot | None:
    """Return what a look finds; None, and note it, if there is nothing to look in any more. Raises FabricError."""
    try:
        return look()
    except FabricNotFoundError:
        if not is_parent_gone(d.fabric, spec, d.step.resource):
            raise
        d.is_parent_gone = True
        return None


def _status(d: Delivery, operation: Operation) -> OperationStatus:
    """Return the status of an operation. An operation that Fabric does not know any more counts as over: a look at the
    resource shows its effect."""
    try:
        return d.fabric.poll(operation.id, operation.location)
    except (FabricNotFoundError, FabricRefusedError):
        return OperationStatus(OperationState.SUCCEEDED, has_result=False)


def _is_given_up(d: Delivery, operation: Operation) -> bool:
    """Return True if an operation has run longer than `MAX_OPERATION`."""
    return d.services.clock.now() - operation.started_at >= operations.MAX_OPERATION


def _send(d: Delivery, intent: Intent, found: Snapshot, spec: JsonObject) -> Attempt:
    going: list[Found] = []
    if intent.action is IntentAction.CREATE:
        reading = companions.prove(d, found.resource)
        if reading is not None:
            return reading
        own = partial(companions.own_items, d.services, d.step.deployment_id)
        going = d.kind.guard(d.fabric, found.resource, own)
        if d.kind.must_be_empty:
            companions.delete(d, going)
    if isinstance(d.kind, GatheringKind) and intent.action is IntentAction.UPDATE:
        surveyed = gathering.surveyed(d, d.kind, spec, intent)
        if isinstance(surveyed, Reschedule):
            return surveyed
        intent = surveyed
    found = d.kind.completed(d.fabric, intent, found, d.step.calls_done)
    calls, moved = d.kind.compensate(spec, intent, found), list[Call]()
    counted = 0
    for call in calls:
        counted += 0 if call.is_looked_for else 1
        if not call.is_looked_for and counted <= d.step.calls_done:
            continue
        try:
            reply = _sent(d, gathering.filled(d, call), found.resource.parent_id or "", moved)
        except FabricNotFoundError:
            if not call.may_be_done:
                raise
            continue  # it is gone: there is nothing to restore
        except FabricError as error:
            ended = d.kind.ended(spec, found, error) if isinstance(d.kind, RunKind) else None
            if ended is None:
                raise
            return companions.settle(d, ended)
        if reply.operation is not None and call.is_followed:
            return _follow(d, call, reply.operation, counted)
        if call.decides_next:
            return Reschedule(0.0, changes={"calls_done": counted})
    if calls and (waiting := runs.check_stopped(d, spec, found, len(calls))) is not None:
        return waiting
    d.kind.check_compensated(d.fabric, spec, found.resource, calls)
    if isinstance(d.kind, RunKind):
        return companions.settle(d, d.kind.compensated(spec, found))
    if intent.action is IntentAction.UPDATE and (again := d.kind.made_again(d.fabric, spec, intent, found.resource)):
        d.stage({"outputs": {**(d.step.outputs or {}), **again}})
    restored = f"restored as it was{_without_folder(moved)}{d.kind.unrestored(spec, intent, found)}"
    done = f"deleted{companions.with_it(going)}" if intent.action is IntentAction.CREATE else restored
    return companions.settle(d, done)


def _follow(d: Delivery, call: Call, operation: OperationStarted, counted: int) -> Reschedule:
    """Return the wait for an operation that a call began; `counted` is the number of counted calls so far, with it."""
    purpose = OperationPurpose.RECREATE if call.is_looked_for else OperationPurpose.COMPENSATE
    started = operations.started(d, operation, purpose, call.operation_kind)
    changes: StepChanges = {"operation": started}
    if not call.is_looked_for:
        changes["calls_done"] = counted - 1
    return Reschedule(operations.first_delay(d, started.kind), changes=changes)


def _sent(d: Delivery, call: Call, workspace_id: str, moved: list[Call]) -> FabricReply:
    """Send a call and return the reply. If it moves an item back into a folder that has been deleted since, move it to
    the root of the workspace instead, and add the call to `moved`. Raises FabricError."""
    try:
        return d.change(call)
    except FabricError as error:
        if not call.folder_id or error.error_code != "FolderNotFound":
            raise
        if not is_folder_gone(d.fabric, workspace_id, call.folder_id):
            raise  # created a moment ago, and not known everywhere yet
    moved.append(call)
    return d.change(replace(call, body={}))


def _without_folder(moved: list[Call]) -> str:
    """Return, as the end of an audit reason, how many items could not be moved to their earlier folders."""
    if not moved:
        return ""
    return f"; the folder of {len(moved)} item(s) was deleted meanwhile: they are at the top of the workspace"


def _absent(d: Delivery, running: Operation | None) -> Attempt:
    """Handle an absent resource. Its create may still take effect: look again until that time is over.

    `running` is an operation of Fabric that still creates it. An item that appears after that time carries the marker,
    and the sweeper looks for it for `operations.MAX_OPERATION`.
    """
    started = d.step.compensation_started_at or d.now
    until = started + timedelta(seconds=d.services.policy.late_call_seconds)
    if running is not None:
        until = max(until, running.started_at + operations.MAX_UNSEEN)
    remaining = (until - d.services.clock.now()).total_seconds()
    if running is not None:
        if remaining > 0:
            return operations.wait(d, running)
        reason = (
            f"no resource is shown, and Fabric's operation {running.id} does not end: the sweeper looks for it later"
        )
        changes: StepChanges = {"operation": None, "ambiguous": True, "compensation_error": None}
        return Settle(StepState.COMPENSATED, reason, changes)
    if d.step.ambiguous and d.step.resource is None and remaining > 0:
        return Reschedule(remaining)
    return companions.settle(d, _PARENT_GONE if d.is_parent_gone else "nothing there to compensate")


def _retry_or_fail(d: Delivery, error: SagaError) -> Attempt:
    policy = d.services.policy.backward
    decision = decide_retry(error, d.step.attempt, d.step.deliveries, policy, d.services.jitter())
    if not isinstance(decision, TryAgain):
        # Even a final refusal is tried again while attempts last, because somebody may remove the obstacle.
        if isinstance(error, GuardError) or d.step.attempt + 1 >= policy.max_attempts:
            return _give_up(recorded(error))
        seconds = backoff(policy, d.step.attempt, d.services.jitter())
        decision = TryAgain(seconds, counts=True)
    has_ended = isinstance(error, FabricError) and error.is_outcome  # the operation failed: its call is sent again
    changes: StepChanges = {
        "attempt": d.step.attempt + (1 if decision.counts else 0),
        "compensation_error": recorded(error),
        "operation": None if has_ended else d.step.operation,
    }
    # A Retry-After may name an hour. Until then nothing of the target could be used, so it is asked again sooner.
    return Reschedule(min(decision.seconds, policy.max_seconds), changes=changes)


def _out_of_time(d: Delivery) -> RecordedError:
    message = "the compensation was not done in time"
    if d.step.operation is not None:
        message += f"; Fabric's operation {d.step.operation.id} ({d.step.operation.kind}) still runs"
    elif d.step.compensation_error is not None:
        message += f"; last: {d.step.compensation_error.message}"
    return RecordedError(message, "Nothing is lost: the sweeper tries again until what stands in the way is gone.")


def _give_up(error: RecordedError) -> Settle:
    return Settle(StepState.COMPENSATION_FAILED, error.message, {"compensation_error": error})
