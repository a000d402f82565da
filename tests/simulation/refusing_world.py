"""A world in which Fabric refuses one step of a deployment permanently, and what its workspace holds, to compare."""

import copy
import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from local.fabric_simulator import control, definitions
from local.fabric_simulator.catalogue import NO_DEFINITION
from local.fabric_simulator.connections import Connection, Connections
from local.fabric_simulator.folders import Folders
from local.fabric_simulator.item_connections import Bindings
from local.fabric_simulator.publishing import settled
from local.fabric_simulator.schedules import Schedule, Schedules
from local.fabric_simulator.shortcuts import OneLakePaths
from local.fabric_simulator.spark_pools import Spark
from local.fabric_simulator.store import Item, Workspace
from shared.domain.messages import Direction, StepMessage
from tests.differential.all_types import CONNECTION, SOURCES
from tests.simulation.edges import IDENTITY, own_role
from tests.simulation.whole_repository import release
from tests.simulation.world import World

_POOL = "00000000-0000-0000-0000-0000000000aa"
_READS = re.compile(r".*/(getDefinition|bulkExportDefinitions)")
"""POST requests that change nothing."""


class How(StrEnum):
    """How Fabric refuses a call."""

    WRITE = "refused"
    OPERATION = "its operation fails"
    READ = "reads refused"


_ANSWERS: dict[How, dict[str, Any]] = {
    How.WRITE: {"status": 400, "body": {"errorCode": "NeverAllowed", "message": "Fabric refuses this permanently."}},
    How.OPERATION: {"operation": "fail", "error": {"errorCode": "CorruptedPayload", "message": "It never will do."}},
    How.READ: {"status": 403, "body": {"errorCode": "InsufficientPrivileges", "message": "Not for this caller."}},
}


@dataclass(frozen=True)
class Refusal:
    """What Fabric refuses of one step, forward, permanently.

    WRITE and OPERATION: its writes from the `nth` on, counted from 1. READ: all its calls after `nth` writes.
    """

    step_id: str
    nth: int
    how: How


@dataclass(frozen=True)
class Call:
    """A call that a step made forward."""

    method: str
    path: str
    status: int

    @property
    def is_write(self) -> bool:
        """Return True if the call changes something."""
        return is_write_call(self.method, self.path)


class RefusingWorld(World):
    """A workspace that contains an item of a person, and a Fabric that refuses what `refusal` names."""

    def __init__(self) -> None:
        super().__init__(1)
        self.refusal: Refusal | None = None
        self.refused = 0
        self.made: dict[str, list[Call]] = {}
        self._forward = ""
        self._passed: Counter[str] = Counter()
        self._rules = self.model.faults.inject
        self.model.faults.inject = self._injected
        theirs = {"type": "Notebook", "displayName": "theirs", "description": "of a person"}
        hub, roles = {"type": "Lakehouse", "displayName": "Hub"}, [own_role()]
        rows = [
            {"displayName": "sales", "description": "Sales", "roleAssignments": roles, "items": [theirs]},
            {"displayName": "Shared.Data", "roleAssignments": roles, "items": [hub]},
        ]
        control.seed(self.model, {"workspaces": rows})
        storage = Connection({"id": CONNECTION, "displayName": "storage"}, {IDENTITY: {"role": "Owner"}})
        known = self.model.store.part(Connections).by_id
        known[CONNECTION] = storage
        for connection, (kind, path) in SOURCES.items():
            details = {"connectivityType": "ShareableCloud", "connectionDetails": {"type": kind, "path": path}}
            known[connection] = Connection({"id": connection, "displayName": kind, **details}, dict(storage.roles))
        pool = {"id": _POOL, "type": "Workspace", "name": "Big", "nodeFamily": "MemoryOptimized", "nodeSize": "Small"}
        self.workspace.part(Spark).pools[_POOL] = pool

    @property
    def workspace(self) -> Workspace:
        """Return the workspace to which everything is deployed."""
        return next(w for w in self.model.store.workspaces.values() if w.name == "sales")

    def item(self, item_type: str, name: str) -> Item:
        """Return an item of the workspace."""
        return next(i for i in self.workspace.items.values() if (i.type, i.name) == (item_type, name))

    def deploy(self, number: int, deployment_id: str) -> str:
        """Deploy a release of the repository, and return the final state."""
        found = release(number)
        self.blobs.copy(found.files)
        self.clock.advance(60.0)  # nothing else takes time, and deployments are ordered by their time
        self.refused = 0
        self.made.clear()
        self._passed.clear()
        self.submit(found.manifest, deployment_id)
        return self.run(deployment_id)[0].value

    def deliver(self, message: StepMessage) -> None:
        """Deliver a message, and know in the meantime whose calls are made."""
        step = self.journal.step(message.deployment_id, message.ordinal)[1].record
        self._forward = step.step_id if message.direction is Direction.FORWARD else ""
        before = len(self.model.calls)
        super().deliver(message)
        if self._forward:
            calls = [Call(c["method"], c["path"], c["status"]) for c in self.model.calls[before:]]
            self.made.setdefault(self._forward, []).extend(calls)
        self._forward = ""

    def _injected(self, method: str, path: str, chance: Any) -> dict[str, Any]:
        """Return the fault that the refusal makes of a call, or else the one of the rules in force."""
        refusal, is_write = self.refusal, is_write_call(method, path)
        self._passed[self._forward] += is_write
        if refusal is None or refusal.step_id != self._forward or not self._forward:
            return self._rules(method, path, chance)
        passed = self._passed[self._forward]
        is_it = is_write and passed >= refusal.nth
        if refusal.how is How.READ:
            is_it = passed > refusal.nth if is_write else passed >= refusal.nth
        self.refused += is_it
        return _ANSWERS[refusal.how] if is_it else {}


