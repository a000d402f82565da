"""The routes of git integration. No recording shows any of them; see `git_sync` for what is assumed.

A branch and the folder in it must exist before a workspace is connected with them ("Tutorial: End-to-end automation in
Fabric", learn.microsoft.com/fabric/cicd). The control API's POST git creates them and commits to them. Assumed: an
update from Git does with schedules what an update of the definition does (schedules.py).
"""

import json
from dataclasses import replace

from local.fabric_simulator import bulk, git_sync, items
from local.fabric_simulator.connections import Connections
from local.fabric_simulator.git_objects import Branch, Provider, key_of
from local.fabric_simulator.git_sync import GitLink, Link, Side
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import WORKSPACE, Route
from local.fabric_simulator.store import Workspace, stamp
from local.fabric_simulator.world import Body, World, list_field, object_field, rows_field, text_field

_NOTHING_THERE = (
    "The requested operation can't be completed because the Git provider resource could not be found using the "
    "provided Git connection details."
)
"""Source: answers that users of the API quote; their status is assumed."""
_REQUIRED = {"AzureDevOps": ("organizationName", "projectName"), "GitHub": ("ownerName",)}


def _link(world: World, workspace: Workspace, *, ready: bool = True) -> Link:
    """Return the workspace's connection. Raises ApiError if there is none, or if an operation on it still runs."""
    link = workspace.part(GitLink).link
    if link is None or (ready and not link.is_initialized):
        raise ApiError(409, "WorkspaceNotConnectedToGit", "The workspace is not connected to git.")
    running = link.operation
    if running is not None and (running.over_at is None or running.over_at > world.clock()):
        raise ApiError(409, "WorkspacePreviousOperationInProgress", "The workspace's last git operation still runs.")
    return link


def _credentials(world: World, workspace: Workspace, given: Body, provider: str) -> Body:
    """Return the caller's credentials as they are shown. Raises ApiError."""
    source = given.get("source", "Automatic")
    is_person = workspace.roles[world.identity]["type"] == "User"
    if source == "ConfiguredConnection":
        connection_id = str(given.get("connectionId", "")).lower()
        found = world.store.part(Connections).by_id.get(connection_id)
        if found is None or world.identity not in found.roles:
            raise ApiError(404, "ConnectionNotFound", "The connection of the credentials was not found.")
        if not str(found.shown["connectionDetails"]["type"]).startswith(provider):
            raise ApiError(400, "ConnectionMismatch", f"The connection is not one for {provider}.")
        return {"source": source, "connectionId": connection_id}
    if source == "Automatic" and (provider == "GitHub" or not is_person):
        raise ApiError(400, "PrincipalTypeNotSupported", "These credentials need a ConfiguredConnection.")
    if source not in ("Automatic", "None"):
        raise ApiError(400, "InvalidInput", "The source of the credentials is not valid.")
    return {"source": source}


