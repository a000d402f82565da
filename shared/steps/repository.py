"""Kind `repository`: the items of a Git repository in Fabric's source-control format.

The command line packs it: it scans the folder, resolves the parameters of one environment, and stores the files by
their hashes. The packed step has one entry for each item, and expands to one step for each folder and each item, so
that each has its own journal row, error and compensation.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from shared.domain.fields import GUID, Fields, Words, seconds_of
from shared.domain.json import SHA256, JsonObject, as_list
from shared.domain.ports import Expanded
from shared.domain.step_graph import MAX_STEP_ID
from shared.repository.model import Kind, Ref
from shared.repository.model_json import from_json
from shared.repository.order import Phase
from shared.steps import items, repository_endpoint_steps, repository_schedule_steps, repository_shortcut_steps
from shared.steps.connection_binding import ConnectionBindingKind
from shared.steps.folder import FolderKind
from shared.steps.item_actions import EnvironmentPublishKind, ValueSetKind
from shared.steps.item_notes import Unchanged
from shared.steps.kind import WORKSPACE_ID
from shared.steps.marker import check_description
from shared.steps.orphans import Orphans, OrphansKind
from shared.steps.repository_item import OUTPUT_OF, RepositoryItemKind
from shared.steps.repository_shortcut_steps import check_refs, identity

MAX_KEPT_SECONDS = 90 * 86400.0
"""How long orphans stay in quarantine at most: as long as the journal remembers their deployment by default."""
_GIVEN_BY_PATH = ("items",)
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_.-]")
_ENDS: dict[str, str] = {Phase.DEFINITION: "/definition"}
"""The ends of the suffixes of an item's second steps."""
_ROOM_FOR_END = 12
_PHASES = (Phase.WHOLE, Phase.SHELL, Phase.DEFINITION)
_COPIED = ("type", "displayName", "description", "logicalId", "ready")


class RepositoryKind:
    """Expand to one `folder` step for each folder and to one or two `repository_item` steps for each item."""

    name = "repository"
    about = "All items of a Git repository, in the order of their references."
    outputs: frozenset[str] = frozenset()
    packs = "path"

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        _check_choices(spec)
        _check_orphans(spec)
        is_path = spec.path_field(
            "path",
            gives=_GIVEN_BY_PATH,
            words=Words(
                "The folder of the repository, relative to the manifest. The command line packs it.", "workspace"
            ),
        )
        if is_path:
            spec.not_packed("path")
            return
        keys = _check_items(spec)
        repository_shortcut_steps.check(spec)
        repository_schedule_steps.check(spec)
        _check_order(spec, keys)

    def runs_last(self, spec: JsonObject) -> bool:
        return False

    def runs_always(self, spec: JsonObject) -> bool:
        return False

    def expand(self, step_id: str, spec: JsonObject) -> list[Expanded]:
        """Return the steps of the folders, parents first, and those of the items in the order of the list."""
        return list(_Expansion(step_id, spec).steps())


def _check_choices(spec: Fields) -> None:
    """Check what a person chooses: the parameters, the items, and what is done with those that are as they were."""
    spec.text("environment", words=Words("The environment whose values are taken from parameter.yml.", "PROD"))
    spec.text(
        "parameters",
        maximum=1024,
        words=Words("The file of parameters. Default: parameter.yml in `path`; `none` ignores it.", "none"),
    )
    spec.boolean(
        "environmentVariables",
        words=Words("Replace $ENV:NAME in parameter.yml by the caller's variables; they are stored.", True),
    )
    spec.texts("itemTypes", words=Words("Deploy only these types. Default: all.", ["Notebook", "DataPipeline"]))
    spec.texts("include", words=Words("Deploy only these items, as name and type.", ["Load.Notebook"]))
    spec.text("exclude", words=Words("Leave out items whose name begins with this expression.", "^tmp_"))
    spec.boolean(
        "shortcuts",
        default=True,
        words=Words("Make the shortcuts of the lakehouses as the repository lists them. Default: true.", False),
    )
    spec.boolean(
        "refreshSqlEndpoints",
        words=Words(
            "Refresh the SQL endpoint of each lakehouse after its shortcuts, before the items that refer to it. "
            "Default: false.",
            True,
        ),
    )
    spec.text("excludeShortcuts", words=Words("Leave alone shortcuts whose name begins with this expression.", "^tmp_"))
    spec.texts("includeFolders", words=Words("Of the items in folders, deploy only those in these folders.", ["/Raw"]))
    spec.text("excludeFolders", words=Words("Leave out items of folders whose path contains this expression.", "^/tmp"))
    spec.choice(
        "unchanged",
        tuple(Unchanged),
        words=Words(
            "An item that was deployed with the same content: skip it, check that Fabric still has that content, "
            "or redeploy it. Default: skip.",
            "check",
        ),
    )


