"""From an error and the journal's attempt count to what happens next. The one owner of that decision."""

from dataclasses import dataclass

from shared.domain.errors import (
    FabricAuthError,
    FabricConflictError,
    FabricError,
    FabricNameReservedError,
    FabricNotFoundError,
    FabricTransientError,
    SagaError,
)
from shared.domain.policy import RetryPolicy
from shared.domain.polling import name_wait_seconds
from shared.domain.records import RecordedError
from shared.domain.redaction import redacted
from shared.domain.row_limits import fitted_error

_LOOKED_AT = 4_000
"""Characters of an error's text; row_limits.py then cuts it to what a row has room for."""


@dataclass(frozen=True)
class TryAgain:
    """Deliver the step again after `seconds`; `counts` says whether this used up an attempt."""

    seconds: float
    counts: bool


@dataclass(frozen=True)
class GiveUp:
    """The step fails."""


def decide_retry(
    error: SagaError, attempt: int, deliveries: int, policy: RetryPolicy, fraction: float
) -> TryAgain | GiveUp:
    """What to do after `error`, when `attempt` tries have gone wrong before it.

    `fraction` (0 to 1) is the jitter. A Retry-After is obeyed exactly: never sooner, and no jitter added.
    """
    if isinstance(error, FabricNameReservedError):
        return TryAgain(name_wait_seconds(deliveries), counts=False)
    if not isinstance(error, FabricTransientError):
        return GiveUp()
    if not error.counts_as_attempt:
        wait = error.retry_after_seconds
        return TryAgain(backoff(policy, attempt, fraction) if wait is None else wait, counts=False)
    if attempt + 1 >= policy.max_attempts:
        return GiveUp()
    wait = error.retry_after_seconds
    return TryAgain(backoff(policy, attempt, fraction) if wait is None else wait, counts=True)


def backoff(policy: RetryPolicy, attempt: int, fraction: float) -> float:
    """Full jitter, in seconds, at least 1."""
    ceiling = min(policy.max_seconds, policy.base_seconds * 2 ** min(attempt, 20))
    return max(1.0, ceiling * fraction)


_REMEDIES: dict[str, str] = {
    "WorkspaceNameAlreadyExists": "The name is taken in this tenant by a workspace that this identity cannot see. "
    "Choose another name, or grant the identity a role on it.",
    "InsufficientPermissionsOverCapacity": "Make the identity a contributor of the capacity.",
    "CapacityNotFound": "Check capacityId; the identity must be a contributor of that capacity to see it. One made or "
    "granted just now may not be known everywhere yet: submit again in some minutes.",
    "CapacityNotInActiveState": "Resume the capacity and submit again.",
    "CapacityNotActive": "Resume the capacity and submit again.",
    "FeatureNotAvailable": "Give the workspace a capacity (capacityId), and check that the tenant allows the type.",
    "UnsupportedCapacitySKU": "Use a Fabric (F) or trial capacity.",
    "PrincipalNotFound": "Use the object id of a principal in this tenant (for an app: of its enterprise application). "
    "One made just now may not be known everywhere yet: submit again in some minutes.",
    "InsufficientPrivileges": "Grant the identity the workspace role that the call needs.",
    "PrincipalTypeNotSupported": "Fabric does not let a service principal do this; use an identity that may.",
    "InvalidInput": "Correct the field that Fabric names.",
    "ItemDisplayNameNotAvailableYet": "The name of a deleted item is reserved for some minutes; submit again later.",
    "WorkspaceItemsLimitExceeded": "Delete items (soft-deleted ones count too) or use another workspace.",
}


def remedy(error: SagaError) -> str:
    """What a person should do next, in one sentence or two."""
    if isinstance(error, FabricError):
        known = _REMEDIES.get(error.error_code or "")
        if known:
            return known
        if isinstance(error, FabricAuthError):
            return (
                "Check that the tenant lets service principals use Fabric APIs (and create workspaces), and that the "
                "identity has a role on the workspace."
            )
        if isinstance(error, FabricConflictError):
            return "Something of that name is there already: set ifExists to adopt or update, or choose another name."
        if isinstance(error, FabricNotFoundError):
            return (
                "Check the id, that the identity can see it, and that the capacity is running. If made just now, "
                "it may not be shown everywhere yet: submit again in some minutes."
            )
        if isinstance(error, FabricTransientError):
            return "Fabric did not answer well for too long: check its status page, then submit again."
        if error.status is not None and 300 <= error.status < 400:
            return "Correct FABRIC_API_BASE_URL, or the proxy or sign-in page that answers in place of Fabric."
        return "Correct what Fabric refused; the request id helps Microsoft's support find the call."
    return "Read the message; the journal and the audit of the deployment show what was done."


def recorded(error: SagaError) -> RecordedError:
    """Return the error as it is kept: no larger than a row has room for."""
    if isinstance(error, FabricError):
        kept = RecordedError(error.detail, remedy(error), error.call, error.status, error.error_code, error.request_id)
    else:
        kept = RecordedError(redacted(str(error)[:_LOOKED_AT]), remedy(error))
    return fitted_error(kept)
