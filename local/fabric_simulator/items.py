"""Items: the generic API, and the typed collections over the same store."""

from dataclasses import replace
from typing import Any, cast

from local.fabric_simulator import (
    catalogue,
    companions,
    definitions,
    folders,
    recovery,
    references,
    schedules,
    tags,
    value_sets,
)
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.properties import SHOWN_ON_UPDATE, properties
from local.fabric_simulator.store import SQL_ENDPOINT, Item, Operation, Workspace, stamp
from local.fabric_simulator.world import Body, World, text_field

_INVALID_NAME = "DisplayName is Invalid for ArtifactType. DisplayName: <pi>{}</pi>"
_TAGGED = {"ETag": '""'}
_ENDPOINT = "A SQL endpoint can be changed and deleted only with its item."


def shown(item: Item, workspace: Workspace) -> Body:
    """Return an item as lists and creations show it."""
    body: Body = {
        "id": item.id,
        "type": item.type,
        "displayName": item.name,
        "description": item.description,
        "workspaceId": workspace.id,
    }
    if item.folder_id:
        body["folderId"] = item.folder_id
    applied = tags.shown(item)
    if applied:
        body["tags"] = applied
    return body


def visible(world: World, workspace: Workspace) -> list[Item]:
    """Return the items whose creation has ended, and their companions that Fabric has added."""
    shown_since = world.clock() - world.scaled(world.settings.list_lag_seconds)
    return [item for item in workspace.items.values() if item.visible_at <= shown_since]


def list_(world: World, request: Request, workspace_id: str, item_type: str | None = None) -> Answer:
    """Answer GET items, or GET of a typed collection."""
    workspace = world.workspace(workspace_id)
    wanted = item_type or request.query.get("type")
    if wanted and wanted not in catalogue.ITEM_TYPES:
        raise ApiError(400, "InvalidItemType", f"The item type {wanted} is not valid.")
    chosen = [i for i in visible(world, workspace) if wanted in (None, i.type)]
    chosen = [i for i in chosen if folders.covers(workspace, request.query, i.folder_id)]
    rows = [_row(world, workspace, i, item_type) for i in chosen]
    return world.page(rows, request.query, request.path)


def _row(world: World, workspace: Workspace, item: Item, item_type: str | None) -> Body:
    """Return a row of a list; in a typed collection it has the properties (the published OpenAPI)."""
    more = properties(world, workspace, item) if item_type else None
    return shown(item, workspace) if more is None else {**shown(item, workspace), "properties": more}


def create(world: World, request: Request, workspace_id: str, item_type: str | None = None) -> Answer:
    """Answer POST: 201 or 202, depending on type and definition, as recorded."""
    workspace, body = world.workspace(workspace_id), request.json()
    kind = item_type or str(body.get("type", ""))
    _check(world, workspace, kind, body)
    definition = body.get("definition")
    item = Item(
        world.store.new_id(),
        kind,
        text_field(body, "displayName", 256, required=True),
        text_field(body, "description", 256) or _described(definition),
        world.clock(),
        world.clock(),
        definition,
        body.get("creationPayload") or {},
        folder_id=folders.parent(workspace, body.get("folderId")),
    )
    _define(world, workspace, item, definition)
    schedules.take_from(world, item, definition)
    later = kind not in world.settings.create_at_once and (
        kind in world.settings.create_later
        or kind in catalogue.CREATE_LATER
        or (kind in catalogue.CREATE_LATER_WITH_DEFINITION and definition is not None)
    )
    if not later:
        workspace.items[item.id] = item
        companions.add(world, workspace, item)
        return Answer(201, shown(item, workspace), _TAGGED)
    answer, operation = world.begin(f"create {kind}", shown(item, workspace))
    _appear_with(world, operation, item, workspace)
    return answer if kind in catalogue.UNTAGGED else replace(answer, headers=answer.headers | _TAGGED)


def _described(definition: Any) -> str:
    """Return the description in a definition's `.platform`, which counts if the request has none.

    Recorded 11 times since April 2026, each without a description in the request; that the request's wins is assumed,
    as its displayName does.
    """
    return str(definitions.platform_of(definition).get("description") or "")[:256]


def _define(world: World, workspace: Workspace, item: Item, definition: Any) -> None:
    """Give an item a definition that was sent. Raises ApiError for a reference to an item that does not exist."""
    if definition is None:
        return
    sent = definitions.logical_id_of(definition)
    item.is_defined, before = True, item.definition
    item.definition = definition
    try:
        references.check(world, workspace, item)
    except ApiError:
        item.definition = before
        raise
    if sent:
        world.store.logical_ids[sent] = item.id
    item.definition = definitions.stored(world, item, definition)


def _appear_with(world: World, operation: Operation, item: Item, workspace: Workspace) -> None:
    """Add an item whose name is in use from now on, and that is shown when its operation ends, unless that fails."""
    item.visible_at = float("inf") if operation.over_at is None or operation.error else operation.over_at
    workspace.items[item.id] = item
    if item.visible_at != float("inf"):
        companions.add(world, workspace, item)


