"""OneLake shortcuts of lakehouses and other items that keep data in OneLake.

Source: recordings of microsoft/fabric-cli and a trace of fabric-cicd for create, get, delete, the missing target and
the conflict; the published OpenAPI for the rest. OneLake has no contents here: below an item exist its root folders,
its shortcuts, and the paths that were seeded.
"""

from dataclasses import dataclass, field

from local.fabric_simulator import items
from local.fabric_simulator.connections import Connections
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import ID, ITEM, WORKSPACE, Route, item_of
from local.fabric_simulator.store import Item
from local.fabric_simulator.world import Body, World, object_field, rows_field, text_field

_HOLDERS = ("Lakehouse", "Warehouse", "KQLDatabase", "MirroredDatabase", "SQLDatabase", "SemanticModel")
ROOTS = ("Files", "Tables", "Shortcut")
_TARGETS = {
    "oneLake": "OneLake",
    "amazonS3": "AmazonS3",
    "adlsGen2": "AdlsGen2",
    "googleCloudStorage": "GoogleCloudStorage",
    "s3Compatible": "S3Compatible",
    "dataverse": "Dataverse",
    "azureBlobStorage": "AzureBlobStorage",
    "oneDriveSharePoint": "OneDriveSharePoint",
}
_POLICIES = ("Abort", "GenerateUniqueName", "CreateOrOverwrite", "OverwriteOnly")


@dataclass
class OneLakePaths:
    """The contents of an item in OneLake: its shortcuts by path and name, and the paths that were seeded."""

    shortcuts: dict[tuple[str, str], Body] = field(default_factory=lambda: dict[tuple[str, str], Body]())
    seeded: set[str] = field(default_factory=lambda: set[str]())


def _has(item: Item, path: str) -> bool:
    """Return True if the path exists: a root, a seeded path or a folder above it, or at or below a shortcut."""
    path = path.strip("/")
    held = item.part(OneLakePaths)
    if path in ("", *ROOTS) or any(known == path or known.startswith(f"{path}/") for known in held.seeded):
        return True
    return any(f"{path}/".startswith(f"{at}/{name}/".lstrip("/")) for at, name in held.shortcuts)


def _holder(world: World, workspace_id: str, item_id: str, *, change: bool = False) -> Item:
    workspace, item = item_of(world, workspace_id, item_id)
    if change:
        world.needs_contributor(workspace)
    if item.type not in _HOLDERS:
        raise ApiError(400, "OperationNotSupportedForItem", "Operation not supported for requested item")
    return item


def _invalid(message: str) -> ApiError:
    detail = {"errorCode": "RequestBodyValidationFailed", "message": message}
    return ApiError(400, "BadRequest", "The request could not be processed due to an error", details=[detail])


def _target(world: World, body: Body) -> Body:
    """Return the target of a request as it is shown. Raises ApiError 400 if it does not exist."""
    given = object_field(body, "target")
    found = [(name, object_field(given, name)) for name in _TARGETS if name in given]
    if len(found) != 1:
        raise _invalid("The target must have exactly one destination")
    name, place = found[0]
    if name == "oneLake":
        _check_one_lake(world, place)
    elif str(place.get("connectionId", "")).lower() not in world.store.part(Connections).by_id:
        raise _invalid("The connection of the target doesn't exist")
    return {"type": _TARGETS[name], name: place}


def _check_one_lake(world: World, place: Body) -> None:
    workspace = world.store.workspaces.get(str(place.get("workspaceId", "")).lower())
    if workspace is not None and world.identity in workspace.roles:
        for item in items.visible(world, workspace):
            if item.id == str(place.get("itemId", "")).lower() and _has(item, str(place.get("path", ""))):
                return
    raise _invalid("Target path doesn't exist")


