"""SQL endpoints: their list, the connection string, the refresh of their metadata. No recording shows these routes."""

from local.fabric_simulator import items
from local.fabric_simulator.http import Answer, Request
from local.fabric_simulator.route import ID, WORKSPACE, Route, item_of
from local.fabric_simulator.store import SQL_ENDPOINT
from local.fabric_simulator.world import World


def list_(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer GET sqlEndpoints."""
    return items.list_(world, request, workspace_id, SQL_ENDPOINT)


def connection_string(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer GET connectionString of an endpoint or a warehouse."""
    _, item = item_of(world, workspace_id, item_id, SQL_ENDPOINT, "Warehouse")
    return Answer(200, {"connectionString": f"{item.id[:8]}.datawarehouse.fabric.microsoft.com"})


def refresh(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST refreshMetadata: an operation whose result has a row for each table; there are no tables here."""
    workspace, _ = item_of(world, workspace_id, item_id, SQL_ENDPOINT)
    world.needs_contributor(workspace)
    request.json()
    return world.begin("refreshMetadata", {"value": []})[0]


ROUTES = [
    Route("GET", f"{WORKSPACE}/sqlEndpoints", list_, synthetic=True),
    Route("GET", f"{WORKSPACE}/(?:sqlEndpoints|warehouses)/{ID}/connectionString", connection_string, synthetic=True),
    Route("POST", f"{WORKSPACE}/sqlEndpoints/{ID}/refreshMetadata", refresh, synthetic=True),
]
