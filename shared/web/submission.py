"""Submissions over HTTP: a manifest, or that of an ended deployment again. 202 only once the submission is durable."""

import logging
import uuid
from typing import Any

from shared.domain.deployment_ids import ID_RULE, is_deployment_id
from shared.domain.errors import InvalidInputError, NotFoundError, Problem, StorageUnavailableError, how_many
from shared.domain.forgotten import ForgottenError
from shared.domain.json import JsonObject, as_object
from shared.domain.labels import relabelled
from shared.domain.manifest import compile_manifest
from shared.domain.names import normal_target
from shared.domain.records import DeploymentRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState
from shared.domain.step_graph import StepGraph
from shared.domain.trace import TRACEPARENT
from shared.saga.command.commands import misread
from shared.saga.submission.acceptance import Submission, opened
from shared.saga.submission.envelope import envelope
from shared.saga.submission.redeploy import obstacle, stored_manifest
from shared.web import bodies
from shared.web.access import check_target
from shared.web.backend import Backend
from shared.web.bodies import Query
from shared.web.http import HttpError, Reply, Request, bad_request, json_reply

log = logging.getLogger(__name__)

FOLLOW_SECONDS = 2
"""Retry-After of a submission, in seconds."""
REPEAT_SECONDS = 5.0
"""Delay of the queue's copy of a submission: by then it is journaled, unless this process has died."""
UNPROVEN_SECONDS = 120.0
"""The same delay if a message on the queue proves no identity (QUEUE_NEEDS_IDENTITY). The copy then only completes what
is journaled, so it must come after the answer to the request. The journal is written in seconds; Azure ends a request
without an answer only after 230 s."""


def submit_deployment(request: Request, backend: Backend) -> Reply:
    """Return 202 once the submission is durable: in the journal, and on the queue in case this process dies."""
    query = Query(request)
    wanted = query.text("id")
    if wanted is not None and not is_deployment_id(wanted):
        query.problem("id", ID_RULE)
    claimed = query.plain("requested_by", 256)
    query.finish()
    manifest: Any = request.body
    try:
        manifest, declared = bodies.without_id(bodies.manifest(request))
        if wanted is not None and declared not in (None, wanted):
            detail = f"is '{declared}', and query.id is '{wanted}': one id names one deployment; give one of them"
            raise bad_request([Problem("$.id", detail)])
        _refuse_command(as_object(manifest))
        wanted = wanted or declared
        graph = compile_manifest(manifest, backend.app().acceptance.kinds)
    except InvalidInputError as error:
        if manifest is request.body:  # it cannot be read as a manifest, but it may be a command
            _refuse_command(opened(request.body))
        raise _refused(backend, wanted, manifest, backend.requester(claimed), error) from None
    return _submitted(request, backend, wanted, manifest, graph, claimed or graph.requested_by)


def redeploy_deployment(request: Request, backend: Backend) -> Reply:
    """Submit the manifest of an ended deployment as a new one, with other labels if the body has some. 409 if it has
    none that may be sent again."""
    fields, labels = bodies.redeployment(request)
    earlier = backend.header(request.route["id"])
    wanted = fields["id"] or None
    if wanted is not None and not is_deployment_id(wanted):
        raise bad_request([Problem("$.id", ID_RULE)])
    why = obstacle(earlier)
    if not why and wanted == earlier.deployment_id:
        why = f"{wanted} is the id of the deployment that is sent again: give another id, or leave `id` out"
    if why:
        raise HttpError(409, why, deployment_id=earlier.deployment_id, state=earlier.state.value)
    acceptance = backend.app().acceptance
    try:
        manifest = relabelled(stored_manifest(earlier, acceptance.blobs), labels)
        graph = compile_manifest(manifest, acceptance.kinds)
    except NotFoundError as error:
        raise HttpError(409, str(error), deployment_id=earlier.deployment_id, state=earlier.state.value) from None
    except InvalidInputError as error:  # accepted by an earlier version
        raise bad_request(error.problems, f"this version does not accept it: {how_many(error.problems)}") from None
    return _submitted(request, backend, wanted, manifest, graph, fields["requested_by"] or graph.requested_by)


