"""Register every row of the table of routes as a function. Only this file and function_app.py know the Functions host.

The library ignores a blueprint's own auth level, so each route has its own.
"""

# The vendor annotates **kwargs of its decorators as unknown.
# pyright: reportUnknownMemberType=false

from collections.abc import Mapping
from functools import partial
from typing import Any

import azure.durable_functions as df
import azure.functions as func

from shared import bootstrap, settings
from shared.web.api import ROUTES, answer
from shared.web.backend import Backend, HealthAnswer, Route
from shared.web.http import SAFE_HEADERS, Reply, Request
from shared.web.watching import Watching


def blueprint(health: Mapping[str, HealthAnswer]) -> df.Blueprint:
    """Return a blueprint with one function for each route. `health` has the answers of the health routes by name."""
    registered = df.Blueprint()
    watching = Watching()
    signs_in = settings.signs_in()
    for route in ROUTES:
        backend = partial(Backend, bootstrap.app, health=health, watching=watching, signs_in=signs_in)
        _register(registered, route, backend, signs_in=signs_in)
    return registered


def to_http_response(reply: Reply) -> func.HttpResponse:
    """Return the reply as the host accepts it, with the headers that every response has."""
    headers = {**SAFE_HEADERS, **reply.headers}
    if reply.content_type:
        headers["Content-Type"] = reply.content_type
    return func.HttpResponse(reply.body or None, status_code=reply.status, headers=headers)


def _register(registered: df.Blueprint, route: Route, backend: partial[Backend], *, signs_in: bool) -> None:
    """Register a route. If sign-in is configured, the app checks the caller's token in place of the host's key."""

    def respond(request: func.HttpRequest, client: Any = None) -> func.HttpResponse:
        read = Request.of(request.method, request.url, request.route_params, request.headers, request.get_body)
        orchestrations = bootstrap.orchestrations(client) if client is not None else None
        return to_http_response(answer(route.handler, read, backend(orchestrations=orchestrations)))

    def plain(request: func.HttpRequest) -> func.HttpResponse:
        return respond(request)

    def with_engine(request: func.HttpRequest, client: str) -> func.HttpResponse:
        return respond(request, client)

    function: Any = registered.durable_client_input(client_name="client")(with_engine) if route.needs_engine else plain
    level = func.AuthLevel.ANONYMOUS if route.is_anonymous or signs_in else func.AuthLevel.FUNCTION
    trigger = registered.route(route=route.path, methods=[route.method], auth_level=level, trigger_arg_name="request")
    registered.function_name(route.name)(trigger(function))
