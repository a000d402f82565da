"""Workspaces, with their capacities and role assignments."""

import uuid
from typing import Any

from local.fabric_simulator import domains, identity, tags
from local.fabric_simulator.catalogue import ignoring_case
from local.fabric_simulator.domains import InDomain
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.store import GUID, Workspace
from local.fabric_simulator.world import Body, World, text_field

_ROLES = {"admin": "Admin", "member": "Member", "contributor": "Contributor", "viewer": "Viewer"}
_TYPES = frozenset({"User", "Group", "ServicePrincipal", "ServicePrincipalProfile"})
_MAX_ROLES = 1000


def shown(world: World, workspace: Workspace) -> Body:
    """Return a workspace as lists and creations show it."""
    body: Body = {"id": workspace.id, "displayName": workspace.name, "description": workspace.description}
    body["type"] = workspace.type
    is_early = world.settings.capacity_shown_late and world.clock() < workspace.assigned_at
    capacity = workspace.earlier_capacity_id if is_early else workspace.capacity_id
    if capacity:
        body["capacityId"] = capacity
        body["capacityRegion"] = world.region(capacity)
    if workspace.part(InDomain).domain_id:
        body["domainId"] = workspace.part(InDomain).domain_id
    applied = tags.shown(workspace)
    if applied:
        body["tags"] = applied
    return body


def list_(world: World, request: Request) -> Answer:
    """Answer GET /workspaces: those in which the caller has a role."""
    if world.settings.paused_capacity == "500":
        raise ApiError(500, "InternalServerError", "An unexpected error occurred.", synthetic=True)
    rows = [shown(world, w) for w in world.store.workspaces.values() if world.identity in w.roles]
    return world.page(rows, request.query, request.path)


def create(world: World, request: Request) -> Answer:
    """Answer POST /workspaces: always 201. The caller becomes Admin."""
    body = request.json()
    name = text_field(body, "displayName", 256, required=True)
    description = text_field(body, "description", 4000)
    if name.strip().lower() == "admin monitoring":
        raise ApiError(400, "WorkspaceNameIsReserved", "The workspace name is reserved.", synthetic=True)
    _check_free(world, name, None)
    capacity = _capacity(world, body)
    workspace = Workspace(world.store.new_id(), name, description, capacity)
    if body.get("domainId"):
        workspace.part(InDomain).domain_id = domains.find(world, body["domainId"])["id"]
    own = world.store.principals.get(world.identity, "ServicePrincipal")
    workspace.roles[world.identity] = {"id": world.identity, "type": own, "role": "Admin"}
    world.store.workspaces[workspace.id] = workspace
    return Answer(201, shown(world, workspace), {"Location": f"{world.api_url()}/v1/workspaces/{workspace.id}"})


def _check_free(world: World, name: str, own: str | None) -> None:
    for other in world.store.workspaces.values():
        if ignoring_case(other.name) == ignoring_case(name) and other.id != own:
            raise ApiError(409, "WorkspaceNameAlreadyExists", "The workspace name already exists.", synthetic=True)


def _capacity(world: World, body: Body) -> str | None:
    capacity_id = body.get("capacityId")
    if not capacity_id:
        return None
    if not isinstance(capacity_id, str) or not GUID.fullmatch(capacity_id):
        raise ApiError(400, "InvalidInput", "The capacityId is not valid.")
    known = world.store.capacities.get(capacity_id.lower())
    if world.store.capacities and known is None:
        raise ApiError(404, "CapacityNotFound", "The requested capacity was not found.")
    if known is not None and known.get("state") != "Active":
        raise ApiError(400, "CapacityNotInActiveState", "The capacity is not in an active state.", synthetic=True)
    return capacity_id.lower()


