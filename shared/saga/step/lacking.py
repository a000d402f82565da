"""Says what is missing when Fabric has refused a step, in place of a refusal that does not.

Fabric answers 404 or 400 without saying which of the things is missing that a step names. If it is something that no
step of the deployment has made, such as a connection, it does not appear by itself, so the step fails soon and with a
remedy. A resource of an earlier step may not be known everywhere yet, so the call is repeated as after any transient
error.
"""

from shared.domain.errors import (
    FabricError,
    FabricMissingError,
    FabricNotFoundError,
    FabricRefusedError,
    FabricTransientError,
    InvalidInputError,
    SagaError,
)
from shared.saga.step import specs
from shared.saga.step.delivery import Delivery
from shared.steps.missing import Missing

_REFUSALS = (400, 404)


def explained[E: SagaError](d: Delivery, error: FabricError | E) -> FabricError | E:
    """Return the error of a delivery with what the step lacks; the same error if it lacks nothing that is known, or if
    Fabric cannot be asked now."""
    kind = d.kind_or_none
    if kind is None or not isinstance(error, FabricNotFoundError | FabricRefusedError):
        return error
    if error.is_outcome or error.status not in _REFUSALS:
        return error
    try:
        spec = specs.resolved(d)
        found = kind.missing(d.fabric, spec)
    except (FabricError, InvalidInputError):
        return error
    if found is not None:
        return _lacking(d, error, found)
    if isinstance(error, FabricRefusedError) and (remedy := kind.refused(spec)):
        error.remedy = remedy
    return error


def _lacking(d: Delivery, error: FabricError, found: Missing) -> FabricError:
    is_made_here = _is_made_here(d, found.id)
    what = FabricTransientError if is_made_here else FabricMissingError
    return what(
        f"{error.detail} {found.what[0].upper()}{found.what[1:]}.",
        call=error.call,
        status=error.status,
        error_code=error.error_code,
        request_id=error.request_id,
        remedy="" if is_made_here else found.remedy,
    )


def _is_made_here(d: Delivery, wanted: str) -> bool:
    """Return True if an id is that of a resource of this deployment, or an output of one of its steps."""
    folded = wanted.lower()
    for row in d.services.journal.steps(d.step.deployment_id):
        resource, outputs = row.record.resource, row.record.outputs or {}
        if resource is not None and resource.id.lower() == folded:
            return True
        if any(isinstance(value, str) and value.lower() == folded for value in outputs.values()):
            return True
    return False
