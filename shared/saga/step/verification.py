"""The end of a forward action: what the step asked for is read back, and what an operation created is found."""

from dataclasses import replace

from shared.domain.errors import FabricTransientError
from shared.domain.json import JsonObject
from shared.domain.polling import readiness_delay_seconds
from shared.domain.records import Intent, Operation, Resource, StepChanges
from shared.domain.row_limits import DONE_CHARACTERS
from shared.domain.states import IntentAction, StepState
from shared.saga.step import companions, gathering, giving_up, operations, read_back, specs
from shared.saga.step.delivery import CLOCK_SKEW, Delivery
from shared.saga.step.looks import DeliveryFabric, UnknownListError
from shared.saga.step.outcome import Attempt, Reschedule, Settle
from shared.steps.kind import NotYetError, VerificationError
from shared.steps.run_kind import RunKind

DONE = {
    IntentAction.CREATE: "created",
    IntentAction.UPDATE: "updated",
    IntentAction.ADOPT: "adopted: it was there already",
}


def verify(
    d: Delivery, spec: JsonObject, resource: Resource, intent: Intent, fabric: DeliveryFabric | None = None
) -> Attempt:
    """Read back what the step asked for; only then does it succeed. `fabric` is the delivery's own unless named."""
    if d.step.intent is None or d.step.intent.action != intent.action:
        d.stage({"intent": intent})
    d.stage({"resource": resource})
    try:
        outputs = d.kind.verify(fabric or d.fabric, spec, resource, intent)
        gathering.remember(d, spec, intent)
        reading = None if isinstance(d.kind, RunKind) else companions.remember(d, resource, intent)
    except NotYetError as error:
        if d.header.is_abort_requested:
            return giving_up.abandon_wait(d, str(error))
        waited = (d.services.clock.now() - (d.step.started_at or d.now)).total_seconds()
        state = StepState.INTENT if d.step.state is StepState.PENDING else d.step.state
        if isinstance(d.kind, RunKind):
            state = StepState.SUBMITTED
        done = len(d.kind.apply(specs.opened(d, spec), intent)) if intent.action is IntentAction.UPDATE else 0
        delay = readiness_delay_seconds(error.expected_seconds, waited, is_one_of_many=operations.is_one_of_many(d))
        return Reschedule(delay, changes={"state": state, "calls_done": done})
    if reading is not None and d.header.is_abort_requested:
        return giving_up.abandon_wait(d, "Fabric reads the definition of what it created")
    if reading is not None:
        state = StepState.INTENT if d.step.state is StepState.PENDING else d.step.state
        return replace(reading, changes={**reading.changes, "state": state})
    done = d.kind.did(spec, intent)[:DONE_CHARACTERS]
    settled: StepChanges = {"outputs": outputs, "error": None, "done": done or None}
    return read_back.ended(d, spec, intent, Settle(StepState.SUCCEEDED, done or DONE[intent.action], settled))


def found_by_marker(d: Delivery, spec: JsonObject, intent: Intent, operation: Operation) -> Attempt | None:
    """Find what a succeeded operation created without asking for its result: the list shows it, with its marker.
    Return None if the list does not show it.

    If the list cannot be read now, the next delivery knows that the operation is over, and does not poll it again.
    """
    if operation.ended_at is None:
        d.stage({"operation": replace(operation, ended_at=d.services.clock.now())})
        early = _shown_meanwhile(d, spec, intent, operation)
        if early is not None:
            return early
    found = d.kind.find(d.fabric, spec)
    if found is None or not d.kind.recognises(spec, intent, found, True):
        return None
    return verify(d, spec, found.resource, intent)


def not_shown(d: Delivery, operation: Operation) -> FabricTransientError:
    """Return the error of an operation whose item no list shows; the next list must be a later one."""
    d.stage({"operation": replace(operation, ended_at=d.services.clock.now())})
    return FabricTransientError("the operation succeeded, but its item is not shown yet", call=operation.kind)


def _shown_meanwhile(d: Delivery, spec: JsonObject, intent: Intent, operation: Operation) -> Attempt | None:
    """Verify by the last list that was requested for another step since the operation began; None if it does not show
    the item, with its marker and all that the step asked for. While the operation ran this proved nothing, but now it
    has succeeded: a list of later would show the same, and each delivery would wait for one of its own."""
    known = d.known_fabric(operation.started_at + CLOCK_SKEW)
    try:
        found = d.kind.find(known, spec)
        if found is None or not d.kind.recognises(spec, intent, found, True):
            return None
        return verify(d, spec, found.resource, intent, known)
    except (UnknownListError, VerificationError):
        return None
