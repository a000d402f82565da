"""The before-image of an update: what an item has, read over several deliveries if Fabric needs time for it."""

from shared.domain.errors import FabricNotFoundError
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.ports import OperationStarted
from shared.domain.states import OperationPurpose, OperationState
from shared.saga.step import giving_up, operations
from shared.saga.step.delivery import Delivery
from shared.saga.step.outcome import Reschedule
from shared.steps.kind import Snapshot


def reading(d: Delivery) -> Reschedule | None:
    """Return the wait for a definition that Fabric still reads: nothing else is looked at before."""
    operation = d.step.operation
    if operation is None or operation.purpose is not OperationPurpose.CAPTURE:
        return None
    try:
        status = operations.look(d, operation)
    except FabricNotFoundError:
        return None  # Fabric has forgotten it: it is asked again
    if isinstance(status, Reschedule):
        return status
    d.reading = status
    return None


def answer(d: Delivery) -> JsonObject | Reschedule | None:
    """Return the result of the reading operation that an earlier delivery began; None if there is none, or if Fabric
    has forgotten it: reading changes nothing, so it is asked again. Raises FabricError if it failed."""
    operation = d.step.operation
    if operation is None or operation.purpose is not OperationPurpose.CAPTURE:
        return None
    try:
        status = d.reading or operations.look(d, operation)
        if isinstance(status, Reschedule):
            return status
        d.stage({"operation": None})  # a failed one is requested again, because reading changes nothing
        if status.state is OperationState.SUCCEEDED:
            return d.fabric.result(operation.id, operation.location) or {}
    except FabricNotFoundError:
        return None
    operations.check(status, operation)
    return None


def awaited(d: Delivery, operation: OperationStarted, kind: str) -> Reschedule:
    """Return the wait for a reading operation that Fabric has just begun."""
    started = operations.started(d, operation, OperationPurpose.CAPTURE, kind)
    return Reschedule(operations.first_delay(d, kind), changes={"operation": started, **giving_up.started(d)})


def read(d: Delivery, spec: JsonObject, found: Snapshot) -> JsonObject | Reschedule:
    """Return the before-image; Reschedule if Fabric is still preparing it."""
    captured = answer(d)
    if isinstance(captured, Reschedule):
        return captured
    d.content.add(_content_bytes(captured or {}))
    image = d.kind.capture(d.fabric, spec, found, captured)
    return awaited(d, image, "getDefinition") if isinstance(image, OperationStarted) else image


def _content_bytes(captured: JsonObject) -> int:
    """Return the bytes of a definition as Fabric returns it."""
    parts = as_list((as_object(captured.get("definition")) or {}).get("parts")) or []
    return sum(len(str((as_object(part) or {}).get("payload") or "")) for part in parts)
