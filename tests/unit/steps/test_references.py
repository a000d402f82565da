"""References in a manifest, from its text to the values that are sent to Fabric."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cli import pack
from shared.domain.errors import InvalidInputError
from shared.domain.manifest import compile_manifest
from shared.domain.references import resolve
from shared.saga.payloads import Payloads
from shared.saga.submission.acceptance import step_records
from shared.steps import KINDS
from tests.fakes import MemoryBlobs
from tests.unit.steps.tenant import OTHER, PERSON

OUTPUTS = {("w", "id"): PERSON, ("w", "displayName"): "a $${{ }} ${{ b $"}
WORDS = ["$", "{", "{{", "}}", "${{", "$${{", "${{ steps.w.outputs.id }}", "${{steps.w.outputs.displayName}}", "a", " "]
TOKEN = re.compile(r"\$\$\{\{|\$\{\{\s*steps\.(\w+)\.outputs\.(\w+)\s*\}\}|\$\{\{")


def sent(*steps: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the `with` of each step after the first as it is sent to Fabric, through the journal's rows."""
    first = {"id": "w", "kind": "workspace", "with": {"displayName": "w"}}
    payloads = Payloads(MemoryBlobs())
    rows = step_records("d", compile_manifest({"name": "m", "steps": [first, *steps]}, KINDS), payloads)
    specs = [(payloads.load(row.spec), row.refers_to) for row in rows[1:]]
    return [resolve(spec, lambda *key: OUTPUTS[key]) if refers_to else spec for spec, refers_to in specs]


def item(text: str) -> dict[str, Any]:
    """Return a step whose definition has one part with this text."""
    definition = {"parts": [{"path": "x.py", "text": text}]}
    spec = {"workspaceId": PERSON, "type": "Notebook", "displayName": "n", "definition": definition}
    return {"id": "i", "kind": "item", "with": spec}


def expected(text: str) -> str | None:
    """Return the text with each reference and each escape replaced, or None if it must be refused."""
    if any(found[0] == "${{" for found in TOKEN.finditer(text)):
        return None
    return TOKEN.sub(lambda found: OUTPUTS[found[1], found[2]] if found[1] else "${{", text)


@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join))
def test_references_are_replaced_and_nothing_else(text: str) -> None:
    """Any text with references, escapes and single braces, through compilation and the journal."""
    try:
        [spec] = sent(item(text))
    except InvalidInputError:
        assert expected(text) is None
    else:
        assert spec["definition"]["parts"][0]["text"] == expected(text)


@pytest.mark.parametrize("beside", ["${{ steps.w.outputs.id }}", PERSON])
@pytest.mark.parametrize("word", ["${{ github.sha }}", "$${{", "${{ steps.w.outputs.id }}", "a ${{ b"])
def test_references_are_never_read_in_packed_files(tmp_path: Path, word: str, beside: str) -> None:
    """The texts of `.platform`, a part and a list of principals reach Fabric unchanged, beside a reference or not."""
    folder = tmp_path / "i.Notebook"
    folder.mkdir()
    metadata = {"type": "Notebook", "displayName": word, "description": word}
    platform = json.dumps({"metadata": metadata})
    (folder / ".platform").write_text(platform)
    (folder / "x.py").write_text(word)
    (tmp_path / "team.csv").write_text(f"{OTHER},Admin,{word},User\n")
    steps = [
        {"id": "i", "kind": "item", "with": {"workspaceId": beside, "folder": folder.name}},
        {"id": "p", "kind": "principals", "with": {"workspaceId": beside, "file": "team.csv"}},
    ]
    made, granted = sent(*pack.packed({"name": "m", "steps": steps}, tmp_path)["steps"])
    parts = {part["path"]: base64.b64decode(part["payload"]).decode() for part in made["definition"]["parts"]}
    assert (made["workspaceId"], made["displayName"], made["description"]) == (PERSON, word, word)
    assert parts == {"x.py": word, ".platform": platform}
    assert (granted["workspaceId"], granted["description"]) == (PERSON, word)


@pytest.mark.parametrize("field", ["role", "principalType", "ifExists"])
def test_references_are_not_allowed_for_a_closed_list(field: str) -> None:
    """Such a field is checked before any step runs, even if another step has an output with that name."""
    spec = {"workspaceId": PERSON, "principalId": OTHER, "principalType": "User", "role": "Admin"}
    first = {"id": "r", "kind": "role_assignment", "with": spec}
    other = {"id": "o", "kind": "role_assignment", "with": {**spec, field: "${{ steps.r.outputs.role }}"}}
    with pytest.raises(InvalidInputError) as caught:
        sent(first, other)
    assert f"$.steps[2].with.{field}" in [problem.path for problem in caught.value.problems]
