"""The Spark pools and settings of a workspace.

Source: recordings of microsoft/fabric-cli for all routes; the refusals' codes are assumed.
"""

import copy
from dataclasses import dataclass, field
from typing import cast

from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import ID, WORKSPACE, Route
from local.fabric_simulator.store import Workspace
from local.fabric_simulator.world import Body, World, object_field, text_field

STARTER_ID = "00000000-0000-0000-0000-000000000000"
_STARTER: Body = {
    "id": STARTER_ID,
    "type": "Workspace",
    "name": "Starter Pool",
    "nodeFamily": "MemoryOptimized",
    "nodeSize": "Medium",
    "autoScale": {"enabled": True, "minNodeCount": 1, "maxNodeCount": 10},
    "dynamicExecutorAllocation": {"enabled": True, "minExecutors": 1, "maxExecutors": 9},
}
_SETTINGS: Body = {
    "automaticLog": {"enabled": True},
    "highConcurrency": {"notebookInteractiveRunEnabled": True, "notebookPipelineRunEnabled": False},
    "pool": {
        "customizeComputeEnabled": True,
        "defaultPool": {"name": "Starter Pool", "type": "Workspace", "id": STARTER_ID},
        "starterPool": {"maxNodeCount": 10, "maxExecutors": 9},
    },
    "environment": {"runtimeVersion": "1.3"},
    "job": {"conservativeJobAdmissionEnabled": False, "sessionTimeoutInMinutes": 20},
}
_SIZES = ("Small", "Medium", "Large", "XLarge", "XXLarge")


@dataclass
class Spark:
    """The pools of one workspace by id, without the starter pool, and its settings with their tag once they changed."""

    pools: dict[str, Body] = field(default_factory=lambda: dict[str, Body]())
    settings: Body = field(default_factory=lambda: copy.deepcopy(_SETTINGS))
    settings_tag: str = ""


def workspace_pools(workspace: Workspace) -> list[Body]:
    """Return all pools of the workspace, the starter pool first."""
    return [_STARTER, *workspace.part(Spark).pools.values()]


def pool_by_id(workspace: Workspace, pool_id: str) -> Body:
    """Return a pool; the starter pool if there is no other with the id."""
    return workspace.part(Spark).pools.get(pool_id.lower(), _STARTER)


def _of(world: World, workspace_id: str, *, change: bool = False) -> Workspace:
    workspace = world.workspace(workspace_id)
    if not workspace.capacity_id and world.settings.require_capacity:
        message = "A workspace with a capacity assigned is required for the operation"
        raise ApiError(400, "WorkspaceHasNoCapacityAssigned", message)
    if change:
        world.needs_admin(workspace)
    return workspace


def _pool(workspace: Workspace, pool_id: str) -> Body:
    for pool in workspace_pools(workspace):
        if pool["id"] == pool_id.lower():
            return pool
    raise ApiError(404, "SparkPoolNotFound", "The requested Spark pool was not found.", synthetic=True)


