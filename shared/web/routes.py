"""The blueprint: every row of the table as a function of the app. Only here and in function_app.py the host is known.

A blueprint's own auth level is ignored by the library, so it stands on each route.
"""

# The vendor annotates **kwargs of its decorators as unknown.
# pyright: reportUnknownMemberType=false

from collections.abc import Callable
from typing import Any

import azure.durable_functions as df
import azure.functions as func

from shared import bootstrap
from shared.domain.json import JsonObject
from shared.web.api import ROUTES, answer, declaring
from shared.web.backend import Backend, Route
from shared.web.http import SAFE_HEADERS, Reply, Request, health_reply
from shared.web.watching import Watching

blueprint = df.Blueprint()
_watching = Watching()


def to_http_response(reply: Reply) -> func.HttpResponse:
    """As the host takes it, with the headers that are on every answer."""
    headers = {**SAFE_HEADERS, **reply.headers}
    if reply.content_type:
        headers["Content-Type"] = reply.content_type
    return func.HttpResponse(reply.body or None, status_code=reply.status, headers=headers)


def health_answer(request: func.HttpRequest, ask: Callable[[], tuple[bool, JsonObject]]) -> func.HttpResponse:
    """Answer with what `ask` finds: whether the app passes, and the body. The address takes no parameters."""
    row = Route("health", request.method, "health", lambda _, __: health_reply(*ask()))
    return _respond(declaring(row), request)


def _respond(route: Route, request: func.HttpRequest, client: Any = None) -> func.HttpResponse:
    read = Request.of(request.method, request.url, request.route_params, request.headers, request.get_body)
    orchestrations = bootstrap.orchestrations(client) if client is not None else None
    return to_http_response(answer(route.handler, read, Backend(bootstrap.app, orchestrations, _watching)))


def _function(route: Route) -> Any:
    def plain(request: func.HttpRequest) -> func.HttpResponse:
        return _respond(route, request)

    def with_engine(request: func.HttpRequest, client: str) -> func.HttpResponse:
        return _respond(route, request, client)

    return blueprint.durable_client_input(client_name="client")(with_engine) if route.needs_engine else plain


def _register(route: Route) -> None:
    level = func.AuthLevel.ANONYMOUS if route.is_anonymous else func.AuthLevel.FUNCTION
    trigger = blueprint.route(route=route.path, methods=[route.method], auth_level=level, trigger_arg_name="request")
    blueprint.function_name(route.name)(trigger(_function(route)))


for _route in ROUTES:
    _register(_route)
