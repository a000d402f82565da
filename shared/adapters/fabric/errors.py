"""Turns an answer of Fabric into an error of the app. The error code decides (domain/fabric_codes.py); the status
decides only if the code is unknown."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from shared.domain.errors import (
    FabricAmbiguousError,
    FabricAuthError,
    FabricConflictError,
    FabricError,
    FabricNotFoundError,
    FabricRefusedError,
    FabricTransientError,
)
from shared.domain.fabric_codes import FAILURE_CODES, UNKNOWN_ERROR, WAIT_CODES, meaning
from shared.domain.json import JsonObject, as_list, as_object

MAX_RETRY_AFTER_SECONDS = 3600.0
"""A longer Retry-After is cut to one hour; the step's own timeout bounds the whole wait."""


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds of a Retry-After (a number, or an HTTP date), or None if it is missing or not valid."""
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
    return min(MAX_RETRY_AFTER_SECONDS, max(0.0, seconds))


def error_from(
    call: str, status: int, headers: Mapping[str, str], body: JsonObject | None, *, is_mutating: bool, now: datetime
) -> FabricError:
    """Return the error for an answer. With `is_mutating`, a 5xx may have come after the effect."""
    fields = _fields(body)
    code = code_of(headers, body)
    retriable = fields.get("isRetriable")
    known = meaning(code, is_retriable=retriable is True)
    waits = code in WAIT_CODES or (status in (429, 430) and known is None)
    kind = known or _kind(status, code, retriable is True, is_mutating)
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


def code_of(headers: Mapping[str, str], body: JsonObject | None) -> str | None:
    """Return Fabric's error code, or None if the answer does not contain one."""
    named = [_fields(body), body or {}]
    codes = (text_of(each.get(name)) for each in named for name in ("errorCode", "code"))
    return next((code for code in codes if code), None) or text_of(headers.get("x-ms-public-api-error-code"))


def _fields(body: JsonObject | None) -> JsonObject:
    """Return the object that describes the error: the body, or its member `error`."""
    return as_object((body or {}).get("error")) or body or {}


_BY_STATUS: dict[int, type[FabricError]] = {
    401: FabricAuthError,
    403: FabricAuthError,
    404: FabricNotFoundError,
    409: FabricConflictError,
}


def _kind(status: int, code: str | None, is_retriable: bool, is_mutating: bool) -> type[FabricError]:
    """Return the error for a status whose code is not known. A 5xx is retried although isRetriable is false: a paused
    capacity answers so (fabric-cicd #948), and may be resumed."""
    if status in (429, 430):
        return FabricTransientError
    is_unknown = code == UNKNOWN_ERROR and status not in _BY_STATUS
    if code in FAILURE_CODES or is_unknown or status == 408 or status >= 500:
        return FabricAmbiguousError if is_mutating else FabricTransientError
    return FabricTransientError if is_retriable else _BY_STATUS.get(status, FabricRefusedError)


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
    """Return a text on one line, or None if the value is not a text or is blank."""
    return " ".join(value.split()) if isinstance(value, str) and value.strip() else None
