"""The remedy of an error, and the error as the journal records it."""

from shared.domain.errors import (
    FabricAuthError,
    FabricConflictError,
    FabricError,
    FabricJobError,
    FabricNotFoundError,
    FabricTransientError,
    InvalidInputError,
    SagaError,
)
from shared.domain.records import RecordedError
from shared.domain.redaction import redacted
from shared.domain.row_limits import fitted_error

_MAX_TEXT = 4_000
"""Characters of an error's text that are read; row_limits.py cuts the rest to the row limit."""
_SUBMIT_LATER = "If it was created just now, it may not be known everywhere yet: submit again in a few minutes."
_STRATEGY = (
    "Give the step of kind git_connection an initializationStrategy; or, if other steps of the deployment create the "
    "items in the workspace, let them need the git_update."
)
_REMEDIES: dict[str, str] = {
    "WorkspaceNameAlreadyExists": "A workspace that this identity cannot see has this name in the tenant. Choose "
    "another name, or grant the identity a role on that workspace.",
    "InsufficientPermissionsOverCapacity": "Make the identity a contributor of the capacity.",
    "CapacityNotFound": "Check capacityId. The identity sees a capacity only if it is a contributor of it. "
    + _SUBMIT_LATER,
    "CapacityNotInActiveState": "Resume the capacity and submit again.",
    "CapacityNotActive": "Resume the capacity and submit again.",
    "FeatureNotAvailable": "Give the workspace a capacity (capacityId), and check that the tenant allows the type.",
    "UnsupportedCapacitySKU": "Use a Fabric (F) or trial capacity.",
    "PrincipalNotFound": "Use the object id of a principal in this tenant (for an app: of its enterprise application). "
    + _SUBMIT_LATER,
    "InsufficientPrivileges": "Grant the identity the workspace role that the call needs.",
    "PrincipalTypeNotSupported": "Fabric does not allow this for a service principal; use another identity. A step of "
    "kind git_connection needs a connectionId.",
    "MissingInitializationPolicy": _STRATEGY,
    "MissingInitializationStrategy": _STRATEGY,
    "GitProviderResourceNotFound": "Check the organisation or owner, project, repository, branch and folder "
    "(directoryName) of the step of kind git_connection. All must exist: Fabric creates none of them, and the case of "
    "the folder's name matters. Git stores no empty folder, so commit a file to it, for example .gitkeep.",
    "ConnectionMismatch": "Use a connection (connectionId) for the provider and the repository that the step names.",
    "MissingWorkspaceConflictResolution": "Give the step of kind git_update a conflictResolution.",
    "DuplicateLogicalId": "Two items in the branch have the same logicalId in .platform: give one of them a new one.",
    "DuplicateDisplayNameAndType": "Two items have the same name and type: rename one of them.",
    "CyclicDependencyDetected": "Items in the branch refer to each other in a circle: remove one of the references.",
    "GitFilePathTooLong": "Shorten the path that Fabric names, then commit and submit again.",
    "InvalidSystemFiles": "Correct the file .platform that Fabric names, then commit and submit again.",
    "InvalidInput": "Correct the field that Fabric names.",
    "ItemDisplayNameNotAvailableYet": "The name of a deleted item is reserved for some minutes; submit again later.",
    "WorkspaceNotConnectedToGit": "Connect the workspace with a branch first, for example by a step of kind "
    "git_connection.",
    "WorkspaceHeadMismatch": "Somebody has updated or committed the workspace since it was read: submit again.",
    "PotentialDuplicateDisplayNameAndType": "The workspace has an item of that name and type that Git lacks: rename "
    "or commit it, then submit again.",
    "MissingDependency": "Commit the item on which the others depend, then submit again.",
    "DependencyDeletionFailed": "Another item still uses the item that the update would delete; change that first.",
    "WorkspaceItemsLimitExceeded": "Delete items (soft-deleted ones count too) or use another workspace.",
}
"""By Fabric's error code."""


def remedy(error: SagaError) -> str:
    """Return what a person should do next, in one sentence or two."""
    if isinstance(error, InvalidInputError):
        return "Correct what the message names, then submit again; nothing else of the step was done."
    if not isinstance(error, FabricError):
        return "Read the message; the journal and the audit of the deployment show what was done."
    if error.remedy:
        return error.remedy
    if isinstance(error, FabricJobError):
        return (
            "Open the run in Fabric's monitoring hub, mend its cause, and submit again; if the deployment is held, "
            "`resume` runs the job again."
        )
    if known := _REMEDIES.get(error.error_code or ""):
        return known
    if isinstance(error, FabricAuthError):
        return (
            "Check that the tenant lets service principals use Fabric APIs (and create workspaces), and that the "
            "identity has a role on the workspace."
        )
    if isinstance(error, FabricConflictError):
        return "A resource of that name exists: set ifExists to adopt or update, or choose another name."
    if isinstance(error, FabricNotFoundError):
        return f"Check the id, that the identity can see it, and that the capacity is running. {_SUBMIT_LATER}"
    if isinstance(error, FabricTransientError):
        return "Fabric failed for too long: check its status page, then submit again."
    if error.status is not None and 300 <= error.status < 400:
        return "Correct FABRIC_API_BASE_URL, or the proxy or sign-in page that responds in place of Fabric."
    return "Correct what Fabric refused; with the request id Microsoft's support can find the call."


def recorded(error: SagaError) -> RecordedError:
    """Return the error as the journal records it, within the row limit of an error."""
    if isinstance(error, FabricError):
        kept = RecordedError(error.detail, remedy(error), error.call, error.status, error.error_code, error.request_id)
    else:
        kept = RecordedError(redacted(str(error)[:_MAX_TEXT]), remedy(error))
    return fitted_error(kept)
