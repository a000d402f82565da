"""The forward action of a step. One call of `advance` is one delivery; it goes as far as it can go now.

    pending ─ look ─┬─ absent ─────────── intent (create) ─ POST ─┬─ 201 ───────────────────┐
                    ├─ there, differs ─── intent (update) ─ calls ┤                         ├─ verify ─ succeeded
                    │                                             └─ 202 ─ submitted ─ poll ┘
                    ├─ there, as it is ── verify ─ succeeded (adopted: never compensated)
                    └─ there, unwanted ── failed

A lakehouse in a workspace that the deployment has created in the last minute counts as absent without a look (ADR 40).
A delivery that finds the row in `intent` cannot know whether the call was made, so it looks before it acts.
"""

from dataclasses import replace
from datetime import timedelta
from itertools import islice

from shared.domain.errors import (
    FabricAmbiguousError,
    FabricConflictError,
    FabricError,
    FabricJobError,
    FabricNotFoundError,
    FabricRefusedError,
    FabricTransientError,
    InvalidInputError,
)
from shared.domain.json import JsonObject
from shared.domain.records import Intent, Operation, Resource, StepChanges
from shared.domain.remedies import recorded
from shared.domain.retry import GiveUp, decide_retry, perhaps_late
from shared.domain.states import IntentAction, OperationPurpose, StepState
from shared.saga.step import (
    approvals,
    before_image,
    companions,
    exported,
    gathering,
    giving_up,
    lacking,
    operations,
    read_back,
    results,
    runs,
    specs,
    verification,
)
from shared.saga.step.delivery import Delivery
from shared.saga.step.outcome import Attempt, Reschedule, Settle
from shared.steps.gathering_kind import GatheringKind
from shared.steps.items import DescribedItem
from shared.steps.kind import IfExists, Snapshot, VerificationError, policy_for
from shared.steps.marker import marker_of
from shared.steps.run_kind import RunKind
from shared.steps.workspace import WorkspaceKind

_CONFLICT_TRIES = 3
"""Looks after a conflict whose cause cannot be seen: a create of another's may be under way, its item not yet shown."""

_UNKNOWN = "the operation is unknown to Fabric"
_FORGOTTEN: StepChanges = {"state": StepState.INTENT, "operation": None, "ambiguous": True}
"""Fabric has forgotten an operation: what became of it is found by looking, and the call of an update is repeated."""


def advance(d: Delivery) -> Attempt:
    """Move the step as far as it can go now. Raises ConflictError if another delivery has moved it, and whatever
    storage raises; both leave the row to the next delivery."""
    if read_back.is_awaited(d) and d.step.intent is not None:
        return read_back.go_on(d, verification.DONE[d.step.intent.action])
    is_elsewhere = d.step.kind in d.services.elsewhere
    if d.step.deadline_at is not None and d.now >= d.step.deadline_at and not is_elsewhere:
        return _ended_run(d) or runs.stopped(d, giving_up.out_of_time(d, d.step.deadline_at))
    if d.is_resumed and not isinstance(d.kind_or_none, RunKind):
        _restart_timeout(d)
    try:
        if is_elsewhere:
            return approvals.wait(d, specs.resolved(d))
        if d.step.state is StepState.PENDING:
            return _begin(d)
        if d.step.state is StepState.SUBMITTED:
            return _poll(d)
        return _resume(d)
    except (FabricError, InvalidInputError, VerificationError) as error:
        return _retry_or_fail(d, lacking.explained(d, error))


def _restart_timeout(d: Delivery) -> None:
    """Stage the timeout of a resumed step: it starts again."""
    if d.is_resumed:
        d.stage({"deadline_at": d.now + timedelta(seconds=d.step.timeout_seconds)})


def _ended_run(d: Delivery) -> Attempt | None:
    """Return how a step ends whose run has ended, although nobody has looked before its timeout was over: Fabric may
    ask to wait longer for the first look. None if the run goes on, or if that cannot be told."""
    if not runs.is_awaited(d.step):
        return None
    try:
        found = verification.verify(d, specs.read(d), _known(d.step.resource), specs.intent_of(d))
    except FabricJobError as error:
        return _retry_or_fail(d, error)
    except (FabricError, InvalidInputError, VerificationError):
        return None
    return found if isinstance(found, Settle) and found.state is StepState.SUCCEEDED else None


