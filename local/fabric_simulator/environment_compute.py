"""The Spark compute of environments, staged and published.

Source: recordings of microsoft/fabric-cli, the published OpenAPI.
"""

from collections.abc import Mapping

import yaml

from local.fabric_simulator import publishing
from local.fabric_simulator.environment_files import environment, invalid, read_yaml
from local.fabric_simulator.http import Answer, Request
from local.fabric_simulator.parts import parts_of, put_parts
from local.fabric_simulator.publishing import SPARK
from local.fabric_simulator.route import ID, WORKSPACE, Route
from local.fabric_simulator.spark_pools import pool_by_id, workspace_pools
from local.fabric_simulator.store import Workspace
from local.fabric_simulator.world import Body, World, object_field, rows_field

_COMPUTE: Body = {
    "instance_pool_id": "00000000-0000-0000-0000-000000000000",
    "driver_cores": 8,
    "driver_memory": "56g",
    "executor_cores": 8,
    "executor_memory": "56g",
    "dynamic_executor_allocation": {"enabled": True, "min_executors": 1, "max_executors": 9},
    "spark_conf": [],
    "runtime_version": "1.3",
}
"""The Spark compute of an environment that says nothing else, as recorded."""
_MEMORY = ("28g", "56g", "112g", "224g", "400g")
_CORES = (4, 8, 16, 32, 64)


def _compute(world: World, workspace: Workspace, parts: Mapping[str, bytes], request: Request) -> Answer:
    given = {**_COMPUTE, **read_yaml(parts.get(SPARK, b""))}
    pool = pool_by_id(workspace, str(given["instance_pool_id"]))
    allocation = {**_COMPUTE["dynamic_executor_allocation"], **object_field(given, "dynamic_executor_allocation")}
    pairs = rows_field(given, "spark_conf") or [object_field(given, "spark_conf")]
    settings = {str(key): str(value) for row in pairs for key, value in row.items()}
    is_stable = request.query.get("beta", "true").lower() == "false"
    return Answer(
        200,
        {
            "instancePool": {"name": pool["name"], "type": pool["type"], "id": pool["id"]},
            "driverCores": given["driver_cores"],
            "driverMemory": given["driver_memory"],
            "executorCores": given["executor_cores"],
            "executorMemory": given["executor_memory"],
            "dynamicExecutorAllocation": {
                "enabled": allocation["enabled"],
                "minExecutors": allocation["min_executors"],
                "maxExecutors": allocation["max_executors"],
            },
            "sparkProperties": [{"key": k, "value": v} for k, v in settings.items()] if is_stable else settings,
            "runtimeVersion": str(given["runtime_version"]),
        },
    )


def staged_compute(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer GET staging/sparkcompute."""
    workspace, item = environment(world, workspace_id, item_id)
    return _compute(world, workspace, parts_of(item), request)


def published_compute(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer GET sparkcompute."""
    workspace, item = environment(world, workspace_id, item_id)
    return _compute(world, workspace, item.part(publishing.Publishing).published, request)


_MEMBERS = {
    "driverCores": ("driver_cores", _CORES),
    "driverMemory": ("driver_memory", _MEMORY),
    "executorCores": ("executor_cores", _CORES),
    "executorMemory": ("executor_memory", _MEMORY),
    "runtimeVersion": ("runtime_version", None),
}


def change_compute(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer PATCH staging/sparkcompute: the given members replace the staged ones."""
    workspace, item = environment(world, workspace_id, item_id, change=True)
    body, parts = request.json(), parts_of(item)
    staged = {**_COMPUTE, **read_yaml(parts.get(SPARK, b""))}
    for name, (own, allowed) in _MEMBERS.items():
        if name in body:
            if allowed is not None and body[name] not in allowed:
                raise invalid(f"The {name} must be one of {', '.join(map(str, allowed))}.")
            staged[own] = body[name]
    if body.get("instancePool"):
        staged["instance_pool_id"] = _pool_id(workspace, object_field(body, "instancePool"))
    given = object_field(body, "dynamicExecutorAllocation")
    if given:
        names = {"enabled": "enabled", "minExecutors": "min_executors", "maxExecutors": "max_executors"}
        changes = {own: given[name] for name, own in names.items() if name in given}
        staged["dynamic_executor_allocation"] = {**staged["dynamic_executor_allocation"], **changes}
    if "sparkProperties" in body:
        pairs = {str(row.get("key")): row.get("value") for row in rows_field(body, "sparkProperties")}
        pairs |= object_field(body, "sparkProperties")
        staged["spark_conf"] = [{key: value} for key, value in pairs.items()]
    put_parts(item, {**parts, SPARK: yaml.safe_dump(staged, sort_keys=False).encode()})
    return _compute(world, workspace, parts_of(item), request)


def _pool_id(workspace: Workspace, given: Body) -> str:
    for pool in (pool_by_id(workspace, str(given.get("id", ""))), *workspace_pools(workspace)):
        if given.get("name") in (None, pool["name"]) and given.get("type", "Workspace") == pool["type"]:
            return str(pool["id"])
    raise invalid(f"The workspace has no Spark pool {str(given.get('name'))[:200]}.")


_ONE = f"{WORKSPACE}/environments/{ID}"
ROUTES = [
    Route("GET", f"{_ONE}/staging/sparkcompute", staged_compute),
    Route("GET", f"{_ONE}/sparkcompute", published_compute),
    Route("PATCH", f"{_ONE}/staging/sparkcompute", change_compute, synthetic=True),
]
