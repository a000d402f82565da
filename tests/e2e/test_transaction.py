"""Scripts with a DeploymentTransaction as real processes, killed or not, beside the real app and its sweeper."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.paths import ROOT
from tests.e2e.conftest import Running, finish, make_stack
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.law(3)]
IDENTITY = {"id": "00000000-0000-0000-0000-00000000c1c1", "type": "ServicePrincipal", "role": "Admin"}
QUICK = {"SCRIPT_LEASE_SECONDS": "8", "SWEEP_SCHEDULE": "* * * * * *", "COMPENSATION_MAX_ATTEMPTS": "2"}
SCRIPT = """
import sys, time
from shared.scripting import DeploymentTransaction, ResourceType

WORKSPACE = sys.argv[1]

def lakehouse(name, description=""):
    body = {"displayName": name, "description": description}
    return transaction.fabric.send("POST", f"/workspaces/{WORKSPACE}/lakehouses", body).body["id"]

def wait_for_the_end():
    print("ready", flush=True)
    time.sleep(120)

transaction = DeploymentTransaction("script", target=WORKSPACE, deployment_id=sys.argv[2])
with transaction:
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Running]:
    """Start a stack that sweeps every second and takes a silent script for dead after eight seconds."""
    made = make_stack(environment=QUICK)
    try:
        yield Running(made.up())
    finally:
        finish(made)


@pytest.fixture
def workspace(stack: Running) -> str:
    """Create another actor's workspace with a lakehouse, and return its id."""
    stack.fabric("reset", {})
    stack.fabric("faults", [])
    items = [{"type": "Lakehouse", "displayName": "theirs"}]
    row = {"displayName": "sales", "roleAssignments": [IDENTITY], "items": items}
    return stack.fabric("seed", {"workspaces": [row]})["workspaces"][0]["id"]


def script(stack: Running, folder: Path, body: str, workspace: str, deployment_id: str) -> subprocess.Popen[str]:
    """Start a script whose block is `body`."""
    path = folder / f"{deployment_id}.py"
    path.write_text(SCRIPT + textwrap.indent(textwrap.dedent(body), "    "))
    command = [sys.executable, str(path), workspace, deployment_id]
    environment = {**stack.environment, **QUICK, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kill_when_ready(process: subprocess.Popen[str]) -> None:
    """Send SIGKILL as soon as the script prints that it is ready for it."""
    assert process.stdout is not None
    line = process.stdout.readline()
    process.kill()
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert line == "ready\n", errors


def roll_back(stack: Running, deployment_id: str) -> dict[str, Any]:
    """Follow the deployment until it is rolled back, and return the last line."""
    ended = stack.ended(deployment_id)
    assert ended["deployment"]["state"] == "compensated", ended
    assert ended["deployment"]["origin"] == "script"
    assert ended["exit_code"] == 1
    return ended


def test_script_killed_between_two_creates_is_rolled_back_by_the_next_sweep(
    stack: Running, workspace: str, tmp_path: Path
) -> None:
    """The tracked lakehouse is deleted, the other one was never created, and what is not the script's stays."""
    body = """
    transaction.track_resource(ResourceType.LAKEHOUSE, lakehouse("bronze"), workspace_id=WORKSPACE, name="bronze")
    wait_for_the_end()
    transaction.track_resource(ResourceType.LAKEHOUSE, lakehouse("silver"), workspace_id=WORKSPACE, name="silver")
    """
    process = script(stack, tmp_path, body, workspace, "killed-1")
    kill_when_ready(process)
    assert stack.names() == {"sales": ["bronze", "theirs"]}
    ended = roll_back(stack, "killed-1")
    assert stack.names() == {"sales": ["theirs"]}
    assert "sent no heartbeat" in ended["deployment"]["error"]["message"]
    assert [s["state"] for s in ended["steps"]] == ["compensated"]


@pytest.mark.parametrize("is_made", [True, False])
def test_script_killed_between_its_call_and_the_journal_is_rolled_back_by_the_marker(
    stack: Running, workspace: str, tmp_path: Path, is_made: bool
) -> None:
    """The script is killed right after, or right before, the call that creates the lakehouse: the journal has the
    intent, and the lakehouse is found."""
    body = f"""
    with transaction.creating(ResourceType.LAKEHOUSE, name="bronze", workspace_id=WORKSPACE) as pending:
        pending.created(lakehouse("bronze", pending.description()))
    with transaction.creating(ResourceType.LAKEHOUSE, name="silver", workspace_id=WORKSPACE) as pending:
        if {is_made}:
            lakehouse("silver", pending.description("of a script"))
        wait_for_the_end()
    """
    deployment_id = f"killed-{'after' if is_made else 'before'}"
    process = script(stack, tmp_path, body, workspace, deployment_id)
    kill_when_ready(process)
    assert stack.names() == {"sales": ["bronze", *(["silver"] if is_made else []), "theirs"]}
    roll_back(stack, deployment_id)
    assert stack.names() == {"sales": ["theirs"]}


def test_script_that_is_alive_is_not_swept(stack: Running, workspace: str, tmp_path: Path) -> None:
    """It runs longer than its lease and only sends heartbeats; then it commits."""
    body = """
    transaction.track_resource(ResourceType.LAKEHOUSE, lakehouse("bronze"), workspace_id=WORKSPACE, name="bronze")
    time.sleep(12)
    """
    process = script(stack, tmp_path, body, workspace, "lives")
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    assert stack.ended("lives")["deployment"]["state"] == "succeeded"
    assert stack.names() == {"sales": ["bronze", "theirs"]}


def test_script_whose_compensation_is_refused_reports_it_and_the_sweeper_finishes_it(
    stack: Running, workspace: str, tmp_path: Path
) -> None:
    """The script's own exception is raised, with a note, and nothing is reported as compensated before it is."""
    refusal = {"status": 403, "body": {"errorCode": "InsufficientPrivileges", "message": "not yours", "requestId": "r"}}
    stack.fabric("faults", [{"match": {"method": "DELETE", "path": ".*/items/.*"}, "action": refusal}])
    body = """
    transaction.track_resource(ResourceType.LAKEHOUSE, lakehouse("bronze"), workspace_id=WORKSPACE, name="bronze")
    raise RuntimeError("of the script")
    """
    process = script(stack, tmp_path, body, workspace, "refused")
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert "RuntimeError: of the script" in errors
    assert "not everything is rolled back" in errors
    assert "InsufficientPrivileges" in json.dumps(stack.ended("refused")["steps"])
    assert stack.names() == {"sales": ["bronze", "theirs"]}
    stack.fabric("faults", [])
    eventually(lambda: stack.names() == {"sales": ["theirs"]})
    eventually(lambda: stack.ended("refused")["deployment"]["state"] == "compensated")


@pytest.mark.parametrize("fails", [False, True])
def test_example_script(stack: Running, workspace: str, fails: bool) -> None:
    """The example of the documentation works as described."""
    command = [sys.executable, "examples/script.py", "contoso-scripted", *(["--fail"] if fails else [])]
    environment = {**stack.environment, **QUICK, "FEATURE_USE_RETRY_LOGIC": "true"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == (1 if fails else 0), done.stderr
    assert "made bronze, silver" in done.stdout
    whole = {"contoso-scripted": ["bronze", "silver"]}
    assert stack.names() == {"sales": ["theirs"], **({} if fails else whole)}