def _begin(d: Delivery) -> Attempt:
    if (reading := before_image.reading(d)) is not None:
        return reading
    spec = d.kind.prepare(d.fabric, specs.resolved(d), d.recall)
    is_absent = (
        isinstance(d.kind, DescribedItem) and d.kind.refuses_taken_names and d.is_absent_from(spec["workspaceId"])
    )
    found = None if is_absent else d.kind.find(d.fabric, spec)
    if found is not None:
        return _present(d, spec, found)
    if isinstance(d.kind, GatheringKind):
        raise VerificationError(d.kind.absent(spec))
    marker = marker_of(d.step.deployment_id, d.step.step_id)
    specs.opened(d, spec)  # before the claim: there may be no room for it
    intent = Intent(IntentAction.CREATE, marker, beside=runs.before(d, spec))
    changes: StepChanges = {"state": StepState.INTENT, "intent": intent, "operation": None, "error": None}
    d.claim(
        {**changes, **giving_up.started(d), **specs.final(d, spec)},
        "its workspace is new: create it" if is_absent else "absent: create it",
    )
    return _act(d, spec, intent)


def _present(d: Delivery, spec: JsonObject, found: Snapshot) -> Attempt:
    """Adopt, update or refuse a resource of that name that this step did not create."""
    policy = policy_for(d.kind, spec, found, lambda: companions.origin(d, found.resource))
    marker = marker_of(d.step.deployment_id, d.step.step_id)
    if policy is IfExists.UPDATE and d.kind.changes(spec, found):
        d.kind.allow(d.fabric, spec, found)
        attempt = _updated(d, spec, found, marker)
        if not isinstance(attempt, dict):
            return attempt
        spec = attempt
    d.stage({**giving_up.started(d), **specs.final(d, spec)})
    return verification.verify(d, spec, found.resource, Intent(IntentAction.ADOPT, marker, None, found.resource.id))


def _updated(d: Delivery, spec: JsonObject, found: Snapshot, marker: str) -> Attempt | JsonObject:
    """Update what was found, once its before-image is kept. Return the spec if it proves to be as asked."""
    shown = exported.look(d, spec, found)
    if isinstance(shown, Reschedule):
        return shown
    opened = specs.opened(d, spec)
    if shown is not None and not d.kind.changes(opened, shown):
        return read_back.noted(d, spec, opened, shown)
    if isinstance(d.kind, GatheringKind):
        before = gathering.before_image(d, d.kind, opened)
        opened, spec = gathering.without_pieces(opened), gathering.without_pieces(spec)
    else:
        before = before_image.read(d, opened, found)
    if isinstance(before, Reschedule):
        return before
    image = Snapshot(found.resource, before)
    if not d.kind.changes(opened, image):
        return read_back.noted(d, spec, opened, image)
    intent = Intent(IntentAction.UPDATE, marker, d.services.payloads.store(before), found.resource.id)
    changes: StepChanges = {
        "state": StepState.INTENT,
        "intent": intent,
        "resource": found.resource,
        "operation": None,
        "calls_done": 0,
        "error": None,
        **giving_up.started(d),
        **specs.final(d, spec),
    }
    d.claim(changes, read_back.reason_of_update(d, opened, image))
    return _act(d, spec, replace(intent, before=before))


