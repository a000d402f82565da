"""Domains and the workspaces in them. Every caller is a Fabric administrator here.

Source: recordings of microsoft/fabric-cli for the calls of administrators, the published OpenAPI for the others.
"""

from dataclasses import dataclass, field

from local.fabric_simulator.catalogue import ignoring_case
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import ID, WORKSPACE, Route
from local.fabric_simulator.world import Body, World, list_field, text_field

_SCOPES = ("AllTenant", "SpecificUsersAndGroups", "AdminsOnly")


@dataclass
class Domains:
    """The domains of the tenant as administrators see them, by id."""

    by_id: dict[str, Body] = field(default_factory=lambda: dict[str, Body]())


@dataclass
class InDomain:
    """The domain of one workspace."""

    domain_id: str | None = None


def find(world: World, domain_id: object) -> Body:
    """Return a domain. Raises ApiError 404."""
    found = world.store.part(Domains).by_id.get(str(domain_id).lower())
    if found is None:
        raise ApiError(404, "DomainNotFound", "The requested domain was not found.")
    return found


def _public(domain: Body) -> Body:
    names = ("id", "displayName", "description", "parentDomainId")
    return {name: domain[name] for name in names if name in domain}


def _check_name(world: World, name: str, own: str = "") -> None:
    for domain in world.store.part(Domains).by_id.values():
        if ignoring_case(domain["displayName"]) == ignoring_case(name) and domain["id"] != own:
            raise ApiError(409, "EntityConflict", "Another domain has the name.")


def list_all(world: World, request: Request) -> Answer:
    """Answer GET admin/domains: `domains`, not `value`, and not in pages."""
    return Answer(200, {"domains": list(world.store.part(Domains).by_id.values())})


def create(world: World, request: Request) -> Answer:
    """Answer POST admin/domains: 201."""
    body = request.json()
    domain: Body = {"contributorsScope": "AllTenant", "id": world.store.new_id()}
    domain["displayName"] = text_field(body, "displayName", 40, required=True)
    domain["description"] = text_field(body, "description", 256)
    _check_name(world, domain["displayName"])
    if body.get("parentDomainId"):
        domain["parentDomainId"] = find(world, body["parentDomainId"])["id"]
    world.store.part(Domains).by_id[domain["id"]] = domain
    return Answer(201, domain, {"Location": f"{world.api_url()}/v1/admin/domains/{domain['id']}"})


def get(world: World, request: Request, domain_id: str) -> Answer:
    """Answer GET of a domain as an administrator."""
    return Answer(200, find(world, domain_id))


def change(world: World, request: Request, domain_id: str) -> Answer:
    """Answer PATCH of a domain's name, description and contributors."""
    domain, body = find(world, domain_id), request.json()
    changes: Body = {}
    if "displayName" in body:
        changes["displayName"] = text_field(body, "displayName", 40, required=True)
        _check_name(world, changes["displayName"], own=domain["id"])
    if "description" in body:
        changes["description"] = text_field(body, "description", 256)
    if "contributorsScope" in body:
        if body["contributorsScope"] not in _SCOPES:
            raise ApiError(400, "InvalidInput", f"The contributorsScope must be one of {', '.join(_SCOPES)}.")
        changes["contributorsScope"] = body["contributorsScope"]
    domain |= changes
    return Answer(200, domain)


def delete(world: World, request: Request, domain_id: str) -> Answer:
    """Answer DELETE of a domain; its workspaces stay, without a domain."""
    domain = find(world, domain_id)
    del world.store.part(Domains).by_id[domain["id"]]
    for workspace in world.store.workspaces.values():
        if workspace.part(InDomain).domain_id == domain["id"]:
            workspace.part(InDomain).domain_id = None
    return Answer(200, empty=True)


def workspaces(world: World, request: Request, domain_id: str) -> Answer:
    """Answer GET workspaces of a domain."""
    domain = find(world, domain_id)
    found = [w for w in world.store.workspaces.values() if w.part(InDomain).domain_id == domain["id"]]
    return world.page([{"id": w.id, "displayName": w.name} for w in found], request.query, request.path)


def _move(world: World, request: Request, old: str | None, new: str | None) -> Answer:
    ids = [str(i).lower() for i in list_field(request.json(), "workspacesIds")]
    for workspace in world.store.workspaces.values():
        held = workspace.part(InDomain)
        if (workspace.id in ids) if ids else (old is not None and held.domain_id == old):
            held.domain_id = new if old is None or held.domain_id == old else held.domain_id
    return Answer(200, empty=True)


def assign(world: World, request: Request, domain_id: str) -> Answer:
    """Answer POST assignWorkspaces; unknown ids are ignored (assumed)."""
    return _move(world, request, None, find(world, domain_id)["id"])


def unassign(world: World, request: Request, domain_id: str) -> Answer:
    """Answer POST unassignWorkspaces and unassignAllWorkspaces: those named, or all of the domain."""
    return _move(world, request, find(world, domain_id)["id"], None)


def list_(world: World, request: Request) -> Answer:
    """Answer GET /domains."""
    rows = [_public(d) for d in world.store.part(Domains).by_id.values()]
    return world.page(rows, request.query, request.path)


def get_public(world: World, request: Request, domain_id: str) -> Answer:
    """Answer GET /domains/{id}."""
    return Answer(200, _public(find(world, domain_id)))


def enter(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST assignToDomain of a workspace: 200 and an empty body."""
    workspace = world.workspace(workspace_id)
    world.needs_admin(workspace)
    workspace.part(InDomain).domain_id = find(world, request.json().get("domainId"))["id"]
    return Answer(200, empty=True)


def leave(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST unassignFromDomain of a workspace: 200 and an empty body."""
    workspace = world.workspace(workspace_id)
    world.needs_admin(workspace)
    workspace.part(InDomain).domain_id = None
    return Answer(200, empty=True)


_ADMIN = "/v1/admin/domains"
ROUTES = [
    Route("GET", _ADMIN, list_all),
    Route("POST", _ADMIN, create),
    Route("GET", f"{_ADMIN}/{ID}", get),
    Route("PATCH", f"{_ADMIN}/{ID}", change),
    Route("DELETE", f"{_ADMIN}/{ID}", delete),
    Route("GET", f"{_ADMIN}/{ID}/workspaces", workspaces),
    Route("POST", f"{_ADMIN}/{ID}/assignWorkspaces", assign, synthetic=True),
    Route("POST", f"{_ADMIN}/{ID}/(?:unassignWorkspaces|unassignAllWorkspaces)", unassign, synthetic=True),
    Route("GET", "/v1/domains", list_, synthetic=True),
    Route("GET", f"/v1/domains/{ID}", get_public, synthetic=True),
    Route("POST", f"{WORKSPACE}/assignToDomain", enter, synthetic=True),
    Route("POST", f"{WORKSPACE}/unassignFromDomain", leave, synthetic=True),
]
