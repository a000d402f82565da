"""The OpenAPI 3.1 document: of every row of the table of routes, what it takes and all that it may answer."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from http import HTTPStatus

from shared.domain.json import JsonObject
from shared.domain.states import DeploymentState
from shared.saga.command.verbs import Verb
from shared.web import page
from shared.web.backend import Route
from shared.web.bodies import MANIFEST_TYPES
from shared.web.deployments import MAX_PAGE, PAGE
from shared.web.http import HEALTH, JSON, PROBLEM, Reply, Request, tagged
from shared.web.schemas import ID, LINE, ref, schemas

VERSION = "1.0"


@dataclass(frozen=True)
class OperationDoc:
    """One operation in words: `answers` are (schema, description) by status, `problems` the statuses of errors of its
    own; those that any operation may give are added."""

    tag: str
    summary: str
    answers: Mapping[int, tuple[str | None, str]]
    problems: Sequence[int] = ()
    parameters: Sequence[JsonObject] = ()
    body: str | None = None
    is_body_required: bool = True
    description: str = ""
    media_type: str = JSON


def _parameter(name: str, schema: JsonObject, description: str, place: str = "query") -> JsonObject:
    return {"name": name, "in": place, "required": place == "path", "schema": schema, "description": description}


_ID = _parameter("id", ID, "The deployment's id.", "path")
_IF_NONE_MATCH = _parameter("If-None-Match", {"type": "string"}, "The ETag of what the caller has.", "header")
_VERBS = {
    Verb.CANCEL: "Put back what has not ended, or is held",
    Verb.APPROVE: "Approve a step that waits for a person",
    Verb.REFUSE: "Refuse a step that waits for a person",
    Verb.RESUME: "Go on from the failed steps of what is held or has failed",
    Verb.COMPENSATE: "Put back what is held or has failed; try again what is stuck",
    Verb.RETIRE: "Put back a whole deployment that has succeeded",
    Verb.RELEASE: "Give up the compensations of a stuck deployment that cannot be done, so that its target is free",
}


def _verb_operation(verb: Verb) -> OperationDoc:
    body = {
        Verb.APPROVE: "StepCommandRequest",
        Verb.REFUSE: "StepCommandRequest",
        Verb.RELEASE: "CommandRequestWithReason",
    }.get(verb)
    return OperationDoc(
        "deployments",
        _VERBS[verb],
        {202: ("CommandAccepted", "Granted, or it was already; the orchestration does the rest.")},
        (404, 409, 413, 415),
        (_ID,),
        body or "CommandRequest",
        is_body_required=body is not None,
    )


_HEALTH: Mapping[str, OperationDoc] = {
    "health_live": OperationDoc("health", "The process answers", {200: ("Health", "It does.")}, media_type=HEALTH),
    "health_ready": OperationDoc(
        "health",
        "The app can do its work",
        {200: ("Health", "It can."), 503: ("Health", "It cannot: a check failed.")},
        media_type=HEALTH,
    ),
    "health": OperationDoc(
        "health",
        "Every check with what it found",
        {200: ("Health", "Nothing that is essential failed."), 503: ("Health", "An essential check failed.")},
        media_type=HEALTH,
    ),
}
OPERATIONS: Mapping[str, OperationDoc] = {
    "submit_deployment": OperationDoc(
        "deployments",
        "Submit a deployment",
        {202: ("Accepted", "It is durable, and starts; the state is the recorded one.")},
        (409, 413, 415),
        (
            _parameter(
                "id",
                ID,
                "The idempotency key: the same id with the same manifest is the same deployment. Without it, the "
                "manifest's own `id`, or a new one each time.",
            ),
            _parameter("requested_by", {**LINE, "maxLength": 256}, "Who asks; what the caller says of itself."),
        ),
        "Manifest",
        description="Files that a manifest names (`file`, `folder`) must be packed into it: the command line does so.",
    ),
    "list_deployments": OperationDoc(
        "deployments",
        "List deployments, newest first",
        {200: ("Deployments", "A page.")},
        (400,),
        (
            _parameter("target", {"type": "string"}, "Of this target only."),
            _parameter(
                "state",
                {"type": "array", "items": {"type": "string", "enum": [str(state) for state in DeploymentState]}},
                "In one of these states; repeat it for several.",
            ),
            _parameter("open", {"type": "boolean"}, "Only those that have not ended."),
            _parameter(
                "limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": PAGE}, "The most in a page."
            ),
            _parameter("cursor", {"type": "string"}, "`next` of the page before; what arrived since shifts nothing."),
        ),
    ),
    "get_deployment": OperationDoc(
        "deployments",
        "One deployment with its steps, and what may be asked of it",
        {200: ("Deployment", "As it stands."), 304: (None, "The caller has it.")},
        (404,),
        (_ID, _IF_NONE_MATCH),
    ),
    "get_audit": OperationDoc(
        "deployments",
        "Every move: what, when, who, why; oldest first",
        {200: ("Audit", "The audit; it outlives the deployment."), 304: (None, "The caller has it.")},
        (404,),
        (_ID, _IF_NONE_MATCH),
    ),
    "get_graph": OperationDoc(
        "deployments", "What the manifest was compiled to", {200: ("StepGraph", "The plan.")}, (404,), (_ID,)
    ),
    **{f"{verb.value}_deployment": _verb_operation(verb) for verb in Verb},
    "plan_manifest": OperationDoc(
        "deployments",
        "What a deployment of a manifest would do",
        {200: ("DryRun", "A row a step; nothing was changed.")},
        (413, 415, 502),
        body="Manifest",
        description="Looks everything up in the live workspace, as the app's own identity, and changes nothing.",
    ),
    "list_breakers": OperationDoc("operations", "The circuit breakers", {200: ("Breakers", "All of them.")}),
    "reset_breaker": OperationDoc(
        "operations",
        "Close a circuit breaker for all workers",
        {200: ("Breaker", "As it stands now.")},
        (404,),
        (_parameter("name", {"type": "string", "minLength": 1}, "Its name.", "path"),),
    ),
    "list_orphans": OperationDoc(
        "operations",
        "What the next sweep would delete",
        {200: ("Orphans", "As found in Fabric now; nothing is deleted by asking.")},
        (502,),
        description="Of deployments that were put back and not looked over by the sweeper yet, the newest first, a "
        "bounded number of them. A resource is an orphan only if it bears the marker of the step that made it.",
    ),
    "get_openapi": OperationDoc(
        "meta", "This document", {200: ("Document", "OpenAPI 3.1."), 304: (None, "Unchanged.")}
    ),
    "dashboard": OperationDoc("meta", "The page", {200: ("File", "HTML."), 304: (None, "Unchanged.")}, (404,)),
    "dashboard_file": OperationDoc(
        "meta",
        "A file of the page",
        {200: ("File", "The file."), 304: (None, "Unchanged.")},
        (404,),
        (_parameter("file", {"type": "string", "minLength": 1}, "Its name.", "path"),),
    ),
    **_HEALTH,
    **{
        f"{name}_head": replace(operation, summary=f"{operation.summary} (headers alone)")
        for name, operation in _HEALTH.items()
    },
}
_PATHS = {"health_live": "health/live", "health_ready": "health/ready", "health": "health"}
OF_THE_APP = {**_PATHS, **{f"{name}_head": path for name, path in _PATHS.items()}}
"""HTTP functions that function_app.py has itself, and their paths: `..._head` answers HEAD, the others GET."""
_HEADS = frozenset(OF_THE_APP) - frozenset(_PATHS)
_MAY_BE_TAGGED = ("get_audit",)
"""Tagged while the deployment itself is there."""
_TAGGED = ("get_deployment", "get_openapi", "dashboard", "dashboard_file")
_PLAIN = frozenset(
    {"get_openapi", "dashboard", "dashboard_file", "health_live", "health_ready", "health_live_head"}
    | {"health_ready_head"}
)
"""They need neither a key nor the app's storage."""


