"""docs/effects.md is a table of claims. Each claim must have a test, and no flag or event may be missing."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from shared.domain.flags import FeatureFlags
from shared.domain.telemetry import PROPERTIES

ROOT = Path(__file__).resolve().parent.parent
TABLE = (ROOT / "docs" / "effects.md").read_text()
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
FLAGS_TEST = "the flag's test"
ALWAYS = "nothing switches it off"


def rows(text: str) -> Iterator[tuple[list[str], int]]:
    """Yield the cells of every row of every table, without the headings, and the number of cells of its heading."""
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        lines = block.splitlines()
        assert set(lines[1]) <= set("|-"), f"rows without a heading: {lines[0]}"
        for line in lines[2:]:
            yield _cells(line), len(_cells(lines[0]))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@cache
def defined_in(file: str) -> frozenset[str]:
    """Return the names of the tests in a file under tests/, or an empty set if there is no such file."""
    path = ROOT / "tests" / file
    if not path.exists():
        return frozenset()
    found = ast.parse(path.read_text()).body
    return frozenset(n.name for n in found if isinstance(n, ast.FunctionDef) and n.name.startswith("test_"))


def problems(text: str) -> list[str]:
    """Return the tests that do not exist, the rows without a test, and the flags and events without a row."""
    found = [f"{file} has no {name}" for file, name in TEST.findall(text) if name not in defined_in(file)]
    named: set[str] = set()
    for cells, columns in rows(text):
        if len(cells) != columns or columns not in (4, 6):
            found.append(f"{cells[0]}: the row has {len(cells)} cells; its table has {columns}, which must be 4 or 6")
            continue
        named.add(cells[0].strip("`"))
        named |= set(re.findall(r"`(FEATURE_USE_\w+)`", cells[1]))
        on, off = (cells[3], cells[5]) if len(cells) == 6 else (cells[2], cells[3])
        if not TEST.search(on):
            found.append(f"{cells[0]}: no test shows it")
        if not (TEST.search(off) or off in (FLAGS_TEST, ALWAYS)):
            found.append(f"{cells[0]}: no test shows it gone")
    wanted = {FeatureFlags.variable(f.name) for f in fields(FeatureFlags)} | set(PROPERTIES)
    return found + [f"{name} has no row" for name in sorted(wanted - named)]


def test_every_claim_has_a_test() -> None:
    found = problems(TABLE)
    assert not found, "\n".join(found)
    assert len(list(rows(TABLE))) > len(fields(FeatureFlags)) + len(PROPERTIES)


@pytest.mark.parametrize(
    ("old", "new", "expected_text"),
    [
        ("::test_rate_off_runs_into_the_quota`", "::test_rate_off`", "has no test_rate_off"),
        ("`contract/test_rotation.py::", "`contract/test_rotate.py::", "contract/test_rotate.py has no"),
        ("| `HealthChanged` |", "| `HealthTurned` |", "HealthChanged has no row"),
        ("| Rollback | `FEATURE_USE_ROLLBACK` |", "| Rollback | |", "FEATURE_USE_ROLLBACK has no row"),
        (f"| {ALWAYS} |", "| |", "Audit: no test shows it gone"),
        (f" | {ALWAYS} |", " |", "cells; its table has 6"),
        (f" | | {ALWAYS} |", " |", "Audit: the row has 4 cells"),
    ],
)
def test_claim_without_a_test_is_found(old: str, new: str, expected_text: str) -> None:
    """The check can fail."""
    text = TABLE.replace("`FEATURE_USE_ROLLBACK=false`", "").replace(old, new)
    assert text != TABLE
    assert any(expected_text in problem for problem in problems(text)), problems(text)
