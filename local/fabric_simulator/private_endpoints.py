"""Managed private endpoints of a workspace. Their approval happens in Azure: `POST /_sim/seed` stands for it.

Source: recordings of microsoft/fabric-cli; the published OpenAPI for the limits. Assumed: the refusals of invalid
input, and that an endpoint is provisioned after a minute (recorded: after more than 15 and less than 120 seconds).
"""

from dataclasses import dataclass, field

from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import ID, WORKSPACE, Route
from local.fabric_simulator.store import Workspace
from local.fabric_simulator.world import Body, World, object_field, text_field

_PROVISIONED_SECONDS = 60.0
_MAX_NAME, _MAX_TARGET, _MAX_MESSAGE = 64, 2048, 140


@dataclass
class PrivateEndpoint:
    """An endpoint: what was asked for, when it is provisioned, and the state of its connection from then on."""

    asked: Body
    provisioned_at: float
    connection: Body = field(default_factory=lambda: {"status": "Pending", "actionsRequired": "None"})


@dataclass
class PrivateEndpoints:
    """The endpoints of a workspace, by id."""

    by_id: dict[str, PrivateEndpoint] = field(default_factory=lambda: dict[str, PrivateEndpoint]())


def _place(world: World, workspace_id: str) -> Workspace:
    """Return the workspace. Raises ApiError 400 if it has no capacity."""
    workspace = world.workspace(workspace_id)
    if not workspace.capacity_id:
        raise ApiError(400, "UnsupportedSku", "Managed private endpoint is not supported for this capacity sku.")
    return workspace


def _shown(world: World, endpoint_id: str, endpoint: PrivateEndpoint) -> Body:
    is_there = endpoint.provisioned_at <= world.clock()
    waiting: Body = {"status": None, "description": None, "actionsRequired": None}
    return {
        "id": endpoint_id,
        "provisioningState": "Succeeded" if is_there else "Provisioning",
        "connectionState": endpoint.connection if is_there else waiting,
        **endpoint.asked,
    }


def list_(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer GET managedPrivateEndpoints."""
    held = _place(world, workspace_id).part(PrivateEndpoints).by_id
    return world.page([_shown(world, i, e) for i, e in held.items()], request.query, request.path)


def create(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST managedPrivateEndpoints: 201, while Azure provisions the endpoint."""
    workspace, body = _place(world, workspace_id), request.json()
    world.needs_admin(workspace)
    target = text_field(body, "targetPrivateLinkResourceId", _MAX_TARGET, required=True)
    asked: Body = {"name": text_field(body, "name", _MAX_NAME, required=True), "targetPrivateLinkResourceId": target}
    text_field(body, "requestMessage", _MAX_MESSAGE)
    if "targetSubresourceType" in body:
        asked["targetSubresourceType"] = text_field(body, "targetSubresourceType", _MAX_NAME)
    held = workspace.part(PrivateEndpoints).by_id
    if any(endpoint.asked["name"].lower() == asked["name"].lower() for endpoint in held.values()):
        message = "The name of the managed private endpoint is in use."
        raise ApiError(409, "EntityConflict", message, synthetic=True)
    wait = world.scaled(_PROVISIONED_SECONDS) if world.is_realistic else 0.0
    endpoint_id, endpoint = world.store.new_id(), PrivateEndpoint(asked, world.clock() + wait)
    held[endpoint_id] = endpoint
    location = f"{world.api_url()}/v1/workspaces/{workspace.id}/managedPrivateEndpoints/{endpoint_id}"
    return Answer(201, _shown(world, endpoint_id, endpoint), {"Location": location})


def _find(workspace: Workspace, endpoint_id: str) -> PrivateEndpoint:
    found = workspace.part(PrivateEndpoints).by_id.get(endpoint_id.lower())
    if found is None:
        raise ApiError(404, "EntityNotFound", "The requested managed private endpoint was not found.", synthetic=True)
    return found


def get(world: World, request: Request, workspace_id: str, endpoint_id: str) -> Answer:
    """Answer GET of an endpoint."""
    endpoint = _find(_place(world, workspace_id), endpoint_id)
    return Answer(200, _shown(world, endpoint_id.lower(), endpoint))


def delete(world: World, request: Request, workspace_id: str, endpoint_id: str) -> Answer:
    """Answer DELETE of an endpoint: 200 and an empty body."""
    workspace = _place(world, workspace_id)
    world.needs_admin(workspace)
    _find(workspace, endpoint_id)
    del workspace.part(PrivateEndpoints).by_id[endpoint_id.lower()]
    return Answer(200, empty=True)


def seed(workspace: Workspace, row: Body) -> None:
    """Add a provisioned endpoint that no call created, or let one be provisioned with another `connectionState`."""
    names = ("name", "targetPrivateLinkResourceId", "targetSubresourceType")
    asked = {name: str(row[name]) for name in names if name in row}
    held = workspace.part(PrivateEndpoints).by_id
    endpoint = held.setdefault(str(row["id"]).lower(), PrivateEndpoint({"name": row["id"], **asked}, 0.0))
    endpoint.provisioned_at = 0.0
    endpoint.connection = object_field(row, "connectionState") or endpoint.connection


_ROOT = f"{WORKSPACE}/managedPrivateEndpoints"
ROUTES = [
    Route("GET", _ROOT, list_),
    Route("POST", _ROOT, create),
    Route("GET", f"{_ROOT}/{ID}", get),
    Route("DELETE", f"{_ROOT}/{ID}", delete),
]
