"""The contents of the tenant: workspaces, items, role assignments, operations, and reserved names."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

SQL_ENDPOINT = "SQLEndpoint"
_UUID_FIXED = 0xF << 76 | 0x3 << 62
_UUID_VERSION_4 = 0x4 << 76 | 0x2 << 62
"""The bits of a UUID that its version and its variant fix, and their value in version 4 (RFC 9562)."""
GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass
class Parts:
    """The state of areas of the API that belongs to the tenant, a workspace or an item, and is deleted with it."""

    _parts: dict[Callable[[], Any], Any] = field(
        default_factory=lambda: dict[Callable[[], Any], Any](), repr=False, compare=False, kw_only=True
    )

    def part[T](self, kind: Callable[[], T]) -> T:
        """Return the state of an area, which is created at its first use. `kind` is the area's class."""
        if kind not in self._parts:
            self._parts[kind] = kind()
        return self._parts[kind]


@dataclass
class Item(Parts):
    """An item. `visible_at` is when its operation ends; until then, only its name is in use.

    `is_defined` is True once a definition was sent. `maker_id` is the item to which Fabric added this companion;
    `outlives` means that it stays if that item is deleted; `shown_between` is the range of times from which
    `visible_at` was drawn.
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
    shown_between: tuple[float, float] | None = None
    is_defined: bool = False
    value_set: str = "Default value set"


@dataclass
class Workspace(Parts):
    """A workspace with its items by id, its roles by principal id, and the times until which names are reserved."""

    id: str
    name: str
    description: str
    capacity_id: str | None
    earlier_capacity_id: str | None = None
    """The capacity that it leaves at `assigned_at`."""
    items: dict[str, Item] = field(default_factory=lambda: dict[str, Item]())
    roles: dict[str, dict[str, str]] = field(default_factory=lambda: dict[str, dict[str, str]]())
    reserved: dict[tuple[str, str], float] = field(default_factory=lambda: dict[tuple[str, str], float]())
    assigned_at: float = 0.0
    type: str = "Workspace"

    def standing(self) -> list[Item]:
        """Return the items without SQL endpoints, which exist only with their item."""
        return [item for item in self.items.values() if item.type != SQL_ENDPOINT]


@dataclass
class Operation:
    """A long-running operation: its start, its end (None: never), its result or error, and when to poll it again."""

    id: str
    kind: str
    began_at: float
    over_at: float | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None = None
    retry_seconds: int = 20


class Store(Parts):
    """The contents. Ids come from a seeded source, so that a run can be repeated."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)
        self.workspaces: dict[str, Workspace] = {}
        self.operations: dict[str, Operation] = {}
        self.capacities: dict[str, dict[str, Any]] = {}
        self.logical_ids: dict[str, str] = {}
        self.principals: dict[str, str] = {}
        self.deleted: list[dict[str, Any]] = []

    def new_id(self) -> str:
        """Return a random UUID of version 4."""
        number = self.chance.getrandbits(128) & ~_UUID_FIXED | _UUID_VERSION_4
        text = f"{number:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def stamp(at: float) -> str:
    """Return a time in Fabric's format: up to seven decimals without zeros at the end, and no zone."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