def _check(world: World, workspace: Workspace, kind: str, body: Body) -> None:
    name = text_field(body, "displayName", 256, required=True)
    if kind not in catalogue.ITEM_TYPES:
        raise ApiError(400, "InvalidItemType", f"The item type {kind[:60]} is not valid.")
    if world.settings.require_capacity and not workspace.capacity_id:
        raise ApiError(403, "FeatureNotAvailable", "The feature is not available.")
    if not catalogue.is_valid_name(kind, name):
        raise ApiError(400, "InvalidInput", _INVALID_NAME.format(name))
    if body.get("definition") is not None and body.get("creationPayload"):
        code = "RequestWithDefinitionAndCreationPayloadNotSupported"
        raise ApiError(400, code, "Use either definition or creationPayload.", synthetic=True)
    if kind in catalogue.NEEDS_DEFINITION and body.get("definition") is None:
        raise ApiError(400, "MissingDefinition", f"A definition is required to create a {kind}.", synthetic=True)
    if kind in catalogue.NOT_CREATED:
        message = f"An item of type {kind} cannot be created through the API."
        raise ApiError(400, "OperationNotSupportedForItem", message, synthetic=True)
    if body.get("definition") is not None:
        definitions.check(kind, body["definition"])
    if body.get("creationPayload") is not None and not isinstance(body["creationPayload"], dict):
        raise ApiError(400, "InvalidInput", "The creationPayload field must be a JSON object.")
    _check_free(world, workspace, kind, name)


def _check_free(world: World, workspace: Workspace, kind: str, name: str) -> None:
    key = (kind, catalogue.ignoring_case(name))
    if any((i.type, catalogue.ignoring_case(i.name)) == key for i in workspace.items.values()):
        status = world.settings.conflict_status
        message = f"Requested '{name}' is already in use"
        raise ApiError(status, "ItemDisplayNameAlreadyInUse", message, synthetic=True)
    if workspace.reserved.get(key, 0.0) > world.clock():
        message = (
            f"Requested '{name}' is not available yet and is expected to become available in the upcoming minutes."
        )
        status = world.settings.conflict_status
        raise ApiError(status, "ItemDisplayNameNotAvailableYet", message, retriable=True, synthetic=True)


def _item(world: World, workspace_id: str, item_id: str, item_type: str | None = None) -> tuple[Workspace, Item]:
    workspace = world.workspace(workspace_id)
    for item in visible(world, workspace):
        if item.id == item_id.lower() and item_type in (None, item.type):
            return workspace, item
    raise ApiError(404, "ItemNotFound", "The requested item was not found.")


def get(world: World, request: Request, workspace_id: str, item_id: str, item_type: str | None = None) -> Answer:
    """Answer GET of an item. Most types have properties if they are read through their typed collection."""
    workspace, item = _item(world, workspace_id, item_id, item_type)
    return Answer(200, _row(world, workspace, item, item_type), _TAGGED)


def update(world: World, request: Request, workspace_id: str, item_id: str, item_type: str | None = None) -> Answer:
    """Answer PATCH of name and description."""
    workspace, item = _item(world, workspace_id, item_id, item_type)
    if item.type == SQL_ENDPOINT:
        raise ApiError(400, "OperationNotSupportedForItem", _ENDPOINT, synthetic=True)
    body = request.json()
    name = text_field(body, "displayName", 256, required=True) if "displayName" in body else item.name
    description = text_field(body, "description", 256) if "description" in body else item.description
    if item.type == "CosmosDBDatabase" and name != item.name:
        message = "The display name of CosmosDBDatabase items cannot be changed"
        raise ApiError(400, "CosmosDBDatabaseDisplayNameCannotBeChanged", message)
    if not catalogue.is_valid_name(item.type, name):
        raise ApiError(400, "InvalidInput", _INVALID_NAME.format(name))
    if catalogue.ignoring_case(name) != catalogue.ignoring_case(item.name):
        _check_free(world, workspace, item.type, name)
    item.name, item.description = name, description
    shape = shown(item, workspace)
    if item_type in SHOWN_ON_UPDATE:
        shape["properties"] = _changed(world, workspace, item, body)
    return Answer(200, shape, _TAGGED)


def _changed(world: World, workspace: Workspace, item: Item, body: Body) -> Body:
    sent: Any = body.get("properties")
    if item.type == "VariableLibrary" and isinstance(sent, dict):
        name = text_field(cast(Body, sent), "activeValueSetName", 256) or item.value_set
        value_sets.check(item, name)
        item.value_set = name
    more = properties(world, workspace, item) or {}
    return {"$type": "VariableLibraryProperties", **more} if item.type == "VariableLibrary" else more


