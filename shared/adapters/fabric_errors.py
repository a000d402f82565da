"""From an answer of Fabric's (or none) to an error of ours. Codes decide, statuses only where no code is known:
the same code has been seen under 400 and 409 at different times.
"""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from shared.domain.errors import (
    FabricAmbiguousError,
    FabricAuthError,
    FabricConflictError,
    FabricError,
    FabricNameReservedError,
    FabricNotFoundError,
    FabricRefusedError,
    FabricTransientError,
)
from shared.domain.json import JsonObject, as_list, as_object

LONGEST_RETRY_AFTER_SECONDS = 3600.0
"""A Retry-After beyond an hour is cut to it; the step's own timeout bounds the whole."""

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
    "PrincipalNotFound": FabricRefusedError,
    "CapacityNotFound": FabricRefusedError,
    "FeatureNotAvailable": FabricRefusedError,
    "InsufficientPrivileges": FabricAuthError,
    "InsufficientScopes": FabricAuthError,
    "Unauthorized": FabricAuthError,
    "TokenExpired": FabricAuthError,
    "InvalidToken": FabricAuthError,
    "TokenIsMissing": FabricAuthError,
    "TenantNotAllowed": FabricAuthError,
    "UserNotLicensed": FabricAuthError,
    "CapacityNotActive": FabricTransientError,
    "CapacityNotInActiveState": FabricTransientError,
}
"""What a code means for the step, whatever its HTTP status. Sources: the published OpenAPI and the Go SDK's
catalogue; `PrincipalNotFound` is not about the thing addressed, and a paused capacity may be resumed."""

WAIT_CODES = frozenset(
    {"RequestBlocked", "TooManyRequestsForJobs", "TooManyRequestsForCapacity", "WorkspacePreviousOperationInProgress"}
)
"""Fabric is busy with us: waiting is no failed try."""


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that a Retry-After asks for: whole, fractional, or until an HTTP date; None where it says nothing."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    if seconds != seconds:  # not a number
        return None
    return min(LONGEST_RETRY_AFTER_SECONDS, max(0.0, seconds))


def error_from(
    call: str, status: int, headers: Mapping[str, str], body: JsonObject | None, *, is_mutating: bool, now: datetime
) -> FabricError:
    """The error that an answer stands for. `is_mutating`: a 5xx may have come after the effect."""
    body = body or {}
    inner = as_object(body.get("error"))
    fields = inner or body
    code = text_of(fields.get("errorCode") or fields.get("code")) or headers.get("x-ms-public-api-error-code")
    retriable = fields.get("isRetriable")
    waits = status in (429, 430) or code in WAIT_CODES
    kind = _kind(status, code, retriable is True, is_mutating, waits)
    return kind(
        _message(fields) or _without_message(status),
        call=call,
        status=status,
        error_code=code,
        request_id=text_of(fields.get("requestId")) or headers.get("requestid"),
        is_retriable=retriable if isinstance(retriable, bool) else None,
        retry_after_seconds=retry_after(headers, now),
        counts_as_attempt=not waits,
    )


def _kind(status: int, code: str | None, is_retriable: bool, is_mutating: bool, waits: bool) -> type[FabricError]:
    if waits:
        return FabricTransientError
    known = CODES.get(code or "")
    if known is not None and not (known is FabricRefusedError and is_retriable):
        return known
    if status >= 500:
        # Also where isRetriable is false: a paused capacity answers so (fabric-cicd #948), and may be resumed.
        return FabricAmbiguousError if is_mutating else FabricTransientError
    if status == 408:
        return FabricAmbiguousError if is_mutating else FabricTransientError
    if is_retriable:
        return FabricTransientError
    by_status: dict[int, type[FabricError]] = {
        401: FabricAuthError,
        403: FabricAuthError,
        404: FabricNotFoundError,
        409: FabricConflictError,
    }
    return by_status.get(status, FabricRefusedError)


def _without_message(status: int) -> str:
    if 300 <= status < 400:
        return (
            f"HTTP {status} leads to another address, which is not followed because it would get the token: "
            "Fabric's API does not answer so"
        )
    return f"HTTP {status} without a message"


def _message(fields: JsonObject) -> str:
    message = text_of(fields.get("message")) or ""
    for row in as_list(fields.get("moreDetails")) or []:
        detail = text_of((as_object(row) or {}).get("message"))
        if detail and detail not in message:
            return f"{message} ({detail})" if message else detail
    return message


def text_of(value: Any) -> str | None:
    """On one line; None where it is no text, or none with anything in it."""
    return " ".join(value.split()) if isinstance(value, str) and value.strip() else None
