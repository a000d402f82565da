"""Versions of a small repository, drawn at random, and a tenant to which one is deployed after the other.

A version differs from the one before in all that people change in Git: names (their case, an exchange, a chain, the
name of a removed item, the same name under another type), logical ids, folders, definitions, references, schedules
and shortcuts; items are removed and come back.
"""

import base64
import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from shared.cli.pack import packed
from shared.cli.stored import StoredFiles
from shared.repository.model import ZERO_ID
from shared.repository.schedules import PART as SCHEDULES
from tests.differential import all_types
from tests.simulation.edges import WORKSPACE
from tests.simulation.refusing_world import How, Refusal, RefusingWorld, held, is_write_call

TYPES = ("Notebook", "DataPipeline", "Lakehouse", "SemanticModel", "Report")
SCHEDULED = ("Notebook", "DataPipeline")
NAMES = ("A", "a", "B", "b", "C")
FOLDERS = ("", "/X", "/X/Y", "/Z/Y")
TIMES = ("04:00", "05:00")
SLOTS = 4
"""Items that a version has at most."""
_MARKER = re.compile(r" ?\[saga:[0-9a-f]{12}\]")
_FAILS = {"workspaceId": WORKSPACE, "type": "CrystalBall", "displayName": "ball"}


@dataclass(frozen=True)
class Thing:
    """An item of a version. `logical` is the number of its logical id; None if it has none.

    `refers` are the slots whose items its definition names: by logical id, or with `$items` if `by_items` is True. For
    a lakehouse they are the targets of its shortcuts, and for a report the first one is its semantic model.
    """

    type: str
    name: str
    logical: int | None
    folder: str = ""
    text: int = 0
    description: str = ""
    refers: tuple[int, ...] = ()
    by_items: bool = False
    times: tuple[tuple[str, bool], ...] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Return what is unique in a workspace."""
        return self.type, self.name.casefold()


@dataclass(frozen=True)
class Version:
    """The items of a version by their slots, and how it is deployed."""

    things: tuple[tuple[int, Thing], ...]
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def by_slot(self) -> dict[int, Thing]:
        return dict(self.things)

    @property
    def chosen(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self.options}

    @property
    def is_selection(self) -> bool:
        """Return True if not all of its items are deployed."""
        return bool({"itemTypes", "exclude"} & {name for name, _ in self.options})

    def whole(self) -> "Version":
        """Return the version with all of its items deployed."""
        return replace(self, options=tuple(each for each in self.options if each[0] in ("orphans", "unchanged")))

    def __repr__(self) -> str:
        """Show what differs from the defaults, one item a line."""
        rows = [f"  {slot}: {_shown(thing)}" for slot, thing in self.things]
        return "\n".join([f"Version({self.chosen})", *rows])


def _shown(thing: Thing) -> str:
    fields = {name: value for name, value in vars(thing).items() if value or name == "logical"}
    return " ".join(f"{name}={value}" for name, value in fields.items())


def _things(slot: int) -> st.SearchStrategy[Thing]:
    return st.builds(
        Thing,
        st.sampled_from(TYPES),
        st.sampled_from(NAMES),
        st.sampled_from([slot, slot, slot, None]),
        st.sampled_from(FOLDERS),
        st.integers(0, 1),
        st.sampled_from(["", "words"]),
        st.lists(st.integers(0, SLOTS - 1), max_size=2, unique=True).map(tuple),
        st.booleans(),
        st.one_of(
            st.none(),
            st.dictionaries(st.sampled_from(TIMES), st.booleans(), max_size=2).map(lambda d: tuple(sorted(d.items()))),
        ),
    )


@st.composite
def _changed(draw: st.DrawFn, slot: int, thing: Thing) -> Thing | None:
    """Return the item in the next version: mostly with one change."""
    other = draw(_things(slot))
    what = draw(
        st.sampled_from(
            ("same", "same", "name", "name", "gone", "logical", "folder", "text", "refers", "times", "all", "type")
        )
    )
    if what == "gone":
        return None
    if what == "all":
        return other
    if what == "logical":
        return replace(thing, logical=draw(st.sampled_from([slot, slot + SLOTS, None, (slot + 1) % SLOTS])))
    changes: dict[str, Any] = {} if what == "same" else {what: getattr(other, what)}
    if what == "refers":
        changes["by_items"] = other.by_items
    return replace(thing, **changes)


_options = st.fixed_dictionaries(
    {
        "orphans": st.sampled_from(["keep", "quarantine", "delete"]),
        "unchanged": st.sampled_from(["skip", "skip", "check", "redeploy"]),
    }
)
_selections = st.one_of(
    st.just({}),
    st.just({}),
    st.just({}),
    st.sampled_from(TYPES).map(lambda t: {"itemTypes": ("Notebook", t)}),
    st.sampled_from(NAMES).map(lambda name: {"exclude": f"^{name}"}),
)


def _valid(found: dict[int, Thing | None]) -> tuple[tuple[int, Thing], ...]:
    """Return the items without those whose name or logical id another one has, and without what makes no sense."""
    kept: dict[int, Thing] = {}
    for slot, thing in found.items():
        others = list(kept.values())
        if thing is None or any(thing.key == each.key for each in others):
            continue
        if thing.logical is not None and any(thing.logical == each.logical for each in others):
            continue
        kept[slot] = thing
    return tuple((slot, _sensible(thing, slot, kept)) for slot, thing in sorted(kept.items()))


def _sensible(thing: Thing, slot: int, kept: dict[int, Thing]) -> Thing:
    """Return an item that names only what is there: by logical id what has one, and no item that would name it too."""
    wanted = {"Lakehouse": "Lakehouse", "Report": "SemanticModel"}.get(thing.type)
    by_items = thing.by_items and thing.type in SCHEDULED
    refers = [
        other
        for other in thing.refers
        if other in kept
        and other != slot
        and (wanted is None or kept[other].type == wanted)
        and (by_items or thing.type == "Report" or kept[other].logical is not None)
        and (other < slot or thing.type == "Report")
    ]
    if thing.type == "SemanticModel":
        refers = []
    times = thing.times if thing.type in SCHEDULED else None
    return replace(thing, refers=tuple(refers), by_items=by_items, times=times)


@st.composite
def histories(draw: st.DrawFn) -> list[Version]:
    """Return two or three versions; the third may be the first one again."""
    things: dict[int, Thing | None] = {slot: draw(st.one_of(_things(slot), st.none())) for slot in range(SLOTS)}
    found = [Version(_valid(things), tuple(draw(_options).items()))]
    for _ in range(draw(st.integers(1, 2))):
        kind = draw(st.sampled_from(["changed", "changed", "changed", "exchange", "first"]))
        if kind == "first":
            things = dict(found[0].things)
        else:
            before = found[-1].by_slot
            things = {
                slot: draw(_changed(slot, before[slot]))
                if slot in before
                else draw(st.one_of(st.none(), _things(slot)))
                for slot in range(SLOTS)
            }
            if kind == "exchange":
                _exchange(things, *draw(st.permutations(range(SLOTS)))[:2])
        options = draw(_options) | draw(_selections)
        found.append(Version(_valid(things), tuple(options.items())))
    return found


def _exchange(things: dict[int, Thing | None], first: int, second: int) -> None:
    """Exchange the names of two items, if both are there."""
    one, two = things.get(first), things.get(second)
    if one is not None and two is not None:
        things |= {first: replace(one, name=two.name), second: replace(two, name=one.name)}


def _logical(number: int | None) -> str:
    return ZERO_ID if number is None else f"0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c{number:02x}"


def _directory(slot: int, thing: Thing) -> str:
    return f"{thing.folder}/{slot}.{thing.type}".lstrip("/")


def write(root: Path, version: Version) -> None:
    """Write a version below a directory, as Fabric commits it."""
    shutil.rmtree(root, ignore_errors=True)
    all_types.item(root, "zero.Notebook", "Notebook", "zero", {"notebook-content.py": "# zero"}, logical=_logical(255))
    things = version.by_slot
    tokens: dict[str, Thing] = {}
    for slot, thing in things.items():
        found = [(each, things[each]) for each in thing.refers]
        named = [f"token-{each}" if thing.by_items else _logical(other.logical) for each, other in found]
        if thing.by_items:
            tokens |= {f"token-{each}": other for each, other in found}
        files = _files(thing, slot, named, found)
        if thing.times is not None:
            files[SCHEDULES] = json.dumps({"schedules": [_schedule(*each) for each in thing.times]})
        all_types.item(
            root,
            _directory(slot, thing),
            thing.type,
            thing.name,
            files,
            logical=_logical(thing.logical),
            description=thing.description,
        )
    if tokens:
        rows = [
            {"find_value": token, "replace_value": {"_ALL_": f"$items.{other.type}.{other.name}.$id"}}
            for token, other in tokens.items()
        ]
        all_types.write(root / "parameter.yml", json.dumps({"find_replace": rows}))


def _files(thing: Thing, slot: int, named: list[str], found: list[tuple[int, Thing]]) -> dict[str, str]:
    text = f"{thing.text}"
    match thing.type:
        case "Notebook":
            return {"notebook-content.py": "\n".join([f"# {text}", *(f"# {each}" for each in named)])}
        case "DataPipeline":
            body = {"properties": {"description": text, "annotations": named}}
            return {"pipeline-content.json": json.dumps(body)}
        case "Lakehouse":
            target = {"workspaceId": ZERO_ID, "path": "Files"}
            rows = [
                {"path": "/Files", "name": f"to{n}", "target": {"oneLake": {**target, "itemId": each}}}
                for n, each in enumerate(named)
            ]
            return {"shortcuts.metadata.json": json.dumps(rows)} if rows else {}
        case "SemanticModel":
            return {
                "definition.pbism": '{"version": "4.0"}',
                "definition/model.tmdl": f"model Model\n\tculture: {text}\n",
            }
        case _:
            up = "../" * (thing.folder.count("/") + 1)
            model = {"byPath": {"path": f"{up}{_directory(*found[0])}"}} if found else {"byConnection": {"id": text}}
            return {"definition.pbir": json.dumps({"datasetReference": model}), "report.json": json.dumps({"t": text})}


def _schedule(time: str, is_on: bool) -> dict[str, Any]:
    days = {"startDateTime": "2026-01-01T00:00:00", "endDateTime": "2030-01-01T00:00:00", "localTimeZoneId": "UTC"}
    return {"enabled": is_on, "jobType": "Execute", "configuration": {"type": "Daily", **days, "times": [time]}}


class VersionsWorld(RefusingWorld):
    """A tenant to which versions are deployed. `refuse_at` is the write, counted from 1, from which Fabric refuses the
    step that makes it; past the last write, a step after the repository fails."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.count = folder, 0
        self.refuse_at = 0
        self._writes = 0

    def put(self, version: Version, *, fails: bool = False) -> str:
        """Deploy a version, and return the final state."""
        self.count += 1
        write(self.folder / "items", version)
        self.clock.advance(60.0)
        workspace = {"id": "ws", "kind": "workspace", "with": {"displayName": "sales", "ifExists": "adopt"}}
        spec = {"workspaceId": WORKSPACE, "path": "items", **version.chosen}
        steps: list[dict[str, Any]] = [workspace, {"id": "content", "kind": "repository", "with": spec}]
        if fails:
            steps.append({"id": "ball", "kind": "item", "needs": ["content"], "with": _FAILS})
        stored = StoredFiles()
        manifest = packed({"name": "m", "target": "T", "steps": steps}, self.folder, stored=stored)
        stored.send(self.blobs)
        self.refusal, self.refused, self._writes = None, 0, 0
        self.made.clear()
        self._passed.clear()
        self.submit(manifest, f"d{self.count}")
        return self.run(f"d{self.count}")[0].value

    def _injected(self, method: str, path: str, chance: Any) -> dict[str, Any]:
        if self._forward and is_write_call(method, path):
            self._writes += 1
            if self.refuse_at and self._writes == self.refuse_at:
                self.refusal = Refusal(self._forward, 1, How.WRITE)
        return super()._injected(method, path, chance)

    def errors(self) -> str:
        """Return what the steps of the last deployment say."""
        rows = [step.record for step in self.journal.steps(f"d{self.count}")]
        return "; ".join(f"{row.step_id}: {row.error.message}" for row in rows if row.error is not None)

    def all(self) -> dict[str, Any]:
        """Return all that the workspace holds, with its ids."""
        return held(self, self.workspace)


def picture(world: VersionsWorld) -> dict[str, Any]:
    """Return what a workspace holds, one entry for each field of each item, with names in place of ids."""
    place = world.workspace
    names = {item.id: f"<{item.type}/{item.name}>" for item in place.items.values()} | {place.id: "<workspace>"}
    found: dict[str, Any] = {}
    for key, value in held(world, place).items():
        if key == "workspace" or key == "notes" or key.startswith("folder ") or key.endswith(": id"):
            continue
        item = next((i for i in place.items.values() if f"({i.id[:4]})" in key), None)
        assert item is not None, key
        if item.type == "SQLEndpoint":
            continue
        field = key.partition("): ")[2]
        if field == "part .platform":
            continue
        found[f"{item.type}/{item.name}: {field}"] = _plain(field, value, names)
    return found


def _plain(field: str, value: Any, names: dict[str, str]) -> Any:
    if field.startswith("part "):
        value = base64.b64decode(value).decode()
    text = value if isinstance(value, str) else str(sorted(value.items()) if isinstance(value, dict) else value)
    for item_id, name in names.items():
        text = text.replace(item_id, name)
    return _MARKER.sub("", text)
