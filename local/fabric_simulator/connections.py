"""Connections of the tenant with their roles. Credentials are taken and never kept.

Source: recordings of microsoft/fabric-cli, the published OpenAPI. Assumed: the statuses of the refusals, and that a
connection's path is its parameters' values with semicolons between them (recorded for SQL).
"""

from dataclasses import dataclass, field

from local.fabric_simulator import connection_types
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import ID, Route
from local.fabric_simulator.store import GUID
from local.fabric_simulator.world import Body, World, object_field, rows_field, text_field

_CONNECTIVITY = frozenset(
    {"ShareableCloud", "PersonalCloud", "OnPremisesGateway", "VirtualNetworkGateway", "StreamingVirtualNetworkGateway"}
)
_ROLES = ("Owner", "UserWithReshare", "User")
_PRIVACY = ("None", "Private", "Organizational", "Public")


@dataclass
class Connection:
    """A connection as it is shown, and the roles on it by principal."""

    shown: Body
    roles: dict[str, Body] = field(default_factory=lambda: dict[str, Body]())


@dataclass
class Connections:
    """The connections of the tenant, by id."""

    by_id: dict[str, Connection] = field(default_factory=lambda: dict[str, Connection]())

    def of(self, identity: str) -> list[Connection]:
        """Return the connections on which the caller has a role."""
        return [connection for connection in self.by_id.values() if identity in connection.roles]


def find(world: World, connection_id: str, *, owner: bool = False) -> Connection:
    """Return a connection on which the caller has a role, or owns. Raises ApiError."""
    found = world.store.part(Connections).by_id.get(connection_id.lower())
    if found is None or world.identity not in found.roles:
        raise ApiError(404, "EntityNotFound", "The requested connection was not found.")
    if owner and found.roles[world.identity]["role"] != "Owner":
        message = "The caller does not have sufficient permissions to manage the connection."
        raise ApiError(403, "InsufficientPermissionsToManageConnection", message)
    return found


def _details(world: World, body: Body) -> Body:
    """Return type and path of a request's connectionDetails. Raises ApiError 400."""
    details = object_field(body, "connectionDetails")
    kind, ways = str(details.get("type")), connection_types.known(world)
    if kind not in ways:
        raise ApiError(400, "InvalidConnectionDetails", f"The connection type {kind[:60]} is not supported.")
    way = next((each for each in ways[kind] if each.method == details.get("creationMethod")), None)
    if way is None:
        names = " or ".join(each.method for each in ways[kind])
        raise ApiError(400, "InvalidConnectionDetails", f"The creationMethod of {kind} must be {names}.")
    values = {str(row.get("name")): str(row.get("value", "")) for row in rows_field(details, "parameters")}
    missing = [name for name in way.required if not values.get(name)]
    if missing:
        raise ApiError(400, "InvalidConnectionDetails", f"The parameter {missing[0]} is missing.")
    return {"path": ";".join(values[n] for n in (*way.required, *way.optional) if values.get(n)), "type": kind}


def _credentials(body: Body) -> Body:
    """Return what is shown of a request's credentials, which does not contain the secret. Raises ApiError 400."""
    details = object_field(body, "credentialDetails")
    kind = object_field(details, "credentials").get("credentialType")
    if not isinstance(kind, str):
        raise ApiError(400, "InvalidCredentialDetails", "The credentialType is missing.")
    return {
        "credentialType": kind,
        "singleSignOnType": details.get("singleSignOnType") or "None",
        "connectionEncryption": details.get("connectionEncryption") or "NotEncrypted",
        "skipTestConnection": bool(details.get("skipTestConnection")),
    }


def _check_name(world: World, name: str, own: str = "") -> None:
    for other in world.store.part(Connections).by_id.values():
        if other.shown["displayName"].lower() == name.lower() and other.shown["id"] != own:
            message = "The connection DisplayName input is already being used by another connection"
            raise ApiError(409, "DuplicateConnectionName", message)


def _privacy(body: Body, known: str = "None") -> str:
    level = body.get("privacyLevel", known)
    if level not in _PRIVACY:
        raise ApiError(400, "InvalidInput", f"The privacyLevel must be one of {', '.join(_PRIVACY)}.")
    return str(level)


def list_(world: World, request: Request) -> Answer:
    """Answer GET /connections: those on which the caller has a role."""
    return world.page([c.shown for c in world.store.part(Connections).of(world.identity)], request.query, request.path)


def create(world: World, request: Request) -> Answer:
    """Answer POST /connections: 201. The caller becomes the owner."""
    body = request.json()
    name = text_field(body, "displayName", 200, required=True)
    kind = str(body.get("connectivityType"))
    if kind not in _CONNECTIVITY:
        raise ApiError(400, "InvalidInput", f"The connectivityType {kind[:60]} is not supported.")
    if kind.endswith("Gateway") and not GUID.fullmatch(str(body.get("gatewayId"))):
        raise ApiError(400, "InvalidInput", "The gatewayId field is required.")
    _check_name(world, name)
    details, credentials = _details(world, body), _credentials(body)
    shown: Body = {"gatewayId": body["gatewayId"]} if kind.endswith("Gateway") else {}
    if kind.endswith("Cloud"):
        shown["allowConnectionUsageInGateway"] = bool(body.get("allowConnectionUsageInGateway"))
    if kind == "ShareableCloud":
        shown["allowUsageInUserControlledCode"] = bool(body.get("allowUsageInUserControlledCode"))
    connection_id = world.store.new_id()
    shown |= {"id": connection_id, "displayName": name, "connectivityType": kind, "connectionDetails": details}
    shown |= {"privacyLevel": _privacy(body), "credentialDetails": credentials}
    connection = Connection(shown)
    connection.roles[world.identity] = _role(world.identity, "User", "Owner")
    world.store.part(Connections).by_id[connection_id] = connection
    return Answer(201, shown, {"Location": f"{world.api_url()}/v1/connections/{connection_id}"})


