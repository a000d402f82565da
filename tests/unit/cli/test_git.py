"""`git status` and `git commit`: against the simulator over HTTP, with the caller's own identity."""

import io
import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from tests import command_line
from tests.simulation.fault_table import BRANCH
from tests.simulation.git_branches import NEXT, OLD
from tests.simulator.test_server import Running
from tests.unit.cli.test_plan import IDENTITY


class Terminal(io.StringIO):
    """A terminal on which a person types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def fabric() -> Iterator[Running]:
    """Start a simulated Fabric as a separate process."""
    running = Running()
    yield running
    running.stop()


@pytest.fixture
def place(fabric: Running) -> str:
    """Return a connected workspace with one change."""
    fabric.call("POST", "/_sim/reset", {})
    row = {"displayName": "sales", "roleAssignments": [IDENTITY]}
    made = fabric.call("POST", "/_sim/seed", {"workspaces": [row]})[1]["workspaces"][0]["id"]
    push(fabric, OLD, workspaceId=made)
    item = {"type": "Notebook", "displayName": "mine", "definition": {"parts": [{"path": "n.py", "payload": "eA=="}]}}
    fabric.call("POST", "/_sim/seed", {"workspaces": [{"id": made, "items": [item]}]})
    return made


def push(fabric: Running, files: dict[str, str | None], **more: Any) -> str:
    """Commit to the branch as another person; return its head."""
    details = {**BRANCH, "directoryName": "/"}
    return fabric.call("POST", "/_sim/git", {"gitProviderDetails": details, "files": files, **more})[1]["head"]


def git(fabric: Running, *arguments: str) -> command_line.Done:
    """Run one command to its end."""
    environment = {
        "PATH": os.environ["PATH"],
        "FABRIC_API_BASE_URL": f"http://127.0.0.1:{fabric.port}",
        "FABRIC_OPERATION_HOSTS": f"127.0.0.1:{fabric.operations_port}",
        "FABRIC_CREDENTIAL": "simulator",
    }
    return command_line.run("git", *arguments, environment=environment)


def test_git_commit_commits_what_the_status_shows(fabric: Running, place: str) -> None:
    shown = git(fabric, "status", place)
    assert shown.returncode == 0, shown.stderr
    assert "  mine.Notebook: workspace added" in shown.stdout
    done = git(fabric, "commit", place, "--comment", "Mine", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"committed as {push(fabric, {})}" in done.stdout
    assert "No changes." in git(fabric, "status", place).stdout
    again = git(fabric, "commit", place, "--comment", "Mine", "--yes", "--json")
    assert (again.returncode, '"commit": ""' in again.stdout) == (0, True)


def test_git_takes_the_name_of_a_workspace(fabric: Running, place: str) -> None:
    """In any case of its letters. Of an unknown name the message proposes a known one."""
    by_id, by_name = git(fabric, "status", place), git(fabric, "status", "Sales")
    assert (by_name.returncode, by_name.stdout) == (0, by_id.stdout), by_name.stderr
    done = git(fabric, "status", "salles")
    assert done.returncode == 2
    assert "has no role in a workspace of that name. Did you mean 'sales'?" in done.stdout + done.stderr


def test_git_that_fabric_refuses_says_what_to_do(fabric: Running, place: str) -> None:
    """A workspace that is not connected, and one that does not exist."""
    fabric.call("POST", "/_sim/seed", {"workspaces": [{"displayName": "other", "roleAssignments": [IDENTITY]}]})
    for workspace, remedy in (
        ("other", "Connect the workspace with a branch first"),
        ("11111111-1111-1111-1111-111111111111", "Check the id"),
    ):
        done = git(fabric, "status", workspace)
        assert done.returncode == 2
        assert f"what to do: {remedy}" in done.stdout + done.stderr


def test_wrong_label_is_a_bad_request_also_without_storage() -> None:
    done = command_line.run("list", "--label", "pr", environment={"PATH": os.environ["PATH"]})
    assert done.returncode == 2
    assert "--label: 'pr' must be NAME=VALUE" in done.stdout + done.stderr


def test_git_commit_asks_or_needs_yes(fabric: Running, place: str) -> None:
    """Without a terminal it is a bad request; on a terminal, everything but a yes commits nothing."""
    head = push(fabric, {})
    assert "--comment: is required" in git(fabric, "commit", place, "--yes").stdout
    done = git(fabric, "commit", place, "--comment", "Mine")
    assert done.returncode == 2
    assert "A commit is irreversible" in done.stdout + done.stderr
    for answer, is_made in (("\n", False), ("no\n", False), ("y\n", True)):
        done = asked(fabric, answer, "commit", place, "--comment", "Mine")
        assert (done.returncode, push(fabric, {}) != head) == (0 if is_made else 1, is_made), done.stdout


def asked(fabric: Running, answer: str, *arguments: str) -> command_line.Done:
    """Run a command on a terminal on which a person types the answer."""
    with patch("shared.cli.git.sys", SimpleNamespace(stdin=Terminal(answer), stderr=sys.stderr)):
        return git(fabric, *arguments)


def test_git_commit_of_a_workspace_that_is_behind_says_what_to_do(fabric: Running, place: str) -> None:
    push(fabric, NEXT)
    done = git(fabric, "commit", place, "--comment", "Mine", "--yes")
    assert done.returncode == 1
    assert "nothing was committed" in done.stdout + done.stderr
    assert "update the workspace from Git first" in done.stdout + done.stderr
