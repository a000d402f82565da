"""Requests and replies as values, and the format of Fabric's errors."""

import json
from dataclasses import dataclass, field
from typing import Any, cast


@dataclass(frozen=True)
class Request:
    """A request; header names are in lower case."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    headers: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """Return the body as an object. Raises ApiError 400 InvalidInput."""
        try:
            value: Any = json.loads(self.body) if self.body else {}
        except (ValueError, RecursionError):
            raise ApiError(400, "InvalidInput", "The request body is not valid JSON.") from None
        if not isinstance(value, dict):
            raise ApiError(400, "InvalidInput", "The request body is not a JSON object.")
        return cast(dict[str, Any], value)


def as_object(value: Any) -> dict[str, Any]:
    """Return a JSON value if it is an object, or else an empty one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Reply:
    """A reply, sent after `delay_seconds`; `reset` breaks the connection instead of sending it."""

    status: int
    headers: dict[str, str]
    body: bytes
    delay_seconds: float = 0.0
    reset: bool = False


@dataclass(frozen=True)
class Answer:
    """The result of a handler, from which the model makes a Reply. `empty` means without a body."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    empty: bool = False


class ApiError(Exception):
    """A refusal in Fabric's format. `synthetic` is True if neither a recording nor the specification shows it."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retriable: bool = False,
        headers: dict[str, str] | None = None,
        details: list[dict[str, Any]] | None = None,
        related: dict[str, str] | None = None,
        synthetic: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retriable = status, code, message, retriable
        self.headers, self.details, self.related, self.synthetic = headers or {}, details, related, synthetic

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the error body in the recorded order: requestId, errorCode, message, and the optional members."""
        body: dict[str, Any] = {"requestId": request_id, "errorCode": self.code}
        if self.details is not None:
            body["moreDetails"] = self.details
        body["message"] = self.message
        if self.related:
            body["relatedResource"] = self.related
        body["isRetriable"] = self.retriable
        return body
