"""Deploy a repository of notebooks with this engine and with fabric-cicd, on the same simulator: seconds and calls."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.bench.measure import Bench, heading, row
from local.client import fetch
from local.paths import ROOT
from shared.domain.states import DeploymentState

COUNT, CHANGED = 200, 3
_PEERS = ROOT / ".local" / "peers-1.4.0-1.8.0" / "bin" / "python"
_PUBLISH = ROOT / "tests" / "peers" / "inside" / "publish.py"
"""fabric-cicd, unmodified, in an environment of its own (`python -m tests.peers.environment` installs it)."""
_CAPACITY = "5a6a0000-1111-4000-8000-000000000009"
_PEER = {"id": "5a6a0000-1111-4000-8000-000000000001", "type": "User", "role": "Admin"}


@dataclass(frozen=True)
class Measured:
    """One deployment: wall seconds from the start of the command to the end, calls to Fabric, and the greatest memory
    of the command in MiB."""

    seconds: float
    calls: Sequence[Any]
    command_mib: float = 0.0


def run(bench: Bench, quota: int, count: int = COUNT) -> None:
    """Measure with this quota of calls a minute; 0 means no quota."""
    heading(f"{count} notebooks of a repository, {quota or 'no'} calls a minute allowed")
    _control(bench, "settings", {"quota_per_minute": quota})
    with tempfile.TemporaryDirectory() as name:
        root, target = Path(name), f"repository-{quota}"
        write(root / "repository", count)
        new = ours(bench, root, target, 1)
        _report("this engine: all new", new, count)
        _change(root / "repository", CHANGED)
        again = ours(bench, root, target, 2)
        _report(f"this engine: {CHANGED} of {count} changed", again, count)
        _report("this engine: nothing changed", ours(bench, root, target, 3), count)
        _report("this engine: nothing changed, checked", ours(bench, root, target, 4, unchanged="check"), count)
        if not (_PEERS.exists() and _PUBLISH.exists()):
            row("fabric-cicd 1.4.0", "-", "not installed: python -m tests.peers.environment")
            return
        theirs = _theirs(bench, root, f"peer-{quota}")
        _report("fabric-cicd 1.4.0: all new", theirs, count)
        _change(root / "repository", CHANGED)
        theirs_again = _theirs(bench, root, f"peer-{quota}")
        _report(f"fabric-cicd 1.4.0: {CHANGED} of {count} changed", theirs_again, count)
        wanted = "at least 1.6" if quota else "at least 3"
        row("fabric-cicd / this engine, all new", f"{theirs.seconds / new.seconds:.1f} x", wanted)
        row(
            f"fabric-cicd / this engine, {CHANGED} changed",
            f"{theirs_again.seconds / again.seconds:.1f} x",
            "at least 5",
        )


def write(root: Path, count: int, kib: int = 0) -> None:
    """Write notebooks, each with a file of so many KiB that no other has."""
    for number in range(count):
        folder = root / f"Load {number:04d}.Notebook"
        folder.mkdir(parents=True)
        platform = {
            "metadata": {"type": "Notebook", "displayName": f"Load {number:04d}"},
            "config": {"version": "2.0", "logicalId": f"{number + 1:08d}-0000-4000-8000-000000000000"},
        }
        (folder / ".platform").write_text(json.dumps(platform))
        (folder / "notebook-content.py").write_text(f"# Fabric notebook source\nprint({number})\n")
        if kib:
            line = f"# {number:04d} " + "x" * 1015 + "\n"
            (folder / "Resources" / "builtin").mkdir(parents=True)
            (folder / "Resources" / "builtin" / "data.txt").write_text(line * kib)


def ours(bench: Bench, root: Path, target: str, number: int, *, unchanged: str = "skip") -> Measured:
    """Deploy `root/repository` with the command line, as a user does, and wait for the end."""
    spec = {
        "workspaceId": "${{ steps.workspace.outputs.id }}",
        "path": "repository",
        "parameters": "none",
        "unchanged": unchanged,
    }
    manifest: Any = {
        "name": target,
        "target": target,
        "steps": [
            {"id": "workspace", "kind": "workspace", "with": {"displayName": target}},
            {"id": "content", "kind": "repository", "with": spec},
        ],
    }
    (root / "manifest.json").write_text(json.dumps(manifest))
    first, began, deployment_id = len(_calls(bench)), time.monotonic(), f"{target}-{number}"
    command = [sys.executable, "-m", "shared.cli", "submit", str(root / "manifest.json"), "--id", deployment_id]
    environment = {**os.environ, "AzureWebJobsStorage": bench.stack.connection_string}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command  # noqa: S101 - a failure would be measured otherwise
    header = bench.ended(deployment_id)
    assert header.state is DeploymentState.SUCCEEDED, header  # noqa: S101 - as above
    return Measured(time.monotonic() - began, _calls(bench)[first:], usage.ru_maxrss / 1024)


def _report(label: str, measured: Measured, count: int) -> None:
    kinds = Counter(_kind(call) for call in measured.calls)
    note = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(6))
    row(label, f"{measured.seconds:.1f} s", f"{len(measured.calls) / count:.2f} calls an item: {note}")


def _kind(call: Any) -> str:
    if call["status"] == 429:
        return "refused (429)"
    parts = [part if len(part) < 30 else "*" for part in call["path"].split("/")[2:]]
    return f"{call['method']} {'/'.join(parts[-2:])}"


def _change(root: Path, count: int) -> None:
    for folder in sorted(root.iterdir())[:count]:
        with (folder / "notebook-content.py").open("a") as file:
            file.write(f"print({time.time()})\n")


def _theirs(bench: Bench, root: Path, workspace: str) -> Measured:
    stack = bench.stack
    state = fetch(f"{stack.fabric_url}/_sim/state")
    known = [each["id"] for each in state["workspaces"] if each["displayName"] == workspace]
    if not known:
        seeded = {"displayName": workspace, "roleAssignments": [_PEER], "capacityId": _CAPACITY}
        body = {"capacities": [{"id": _CAPACITY, "displayName": "capacity"}], "workspaces": [seeded]}
        known = [_control(bench, "seed", body)["workspaces"][0]["id"]]
    ports = {
        "SIMULATOR_PORT": str(stack.fabric_url.rpartition(":")[2]),
        "SIMULATOR_OPERATIONS_PORT": str(stack.ports["operations"]),
    }
    first, began = len(_calls(bench)), time.monotonic()
    command = [str(_PEERS), str(_PUBLISH), "publish", known[0], str(root / "repository"), "Notebook"]
    # Its own waits, which are those of a user: the override of its tests would skip them.
    environment = {**os.environ, **ports, "FABRIC_CICD_RETRY_DELAY_OVERRIDE_SECONDS": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, check=False)
    assert done.returncode == 0, done.stderr[-2000:]  # noqa: S101 - a failure would be measured otherwise
    return Measured(time.monotonic() - began, _calls(bench)[first:])


def _control(bench: Bench, path: str, body: Any) -> Any:
    return fetch(f"{bench.stack.fabric_url}/_sim/{path}", json.dumps(body).encode())


def _calls(bench: Bench) -> list[Any]:
    return fetch(f"{bench.stack.fabric_url}/_sim/calls")
