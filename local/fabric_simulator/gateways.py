"""Gateways of the tenant with their roles. Those in a virtual network are created; others are only seeded.

Source: recordings of microsoft/fabric-cli for virtual network gateways, their roles and the refusal of a name in use,
and for reading an on-premises gateway; the published OpenAPI for limits and members. Assumed: every other refusal, and
that a gateway is online.
"""

from dataclasses import dataclass, field

from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import ID, Route
from local.fabric_simulator.store import GUID
from local.fabric_simulator.world import Body, World, object_field, rows_field, text_field

_ROLES = ("Admin", "ConnectionCreatorWithResharing", "ConnectionCreator")
_SLEEPS = (30, 60, 90, 120, 150, 240, 360, 480, 720, 1440)
_NETWORK = ("virtualNetworkName", "subnetName", "resourceGroupName", "subscriptionId")
_VIRTUAL, _STREAMING, _ON_PREMISES = "VirtualNetwork", "StreamingVirtualNetwork", "OnPremises"
_MOST_MEMBERS = 9


@dataclass
class Gateway:
    """A gateway as it is shown, the roles on it by principal, and its members as they are shown."""

    shown: Body
    roles: dict[str, Body] = field(default_factory=lambda: dict[str, Body]())
    members: list[Body] = field(default_factory=lambda: list[Body]())


@dataclass
class Gateways:
    """The gateways of the tenant, by id."""

    by_id: dict[str, Gateway] = field(default_factory=lambda: dict[str, Gateway]())


def find(world: World, gateway_id: str, *, admin: bool = False) -> Gateway:
    """Return a gateway on which the caller has a role, or that of an admin. Raises ApiError."""
    found = world.store.part(Gateways).by_id.get(gateway_id.lower())
    if found is None or world.identity not in found.roles:
        raise ApiError(404, "GatewayNotFound", "The requested gateway was not found.", synthetic=True)
    if admin and found.roles[world.identity]["role"] != "Admin":
        message = "The caller does not have sufficient permissions to manage the gateway."
        raise ApiError(403, "InsufficientPermissionsOverGateway", message, synthetic=True)
    return found


def _invalid(message: str) -> ApiError:
    return ApiError(400, "InvalidInput", message, synthetic=True)


def _check_name(world: World, name: str, own: str = "") -> None:
    for other in world.store.part(Gateways).by_id.values():
        if str(other.shown.get("displayName", "")).lower() == name.lower() and other.shown["id"] != own:
            message = "The gateway DisplayName input is already being used by another gateway"
            raise ApiError(409, "DuplicateGatewayName", message)


def _sleep(body: Body, known: int | None = None) -> int:
    minutes = body.get("inactivityMinutesBeforeSleep", known)
    if minutes not in _SLEEPS:
        raise _invalid(f"inactivityMinutesBeforeSleep must be one of {', '.join(map(str, _SLEEPS))}.")
    return int(minutes)


def _members(body: Body, known: int = 1) -> int:
    count = body.get("numberOfMemberGateways", known)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST_MEMBERS:
        raise _invalid(f"numberOfMemberGateways must be a number from 1 to {_MOST_MEMBERS}.")
    return count


def _capacity(world: World, body: Body) -> str:
    capacity = str(body.get("capacityId") or "").lower()
    if not GUID.fullmatch(capacity):
        raise _invalid("The capacityId field is required.")
    return capacity


def list_(world: World, request: Request) -> Answer:
    """Answer GET /gateways: those on which the caller has a role."""
    own = [g.shown for g in world.store.part(Gateways).by_id.values() if world.identity in g.roles]
    return world.page(own, request.query, request.path)


def create(world: World, request: Request) -> Answer:
    """Answer POST /gateways: 201. The caller becomes its admin."""
    body = request.json()
    kind = body.get("type")
    if kind not in (_VIRTUAL, _STREAMING):
        raise _invalid(f"The gateway type must be {_VIRTUAL} or {_STREAMING}.")
    name, network = (
        text_field(body, "displayName", 200, required=True),
        object_field(body, "virtualNetworkAzureResource"),
    )
    if not all(isinstance(network.get(part), str) for part in _NETWORK):
        raise _invalid("The virtualNetworkAzureResource field is not valid.")
    _check_name(world, name)
    own: Body = {"virtualNetworkAzureResource": {part: network[part] for part in _NETWORK}}
    if kind == _VIRTUAL:
        own = {"capacityId": _capacity(world, body), **own}
        own |= {"inactivityMinutesBeforeSleep": _sleep(body), "numberOfMemberGateways": _members(body)}
    gateway = Gateway({"displayName": name, **own, "id": world.store.new_id(), "type": kind})
    gateway.roles[world.identity] = _role(world.identity, "User", "Admin")
    world.store.part(Gateways).by_id[gateway.shown["id"]] = gateway
    return Answer(201, gateway.shown, {"Location": f"{world.api_url()}/v1/gateways/{gateway.shown['id']}"})


def get(world: World, request: Request, gateway_id: str) -> Answer:
    """Answer GET of a gateway."""
    return Answer(200, find(world, gateway_id).shown)