def _submitted(
    request: Request, backend: Backend, wanted: str | None, manifest: Any, graph: StepGraph, claimed: str
) -> Reply:
    """Make the submission durable, start it, and return the reply. `claimed` is the requester as the caller says."""
    app = backend.app()
    check_target(backend, normal_target(graph.target))
    requested_by = backend.requester(claimed)
    deployment_id = wanted or f"http-{uuid.uuid4().hex}"
    sent = request.headers.get("traceparent", "")
    # An invalid one is ignored, as W3C Trace Context requires.
    traceparent = sent if TRACEPARENT.fullmatch(sent) else ""
    if not _exists(backend, deployment_id):
        message = envelope(app.acceptance.blobs, deployment_id, {"manifest": manifest}, requested_by, traceparent)
        app.submit(message, UNPROVEN_SECONDS if app.acceptance.access.queue_needs_identity else REPEAT_SECONDS)
    submission = Submission(deployment_id, manifest, requested_by, traceparent, backend.caller.object_id)
    accepted = app.acceptance.submit(submission)
    header = accepted.header
    if accepted.conflict:
        past = ", past its retention" if header.forgotten_at is not None else ""
        detail = f"the id belongs to another manifest ({header.name}, {header.state.value}{past}); choose another id"
        raise HttpError(409, detail, deployment_id=deployment_id, state=header.state.value)
    if header.state is DeploymentState.REJECTED:
        raise _rejected(header)
    if header.state not in DEPLOYMENT_ENDED:
        app.acceptance.keep(manifest)
        _start(backend, deployment_id)
    body = {name: header.to_json()[name] for name in ("deployment_id", "state", "target", "manifest_hash")}
    if header.forgotten_at is not None:
        body["message"] = str(ForgottenError(header))
    collection = request.path.rstrip("/")
    if "id" in request.route:  # .../deployments/{id}/redeploy
        collection = collection.rsplit("/", 2)[0]
    headers = {"Location": f"{collection}/{deployment_id}", "Retry-After": str(FOLLOW_SECONDS)}
    return json_reply(body, 202, headers)


def _refuse_command(body: JsonObject | None) -> None:
    """Raise HttpError 400 for a command, also a misspelt one: it is not a submission and takes no id."""
    problem = misread(body)
    if problem is None and body is not None and "command" in body:
        problem = Problem("$.command", f"must be sent to /deployments/<id>/{body['command']}")
    if problem is not None:
        raise bad_request([problem])


def _refused(backend: Backend, wanted: str | None, manifest: Any, who: str, error: InvalidInputError) -> HttpError:
    """Return the problems. With an id they are recorded as rejected, so that a client that waits for it gets them."""
    if wanted is None:
        return bad_request(error.problems)
    accepted = backend.app().acceptance.reject(Submission(wanted, manifest, who), error.problems)
    recorded = (
        "; not recorded, because the id belongs to another manifest" if accepted.conflict else "; recorded as rejected"
    )
    count = f"the manifest has {how_many(error.problems)}{recorded}"
    return bad_request(error.problems, count, deployment_id=wanted)


def _rejected(header: DeploymentRecord) -> HttpError:
    """Return the error of a valid submission that cannot run: too large for the journal, or its target is locked."""
    text = header.error.message if header.error else "it was rejected"
    text = str(ForgottenError(header)) if header.forgotten_at is not None else text
    deployment_id, state = header.deployment_id, header.state.value
    if header.problems:
        return HttpError(400, text, problems=list(header.problems), deployment_id=deployment_id, state=state)
    return HttpError(409, f"{text}; submit again under a new id", deployment_id=deployment_id, state=state)


def _exists(backend: Backend, deployment_id: str) -> bool:
    try:
        backend.app().services.journal.header(deployment_id)
    except ForgottenError:
        return True
    except NotFoundError:
        return False
    return True


def _start(backend: Backend, deployment_id: str) -> None:
    try:
        backend.engine().start(deployment_id)
    except StorageUnavailableError as error:
        log.warning(
            "deployment %s is accepted and not started: %s; its message or the sweeper will", deployment_id, error
        )
