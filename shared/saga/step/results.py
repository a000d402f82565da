"""The results of calls whose result alone says whether they had their effect (steps/reporting_kind.py)."""

from shared.domain.errors import FabricNotFoundError
from shared.domain.json import JsonObject
from shared.domain.ports import OperationStatus
from shared.domain.records import Operation
from shared.saga.step.delivery import Delivery
from shared.steps.reporting_kind import ReportingKind


def check(d: Delivery, spec: JsonObject, answer: JsonObject | None) -> None:
    """Check the response to a call, or the result of its operation, if its kind reads it. Raises FabricError."""
    if isinstance(d.kind, ReportingKind):
        d.kind.check_result(spec, answer or {})


def is_forgotten(d: Delivery, spec: JsonObject, operation: Operation, status: OperationStatus) -> bool:
    """Check the result of an operation that has ended, if its kind reads it. Return True if Fabric has forgotten the
    result: then the call is sent again. Raises FabricError."""
    if not isinstance(d.kind, ReportingKind) or not status.has_result:
        return False
    try:
        d.kind.check_result(spec, d.fabric.result(operation.id, operation.location) or {})
    except FabricNotFoundError:
        return True
    return False
