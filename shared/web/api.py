"""The API as one table with a row for each route: function_app.py registers it, the OpenAPI document describes it.

A row carries its description, so that the parameters which the app accepts and those in the document are the same.
"""

import logging
import uuid
from dataclasses import replace

from shared.domain.access import ANY_ROLE, DEPLOYERS, OPERATORS, SIGNED_IN
from shared.domain.errors import ConflictError, FabricError, StorageUnavailableError
from shared.domain.labels import LABEL
from shared.domain.states import DeploymentState
from shared.saga.command.verbs import VERBS
from shared.settings import SettingsError
from shared.web import (
    access,
    audit,
    bodies,
    breakers,
    deployments,
    health,
    openapi,
    orphans,
    page,
    payloads,
    plans,
    submission,
    verbs,
)
from shared.web.backend import Backend, Handler, Route
from shared.web.http import HEALTH, HttpError, Reply, Request, problem
from shared.web.operation import ID_IN_PATH, IF_NONE_MATCH, NOT_MODIFIED, OperationDoc, parameter
from shared.web.schemas import ID, LINE

log = logging.getLogger(__name__)
RETRY_SECONDS = 5


def _document(request: Request, backend: Backend) -> Reply:
    return openapi.serve(request, ROUTES, signs_in=backend.signs_in)


def _page(request: Request, backend: Backend) -> Reply:
    return page.serve(request, sign_in=access.SIGN_IN if backend.signs_in else "")


def _with_declared_query(route: Route) -> Route:
    """Return the route with a handler that refuses an address with a parameter that the row does not declare."""

    def handler(request: Request, backend: Backend) -> Reply:
        bodies.declared(request, route.doc.query, route.doc.repeatable)
        return route.handler(request, backend)

    return replace(route, handler=handler)


_RETRY_AFTER = {"Retry-After": {"required": True, "schema": {"type": "integer"}}}
_SUBMITTED = {"deployment": "get_deployment", "cancel": "cancel_deployment"}


def _of_manifest(name: str, path: str, handler: Handler, summary: str, schema: str) -> Route:
    """Return the row of a route that describes the manifest of a deployment."""
    doc = OperationDoc("deployments", summary, {200: (schema, "As it was accepted.")}, (404,), (ID_IN_PATH,))
    return Route(name, "GET", f"deployments/{{id}}/{path}", handler, ANY_ROLE, doc)


