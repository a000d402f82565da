"""The meaning of Fabric's error codes, with any HTTP status or a failed operation.

The same code has been recorded with 400 and with 409. Sources: the published OpenAPI and the Go SDK's
catalogue.
"""

from shared.domain.errors import (
    FabricAuthError,
    FabricConflictError,
    FabricError,
    FabricNameReservedError,
    FabricNotFoundError,
    FabricRefusedError,
    FabricTransientError,
)

CODES: dict[str, type[FabricError]] = {
    "ItemDisplayNameNotAvailableYet": FabricNameReservedError,
    "ItemDisplayNameAlreadyInUse": FabricConflictError,
    "WorkspaceNameAlreadyExists": FabricConflictError,
    "PrincipalAlreadyHasWorkspaceRolePermissions": FabricConflictError,
    "FolderDisplayNameAlreadyInUse": FabricConflictError,
    "DuplicateConnectionName": FabricConflictError,
    "EntityConflict": FabricConflictError,
    "EntityNotFound": FabricNotFoundError,
    "ItemNotFound": FabricNotFoundError,
    "WorkspaceNotFound": FabricNotFoundError,
    "OperationNotFound": FabricNotFoundError,
    "InsufficientPrivileges": FabricAuthError,
    "InsufficientScopes": FabricAuthError,
    "InsufficientPermissionsOverCapacity": FabricAuthError,
    "Unauthorized": FabricAuthError,
    "TokenExpired": FabricAuthError,
    "InvalidToken": FabricAuthError,
    "TokenIsMissing": FabricAuthError,
    "TenantNotAllowed": FabricAuthError,
    "UserNotLicensed": FabricAuthError,
    "PrincipalTypeNotSupported": FabricRefusedError,
    "FeatureNotAvailable": FabricRefusedError,
    "UnsupportedCapacitySKU": FabricRefusedError,
    "InvalidInput": FabricRefusedError,
    "InvalidItemType": FabricRefusedError,
    "CorruptedPayload": FabricRefusedError,
    "OperationNotSupportedForItem": FabricRefusedError,
    "OperationHasNoResult": FabricRefusedError,
    "WorkspaceNotConnectedToGit": FabricRefusedError,
    "WorkspaceGitConnectionNotInitialized": FabricRefusedError,
    "WorkspaceHeadMismatch": FabricRefusedError,
    "GitProviderResourceNotFound": FabricRefusedError,
    "MissingInitializationPolicy": FabricRefusedError,
    "MissingInitializationStrategy": FabricRefusedError,
    "MissingWorkspaceConflictResolution": FabricRefusedError,
    "CrossGeographyOperationIsNotAllowed": FabricRefusedError,
    "OverrideItemsNotAllowed": FabricRefusedError,
    "DuplicateDisplayNameAndType": FabricRefusedError,
    "PotentialDuplicateDisplayNameAndType": FabricRefusedError,
    "DuplicateLogicalId": FabricRefusedError,
    "MissingDependency": FabricRefusedError,
    "CyclicDependencyDetected": FabricRefusedError,
    "DependencyDeletionFailed": FabricRefusedError,
    "GitFilePathTooLong": FabricRefusedError,
    "InvalidSystemFiles": FabricRefusedError,
    "ConnectionMismatch": FabricRefusedError,
    "WorkspaceItemsLimitExceeded": FabricRefusedError,
    "PrincipalNotFound": FabricTransientError,
    "CapacityNotFound": FabricTransientError,
    "FolderNotFound": FabricTransientError,
    "DomainNotFound": FabricTransientError,
    "CapacityNotActive": FabricTransientError,
    "CapacityNotInActiveState": FabricTransientError,
}
"""The error class of each code. FabricNotFoundError is about the resource in the path. Another one that a call names (a
principal, a capacity) may have been created just now and not be known everywhere yet, so that the call is retried. A
paused capacity may be resumed. Only a person can mend mistakes in a repository or in the name of a branch:
GitProviderResourceNotFound means that the branch or the folder must be created first ("Tutorial: End-to-end automation
in Fabric", learn.microsoft.com/fabric/cicd), and Fabric's answers call it not retriable."""

WAIT_CODES = frozenset(
    {
        *("RequestBlocked", "TooManyRequestsForJobs", "TooManyRequestsForCapacity"),
        *("WorkspacePreviousOperationInProgress", "InvalidEnvironmentPublish"),
        "EnvironmentAnotherOngoingPublishProcess",
    }
)
"""Fabric is busy with this principal or, for the last two, with this environment: waiting does not count as an
attempt."""

FAILURE_CODES = frozenset({"InternalError", "InternalServerError", "ServiceUnavailable", "OperationTimedOut"})
"""Fabric failed, and the call may or may not have had its effect."""

UNKNOWN_ERROR = "UnknownError"
"""Fabric does not know the cause: a failure, unless the status says more. Recorded for deletes, with 400."""

TOKEN_CODES = frozenset({"TokenExpired", "InvalidToken", "TokenIsMissing"})
"""Fabric refused the call because of its token, without reading it."""

IDENTITY_CODES = TOKEN_CODES | {"TenantNotAllowed", "UserNotLicensed"}
"""No call of this identity can succeed."""


def meaning(code: str | None, *, is_retriable: bool) -> type[FabricError] | None:
    """Return the error class of a code; None if the code has no known meaning.

    A refusal that Fabric itself calls retriable is not final.
    """
    if code in WAIT_CODES:
        return FabricTransientError
    known = CODES.get(code or "")
    return FabricTransientError if known is FabricRefusedError and is_retriable else known
