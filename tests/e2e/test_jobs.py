"""Jobs with the real app: a failed smoke test rolls the deployment back, and a job that never ends is cancelled."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running, finish, make_stack

pytestmark = [pytest.mark.e2e, pytest.mark.law(1)]
WS = "${{ steps.ws.outputs.id }}"
CANCEL = "/cancel"


@pytest.fixture(scope="module")
def stack() -> Iterator[Running]:
    """Start a stack whose Fabric asks for the first look at a job after a second."""
    stack = make_stack()
    try:
        running = Running(stack.up())
        running.fabric("settings", {"job_retry_seconds": 1.0})
        yield running
    finally:
        finish(stack)


def manifest(folder: Path, name: str, code: str, timeout: str = "10m", **spec: Any) -> str:
    """Write a manifest of a workspace, a lakehouse, and a notebook that tests it."""
    part = {"path": "notebook-content.py", "text": code}
    book = {"workspaceId": WS, "type": "Notebook", "displayName": "test", "definition": {"parts": [part]}}
    run = {"workspaceId": WS, "itemId": "${{ steps.book.outputs.id }}", "jobType": "RunNotebook", **spec}
    steps = [
        {"id": "ws", "kind": "workspace", "with": {"displayName": name}},
        {"id": "lake", "kind": "lakehouse", "with": {"workspaceId": WS, "displayName": "lake"}},
        {"id": "book", "kind": "item", "with": book},
        {"id": "smoke", "kind": "job", "needs": ["lake"], "timeout": timeout, "with": run},
    ]
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "target": name, "steps": steps}))
    return str(path)


def test_smoke_test_that_passes_ends_the_deployment(stack: Running, tmp_path: Path) -> None:
    """The plan says that the job runs; the journal has its exit value."""
    path = manifest(tmp_path, "jobs-pass", 'notebook.exit("passed")', expectExitValue="passed", parameters={"rows": 3})
    assert "1 to run" in stack.cli("plan", path).stdout
    stack.cli("submit", path, "--id", "jobs-pass", "--wait", check=0)
    assert stack.names()["jobs-pass"][0] == "lake"
    [workspace] = [w for w in stack.fabric("state")["workspaces"] if w["displayName"] == "jobs-pass"]
    [run] = [job for item in workspace["items"] for job in item.get("jobs", [])]
    assert run["request"]["executionData"]["parameters"] == {"rows": {"value": 3, "type": "int"}}


def test_deployment_whose_smoke_test_fails_is_rolled_back(stack: Running, tmp_path: Path) -> None:
    """The job's failure rolls back the workspace, and the reason is shown."""
    path = manifest(tmp_path, "jobs-fail", "raise ValueError('no rows')")
    done = stack.cli("submit", path, "--id", "jobs-fail", "--wait", check=1)
    assert "jobs-fail" not in stack.names()
    assert "job RunNotebook of 'test' ended as Failed" in done.stdout


def test_job_that_never_ends_is_cancelled(stack: Running, tmp_path: Path) -> None:
    """Its timeout cancels it in Fabric, and the deployment is rolled back."""
    before = len(stack.posts(CANCEL))
    path = manifest(tmp_path, "jobs-endless", "while True: pass", timeout="4s")
    stack.cli("submit", path, "--id", "jobs-endless", "--wait", check=1)
    assert len(stack.posts(CANCEL)) == before + 1
    assert "jobs-endless" not in stack.names()
