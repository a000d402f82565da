"""The commands `validate`, which checks a manifest, and `submit`, which sends it to the queue or the API."""

import argparse
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from shared import settings
from shared.cli import pack, plan
from shared.cli.common import Add, add_manifest, add_url, connect, follow_command, packed, read_manifest, seconds
from shared.cli.follow import BAD_REQUEST, SUCCEEDED, FollowOptions, conflict, follow, forgotten
from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.cli.stored import StoredFiles
from shared.domain.deployment_ids import ID_RULE, is_deployment_id, new_deployment_id
from shared.domain.errors import (
    ForgottenError,
    InvalidInputError,
    NotFoundError,
    Problem,
    Problems,
    StorageUnavailableError,
    how_many,
)
from shared.domain.json import JsonObject, as_object, content_hash
from shared.domain.manifest import compile_manifest
from shared.domain.text import parse
from shared.domain.trace import TRACEPARENT
from shared.saga.submission.envelope import envelope
from shared.steps import KINDS


def add_commands(add: Add) -> None:
    add_manifest(add("validate", _validate, "check a manifest and all files that it names; nothing is sent"))
    submit = add("submit", _submit, "submit a deployment to the queue or, with --url, to the API")
    submit.set_defaults(is_sent=False)
    add_manifest(submit)
    submit.add_argument("--id", help="the deployment's id: submitting the same id twice starts one deployment")
    add_url(submit)
    submit.add_argument("--requested-by", default="", help="the requester, recorded in the audit")
    submit.add_argument("--wait", action="store_true", help="follow the deployment to its end")
    submit.add_argument("--timeout", type=seconds, help="stop following after this time (90s, 10m, 2h): exit code 9")


def _validate(options: argparse.Namespace, output: Output) -> int:
    compiled = plan.compiled(options, output)
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
    text, folder = read_manifest(options, output)
    problems = Problems()
    stored = StoredFiles()
    body: JsonObject = {"manifest_text": text}
    try:
        manifest, options.id = pack.body(parse(text), options.id)
        body = {"manifest": manifest}
        manifest = body["manifest"] = packed(options, output, manifest, folder, stored)
        compile_manifest(manifest, KINDS)
    except InvalidInputError as error:
        # It is sent all the same: the app rejects it and records that, so that every id gets an answer.
        problems = error.problems
    options.id = options.id or _new_id(body.get("manifest"))
    output.event("submitting", f"deployment {options.id}", deployment_id=options.id)
    storage = connect(options)
    wanted = settings.load().traceparent
    # A tool sets the variable, not a person: an invalid value is ignored.
    traceparent = wanted if TRACEPARENT.fullmatch(wanted) else ""
    if stored.files and not problems:
        sent = stored.send(storage.blobs)
        output.event(
            "stored", f"{len(stored.files)} files, {sent} bytes of them new", files=len(stored.files), bytes=sent
        )
    message = envelope(storage.blobs, options.id, body, options.requested_by, traceparent)
    recorded = ", and the app records it as rejected"
    try:
        storage.submit(message)
        options.is_sent = True
    except InvalidInputError as error:  # over HTTP the app responds at once
        problems, recorded = error.problems, ""
    if problems:
        output.event("rejected", f"the manifest has {how_many(problems)}{recorded}:")
        output.problems(problems)
        return BAD_REQUEST
    expected = content_hash(body["manifest"])
    if not options.wait:
        with suppress(NotFoundError, StorageUnavailableError):  # the submission is on its way all the same
            try:
                stored = storage.journal.header(options.id).record
            except ForgottenError as error:
                stored = error.record
            if stored.manifest_hash != expected:
                return conflict(stored, output)
            if stored.forgotten_at is not None:
                return forgotten(stored, output)
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
        FollowOptions(options.timeout, follow_command(options), expected_hash=expected),
    )


def _new_id(manifest: Any) -> str:
    name = (as_object(manifest) or {}).get("name")
    return new_deployment_id(name, datetime.now(UTC), secrets.token_hex(3), default="deployment")
