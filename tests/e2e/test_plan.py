"""A plan, a submission and a second plan with the real app: the second has nothing to do, and neither changes
anything."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running

pytestmark = pytest.mark.e2e
WS = "${{ steps.ws.outputs.id }}"


def written(folder: Path, description: str) -> str:
    """Write a manifest whose resources are updated if they differ."""
    definition = {"parts": [{"path": "notebook-content.py", "text": "x = 1"}]}
    shared = {"workspaceId": WS, "ifExists": "update", "description": description}
    steps: list[dict[str, Any]] = [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "planned", "ifExists": "update"}},
        {"id": "bronze", "kind": "lakehouse", "with": {**shared, "displayName": "bronze"}},
        {
            "id": "clean",
            "kind": "item",
            "with": {"workspaceId": WS, "ifExists": "update", "type": "Notebook", "displayName": "clean"}
            | {"definition": definition},
        },
    ]
    path = folder / f"{description}.json"
    path.write_text(json.dumps({"name": "planned", "steps": steps}))
    return str(path)


def test_plan_before_and_after_a_deployment(shared_stack: Running, tmp_path: Path) -> None:
    """The plan shows three creates, then no change, then exactly the description that the manifest changed."""
    first, second = written(tmp_path, "raw"), written(tmp_path, "cooked")

    def planned(manifest: str) -> tuple[int, list[tuple[str, str, list[str]]]]:
        before = len(shared_stack.fabric("calls"))
        done = shared_stack.cli("plan", manifest, "--json", "--detailed-exitcode")
        calls = shared_stack.fabric("calls")[before:]
        assert calls, done.stdout
        sent = {c["path"].rsplit("/", 1)[-1] for c in calls if c["method"] != "GET"}
        assert sent <= {"getDefinition"}, "a plan sent a call that is not a read"
        steps = json.loads(done.stdout)["steps"]
        return done.returncode, [(s["id"], s["action"], s["fields"]) for s in steps]

    assert planned(first) == (2, [("ws", "create", []), ("bronze", "create", []), ("clean", "create", [])])
    assert shared_stack.names() == {}
    shared_stack.cli("submit", first, "--id", "planned-1", "--wait", check=0)
    nothing = [("ws", "unchanged", []), ("bronze", "unchanged", []), ("clean", "unchanged", [])]
    assert planned(first) == (0, nothing)
    nothing[1] = ("bronze", "update", ["description"])
    assert planned(second) == (2, nothing)
    shared_stack.cli("submit", second, "--id", "planned-2", "--wait", check=0)
    assert planned(second)[0] == 0
