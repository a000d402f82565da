"""Long-running operations, as forward and backward actions wait for them: one look a delivery, never a sleep."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from shared.domain.errors import FabricNotFoundError, FabricRefusedError, FabricTransientError
from shared.domain.fabric_codes import FAILURE_CODES, UNKNOWN_ERROR, WAIT_CODES, meaning
from shared.domain.json import JsonObject
from shared.domain.polling import MAX_POLL_SECONDS, first_poll_seconds, poll_delay_seconds
from shared.domain.ports import Fabric, OperationStarted, OperationStatus
from shared.domain.records import Operation, Resource
from shared.domain.states import OperationPurpose, OperationState
from shared.saga.step.delivery import Delivery
from shared.saga.step.looks import UnknownListError
from shared.saga.step.outcome import Reschedule
from shared.steps import expected_seconds
from shared.steps.items import item_path

MAX_OPERATION = timedelta(days=1)
"""How long an operation is reckoned with. Fabric names no bound of its own; most of its operations take minutes."""
MAX_UNSEEN = timedelta(seconds=400)
"""How long, from its start, a compensation waits for an operation that makes something of which nothing shows. No
recorded operation took longer (394 s). The sweeper looks for what it makes after that."""
MANY_STEPS = 50
"""From so many steps on, a deployment's operations are polled later: its calls are scarcer than its time."""

_LONG = 3.0
"""An operation that takes so many times its usual duration is polled although no list shows its item: it may fail."""
_READ = "getDefinition"


def started(d: Delivery, operation: OperationStarted, purpose: OperationPurpose, kind: str) -> Operation:
    """Return the record of an operation that Fabric has just accepted."""
    return Operation(operation.id, purpose, kind, d.services.clock.now(), operation.location)


def first_delay(d: Delivery, kind: str) -> int:
    """Return the whole seconds until the first look."""
    return first_poll_seconds(expected_seconds(kind), is_one_of_many=is_one_of_many(d))


def is_one_of_many(d: Delivery) -> bool:
    """Return True if the deployment has so many steps that they wait for tokens of the quota."""
    return d.header.step_count >= MANY_STEPS


def look(d: Delivery, operation: Operation) -> OperationStatus | Reschedule:
    """Return how an operation ended; Reschedule until the next look if it still runs. Raises FabricError."""
    status = d.fabric.poll(operation.id, operation.location)
    return wait(d, operation) if status.state is OperationState.RUNNING else status


def wait(d: Delivery, operation: Operation) -> Reschedule:
    """Return when a running operation is worth another look."""
    return Reschedule(next_look(d, operation), changes={"operation": replace(operation, polls=operation.polls + 1)})


def next_look(d: Delivery, operation: Operation) -> int:
    """Return the whole seconds until the next look at a running operation."""
    elapsed = (d.services.clock.now() - operation.started_at).total_seconds()
    return poll_delay_seconds(expected_seconds(operation.kind), elapsed)


def postponed(d: Delivery, spec: JsonObject, operation: Operation) -> Reschedule | None:
    """Return a wait if a poll would be in vain, as lists show that were requested for other steps: the item is not
    shown yet, or no list is answered now and so the end of the operation cannot be verified."""
    now, usual = d.services.clock.now(), expected_seconds(operation.kind)
    elapsed = (now - operation.started_at).total_seconds()
    try:
        found = d.kind.find(d.known_fabric(operation.started_at + timedelta(seconds=usual)), spec)
    except UnknownListError as unknown:
        until = unknown.refused_until
        return None if until is None or until <= now else Reschedule((until - now).total_seconds())
    if found is not None or elapsed > _LONG * usual + MAX_POLL_SECONDS / 2:
        return None
    return Reschedule(poll_delay_seconds(usual, elapsed))


def definition(fabric: Fabric, resource: Resource, reading: Operation | None, now: datetime) -> JsonObject | Operation:
    """Return the definition of an item, as the result of getDefinition shows it; or the operation that reads it.

    `reading` is the operation that an earlier delivery started. Raises FabricError; a failed operation may be repeated,
    because reading changes nothing.
    """
    if reading is not None and reading.purpose is OperationPurpose.CAPTURE:
        with suppress(FabricNotFoundError):  # Fabric has forgotten the operation: the definition is asked for again
            status = fabric.poll(reading.id, reading.location)
            if status.state is OperationState.RUNNING:
                return replace(reading, polls=reading.polls + 1)
            if status.state is OperationState.FAILED:
                message = status.message or "the definition could not be read"
                call = f"operation {reading.id} ({_READ})"
                raise FabricTransientError(message, call=call, error_code=status.error_code, is_outcome=True)
            return fabric.result(reading.id, reading.location) or {}
    reply = fabric.send("POST", f"{item_path(resource)}/{_READ}")
    if reply.operation is None:
        return reply.body or {}
    return Operation(reply.operation.id, OperationPurpose.CAPTURE, _READ, now, reply.operation.location)


def check(status: OperationStatus, operation: Operation) -> None:
    """Raise the error of a failed operation: transient, a name to wait for, or final."""
    if status.state is OperationState.SUCCEEDED:
        return
    may_pass = bool(status.is_retriable) or status.error_code in FAILURE_CODES | {UNKNOWN_ERROR}
    kind = meaning(status.error_code, is_retriable=bool(status.is_retriable))
    raise (kind or (FabricTransientError if may_pass else FabricRefusedError))(
        status.message or "the operation failed without a message",
        call=f"operation {operation.id} ({operation.kind})",
        error_code=status.error_code,
        request_id=status.request_id,
        is_retriable=status.is_retriable,
        counts_as_attempt=status.error_code not in WAIT_CODES,
        is_outcome=True,
    )
