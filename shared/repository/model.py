"""The values that describe a repository of Fabric items, and the replacements in its files for one environment.

`scan` makes a `Repository`. `compiled` makes, for each file that is sent, the list of its `Replacement`s. They are
plain values with a form in JSON (model_json.py), so that the code that renders a part needs neither the file system
nor parameter.yml: it needs the part's bytes, its replacements, and the value of each `Ref` in them (`render`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from shared.domain.json import JsonObject

ZERO_ID = "00000000-0000-0000-0000-000000000000"
"""The id that Fabric writes for "this workspace", "this lakehouse" and, in an export, for every logical id."""


class Kind(StrEnum):
    """The kind of thing that a reference stands for."""

    ITEM = "item"
    """An attribute of an item: `id`, `sqlendpoint`, `sqlendpointid` or `queryserviceuri`."""
    WORKSPACE = "workspace"
    """An attribute of a workspace: `id`, `name` or `name_encoded`."""
    POOL = "pool"
    """The id of a custom Spark pool; `type` is `Capacity` or `Workspace`."""


@dataclass(frozen=True)
class Ref:
    """A value that is known only when the part is sent. `workspace` is the name of another workspace, or empty."""

    kind: Kind
    attribute: str = "id"
    type: str = ""
    name: str = ""
    workspace: str = ""

    @property
    def key(self) -> str:
        """Return the key of the item (`Item.key`); empty unless it is an item of the target workspace."""
        return f"{self.type}/{self.name}" if self.kind is Kind.ITEM and not self.workspace else ""

    def __str__(self) -> str:
        """Return the variable as parameter.yml has it; a pool has none."""
        if self.kind is Kind.POOL:
            return f"the {self.type} Spark pool '{self.name}'"
        start = f"$workspace.{self.workspace}" if self.workspace else "$workspace"
        if self.kind is Kind.WORKSPACE:
            return f"{start}.${self.attribute}"
        return f"{start}.$items.{self._item}" if self.workspace else f"$items.{self._item}"

    @property
    def _item(self) -> str:
        return f"{self.type}.{self.name}.${self.attribute}"


def item_ref(item_type: str, name: str, attribute: str = "id") -> Ref:
    """Return the reference to an attribute of an item of the target workspace."""
    return Ref(Kind.ITEM, attribute, item_type, name)


TARGET_WORKSPACE = Ref(Kind.WORKSPACE)
"""The id of the workspace that is deployed to."""

type Resolver = Callable[[Ref], str]
"""Returns the value of a reference; raises if it has none. It is asked only for the values that a part needs."""


@dataclass(frozen=True)
class Plain:
    """A literal value of any JSON type. `is_from_env` is True if an environment variable of the caller is in it."""

    value: Any
    is_from_env: bool = False


@dataclass(frozen=True)
class Replacement:
    """One change of a part's text. The subclasses are applied in the order of the part's list (`render`)."""


@dataclass(frozen=True)
class ReportModel(Replacement):
    """A report that names its semantic model by path (`byPath`) gets it by id (`byConnection`)."""

    model: Ref


@dataclass(frozen=True)
class PoolChoice:
    """The pool that replaces another one in an environment's Spark settings."""

    find: str
    pool: Ref


@dataclass(frozen=True)
class SparkPools(Replacement):
    """The first choice whose `find` equals `instance_pool_id` replaces it; the YAML is written again in any case."""

    choices: tuple[PoolChoice, ...]


@dataclass(frozen=True)
class NamedRef:
    """A text of a part, and what it stands for."""

    find: str
    ref: Ref


@dataclass(frozen=True)
class QuerysetClusters(Replacement):
    """An empty `clusterUri` of a KQL queryset becomes that of its database, which it names by logical id."""

    databases: tuple[NamedRef, ...]


@dataclass(frozen=True)
class DashboardClusters(Replacement):
    """An empty `clusterUri` of a real-time dashboard becomes that of the database of the data source's name."""


@dataclass(frozen=True)
class LogicalIds(Replacement):
    """Each logical id becomes the id of the item in the target workspace."""

    items: tuple[NamedRef, ...]


@dataclass(frozen=True)
class KeyValue(Replacement):
    """`key_value_replace`: set what a JSONPath finds. Without a value, JSON is written again and nothing else."""

    path: str
    value: Plain | Ref | None
    place: str