def connect(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST git/connect: 200 and an empty body."""
    workspace, body = world.workspace(workspace_id), request.json()
    world.needs_admin(workspace)
    if workspace.part(GitLink).link is not None:
        raise ApiError(409, "WorkspaceAlreadyConnectedToGit", "The workspace is already connected to git.")
    if world.settings.require_capacity and not workspace.capacity_id:
        raise ApiError(400, "WorkspaceHasNoCapacityAssigned", "A workspace with a capacity is required.")
    details = object_field(body, "gitProviderDetails")
    provider = str(details.get("gitProviderType"))
    names = (*_REQUIRED.get(provider, ("gitProviderType",)), "repositoryName", "branchName")
    missing = [name for name in names if not isinstance(details.get(name), str) or not details[name]]
    if provider not in _REQUIRED or missing or "directoryName" not in details:
        wrong = (missing or ["directoryName"])[0]
        raise ApiError(400, "InvalidInput", f"The {wrong} field is required.")
    credentials = _credentials(world, workspace, object_field(body, "myGitCredentials"), provider)
    branch = world.store.part(Provider).branches.get(key_of(details))
    directory = str(details["directoryName"] or "").strip("/")
    if branch is None or not branch.commits or not _has_folder(branch, directory):
        raise ApiError(404, "GitProviderResourceNotFound", _NOTHING_THERE, synthetic=True)
    held = workspace.part(GitLink)
    held.link = Link(details, branch, directory)
    held.credentials[world.identity] = credentials
    return Answer(200, empty=True)


def _has_folder(branch: Branch, directory: str) -> bool:
    return not directory or any(path.startswith(f"{directory}/") for path in branch.head.files)


def disconnect(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST git/disconnect: 200 and an empty body. The items stay."""
    workspace = world.workspace(workspace_id)
    world.needs_admin(workspace)
    _link(world, workspace, ready=False)
    workspace.part(GitLink).link = None
    return Answer(200, empty=True)


def connection(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer GET git/connection, also of a workspace that is not connected."""
    workspace = world.workspace(workspace_id)
    world.needs_contributor(workspace)
    link = workspace.part(GitLink).link
    if link is None:
        return Answer(200, {"gitConnectionState": "NotConnected"})
    state = "ConnectedAndInitialized" if link.is_initialized else "Connected"
    body: Body = {"gitProviderDetails": link.details, "gitConnectionState": state}
    if link.head:
        body["gitSyncDetails"] = {"head": link.head, "lastSyncTime": f"{stamp(link.synced_at)}Z"}
    return Answer(200, body)


def initialize(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST git/initializeConnection: an operation whose result says what to do next."""
    workspace, body = world.workspace(workspace_id), request.json()
    world.needs_admin(workspace)
    link = _link(world, workspace, ready=False)
    strategy = body.get("initializationStrategy", "None")
    here, there = bool(git_sync.in_workspace(world, workspace)), bool(git_sync.in_branch(link))
    if here and there and strategy not in ("PreferRemote", "PreferWorkspace"):
        message = "Both sides have content: an initializationStrategy is required."
        raise ApiError(400, "MissingInitializationPolicy", message)
    prefers_remote = there and (not here or strategy == "PreferRemote")
    action = "UpdateFromGit" if prefers_remote else "CommitToGit" if here else "None"
    result = {"requiredAction": action, "workspaceHead": link.head, "remoteCommitHash": link.branch.head.id}
    answer, link.operation = world.begin("initializeConnection", result)
    if link.operation.error is None:
        link.is_initialized = True
        if action == "None":
            git_sync.mark_synced(world, workspace, link)
            link.head, link.synced_at = link.branch.head.id, world.clock()
    return answer


def status(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer GET git/status: an operation whose result has the changes of both sides."""
    workspace = world.workspace(workspace_id)
    world.needs_contributor(workspace)
    link = _link(world, workspace)
    result = {"workspaceHead": link.head, "remoteCommitHash": link.branch.head.id}
    return world.begin("git status", {**result, "changes": git_sync.changes(world, workspace, link)})[0]


def _check_head(link: Link, body: Body) -> None:
    if "workspaceHead" in body and (body["workspaceHead"] or "") != link.head:
        raise ApiError(409, "WorkspaceHeadMismatch", "The workspaceHead is not the commit that is synced.")


def commit(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST git/commitToGit: an operation that commits all changes of the workspace or the named items."""
    workspace, body = world.workspace(workspace_id), request.json()
    world.needs_contributor(workspace)
    link = _link(world, workspace)
    _check_head(link, body)
    comment = text_field(body, "comment", 300) or "Committed by Fabric"
    rows = git_sync.changes(world, workspace, link)
    if link.head and any("remoteChange" in row for row in rows):
        message = "The branch has changes that the workspace lacks: update from git first."
        raise ApiError(409, "WorkspaceHeadMismatch", message)
    chosen = {_key(row) for row in rows if "workspaceChange" in row or not link.head}
    if body.get("mode") == "Selective":
        wanted = {str(v).lower() for row in rows_field(body, "items") for v in row.values()}
        chosen = {_key(r) for r in rows if wanted & set(r["itemMetadata"]["itemIdentifier"].values())}
    elif body.get("mode") != "All":
        raise ApiError(400, "InvalidInput", "The mode must be All or Selective.")
    if not chosen:
        raise ApiError(400, "NoChangesToCommit", "There is nothing to commit.", synthetic=True)
    answer, link.operation = world.begin("commitToGit", None)
    if link.operation.error is None:
        _commit(world, workspace, link, chosen, comment)
    return answer


def _key(row: Body) -> str:
    return str(row["itemMetadata"]["itemIdentifier"]["logicalId"])


def _commit(world: World, workspace: Workspace, link: Link, chosen: set[str], comment: str) -> None:
    here, there = git_sync.in_workspace(world, workspace), git_sync.in_branch(link)
    prefix = f"{link.directory}/" if link.directory else ""
    files = dict(link.branch.head.files)
    for key in chosen:
        if key in there:
            root = f"{prefix}{there[key].root}/"
            files = {path: data for path, data in files.items() if not path.startswith(root)}
        if key in here:
            files |= {f"{prefix}{here[key].root}/{path}": data for path, data in here[key].files.items()}
    link.branch.commit(files, comment, world.clock())
    git_sync.mark_synced(world, workspace, link, chosen)
    link.head, link.synced_at = link.branch.head.id, world.clock()


def update(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST git/updateFromGit: an operation that brings the workspace to the branch's head."""
    workspace, body = world.workspace(workspace_id), request.json()
    world.needs_contributor(workspace)
    link = _link(world, workspace)
    _check_head(link, body)
    if body.get("remoteCommitHash") != link.branch.head.id:
        message = "The remoteCommitHash field is required and must be the head of the branch."
        raise ApiError(400, "InvalidInput", message)
    rows = git_sync.changes(world, workspace, link)
    resolution = object_field(body, "conflictResolution").get("conflictResolutionPolicy")
    conflicts = [row for row in rows if row["conflictType"] == "Conflict"]
    if conflicts and resolution not in ("PreferRemote", "PreferWorkspace"):
        names = ", ".join(row["itemMetadata"]["displayName"] for row in conflicts)
        raise ApiError(409, "GitConflictsNotResolved", f"Both sides changed: {names[:200]}.", synthetic=True)
    taken = {_key(r) for r in rows if "remoteChange" in r} - {
        _key(r) for r in conflicts if resolution == "PreferWorkspace"
    }
    if not object_field(body, "options").get("allowOverrideItems"):
        _check_names(git_sync.in_workspace(world, workspace), git_sync.in_branch(link), taken)
    answer, link.operation = world.begin("updateFromGit", None)
    quiet, ordered = replace(world, fault={}), sorted(taken)
    if link.operation.error is None:
        _update(quiet, workspace, link, ordered)
        link.head, link.synced_at = link.branch.head.id, world.clock()
    else:  # assumed: an update that fails has changed some items, and the workspace is not at the branch's head
        _update(quiet, workspace, link, ordered[: (len(ordered) + 1) // 2])
    return answer


def _check_names(here: dict[str, Side], there: dict[str, Side], taken: set[str]) -> None:
    names = {(side.type, side.name): key for key, side in here.items()}
    for key in taken & there.keys() - here.keys():
        if (there[key].type, there[key].name) in names:
            message = f"The workspace has another {there[key].type} with the name {there[key].name[:100]}."
            raise ApiError(409, "PotentialDuplicateDisplayNameAndType", message)


def _update(world: World, workspace: Workspace, link: Link, taken: list[str]) -> None:
    """Bring these items to the state of the branch. One that cannot be changed stays as it is, and is not synced."""
    here, there = git_sync.in_workspace(world, workspace), git_sync.in_branch(link)
    for key in taken:
        if key in here and key not in there:
            items.delete(world, Request("DELETE", ""), workspace.id, here[key].item_id)
    parts: Body = {
        "definitionParts": [
            row for key in taken if key in there for row in bulk.rows_of(there[key].root, there[key].files)
        ]
    }
    done = set(taken) - there.keys()
    for one in bulk.ordered(bulk.imports(parts)) if list_field(parts, "definitionParts") else ():
        made = bulk.put(world, workspace, one, by_name=True)
        if made["operationStatus"] == "Succeeded":
            _describe(world, workspace, made["itemId"], one)
            done.add(one.logical_id)
    git_sync.mark_synced(world, workspace, link, done)


def _describe(world: World, workspace: Workspace, item_id: str, one: bulk.Import) -> None:
    """Give an item the name, the description and the place that it has in the branch, and show it at once."""
    item = workspace.items[item_id]
    platform = json.loads(one.parts[".platform"])
    item.name, item.description = one.name, str(platform["metadata"].get("description") or "")
    item.folder_id, item.visible_at = bulk.folder_at(world, workspace, one.folder), 0.0


def bring_to_head(world: World, workspace: Workspace, details: Body) -> None:
    """Connect a workspace with a branch and give it the items of the branch's head, as a person did before. Raises
    KeyError for an unknown branch."""
    branch = world.store.part(Provider).branches[key_of(details)]
    link = Link(details, branch, str(details.get("directoryName") or "").strip("/"), is_initialized=True)
    workspace.part(GitLink).link = link
    acting = replace(world, fault={}, identity=next(iter(workspace.roles)))
    _update(acting, workspace, link, sorted(git_sync.in_branch(link)))
    git_sync.mark_synced(acting, workspace, link)
    link.head, link.synced_at = branch.head.id, world.clock()


def my_credentials(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer GET git/myGitCredentials."""
    workspace = world.workspace(workspace_id)
    world.needs_contributor(workspace)
    _link(world, workspace, ready=False)
    return Answer(200, workspace.part(GitLink).credentials.get(world.identity, {"source": "None"}))


def change_my_credentials(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer PATCH git/myGitCredentials."""
    workspace = world.workspace(workspace_id)
    world.needs_contributor(workspace)
    link = _link(world, workspace, ready=False)
    made = _credentials(world, workspace, request.json(), str(link.details["gitProviderType"]))
    workspace.part(GitLink).credentials[world.identity] = made
    return Answer(200, made)


_GIT = f"{WORKSPACE}/git"
ROUTES = [
    Route("GET", f"{_GIT}/connection", connection, synthetic=True),
    Route("POST", f"{_GIT}/connect", connect, synthetic=True),
    Route("POST", f"{_GIT}/disconnect", disconnect, synthetic=True),
    Route("POST", f"{_GIT}/initializeConnection", initialize, synthetic=True),
    Route("GET", f"{_GIT}/status", status, synthetic=True),
    Route("POST", f"{_GIT}/commitToGit", commit, synthetic=True),
    Route("POST", f"{_GIT}/updateFromGit", update, synthetic=True),
    Route("GET", f"{_GIT}/myGitCredentials", my_credentials, synthetic=True),
    Route("PATCH", f"{_GIT}/myGitCredentials", change_my_credentials, synthetic=True),
]
