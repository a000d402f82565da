"""The routes with their handlers, and the quota that each call counts against."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from local.fabric_simulator import (
    bulk,
    catalogue,
    connections,
    data_shares,
    domains,
    environment_compute,
    environment_libraries,
    environments,
    folder_routes,
    gateways,
    git_routes,
    identity,
    item_connections,
    items,
    jobs,
    mirroring,
    private_endpoints,
    recovery_routes,
    restore_points,
    schedule_routes,
    shortcuts,
    spark_pools,
    sql_endpoints,
    tag_routes,
    workspaces,
)
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import Route
from local.fabric_simulator.world import World

Handler = Callable[[World, Request], Answer]


def _capacities(world: World, request: Request) -> Answer:
    return world.page(list(world.store.capacities.values()), request.query, request.path)


_WORKSPACE = "/v1/workspaces/([^/]+)"
_ROLES = f"{_WORKSPACE}/roleAssignments"
_FIXED: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/v1/workspaces", workspaces.list_),
    ("POST", "/v1/workspaces", workspaces.create),
    ("GET", _WORKSPACE, workspaces.get),
    ("PATCH", _WORKSPACE, workspaces.update),
    ("DELETE", _WORKSPACE, workspaces.delete),
    ("POST", f"{_WORKSPACE}/assignToCapacity", workspaces.assign),
    ("POST", f"{_WORKSPACE}/unassignFromCapacity", workspaces.unassign),
    ("GET", _ROLES, workspaces.list_roles),
    ("POST", _ROLES, workspaces.add_role),
    ("GET", f"{_ROLES}/([^/]+)", workspaces.get_role),
    ("PATCH", f"{_ROLES}/([^/]+)", workspaces.update_role),
    ("DELETE", f"{_ROLES}/([^/]+)", workspaces.remove_role),
    ("GET", "/v1/capacities", _capacities),
    ("GET", "/v1/operations/([^/]+)", items.operation),
    ("GET", "/v1/operations/([^/]+)/result", items.operation_result),
]
_AREAS: list[Route] = [
    *folder_routes.ROUTES,
    *environments.ROUTES,
    *environment_libraries.ROUTES,
    *environment_compute.ROUTES,
    *shortcuts.ROUTES,
    *connections.ROUTES,
    *item_connections.ROUTES,
    *gateways.ROUTES,
    *private_endpoints.ROUTES,
    *data_shares.ROUTES,
    *mirroring.ROUTES,
    *schedule_routes.ROUTES,
    *spark_pools.ROUTES,
    *jobs.ROUTES,
    *restore_points.ROUTES,
    *sql_endpoints.ROUTES,
    *domains.ROUTES,
    *tag_routes.ROUTES,
    *recovery_routes.ROUTES,
    *bulk.ROUTES,
    *git_routes.ROUTES,
    *identity.ROUTES,
]
_ID = "/([0-9a-fA-F-]{36})"
_ITEM: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "", items.list_),
    ("POST", "", items.create),
    ("GET", _ID, items.get),
    ("PATCH", _ID, items.update),
    ("DELETE", _ID, items.delete),
    ("POST", f"{_ID}/getDefinition", items.get_definition),
    ("POST", f"{_ID}/updateDefinition", items.update_definition),
]
_TABLE = [(method, re.compile(pattern), handler) for method, pattern, handler in _FIXED]
_AREA_TABLE = [(area, re.compile(area.pattern, re.IGNORECASE)) for area in _AREAS]
_KNOWN_PATHS = 4096
_COLLECTION = re.compile(f"({_WORKSPACE}/([A-Za-z]+))(.*)")
_ITEM_TABLE = [(method, re.compile(pattern), handler) for method, pattern, handler in _ITEM]


@lru_cache(_KNOWN_PATHS)
def find(method: str, path: str) -> Handler:
    """Return the handler for a request; a slash at the end of the path does not matter. Raises ApiError 404.

    Handlers are kept for the paths that were asked for last, because clients repeat them.
    """
    path = path.removesuffix("/")
    for known, pattern, handler in _TABLE:
        match = pattern.fullmatch(path) if known == method else None
        if match:
            return _bound(handler, *match.groups())
    for area, pattern in _AREA_TABLE:
        match = pattern.fullmatch(path) if area.method == method else None
        if match:
            handler = _bound(area.handler, *match.groups())
            return _marked(handler) if area.synthetic else handler
    match = _COLLECTION.fullmatch(path)
    word = match[3].lower() if match else ""
    if match and (word == "items" or word in catalogue.TYPED_ROUTES):
        item_type = catalogue.TYPED_ROUTES.get(word)
        for known, pattern, handler in _ITEM_TABLE:
            rest = pattern.fullmatch(match[4]) if known == method else None
            if rest:
                return _bound(handler, match[2], *rest.groups(), item_type=item_type)
    raise ApiError(404, "EndpointNotFound", f"There is no {method} {path[:200]} here.", synthetic=True)


def _bound(handler: Callable[..., Answer], *arguments: str, **keywords: Any) -> Handler:
    given = {name: value for name, value in keywords.items() if value is not None}
    return lambda world, request: handler(world, request, *arguments, **given)


def _marked(handler: Handler) -> Handler:
    """Return the handler of a route that no recording shows; its answers and refusals are marked as synthetic."""

    def marked(world: World, request: Request) -> Answer:
        try:
            answer = handler(world, request)
        except ApiError as error:
            error.synthetic = True
            raise
        return replace(answer, headers={"x-sim-synthetic": "true", **answer.headers})

    return marked


@lru_cache(_KNOWN_PATHS)
def buckets(method: str, path: str) -> tuple[str, ...]:
    """Return the quotas that a call counts against (Unified Quota: platform, jobs, long-running operations; deletions
    of items also have a narrower one)."""
    if path.startswith("/v1/operations/"):
        return ("operations",)
    if "/jobs/" in path:
        return ("jobs",)
    is_item = re.fullmatch(r"/v1/workspaces/[^/]+/(?!roleassignments|folders)\w+/[^/]+", path.lower()) is not None
    return ("deletes", "platform") if method == "DELETE" and is_item else ("platform",)
