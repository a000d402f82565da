"""docs/effects.md is a table of claims; here it is held that each claim has a test, and that none is missing."""

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


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table, headings left out."""
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        lines = block.splitlines()
        assert set(lines[1]) <= set("|-"), f"rows that no heading is above: {lines[0]}"
        for line in lines[2:]:
            yield [cell.strip() for cell in line.strip("|").split("|")]


@cache
def defined_in(file: str) -> frozenset[str]:
    """The names of the tests that a file under tests/ defines; none where it is not there."""
    path = ROOT / "tests" / file
    if not path.exists():
        return frozenset()
    found = ast.parse(path.read_text()).body
    return frozenset(n.name for n in found if isinstance(n, ast.FunctionDef) and n.name.startswith("test_"))


def problems(text: str) -> list[str]:
    """Tests that are not there, rows that show nothing, flags and events that have no row."""
    found = [f"{file} has no {name}" for file, name in TEST.findall(text) if name not in defined_in(file)]
    named: set[str] = set()
    for cells in rows(text):
        named.add(cells[0].strip("`"))
        named |= set(re.findall(r"`(FEATURE_USE_\w+)`", cells[1]))
        on, off = (cells[3], cells[5]) if len(cells) == 6 else (cells[2], cells[3])
        if not TEST.search(on):
            found.append(f"{cells[0]}: no test shows it")
        if not (TEST.search(off) or off in (FLAGS_TEST, ALWAYS)):
            found.append(f"{cells[0]}: no test shows it gone")
    wanted = {FeatureFlags.variable(f.name) for f in fields(FeatureFlags)} | set(PROPERTIES)
    return found + [f"{name} has no row" for name in sorted(wanted - named)]


def test_every_claim_has_its_test() -> None:
    """Each test that the table names is there; each flag and each event has a row; no row is without a test."""
    assert problems(TABLE) == []
    assert len(list(rows(TABLE))) > len(fields(FeatureFlags)) + len(PROPERTIES)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("::test_rate_off_runs_into_the_quota`", "::test_rate_off`", "has no test_rate_off"),
        ("`contract/test_rotation.py::", "`contract/test_rotate.py::", "contract/test_rotate.py has no"),
        ("| `HealthChanged` |", "| `HealthTurned` |", "HealthChanged has no row"),
        ("| Rollback | `FEATURE_USE_ROLLBACK` |", "| Rollback | |", "FEATURE_USE_ROLLBACK has no row"),
        (f"| {ALWAYS} |", "| |", "Audit: no test shows it gone"),
    ],
)
def test_a_claim_without_its_test_is_noticed(old: str, new: str, said: str) -> None:
    """The check can fail."""
    text = TABLE.replace("`FEATURE_USE_ROLLBACK=false`", "").replace(old, new)
    assert text != TABLE
    assert any(said in problem for problem in problems(text)), problems(text)
