"""Deployments over HTTP: list them, read one with its steps, its parts and its step graph."""

import json
import re
from datetime import UTC, datetime, timedelta

from shared.domain.approval import APPROVAL, question
from shared.domain.audit import step_subject
from shared.domain.errors import NotFoundError
from shared.domain.json import JsonObject
from shared.domain.names import normal_target
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import DeploymentState
from shared.domain.step_graph import levels
from shared.saga.audit.replay import NOTES
from shared.saga.command.verbs import allowed_verbs
from shared.saga.submission.promotion import parts_of
from shared.saga.submission.redeploy import stored_manifest
from shared.web import cursors
from shared.web.backend import Backend, checked_id, unknown
from shared.web.bodies import Query
from shared.web.http import HttpError, Reply, Request, is_unchanged, json_reply, tagged, unchanged
from shared.web.watching import Sequences

PAGE, MAX_PAGE = 50, 200
_CURSOR = re.compile(r"(-?\d{1,18}):([A-Za-z0-9][A-Za-z0-9._-]{0,99})")
_EPOCH = datetime.fromtimestamp(0, UTC)
_MICROSECOND = timedelta(microseconds=1)


def list_deployments(request: Request, backend: Backend) -> Reply:
    """List one page, newest first. The cursor is a position in time, so later arrivals do not change the pages."""
    query = Query(request)
    target = query.text("target")
    states = query.words("state", tuple(state.value for state in DeploymentState))
    open_only = query.flag("open")
    labels = query.labels("label")
    limit = query.count("limit", PAGE, MAX_PAGE)
    cursor = query.text("cursor")
    after = read_cursor(cursor) if cursor is not None else None
    if cursor is not None and after is None:
        query.problem("cursor", cursors.UNKNOWN)
    query.finish()
    found = backend.app().services.journal.page(
        limit + 1,
        after=after,
        target=normal_target(target) if target is not None else None,
        states=[DeploymentState(word) for word in states],
        open_only=open_only,
        labels=labels,
    )
    following = make_cursor(found[limit - 1]) if len(found) > limit else None
    return json_reply({"items": [header.to_json() for header in found[:limit]], "next": following})


def make_cursor(header: DeploymentRecord) -> str:
    """Return the cursor of a header, which callers send back unread."""
    return cursors.encode(f"{(header.accepted_at - _EPOCH) // _MICROSECOND}:{header.deployment_id}")


def read_cursor(text: str) -> tuple[datetime, str] | None:
    """Return the position of a cursor, or None if it is not valid."""
    match = _CURSOR.fullmatch(cursors.decode(text))
    try:
        return (_EPOCH + int(match[1]) * _MICROSECOND, match[2]) if match else None
    except OverflowError:
        return None


def get_deployment(request: Request, backend: Backend) -> Reply:
    """Return the header, its steps and the verbs that are possible now."""
    deployment_id = request.route["id"]

    def read() -> tuple[Sequences, bytes]:
        header = backend.header(deployment_id)
        steps = steps_of(backend, deployment_id)
        allowed = [verb.value for verb in allowed_verbs(header, steps)]
        body = {**header.to_json(), "steps": [step_json(step) for step in steps], "allowed": allowed}
        # The numbers of the rows that were read, not of the present rows: one tag, the same bytes.
        sequences_read = {"header": header.sequence, **{step_subject(step.ordinal): step.sequence for step in steps}}
        return sequences_read, json.dumps(body, ensure_ascii=True).encode()

    def sequences() -> Sequences:
        found = sequences_of(backend, deployment_id)
        return {row: number for row, number in found.items() if row != NOTES}

    follows = "if-none-match" in request.headers
    tag, content = backend.watching.look(
        deployment_id, sequences, read, (lambda tag: is_unchanged(request, tag)) if follows else None
    )
    return unchanged(tag) if content is None else tagged(request, tag, Reply(200, content))


def sequences_of(backend: Backend, deployment_id: str) -> Sequences:
    """Return the sequence numbers of the rows of a deployment. Raises HttpError 404."""
    try:
        return backend.app().services.journal.sequences(checked_id(deployment_id))
    except NotFoundError as error:
        backend.header(deployment_id)  # past its retention, this raises with what remains of the header
        raise unknown(deployment_id, error) from None


def step_json(step: StepRecord) -> JsonObject:
    """Return a step without its spec, its before-image and its claim. An approval has its question in `asks`."""
    data = {name: value for name, value in step.to_json().items() if name not in ("spec", "claim")}
    if "intent" in data:
        data["intent"] = {name: value for name, value in data["intent"].items() if name != "before"}
    data["needs"] = list(step.needed)
    if step.kind == APPROVAL:
        data["asks"] = question(step.spec)
    return data


def steps_of(backend: Backend, deployment_id: str) -> list[StepRecord]:
    """Return the steps of a deployment; those of an approval with their specs."""
    services = backend.app().services
    steps = [row.record for row in services.journal.steps(deployment_id)]
    return [s.replace(spec=services.payloads.load(s.spec)) if s.kind == APPROVAL else s for s in steps]


def get_parts(request: Request, backend: Backend) -> Reply:
    """Return the digest of each part of the stored manifest. Raises HttpError 404."""
    header = backend.header(request.route["id"])
    blobs = backend.app().acceptance.blobs
    try:
        parts = parts_of(stored_manifest(header, blobs), blobs)
    except NotFoundError as error:
        raise HttpError(404, str(error)) from None
    return json_reply({"items": [{"name": name, "digest": digest} for name, digest in sorted(parts.items())]})


def get_graph(request: Request, backend: Backend) -> Reply:
    """Return the step graph of the manifest, as it was journaled."""
    header = backend.header(request.route["id"])
    steps = steps_of(backend, header.deployment_id)
    ids = {step.ordinal: step.step_id for step in steps}
    rows = [
        {
            "id": step.step_id,
            "kind": step.kind,
            "needs": [ids[need] for need in step.needed if need in ids],
            "timeout_seconds": step.timeout_seconds,
            "on_failure": step.on_failure,
        }
        for step in steps
    ]
    waves = [[ids[i] for i in wave if i in ids] for wave in levels({step.ordinal: step.needed for step in steps})]
    return json_reply({"name": header.name, "target": header.target, "steps": rows, "waves": waves})
