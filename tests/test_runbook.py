"""Everything that docs/runbook.md asks a person to type exists: commands of the command line, routes, settings."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.cli.parser import parser
from shared.web.api import ROUTES

ROOT = Path(__file__).resolve().parent.parent
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text() + (ROOT / "infra" / "README.md").read_text()
HEALTH = {"health/live", "health/ready", "health"}


def typed(text: str) -> Iterator[str]:
    """Yield everything in code marks: inline code, which may span lines, and the lines of console blocks."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        yield from (line.removeprefix("$ ").split(" #")[0].strip() for line in block.splitlines())
    for inline in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        yield " ".join(inline.split())


def problems(text: str) -> list[str]:
    """Return the commands, routes and settings that do not exist."""
    found: list[str] = []
    known = {r.path.replace("{name}", "BREAKER").replace("{id}", "ID") for r in ROUTES} | HEALTH
    for code in typed(text):
        if code.startswith("python -m shared.cli "):
            try:
                parser().parse_args(shlex.split(code)[3:])
            except SystemExit:
                found.append(f"no such command: {code}")
        found += [f"no such route: {path}" for path in re.findall(r"/api/([\w/]+)", code) if path not in known]
        names = re.findall(r"\b[A-Z]{3,}(?:_[A-Z]+)+\b", code)
        found += [f"no such setting: {name}" for name in names if name not in SETTINGS]
    return found


def test_runbook_names_only_what_exists() -> None:
    """Every command parses, every route is served, every setting is documented."""
    assert problems(RUNBOOK) == []
    assert sum(code.startswith("python -m shared.cli ") for code in typed(RUNBOOK)) > 15


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("shared.cli compensate ID", "shared.cli undo ID"),
        ("/api/orphans", "/api/orphan"),
        ("SWEEP_DRY_RUN", "DRY_SWEEP"),
    ],
)
def test_runbook_check_finds_what_does_not_exist(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The check can fail."""
    assert old in RUNBOOK
    assert problems(RUNBOOK.replace(old, new))
    capsys.readouterr()


def test_every_alert_has_its_meaning_what_to_look_at_and_what_to_do() -> None:
    """The three parts are in that order, under a heading of their own."""
    alerts = re.split(r"^## `[\w-]+`\n", RUNBOOK, flags=re.MULTILINE)[1:]
    assert len(alerts) >= 10
    for alert in alerts:
        assert re.search(r"\A\nSeverity [123]\. .*?^Look at:?.*?^Do( one of)?:", alert, re.DOTALL | re.MULTILINE), alert
