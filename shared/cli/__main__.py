"""`python -m shared.cli`: validate, plan, submit, follow, cancel, resume, compensate, retire, approve, status, audit,
verify-journal, health, list.

Exit codes: 0 succeeded, 1 failed and put back, 2 bad request, 3 not put back (stuck, held or failed), 4 not authorised,
5 storage or Fabric unreachable, 8 cancelled, 9 timed out while running, 130 interrupted, 141 nobody reads the output.
"""

import argparse
import os
import re
import secrets
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from shared import settings
from shared.cli import audit, health, pack, plan, verbs
from shared.cli.arguments import known_id
from shared.cli.connection import add_url, connect
from shared.cli.follow import BAD_REQUEST, EXIT_CODES, NOT_AUTHORISED, SUCCEEDED, UNAVAILABLE, follow
from shared.cli.output import Output, choose, header_json
from shared.cli.timeline import clean
from shared.domain.errors import (
    FabricAuthError,
    FabricTransientError,
    InvalidInputError,
    Problem,
    SagaError,
    StorageAuthError,
    StorageUnavailableError,
)
from shared.domain.fields import Fields
from shared.domain.json import JsonObject, as_object, content_hash
from shared.domain.manifest import DEPLOYMENT_ID, compile_manifest
from shared.domain.text import parse
from shared.domain.trace import TRACEPARENT
from shared.saga.accept import normal_target
from shared.saga.submission import envelope
from shared.steps import KINDS

INTERRUPTED, READER_GONE = 130, 141
_WHEN_UNAVAILABLE = (
    "  what to do: see that it is up and its address right (AzureWebJobsStorage..., FABRIC_API_BASE_URL, --url); "
    'on a machine without Azure: make up, then eval "$(make -s env)"'
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    output = choose(as_json=options.json)
    try:
        command: Callable[[argparse.Namespace, Output], int] = options.run
        return command(options, output)
    except InvalidInputError as error:
        output.close()
        output.problems(error.problems)
        return BAD_REQUEST
    except (settings.SettingsError, StorageAuthError, FabricAuthError) as error:
        output.close()
        output.event("error", f"error: {error}", error=type(error).__name__, message=str(error))
        return BAD_REQUEST if isinstance(error, settings.SettingsError) else NOT_AUTHORISED
    except (StorageUnavailableError, FabricTransientError) as error:
        output.close()
        output.event("error", f"error: {error}\n{_WHEN_UNAVAILABLE}", error="unavailable", message=str(error))
        return UNAVAILABLE
    except SagaError as error:
        output.close()
        output.event("error", f"error: {error}", error=type(error).__name__, message=str(error))
        return BAD_REQUEST
    except BrokenPipeError:
        # Who read our output has gone (`... | head`). What is left in the buffer must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except KeyboardInterrupt:
        output.close()
        where = getattr(options, "id", None)
        again = f" It goes on; follow it with: python -m shared.cli follow {where}" if where else ""
        output.event("detached", f"\ndetached.{again}", deployment_id=where)
        return INTERRUPTED
    finally:
        output.close()


def _validate(options: argparse.Namespace, output: Output) -> int:
    compiled = plan.compiled(options.manifest)
    output.event(
        "valid",
        f"{clean(compiled.name)} is valid: {len(compiled.steps)} steps on target '{clean(compiled.target)}'",
        name=compiled.name,
        target=compiled.target,
        steps=[{"id": s.step_id, "kind": s.kind, "needs": list(s.needs)} for s in compiled.steps],
    )
    return SUCCEEDED


def _submit(options: argparse.Namespace, output: Output) -> int:
    if options.id is not None and not DEPLOYMENT_ID.fullmatch(options.id):
        raise InvalidInputError(
            [Problem("--id", "letters, digits, '.', '_', '-' (100 at most), no '.', '_', '-' first")]
        )
    text, folder = pack.read_text(options.manifest)
    problems: list[Problem] = []
    body: JsonObject = {"manifest_text": text}
    try:
        manifest, options.id = pack.body(parse(text), options.id)
        body = {"manifest": manifest}
        manifest = body["manifest"] = pack.packed(manifest, folder)
        compile_manifest(manifest, KINDS)
    except InvalidInputError as error:
        # The app refuses it too, and records it: what was sent is never without an answer under its id.
        problems = error.problems
    options.id = options.id or _new_id(body.get("manifest"))
    output.event("submitting", f"deployment {options.id}", deployment_id=options.id)
    storage = connect(options)
    wanted = settings.load().traceparent
    # Set by a tool, not by a person: one that is none begins no trace.
    traceparent = wanted if TRACEPARENT.fullmatch(wanted) else ""
    message = envelope(storage.blobs, options.id, body, options.requested_by, traceparent)
    storage.submit(message)
    if problems:
        output.event("rejected", f"the manifest has {len(problems)} problem(s), and is recorded as rejected:")
        output.problems(problems)
        return BAD_REQUEST
    if not options.wait:
        output.event(
            "submitted",
            f"submitted; follow it with: python -m shared.cli follow {options.id}",
            deployment_id=options.id,
        )
        return SUCCEEDED
    expected = content_hash(body["manifest"])
    return follow(storage.journal, options.id, output, timeout_seconds=options.timeout, expected_hash=expected)


def _new_id(manifest: Any) -> str:
    name = (as_object(manifest) or {}).get("name")
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] if isinstance(name, str) else ""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return f"{slug or 'deployment'}-{stamp}-{secrets.token_hex(3)}"