def get(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer GET /workspaces/{id}, with the progress of the assignment of its capacity."""
    workspace = world.workspace(workspace_id)
    body = shown(world, workspace)
    if workspace.capacity_id:
        host = f"https://{world.region(workspace.capacity_id).replace(' ', '').lower()}-onelake"
        body["oneLakeEndpoints"] = {
            "blobEndpoint": f"{host}.blob.fabric.microsoft.com",
            "dfsEndpoint": f"{host}.dfs.fabric.microsoft.com",
        }
    done = world.clock() >= workspace.assigned_at
    body["capacityAssignmentProgress"] = "Completed" if done else "InProgress"
    own = identity.shown(workspace)
    if own is not None:
        body["workspaceIdentity"] = own
    return Answer(200, body)


def update(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer PATCH /workspaces/{id}: name and description. Like Fabric, ignore a capacityId silently."""
    workspace, body = world.workspace(workspace_id), request.json()
    world.needs_admin(workspace)
    name, description = workspace.name, workspace.description
    if "displayName" in body:
        name = text_field(body, "displayName", 256, required=True)
        _check_free(world, name, workspace.id)
    if "description" in body:
        description = text_field(body, "description", 4000)
    workspace.name, workspace.description = name, description
    return Answer(200, shown(world, workspace))


def delete(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer DELETE /workspaces/{id}: delete all of it at once; 200 and an empty body."""
    workspace = world.workspace(workspace_id)
    world.needs_admin(workspace)
    del world.store.workspaces[workspace.id]
    world.store.deleted.append({"type": "Workspace", "id": workspace.id, "displayName": workspace.name})
    return Answer(200, empty=True)


def assign(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST assignToCapacity: 202 without Location, id or Retry-After; the workspace shows the progress."""
    workspace = world.workspace(workspace_id)
    world.needs_admin(workspace)
    capacity = _capacity(world, request.json())
    if capacity is None:
        raise ApiError(400, "InvalidInput", "The capacityId field is required.")
    return _assigned(world, workspace, capacity)


def unassign(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST unassignFromCapacity, in the same way."""
    workspace = world.workspace(workspace_id)
    world.needs_admin(workspace)
    return _assigned(world, workspace, None)


def _assigned(world: World, workspace: Workspace, capacity: str | None) -> Answer:
    """Assign a workspace from now on; the assignment before it may not have ended."""
    if world.clock() >= workspace.assigned_at:
        workspace.earlier_capacity_id = workspace.capacity_id
    workspace.capacity_id = capacity
    workspace.assigned_at = world.clock() + world.scaled(world.settings.capacity_assignment_seconds)
    return Answer(202, empty=True)


def _role(row: dict[str, str]) -> Body:
    return {"id": row["id"], "principal": {"id": row["id"], "type": row["type"]}, "role": row["role"]}


def _role_in_full(row: dict[str, str]) -> Body:
    """Return a role with the directory's details of the principal, as every response except that to POST shows it."""
    name = row.get("displayName") or f"principal {row['id'][:8]}"
    other = str(uuid.uuid5(uuid.NAMESPACE_OID, row["id"]))
    details: dict[str, Body] = {
        "User": {"userDetails": {"userPrincipalName": f"{row['id'][:8]}@simulated.example"}},
        "Group": {"groupDetails": {"groupType": "SecurityGroup"}},
        "ServicePrincipal": {"servicePrincipalDetails": {"aadAppId": other}},
        "ServicePrincipalProfile": {
            "servicePrincipalProfileDetails": {"parentPrincipal": {"id": other, "type": "ServicePrincipal"}}
        },
    }
    principal: Body = {"id": row["id"], "displayName": name, "type": row["type"], **details.get(row["type"], {})}
    return {"id": row["id"], "principal": principal, "role": row["role"]}


def list_roles(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer GET roleAssignments."""
    workspace = world.workspace(workspace_id)
    return world.page([_role_in_full(r) for r in workspace.roles.values()], request.query, request.path)


def add_role(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST roleAssignments: 201 with the principal's id, and its type in the directory whatever the request
    says. A second role for a principal is a conflict."""
    workspace, body = world.workspace(workspace_id), request.json()
    world.needs_admin(workspace)
    principal: Any = body.get("principal")
    if not isinstance(principal, dict):
        raise ApiError(400, "InvalidInput", "The Principal field is required.")
    row = {name: str(principal.get(name, "")) for name in ("id", "type")}  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - as sent
    role = _ROLES.get(str(body.get("role", "")).lower())
    if not GUID.fullmatch(row["id"]) or role is None or row["type"] not in _TYPES:
        raise ApiError(400, "InvalidInput", "The principal or the role is not valid.")
    known = world.settings.known_principals
    if known is not None and row["id"].lower() not in {k.lower() for k in known}:
        raise ApiError(
            400,
            "PrincipalNotFound",
            "The principal was not found.",
            details=[{"relatedResource": {"resourceId": row["id"], "resourceType": "Principal"}}],
            related={"resourceId": workspace.id, "resourceType": "Workspace"},
        )
    key = row["id"].lower()
    if key in workspace.roles:
        message = "The principal already has a role on the workspace."
        raise ApiError(409, "PrincipalAlreadyHasWorkspaceRolePermissions", message, synthetic=True)
    if len(workspace.roles) >= _MAX_ROLES:
        raise ApiError(400, "WorkspaceRoleAssignmentsLimitExceeded", "At most 1,000.", synthetic=True)
    true_type = world.store.principals.get(key, row["type"])
    if row["type"] == "ServicePrincipalProfile" and role == "Member":  # The one role that was recorded.
        message = "The role is not allowed for a service principal profile."
        raise ApiError(400, "WorkspaceRoleNotAllowedForServicePrincipalProfile", message)
    workspace.roles[key] = {"id": key, "type": true_type, "role": role}
    location = f"{world.api_url()}/v1/workspaces/{workspace.id}/roleAssignments/{key}"
    return Answer(201, _role(workspace.roles[key]), {"Location": location})


def _assignment(workspace: Workspace, principal_id: str) -> dict[str, str]:
    row = workspace.roles.get(principal_id.lower())
    if row is None:
        raise ApiError(404, "EntityNotFound", "The requested role assignment was not found.")
    return row


def get_role(world: World, request: Request, workspace_id: str, principal_id: str) -> Answer:
    """Answer GET roleAssignments/{id}."""
    return Answer(200, _role_in_full(_assignment(world.workspace(workspace_id), principal_id)))


def update_role(world: World, request: Request, workspace_id: str, principal_id: str) -> Answer:
    """Answer PATCH roleAssignments/{id}: {role}."""
    workspace = world.workspace(workspace_id)
    world.needs_admin(workspace)
    row, role = _assignment(workspace, principal_id), _ROLES.get(str(request.json().get("role", "")).lower())
    if role is None:
        raise ApiError(400, "InvalidInput", "The role is not valid.")
    if role != "Admin":
        _keep_an_admin(workspace, row)
    row["role"] = role
    return Answer(200, _role_in_full(row))


def remove_role(world: World, request: Request, workspace_id: str, principal_id: str) -> Answer:
    """Answer DELETE roleAssignments/{id}."""
    workspace = world.workspace(workspace_id)
    world.needs_admin(workspace)
    row = _assignment(workspace, principal_id)
    _keep_an_admin(workspace, row)
    del workspace.roles[row["id"]]
    return Answer(200, empty=True)


def _keep_an_admin(workspace: Workspace, row: dict[str, str]) -> None:
    others = [r for r in workspace.roles.values() if r["role"] == "Admin" and r is not row]
    if row["role"] == "Admin" and not others:
        raise ApiError(400, "LastAdminCannotBeRemoved", "A workspace must have at least one admin.", synthetic=True)
