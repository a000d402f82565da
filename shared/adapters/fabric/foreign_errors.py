"""Turns errors of other HTTP libraries, which users' own functions raise, into the app's errors.

It relies on what requests, httpx and azure-core have in common: an error may have a `response` with `status_code` and
`headers`, and a `request` with a `method`. These libraries are not imported here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from shared.adapters.fabric.errors import error_from
from shared.domain.errors import FabricAmbiguousError, FabricError, FabricTransientError
from shared.domain.json import as_object

_LIBRARIES = frozenset({"requests", "httpx", "urllib3", "azure"})
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_NOT_SENT = frozenset({"ConnectTimeout", "ConnectError", "NewConnectionError", "ConnectTimeoutError"})
"""Names of errors that mean that the connection failed."""
_LOST = frozenset(
    {"ConnectionError", "Timeout", "ReadTimeout", "ChunkedEncodingError", "ProtocolError", "RemoteProtocolError"}
    | {"ReadError", "WriteError", "WriteTimeout", "ReadTimeoutError", "ServiceRequestError", "ServiceResponseError"}
)
"""Names of errors that mean that no complete answer arrived."""


def fabric_error_of(error: BaseException, now: datetime) -> FabricError | None:
    """Return the app's error for another library's, or None if it is not about an answer of Fabric or its absence."""
    if isinstance(error, FabricError):
        return error
    if type(error).__module__.split(".")[0] not in _LIBRARIES:
        return None
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    method = _method(error, response)
    is_mutating = method not in _READS
    if isinstance(status, int):
        return error_from(method, status, _headers(response), _body(response), is_mutating=is_mutating, now=now)
    names = {cause.__name__ for cause in type(error).__mro__}
    if _NOT_SENT & (names | _reasons(error)):
        return FabricTransientError("no connection", call=method)
    if not _LOST & names:
        return None
    kind = FabricAmbiguousError if is_mutating else FabricTransientError
    return kind("no answer", call=method)


def _method(error: BaseException, response: Any) -> str:
    """Return the method in upper case, or `call` if it is unknown; an unknown method counts as mutating."""
    for holder in (response, error):
        try:
            method = getattr(getattr(holder, "request", None), "method", None)
        except RuntimeError:  # httpx: "the request has not been set"
            continue
        if isinstance(method, str):
            return method.upper()
    return "call"


def _headers(response: Any) -> dict[str, str]:
    headers = getattr(response, "headers", None)
    if not isinstance(headers, Mapping):
        return {}
    return {str(name).lower(): str(value) for name, value in cast(Mapping[Any, Any], headers).items()}


def _body(response: Any) -> dict[str, Any] | None:
    try:
        return as_object(response.json())
    except Exception:  # not JSON, or an unread stream: the status is enough
        return None


def _reasons(error: BaseException) -> set[str]:
    """Return the name of the reason that requests wraps: ConnectionError(MaxRetryError(reason=NewConnectionError))."""
    reason: Any = getattr(error.args[0], "reason", None) if error.args else None
    return {type(reason).__name__}