def _resume(d: Delivery) -> Attempt:
    """Continue from a row that names the intended call, which may have been sent. Look, then act."""
    step = d.step
    spec, intent = specs.read(d), specs.intent_of(d)
    if isinstance(d.kind, RunKind):
        return _resume_run(d, d.kind, spec, intent)
    if step.resource is not None and intent.action is not IntentAction.UPDATE:
        return verification.verify(d, spec, step.resource, intent)
    if step.operation is not None and step.operation.purpose is OperationPurpose.APPLY:
        waiting = _wait_until_over(d, step.operation)
        if waiting is not None:
            return waiting
        d.stage({"operation": None})
    if gathering.is_done(d, spec, intent):
        return verification.verify(d, spec, _known(step.resource), intent)
    uncertain = d.is_uncertain
    if intent.action is IntentAction.CREATE:
        fresh = replace(intent, beside=runs.before(d, spec))  # before `find`: no companion shows before its item
        found = d.kind.find(d.fabric, spec)
        if found is not None and d.kind.recognises(spec, intent, found, uncertain):
            return verification.verify(d, spec, found.resource, intent)
        if found is not None:
            return _present(d, spec, found)
        d.stage({"intent": fresh, "operation": None})
        intent = fresh
    specs.opened(d, spec)
    d.claim({"state": StepState.INTENT, "ambiguous": uncertain})
    return _act(d, spec, intent)


def _resume_run(d: Delivery, kind: RunKind, spec: JsonObject, intent: Intent) -> Attempt:
    """Continue with the run that an earlier delivery may have started, or start it.

    A resumed step runs again if its run failed, or if it is not known whether it ran: a person asked for it.
    """
    resource, is_lost = d.step.resource, d.is_uncertain and d.step.resource is None
    if resource is not None and not (d.is_resumed and kind.has_failed(d.fabric, spec, resource)):
        _restart_timeout(d)
        return verification.verify(d, spec, resource, intent)
    if is_lost:
        found = runs.search(d, kind, spec, intent)
        if isinstance(found, Snapshot):
            _restart_timeout(d)
            return verification.verify(d, spec, found.resource, intent)
        if found is not None:
            return found
    fresh = replace(intent, beside=runs.before(d, spec))
    _restart_timeout(d)
    is_repeated = is_lost and not d.is_resumed
    claimed: StepChanges = {"state": StepState.INTENT, "intent": fresh, "resource": None, "operation": None}
    d.claim({**claimed, "ambiguous": is_repeated}, "run again" if is_lost or resource is not None else "")
    return _act(d, spec, fresh)


def _wait_until_over(d: Delivery, operation: Operation) -> Reschedule | None:
    """Return None if the operation that an earlier attempt started is over, however it ended: the look that follows
    shows its effect."""
    try:
        status = operations.look(d, operation)
    except FabricNotFoundError:
        return None
    return status if isinstance(status, Reschedule) else None


def _act(d: Delivery, spec: JsonObject, intent: Intent) -> Attempt:
    """Send the calls, one at a time; the claim is held."""
    resource = d.step.resource
    calls = d.kind.calls(d.fabric, specs.opened(d, spec), intent)
    for number, call in enumerate(islice(calls, d.step.calls_done, None), start=d.step.calls_done):
        try:
            reply = d.change(call)
        except FabricConflictError as error:
            if intent.action is not IntentAction.CREATE:
                raise
            return _conflicted(d, spec, intent, error)
        except FabricNotFoundError:
            if not call.may_be_done:
                raise
            continue  # `verify` looks if it is gone
        if reply.operation is not None and isinstance(d.kind, RunKind):
            return runs.accepted(d.kind, spec, reply.operation, call.operation_kind)
        if reply.operation is not None and call.is_followed:
            started = operations.started(d, reply.operation, OperationPurpose.APPLY, call.operation_kind)
            submitted: StepChanges = {"state": StepState.SUBMITTED, "operation": started, "calls_done": number}
            return Reschedule(operations.first_delay(d, started.kind), changes=submitted)
        results.check(d, spec, reply.body)
        if intent.action is IntentAction.CREATE:
            resource = d.kind.created(spec, _body(reply.body, call.path, d.kind.names_itself_by))
            if isinstance(d.kind, WorkspaceKind):
                d.note_made(resource.id)
    return verification.verify(d, spec, _known(resource), intent)


def _conflicted(d: Delivery, spec: JsonObject, intent: Intent, error: FabricConflictError) -> Attempt:
    """Handle a name that was taken after the look: by an earlier attempt of this step, or by another actor."""
    found = d.kind.find(d.fabric, spec)
    if found is None:
        if d.step.ambiguous or d.step.attempt + 1 < _CONFLICT_TRIES:
            raise FabricTransientError(error.detail, call=error.call, status=error.status, error_code=error.error_code)
        raise error
    if d.kind.recognises(spec, intent, found, d.step.ambiguous):
        return verification.verify(d, spec, found.resource, intent)
    return _present(d, spec, found)