def _put(world: World, item: Item, body: Body, policy: str) -> tuple[Body, bool]:
    """Create or replace a shortcut; return it, and True if it is new. Raises ApiError."""
    path = text_field(body, "path", 1000, required=True).strip("/")
    name = text_field(body, "name", 200, required=True)
    if path.split("/")[0] not in ROOTS or "/" in name:
        raise _invalid(f"The path must begin with one of {', '.join(ROOTS)}, and the name must not contain a slash")
    target, held = _target(world, body), item.part(OneLakePaths).shortcuts
    is_new = (path, name) not in held
    if policy == "OverwriteOnly" and is_new:
        raise ApiError(404, "EntityNotFound", "The requested shortcut was not found.", synthetic=True)
    if policy == "Abort" and not is_new:
        detail = {"errorCode": "ShorcutsOperationNotAllowed", "message": f"The shortcut {name} already exists"}
        message = "Another entity is found with the same id. Please use a different entity or update the existing one"
        raise ApiError(409, "EntityConflict", message, details=[detail])
    if policy == "GenerateUniqueName":
        first, count = name, 1
        while (path, name) in held:
            count += 1
            name = f"{first}_{count}"
        is_new = True
    shortcut: Body = {"name": name, "path": path, "target": target}
    if body.get("transform") is not None:
        shortcut["transform"] = body["transform"]
    held[(path, name)] = shortcut
    return shortcut, is_new


def _policy(request: Request) -> str:
    policy = request.query.get("shortcutConflictPolicy", "Abort")
    if policy not in _POLICIES:
        raise ApiError(400, "InvalidParameter", f"The shortcutConflictPolicy must be one of {', '.join(_POLICIES)}.")
    return policy


def create(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST shortcuts: 201, or 200 if a shortcut was replaced."""
    item = _holder(world, workspace_id, item_id, change=True)
    shortcut, is_new = _put(world, item, request.json(), _policy(request))
    at = f"/v1/workspaces/{workspace_id.lower()}/items/{item.id}/shortcuts/{shortcut['path']}/{shortcut['name']}"
    return Answer(201 if is_new else 200, shortcut, {"Location": f"{world.api_url()}{at}"})


def create_many(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST shortcuts/bulkCreate: an operation whose result says what became of each shortcut."""
    item, policy = _holder(world, workspace_id, item_id, change=True), _policy(request)
    given = rows_field(request.json(), "createShortcutRequests")
    if not given:
        raise ApiError(400, "InvalidInput", "The createShortcutRequests field must be a list of shortcuts.")
    rows: list[Body] = []
    answer, operation = world.begin("bulkCreate shortcuts", {"value": rows})
    for wanted in given if operation.error is None else []:
        try:
            rows.append({"request": wanted, "status": "Succeeded", "result": _put(world, item, wanted, policy)[0]})
        except ApiError as error:
            rows.append({"request": wanted, "status": "Failed", "error": error.body(world.store.new_id())})
    return answer


def list_(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer GET shortcuts: all of them, or those at or below `parentPath`. A list shows paths with a slash before."""
    held = _holder(world, workspace_id, item_id).part(OneLakePaths).shortcuts
    parent = request.query.get("parentPath", "").strip("/")
    chosen = [s for (path, _), s in held.items() if not parent or f"{path}/".startswith(f"{parent}/")]
    return world.page([{**s, "path": f"/{s['path']}"} for s in chosen], request.query, request.path)


def _key(item: Item, path: str, name: str) -> tuple[str, str]:
    if (path.strip("/"), name) not in item.part(OneLakePaths).shortcuts:
        raise ApiError(404, "EntityNotFound", "The requested shortcut was not found.", synthetic=True)
    return path.strip("/"), name


def get(world: World, request: Request, workspace_id: str, item_id: str, path: str, name: str) -> Answer:
    """Answer GET of a shortcut."""
    item = _holder(world, workspace_id, item_id)
    return Answer(200, item.part(OneLakePaths).shortcuts[_key(item, path, name)])


def delete(world: World, request: Request, workspace_id: str, item_id: str, path: str, name: str) -> Answer:
    """Answer DELETE of a shortcut: 200 and an empty body."""
    item = _holder(world, workspace_id, item_id, change=True)
    del item.part(OneLakePaths).shortcuts[_key(item, path, name)]
    return Answer(200, empty=True)


def reset_cache(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST resetShortcutCache: an operation without a result."""
    world.needs_contributor(world.workspace(workspace_id))
    return world.begin("resetShortcutCache", None)[0]


ROUTES = [
    Route("GET", f"{ITEM}/shortcuts", list_),
    Route("POST", f"{ITEM}/shortcuts", create),
    Route("POST", f"{ITEM}/shortcuts/bulkCreate", create_many, synthetic=True),
    Route("GET", f"{WORKSPACE}/items/{ID}/shortcuts/(.+)/([^/]+)", get),
    Route("DELETE", f"{WORKSPACE}/items/{ID}/shortcuts/(.+)/([^/]+)", delete),
    Route("POST", f"{WORKSPACE}/onelake/resetShortcutCache", reset_cache, synthetic=True),
]