def held(world: World, place: Workspace) -> dict[str, Any]:
    """Return all that a workspace holds, one entry for each field of each thing, by a name that people read."""
    folders = _paths(place)
    found: dict[str, Any] = {f"folder {path}": folder_id for folder_id, path in folders.items()}
    found["workspace"] = (place.name, place.description, place.capacity_id, place.roles)
    for item in place.items.values():
        if item.visible_at != float("inf"):  # of a create whose operation failed nothing ever shows
            key = f"{item.type} {item.name} ({item.id[:4]})"
            found |= {f"{key}: {name}": value for name, value in _fields(world, place, item, folders).items()}
    found["notes"] = sorted(_plain(str(note), place) for note in world.deployed.of_workspace(place.id))
    return copy.deepcopy(found)


def _plain(note: str, place: Workspace) -> str:
    """Return a note with what each schedule does in place of its id, which is new if a rollback made it again."""
    for item in place.items.values():
        for schedule_id, schedule in item.part(Schedules).by_id.items():
            note = note.replace(schedule_id, f"{item.id}: {_schedule(schedule)}")
    return note


def _fields(world: World, place: Workspace, item: Item, folders: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": item.id,
        "description": item.description,
        "folder": folders.get(item.folder_id or "", ""),
        "active value set": item.value_set,
        "shortcuts": item.part(OneLakePaths).shortcuts,
        "bindings": item.part(Bindings).by_source,
        "schedules": sorted(_schedule(each) for each in item.part(Schedules).by_id.values()),
    }
    if item.type == "Environment":
        published = settled(item, world.clock.now().timestamp())
        found |= {"published": dict(published.published), "publish": published.state}
    if item.type not in NO_DEFINITION:
        parts = definitions.shown(place, item, None)["definition"]["parts"]
        found |= {f"part {part['path']}": part["payload"] for part in parts if part["path"] != ".schedules"}
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what differs, one text for each field: "gone", "left" or "differs"."""
    found = [f"{key} is gone" for key in before.keys() - after.keys()]
    found += [f"{key} is left" for key in after.keys() - before.keys()]
    found += [f"{key} differs" for key in before.keys() & after.keys() if before[key] != after[key]]
    return sorted(found)


def _paths(place: Workspace) -> dict[str, str]:
    """Return the path of each folder by its id."""
    folders = place.part(Folders)
    return {each: "/".join(["", *reversed([folder.name for folder in folders.above(each)])]) for each in folders.by_id}


def _schedule(schedule: Schedule) -> str:
    """Return what a schedule does. Its id and its owner are new whenever Fabric takes it from a definition."""
    return str((schedule.job_type, schedule.shown["enabled"], schedule.shown["configuration"]))


def is_write_call(method: str, path: str) -> bool:
    """Return True if a call changes something."""
    return method != "GET" and not _READS.fullmatch(path)
