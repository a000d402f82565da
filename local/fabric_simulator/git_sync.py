"""The connection of a workspace with a branch: what each side has, and what changed on each since the last sync.

Source: the published OpenAPI and Fabric's documentation of git integration; no recording shows any of it. Assumed: an
item is recognised by its logical id; each side is compared with itself at the last sync, because Fabric rewrites
definitions; references between items are logical ids in the branch and item ids in the workspace.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from local.fabric_simulator import bulk, items
from local.fabric_simulator.git_objects import Branch
from local.fabric_simulator.store import Item, Operation, Workspace
from local.fabric_simulator.world import Body, World

_PLATFORM = ".platform"


@dataclass(frozen=True)
class Side:
    """An item on one side: its folder path with its name and type, its metadata, its files, and the item's id."""

    root: str
    type: str
    name: str
    files: Mapping[str, bytes]
    item_id: str = ""

    def digest(self) -> str:
        """Return a digest of everything."""
        made = hashlib.sha256(self.root.encode())
        for path in sorted(self.files):
            made.update(path.encode() + b"\0" + self.files[path] + b"\0")
        return made.hexdigest()


@dataclass
class Link:
    """A workspace's connection: the branch, the state of the last sync, and who signs in how."""

    details: Body
    branch: Branch
    directory: str
    is_initialized: bool = False
    head: str = ""
    synced_at: float = 0.0
    base: dict[str, tuple[str, str]] = field(default_factory=lambda: dict[str, tuple[str, str]]())
    operation: Operation | None = None


@dataclass
class GitLink:
    """The connection of one workspace, if it has one, and the credentials of each caller."""

    link: Link | None = None
    credentials: dict[str, Body] = field(default_factory=lambda: dict[str, Body]())


def in_workspace(world: World, workspace: Workspace) -> dict[str, Side]:
    """Return the workspace's items by logical id; those whose type has no definition are not part of git."""
    logical = {item_id: key for key, item_id in workspace.part(bulk.LogicalIds).by_logical.items()}
    found: dict[str, Side] = {}
    chosen = [i for i in items.visible(world, workspace) if not i.maker_id]
    for item in chosen:
        logical.setdefault(item.id, world.store.new_id())
    workspace.part(bulk.LogicalIds).by_logical.update({key: item_id for item_id, key in logical.items()})
    for item in chosen:
        parts = bulk.exported(world, workspace, item)
        if parts is not None:
            files = {p["path"]: base64.b64decode(p["payload"]) for p in parts if p["path"] != _PLATFORM}
            for item_id, key in logical.items():
                files = {path: data.replace(item_id.encode(), key.encode()) for path, data in files.items()}
            files[_PLATFORM] = _platform(item, logical[item.id])
            root = bulk.root_of(workspace, item).strip("/")
            found[logical[item.id]] = Side(root, item.type, item.name, files, item.id)
    return found


def _platform(item: Item, logical_id: str) -> bytes:
    metadata = {"type": item.type, "displayName": item.name}
    if item.description:
        metadata["description"] = item.description
    body = {"metadata": metadata, "config": {"version": "2.0", "logicalId": logical_id}}
    return json.dumps(body, indent=2).encode()


def in_branch(link: Link) -> dict[str, Side]:
    """Return the items in the branch's directory by logical id."""
    prefix = f"{link.directory}/" if link.directory else ""
    files = {p.removeprefix(prefix): d for p, d in link.branch.head.files.items() if p.startswith(prefix)}
    found: dict[str, Side] = {}
    for path, data in files.items():
        root, _, name = path.rpartition("/")
        if name == _PLATFORM and root:
            platform = json.loads(data)
            inside = {p.removeprefix(f"{root}/"): d for p, d in files.items() if p.startswith(f"{root}/")}
            metadata = platform["metadata"]
            found[platform["config"]["logicalId"]] = Side(root, metadata["type"], metadata["displayName"], inside)
    return found


def mark_synced(world: World, workspace: Workspace, link: Link, keys: set[str] | None = None) -> None:
    """Remember what both sides have now, of all items or of those with these logical ids."""
    here, there = in_workspace(world, workspace), in_branch(link)
    now = {key: (_digest(here.get(key)), _digest(there.get(key))) for key in here.keys() | there.keys()}
    if keys is None:
        link.base = now
    else:
        for key in keys:
            link.base.pop(key, None)
        link.base.update({key: pair for key, pair in now.items() if key in keys})


def _digest(side: Side | None) -> str:
    return side.digest() if side else ""


def _change(before: str, now: str) -> str | None:
    if before == now:
        return None
    return "Added" if not before else "Modified" if now else "Deleted"


def changes(world: World, workspace: Workspace, link: Link) -> list[Body]:
    """Return what changed on each side since the last sync, in the published form."""
    here, there = in_workspace(world, workspace), in_branch(link)
    rows: list[Body] = []
    for key in sorted(here.keys() | there.keys() | link.base.keys()):
        base = link.base.get(key, ("", ""))
        side = here.get(key) or there.get(key)
        ours, theirs = _change(base[0], _digest(here.get(key))), _change(base[1], _digest(there.get(key)))
        if ours is None and theirs is None:
            continue
        same = here.get(key) is None and there.get(key) is None
        if not same and key in here and key in there:
            same = dict(here[key].files) == dict(there[key].files)
        conflict = "None" if ours is None or theirs is None else "SameChanges" if same else "Conflict"
        identifier: Body = {"logicalId": key}
        if key in here:
            identifier["objectId"] = here[key].item_id
        name = (
            {"itemType": side.type, "displayName": side.name} if side else {"itemType": "Notebook", "displayName": ""}
        )
        row: Body = {"itemMetadata": {"itemIdentifier": identifier, **name}, "conflictType": conflict}
        rows.append(row | {k: v for k, v in (("workspaceChange", ours), ("remoteChange", theirs)) if v})
    return rows
