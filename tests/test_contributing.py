"""CONTRIBUTING's four walks name the files that must be touched, and a test reports each one that was forgotten."""

import re

import pytest

from local.paths import ROOT
from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject
from shared.domain.records import Intent
from shared.steps import KINDS, STEPS
from shared.steps.kind import WORKSPACE_ID, Call
from shared.steps.lakehouse import LakehouseKind
from tests.kind_files import forgotten

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
WALKS = ("A new kind of step", "A new verb", "A new event", "A new setting")


class ToyKind(LakehouseKind):
    """A kind that somebody has written and registered, and nothing else."""

    name = "toy"
    about = "A toy in a workspace."
    packs = "box"
    outputs = frozenset({"id", "colour"})

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        spec.text("displayName", required=True, words=Words("The name of the toy.", "ball"))

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        return [Call("POST", f"/workspaces/{spec['workspaceId']}/toys", "create Toy", {})]


def walk(title: str) -> str:
    """Return the section of CONTRIBUTING with that title."""
    found = re.search(rf"^## {title}$(.*?)(?=^## )", CONTRIBUTING, re.MULTILINE | re.DOTALL)
    assert found, f"CONTRIBUTING.md: the section '{title}' is missing"
    return found[1]


def files(title: str) -> set[str]:
    """Return the files and folders that a section names."""
    return {name for name in re.findall(r"`([\w./-]+/[\w./-]+)`", walk(title)) if "KIND" not in name}


@pytest.mark.parametrize("title", WALKS)
def test_contributing_names_only_existing_files(title: str) -> None:
    assert files(title)
    assert [name for name in files(title) if not (ROOT / name).exists()] == []


def test_no_kind_lacks_an_entry() -> None:
    messages = forgotten(KINDS)
    assert not messages, "\n".join(messages)


def test_kind_that_was_only_registered_is_reported_with_every_file_that_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Registering it breaks nothing at import; the report names the same files as CONTRIBUTING."""
    toy = ToyKind()
    monkeypatch.setitem(STEPS, toy.name, toy)
    monkeypatch.setitem(KINDS, toy.name, toy)
    messages = forgotten({toy.name: toy})
    assert all("toy" in message or "box" in message for message in messages)
    reported = {message.partition(":")[0] for message in messages}
    assert reported == {
        "schemas/manifest.schema.json",
        "docs/manifest.md",
        "docs/glossary.md",
        "shared/cli/pack.py",
        "shared/domain/fabric_paths.py",
        "tests/unit/steps/test_manifest_schema.py",
        "tests/unit/steps/test_null.py",
        "tests/simulation/fault_table.py",
        "tests/simulation/settings_in_schedule.py",
    }
    assert reported <= files(WALKS[0]) | {"schemas/manifest.schema.json"}