@dataclass(frozen=True)
class FindText(Replacement):
    """`find_replace` with a literal text. A reference to find that has an empty value finds nothing."""

    find: str | Ref
    value: Plain | Ref
    ignore_case: bool
    place: str


@dataclass(frozen=True)
class FindRegex(Replacement):
    """`find_replace` with a regular expression, of whose matches only the one group is replaced."""

    pattern: str
    value: Plain | Ref
    ignore_case: bool
    place: str


@dataclass(frozen=True)
class WorkspaceIds(Replacement):
    """A zero workspace id becomes that of the target workspace. With `is_reflex` it is also replaced in escaped
    JSON."""

    is_reflex: bool = False


@dataclass(frozen=True)
class OwnLakehouse(Replacement):
    """A shortcut whose target lakehouse is zero points to its own lakehouse."""

    lakehouse: Ref


@dataclass(frozen=True)
class Part:
    """A file of an item, as it is in the repository.

    `path` is relative to the item's directory, `file` to the repository. `size` (bytes) and `sha256` (hex) are of the
    file's bytes, before anything is replaced. A part that is not text is sent byte for byte.
    """

    path: str
    file: str
    size: int
    sha256: str
    is_text: bool


@dataclass(frozen=True)
class Item:
    """An item of the repository. `directory` is relative to the repository.

    `folder` is the workspace folder, like `/Sales/Raw`; empty for the root of the workspace. `parts` are all files of
    the item that are not left out, `.platform` first; `item_types.is_shell` says whether Fabric gets them as a
    definition. `logical_id` may be ZERO_ID (an export), which identifies nothing.
    """

    type: str
    display_name: str
    description: str
    logical_id: str
    creation_payload: JsonObject | None
    folder: str
    directory: str
    parts: tuple[Part, ...]

    @property
    def key(self) -> str:
        """Return what identifies the item in its repository and in a workspace: type and display name."""
        return f"{self.type}/{self.display_name}"

    @property
    def platform(self) -> str:
        """Return the file that declares the item, for messages."""
        return f"{self.directory}/.platform" if self.directory else ".platform"

    def part(self, path: str) -> Part | None:
        """Return the part of that path."""
        return next((part for part in self.parts if part.path == path), None)


@dataclass(frozen=True)
class Repository:
    """All items of a directory, in the order of their directories, whatever their type.

    `folders` are the workspace folders that they need, parents first. `left_out` are the files that are not parts of
    any item's definition because of their names (a folder ends with `/`). `unusable` are the directories of items that
    cannot be read. That is a problem of its own, and a reference to such an item is not one more.
    """

    items: tuple[Item, ...]
    folders: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()

    def find(self, item_type: str, name: str) -> Item | None:
        """Return the item of that type and display name."""
        return self._by_key.get(f"{item_type}/{name}")

    @cached_property
    def _by_key(self) -> dict[str, Item]:
        return {item.key: item for item in self.items}


@dataclass(frozen=True)
class Binding:
    """The connections that a semantic model is bound to (`semantic_model_binding`)."""

    model: str
    connection_ids: tuple[str, ...]
    place: str


@dataclass(frozen=True)
class Compiled:
    """The replacements of each part for one environment.

    `replacements` has each different one once; `parts` has by file the indices of those that apply, in order. A file
    that is missing in `parts` is sent as it is (text with LF as its line end).
    """

    replacements: tuple[Replacement, ...]
    parts: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])

    def of(self, file: str) -> tuple[Replacement, ...]:
        """Return the replacements of a file, in the order in which they apply."""
        return tuple(self.replacements[index] for index in self.parts.get(file, ()))


class Needs(StrEnum):
    """The state that an edge requires of the item that it points to, from the strictest to the loosest."""

    READY = "ready"
    """An attribute that exists only when the item is provisioned: an SQL endpoint, a query URI."""
    CONTENT = "content"
    """The item's content: the target of a shortcut, the source of a schema. Not always there at a deployment."""
    ID = "id"
    """An id: the item exists, possibly as a shell."""
    NAME = "name"
    """Nothing at deployment: the item is found by name at run time. A preference that never fails."""


@dataclass(frozen=True)
class Edge:
    """`item` references `target` (both are keys) in `file`; `reason` is the rest of a sentence about `item`."""

    item: str
    target: str
    needs: Needs
    file: str
    reason: str