_DEPLOYMENTS = (
    Route(
        "submit_deployment",
        "POST",
        "deployments",
        submission.submit_deployment,
        DEPLOYERS,
        OperationDoc(
            "deployments",
            "Submit a deployment",
            {202: ("Accepted", "The submission is stored and starts; `state` is the recorded state.")},
            (409, 413, 415),
            (
                parameter(
                    "id",
                    ID,
                    "The idempotency key: the same id with the same manifest is the same deployment. Without it, the "
                    "app uses the manifest's own `id`, or a new one for each request.",
                ),
                parameter("requested_by", {**LINE, "maxLength": 256}, "The requester, as the caller states it."),
            ),
            "Manifest",
            description="Files that a manifest names (`file`, `folder`) must be packed into it; the command line does "
            "this.",
            headers=_RETRY_AFTER,
            links=_SUBMITTED,
        ),
        needs_engine=True,
    ),
    Route(
        "redeploy_deployment",
        "POST",
        "deployments/{id}/redeploy",
        submission.redeploy_deployment,
        DEPLOYERS,
        OperationDoc(
            "deployments",
            "Submit the manifest of an ended deployment again, as a new deployment",
            {202: ("Accepted", "The submission is stored and starts; `deployment_id` is the new deployment.")},
            (404, 409, 413, 415),
            (ID_IN_PATH,),
            "RedeployRequest",
            is_body_required=False,
            description="With the values, files and items that it had. Fabric may have changed since: POST /plan shows "
            "what the same manifest would change now.",
            headers=_RETRY_AFTER,
            links=_SUBMITTED,
        ),
        needs_engine=True,
    ),
    Route(
        "list_deployments",
        "GET",
        "deployments",
        deployments.list_deployments,
        ANY_ROLE,
        OperationDoc(
            "deployments",
            "List deployments, newest first",
            {200: ("Deployments", "One page.")},
            (400,),
            (
                parameter("target", {"type": "string"}, "Only deployments of this target."),
                parameter(
                    "state",
                    {"type": "array", "items": {"type": "string", "enum": [str(state) for state in DeploymentState]}},
                    "Only deployments in this state; repeat the parameter for several states.",
                ),
                parameter("open", {"type": "boolean"}, "Only deployments that have not ended."),
                parameter(
                    "label",
                    {"type": "array", "items": {"type": "string", "pattern": LABEL}},
                    "Only deployments that have this label, NAME=VALUE; with several, all of them.",
                ),
                parameter(
                    "limit",
                    {"type": "integer", "minimum": 1, "maximum": deployments.MAX_PAGE, "default": deployments.PAGE},
                    "The maximum number of deployments in the page.",
                ),
                parameter(
                    "cursor",
                    {"type": "string"},
                    "`next` of the previous page. Deployments accepted in the meantime do not change the pages.",
                ),
            ),
        ),
    ),
    Route(
        "get_deployment",
        "GET",
        "deployments/{id}",
        deployments.get_deployment,
        ANY_ROLE,
        OperationDoc(
            "deployments",
            "Return one deployment with its steps and the verbs that are possible now",
            {200: ("Deployment", "The deployment."), **NOT_MODIFIED},
            (404,),
            (ID_IN_PATH, IF_NONE_MATCH),
            etag="always",
        ),
    ),
    Route(
        "get_audit",
        "GET",
        "deployments/{id}/audit",
        audit.get_audit,
        ANY_ROLE,
        OperationDoc(
            "deployments",
            "List every change of state: what, when, who, why; oldest first",
            {200: ("Audit", "One page. The audit is kept after the deployment is forgotten."), **NOT_MODIFIED},
            (400, 404),
            (
                ID_IN_PATH,
                IF_NONE_MATCH,
                parameter(
                    "limit",
                    {"type": "integer", "minimum": 1, "maximum": audit.MAX_PAGE, "default": audit.PAGE},
                    "The maximum number of entries in the page.",
                ),
                parameter("cursor", {"type": "string"}, "`next` of the previous page."),
            ),
            etag="sometimes",  # until the deployment itself is forgotten
        ),
    ),
    _of_manifest("get_parts", "parts", deployments.get_parts, "List its parts by their hashes", "Parts"),
    _of_manifest(
        "get_graph", "graph", deployments.get_graph, "Return the step graph that the manifest was compiled to", "Graph"
    ),
    *(
        Route(
            f"{verb.value}_deployment",
            "POST",
            f"deployments/{{id}}/{verb.value}",
            verbs.command_handler(verb),
            spec.roles,
            openapi.verb_operation(spec),
            needs_engine=True,
        )
        for verb, spec in VERBS.items()
    ),
    Route(
        "plan_manifest",
        "POST",
        "plan",
        plans.plan_manifest,
        DEPLOYERS | OPERATORS,
        OperationDoc(
            "deployments",
            "Show what a deployment of a manifest would change",
            {200: ("DryRun", "One row for each step. Nothing was changed.")},
            (413, 415, 502),
            body="Manifest",
            description="Reads the live workspace with the app's own identity and changes nothing.",
        ),
    ),
)
_PAYLOADS = (
    Route(
        "missing_payloads",
        "POST",
        "payloads/missing",
        payloads.missing_payloads,
        DEPLOYERS | OPERATORS,
        OperationDoc(
            "payloads",
            "List which files of a repository the app does not have yet",
            {200: ("MissingPayloads", "The digests of the missing files.")},
            (413, 415),
            body="PayloadDigests",
            description="The command line asks before it submits a step of kind `repository`, and stores what is "
            "missing.",
        ),
    ),
    Route(
        "store_payload",
        "PUT",
        "payloads/{digest}",
        payloads.store_payload,
        DEPLOYERS | OPERATORS,
        OperationDoc(
            "payloads",
            "Store a file of a repository",
            {200: ("Payload", "The file is stored. Storing it again has no effect.")},
            (413, 415),
            (parameter("digest", {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "The file's SHA-256.", "path"),),
            body="PayloadContent",
        ),
    ),
)
_OPERATIONS = (
    Route(
        "list_breakers",
        "GET",
        "breakers",
        breakers.list_breakers,
        ANY_ROLE,
        OperationDoc("operations", "List the circuit breakers", {200: ("Breakers", "All circuit breakers.")}),
    ),
    Route(
        "reset_breaker",
        "POST",
        "breakers/{name}/reset",
        breakers.reset_breaker,
        OPERATORS,
        OperationDoc(
            "operations",
            "Close a circuit breaker for all workers",
            {200: ("Breaker", "The breaker after the reset.")},
            (404,),
            (parameter("name", {"type": "string", "minLength": 1}, "The breaker's name.", "path"),),
        ),
    ),
    Route(
        "list_orphans",
        "GET",
        "orphans",
        orphans.list_orphans,
        ANY_ROLE,
        OperationDoc(
            "operations",
            "List what the next sweep would delete",
            {200: ("Orphans", "The orphans that exist in Fabric now. The request deletes nothing.")},
            (502,),
            description="Searches the newest deployments that were rolled back and that the sweeper has not checked "
            "for orphans yet, up to a maximum number. A resource is an orphan only if it has the marker of the step "
            "that created it.",
        ),
    ),
)


def _health(name: str, summary: str, answers: dict[int, tuple[str, str]], *, is_anonymous: bool) -> tuple[Route, Route]:
    """Return the rows of a health route: GET, and HEAD without a body, because some monitors send HEAD."""
    doc = OperationDoc("health", summary, answers, media_type=HEALTH)
    path, handler = name.replace("_", "/"), health.health_handler(name)
    get = Route(name, "GET", path, handler, ANY_ROLE, doc, is_anonymous=is_anonymous)
    head_doc = replace(doc, summary=f"{summary} (headers only)")
    return get, replace(get, name=f"{name}_head", method="HEAD", doc=head_doc)


_HEALTH = (
    *_health("health_live", "The process responds", {200: ("Health", "It responds.")}, is_anonymous=True),
    *_health(
        "health_ready",
        "The app can do its work",
        {200: ("Health", "It can."), 503: ("Health", "The app cannot do its work: a check failed.")},
        is_anonymous=True,
    ),
    *_health(
        "health",
        "Return every check with its findings",
        {200: ("Health", "No essential check failed."), 503: ("Health", "An essential check failed.")},
        is_anonymous=False,
    ),
)
_META = (
    Route(
        "who_am_i",
        "GET",
        "me",
        access.me,
        SIGNED_IN,
        OperationDoc("meta", "Return the caller and the caller's roles", {200: ("Me", "The caller.")}),
    ),
    Route(
        "get_openapi",
        "GET",
        "openapi.json",
        _document,
        SIGNED_IN,
        OperationDoc(
            "meta", "Return this document", {200: ("Document", "OpenAPI 3.1."), **NOT_MODIFIED}, etag="always"
        ),
        is_anonymous=True,
    ),
    Route(
        "dashboard",
        "GET",
        "dashboard",
        _page,
        SIGNED_IN,
        OperationDoc("meta", "Return the page", {200: ("File", "HTML."), **NOT_MODIFIED}, (404,), etag="always"),
        is_anonymous=True,
    ),
    Route(
        "dashboard_file",
        "GET",
        "dashboard/{file}",
        _page,
        SIGNED_IN,
        OperationDoc(
            "meta",
            "Return a file of the page",
            {200: ("File", "The file."), **NOT_MODIFIED},
            (404,),
            (parameter("file", {"type": "string", "minLength": 1}, "The file's name.", "path"),),
            etag="always",
        ),
        is_anonymous=True,
    ),
)
_ALL = (*_DEPLOYMENTS, *_PAYLOADS, *_OPERATIONS, *_META, *_HEALTH)
ROUTES: tuple[Route, ...] = tuple(access.guarded(_with_declared_query(route)) for route in _ALL)


def answer(handler: Handler, request: Request, backend: Backend) -> Reply:
    """Run a handler and return its reply. Every error becomes problem details.

    An unexpected error is logged with a correlation id, which the reply contains; the reply contains nothing else of
    the error.
    """
    try:
        return handler(request, backend)
    except HttpError as error:
        return problem(request, error)
    except FabricError as error:
        return problem(request, HttpError(502, f"{error}; try again later"))
    except (StorageUnavailableError, ConflictError, SettingsError) as error:
        log.warning("%s %s: %s", request.method, request.path, error)
        detail = "storage, the durable engine or the settings are unavailable; see the app's log, and try again later"
        return problem(request, HttpError(503, detail, headers={"Retry-After": str(RETRY_SECONDS)}))
    except Exception:
        correlation_id = uuid.uuid4().hex
        log.exception("%s %s failed (%s)", request.method, request.path, correlation_id)
        detail = "the app failed unexpectedly; search its log for the correlation id"
        return problem(request, HttpError(500, detail, correlation_id=correlation_id))