def _check_items(spec: Fields) -> set[str]:
    """Check the packed items and folders; return the keys of the items."""
    spec.texts(
        "others",
        words=Words("Items that are not deployed, but present; set by the command line.", ["Notebook/old"]),
    )
    spec.text(
        "identities",
        pattern=SHA256,
        hint="must be the SHA-256 of a stored object",
        words=Words(
            "The stored types and names of all items by what identifies them; set by the command line.", "0" * 64
        ),
    )
    spec.raw("source", words=Words("The packed folder, for messages; set by the command line.", "workspace"))
    folders = spec.texts("folders", words=Words("The folders, parents first; set by the command line.", ["/Raw"]))
    rows = _each(
        spec,
        "items",
        _read_item,
        spec.rows("items", words=Words("One entry for each item; set by the command line.", [{"type": "Notebook"}])),
    )
    keys: set[str] = set()
    for fields, (key, folder) in rows:
        if key in keys:
            fields.problem("displayName", f"'{key}' is in the list already")
        keys.add(key)
        if folder and folder not in folders:
            fields.problem("folder", f"'{folder[:100]}' is not one of `folders`")
    return keys


def _check_order(spec: Fields, keys: set[str]) -> None:
    """Check that the packed steps create each item, and need only steps before them."""
    steps: set[str] = set()
    order = _each(
        spec,
        "order",
        _read_step,
        spec.rows("order", words=Words("The steps of the items; set by the command line.", [{"item": "Notebook/n"}])),
    )
    for fields, (key, phase, needs) in order:
        if key not in keys:
            fields.problem("item", f"'{key[:100]}' is not one of `items`")
        unknown = [need for need in needs if need not in steps]
        if unknown:
            fields.problem("needs", f"no step before this one is '{unknown[0][:100]}'")
        steps.add(f"{key}#{phase}")
    bare = {key for key in keys if not steps & {f"{key}#{Phase.WHOLE}", f"{key}#{Phase.SHELL}"}}
    if bare:
        spec.problem("order", f"no step creates '{min(bare)[:100]}'")


def _check_orphans(spec: Fields) -> None:
    """Check what is done with items that earlier deployments created and that the repository does not contain."""
    mode = spec.choice(
        "orphans",
        tuple(Orphans),
        words=Words(
            "Items that earlier deployments of this step created and that are not in the repository any more: keep "
            "them, rename them and switch their schedules off (quarantine), or delete them after that. Default: keep.",
            "quarantine",
        ),
    )
    if spec.data.get("keepOrphansFor") is not None and mode != Orphans.DELETE:
        spec.problem("keepOrphansFor", "requires orphans: delete, because otherwise nothing is deleted")
    spec.duration(
        "keepOrphansFor",
        default=0.0,
        minimum=0.0,
        maximum=MAX_KEPT_SECONDS,
        words=Words("With `orphans: delete`: how long they stay in quarantine after the deployment.", "7d"),
    )
    spec.texts(
        "allowDataLoss",
        words=Words(
            "Orphans that may be deleted although their data is lost, as name and type; others of such types stay in "
            "quarantine.",
            ["old.Lakehouse"],
        ),
    )


def _each[T](spec: Fields, name: str, read: Callable[[Fields], T], rows: list[Any]) -> Iterator[tuple[Fields, T]]:
    """Yield the fields of each row with what `read` returns. No schema describes the rows: they are not for people."""
    if not rows:
        spec.problem(name, "is not packed: submit with the command line, which reads it")
    for i, row in enumerate(rows):
        element = Fields(row, f"{spec.path}.{name}[{i}]", spec.problems, spec.references)
        yield element, read(element)
        element.finish()


