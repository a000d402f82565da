"""The orchestration's writes of a deployment's header."""

from shared.domain.actors import ORCHESTRATOR
from shared.domain.ports import Change, Versioned
from shared.domain.records import DeploymentChanges, DeploymentRecord
from shared.domain.row_limits import fitted
from shared.saga.step.delivery import Services


def write(
    services: Services, header: Versioned[DeploymentRecord], reason: str, changes: DeploymentChanges
) -> Versioned[DeploymentRecord]:
    """Write a header with `changes`; a write without a reason that moves nothing is not audited. Raises ConflictError
    if the header has changed since it was read."""
    after = fitted(header.record.replace(**changes))
    return services.journal.write_header(Change(header, after, ORCHESTRATOR, reason))
