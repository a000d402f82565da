"""The command `health`: with --url it reports the app's checks; without, it checks storage from this machine."""

import argparse

from shared import settings
from shared.bootstrap import command_line
from shared.cli.common import Add, add_url, remote
from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.domain.json import JsonObject, as_list, as_object

PASS, WARNING, FAILING = 0, 1, 3
_OF_EVENTS = frozenset({"kind", "text", "check", "event", "self"})


def add_commands(add: Add) -> None:
    text = "show the app's health: exit code 0 pass, 1 warning, 3 the app cannot work, 4 key refused, 5 no response"
    add_url(add("health", _health, text))


def _health(options: argparse.Namespace, output: Output) -> int:
    api = remote(options)
    body = api.desk.health() if api else command_line.storage_monitor(settings.load()).report().details()
    for name, entries in (as_object(body.get("checks")) or {}).items():
        for row in as_list(entries) or []:
            # Another program may answer with names that an event has itself.
            entry = {key: value for key, value in (as_object(row) or {}).items() if key not in _OF_EVENTS}
            output.event("check", _line(name, entry), check=name, **entry)
    status = str(body.get("status"))
    notes = "".join(f"; {clean(str(note), 300)}" for note in as_list(body.get("notes")) or [])
    output.event("health", f"{clean(status, 20)}{notes}", status=status)
    return {"pass": PASS, "warn": WARNING}.get(status, FAILING)


def _line(name: str, entry: JsonObject) -> str:
    what = f"{name} {entry.get('componentId', '')}"
    value = f"{entry.get('observedValue', '')} {entry.get('observedUnit', '')}"
    text = f"{clean(str(entry.get('status')), 8):5} {clean(what, 60):44} {clean(value, 40):18}"
    return f"{text} {clean(str(entry.get('output', '')), 500)}".rstrip()