def _read_item(row: Fields) -> tuple[str, str]:
    """Check one entry; return the key of the item and its folder."""
    item_type = row.text("type", required=True, maximum=64)
    is_word = item_type in items.WORD_NAMED
    name = row.text(
        "displayName",
        required=True,
        maximum=items.NAME_LIMIT,
        pattern=items.WORD_NAME if is_word else None,
        hint=items.WORD_HINT if is_word else "",
        refers=True,
    )
    check_description(row, items.DESCRIPTION_LIMIT)
    row.text("logicalId", maximum=36)
    folder = row.text("folder", maximum=2600, refers=True)
    row.any_object("creationPayload")
    row.text("template", pattern=SHA256, hint="must be the SHA-256 of a stored template")
    row.text("bundle", pattern=SHA256, hint="must be the SHA-256 of stored templates")
    row.texts("ready")
    if any(not GUID.fullmatch(each) for each in row.texts("connections")):
        row.problem("connections", "must be ids of connections")
    row.any_object("shortcuts")
    row.any_object("schedules")
    row.text("valueSet", refers=True)
    check_refs(row)
    return f"{item_type}/{name}", folder


def _read_step(row: Fields) -> tuple[str, str, list[str]]:
    """Check one step; return the key of its item, its phase and the steps that it needs."""
    item = row.text("item", required=True, maximum=300, refers=True)
    phase = row.choice("phase", _PHASES, default=Phase.WHOLE)
    return item, phase, row.texts("needs", refers=True)


type _ActionKind = EnvironmentPublishKind | ValueSetKind | ConnectionBindingKind


