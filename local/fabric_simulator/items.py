"""Items: the generic items API, and the typed collections over the same store."""

import base64
import binascii
from typing import Any

from local.fabric_simulator import catalogue
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.store import Item, Operation, Workspace, stamp
from local.fabric_simulator.world import Body, World, text_field


def shown(item: Item, workspace: Workspace) -> Body:
    """An item as lists and creates show it."""
    return {
        "id": item.id,
        "type": item.type,
        "displayName": item.name,
        "description": item.description,
        "workspaceId": workspace.id,
    }


def visible(world: World, workspace: Workspace) -> list[Item]:
    """The items whose creation is over, each lakehouse followed by its SQL endpoint once that is there."""
    now = world.clock()
    found: list[Item] = []
    for item in workspace.items.values():
        if item.visible_at + world.scaled(world.levers.list_lag_seconds) > now:
            continue
        found.append(item)
        if item.endpoint_id and item.endpoint_at <= now:
            found.append(Item(item.endpoint_id, "SQLEndpoint", item.name, "", item.endpoint_at, item.endpoint_at))
    return found


def list_(world: World, request: Request, workspace_id: str, item_type: str | None = None) -> Answer:
    """GET items, or a typed collection."""
    workspace = world.workspace(workspace_id)
    wanted = item_type or request.query.get("type")
    if wanted and wanted not in catalogue.ITEM_TYPES and wanted != "SQLEndpoint":
        raise ApiError(400, "InvalidItemType", f"The item type {wanted} is not valid.")
    rows = [shown(i, workspace) for i in visible(world, workspace) if wanted in (None, i.type)]
    return world.page(rows, request.query, request.path)


def create(world: World, request: Request, workspace_id: str, item_type: str | None = None) -> Answer:
    """POST: 201 or 202 by type and definition, as recorded."""
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
        body.get("definition"),
        body.get("creationPayload") or {},
    )
    later = kind in catalogue.CREATE_LATER or (
        kind in catalogue.CREATE_LATER_WITH_DEFINITION and body.get("definition") is not None
    )
    if kind == "Lakehouse":
        item.endpoint_id = world.store.new_id()
        seconds = world.store.chance.uniform(11.0, 15.0) if world.is_realistic else 0.0
        item.endpoint_at = world.clock() + world.scaled(seconds)
    if not later:
        workspace.items[item.id] = item
        return Answer(201, shown(item, workspace), {"ETag": '""'})
    answer, operation = world.begin(f"create {kind}", shown(item, workspace))
    _appear_with(operation, item, workspace)
    return answer


def _appear_with(operation: Operation, item: Item, workspace: Workspace) -> None:
    """The name is taken from now on; the item shows when its operation is over, and never where that fails."""
    item.visible_at = float("inf") if operation.over_at is None or operation.error else operation.over_at
    workspace.items[item.id] = item


def _check(world: World, workspace: Workspace, kind: str, body: Body) -> None:
    name = text_field(body, "displayName", 256, required=True)
    if kind not in catalogue.ITEM_TYPES:
        raise ApiError(400, "InvalidItemType", f"The item type {kind[:60]} is not valid.")
    if world.levers.require_capacity and not workspace.capacity_id:
        raise ApiError(403, "FeatureNotAvailable", "The feature is not available.")
    if not catalogue.is_valid_name(kind, name):
        message = f"DisplayName is Invalid for ArtifactType. DisplayName: <pi>{name}</pi>"
        raise ApiError(400, "InvalidInput", message)
    if body.get("definition") is not None and body.get("creationPayload"):
        code = "RequestWithDefinitionAndCreationPayloadNotSupported"
        raise ApiError(400, code, "Use either definition or creationPayload.")
    if kind in catalogue.NEEDS_DEFINITION and body.get("definition") is None:
        raise ApiError(400, "MissingDefinition", f"A definition is required to create a {kind}.")
    if body.get("definition") is not None:
        _check_definition(body["definition"])
    key = (kind, name.casefold())
    if any((i.type, i.name.casefold()) == key for i in workspace.items.values()):
        status = world.levers.conflict_status
        message = f"Requested '{name}' is already in use"
        raise ApiError(status, "ItemDisplayNameAlreadyInUse", message, synthetic=True)
    if workspace.reserved.get(key, 0.0) > world.clock():
        message = (
            f"Requested '{name}' is not available yet and is expected to become available in the upcoming minutes."
        )
        status = world.levers.conflict_status
        raise ApiError(status, "ItemDisplayNameNotAvailableYet", message, retriable=True, synthetic=True)


def _check_definition(definition: Any) -> None:
    try:
        parts: list[Any] = definition["parts"]
        if not parts:
            raise ValueError
        for part in parts:
            if part.get("payloadType") != "InlineBase64" or not part["path"]:
                raise ValueError
            base64.b64decode(part["payload"], validate=True)
    except (TypeError, KeyError, ValueError, AttributeError, binascii.Error):
        raise ApiError(400, "CorruptedPayload", "The definition's parts are not valid.") from None


