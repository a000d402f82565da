"""SQL endpoints: their list, the connection string, the refresh of their metadata. No recording shows these routes."""

from dataclasses import dataclass, field

from local.fabric_simulator import items
from local.fabric_simulator.http import Answer, Request
from local.fabric_simulator.route import ID, WORKSPACE, Route, item_of
from local.fabric_simulator.shortcuts import OneLakePaths
from local.fabric_simulator.store import SQL_ENDPOINT, stamp
from local.fabric_simulator.world import World


@dataclass
class Tables:
    """The tables that a SQL endpoint shows since its last refresh, and why others cannot be refreshed."""

    shown: list[str] = field(default_factory=list[str])
    broken: dict[str, str] = field(default_factory=dict[str, str])


def list_(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer GET sqlEndpoints."""
    return items.list_(world, request, workspace_id, SQL_ENDPOINT)


def connection_string(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer GET connectionString of an endpoint or a warehouse."""
    _, item = item_of(world, workspace_id, item_id, SQL_ENDPOINT, "Warehouse")
    return Answer(200, {"connectionString": f"{item.id[:8]}.datawarehouse.fabric.microsoft.com"})


def refresh(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST refreshMetadata: an operation whose result has a row for each table of the endpoint's item. The only
    tables here are shortcuts."""
    workspace, endpoint = item_of(world, workspace_id, item_id, SQL_ENDPOINT)
    world.needs_contributor(workspace)
    request.json()
    holder = workspace.items[endpoint.maker_id or ""]
    names = sorted(name for path, name in holder.part(OneLakePaths).shortcuts if path.split("/")[0] == "Tables")
    tables = endpoint.part(Tables)
    tables.shown = [name for name in names if name not in tables.broken]
    at = stamp(world.clock())
    rows = [
        {"tableName": name, "startDateTime": at, "endDateTime": at}
        | (
            {"status": "Failure", "error": {"errorCode": "DeltaTableError", "message": tables.broken[name]}}
            if name in tables.broken
            else {"status": "Success", "lastSuccessfulSyncDateTime": at}
        )
        for name in names
    ]
    return world.begin("refreshMetadata", {"value": rows})[0]


ROUTES = [
    Route("GET", f"{WORKSPACE}/sqlEndpoints", list_, synthetic=True),
    Route("GET", f"{WORKSPACE}/(?:sqlEndpoints|warehouses)/{ID}/connectionString", connection_string, synthetic=True),
    Route("POST", f"{WORKSPACE}/sqlEndpoints/{ID}/refreshMetadata", refresh, synthetic=True),
]