class _Expansion:
    """The steps of one packed repository."""

    def __init__(self, step_id: str, spec: JsonObject) -> None:
        self._step_id, self._spec = step_id, spec
        self._rows: dict[str, JsonObject] = {f"{row['type']}/{row['displayName']}": row for row in spec["items"]}
        self._taken: set[str] = set()
        has_orphans = (spec.get("orphans") or Orphans.KEEP) != Orphans.KEEP
        self._first: tuple[str, ...] = (self.suffix("/orphans"),) if has_orphans else ()
        self._without = repository_schedule_steps.without_file(spec)
        self._removed = (self.suffix("/removed-schedules"),) if self._without else ()
        folders: list[str] = spec.get("folders") or []
        self._folders = {folder: self.suffix(f"/folder{folder}") for folder in folders}
        self.ids = {
            key: self.suffix(f"/{row['type']}/{row['displayName'].replace('/', '_')}")
            for key, row in self._rows.items()
        }

    def steps(self) -> Iterator[Expanded]:
        made = self._items()
        found = list(repository_endpoint_steps.with_refreshes(self._step_id, self._spec, made, self))
        yield from found
        yield from repository_schedule_steps.expanded(self._spec, found, self)

    def _items(self) -> Iterator[Expanded]:
        if orphans := self._orphans():
            yield orphans
        yield from repository_schedule_steps.removed(self._step_id, self._spec, self._removed)
        for folder, suffix in self._folders.items():
            parent, _, name = folder.rpartition("/")
            spec: JsonObject = {"workspaceId": self._spec["workspaceId"], "displayName": name}
            if parent:
                spec["parentFolderId"] = self.output(self._folders[parent])
            needs = (self._folders[parent],) if parent else ()
            yield Expanded(suffix, FolderKind.name, spec, needs, FolderKind.outputs)
        for step in self._spec["order"]:
            phase = step.get("phase") or Phase.WHOLE
            yield self._step(step["item"], phase, step.get("needs") or [])
            if phase != Phase.SHELL:
                yield from self._actions(step["item"], phase)
        yield from repository_shortcut_steps.expanded(self._step_id, self._spec, self)

    def _orphans(self) -> Expanded | None:
        """Return the step that quarantines orphans. It comes first, so that their names are free."""
        mode = self._spec.get("orphans") or Orphans.KEEP
        if mode == Orphans.KEEP:
            return None
        present = {f"{row['type']}/{row['displayName'].casefold()}": identity(row) for row in self._spec["items"]}
        spec: JsonObject = {
            "workspaceId": self._spec["workspaceId"],
            "repository": self._step_id,
            "identities": [*present.values(), *(self._spec.get("others") or ())],
            "present": present,
            "mode": mode,
            "keepOrphansFor": seconds_of(str(self._spec.get("keepOrphansFor") or 0)) or 0.0,
            "allowDataLoss": self._spec.get("allowDataLoss") or [],
            **({"names": self._spec["identities"]} if self._spec.get("identities") else {}),
            **({"types": self._spec["itemTypes"]} if self._spec.get("itemTypes") else {}),
        }
        return Expanded(self._first[0], OrphansKind.name, spec, (), OrphansKind.outputs)

    def _actions(self, key: str, phase: str) -> Iterator[Expanded]:
        """Yield what is done with an item when it has its definition."""
        row, last = self._rows[key], self.node(f"{key}#{phase}")
        spec: JsonObject = {
            "workspaceId": self._spec["workspaceId"],
            "itemId": self.output(last),
            "displayName": row["displayName"],
        }
        if row["type"] == EnvironmentPublishKind.type and row.get("template"):
            spec |= {"changed": self.output(last, "changed"), "created": self.output(self.ids[key], "created")}
            yield self._action("/publish", key, last, EnvironmentPublishKind, spec)
        if row["type"] == ValueSetKind.type and row.get("valueSet"):
            spec["valueSet"] = row["valueSet"]
            yield self._action("/value-set", key, last, ValueSetKind, spec)
        yield from self._bindings(key, last)

    def _bindings(self, key: str, last: str) -> Iterator[Expanded]:
        """Yield the steps that bind a semantic model, one after the other: two connections may be for one data source,
        and only in the reverse order do their compensations restore its earlier binding."""
        connections: list[str] = self._rows[key].get("connections") or []
        spec: JsonObject = {"workspaceId": self._spec["workspaceId"], "itemId": self.output(last)}
        before = last
        for number, connection in enumerate(connections, start=1):
            kind = ConnectionBindingKind
            step = self._action(f"/bind-{number}", key, before, kind, {**spec, "connectionId": connection})
            before = step.suffix
            yield step

    def _action(self, end: str, key: str, last: str, kind: type[_ActionKind], spec: JsonObject) -> Expanded:
        return Expanded(self.ids[key] + end, kind.name, spec, (last,), kind.outputs)

    def _step(self, key: str, phase: str, needs: list[str]) -> Expanded:
        row = self._rows[key]
        folder = row.get("folder") or ""
        spec: JsonObject = {
            "workspaceId": self._spec["workspaceId"],
            **{name: row[name] for name in _COPIED if row.get(name)},
            "unchanged": self._spec.get("unchanged") or Unchanged.SKIP,
        }
        if phase != Phase.SHELL and row.get("template"):
            spec |= {
                "template": row["template"],
                **({"bundle": row["bundle"]} if row.get("bundle") else {}),
                "refs": [self.value(each) for each in as_list(row.get("refs")) or []],
                **({"hasSchedules": True} if row.get("schedules") else {}),
            }
        before = [self.node(need) for need in needs]
        if phase != Phase.DEFINITION and self._spec.get("identities"):
            spec["identities"] = self._spec["identities"]
        if phase == Phase.DEFINITION:
            shell = self.ids[key]
            spec |= {"itemId": self.output(shell), "shellIsNew": self.output(shell, "created")}
        else:
            spec["folderId"] = self.output(self._folders[folder]) if folder else ""
            before += [*([self._folders[folder]] if folder else []), *self._first]
            if row.get("creationPayload") and not row.get("template"):
                spec["creationPayload"] = row["creationPayload"]
        if key in self._without:
            before += self._removed
        suffix = self.ids[key] + _ENDS.get(phase, "")
        return Expanded(suffix, RepositoryItemKind.name, spec, tuple(dict.fromkeys(before)), RepositoryItemKind.outputs)

    def node(self, need: str) -> str:
        key, _, phase = need.rpartition("#")
        return self.ids[key] + _ENDS.get(phase, "")

    def value(self, data: Any) -> JsonObject:
        """Return a reference of the item's files, with the step whose output is its value if it is one of these."""
        ref: Ref = from_json(data)
        if ref.kind is Kind.ITEM and ref.key in self.ids:
            return {"ref": data, "value": self.output(self.ids[ref.key], OUTPUT_OF[ref.attribute])}
        return {"ref": data}

    def output(self, suffix: str, name: str = "id") -> str:
        return f"${{{{ steps.{self._step_id}{suffix}.outputs.{name} }}}}"

    def suffix(self, wanted: str) -> str:
        """Return a unique suffix in the characters of step ids, which leaves room for that of a definition."""
        room = MAX_STEP_ID - len(self._step_id) - _ROOM_FOR_END
        plain = "/".join(_NOT_IN_IDS.sub("_", part) for part in wanted.split("/"))[:room]
        unique, number = plain, 1
        while unique.casefold() in self._taken:
            number += 1
            end = f"-{number}"
            unique = f"{plain[: room - len(end)]}{end}"
        self._taken.add(unique.casefold())
        return unique
