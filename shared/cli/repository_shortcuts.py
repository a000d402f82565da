"""Pack the shortcuts of a repository's lakehouses: which there are, and which of them need each other."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from shared.domain.errors import Problem, Problems
from shared.domain.json import JsonObject, as_object
from shared.repository.compile import Analysis, made_up
from shared.repository.item_types import SHORTCUTS
from shared.repository.model import Item, Part, Ref, item_ref
from shared.repository.order import Order, Phase
from shared.repository.render import RenderError, render
from shared.repository.shortcuts import Shortcut, ShortcutsError, shortcuts_in


@dataclass(frozen=True)
class _Listed:
    """The shortcuts of a lakehouse, rendered with made-up ids."""

    item: Item
    part: Part
    rows: tuple[Shortcut, ...]

    def key(self, row: Shortcut) -> str:
        """Return what names the shortcut in the packed repository."""
        return f"{self.item.key}:{row.key}"


@dataclass(frozen=True)
class Packing:
    """Packs the shortcuts. `read` returns a file of the repository, `name` is what messages call its folder, `exclude`
    is the expression of those that are left alone."""

    analysis: Analysis
    read: Callable[[str], bytes]
    name: str
    exclude: str = ""

    def packed(self, items: Iterable[Item], order: Order, problems: Problems) -> dict[str, JsonObject]:
        """Return the field `shortcuts` of each lakehouse's entry by the lakehouse's key, without the template."""
        listed = [each for item in items if (each := self._listed(item, problems)) is not None]
        after = _after([(each.key(row), row, each.item) for each in listed for row in each.rows])
        needs = {step.node.item: step.needs for step in order.steps if step.node.phase is Phase.SHORTCUTS}
        excluded = {each.key(row) for each in listed for row in each.rows if self._is_excluded(row)}
        found: dict[str, JsonObject] = {}
        for each in listed:
            kept = [row.key for row in each.rows if self._is_excluded(row)]
            rows = [
                {"path": row.path, "name": row.name, "after": [at for at in after[each.key(row)] if at not in excluded]}
                for row in each.rows
                if not self._is_excluded(row)
            ]
            steps = [f"{need.node.item}#{need.node.phase.value}" for need in needs.get(each.item.key, ())]
            found[each.item.key] = {"rows": rows, "kept": kept, "needs": steps}
        return found

    def _is_excluded(self, row: Shortcut) -> bool:
        return bool(self.exclude) and re.match(self.exclude, row.name) is not None

    def _listed(self, item: Item, problems: Problems) -> _Listed | None:
        part = item.part(SHORTCUTS) if item.type == "Lakehouse" else None
        if part is None:
            return None
        try:
            rows, others = (shortcuts_in(self._text(part, salt)) for salt in ("", "other"))
            if [row.key for row in rows] != [row.key for row in others]:
                what = "has a shortcut whose name or path comes from $items or $workspace; write it as it is"
                raise ShortcutsError(what)
        except (ShortcutsError, RenderError) as error:
            place = f"{self.name}/{part.file}" if self.name else part.file
            sentences = error.sentences if isinstance(error, ShortcutsError) else (str(error),)
            problems += [Problem(place, sentence) for sentence in sentences]
            return None
        return _Listed(item, part, rows)

    def _text(self, part: Part, salt: str) -> str:
        def value_of(ref: Ref) -> str:
            return made_up(ref, salt)

        return render(self.read(part.file), True, self.analysis.compiled.of(part.file), value_of).decode()


def _after(rows: list[tuple[str, Shortcut, Item]]) -> dict[str, list[str]]:
    """Return for each shortcut those that it points into, directly; none that would close a cycle."""
    by_place: dict[tuple[str, str], str] = {}
    for key, row, item in rows:
        by_place[(made_up(item_ref(item.type, item.display_name)), row.key)] = key
    found: dict[str, list[str]] = {key: [] for key, _, _ in rows}
    for key, row, _ in rows:
        place = as_object(row.target.get("oneLake"))
        target = _pointed(by_place, str(place.get("itemId")), str(place.get("path"))) if place is not None else None
        if target is not None and not _leads(found, target, key):
            found[key].append(target)
    return found


def _pointed(by_place: dict[tuple[str, str], str], item_id: str, path: str) -> str | None:
    """Return the shortcut at a path of an item, or at a folder above it."""
    names = path.strip("/").split("/")
    return next(
        (key for n in range(len(names), 1, -1) if (key := by_place.get((item_id, "/".join(names[:n]))))),
        None,
    )


def _leads(after: dict[str, list[str]], start: str, wanted: str) -> bool:
    """Return True if a shortcut is another one, or comes after it. Each comes after one at most."""
    at: str | None = start
    while at is not None:
        if at == wanted:
            return True
        at = next(iter(after[at]), None)
    return False