def delete(world: World, request: Request, workspace_id: str, item_id: str, item_type: str | None = None) -> Answer:
    """Answer DELETE: 200 and an empty body. The name stays reserved for a while."""
    workspace, item = _item(world, workspace_id, item_id, item_type)
    if item.type == SQL_ENDPOINT:
        raise ApiError(400, "OperationNotSupportedForItem", _ENDPOINT, synthetic=True)
    is_final = recovery.check_hard(world, workspace, request.query)
    del workspace.items[item.id]
    gone = companions.take_along(workspace, item)
    if not is_final:
        recovery.keep(world, workspace, item, gone)
    until = world.clock() + world.scaled(world.settings.name_reservation_seconds)
    workspace.reserved[(item.type, catalogue.ignoring_case(item.name))] = until
    world.store.deleted.append({"type": item.type, "id": item.id, "displayName": item.name, "in": workspace.id})
    return Answer(200, empty=True)


def get_definition(
    world: World, request: Request, workspace_id: str, item_id: str, item_type: str | None = None
) -> Answer:
    """Answer POST getDefinition: 200 or 202, depending on the type."""
    workspace, item = _item(world, workspace_id, item_id, item_type)
    if item.type in catalogue.NO_DEFINITION:
        raise ApiError(400, "OperationNotSupportedForItem", "The operation is not supported for the item.")
    result = definitions.shown(workspace, item, request.query.get("format"))
    if item.type in catalogue.READ_LATER:
        return world.begin(f"getDefinition {item.type}", result)[0]
    return Answer(200, result)


def update_definition(
    world: World, request: Request, workspace_id: str, item_id: str, item_type: str | None = None
) -> Answer:
    """Answer POST updateDefinition: 200 or 202, depending on the type. The operation's result is the item, except a
    report's. With `updateMetadata=true`, name and description become those in `.platform`."""
    workspace, item = _item(world, workspace_id, item_id, item_type)
    if item.type in catalogue.NO_DEFINITION:
        raise ApiError(400, "OperationNotSupportedForItem", "The operation is not supported for the item.")
    definition = request.json().get("definition")
    definitions.check(item.type, definition)
    metadata = definitions.platform_of(definition) if _is_true(request.query.get("updateMetadata")) else {}
    name, description = _metadata(world, workspace, item, metadata)
    if world.fault.get("operation") != "fail" or item.type not in catalogue.UPDATE_LATER:
        _define(world, workspace, item, definition)
        schedules.take_from(world, item, definition)
        item.name, item.description = name, description
    if item.type in catalogue.UPDATE_LATER:
        result = None if item.type in catalogue.UPDATE_WITHOUT_RESULT else shown(item, workspace)
        return world.begin("updateDefinition", result)[0]
    return Answer(200, empty=True)


def _is_true(value: str | None) -> bool:
    return value is not None and value.lower() == "true"


def _metadata(world: World, workspace: Workspace, item: Item, metadata: Body) -> tuple[str, str]:
    """Return the name and description that an item has after its `.platform` was applied. Raises ApiError."""
    if not metadata:
        return item.name, item.description
    name = text_field(metadata, "displayName", 256) or item.name
    if catalogue.ignoring_case(name) != catalogue.ignoring_case(item.name):
        _check_free(world, workspace, item.type, name)
    return name, text_field(metadata, "description", 256)


def operation(world: World, request: Request, operation_id: str) -> Answer:
    """Answer GET operations/{id}: Location if it succeeded with a result, Retry-After if it is running."""
    found = _operation(world, operation_id)
    now = world.clock()
    over = found.over_at is not None and found.over_at <= now
    status = "Running" if not over else "Failed" if found.error else "Succeeded"
    body: Body = {
        "status": status,
        "createdTimeUtc": stamp(found.began_at),
        "lastUpdatedTimeUtc": stamp(found.over_at if over and found.over_at else found.began_at),
        "percentComplete": 100 if status == "Succeeded" else None,
        "error": found.error if status == "Failed" else None,
    }
    location = f"{world.operations_url()}/v1/operations/{found.id}"
    own = {"x-ms-operation-id": found.id}
    if status == "Running":
        headers = {**own, "Retry-After": str(found.retry_seconds), "Location": location}
    elif status == "Failed":
        headers = {**own, "x-sim-synthetic": "true"}
    else:
        headers = {} if found.result is None else {**own, "Location": f"{location}/result"}
    return Answer(200, body, headers)


def operation_result(world: World, request: Request, operation_id: str) -> Answer:
    """Answer GET operations/{id}/result: 400 OperationHasNoResult if it has none."""
    found = _operation(world, operation_id)
    if found.over_at is None or found.over_at > world.clock() or found.result is None or found.error:
        raise ApiError(400, "OperationHasNoResult", "The operation has no result")
    return Answer(200, found.result, {"Content-Type": "application/json"})


def _operation(world: World, operation_id: str) -> Operation:
    found = world.store.operations.get(operation_id.lower())
    if found is None:
        raise ApiError(404, "OperationNotFound", "The requested operation was not found.", synthetic=True)
    return found