def list_pools(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer GET spark/pools: the starter pool, then the custom pools."""
    return world.page(workspace_pools(_of(world, workspace_id)), request.query, request.path)


def get_pool(world: World, request: Request, workspace_id: str, pool_id: str) -> Answer:
    """Answer GET of a pool."""
    return Answer(200, _pool(_of(world, workspace_id), pool_id))


def create_pool(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST spark/pools: 201."""
    workspace, body = _of(world, workspace_id, change=True), request.json()
    pool = _checked(workspace, {"id": world.store.new_id(), "type": "Workspace"}, body, required=True)
    workspace.part(Spark).pools[pool["id"]] = pool
    at = f"{world.api_url()}/v1/workspaces/{workspace.id}/spark/pools/{pool['id']}"
    return Answer(201, pool, {"Location": at})


def change_pool(world: World, request: Request, workspace_id: str, pool_id: str) -> Answer:
    """Answer PATCH of a pool."""
    workspace, body = _of(world, workspace_id, change=True), request.json()
    pool = _checked(workspace, _custom(workspace, pool_id), body)
    workspace.part(Spark).pools[pool["id"]] = pool
    return Answer(200, pool)


def delete_pool(world: World, request: Request, workspace_id: str, pool_id: str) -> Answer:
    """Answer DELETE of a pool: 200 and an empty body."""
    workspace = _of(world, workspace_id, change=True)
    del workspace.part(Spark).pools[_custom(workspace, pool_id)["id"]]
    return Answer(200, empty=True)


def _custom(workspace: Workspace, pool_id: str) -> Body:
    pool = _pool(workspace, pool_id)
    if pool["id"] == STARTER_ID:
        raise ApiError(400, "InvalidInput", "The starter pool cannot be changed here.", synthetic=True)
    return pool


def _checked(workspace: Workspace, pool: Body, body: Body, *, required: bool = False) -> Body:
    """Return the pool with the members of a request. Raises ApiError 400."""
    name = text_field(body, "name", 64, required=True) if required or "name" in body else pool["name"]
    if any(other["name"].lower() == name.lower() and other["id"] != pool["id"] for other in workspace_pools(workspace)):
        raise ApiError(409, "SparkPoolNameAlreadyExists", f"A Spark pool {name} already exists.", synthetic=True)
    wanted = str(body.get("nodeSize", pool.get("nodeSize", "Medium"))).lower()
    size = next((size for size in _SIZES if size.lower() == wanted), None)
    if size is None:
        raise ApiError(400, "InvalidInput", f"The nodeSize must be one of {', '.join(_SIZES)}.")
    scale: Body = object_field(body, "autoScale") or pool.get("autoScale") or _STARTER["autoScale"]
    executors: Body = object_field(body, "dynamicExecutorAllocation") or pool.get("dynamicExecutorAllocation") or {}
    least, most = scale.get("minNodeCount", 1), scale.get("maxNodeCount", 1)
    if not isinstance(least, int) or not isinstance(most, int) or not 1 <= least <= most:
        raise ApiError(400, "InvalidInput", "autoScale must have 1 <= minNodeCount <= maxNodeCount.")
    is_dynamic = str(executors.get("enabled", False)).lower() == "true"
    limits = {"minExecutors": executors.get("minExecutors", 1), "maxExecutors": executors.get("maxExecutors", 1)}
    return {
        **pool,
        "name": name,
        "nodeFamily": "MemoryOptimized",
        "nodeSize": size,
        "autoScale": {
            "enabled": str(scale.get("enabled", True)).lower() == "true",
            "minNodeCount": least,
            "maxNodeCount": most,
        },
        "dynamicExecutorAllocation": {"enabled": True, **limits} if is_dynamic else {"enabled": False},
    }


def get_settings(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer GET spark/settings."""
    spark = _of(world, workspace_id).part(Spark)
    return Answer(200, spark.settings, {"ETag": spark.settings_tag} if spark.settings_tag else {})


def change_settings(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer PATCH spark/settings: the given members replace those of the same names. An empty name of the environment
    stands for none (published OpenAPI, EnvironmentProperties)."""
    workspace = _of(world, workspace_id, change=True)
    spark = workspace.part(Spark)
    spark.settings = _merged(spark.settings, request.json())
    environment = cast(Body, spark.settings.get("environment") or {})
    if environment.get("name") == "":  # no default environment; synthetic: as for a workspace that never had one
        del environment["name"]
    spark.settings_tag = f'"{world.store.new_id()}"'
    return Answer(200, spark.settings, {"ETag": spark.settings_tag})


def _merged(old: Body, new: Body) -> Body:
    inner = {k: _merged(cast(Body, old[k]), cast(Body, v)) for k, v in new.items() if isinstance(v, dict) and k in old}
    return {**old, **new, **inner}


ROUTES = [
    Route("GET", f"{WORKSPACE}/spark/pools", list_pools),
    Route("POST", f"{WORKSPACE}/spark/pools", create_pool),
    Route("GET", f"{WORKSPACE}/spark/pools/{ID}", get_pool),
    Route("PATCH", f"{WORKSPACE}/spark/pools/{ID}", change_pool),
    Route("DELETE", f"{WORKSPACE}/spark/pools/{ID}", delete_pool),
    Route("GET", f"{WORKSPACE}/spark/settings", get_settings),
    Route("PATCH", f"{WORKSPACE}/spark/settings", change_settings),
]
