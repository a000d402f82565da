"""The OpenAPI 3.1 document, built from the table of routes."""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus

from shared.domain.json import JsonObject
from shared.saga.command.verbs import VerbSpec
from shared.web import page
from shared.web.backend import Route
from shared.web.bodies import MANIFEST_TYPES
from shared.web.http import JSON, OCTETS, PROBLEM, Reply, Request, tagged
from shared.web.operation import ID_IN_PATH, OperationDoc
from shared.web.schemas import ref, schemas

VERSION = "1.0"


def verb_operation(spec: VerbSpec) -> OperationDoc:
    """Return the description of the route of a verb."""
    body = "StepCommandRequest" if spec.is_for_step else "CommandRequestWithReason" if spec.reason else ""
    return OperationDoc(
        "deployments",
        spec.summary,
        {202: ("CommandAccepted", "Accepted, or already in effect. The orchestration does the rest.")},
        (404, 409, 413, 415),
        (ID_IN_PATH,),
        body or "CommandRequest",
        is_body_required=body != "",
    )


_KEY = {"functionKey": {"type": "apiKey", "in": "header", "name": "x-functions-key"}}
_TOKEN = {"signIn": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}


def document(routes: Iterable[Route], *, signs_in: bool = False) -> JsonObject:
    """Return the whole document, for an app with sign-in or with function keys."""
    schemes = _TOKEN if signs_in else _KEY
    paths: JsonObject = {}
    for route in routes:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route, signs_in)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fabric Saga",
            "version": VERSION,
            "summary": "Transactional deployments to Microsoft Fabric: everything applied or everything rolled back.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/api"}],
        "security": [{name: []} for name in schemes],
        "tags": [{"name": name} for name in ("deployments", "payloads", "operations", "health", "meta")],
        "paths": paths,
        "components": {
            "securitySchemes": schemes,
            "schemas": schemas(),
        },
    }


def _operation(route: Route, signs_in: bool) -> JsonObject:
    doc = route.doc
    operation: JsonObject = {"operationId": route.name, "tags": [doc.tag], "summary": doc.summary}
    if doc.description:
        operation["description"] = doc.description
    if doc.parameters:
        operation["parameters"] = list(doc.parameters)
    if doc.body is not None:
        types = {"Manifest": MANIFEST_TYPES, "PayloadContent": (OCTETS,)}.get(doc.body, (JSON,))
        content = {media_type: {"schema": ref(doc.body)} for media_type in types}
        operation["requestBody"] = {"required": doc.is_body_required, "content": content}
    if route.is_anonymous:
        operation["security"] = []
    operation["responses"] = _responses(route, signs_in)
    return operation


def _responses(route: Route, signs_in: bool) -> JsonObject:
    responses: JsonObject = {str(status): _response(route.doc, status) for status in route.doc.answers}
    # An anonymous route needs neither a key nor the app's storage.
    general = (400, 500) if route.is_anonymous else (400, 401, 500, 503)
    refused = (403,) if signs_in and not route.is_anonymous else ()
    for status in (*route.doc.problems, *general, *refused):
        responses.setdefault(str(status), _problem(status, signs_in))
    if route.method == "HEAD":
        for response in responses.values():
            response.pop("content", None)
    return dict(sorted(responses.items()))


def _response(doc: OperationDoc, status: int) -> JsonObject:
    schema, text = doc.answers[status]
    response: JsonObject = {"description": text}
    if schema is not None:
        response["content"] = _content(schema, doc.media_type)
    headers: JsonObject = {}
    if doc.etag != "never":
        headers["ETag"] = {"required": doc.etag == "always", "schema": {"type": "string"}}
    if status == 202:
        headers["Location"] = {"required": True, "schema": {"type": "string"}}
    if headers | doc.headers:
        response["headers"] = headers | doc.headers
    if doc.links:
        response["links"] = {name: _link(operation) for name, operation in doc.links.items()}
    return response


def _content(schema: str, media_type: str) -> JsonObject:
    if schema == "File":
        return {kind.split(";")[0]: {} for kind in sorted(set(page.TYPES.values()))}
    return {media_type: {"schema": {"type": "object"} if schema == "Document" else ref(schema)}}


def _link(operation: str) -> JsonObject:
    return {"operationId": operation, "parameters": {"id": "$response.body#/deployment_id"}}


def _problem(status: int, signs_in: bool) -> JsonObject:
    if status == 401 and not signs_in:
        return {"description": "The function key is missing or wrong. The host sends this response, without a body."}
    response: JsonObject = {
        "description": HTTPStatus(status).phrase,
        "content": {PROBLEM: {"schema": ref("Problem")}},
    }
    if status == 503:
        response["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer"}}}
    return response


@cache
def _built(routes: tuple[Route, ...], signs_in: bool) -> tuple[bytes, str]:
    content = json.dumps(document(routes, signs_in=signs_in), ensure_ascii=True, separators=(",", ":")).encode()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def serve(request: Request, routes: tuple[Route, ...], *, signs_in: bool = False) -> Reply:
    """Return the document, which is built once, on first use."""
    content, tag = _built(routes, signs_in)
    return tagged(request, tag, Reply(200, content, JSON, {"Cache-Control": "no-cache"}))