def get(world: World, request: Request, connection_id: str) -> Answer:
    """Answer GET of a connection."""
    return Answer(200, find(world, connection_id).shown)


def change(world: World, request: Request, connection_id: str) -> Answer:
    """Answer PATCH of a connection: name, privacy level, credentials."""
    connection, body = find(world, connection_id, owner=True), request.json()
    if body.get("connectivityType") != connection.shown["connectivityType"]:
        raise ApiError(400, "InvalidInput", "The connectivityType must be that of the connection.")
    changes: Body = {"privacyLevel": _privacy(body, connection.shown["privacyLevel"])}
    if "displayName" in body:
        changes["displayName"] = text_field(body, "displayName", 200, required=True)
        _check_name(world, changes["displayName"], own=connection.shown["id"])
    if "credentialDetails" in body:
        changes["credentialDetails"] = _credentials(body)
    connection.shown |= changes
    return Answer(200, connection.shown)


def delete(world: World, request: Request, connection_id: str) -> Answer:
    """Answer DELETE of a connection: 200 and an empty body."""
    del world.store.part(Connections).by_id[find(world, connection_id, owner=True).shown["id"]]
    return Answer(200, empty=True)


def test(world: World, request: Request, connection_id: str) -> Answer:
    """Answer POST testConnection: an operation with the result Online."""
    find(world, connection_id)
    return world.begin("testConnection", {"status": "Online"})[0]


# Roles.


def seeded(row: Body) -> Connection:
    """Return a connection that no call created: as it is shown, with `roleAssignments`."""
    roles = rows_field(row, "roleAssignments")
    shown = {name: value for name, value in row.items() if name != "roleAssignments"}
    shown["id"] = str(shown["id"]).lower()
    held = {str(r["id"]).lower(): _role(str(r["id"]).lower(), r.get("type", "User"), r["role"]) for r in roles}
    return Connection(shown, held)


def _role(principal_id: str, kind: str, role: str) -> Body:
    return {"id": principal_id, "principal": {"id": principal_id, "type": kind}, "role": role}


def _role_of(body: Body) -> str:
    if body.get("role") not in _ROLES:
        raise ApiError(400, "InvalidInput", f"The role must be one of {', '.join(_ROLES)}.")
    return str(body["role"])


def list_roles(world: World, request: Request, connection_id: str) -> Answer:
    """Answer GET roleAssignments of a connection."""
    return world.page(list(find(world, connection_id).roles.values()), request.query, request.path)


def add_role(world: World, request: Request, connection_id: str) -> Answer:
    """Answer POST roleAssignments of a connection: 201."""
    connection, body = find(world, connection_id, owner=True), request.json()
    principal = object_field(body, "principal")
    key = str(principal.get("id", "")).lower()
    known = world.settings.known_principals
    if known is not None and key not in {k.lower() for k in known}:
        raise ApiError(400, "UnknownError", "An unexpected error occurred while processing the request", details=[])
    if not GUID.fullmatch(key):
        raise ApiError(400, "InvalidInput", "The principal is not valid.")
    if key in connection.roles:
        raise ApiError(409, "EntityConflict", "The principal already has a role on the connection.", synthetic=True)
    connection.roles[key] = _role(key, str(principal.get("type") or "User"), _role_of(body))
    location = f"{world.api_url()}/v1/connections/{connection.shown['id']}/roleAssignments/{key}"
    return Answer(201, connection.roles[key], {"Location": location})


def _assignment(connection: Connection, principal_id: str) -> Body:
    if principal_id.lower() not in connection.roles:
        raise ApiError(404, "EntityNotFound", "The requested role assignment was not found.")
    return connection.roles[principal_id.lower()]


def get_role(world: World, request: Request, connection_id: str, principal_id: str) -> Answer:
    """Answer GET of a role assignment of a connection."""
    return Answer(200, _assignment(find(world, connection_id), principal_id))


def change_role(world: World, request: Request, connection_id: str, principal_id: str) -> Answer:
    """Answer PATCH of a role assignment of a connection."""
    row = _assignment(find(world, connection_id, owner=True), principal_id)
    row["role"] = _role_of(request.json())
    return Answer(200, row)


def remove_role(world: World, request: Request, connection_id: str, principal_id: str) -> Answer:
    """Answer DELETE of a role assignment of a connection."""
    connection = find(world, connection_id, owner=True)
    del connection.roles[_assignment(connection, principal_id)["id"]]
    return Answer(200, empty=True)


_ONE = f"/v1/connections/{ID}"
ROUTES = [
    Route("GET", "/v1/connections", list_),
    Route("POST", "/v1/connections", create),
    Route("GET", "/v1/connections/supportedConnectionTypes", connection_types.supported),
    Route("GET", _ONE, get),
    Route("PATCH", _ONE, change),
    Route("DELETE", _ONE, delete),
    Route("POST", f"{_ONE}/testConnection", test, synthetic=True),
    Route("GET", f"{_ONE}/roleAssignments", list_roles),
    Route("POST", f"{_ONE}/roleAssignments", add_role),
    Route("GET", f"{_ONE}/roleAssignments/{ID}", get_role, synthetic=True),
    Route("PATCH", f"{_ONE}/roleAssignments/{ID}", change_role),
    Route("DELETE", f"{_ONE}/roleAssignments/{ID}", remove_role),
]
