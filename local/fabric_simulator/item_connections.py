"""The connections that an item uses, and the binding of a semantic model's data sources to connections.

Source: the published OpenAPI; recordings show only empty lists, and the refusal for a warehouse. Assumed: a semantic
model's data sources are the calls of known M functions in its definition, and another item uses each connection whose
id is in its definition. That the path must match exactly, and the code if it does not, is reported by fabric-cicd.
"""

import re
from dataclasses import dataclass, field

from local.fabric_simulator.connections import Connections, find
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.parts import text_of
from local.fabric_simulator.route import ID, ITEM, WORKSPACE, Route, item_of
from local.fabric_simulator.store import Item
from local.fabric_simulator.world import Body, World, object_field

_FUNCTIONS = {
    "Sql.Database": "SQL",
    "Sql.Databases": "SQL",
    "AnalysisServices.Database": "AnalysisServices",
    "AzureStorage.DataLake": "AzureDataLakeStorage",
    "AzureStorage.Blobs": "AzureBlobs",
    "Web.Contents": "Web",
    "OData.Feed": "OData",
    "SharePoint.Files": "SharePoint",
    "SharePoint.Tables": "SharePoint",
}
IMPLICIT = "Automatic"
_CALL = re.compile(rf'({"|".join(map(re.escape, _FUNCTIONS))})\s*\(\s*"([^"]*)"(?:\s*,\s*"([^"]*)")?')


@dataclass
class Bindings:
    """The ids of the connections to which a semantic model's data sources are bound, by type and path; `IMPLICIT` for a
    source of a model that uses single sign-on."""

    by_source: dict[tuple[str, str], str] = field(default_factory=lambda: dict[tuple[str, str], str]())


def sources(item: Item) -> list[tuple[str, str]]:
    """Return type and path of each data source in a semantic model's definition, each once."""
    text = text_of(item).replace('\\"', '"')
    found = [(_FUNCTIONS[m[1]], ";".join(part for part in (m[2], m[3]) if part)) for m in _CALL.finditer(text)]
    return list(dict.fromkeys(found))


def _row(connection: Body) -> Body:
    names = ("id", "displayName", "gatewayId", "connectivityType", "connectionDetails")
    return {name: connection[name] for name in names if name in connection}


def list_(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer GET connections of an item."""
    _, item = item_of(world, workspace_id, item_id)
    if item.type == "Warehouse":
        raise ApiError(400, "OperationNotSupportedForItem", "Operation not supported for requested item")
    known = world.store.part(Connections).by_id
    if item.type != "SemanticModel":
        text = text_of(item).lower()
        return world.page([_row(c.shown) for i, c in known.items() if i in text], request.query, request.path)
    rows: list[Body] = []
    bound = item.part(Bindings).by_source
    for kind, path in sources(item):
        connection = known.get(bound.get((kind, path), ""))
        word = IMPLICIT if bound.get((kind, path)) == IMPLICIT else "None"
        unbound: Body = {"connectivityType": word, "connectionDetails": {"path": path, "type": kind}}
        rows.append(_row(connection.shown) if connection else unbound)
    return world.page(rows, request.query, request.path)


def bind(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST bindConnection: bind a data source of a semantic model, or unbind it if there is no id."""
    workspace, item = item_of(world, workspace_id, item_id, "SemanticModel")
    world.needs_contributor(workspace)
    binding = object_field(request.json(), "connectionBinding")
    details = object_field(binding, "connectionDetails")
    source = next((s for s in sources(item) if s == (details.get("type"), details.get("path"))), None)
    if source is None:
        message = "The semantic model has no data source with the type and the path of the connection."
        raise ApiError(400, "BindConnectionDetailNotFound", message, synthetic=True)
    bound = item.part(Bindings).by_source
    if not binding.get("id") and binding.get("connectivityType") == IMPLICIT:  # synthetic: no recording binds so
        bound[source] = IMPLICIT
        return Answer(200, empty=True)
    if not binding.get("id") or binding.get("connectivityType") == "None":
        bound.pop(source, None)
        return Answer(200, empty=True)
    connection = find(world, str(binding["id"])).shown
    same = all(connection["connectionDetails"].get(name) == details.get(name) for name in ("type", "path"))
    if not same or binding.get("connectivityType") not in (None, connection["connectivityType"]):
        message = "The connection has another type, path or connectivity type."
        raise ApiError(400, "InvalidRequest", message)
    bound[source] = connection["id"]
    return Answer(200, empty=True)


ROUTES = [
    Route("GET", f"{ITEM}/connections", list_),
    Route("POST", f"{WORKSPACE}/semanticModels/{ID}/bindConnection", bind, synthetic=True),
]
