"""The control API under /_sim/ for tests: state, calls, faults, settings, seeding and reset."""

import json
from collections.abc import Collection
from typing import Any, cast

from local.fabric_simulator import companions, connections, gateways, private_endpoints
from local.fabric_simulator.connection_types import MoreTypes
from local.fabric_simulator.domains import Domains
from local.fabric_simulator.faults import RuleError
from local.fabric_simulator.folders import Folder, Folders
from local.fabric_simulator.git_objects import Branch, Provider, key_of
from local.fabric_simulator.model import FabricModel
from local.fabric_simulator.parts import parts_of
from local.fabric_simulator.publishing import Publishing
from local.fabric_simulator.shortcuts import OneLakePaths
from local.fabric_simulator.store import SQL_ENDPOINT, Item, Workspace
from local.fabric_simulator.tags import Tags


def handle(model: FabricModel, method: str, path: str, query: dict[str, str], raw: bytes) -> tuple[int, Any]:
    """Handle a call of the control API; return its status and JSON body."""
    try:
        body: Any = json.loads(raw) if raw else {}
        if not isinstance(body, dict | list):
            return 400, {"error": "$: must be an object or a list"}
        return _handle(model, f"{method} {path.removeprefix('/_sim/')}", query, body)
    except (RuleError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return 400, {"error": f"{type(error).__name__}: {error}"}


def _handle(model: FabricModel, call: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
    if call == "GET state":
        return 200, model.state()
    if call == "GET calls":
        return 200, model.calls[int(query.get("after", "0")) :]  # a negative number counts from the end
    if call == "GET faults":
        return 200, model.faults.shown()
    if call == "POST faults":
        model.faults.replace(body)
        return 200, model.faults.shown()
    if call == "POST reset":
        model.reset(int(body.get("seed", 0)))
        return 200, {}
    if call in ("GET settings", "POST settings"):
        return 200, model.update_settings(body if call == "POST settings" else {})
    if call == "POST seed":
        return 200, seed(model, body)
    if call == "POST git":
        return 200, push(model, body)
    return 404, {
        "error": "unknown; the calls are: GET state, calls, faults, settings; POST faults, settings, seed, git, reset"
    }


def push(model: FabricModel, body: dict[str, Any]) -> dict[str, Any]:
    """Commit to a branch of a git provider as another actor would, and create the branch if it is missing.

    `gitProviderDetails` names the branch; `files` are texts by path, null deletes one; `workspaceId` is a workspace to
    connect with the branch, and to bring to its head. Return the head and its files. Raises ValueError, KeyError.
    """
    details, files = body.get("gitProviderDetails"), body.get("files", {})
    if not isinstance(details, dict) or not isinstance(files, dict):
        raise ValueError("$: must have the objects gitProviderDetails and files")
    branch = model.store.part(Provider).branches.setdefault(key_of(cast(dict[str, Any], details)), Branch())
    given = cast(dict[str, str | None], files)
    if given or not branch.commits:
        now = dict(branch.head.files) if branch.commits else {}
        now |= {path: text.encode() for path, text in given.items() if text is not None}
        left = {path: data for path, data in now.items() if given.get(path, "") is not None}
        branch.commit(left, str(body.get("message", "Pushed")), model.now())
    if body.get("workspaceId"):
        model.bring_to_head(str(body["workspaceId"]), cast(dict[str, Any], details))
    shown = {path: data.decode(errors="replace") for path, data in branch.head.files.items()}
    return {"head": branch.head.id, "message": branch.head.message, "files": shown}


def seed(model: FabricModel, body: dict[str, Any]) -> dict[str, Any]:
    """Add capacities, principals, domains, tags, connections, gateways, and workspaces with items and roles, that no
    call created, and connectors in the form in which lists show them. Raises ValueError.

    A principal has the type that role assignments then show, whatever a caller says. An item with a `makerId` is a
    companion of that item. Without the member, a lakehouse or a database gets its SQL endpoint, which lists show;
    with `makerId` null it gets one that lists do not show yet. With `isHidden` true lists do not show the item yet.
    With `isPublished` true what the definition of an environment stages is published.
    """
    _check(body, model.store.workspaces)
    for principal in body.get("principals", []):
        model.store.principals[principal["id"].lower()] = principal["type"]
    for capacity in body.get("capacities", []):
        row = {"displayName": "capacity", "sku": "F2", "region": "West Europe", "state": "Active", **capacity}
        model.store.capacities[row["id"].lower()] = row
    for part, name in ((Domains, "domains"), (Tags, "tags")):
        model.store.part(part).by_id |= {
            row["id"].lower(): {**row, "id": row["id"].lower()} for row in body.get(name, [])
        }
    for row in body.get("connections", []):
        connection = connections.seeded(row)
        model.store.part(connections.Connections).by_id[connection.shown["id"]] = connection
    for row in body.get("gateways", []):
        gateway = gateways.seeded(row)
        model.store.part(gateways.Gateways).by_id[gateway.shown["id"]] = gateway
    if "connectionTypes" in body:
        model.store.part(MoreTypes).rows = list(body["connectionTypes"])
    made: list[dict[str, Any]] = []
    for row in body.get("workspaces", []):
        known = [w for w in model.store.workspaces.values() if w.id == str(row.get("id")).lower()]
        workspace = known[0] if known else _workspace(model, row)
        for folder in row.get("folders", []):
            added = Folder(folder["id"].lower(), folder["displayName"], folder.get("parentFolderId"))
            workspace.part(Folders).by_id[added.id] = added
        ids = [_item(model, workspace, item) for item in row.get("items", [])]
        for item_id, item in zip(ids, row.get("items", []), strict=True):
            _add_endpoint(model, workspace, workspace.items[item_id], is_hidden="makerId" in item)
        for role in row.get("roleAssignments", []):
            workspace.roles[role["id"].lower()] = {**role, "id": role["id"].lower()}
        for endpoint in row.get("privateEndpoints", []):
            private_endpoints.seed(workspace, endpoint)
        made.append({"id": workspace.id, "displayName": workspace.name, "items": ids})
    return {"workspaces": made}


def _workspace(model: FabricModel, row: dict[str, Any]) -> Workspace:
    capacity = row.get("capacityId")
    workspace = Workspace(
        (row.get("id") or model.store.new_id()).lower(),
        row["displayName"],
        row.get("description", ""),
        capacity.lower() if capacity else None,
        type=row.get("type", "Workspace"),
    )
    model.store.workspaces[workspace.id] = workspace
    return workspace


_REQUIRED = {
    "folders": ("id", "displayName"),
    "capacities": ("id",),
    "gateways": ("id", "type"),
    "connectionTypes": ("type",),
    "domains": ("id", "displayName"),
    "tags": ("id", "displayName"),
    "connections": ("id", "connectivityType"),
    "workspaces": ("displayName",),
    "items": ("type", "displayName"),
    "principals": ("id", "type"),
    "roleAssignments": ("id", "type", "role"),
    "privateEndpoints": ("id",),
}
_INSIDE = {
    "workspaces": ("folders", "items", "roleAssignments", "privateEndpoints"),
    "gateways": ("roleAssignments",),
    "connections": ("roleAssignments",),
}
_OF_TENANT = (
    *("capacities", "principals", "domains", "tags", "connections", "gateways", "connectionTypes"),
    "workspaces",
)


def _check(
    body: Any,
    known: Collection[str],
    path: str = "$",
    among: tuple[str, ...] = _OF_TENANT,
) -> None:
    """Raise ValueError with the path of the first invalid value, before anything is seeded."""
    if not isinstance(body, dict):
        raise ValueError(f"{path}: must be an object")
    data = cast(dict[str, Any], body)
    for name in among:
        rows = data.get(name, [])
        if not isinstance(rows, list):
            raise ValueError(f"{path}.{name}: must be a list")
        for i, row in enumerate(cast(list[Any], rows)):
            at = f"{path}.{name}[{i}]"
            _check(row, known, at, _INSIDE.get(name, ()))
            is_known = name == "workspaces" and str(row.get("id")).lower() in known
            for member in _REQUIRED[name]:
                if not is_known and not isinstance(row.get(member), str):
                    raise ValueError(f"{at}.{member}: must be a string")


def _item(model: FabricModel, workspace: Workspace, row: dict[str, Any]) -> str:
    item = Item(
        (row.get("id") or model.store.new_id()).lower(),
        row["type"],
        row["displayName"],
        row.get("description", ""),
        0.0,
        0.0,
        row.get("definition"),
        row.get("creationPayload") or {},
        folder_id=row.get("folderId"),
        maker_id=row.get("makerId"),
    )
    item.part(OneLakePaths).seeded.update(path.strip("/") for path in row.get("oneLakePaths", []))
    if row.get("isHidden"):
        item.visible_at, item.shown_between = float("inf"), (0.0, float("inf"))
    if row.get("isPublished"):
        item.part(Publishing).published = parts_of(item)
    workspace.items[item.id] = item
    return item.id


def _add_endpoint(model: FabricModel, workspace: Workspace, item: Item, *, is_hidden: bool) -> None:
    maker = workspace.items.get(item.maker_id or "")
    item.outlives = maker is not None and companions.outlives(maker.type, item.type)
    if companions.of(workspace, item, SQL_ENDPOINT) is None:
        model.add_companions(workspace, item, only=SQL_ENDPOINT)
        added = companions.of(workspace, item, SQL_ENDPOINT)
        if added is not None and is_hidden:
            added.visible_at, added.shown_between = float("inf"), (0.0, float("inf"))
