"""The calls of OneLake shortcuts: of one item, by path and name. All kinds that change shortcuts make them here.

A shortcut is deleted through these routes only: a DELETE in OneLake's file API would delete what it points to.
"""

from collections.abc import Iterator

from shared.domain.errors import FabricNotFoundError, FabricTransientError
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.ports import Fabric
from shared.repository.shortcuts import ONE_LAKE, TARGETS
from shared.steps.kind import Call

_CREATE, _REPLACE = {"shortcutConflictPolicy": "Abort"}, {"shortcutConflictPolicy": "OverwriteOnly"}


def find(fabric: Fabric, workspace_id: str, item_id: str, path: str, name: str) -> JsonObject | None:
    """Return a shortcut's `target` by type, and its `transform` if it has one. None proves its absence.

    If a row of the list has no name or no path, the shortcut itself is asked for. Raises FabricError.
    """
    place, collection, is_proof = path.strip("/"), _collection(workspace_id, item_id), True
    for row in fabric.list(collection, {"parentPath": place}):
        if row.get("name") == name and row.get("path", "").strip("/") == place:
            return _with_target(row, path, name)
        is_proof = is_proof and "name" in row and "path" in row
    if is_proof:
        return None
    try:
        return _with_target(fabric.get(f"{collection}/{place}/{name}"), path, name)
    except FabricNotFoundError:
        return None


def _with_target(row: JsonObject, path: str, name: str) -> JsonObject:
    target = as_object(row.get("target"))
    if target is None:
        raise FabricTransientError(f"Fabric's response has no target of {path}/{name}", call="GET shortcuts")
    return _shown(row, target)


def of_item(fabric: Fabric, workspace_id: str, item_id: str) -> Iterator[JsonObject]:
    """Yield all shortcuts of an item: `path` without a slash at its ends, `name`, `target` by type, and `transform` if
    it has one. One list answers for all of them. The target is empty if no request may name its type."""
    for row in fabric.list(_collection(workspace_id, item_id)):
        target = as_object(row.get("target"))
        if target is None or not row.get("name"):
            raise FabricTransientError(f"Fabric's response has no target of {row.get('name')}", call="GET shortcuts")
        shown: JsonObject = {"path": str(row.get("path", "")).strip("/"), "name": row["name"]}
        yield {**shown, **_shown(row, target)}


def _shown(row: JsonObject, target: JsonObject) -> JsonObject:
    shown: JsonObject = {"target": {kind: value for kind, value in target.items() if kind in TARGETS}}
    return {**shown, "transform": row["transform"]} if as_object(row.get("transform")) else shown


def is_complete(target: JsonObject) -> bool:
    """Return True if a destination that Fabric shows can be sent again: its members are texts, and one in OneLake has
    all that a request needs."""
    for kind, place in target.items():
        members = as_object(place) or {}
        needed = ("itemId", "workspaceId", "path") if kind == ONE_LAKE else ()
        if not members or not all(isinstance(members.get(name), str) for name in needed):
            return False
        if not all(isinstance(members.get(name), str | None) for name in TARGETS[kind]):
            return False
    return True


def is_same_target(shown: JsonObject, wanted: JsonObject) -> bool:
    """Return True if a destination is the one that is wanted. What Fabric does not show is not compared; case and
    slashes at the ends are not either."""
    if set(shown) != set(wanted):
        return False
    for kind, wished in wanted.items():
        place, held = as_object(wished) or {}, as_object(shown[kind]) or {}
        if any(_plain(held.get(member)) != _plain(place[member]) for member in TARGETS[kind] if member in place):
            return False
    return True


def is_same_transform(shown: object, wanted: JsonObject) -> bool:
    """Return True if a shortcut has the transform that is wanted, or none if that is empty. Members that only Fabric
    has do not matter."""
    return _has(shown, wanted) if wanted else not as_object(shown)


def _has(shown: object, wanted: object) -> bool:
    members, rows = as_object(wanted), as_list(wanted)
    if members is not None:
        held = as_object(shown)
        return held is not None and all(_has(held.get(name), value) for name, value in members.items())
    if rows is not None:
        found = as_list(shown)
        return found is not None and len(found) == len(rows) and all(map(_has, found, rows))
    return shown == wanted


def _plain(value: object) -> object:
    return "" if value is None else value.strip("/").lower() if isinstance(value, str) else value


def put_call(
    workspace_id: str,
    item_id: str,
    path: str,
    name: str,
    target: JsonObject,
    *,
    replaces: bool = False,
    transform: JsonObject | None = None,
) -> Call:
    """Return the call that creates a shortcut, or with `replaces` gives an existing one another destination.

    Only the call for many takes a transform. It is an operation, whose result says what became of the shortcut; so in a
    compensation a look shows whether it is still needed. Source: published OpenAPI, CreateShortcutWithTransformRequest.
    """
    query, at = _REPLACE if replaces else _CREATE, _collection(workspace_id, item_id)
    body: JsonObject = {"path": path.strip("/"), "name": name, "target": target}
    if not transform:
        return Call("POST", at, "shortcut", body, query)
    many: JsonObject = {"createShortcutRequests": [{**body, "transform": transform}]}
    return Call("POST", f"{at}/bulkCreate", "bulkCreate shortcuts", many, query, is_looked_for=True)


def delete_call(workspace_id: str, item_id: str, path: str, name: str) -> Call:
    """Return DELETE of a shortcut; what it points to stays."""
    place = f"{_collection(workspace_id, item_id)}/{path.strip('/')}/{name}"
    return Call("DELETE", place, "shortcut", may_be_done=True)


def _collection(workspace_id: str, item_id: str) -> str:
    return f"/workspaces/{workspace_id}/items/{item_id}/shortcuts"
