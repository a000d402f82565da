"""Deploy a repository of notebooks with this engine and with fabric-cicd, on the same simulator: seconds and calls."""

import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local.bench.measure import Bench, heading, row
from local.client import fetch
from local.paths import ROOT
from shared.cli.pack import packed
from shared.cli.stored import StoredFiles

COUNT, CHANGED = 200, 3
_PEERS = ROOT / ".local" / "peers-1.4.0-1.8.0" / "bin" / "python"
_PUBLISH = ROOT / "tests" / "peers" / "inside" / "publish.py"
"""fabric-cicd, unmodified, in an environment of its own (`python -m tests.peers.environment` installs it)."""


def run(bench: Bench, quota: int, count: int = COUNT) -> None:
    """Measure with a quota of so many calls a minute; 0 is none."""
    heading(f"{count} notebooks of a repository, {quota or 'no'} calls a minute allowed")
    _control(bench, "settings", {"quota_per_minute": quota})
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        _write(root / "repository", count)
        ours = _ours(bench, root, f"repository-{quota}-1")
        _report("this engine: all new", ours, count)
        _change(root / "repository", CHANGED)
        again = _ours(bench, root, f"repository-{quota}-2")
        _report(f"this engine: {CHANGED} of {count} changed", again, count)
        if not (_PEERS.exists() and _PUBLISH.exists()):
            row("fabric-cicd 1.4.0", "-", "not installed: python -m tests.peers.environment")
            return
        theirs = _theirs(bench, root, f"peer-{quota}")
        _report("fabric-cicd 1.4.0: all new", theirs, count)
        _change(root / "repository", 0)
        theirs_again = _theirs(bench, root, f"peer-{quota}")
        _report(f"fabric-cicd 1.4.0: {CHANGED} of {count} changed", theirs_again, count)
        row("fabric-cicd / this engine, all new", f"{theirs[0] / ours[0]:.1f} x")
        row(f"fabric-cicd / this engine, {CHANGED} changed", f"{theirs_again[0] / again[0]:.1f} x")


def _report(label: str, measured: tuple[float, Sequence[Any]], count: int) -> None:
    seconds, calls = measured
    kinds = Counter(_kind(call) for call in calls)
    note = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(6))
    row(label, f"{seconds:.1f} s", f"{len(calls) / count:.2f} calls an item: {note}")


def _kind(call: Any) -> str:
    if call["status"] == 429:
        return "refused (429)"
    parts = [part if len(part) < 30 else "*" for part in call["path"].split("/")[2:]]
    return f"{call['method']} {'/'.join(parts[-2:])}"


def _write(root: Path, count: int) -> None:
    for number in range(count):
        folder = root / f"Load {number:04d}.Notebook"
        folder.mkdir(parents=True)
        platform = {
            "metadata": {"type": "Notebook", "displayName": f"Load {number:04d}"},
            "config": {"version": "2.0", "logicalId": f"{number + 1:08d}-0000-4000-8000-000000000000"},
        }
        (folder / ".platform").write_text(json.dumps(platform))
        (folder / "notebook-content.py").write_text(f"# Fabric notebook source\nprint({number})\n")


def _change(root: Path, count: int) -> None:
    for folder in sorted(root.iterdir())[:count]:
        with (folder / "notebook-content.py").open("a") as file:
            file.write(f"print({time.time()})\n")


def _ours(bench: Bench, root: Path, deployment_id: str) -> tuple[float, Sequence[Any]]:
    workspace = deployment_id.rpartition("-")[0]
    spec = {"workspaceId": "${{ steps.workspace.outputs.id }}", "path": "repository", "parameters": "none"}
    manifest: Any = {
        "name": workspace,
        "target": workspace,
        "steps": [
            {"id": "workspace", "kind": "workspace", "with": {"displayName": workspace}},
            {"id": "content", "kind": "repository", "with": spec},
        ],
    }
    first, began, stored = len(_calls(bench)), time.monotonic(), StoredFiles()
    manifest = packed(manifest, root, stored=stored)
    stored.send(bench.storage.blobs)
    bench.deploy((deployment_id, manifest))
    return time.monotonic() - began, _calls(bench)[first:]


def _theirs(bench: Bench, root: Path, workspace: str) -> tuple[float, Sequence[Any]]:
    stack = bench.stack
    state = fetch(f"{stack.fabric_url}/_sim/state")
    known = [each["id"] for each in state["workspaces"] if each["displayName"] == workspace]
    if not known:
        role = {"id": "5a6a0000-1111-4000-8000-000000000001", "type": "User", "role": "Admin"}
        capacity = state["capacities"][0]["id"]
        row_ = {"displayName": workspace, "roleAssignments": [role], "capacityId": capacity}
        made = _control(bench, "seed", {"workspaces": [row_]})
        known = [made["workspaces"][0]["id"]]
    ports = {
        "SIMULATOR_PORT": str(stack.fabric_url.rpartition(":")[2]),
        "SIMULATOR_OPERATIONS_PORT": str(stack.ports["operations"]),
    }
    first, began = len(_calls(bench)), time.monotonic()
    command = [str(_PEERS), str(_PUBLISH), "publish", known[0], str(root / "repository"), "Notebook"]
    # Its own waits, which are those of a user: the override of its tests would skip them.
    environment = {**os.environ, **ports, "FABRIC_CICD_RETRY_DELAY_OVERRIDE_SECONDS": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=_PUBLISH.parent, check=False)
    assert done.returncode == 0, done.stderr[-2000:]  # noqa: S101 - a failure would be measured otherwise
    return time.monotonic() - began, _calls(bench)[first:]


def _control(bench: Bench, path: str, body: Any) -> Any:
    return fetch(f"{bench.stack.fabric_url}/_sim/{path}", json.dumps(body).encode())


def _calls(bench: Bench) -> list[Any]:
    return fetch(f"{bench.stack.fabric_url}/_sim/calls")