def document(routes: Iterable[Route]) -> JsonObject:
    """The whole document; every route must be in OPERATIONS."""
    paths: JsonObject = {}
    for route in routes:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route.name)
    for name, path in OF_THE_APP.items():
        paths.setdefault(f"/{path}", {})["head" if name in _HEADS else "get"] = _operation(name)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fabric Saga",
            "version": VERSION,
            "summary": "Transactional deployments to Microsoft Fabric: all applied, or all put back.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/api"}],
        "security": [{"functionKey": []}],
        "tags": [{"name": name} for name in ("deployments", "operations", "health", "meta")],
        "paths": paths,
        "components": {
            "securitySchemes": {"functionKey": {"type": "apiKey", "in": "header", "name": "x-functions-key"}},
            "schemas": schemas(),
        },
    }


def _operation(name: str) -> JsonObject:
    operation = OPERATIONS[name]
    made: JsonObject = {"operationId": name, "tags": [operation.tag], "summary": operation.summary}
    if operation.description:
        made["description"] = operation.description
    if operation.parameters:
        made["parameters"] = list(operation.parameters)
    if operation.body is not None:
        types = MANIFEST_TYPES if operation.body == "Manifest" else (JSON,)
        content = {media_type: {"schema": ref(operation.body)} for media_type in types}
        made["requestBody"] = {"required": operation.is_body_required, "content": content}
    if name in _PLAIN:
        made["security"] = []
    made["responses"] = _responses(name, operation)
    return made


