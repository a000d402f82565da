"""Read manifests, small JSON objects and query parameters; report every problem with its path."""

import re
from collections.abc import Mapping
from typing import Any

from shared.domain.deployment_ids import ID_RULE, is_deployment_id
from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.fields import Fields, child, suggestion
from shared.domain.json import JsonObject, as_object
from shared.domain.labels import parse_labels, read_labels
from shared.domain.text import parse, utf8
from shared.domain.text_limits import MAX_BYTES
from shared.web.http import JSON, HttpError, Request, bad_request, media_type

MANIFEST_TYPES = (JSON, "application/yaml", "application/x-yaml", "text/yaml")
MAX_COMMAND_BYTES = 16 * 1024
KEY = "code"
"""The host's query parameter for a function key. Every address may have it."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NOT_PLAIN = "contains a control character, a line end or a bidirectional override; remove it"
REQUESTER = "requested_by"


def declared(request: Request, names: tuple[str, ...], repeatable: tuple[str, ...] = ()) -> None:
    """Raise HttpError 400 for an unknown query parameter, and for a repeated one that is not `repeatable`.

    If unknown parameters were ignored, a misspelt one could silently lose an idempotency key.
    """
    problems = Problems()
    for name, values in request.query.items():
        path = child("query", name)
        if name not in names and name != KEY:
            known = f"Known: {', '.join(sorted(names))}" if names else "This address takes none"
            problems.append(
                Problem(path, f"is not a known parameter.{suggestion(name[:64].lower(), names, problems)} {known}")
            )
        elif len(values) > 1 and name not in repeatable:
            problems.append(Problem(path, f"is given more than once ({len(values)} times)"))
    if problems:
        raise bad_request(problems)


def _checked(request: Request, types: tuple[str, ...], max_bytes: int) -> None:
    encoding = request.headers.get("content-encoding", "").strip()
    if encoding.lower() not in ("", "identity"):
        # Azure's host passes the bytes on without decoding them, and so does the embedded host.
        detail = f"the body is encoded with '{encoding[:100]}'; send it as it is, without Content-Encoding"
        raise HttpError(415, detail, headers={"Accept-Encoding": "identity"})
    media_type(request, types, JSON)
    if len(request.body) > max_bytes:
        raise HttpError(413, f"the body has {len(request.body)} bytes; at most {max_bytes} are accepted")


def _parsed(content: bytes) -> Any:
    return parse(utf8(content))


def manifest(request: Request) -> Any:
    """Return the manifest as sent. Raises HttpError 413 or 415, and InvalidInputError if it cannot be parsed."""
    _checked(request, MANIFEST_TYPES, MAX_BYTES)
    return _parsed(request.body)


def without_id(value: Any) -> tuple[Any, str | None]:
    """Return a manifest without its own `id`, and that id. Raises InvalidInputError."""
    top = as_object(value)
    if top is None or top.get("id") is None:
        return value, None
    declared = top["id"]
    if not is_deployment_id(declared):
        raise InvalidInputError([Problem("$.id", ID_RULE)])
    return {name: member for name, member in top.items() if name != "id"}, declared


def small_json(request: Request, max_bytes: int) -> Any:
    """Return a JSON body of at most `max_bytes`. Raises HttpError 413 or 415, and InvalidInputError."""
    _checked(request, (JSON,), max_bytes)
    return _parsed(request.body)


def texts(request: Request, **maximum: int) -> dict[str, str]:
    """Return a small JSON object of optional strings, each with its maximum length; a missing body is an empty object.
    The requester is a text of one line, wherever it is stated.

    Raises HttpError 400 with every problem, including unknown fields; 413 and 415.
    """
    fields = _small_object(request)
    return _finished(fields, _texts(fields, maximum))


def redeployment(request: Request) -> tuple[dict[str, str], JsonObject | None]:
    """Return the requester and the id of a redeployment, as `texts`, and its labels; None if the body has none."""
    fields = _small_object(request)
    found, labels = _texts(fields, {REQUESTER: 256, "id": 100}), read_labels(fields)
    given = {} if labels is None and as_object(fields.data.get("labels")) is not None else labels
    return _finished(fields, found), given


def _small_object(request: Request) -> Fields:
    _checked(request, (JSON,), MAX_COMMAND_BYTES)
    try:
        return Fields(_parsed(request.body) if request.body.strip() else {}, "$", Problems())
    except InvalidInputError as error:
        raise bad_request(error.problems) from None


def _texts(fields: Fields, maximum: Mapping[str, int]) -> dict[str, str]:
    return {name: fields.text(name, maximum=most) for name, most in maximum.items()}


def _finished(fields: Fields, found: dict[str, str]) -> dict[str, str]:
    """Return the texts. Raises HttpError 400 with every problem of the object."""
    fields.finish()
    problems = Problems(fields.problems)
    if _CONTROL.search(found.get(REQUESTER, "")):
        problems.append(Problem(child("$", REQUESTER), _NOT_PLAIN))
    if problems:
        raise bad_request(problems)
    return found


class Query:
    """The query parameters. Each accessor checks one and records its problem; `finish` raises all problems."""

    def __init__(self, request: Request) -> None:
        self._query = request.query
        self._problems = Problems()

    def problem(self, name: str, message: str) -> None:
        """Record that a parameter is wrong."""
        self._problems.append(Problem(f"query.{name}", message))

    def text(self, name: str) -> str | None:
        """Return the value, or None. `declared` has checked that it is given only once."""
        values = self._query.get(name, ())
        return values[0] if values else None

    def plain(self, name: str, maximum: int) -> str:
        """Return a text of one line without control characters and bidirectional overrides; '' if absent."""
        value = self.text(name) or ""
        if len(value) > maximum:
            self.problem(name, f"has {len(value)} characters; at most {maximum} are allowed")
        elif _CONTROL.search(value):
            self.problem(name, _NOT_PLAIN)
        return value

    def words(self, name: str, allowed: tuple[str, ...]) -> frozenset[str]:
        """Return all values, which may be repeated or separated by commas."""
        values = [word for value in self._query.get(name, ()) for word in value.split(",")]
        for word in values:
            if word not in allowed:
                self.problem(name, f"'{word[:64]}' is not one of: {', '.join(allowed)}")
        return frozenset(values)

    def labels(self, name: str) -> dict[str, str]:
        """Return all labels, NAME=VALUE, which may be repeated or separated by commas."""
        try:
            return parse_labels(text for value in self._query.get(name, ()) for text in value.split(","))
        except ValueError as error:
            self.problem(name, str(error))
            return {}

    def flag(self, name: str) -> bool:
        """Return the value of true or false; False if absent."""
        value = self.text(name)
        if value not in (None, "true", "false"):
            self.problem(name, "must be true or false")
        return value == "true"

    def count(self, name: str, default: int, maximum: int) -> int:
        """Return an integer from 1 to `maximum`."""
        value = self.text(name)
        if value is None:
            return default
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0
        if not 1 <= number <= maximum:
            self.problem(name, f"must be an integer from 1 to {maximum}")
            return default
        return number

    def finish(self) -> None:
        """Raise HttpError 400 if any parameter is wrong."""
        if self._problems:
            raise bad_request(self._problems)
