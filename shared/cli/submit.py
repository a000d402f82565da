"""The commands `validate`, which checks a manifest, and `submit`, which sends it to the queue or the API."""

import argparse
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import shtab

from shared import settings
from shared.bootstrap import command_line
from shared.cli import fleet, pack, plan
from shared.cli.common import (
    Add,
    add_label,
    add_manifest,
    add_url,
    complete,
    connect,
    follow_command,
    labels,
    packed,
    read_manifest,
    seconds,
)
from shared.cli.follow import BAD_REQUEST, SUCCEEDED, FollowOptions, conflict, follow, forgotten
from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.cli.stored import StoredFiles
from shared.cli.values import add_values, promoting, with_inputs
from shared.domain.deployment_ids import ID_RULE, is_deployment_id, new_deployment_id
from shared.domain.errors import InvalidInputError, NotFoundError, Problem, Problems, StorageUnavailableError, how_many
from shared.domain.forgotten import ForgottenError
from shared.domain.json import JsonObject, as_object, content_hash
from shared.domain.labels import with_labels
from shared.domain.manifest import compile_manifest
from shared.domain.text import parse
from shared.domain.trace import TRACEPARENT
from shared.saga.submission.envelope import envelope
from shared.steps import KINDS


def add_commands(add: Add) -> None:
    validate = add("validate", _validate, "check a manifest and all files that it names; nothing is sent")
    add_manifest(validate)
    add_values(validate)
    submit = add("submit", _submit, "submit a deployment to the queue or, with --url, to the API")
    add_manifest(submit)
    add_values(submit)
    submit.add_argument("--id", help="the deployment's id: submitting the same id twice starts one deployment")
    text = "a CSV file: one deployment for each row, whose columns give values of inputs"
    complete(submit.add_argument("--matrix", metavar="FILE", help=text), shtab.FILE)
    text = "the deployment of the stage before: refused unless it succeeded and has the same parts"
    submit.add_argument("--promotes", metavar="ID", help=text)
    add_label(submit, "a label by which the deployment is found again; repeat it for several")
    add_url(submit)
    add_sending(submit)


def add_sending(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that sends a submission."""
    parser.set_defaults(is_sent=False)
    parser.add_argument("--requested-by", metavar="NAME", default="", help="the requester, recorded in the audit")
    parser.add_argument("--wait", action="store_true", help="follow the deployment to its end")
    parser.add_argument(
        "--timeout", metavar="TIME", type=seconds, help="stop following after this time (90s, 10m, 2h): exit code 9"
    )


def _validate(options: argparse.Namespace, output: Output) -> int:
    _, compiled = plan.checked(options, output)
    output.event(
        "valid",
        f"{clean(compiled.name)} is valid: {len(compiled.steps)} steps on target '{clean(compiled.target)}'",
        name=compiled.name,
        target=compiled.target,
        steps=[{"id": s.step_id, "kind": s.kind, "needs": list(s.needs)} for s in compiled.steps],
    )
    return SUCCEEDED


def _submit(options: argparse.Namespace, output: Output) -> int:
    if options.id is not None and not is_deployment_id(options.id):
        raise InvalidInputError([Problem("--id", ID_RULE)])
    if options.matrix is not None:
        return fleet.submit(options, output, new_id)
    text, folder = read_manifest(options, output)
    problems = Problems()
    stored = StoredFiles()
    body: JsonObject = {"manifest_text": text}
    try:
        manifest, options.id = pack.body(parse(text), options.id)
        manifest = promoting(options, manifest)
    except InvalidInputError as error:
        # It is sent all the same: the app rejects it and records that, so that every id gets an answer.
        problems = error.problems
    else:
        # Without its values it would be another deployment, so a problem of an input is raised before anything is sent.
        body, problems = _packed(
            options, output, with_labels(with_inputs(options, manifest), labels(options)), folder, stored
        )
    options.id = options.id or new_id(body.get("manifest"))
    output.event("submitting", f"deployment {options.id}", deployment_id=options.id)
    storage = connect(options)
    if stored.files and not problems:
        sent = stored.send(storage.blobs)
        output.event(
            "stored", f"{len(stored.files)} files, {sent} bytes of them new", files=len(stored.files), bytes=sent
        )
    return deliver(options, output, storage, body, problems)


def deliver(
    options: argparse.Namespace,
    output: Output,
    storage: command_line.Access,
    body: JsonObject,
    problems: Problems | None = None,
) -> int:
    """Send a submission under `options.id`, follow it if `options.wait` asks for that, and return the exit code.

    `body` is the manifest as `envelope` takes it, `problems` what is known to be wrong with it.
    """
    wanted = settings.load().traceparent
    # A tool sets the variable, not a person: an invalid value is ignored.
    traceparent = wanted if TRACEPARENT.fullmatch(wanted) else ""
    message = envelope(storage.blobs, options.id, body, options.requested_by, traceparent)
    recorded = ", and the app records it as rejected"
    try:
        storage.submit(message)
        options.is_sent = True
    except InvalidInputError as error:  # over HTTP the app responds at once
        # A problem that was found here is the cause; the app sees only what came of it, such as an unpacked path.
        problems, recorded = problems or error.problems, ""
    if problems:
        output.event("rejected", f"the manifest has {how_many(problems)}{recorded}:")
        output.problems(problems)
        return BAD_REQUEST
    return sent(options, output, storage, content_hash(body["manifest"]))


def sent(options: argparse.Namespace, output: Output, storage: command_line.Access, manifest_hash: str) -> int:
    """Report a submission that was sent under `options.id`, or follow it, and return the exit code."""
    if not options.wait:
        with suppress(NotFoundError, StorageUnavailableError):  # the submission is on its way all the same
            try:
                header = storage.journal.header(options.id).record
            except ForgottenError as error:
                header = error.record
            if header.manifest_hash != manifest_hash:
                return conflict(header, output)
            if header.forgotten_at is not None:
                return forgotten(header, output)
        output.event(
            "submitted",
            f"submitted; follow it with: {follow_command(options)}",
            deployment_id=options.id,
        )
        return SUCCEEDED
    return follow(
        storage.journal,
        options.id,
        output,
        FollowOptions(options.timeout, follow_command(options), expected_hash=manifest_hash),
    )


def _packed(
    options: argparse.Namespace, output: Output, manifest: Any, folder: Path, stored: StoredFiles
) -> tuple[JsonObject, Problems]:
    """Return the body to send and the problems of the manifest, with which it is sent all the same."""
    try:
        manifest = packed(options, output, manifest, folder, stored)
        compile_manifest(manifest, KINDS)
    except InvalidInputError as error:
        return {"manifest": manifest}, error.problems
    return {"manifest": manifest}, Problems()


def new_id(manifest: Any) -> str:
    """Return a new id that begins with the manifest's name."""
    name = (as_object(manifest) or {}).get("name")
    return new_deployment_id(name, datetime.now(UTC), secrets.token_hex(3), default="deployment")