def _responses(name: str, operation: OperationDoc) -> JsonObject:
    responses: JsonObject = {}
    for status, (schema, text) in operation.answers.items():
        response: JsonObject = {"description": text}
        if schema is not None:
            response["content"] = _content(schema, operation.media_type)
        headers: JsonObject = {}
        if name in (*_TAGGED, *_MAY_BE_TAGGED):
            headers["ETag"] = {"required": name in _TAGGED, "schema": {"type": "string"}}
        if status == 202:
            headers["Location"] = {"required": True, "schema": {"type": "string"}}
        if name == "submit_deployment":
            headers["Retry-After"] = {"required": True, "schema": {"type": "integer"}}
            response["links"] = {"deployment": _link("get_deployment"), "cancel": _link("cancel_deployment")}
        if headers:
            response["headers"] = headers
        responses[str(status)] = response
    general = (400, 500) if name in _PLAIN else (400, 401, 500, 503)
    for status in (*operation.problems, *general):
        responses.setdefault(str(status), _problem(status))
    if name in _HEADS:
        responses = {
            status: {k: v for k, v in message.items() if k != "content"} for status, message in responses.items()
        }
    return dict(sorted(responses.items()))


def _content(schema: str, media_type: str) -> JsonObject:
    if schema == "File":
        return {kind.split(";")[0]: {} for kind in sorted(set(page.TYPES.values()))}
    return {media_type: {"schema": {"type": "object"} if schema == "Document" else ref(schema)}}


def _link(operation: str) -> JsonObject:
    return {"operationId": operation, "parameters": {"id": "$response.body#/deployment_id"}}


def _problem(status: int) -> JsonObject:
    if status == 401:
        return {"description": "No function key, or a wrong one. The host answers this, without a body."}
    response: JsonObject = {
        "description": HTTPStatus(status).phrase,
        "content": {PROBLEM: {"schema": ref("Problem")}},
    }
    if status == 503:
        response["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer"}}}
    return response


@cache
def _written(routes: tuple[Route, ...]) -> tuple[bytes, str]:
    content = json.dumps(document(routes), ensure_ascii=True, separators=(",", ":")).encode()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def serve(request: Request, routes: tuple[Route, ...]) -> Reply:
    """The document; made once, on first use."""
    content, tag = _written(routes)
    return tagged(request, tag, Reply(200, content, JSON, {"Cache-Control": "no-cache"}))
