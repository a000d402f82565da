"""The routes of tags: of the tenant, of items, of workspaces. No recording shows them."""

from local.fabric_simulator.catalogue import ignoring_case
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import ID, ITEM, WORKSPACE, Route, item_of
from local.fabric_simulator.store import Parts
from local.fabric_simulator.tags import Applied, Tags, find
from local.fabric_simulator.world import Body, World, list_field, object_field, rows_field, text_field

_MAX_APPLIED = 10


def list_(world: World, request: Request) -> Answer:
    """Answer GET tags, of callers and of administrators."""
    return world.page(list(world.store.part(Tags).by_id.values()), request.query, request.path)


def _check_name(world: World, name: str, own: str = "") -> None:
    for tag in world.store.part(Tags).by_id.values():
        if ignoring_case(tag["displayName"]) == ignoring_case(name) and tag["id"] != own:
            raise ApiError(409, "EntityConflict", f"Another tag has the name {name}.")


def create(world: World, request: Request) -> Answer:
    """Answer POST bulkCreateTags: 201 with all tags, or none is created."""
    body = request.json()
    rows = rows_field(body, "createTagsRequest")
    if not rows:
        raise ApiError(400, "InvalidInputs", "The createTagsRequest field must be a list of tags.")
    made: list[Body] = []
    for row in rows:
        name = text_field(row, "displayName", 40, required=True)
        _check_name(world, name)
        if any(ignoring_case(tag["displayName"]) == ignoring_case(name) for tag in made):
            raise ApiError(400, "InvalidInputs", f"The name {name} is there twice.")
        scope = object_field(body, "scope") or {"type": "Tenant"}
        made.append({"id": world.store.new_id(), "displayName": name, "scope": scope})
    world.store.part(Tags).by_id.update({tag["id"]: tag for tag in made})
    return Answer(201, {"tags": made})


def change(world: World, request: Request, tag_id: str) -> Answer:
    """Answer PATCH of a tag's name."""
    tag = find(world.store, tag_id)
    name = text_field(request.json(), "displayName", 40, required=True)
    _check_name(world, name, own=tag["id"])
    tag["displayName"] = name
    return Answer(200, tag)


def delete(world: World, request: Request, tag_id: str) -> Answer:
    """Answer DELETE of a tag, which no item has afterwards."""
    tag = find(world.store, tag_id)
    del world.store.part(Tags).by_id[tag["id"]]
    for workspace in world.store.workspaces.values():
        for tagged in (workspace, *workspace.items.values()):
            applied = tagged.part(Applied)
            applied.tags = [other for other in applied.tags if other is not tag]
    return Answer(200, empty=True)


def _put(world: World, tagged: Parts, request: Request, *, apply: bool) -> Answer:
    given = {str(i).lower(): find(world.store, i) for i in list_field(request.json(), "tags")}
    if not given:
        raise ApiError(400, "InvalidInputs", "The tags field must be a list of ids.")
    held = tagged.part(Applied)
    left = [tag for tag in held.tags if tag["id"] not in given]
    if apply and len(left) + len(given) > _MAX_APPLIED:
        raise ApiError(400, "InvalidInputs", f"At most {_MAX_APPLIED} tags may be applied.")
    held.tags = [*held.tags, *(tag for tag in given.values() if tag not in held.tags)] if apply else left
    return Answer(200, empty=True)


def _item(world: World, workspace_id: str, item_id: str) -> Parts:
    workspace, item = item_of(world, workspace_id, item_id)
    world.needs_contributor(workspace)
    return item


def _workspace(world: World, workspace_id: str) -> Parts:
    workspace = world.workspace(workspace_id)
    world.needs_admin(workspace)
    return workspace


def apply_to_item(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST applyTags of an item."""
    return _put(world, _item(world, workspace_id, item_id), request, apply=True)


def unapply_from_item(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST unapplyTags of an item."""
    return _put(world, _item(world, workspace_id, item_id), request, apply=False)


def apply_to_workspace(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST applyTags of a workspace."""
    return _put(world, _workspace(world, workspace_id), request, apply=True)


def unapply_from_workspace(world: World, request: Request, workspace_id: str) -> Answer:
    """Answer POST unapplyTags of a workspace."""
    return _put(world, _workspace(world, workspace_id), request, apply=False)


ROUTES = [
    Route("GET", "/v1/(?:admin/)?tags", list_, synthetic=True),
    Route("POST", "/v1/admin/tags/bulkCreateTags", create, synthetic=True),
    Route("PATCH", f"/v1/admin/tags/{ID}", change, synthetic=True),
    Route("DELETE", f"/v1/admin/tags/{ID}", delete, synthetic=True),
    Route("POST", f"{ITEM}/applyTags", apply_to_item, synthetic=True),
    Route("POST", f"{ITEM}/unapplyTags", unapply_from_item, synthetic=True),
    Route("POST", f"{WORKSPACE}/applyTags", apply_to_workspace, synthetic=True),
    Route("POST", f"{WORKSPACE}/unapplyTags", unapply_from_workspace, synthetic=True),
]