def _item(world: World, workspace_id: str, item_id: str, item_type: str | None = None) -> tuple[Workspace, Item]:
    workspace = world.workspace(workspace_id)
    for item in visible(world, workspace):
        if item.id == item_id.lower() and item_type in (None, item.type):
            return workspace, item
    raise ApiError(404, "ItemNotFound", "The requested item was not found.")


def get(world: World, request: Request, workspace_id: str, item_id: str, item_type: str | None = None) -> Answer:
    """GET one; a lakehouse read as a lakehouse has properties."""
    workspace, item = _item(world, workspace_id, item_id, item_type)
    body = shown(item, workspace)
    if item_type == "Lakehouse":
        ready = item.endpoint_at <= world.clock()
        root = f"https://onelake.dfs.fabric.microsoft.com/{workspace.id}/{item.id}"
        body["properties"] = {
            "oneLakeTablesPath": f"{root}/Tables",
            "oneLakeFilesPath": f"{root}/Files",
            "sqlEndpointProperties": {
                "connectionString": f"{item.id[:8]}.datawarehouse.fabric.microsoft.com" if ready else None,
                "id": item.endpoint_id if ready else None,
                "provisioningStatus": "Success" if ready else "InProgress",
            },
        }
        if item.creation_payload.get("enableSchemas"):
            body["properties"]["defaultSchema"] = "dbo"
    return Answer(200, body)


def update(world: World, request: Request, workspace_id: str, item_id: str, item_type: str | None = None) -> Answer:
    """PATCH name and description."""
    workspace, item = _item(world, workspace_id, item_id, item_type)
    body = request.json()
    if "displayName" in body:
        name = text_field(body, "displayName", 256, required=True)
        if not catalogue.is_valid_name(item.type, name):
            raise ApiError(400, "InvalidInput", "DisplayName is Invalid for ArtifactType.")
        item.name = name
    if "description" in body:
        item.description = text_field(body, "description", 256)
    return Answer(200, shown(item, workspace))


def delete(world: World, request: Request, workspace_id: str, item_id: str, item_type: str | None = None) -> Answer:
    """DELETE: 200 and an empty body; the name stays reserved for a while."""
    workspace, item = _item(world, workspace_id, item_id, item_type)
    if item.type == "SQLEndpoint":
        raise ApiError(400, "OperationNotSupportedForItem", "A SQL endpoint goes with its lakehouse.", synthetic=True)
    del workspace.items[item.id]
    until = world.clock() + world.scaled(world.levers.name_reservation_seconds)
    workspace.reserved[(item.type, item.name.casefold())] = until
    world.store.deleted.append({"type": item.type, "id": item.id, "displayName": item.name, "in": workspace.id})
    return Answer(200, empty=True)


def get_definition(
    world: World, request: Request, workspace_id: str, item_id: str, item_type: str | None = None
) -> Answer:
    """POST getDefinition: 200 or 202 by type."""
    _, item = _item(world, workspace_id, item_id, item_type)
    if item.type in catalogue.NO_DEFINITION:
        raise ApiError(400, "OperationNotSupportedForItem", "The operation is not supported for the item.")
    parts = [p for p in (item.definition or {}).get("parts", []) if p["path"] != ".platform"]
    metadata = f'{{"metadata":{{"type":"{item.type}","displayName":"{item.name}"}}}}'
    platform = base64.b64encode(metadata.encode()).decode()
    parts.append({"path": ".platform", "payload": platform, "payloadType": "InlineBase64"})
    result: Body = {"definition": {"parts": parts}}
    if item.type in catalogue.READ_LATER:
        return world.begin("getDefinition", result)[0]
    return Answer(200, result)


def update_definition(
    world: World, request: Request, workspace_id: str, item_id: str, item_type: str | None = None
) -> Answer:
    """POST updateDefinition: 200 or 202 by type; the operation has no result."""
    _, item = _item(world, workspace_id, item_id, item_type)
    definition = request.json().get("definition")
    _check_definition(definition)
    stored = next(i for i in world.workspace(workspace_id).items.values() if i.id == item.id)
    if item.type in catalogue.UPDATE_LATER:
        answer, operation = world.begin("updateDefinition", None)
        if operation.error is None:
            stored.definition = definition
        return answer
    stored.definition = definition
    return Answer(200, empty=True)


def operation(world: World, request: Request, operation_id: str) -> Answer:
    """GET operations/{id}. Succeeded: Location only where there is a result; Running: Retry-After."""
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
    if status == "Running":
        return Answer(200, body, {"Retry-After": "20", "Location": location})
    if status == "Succeeded" and found.result is not None:
        return Answer(200, body, {"Location": f"{location}/result"})
    return Answer(200, body)


def operation_result(world: World, request: Request, operation_id: str) -> Answer:
    """GET operations/{id}/result: 400 OperationHasNoResult where there is none."""
    found = _operation(world, operation_id)
    if found.over_at is None or found.over_at > world.clock() or found.result is None or found.error:
        raise ApiError(400, "OperationHasNoResult", "The operation has no result.")
    return Answer(200, found.result)


def _operation(world: World, operation_id: str) -> Operation:
    found = world.store.operations.get(operation_id.lower())
    if found is None:
        raise ApiError(404, "OperationNotFound", "The requested operation was not found.")
    return found