def change(world: World, request: Request, gateway_id: str) -> Answer:
    """Answer PATCH of a gateway: its name, and what its type lets be changed."""
    gateway, body = find(world, gateway_id, admin=True), request.json()
    shown = gateway.shown
    if body.get("type") != shown["type"]:
        raise _invalid("The type must be that of the gateway.")
    changes: Body = {}
    if "displayName" in body:
        changes["displayName"] = text_field(body, "displayName", 200, required=True)
        _check_name(world, changes["displayName"], own=shown["id"])
    if shown["type"] == _VIRTUAL:
        changes["inactivityMinutesBeforeSleep"] = _sleep(body, shown["inactivityMinutesBeforeSleep"])
        changes["numberOfMemberGateways"] = _members(body, shown["numberOfMemberGateways"])
        if "capacityId" in body:
            changes["capacityId"] = _capacity(world, body)
    if shown["type"] == _ON_PREMISES:
        known = ("loadBalancingSetting", "allowCloudConnectionRefresh", "allowCustomConnectors")
        changes |= {name: body[name] for name in known if name in body}
    shown |= changes
    return Answer(200, shown)


def delete(world: World, request: Request, gateway_id: str) -> Answer:
    """Answer DELETE of a gateway: 200 and an empty body."""
    del world.store.part(Gateways).by_id[find(world, gateway_id, admin=True).shown["id"]]
    return Answer(200, empty=True)


def list_members(world: World, request: Request, gateway_id: str) -> Answer:
    """Answer GET members: those of an on-premises gateway."""
    gateway = find(world, gateway_id)
    if gateway.shown["type"] != _ON_PREMISES:
        raise ApiError(400, "OperationNotSupportedForGatewayType", "The gateway has no members.", synthetic=True)
    return world.page(gateway.members, request.query, request.path)


def status(world: World, request: Request, gateway_id: str) -> Answer:
    """Answer POST checkStatus."""
    find(world, gateway_id)
    return Answer(200, {"status": "Online"})


# Roles.


def _role(principal_id: str, kind: str, role: str) -> Body:
    return {"id": principal_id, "principal": {"id": principal_id, "type": kind}, "role": role}


def _role_of(body: Body) -> str:
    if body.get("role") not in _ROLES:
        raise _invalid(f"The role must be one of {', '.join(_ROLES)}.")
    return str(body["role"])


def list_roles(world: World, request: Request, gateway_id: str) -> Answer:
    """Answer GET roleAssignments of a gateway."""
    return world.page(list(find(world, gateway_id).roles.values()), request.query, request.path)


def add_role(world: World, request: Request, gateway_id: str) -> Answer:
    """Answer POST roleAssignments of a gateway: 201."""
    gateway, body = find(world, gateway_id, admin=True), request.json()
    principal = object_field(body, "principal")
    key = str(principal.get("id", "")).lower()
    if not GUID.fullmatch(key):
        raise _invalid("The principal is not valid.")
    if key in gateway.roles:
        raise ApiError(409, "EntityConflict", "The principal already has a role on the gateway.", synthetic=True)
    kind = world.store.principals.get(key) or str(principal.get("type") or "User")
    gateway.roles[key] = _role(key, kind, _role_of(body))
    location = f"{world.api_url()}/v1/gateways/{gateway.shown['id']}/roleAssignments/{key}"
    return Answer(201, gateway.roles[key], {"Location": location})


def _assignment(gateway: Gateway, principal_id: str) -> Body:
    if principal_id.lower() not in gateway.roles:
        raise ApiError(404, "EntityNotFound", "The requested role assignment was not found.", synthetic=True)
    return gateway.roles[principal_id.lower()]


def get_role(world: World, request: Request, gateway_id: str, principal_id: str) -> Answer:
    """Answer GET of a role assignment of a gateway."""
    return Answer(200, _assignment(find(world, gateway_id), principal_id))


def change_role(world: World, request: Request, gateway_id: str, principal_id: str) -> Answer:
    """Answer PATCH of a role assignment of a gateway."""
    row = _assignment(find(world, gateway_id, admin=True), principal_id)
    row["role"] = _role_of(request.json())
    return Answer(200, row)


def remove_role(world: World, request: Request, gateway_id: str, principal_id: str) -> Answer:
    """Answer DELETE of a role assignment of a gateway."""
    gateway = find(world, gateway_id, admin=True)
    del gateway.roles[_assignment(gateway, principal_id)["id"]]
    return Answer(200, empty=True)


def seeded(row: Body) -> Gateway:
    """Return a gateway that no call created: as it is shown, with `members` and `roleAssignments`."""
    members, roles = rows_field(row, "members"), rows_field(row, "roleAssignments")
    shown = {name: value for name, value in row.items() if name not in ("members", "roleAssignments")}
    shown["id"] = str(shown["id"]).lower()
    held = {str(r["id"]).lower(): _role(str(r["id"]).lower(), r.get("type", "User"), r["role"]) for r in roles}
    return Gateway(shown, held, members)


_ONE = f"/v1/gateways/{ID}"
ROUTES = [
    Route("GET", "/v1/gateways", list_),
    Route("POST", "/v1/gateways", create),
    Route("GET", _ONE, get),
    Route("PATCH", _ONE, change),
    Route("DELETE", _ONE, delete),
    Route("GET", f"{_ONE}/members", list_members, synthetic=True),
    Route("POST", f"{_ONE}/checkStatus", status, synthetic=True),
    Route("GET", f"{_ONE}/roleAssignments", list_roles),
    Route("POST", f"{_ONE}/roleAssignments", add_role),
    Route("GET", f"{_ONE}/roleAssignments/{ID}", get_role, synthetic=True),
    Route("PATCH", f"{_ONE}/roleAssignments/{ID}", change_role),
    Route("DELETE", f"{_ONE}/roleAssignments/{ID}", remove_role),
]
