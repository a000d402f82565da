"""Long-running operations, as forward and backward actions wait for them: one look a delivery, never a sleep."""

from dataclasses import replace
from datetime import timedelta

from shared.domain.errors import FabricRefusedError, FabricTransientError
from shared.domain.fabric_codes import FAILURE_CODES, UNKNOWN_ERROR, WAIT_CODES, meaning
from shared.domain.polling import poll_delay_seconds
from shared.domain.ports import OperationStarted, OperationStatus
from shared.domain.records import Operation
from shared.domain.states import OperationPurpose, OperationState
from shared.saga.step.delivery import Delivery
from shared.saga.step.outcome import Reschedule
from shared.steps import expected_seconds

MAX_OPERATION = timedelta(days=1)
"""How long an operation is reckoned with. Fabric names no bound of its own; most of its operations take minutes."""
MAX_UNSEEN_SECONDS = 900.0
"""How long a compensation waits for an operation that makes something of which nothing shows. The sweeper looks for
what it makes after that."""


def started(d: Delivery, operation: OperationStarted, purpose: OperationPurpose, kind: str) -> Operation:
    """The record of an operation that Fabric has just accepted."""
    return Operation(operation.id, purpose, kind, d.services.clock.now(), operation.location)


def first_delay(kind: str) -> int:
    """Whole seconds until the first look."""
    return poll_delay_seconds(expected_seconds(kind), 0.0)


def look(d: Delivery, operation: Operation) -> OperationStatus | Reschedule:
    """Return how an operation ended; Reschedule until the next look if it still runs. Raises FabricError."""
    status = d.fabric.poll(operation.id, operation.location)
    return wait(d, operation) if status.state is OperationState.RUNNING else status


def wait(d: Delivery, operation: Operation) -> Reschedule:
    """Return when a running operation is worth another look."""
    elapsed = (d.services.clock.now() - operation.started_at).total_seconds()
    seconds = poll_delay_seconds(expected_seconds(operation.kind), elapsed)
    return Reschedule(seconds, changes={"operation": replace(operation, polls=operation.polls + 1)})


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
