"""HTTP as values: the requests and replies of handlers, and errors as problem details (RFC 9457)."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from shared.domain.errors import Problem, how_many
from shared.domain.json import JsonObject

PROBLEM = "application/problem+json"
JSON = "application/json"
OCTETS = "application/octet-stream"
HEALTH = "application/health+json"
SAFE_HEADERS: Mapping[str, str] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""The headers of every reply that does not set its own: no cache may store the data of a deployment."""


def _none() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Request:
    """A request. Header names are lower case; a query parameter has all its values."""

    method: str
    path: str
    route: Mapping[str, str] = field(default_factory=_none)
    query: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict[str, tuple[str, ...]]())
    headers: Mapping[str, str] = field(default_factory=_none)
    body: bytes = b""

    @classmethod
    def of(
        cls, method: str, url: str, route: Mapping[str, str], headers: Mapping[str, str], read: Callable[[], bytes]
    ) -> "Request":
        """Return a request of the host. The query comes from the address, because hosts keep one value of a name."""
        parts = urlsplit(url)
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            query.setdefault(name, []).append(value)
        given = {name: tuple(values) for name, values in query.items()}
        lower = {name.lower(): value for name, value in headers.items()}
        return cls(method.upper(), parts.path, dict(route), given, lower, read())


@dataclass(frozen=True)
class Reply:
    """A reply; `headers` override the safe headers."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=_none)


class HttpError(Exception):
    """Ends a handler with problem details: `detail` says what is wrong and what to do next."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.members = status, detail, headers or {}, members


def bad_request(problems: Sequence[Problem], detail: str = "", **members: Any) -> HttpError:
    """Return 400 with every problem and its path: `$...` in the body, `query...` in the address."""
    rows = [problem.to_json() for problem in problems]
    return HttpError(
        400, detail or f"{how_many(problems)} in the request; correct what is listed", problems=rows, **members
    )


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a JSON reply."""
    return Reply(status, json.dumps(value, ensure_ascii=True).encode(), JSON, headers or {})


def health_reply(passed: bool, body: JsonObject) -> Reply:
    """Return the app's health; 503 makes a load balancer stop sending requests."""
    return Reply(200 if passed else 503, json.dumps(body).encode(), HEALTH)


def problem(request: Request, error: HttpError) -> Reply:
    """Return the error as problem details. `instance` is the path without the query, which may contain a key."""
    # With the type about:blank, the title is the phrase of the status (RFC 9457, section 4.2.1).
    title = HTTPStatus(error.status).phrase
    members = {"type": "about:blank", "title": title, "status": error.status, "detail": error.detail}
    body = json.dumps({**members, "instance": request.path, **error.members}, ensure_ascii=True)
    return Reply(error.status, body.encode(), PROBLEM, error.headers)


def tags_of(request: Request) -> list[str]:
    """Return the tags that If-None-Match names, as the weak comparison that GET requires takes them; `*` is one."""
    given = request.headers.get("if-none-match", "")
    return [tag.strip().removeprefix("W/") for tag in given.split(",") if tag.strip()]


def is_unchanged(request: Request, etag: str) -> bool:
    """Return True if If-None-Match names this tag."""
    tags = tags_of(request)
    return tags == ["*"] or etag.removeprefix("W/") in tags


def tagged(request: Request, etag: str, reply: Reply) -> Reply:
    """Return the reply with its tag, or 304 without a body if the caller's copy is current."""
    headers = {**reply.headers, "ETag": etag}
    if is_unchanged(request, etag):
        return unchanged(etag, reply.headers)
    return Reply(reply.status, reply.body, reply.content_type, headers)


def unchanged(etag: str, headers: Mapping[str, str] | None = None) -> Reply:
    """Return 304, because the caller's copy has this tag."""
    return Reply(304, b"", "", {**(headers or {}), "ETag": etag})


def media_type(request: Request, accepted: Sequence[str], default: str) -> str:
    """Return the media type of the body without its parameters. Raises HttpError 415."""
    given = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if not given:
        return default
    if given not in accepted:
        raise HttpError(415, f"the body is '{given[:100]}'; send one of: {', '.join(accepted)}")
    return given
