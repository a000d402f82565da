"""A repository in Git's format with the real app: packed, planned, deployed, changed, rolled back, over both ways."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running

pytestmark = pytest.mark.e2e
WS = "${{ steps.ws.outputs.id }}"
ZERO = "00000000-0000-0000-0000-000000000000"
LOAD, RUN, LAKE = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "123")


def item(root: Path, directory: str, item_type: str, name: str, logical_id: str, files: dict[str, str]) -> None:
    """Write an item's folder."""
    folder = root / directory
    folder.mkdir(parents=True)
    platform = {
        "metadata": {"type": item_type, "displayName": name},
        "config": {"version": "2.0", "logicalId": logical_id},
    }
    (folder / ".platform").write_text(json.dumps(platform))
    for path, text in files.items():
        (folder / path).write_text(text)


def repository(root: Path) -> None:
    """Write a lakehouse, a notebook in a folder that names it and its SQL endpoint, and a pipeline that runs that."""
    notebook = f'lake = "{LAKE}"\nserver = "dev-server"\n'
    activity = {"typeProperties": {"notebookId": LOAD, "workspaceId": ZERO}}
    pipeline = json.dumps({"properties": {"activities": [activity]}})
    item(root, "Raw/Load.Notebook", "Notebook", "Load", LOAD, {"notebook-content.py": notebook})
    item(root, "run.DataPipeline", "DataPipeline", "run all", RUN, {"pipeline-content.json": pipeline})
    item(root, "lake.Lakehouse", "Lakehouse", "lake", LAKE, {"lakehouse.metadata.json": "{}"})
    value = "$items.Lakehouse.lake.$sqlendpoint"
    (root / "parameter.yml").write_text(
        f"find_replace:\n  - find_value: dev-server\n    replace_value: {{PROD: {value}}}\n"
    )


def manifest(folder: Path, name: str, workspace: str, *more: dict[str, Any]) -> str:
    """Write a manifest that deploys the repository beside it."""
    spec = {"workspaceId": WS, "path": "repository", "environment": "PROD"}
    steps = [
        {"id": "ws", "kind": "workspace", "with": {"displayName": workspace}},
        {"id": "content", "kind": "repository", "with": spec},
        *more,
    ]
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "target": workspace, "steps": steps}))
    return str(path)


def standing(running: Running, workspace: str) -> dict[str, dict[str, Any]]:
    """Return the items of a workspace by name, as the simulator stores them."""
    found = next(w for w in running.fabric("state")["workspaces"] if w["displayName"] == workspace)
    return {i["displayName"]: i for i in found["items"] if i["type"] != "SQLEndpoint"}


def text_of(stored: dict[str, Any], path: str) -> str:
    """Return a part of a stored definition."""
    part = next(part for part in stored["definition"]["parts"] if part["path"] == path)
    return base64.b64decode(part["payload"]).decode()


@pytest.mark.parametrize("way", ["storage", "api"])
def test_repository_is_deployed_changed_and_rolled_back(shared_stack: Running, tmp_path: Path, way: str) -> None:
    """Ids and parameters are replaced; a second deployment sends what changed only; a failed one restores it; the first
    one again brings the earlier release back."""
    place, root = f"repository-{way}", tmp_path / "repository"
    repository(root)
    url = ("--url", shared_stack.stack.functions_url) if way == "api" else ()
    key = {"FUNCTION_KEY": shared_stack.stack.function_key} if way == "api" else {}

    def cli(*arguments: str, check: int = 0) -> str:
        return shared_stack.cli(*arguments, *url, environment=key, check=check).stdout

    first = manifest(tmp_path, "first", place)
    cli("submit", first, "--id", f"{place}-1", "--wait")
    items = standing(shared_stack, place)
    assert set(items) == {"Load", "run all", "lake"}
    notebook = text_of(items["Load"], "notebook-content.py").splitlines()
    assert notebook[0] == f'lake = "{items["lake"]["id"]}"'
    assert "dev-server" not in notebook[1]
    pipeline = json.loads(text_of(items["run all"], "pipeline-content.json"))
    activity = pipeline["properties"]["activities"][0]["typeProperties"]
    assert (activity["notebookId"], activity["workspaceId"] == ZERO) == (items["Load"]["id"], False)

    rows = json.loads(cli("plan", first, "--json"))["steps"]
    assert {row["id"]: row["action"] for row in rows if row["id"] != "ws"} == {
        "content/removed-schedules": "unchanged",
        "content/folder/Raw": "adopt",
        "content/Lakehouse/lake": "unchanged",
        "content/Notebook/Load": "unchanged",
        "content/DataPipeline/run_all": "unchanged",
        "content/removed-shortcuts": "unchanged",
    }

    (root / "Raw/Load.Notebook/notebook-content.py").write_text("x = 2\n")
    (root / "Raw").rename(root / "Clean")
    changed = json.loads(cli("plan", first, "--json"))["steps"]
    assert {row["id"]: row["fields"] for row in changed if row["fields"]} == {
        "content/Notebook/Load": ["folder", "definition"]
    }
    spec = {"workspaceId": WS, "type": "CrystalBall", "displayName": "ball"}
    ball = {"id": "ball", "kind": "item", "needs": ["content"], "with": spec}
    cli("submit", manifest(tmp_path, "failing", place, ball), "--id", f"{place}-2", "--wait", check=1)
    restored = standing(shared_stack, place)
    where = {name: (row["id"], row.get("folderId")) for name, row in items.items()}
    assert {name: (row["id"], row.get("folderId")) for name, row in restored.items()} == where
    assert text_of(restored["Load"], "notebook-content.py").splitlines() == notebook

    cli("submit", first, "--id", f"{place}-3", "--wait")
    assert text_of(standing(shared_stack, place)["Load"], "notebook-content.py") == "x = 2\n"

    cli("redeploy", f"{place}-1", "--id", f"{place}-4", "--wait")
    assert text_of(standing(shared_stack, place)["Load"], "notebook-content.py").splitlines() == notebook
    refused = cli("redeploy", f"{place}-1", "--id", f"{place}-1", check=2)
    assert "give another id" in refused
