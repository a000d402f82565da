"""`health` asks the app how it is, or, without --url, looks at the storage side from where the command stands."""

import argparse
import json
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from shared import bootstrap, settings
from shared.cli.connection import add_url
from shared.cli.output import Output
from shared.cli.parts import Add
from shared.cli.timeline import clean
from shared.domain.errors import InvalidInputError, Problem
from shared.domain.json import JsonObject, as_list, as_object

WELL, WARNING, FAILING = 0, 1, 3
NOT_AUTHORISED, NO_ANSWER = 4, 5
_SECONDS = 20.0


def add_commands(add: Add) -> None:
    """The command, by the parser's own helper."""
    text = "show how the app is: exit code 0 well, 1 a warning, 3 it cannot do its work, 4 key refused, 5 no answer"
    add_url(add("health", _health, text))


def _health(options: argparse.Namespace, output: Output) -> int:
    url = options.url or settings.load().api_url
    if not url:
        body = bootstrap.storage_monitor(settings.load()).report().details()
    else:
        code, body = _asked(url)
        if body is None:
            word = "the key in FUNCTION_KEY was refused" if code == NOT_AUTHORISED else "the app does not answer"
            output.event("error", f"error: {word}", error="health", message=word)
            return code
    for name, entries in (as_object(body.get("checks")) or {}).items():
        for entry in as_list(entries) or []:
            output.event("check", _line(name, as_object(entry) or {}), check=name, **(as_object(entry) or {}))
    status = str(body.get("status"))
    notes = "".join(f"; {clean(str(note), 300)}" for note in as_list(body.get("notes")) or [])
    output.event("health", f"{clean(status, 20)}{notes}", status=status)
    return {"pass": WELL, "warn": WARNING}.get(status, FAILING)


def _line(name: str, entry: JsonObject) -> str:
    what = f"{name} {entry.get('componentId', '')}"
    value = f"{entry.get('observedValue', '')} {entry.get('observedUnit', '')}"
    text = f"{clean(str(entry.get('status')), 8):5} {clean(what, 60):44} {clean(value, 40):18}"
    return f"{text} {clean(str(entry.get('output', '')), 500)}".rstrip()


def _asked(url: str) -> tuple[int, JsonObject | None]:
    """The details, or the exit code that says why there are none."""
    address = urlsplit(url)
    is_local = address.hostname in ("127.0.0.1", "localhost", "::1")
    if address.scheme != "https" and not (address.scheme == "http" and is_local):
        raise InvalidInputError([Problem("--url", "must be https: over http the key could be read on the way")])
    request = urllib.request.Request(f"{url.rstrip('/')}/api/health")  # noqa: S310 - http(s) only, by the line above
    request.add_header("x-functions-key", settings.function_key())
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - as above
            return WELL, _body(answer.read())
    except urllib.error.HTTPError as error:
        if error.code == 503 and (body := _body(error.read())):
            return WELL, body
        return (NOT_AUTHORISED if error.code in (401, 403) else NO_ANSWER), None
    except OSError:
        return NO_ANSWER, None


def _body(content: bytes) -> JsonObject | None:
    try:
        return as_object(json.loads(content))
    except ValueError:
        return None
