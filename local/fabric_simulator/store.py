"""What exists: workspaces, items, role assignments, operations, and names that are not free yet."""

import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

SQL_ENDPOINT = "SQLEndpoint"


@dataclass
class Item:
    """An item. `visible_at` is when its operation is over; until then only its name is taken.

    `maker_id` names the item that Fabric made this one for; `outlives` says that it stays when that one is deleted.
    """

    id: str
    type: str
    name: str
    description: str
    created_at: float
    visible_at: float
    definition: dict[str, Any] | None = None
    creation_payload: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    folder_id: str | None = None
    maker_id: str | None = None
    outlives: bool = False
    value_set: str = "Default value set"


@dataclass
class Workspace:
    """A workspace with its items by id, its roles by principal id, and names reserved until a time."""

    id: str
    name: str
    description: str
    capacity_id: str | None
    items: dict[str, Item] = field(default_factory=lambda: dict[str, Item]())
    roles: dict[str, dict[str, str]] = field(default_factory=lambda: dict[str, dict[str, str]]())
    reserved: dict[tuple[str, str], float] = field(default_factory=lambda: dict[tuple[str, str], float]())
    assigned_at: float = 0.0
    type: str = "Workspace"

    def standing(self) -> list[Item]:
        """The items without SQL endpoints, which have no life of their own."""
        return [item for item in self.items.values() if item.type != SQL_ENDPOINT]


@dataclass
class Operation:
    """A long-running operation: when it began, when it is over (None: never), what it gives or why it failed."""

    id: str
    kind: str
    began_at: float
    over_at: float | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None = None


class Store:
    """All of it. Ids come from a seeded source, so that a run can be repeated."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.workspaces: dict[str, Workspace] = {}
        self.operations: dict[str, Operation] = {}
        self.capacities: dict[str, dict[str, Any]] = {}
        self.deleted: list[dict[str, Any]] = []

    def new_id(self) -> str:
        """A GUID."""
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))


def stamp(at: float) -> str:
    """A time as Fabric writes it: seven decimals and no zone."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0"
