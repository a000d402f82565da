"""The dict of an instance is copied, never kept.

CPython 3.13 does not let the garbage collector follow the dict that `vars(x)` returns if it was made while its values
needed no tracking. If `x` is collected as part of a cycle, the values of such a dict are emptied although somebody
still holds it (gh-130327, gh-133543). A copy holds its values itself.
"""

import ast
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.imports import SOURCES, module_of
from shared.repository.schedules import Schedule
from shared.steps import item_schedules

CONFIGURATION = {"type": "Daily", "times": ["12:00"]}


def kept(source: str) -> Iterator[int]:
    """Yield the lines with a call of `vars` whose result is neither unpacked nor read at once."""
    nodes = list(ast.walk(ast.parse(source)))
    used: set[ast.AST] = set()
    for node in nodes:
        if isinstance(node, ast.Dict):
            used |= {value for key, value in zip(node.keys, node.values, strict=True) if key is None}
        elif isinstance(node, ast.keyword):
            used |= {node.value} if node.arg is None else set()
        elif isinstance(node, ast.Attribute):
            used |= {node.value} if node.attr == "items" else set()
    for node in set(nodes) - used:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "vars":
            yield node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: module_of(path))
def test_no_module_keeps_the_dict_of_an_instance(path: Path) -> None:
    assert sorted(kept(path.read_text())) == []


@pytest.mark.parametrize("source", ["x = vars(y)", "f(vars(y))", "z = [vars(y) for y in x]", "vars(y)['a']"])
def test_planted_dict_of_an_instance_is_found(source: str) -> None:
    assert list(kept(source)) == [1]


def test_schedules_of_a_step_survive_the_collection_of_what_they_were_read_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A schedule that was read is garbage in a cycle, as after an exception; what the step keeps of it stays whole."""

    def read(_: Any) -> list[Schedule]:
        ring: list[Any] = [Schedule(True, dict(CONFIGURATION), {"day": 2})]
        ring.append(ring)
        return ring[:1]

    class Recall:
        def of_part(self, *_: str) -> None:
            return None

    monkeypatch.setattr(item_schedules, "schedules_in", read)
    monkeypatch.setattr(item_schedules, "rendered_part", lambda *_: b"")
    given: dict[str, Any] = {"template": "t", "refs": [], "workspaceId": "w", "itemId": "i", "type": "Notebook"}
    kind: Any = item_schedules.ItemSchedulesKind()
    spec = kind.prepare(None, {**given, "displayName": "n"}, Recall())
    gc.collect()
    assert spec["wanted"] == [{"enabled": True, "configuration": CONFIGURATION, "execution": {"day": 2}}]
