"""The manifest of an ended deployment is sent again as a new deployment, with the values that it had."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.domain.records import DeploymentRecord
from shared.domain.states import DeploymentState, Origin
from shared.saga.payloads import Payloads
from shared.saga.submission.acceptance import Acceptance
from shared.steps import KINDS
from tests.fakes import FakeClock
from tests.unit.cli.test_commands import Account, account, events, new_id, run

__all__ = ["account"]
pytestmark = pytest.mark.azurite
MANIFEST: dict[str, Any] = {
    "name": "sales",
    "target": "sales-${{ inputs.env }}",
    "inputs": {"env": {}},
    "steps": [{"id": "ws", "kind": "workspace", "with": {"displayName": "ünïcode"}}],
}


def deployed(account: Account, folder: Path, state: DeploymentState, *, is_kept: bool = True) -> DeploymentRecord:
    """Submit the manifest for production, accept it as the app does, and move it to a state."""
    file = folder / "sales.json"
    file.write_text(json.dumps(MANIFEST))
    deployment_id = new_id()
    done = run("submit", str(file), "--id", deployment_id, "--set", "env=prod", storage=account.connection)
    assert done.returncode == 0, done.stdout
    stores = account.stores
    acceptance = Acceptance(stores.journal, stores.blobs, Payloads(stores.blobs), FakeClock(), KINDS)
    accepted = acceptance.accept(json.dumps(account.take(deployment_id)).encode(), "m")
    if is_kept:
        acceptance.keep(accepted.manifest)
    path = {
        DeploymentState.SUCCEEDED: (DeploymentState.RUNNING, DeploymentState.SUCCEEDED),
        DeploymentState.RUNNING: (DeploymentState.RUNNING,),
    }
    for each in path[state]:
        account.move(deployment_id, each)
    return stores.journal.header(deployment_id).record


def test_redeploy_sends_the_same_manifest_under_a_new_id(account: Account, tmp_path: Path) -> None:
    """The hash is the same, so it is the same manifest with the same values; the requester is the new one."""
    earlier = deployed(account, tmp_path, DeploymentState.SUCCEEDED)
    wanted = new_id()
    arguments = ("redeploy", earlier.deployment_id, "--id", wanted, "--requested-by", "anna")
    done = run(*arguments, storage=account.connection)
    assert done.returncode == 0, done.stdout + done.stderr
    message = account.take(wanted)
    assert message["requested_by"] == "anna"
    header = account.accept(message)
    assert (header.manifest_hash, header.target) == (earlier.manifest_hash, "sales-prod")
    assert header.deployment_id == wanted


def test_redeploy_with_labels_replaces_those_of_the_earlier_deployment(account: Account, tmp_path: Path) -> None:
    earlier = deployed(account, tmp_path, DeploymentState.SUCCEEDED)
    wanted = new_id()
    done = run("redeploy", earlier.deployment_id, "--id", wanted, "--label", "pr=7", storage=account.connection)
    assert done.returncode == 0, done.stdout + done.stderr
    assert account.accept(account.take(wanted)).labels == {"pr": "7"}


def test_redeploy_without_an_id_generates_one(account: Account, tmp_path: Path) -> None:
    earlier = deployed(account, tmp_path, DeploymentState.SUCCEEDED)
    done = run("redeploy", earlier.deployment_id, "--json", storage=account.connection)
    sent = events(done)[0]
    assert sent["redeployed"] == earlier.deployment_id
    assert sent["deployment_id"] not in ("", earlier.deployment_id)
    assert account.accept(account.take(sent["deployment_id"])).manifest_hash == earlier.manifest_hash


def test_redeploy_is_refused_without_an_ended_deployment_of_a_manifest(account: Account, tmp_path: Path) -> None:
    """The exit code is 2, with the reason: it runs, it was rejected, a script started it, its manifest is gone, or the
    id is the same."""
    running = deployed(account, tmp_path, DeploymentState.RUNNING)
    gone = deployed(account, tmp_path, DeploymentState.SUCCEEDED, is_kept=False).replace(manifest_hash="0" * 64)
    gone = account.deployment(manifest_hash=gone.manifest_hash)
    rejected = account.deployment(DeploymentState.REJECTED)
    scripted = account.deployment(origin=Origin.SCRIPT)
    ended = account.deployment()
    for arguments, reason in (
        ((running.deployment_id,), "only an ended deployment can be sent again"),
        ((gone.deployment_id,), "is no longer stored"),
        ((rejected.deployment_id,), "was rejected"),
        ((scripted.deployment_id,), "started by a script"),
        ((ended.deployment_id, "--id", ended.deployment_id), "give another id"),
        ((ended.deployment_id, "--id", "not an id"), "--id"),
        ((new_id(),), ""),
    ):
        done = run("redeploy", *arguments, storage=account.connection)
        assert done.returncode == 2, done.stdout
        assert reason in done.stdout
        assert "submitted" not in done.stdout
