"""The commands `breakers`, which shows the circuit breakers, and `breakers reset NAME`, which closes one."""

import argparse

from shared.cli.common import Add, add_url, breakers
from shared.cli.follow import BAD_REQUEST, SUCCEEDED, UNAVAILABLE
from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.domain.errors import NotFoundError
from shared.domain.json import JsonObject


def add_commands(add: Add) -> None:
    showing = add("breakers", _list, "show the circuit breakers, or close one manually")
    add_url(showing)
    commands = showing.add_subparsers(
        metavar="reset NAME", prog=showing.prog, help="without it, all breakers are shown"
    )
    resetting = commands.add_parser("reset", help="close a breaker for all workers and forget its failures")
    resetting.add_argument("name", help="the breaker's name, as `breakers` shows it")
    resetting.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON lines")
    add_url(resetting, default=argparse.SUPPRESS)
    resetting.set_defaults(run=_reset)


def _list(options: argparse.Namespace, output: Output) -> int:
    found = breakers(options).items()
    for row in found:
        output.event("breaker", _line(row), **row)
    return _end(found, output)


def _reset(options: argparse.Namespace, output: Output) -> int:
    desk = breakers(options)
    try:
        row = desk.reset(options.name)
    except NotFoundError:
        known = ", ".join(str(each["name"]) for each in desk.items())
        text = f"there is no circuit breaker '{clean(options.name, 80)}'; the breakers are: {clean(known, 500)}"
        output.event("error", f"error: {text}", error="not_found", message=text)
        return BAD_REQUEST
    output.event("breaker", _line(row), **row)
    return _end([row], output)


def _end(rows: list[JsonObject], output: Output) -> int:
    if all(row["is_shared"] for row in rows):
        return SUCCEEDED
    text = "storage does not respond: this is the state in one worker, and nothing was changed for the others"
    output.event("error", f"error: {text}", error="unavailable", message=text)
    return UNAVAILABLE


def _line(row: JsonObject) -> str:
    message = [f"{row['failures']} failures" if row["failures"] else "", str(row.get("reason") or "")]
    message.append(f"open since {row['opened_at']}" if row.get("opened_at") else "")
    message.append(f"next call at {row['retry_at']}" if row.get("retry_at") else "")
    text = "; ".join(clean(part, 300) for part in message if part)
    return f"{clean(str(row['name']), 40):16} {clean(str(row['state']), 20):10} {text}".rstrip()
