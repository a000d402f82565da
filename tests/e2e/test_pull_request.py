"""The environment of a pull request against the real app: opened, updated, closed, and forgotten, as the example
workflows run the action and the template."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local.paths import ROOT
from shared import settings
from shared.bootstrap import command_line as composition
from shared.domain.ports import Change
from tests import warm
from tests.e2e.conftest import Running
from tests.e2e.test_pipelines import Pipeline
from tests.waiting import eventually

pytestmark = pytest.mark.e2e
EXAMPLE = ROOT / "examples" / "pull-request.yaml"
MANIFEST = EXAMPLE.read_text().partition("\n  - id: smoke_test")[0] + "\n"
"""The example without its smoke test: the first look at a job comes after a minute, and jobs have their own tests."""
NOTEBOOK = Path("repository/workspace/Ingest/Load orders.Notebook/notebook-content.py")


class PullRequest:
    """A branch with the example's files, and the pipeline that runs for its pull request."""

    def __init__(self, kind: str, running: Running, folder: Path, number: int, python: Path) -> None:
        self.running, self.folder, self.number = running, folder, number
        shutil.copytree(ROOT / "examples" / "repository", folder / "repository")
        (folder / EXAMPLE.name).write_text(MANIFEST)
        self.pipeline = Pipeline(kind, running, folder, python)

    @property
    def workspace(self) -> str:
        return f"contoso-sales-pr-{self.number}"

    def run(self, deployment_id: str = "", mode: str = "deploy") -> tuple[str, str]:
        """Run the pipeline once; return its state and its comment."""
        given = {
            "mode": mode,
            "set": f"pr={self.number}",
            "labels": f"pr={self.number}",
            "comment": "comment.md",
            "page": self.running.stack.functions_url,
        } | ({"id": deployment_id} if deployment_id else {})
        done = self.pipeline.step(EXAMPLE.name, given).run(self.folder)
        comment = self.folder / "comment.md"
        assert comment.exists(), done.log
        text = comment.read_text()
        comment.unlink()
        return self.pipeline.output(done, "state"), text

    def push(self, text: str) -> None:
        """Change one file of the branch."""
        (self.folder / NOTEBOOK).write_text(text)

    def listed(self) -> dict[str, str]:
        """Return the states of its deployments."""
        done = self.running.cli("list", "--label", f"pr={self.number}", "--json", check=0)
        rows = map(json.loads, done.stdout.splitlines())
        return {row["deployment_id"]: row["state"] for row in rows}


@pytest.fixture(scope="module")
def warm_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an interpreter whose command line starts warm."""
    return warm.interpreter(tmp_path_factory.mktemp("interpreter"))


def steps(running: Running, deployment_id: str) -> dict[str, dict[str, Any]]:
    """Return the steps of a deployment by id."""
    lines = running.cli("status", deployment_id, "--json", check=0).stdout.splitlines()
    return {step["step_id"]: step for step in json.loads(lines[-1])["steps"]}


@pytest.mark.parametrize(("kind", "number"), [("github", 7), ("azure", 8)])
def test_pull_request_is_opened_updated_and_closed(
    shared_stack: Running, tmp_path: Path, warm_python: Path, kind: str, number: int
) -> None:
    """Each run has its result in a comment; an update sends only what changed; an update that fails is rolled back;
    closing leaves nothing, and may be repeated."""
    request = PullRequest(kind, shared_stack, tmp_path, number, warm_python)
    state, comment = request.run(f"pr-{number}-a")
    assert state == "succeeded", comment
    link = f"{shared_stack.stack.functions_url}/api/dashboard#/deployments/pr-{number}-a"
    assert comment.startswith(f"[Deployment pr-{number}-a](<{link}>)\n")
    assert "| `workspace` | `workspace` | succeeded |" in comment
    assert "```text\n" in comment
    assert "====" in comment

    request.push("orders = 2\n")
    state, comment = request.run(f"pr-{number}-b")
    assert state == "succeeded", comment
    made = steps(shared_stack, f"pr-{number}-b")
    changed = {name for name, step in made.items() if (step.get("intent") or {}).get("action") not in (None, "adopt")}
    assert changed == {"content/Notebook/Load_orders"}

    (tmp_path / EXAMPLE.name).write_text(MANIFEST + BALL)
    state, comment = request.run(f"pr-{number}-c")
    assert state == "compensated"
    assert "| `ball` | `item` | compensated |" in comment
    assert request.workspace in shared_stack.names()

    state, comment = request.run(mode="retire")
    assert (state, comment) == ("retired", f"The environment with pr={number} is retired.\n")
    assert request.workspace not in shared_stack.names()
    assert set(request.listed().values()) == {"compensated"}
    assert request.run(mode="retire")[0] == "retired"


BALL = """
  - id: ball
    kind: item
    needs: [content]
    with:
      workspaceId: ${{ steps.workspace.outputs.id }}
      type: CrystalBall
      displayName: ball
"""
"""A step that Fabric refuses."""


def test_pull_request_that_is_forgotten_expires(shared_stack: Running, tmp_path: Path, warm_python: Path) -> None:
    """The sweeper rolls back every deployment of it when its time is up, the newest first; here the time is moved."""
    request = PullRequest("github", shared_stack, tmp_path, 9, warm_python)
    assert request.run("pr-9-a")[0] == "succeeded"
    request.push("orders = 3\n")
    assert request.run("pr-9-b")[0] == "succeeded"
    journal = composition.storage(settings.load({"AzureWebJobsStorage": shared_stack.stack.connection_string})).journal
    for deployment_id in ("pr-9-a", "pr-9-b"):
        before = journal.header(deployment_id)
        assert before.record.due_at is not None
        assert (before.record.due_at - datetime.now(UTC)).days == 6
        after = before.record.replace(due_at=datetime.now(UTC))
        journal.write_header(Change(before, after, "test", "a week later"))
    eventually(lambda: set(request.listed().values()) == {"compensated"})
    assert request.workspace not in shared_stack.names()