def _follow(options: argparse.Namespace, output: Output) -> int:
    storage = connect(options)
    return follow(
        storage.journal,
        known_id(options.id),
        output,
        timeout_seconds=options.timeout,
        unknown_seconds=options.unknown,
    )


def _status(options: argparse.Namespace, output: Output) -> int:
    journal = connect(options).journal
    header = journal.header(known_id(options.id)).record
    steps = [s.record for s in journal.steps(options.id)]
    code = EXIT_CODES.get(header.state, SUCCEEDED)
    output.ended(header, steps, code)
    return SUCCEEDED


def _list(options: argparse.Namespace, output: Output) -> int:
    journal = connect(options).journal
    target = normal_target(options.target) if options.target else None
    is_empty = True
    for header in journal.page(options.limit, target=target, open_only=options.open):
        is_empty = False
        when = f"{header.accepted_at:%Y-%m-%d %H:%M:%S}"
        row = f"{when}  {header.state.value:12} {header.deployment_id:44} {clean(header.target, 60)}"
        output.event("deployment", row, **header_json(header))
    if is_empty and not options.json:
        output.event("note", "no deployments" + (" that match" if options.target or options.open else ""))
    return SUCCEEDED


def _seconds(text: str) -> float:
    problems: list[Problem] = []
    seconds = Fields({"timeout": text}, "$", problems).duration("timeout", default=-1, shortest=0, longest=30 * 86400)
    if problems:
        raise argparse.ArgumentTypeError(problems[0].message)
    return seconds


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text[:9]) > 0:
        raise argparse.ArgumentTypeError(f"'{clean(text, 40)}' is no number of at least 1")
    return int(text[:9])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shared.cli",
        description="Transactional deployments to Microsoft Fabric: all applied, or all put back.",
        epilog=__doc__.split("\n\n", 1)[1] if __doc__ else None,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace, Output], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", help="print JSON lines")
        return command

    validate = add("validate", _validate, "check a manifest and all the files it names; nothing is sent")
    validate.add_argument("manifest", help="a YAML or JSON file, or - for standard input")
    plan.add_arguments(add("plan", plan.run, "say what a deployment would do to the live workspace, changing nothing"))
    submit = add("submit", _submit, "put a deployment on the queue, or send it to the API")
    submit.add_argument("manifest", help="a YAML or JSON file, or - for standard input")
    submit.add_argument("--id", help="the deployment's id: submitting the same id twice starts one deployment")
    add_url(submit)
    submit.add_argument("--requested-by", default="", help="who asks, for the audit")
    submit.add_argument("--wait", action="store_true", help="follow it to its end")
    submit.add_argument("--timeout", type=_seconds, help="stop following after this time (90s, 10m, 2h): exit code 9")
    following = add("follow", _follow, "follow a deployment to its end")
    following.add_argument("id")
    add_url(following)
    following.add_argument(
        "--timeout", type=_seconds, help="stop following after this time (90s, 10m, 2h): exit code 9"
    )
    following.add_argument(
        "--unknown", type=_seconds, default=60.0, help="how long the id may be unknown (default 60s)"
    )
    verbs.register(add, _seconds)
    status = add("status", _status, "show a deployment as it stands")
    status.add_argument("id")
    add_url(status)
    audit.add_commands(add)
    health.add_commands(add)
    listing = add("list", _list, "list deployments, newest first")
    add_url(listing)
    listing.add_argument("--target", help="of this target only")
    listing.add_argument("--open", action="store_true", help="only those that have not ended")
    listing.add_argument("--limit", type=_count, default=50, help="how many (default 50)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
