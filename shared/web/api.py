"""The API as one table: a row a route. The functions app registers it, the OpenAPI document describes it."""

import logging
import uuid
from dataclasses import replace

from shared.domain.errors import ConflictError, FabricError, StorageUnavailableError
from shared.saga.command.verbs import Verb
from shared.settings import SettingsError
from shared.web import bodies, breakers, deployments, openapi, orphans, page, plans, verbs
from shared.web.backend import Backend, Handler, Route
from shared.web.http import HttpError, Reply, Request, problem

log = logging.getLogger(__name__)
RETRY_SECONDS = 5


def _document(request: Request, backend: Backend) -> Reply:
    return openapi.serve(request, ROUTES)


def _page(request: Request, backend: Backend) -> Reply:
    return page.serve(request)


def declaring(route: Route) -> Route:
    """The route with a handler that is asked only if the address has no other parameters than the row declares."""

    def handler(request: Request, backend: Backend) -> Reply:
        bodies.declared(request, route.query, route.repeatable)
        return route.handler(request, backend)

    return replace(route, handler=handler)


_ROWS = (
    Route(
        "submit_deployment",
        "POST",
        "deployments",
        deployments.submit_deployment,
        query=("id", "requested_by"),
        needs_engine=True,
    ),
    Route(
        "list_deployments",
        "GET",
        "deployments",
        deployments.list_deployments,
        query=("target", "state", "open", "limit", "cursor"),
        repeatable=("state",),
    ),
    Route("get_deployment", "GET", "deployments/{id}", deployments.get_deployment),
    Route("get_audit", "GET", "deployments/{id}/audit", deployments.get_audit),
    Route("get_graph", "GET", "deployments/{id}/graph", deployments.get_graph),
    *(
        Route(
            f"{verb.value}_deployment",
            "POST",
            f"deployments/{{id}}/{verb.value}",
            verbs.command_handler(verb),
            needs_engine=True,
        )
        for verb in Verb
    ),
    Route("plan_manifest", "POST", "plan", plans.plan_manifest),
    Route("list_breakers", "GET", "breakers", breakers.list_breakers),
    Route("reset_breaker", "POST", "breakers/{name}/reset", breakers.reset_breaker),
    Route("list_orphans", "GET", "orphans", orphans.list_orphans),
    Route("get_openapi", "GET", "openapi.json", _document, is_anonymous=True),
    Route("dashboard", "GET", "dashboard", _page, is_anonymous=True),
    Route("dashboard_file", "GET", "dashboard/{file}", _page, is_anonymous=True),
)
ROUTES: tuple[Route, ...] = tuple(map(declaring, _ROWS))


def answer(handler: Handler, request: Request, backend: Backend) -> Reply:
    """Run a handler. Whatever it raises becomes a problem; what nobody expected is logged, under the id answered."""
    try:
        return handler(request, backend)
    except HttpError as error:
        return problem(request, error)
    except FabricError as error:
        return problem(request, HttpError(502, f"{error}; ask again later"))
    except (StorageUnavailableError, ConflictError, SettingsError) as error:
        log.warning("%s %s: %s", request.method, request.path, error)
        detail = "the app's storage, its engine or its settings do not let it answer now; the app's log says why"
        return problem(request, HttpError(503, detail, headers={"Retry-After": str(RETRY_SECONDS)}))
    except Exception:
        correlation_id = uuid.uuid4().hex
        log.exception("%s %s failed (%s)", request.method, request.path, correlation_id)
        detail = "this is a fault of the app; its log has more under the correlation id"
        return problem(request, HttpError(500, detail, correlation_id=correlation_id))
