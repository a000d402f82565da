"""Items: the generic API, and the typed collections over the same store."""

import base64
import binascii
import json
from typing import Any, cast

from local.fabric_simulator import catalogue, companions, folders, recovery, schedules, tags, value_sets
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.properties import SHOWN_ON_UPDATE, properties
from local.fabric_simulator.store import SQL_ENDPOINT, Item, Operation, Workspace, stamp
from local.fabric_simulator.world import Body, World, text_field

_INVALID_NAME = "DisplayName is Invalid for ArtifactType. DisplayName: <pi>{}</pi>"
_ENDPOINT = "A SQL endpoint can be changed and deleted only with its item."
_PLATFORM_SCHEMA = (
    "https://developer.microsoft.com/json-schemas/fabric/gitIntegration/platformProperties/2.0.0/schema.json"
)


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
    if wanted and wanted not in catalogue.ITEM_TYPES and wanted != SQL_ENDPOINT:
        raise ApiError(400, "InvalidItemType", f"The item type {wanted} is not valid.")
    chosen = [i for i in visible(world, workspace) if wanted in (None, i.type)]
    rows = [shown(i, workspace) for i in chosen if folders.covers(workspace, request.query, i.folder_id)]
    return world.page(rows, request.query, request.path)


def create(world: World, request: Request, workspace_id: str, item_type: str | None = None) -> Answer:
    """Answer POST: 201 or 202, depending on type and definition, as recorded."""
    workspace, body = world.workspace(workspace_id), request.json()
    kind = item_type or str(body.get("type", ""))
    _check(world, workspace, kind, body)
    item = Item(
        world.store.new_id(),
        kind,
        text_field(body, "displayName", 256, required=True),
        text_field(body, "description", 256),
        world.clock(),
        world.clock(),
        _kept(kind, body.get("definition")),
        body.get("creationPayload") or {},
        folder_id=folders.parent(workspace, body.get("folderId")),
    )
    schedules.take_from(world, item, item.definition)
    later = kind not in world.settings.create_at_once and (
        kind in catalogue.CREATE_LATER
        or (kind in catalogue.CREATE_LATER_WITH_DEFINITION and body.get("definition") is not None)
    )
    if not later:
        workspace.items[item.id] = item
        companions.add(world, workspace, item)
        return Answer(201, shown(item, workspace), {"ETag": '""'})
    answer, operation = world.begin(f"create {kind}", shown(item, workspace))
    _appear_with(world, operation, item, workspace)
    return answer


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
    if body.get("definition") is not None:
        if kind in catalogue.NO_DEFINITION:
            message = f"A definition is not supported for {kind}."
            raise ApiError(400, "OperationNotSupportedForItem", message, synthetic=True)
        _check_definition(kind, body["definition"])
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


def _kept(kind: str, definition: Any) -> Any:
    """Return the part of a definition that Fabric stores.

    Without the format SparkJobDefinitionV2, a Spark job's files are silently lost (reported: microsoft/fabric-cicd
    #115).
    """
    if kind != "SparkJobDefinition" or definition is None or definition.get("format") == "SparkJobDefinitionV2":
        return definition
    parts = [part for part in definition["parts"] if not part["path"].startswith(("Main/", "Libs/"))]
    return {**definition, "parts": parts}


def _check_format(kind: str, definition: Any) -> None:
    """Raise ApiError for a notebook with an .ipynb part whose format is not `ipynb`.

    Source: the published OpenAPI, in which the default format is `fabricGitSource`. The error code is the reported one
    (microsoft/fabric-cicd #846).
    """
    is_notebook = kind == "Notebook" and definition.get("format") != "ipynb"
    if is_notebook and any(part["path"].endswith(".ipynb") for part in definition["parts"]):
        raise ApiError(400, "PyToIPynbFailure", "The notebook's content cannot be converted.", synthetic=True)


def _check_definition(kind: str, definition: Any) -> None:
    try:
        parts: list[Any] = definition["parts"]
        if not parts:
            raise ValueError
        for part in parts:
            if part.get("payloadType") != "InlineBase64" or not (isinstance(part["path"], str) and part["path"]):
                raise ValueError
            base64.b64decode(part["payload"], validate=True)
    except (TypeError, KeyError, ValueError, AttributeError, binascii.Error):
        raise ApiError(400, "CorruptedPayload", "The definition's parts are not valid.") from None
    _check_format(kind, definition)


