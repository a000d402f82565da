"""The before-image of an update: what an item has, read over several deliveries if Fabric needs time for it."""

from shared.domain.errors import FabricNotFoundError
from shared.domain.json import JsonObject
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


def read(d: Delivery, spec: JsonObject, found: Snapshot) -> JsonObject | Reschedule:
    """Return the before-image; Reschedule if Fabric is still preparing it."""
    captured: JsonObject | None = None
    operation = d.step.operation
    if operation is not None and operation.purpose is OperationPurpose.CAPTURE:
        try:
            status = d.reading or operations.look(d, operation)
            if isinstance(status, Reschedule):
                return status
            d.stage({"operation": None})  # a failed one is requested again, because reading changes nothing
            if status.state is OperationState.SUCCEEDED:
                captured = d.fabric.result(operation.id, operation.location) or {}
        except FabricNotFoundError:
            status = None  # Fabric has forgotten the operation: reading changes nothing, so it is asked again
        if status is not None:
            operations.check(status, operation)
    image = d.kind.capture(d.fabric, spec, found, captured)
    if isinstance(image, OperationStarted):
        started = operations.started(d, image, OperationPurpose.CAPTURE, "getDefinition")
        return Reschedule(
            operations.first_delay(d, started.kind), changes={"operation": started, **giving_up.started(d)}
        )
    return image
