"""HTTP as values: a request as handlers see it, a reply as they give it, errors as RFC 9457 problem details."""

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
HEALTH = "application/health+json"
SAFE_HEADERS: Mapping[str, str] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""On every answer that names nothing else: what a deployment holds is nobody's to cache."""


def _none() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Request:
    """What was asked. Header names are lower case; a query parameter keeps every value that it was given."""

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
        """From what a host hands over. The query is read from the address: hosts keep one value of each name."""
        parts = urlsplit(url)
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            query.setdefault(name, []).append(value)
        given = {name: tuple(values) for name, values in query.items()}
        lower = {name.lower(): value for name, value in headers.items()}
        return cls(method.upper(), parts.path, dict(route), given, lower, read())


@dataclass(frozen=True)
class Reply:
    """What is answered; `headers` go over the safe ones."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=_none)


class HttpError(Exception):
    """A handler's way of answering with a problem: `detail` says what is wrong and what to do next."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.members = status, detail, headers or {}, members


def bad_request(problems: Sequence[Problem], detail: str = "", **members: Any) -> HttpError:
    """400 with every problem by its path: `$...` in the body, `query...` in the address."""
    rows = [problem.to_json() for problem in problems]
    return HttpError(
        400, detail or f"{how_many(problems)} in the request; correct what is listed", problems=rows, **members
    )


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON answer."""
    return Reply(status, json.dumps(value, ensure_ascii=True).encode(), JSON, headers or {})


def health_reply(passed: bool, body: JsonObject) -> Reply:
    """How the app is; 503 takes it out of what sends it requests."""
    return Reply(200 if passed else 503, json.dumps(body).encode(), HEALTH)


def problem(request: Request, error: HttpError) -> Reply:
    """Return the error as problem details. `instance` is the path without the query, which may contain a key."""
    # With the type about:blank, the title is the phrase of the status (RFC 9457, section 4.2.1).
    title = HTTPStatus(error.status).phrase
    members = {"type": "about:blank", "title": title, "status": error.status, "detail": error.detail}
    body = json.dumps({**members, "instance": request.path, **error.members}, ensure_ascii=True)
    return Reply(error.status, body.encode(), PROBLEM, error.headers)


def is_unchanged(request: Request, etag: str) -> bool:
    """Whether If-None-Match names this tag (compared weakly, as for a GET it is to be)."""
    given = request.headers.get("if-none-match", "")
    tags = [tag.strip().removeprefix("W/") for tag in given.split(",")]
    return given.strip() == "*" or etag.removeprefix("W/") in tags


def tagged(request: Request, etag: str, reply: Reply) -> Reply:
    """The reply with its tag; 304 without the body where the caller has it already."""
    headers = {**reply.headers, "ETag": etag}
    if is_unchanged(request, etag):
        return unchanged(etag, reply.headers)
    return Reply(reply.status, reply.body, reply.content_type, headers)


def unchanged(etag: str, headers: Mapping[str, str] | None = None) -> Reply:
    """304: the caller has what bears this tag."""
    return Reply(304, b"", "", {**(headers or {}), "ETag": etag})


def media_type(request: Request, accepted: Sequence[str], default: str) -> str:
    """The type of the body without its parameters. Raises HttpError 415."""
    given = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if not given:
        return default
    if given not in accepted:
        raise HttpError(415, f"the body is '{given[:100]}'; send one of: {', '.join(accepted)}")
    return given