def _item(world: World, workspace_id: str, item_id: str, item_type: str | None = None) -> tuple[Workspace, Item]:
    workspace = world.workspace(workspace_id)
    for item in visible(world, workspace):
        if item.id == item_id.lower() and item_type in (None, item.type):
            return workspace, item
    raise ApiError(404, "ItemNotFound", "The requested item was not found.")


def get(world: World, request: Request, workspace_id: str, item_id: str, item_type: str | None = None) -> Answer:
    """Answer GET of an item. Most types have properties if they are read through their typed collection."""
    workspace, item = _item(world, workspace_id, item_id, item_type)
    body = shown(item, workspace)
    more = properties(world, workspace, item) if item_type else None
    return Answer(200, body if more is None else {**body, "properties": more})


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
    return Answer(200, shape)


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
    _, item = _item(world, workspace_id, item_id, item_type)
    if item.type in catalogue.NO_DEFINITION:
        raise ApiError(400, "OperationNotSupportedForItem", "The operation is not supported for the item.")
    parts = [p for p in (item.definition or {}).get("parts", []) if p["path"] != ".platform"]
    platform = base64.b64encode(_platform(item).encode()).decode()
    parts.append({"path": ".platform", "payload": platform, "payloadType": "InlineBase64"})
    result: Body = {"definition": {"parts": parts}}
    if item.type in catalogue.READ_LATER:
        return world.begin("getDefinition", result)[0]
    return Answer(200, result)


def _platform(item: Item) -> str:
    metadata = {"type": item.type, "displayName": item.name}
    if item.description:
        metadata["description"] = item.description
    config = {"version": "2.0", "logicalId": "00000000-0000-0000-0000-000000000000"}
    return json.dumps({"$schema": _PLATFORM_SCHEMA, "metadata": metadata, "config": config}, indent=2)


def update_definition(
    world: World, request: Request, workspace_id: str, item_id: str, item_type: str | None = None
) -> Answer:
    """Answer POST updateDefinition: 200 or 202, depending on the type. For most types, the operation has no result."""
    workspace, item = _item(world, workspace_id, item_id, item_type)
    if item.type in catalogue.NO_DEFINITION:
        raise ApiError(400, "OperationNotSupportedForItem", "The operation is not supported for the item.")
    definition = request.json().get("definition")
    _check_definition(item.type, definition)
    definition = _kept(item.type, definition)
    schedules.take_from(world, item, definition)
    if item.type in catalogue.UPDATE_LATER:
        result = shown(item, workspace) if item.type in catalogue.UPDATE_GIVES_ITEM else None
        answer, operation = world.begin("updateDefinition", result)
        if operation.error is None:
            item.definition = definition
        return answer
    item.definition = definition
    return Answer(200, empty=True)


def operation(world: World, request: Request, operation_id: str) -> Answer:
    """Answer GET operations/{id}: Location if it succeeded with a result, Retry-After if it is running."""
    found = _operation(world, operation_id)
    now = world.clock()
    over = found.over_at is not None and found.over_at <= now
    status = "Running" if not over else "Failed" if found.error else "Succeeded"
    body: Body = {
        "status": status,
        "createdTimeUtc": stamp(found.began_at),
        "lastUpdatedTimeUtc": stamp(found.over_at if over and found.over_at else now),
        "percentComplete": 100 if status == "Succeeded" else None,
        "error": found.error if status == "Failed" else None,
    }
    location = f"{world.operations_url()}/v1/operations/{found.id}"
    headers = {"x-ms-operation-id": found.id}
    if status == "Running":
        headers |= {"Retry-After": "20", "Location": location}
    elif status == "Failed":
        headers["x-sim-synthetic"] = "true"
    elif found.result is not None:
        headers["Location"] = f"{location}/result"
    return Answer(200, body, headers)


def operation_result(world: World, request: Request, operation_id: str) -> Answer:
    """Answer GET operations/{id}/result: 400 OperationHasNoResult if it has none."""
    found = _operation(world, operation_id)
    if found.over_at is None or found.over_at > world.clock() or found.result is None or found.error:
        raise ApiError(400, "OperationHasNoResult", "The operation has no result.")
    return Answer(200, found.result, {"Content-Type": "application/json"})


def _operation(world: World, operation_id: str) -> Operation:
    found = world.store.operations.get(operation_id.lower())
    if found is None:
        raise ApiError(404, "OperationNotFound", "The requested operation was not found.", synthetic=True)
    return found