def _poll(d: Delivery) -> Attempt:
    spec, intent, operation = specs.read(d), specs.intent_of(d), d.step.operation
    if d.step.resource is not None and intent.action is not IntentAction.UPDATE:
        return verification.verify(d, spec, d.step.resource, intent)
    if operation is None:
        return _resume(d)
    if operation.ended_at is not None:
        return _by_marker(d, spec, intent, operation)
    if d.kind.is_found_by_marker and intent.action is IntentAction.CREATE:
        postponed = operations.postponed(d, spec, operation)
        if postponed is not None:
            return postponed
    try:
        status = operations.look(d, operation)
    except FabricNotFoundError:
        return Reschedule(1.0, _UNKNOWN, _FORGOTTEN)
    if isinstance(status, Reschedule):
        if d.header.is_abort_requested:
            return giving_up.abandon_wait(d, f"Fabric's operation {operation.id} still runs")
        return status
    operations.check(status, operation)
    if intent.action is IntentAction.UPDATE:
        if results.is_forgotten(d, spec, operation, status):
            return Reschedule(1.0, _UNKNOWN, _FORGOTTEN)
        specs.opened(d, spec)
        d.claim({"state": StepState.INTENT, "operation": None, "calls_done": d.step.calls_done + 1})
        return _act(d, spec, intent)
    if d.kind.is_found_by_marker:
        found = verification.found_by_marker(d, spec, intent, operation)
        if found is not None:
            return found
    try:
        answer = d.fabric.result(operation.id, operation.location) if status.has_result else None
    except FabricNotFoundError:
        answer = None  # forgotten meanwhile: what it made is found by looking
    results.check(d, spec, answer)
    if answer is not None and "id" in answer:
        return verification.verify(d, spec, d.kind.created(spec, answer), intent)
    return _by_marker(d, spec, intent, operation)


def _by_marker(d: Delivery, spec: JsonObject, intent: Intent, operation: Operation) -> Attempt:
    """Verify what an operation created, as a list shows it with its marker. Raises FabricTransientError."""
    found = verification.found_by_marker(d, spec, intent, operation)
    if found is None:
        raise verification.not_shown(d, operation)
    return found


def _retry_or_fail(d: Delivery, error: FabricError | InvalidInputError | VerificationError) -> Attempt:
    if isinstance(error, FabricError):
        runs.note_lost(d, error)
    policy = d.services.policy.forward
    decision = decide_retry(perhaps_late(error), d.step.attempt, d.step.deliveries, policy, d.services.jitter())
    uncertain = d.step.ambiguous or d.is_uncertain
    uncertain |= isinstance(error, FabricAmbiguousError) and d.step.state is StepState.INTENT
    if isinstance(decision, GiveUp):
        failed: StepChanges = {"error": recorded(error), "ambiguous": uncertain, **giving_up.started(d)}
        return runs.stopped(d, Settle(StepState.FAILED, str(error), failed), waits=False)
    # A failed operation may have left its item behind, so the next delivery looks before it acts.
    submitted = isinstance(error, FabricError) and error.is_outcome and d.step.state is StepState.SUBMITTED
    looked_for: StepChanges = {"state": StepState.INTENT, "operation": None} if submitted else {}
    changes: StepChanges = {
        "attempt": d.step.attempt + (1 if decision.counts else 0),
        "ambiguous": uncertain or submitted,
        "error": recorded(error),
        **looked_for,
        **giving_up.started(d),
    }
    return Reschedule(decision.seconds, changes=changes)


def _body(body: JsonObject | None, path: str, name: str) -> JsonObject:
    if not name:
        return body or {}
    if body is None or name not in body:
        raise FabricAmbiguousError(f"the answer to the create names no {name}", call=f"POST {path}")
    return body


def _known(resource: Resource | None) -> Resource:
    if resource is None:
        raise FabricRefusedError("the step has no resource", call="engine")
    return resource
