"""A workspace's identity, which long-running operations provision and deprovision; they are polled every five seconds.

Source: two recordings of microsoft/fabric-cli. A second identity, and one that is not there, are refused (synthetic).
"""

from dataclasses import dataclass

from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import WORKSPACE, Route
from local.fabric_simulator.store import Workspace
from local.fabric_simulator.world import Body, World

_RETRY_SECONDS = 5


@dataclass
class Identity:
    """The identity of one workspace; empty without one."""

    application_id: str = ""
    principal_id: str = ""


def shown(workspace: Workspace) -> Body | None:
    """Return the identity as GET of the workspace shows it; None without one."""
    identity = workspace.part(Identity)
    if not identity.application_id:
        return None
    return {"applicationId": identity.application_id, "servicePrincipalId": identity.principal_id}


def provision(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST provisionIdentity; the operation's result is the identity."""
    workspace = world.workspace(workspace_id)
    world.needs_admin(workspace)
    identity = workspace.part(Identity)
    if identity.application_id:
        raise ApiError(409, "WorkspaceIdentityAlreadyExists", "The workspace has an identity.", synthetic=True)
    if world.fault.get("operation") == "fail":
        return world.begin("provisionIdentity", None, retry_after=_RETRY_SECONDS)[0]
    identity.application_id, identity.principal_id = world.store.new_id(), world.store.new_id()
    return world.begin("provisionIdentity", shown(workspace), retry_after=_RETRY_SECONDS)[0]


def deprovision(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST deprovisionIdentity; the operation has no result."""
    workspace = world.workspace(workspace_id)
    world.needs_admin(workspace)
    identity = workspace.part(Identity)
    if not identity.application_id:
        raise ApiError(404, "WorkspaceIdentityNotFound", "The workspace has no identity.", synthetic=True)
    if world.fault.get("operation") != "fail":
        identity.application_id = identity.principal_id = ""
    return world.begin("deprovisionIdentity", None, retry_after=_RETRY_SECONDS)[0]


ROUTES = (
    Route("POST", f"{WORKSPACE}/provisionIdentity", provision),
    Route("POST", f"{WORKSPACE}/deprovisionIdentity", deprovision),
)
