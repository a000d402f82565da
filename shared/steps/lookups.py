"""The values of references to what is not in a repository, and the attributes of an item that is ready."""

from collections.abc import Iterable, Iterator
from urllib.parse import quote

from shared.domain.errors import FabricTransientError, InvalidInputError, Problem
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric
from shared.domain.records import Resource
from shared.repository.item_types import attributes_of
from shared.repository.model import Kind, Ref, item_ref
from shared.steps.kind import NotYetError, VerificationError

READY_SECONDS = 12.0
"""Usual seconds until a new item has its SQL endpoint. Source: recorded traffic, 11 to 15."""
_COLLECTIONS = {
    "Lakehouse": "lakehouses",
    "Warehouse": "warehouses",
    "SQLDatabase": "sqlDatabases",
    "MirroredDatabase": "mirroredDatabases",
    "Eventhouse": "eventhouses",
    "KQLDatabase": "kqlDatabases",
}
"""The collections whose items have attributes beside their id. Source: published OpenAPI."""
_OUTPUTS = {
    "sqlendpoint": "sqlEndpointConnectionString",
    "sqlendpointid": "sqlEndpointId",
    "queryserviceuri": "queryServiceUri",
}


def value_of(fabric: Fabric, workspace_id: str, ref: Ref) -> str:
    """Return the present value of a reference. Raises InvalidInputError if it has none, FabricError."""
    if ref.workspace:
        workspace_id = _workspace_named(fabric, ref)
    if ref.kind is Kind.WORKSPACE:
        if ref.attribute == "id":
            return workspace_id
        name = fabric.get(f"/workspaces/{workspace_id}").get("displayName")
        if name is None:
            raise FabricTransientError("Fabric's response names no displayName", call=f"GET /workspaces/{workspace_id}")
        return quote(name, safe="") if ref.attribute == "name_encoded" else name
    if ref.kind is Kind.POOL:
        rows = _named(fabric, f"/workspaces/{workspace_id}/spark/pools")
        found = next((row for row in rows if (row.get("name"), row.get("type")) == (ref.name, ref.type)), None)
    else:
        rows = _named(fabric, f"/workspaces/{workspace_id}/items")
        found = next((row for row in rows if (row.get("type"), row.get("displayName")) == (ref.type, ref.name)), None)
    if found is None:
        raise _no_value(ref, "it is not in the workspace, and the repository does not deploy it")
    if ref.attribute == "id":
        return str(found["id"])
    return attribute(fabric, workspace_id, Resource(ref.type, found["id"], ref.name, workspace_id), ref.attribute)


def ready(fabric: Fabric, workspace_id: str, resource: Resource, attributes: Iterable[str]) -> JsonObject:
    """Return the outputs that hold these attributes. Raises NotYetError until they exist, FabricError."""
    return {_OUTPUTS[name]: attribute(fabric, workspace_id, resource, name) for name in attributes if name in _OUTPUTS}


def attribute(fabric: Fabric, workspace_id: str, resource: Resource, name: str) -> str:
    """Return an attribute of an item beside its id. Raises NotYetError, InvalidInputError, VerificationError."""
    collection = _COLLECTIONS.get(resource.type)
    if collection is None or name not in attributes_of(resource.type):
        ref = item_ref(resource.type, resource.name, name)
        raise _no_value(ref, f"a {resource.type} has no such attribute")
    path = f"/workspaces/{workspace_id}/{collection}/{resource.id}"
    properties = as_object(fabric.get(path).get("properties")) or {}
    endpoint = as_object(properties.get("sqlEndpointProperties")) or {}
    if endpoint.get("provisioningStatus") == "Failed":
        raise VerificationError(f"Fabric failed to provision the SQL endpoint of '{resource.name}' ({resource.id})")
    values = {
        "sqlendpoint": endpoint.get("connectionString") or properties.get("connectionInfo")
        or properties.get("connectionString") or properties.get("serverFqdn"),
        "sqlendpointid": endpoint.get("id"),
        "queryserviceuri": properties.get("queryServiceUri"),
    }  # fmt: skip
    if not values[name]:
        raise NotYetError(f"'{resource.name}' ({resource.id}) has no {name} yet", READY_SECONDS)
    return str(values[name])


def _named(fabric: Fabric, path: str) -> Iterator[JsonObject]:
    """Yield the rows of a list that have an id; the others name nothing that a reference could stand for."""
    return (row for row in fabric.list(path) if "id" in row)


def _workspace_named(fabric: Fabric, ref: Ref) -> str:
    row = next((row for row in _named(fabric, "/workspaces") if row.get("displayName") == ref.workspace), None)
    if row is None:
        raise _no_value(ref, f"the identity that deploys sees no workspace '{ref.workspace}'")
    return str(row["id"])


def _no_value(ref: Ref, why: str) -> InvalidInputError:
    return InvalidInputError([Problem("$.with.refs", f"{ref} has no value: {why}")])
