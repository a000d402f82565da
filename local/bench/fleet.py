"""Deploy a fleet: as `submit --matrix` does, many workspaces of some items each, on TOPOLOGY=flex under one quota."""

import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local.bench.measure import Bench, heading, row
from local.client import fetch
from shared.cli.fleet import pause
from shared.domain.json import JsonObject
from shared.domain.labels import with_labels
from shared.domain.records import DeploymentRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState
from shared.saga.submission.envelope import envelope

_QUIET_SECONDS = 900.0
WORKSPACE = "${{ steps.workspace.outputs.id }}"


def manifest(name: str, items: int) -> JsonObject:
    """Return the manifest of one workspace with that many notebooks, each with a definition."""
    part = {"path": "notebook-content.py", "text": "# Fabric notebook source\nprint(1)\n"}
    steps: list[JsonObject] = [{"id": "workspace", "kind": "workspace", "with": {"displayName": name}}]
    for i in range(items):
        spec = {"workspaceId": WORKSPACE, "type": "Notebook", "displayName": f"n{i}", "definition": {"parts": [part]}}
        steps.append({"id": f"n{i}", "kind": "item", "with": spec})
    return {"name": name, "steps": steps}


def run(bench: Bench, workspaces: int, items: int) -> None:
    """Submit them all, wait until all have ended, and print the figures."""
    heading(f"fleet of {workspaces} workspaces with {items} items each")
    label = {"matrix": f"bench-{workspaces}-{items}"}
    first = len(fetch(f"{bench.stack.fabric_url}/_sim/calls"))
    began = time.time()
    for n in range(workspaces):
        name = f"fleet-{workspaces}-{n:03d}"
        content = with_labels(manifest(name, items), label)
        bench.storage.submit(envelope(bench.storage.blobs, name, {"manifest": content}, "bench"))
    row("submitted", f"{time.time() - began:.1f} s")
    headers, calls, peak = _followed(bench, label, workspaces, first)
    _print(headers, began, calls, peak)


def _followed(
    bench: Bench, label: Mapping[str, str], wanted: int, first: int
) -> tuple[list[DeploymentRecord], list[dict[str, Any]], int]:
    """Return the headers when all have ended, the calls to Fabric from the number `first` on, and the most memory that
    all hosts had together, in MiB.

    Raises AssertionError if for 15 minutes none ends and none calls Fabric: deployments that share a quota fairly end
    late, and close together."""
    calls, ended, peak, changed = list[dict[str, Any]](), -1, 0, time.monotonic()
    while True:
        peak = max(peak, _resident(bench))
        headers = bench.storage.journal.page(wanted, labels=label)
        done = sum(header.state in DEPLOYMENT_ENDED for header in headers)
        new: list[dict[str, Any]] = fetch(f"{bench.stack.fabric_url}/_sim/calls?after={first + len(calls)}")
        calls += new
        if done == wanted:
            return headers, calls, peak
        if done != ended or new:
            ended, changed = done, time.monotonic()
        if time.monotonic() - changed > _QUIET_SECONDS:
            raise AssertionError(f"{done} of {wanted} have ended, and nothing happened in {_QUIET_SECONDS:g} s")
        time.sleep(pause(wanted - done))


def _print(headers: Sequence[DeploymentRecord], began: float, calls: Sequence[dict[str, Any]], peak: int) -> None:
    ends = sorted(h.finished_at.timestamp() - began for h in headers if h.finished_at is not None)
    starts = [(h.started_at - h.accepted_at).total_seconds() for h in headers if h.started_at is not None]
    seconds = ends[-1]
    succeeded = sum(h.state is DeploymentState.SUCCEEDED for h in headers)
    gaps = [after - before for before, after in itertools.pairwise(ends)]
    row("ended, of them succeeded", f"{len(ends)}, {succeeded}", f"in {seconds:.0f} s")
    row("deployments a minute", f"{60 * len(ends) / seconds:.1f}")
    row("calls to Fabric", f"{len(calls)}", f"{60 * len(calls) / seconds:.0f} a minute")
    row("calls refused (429)", f"{sum(call['status'] == 429 for call in calls)}")
    row("longest wait for the target", f"{max(starts):.1f} s")
    row(
        "from submission to the end: first, median, last",
        f"{ends[0]:.0f} s",
        f"{ends[len(ends) // 2]:.0f} s, {seconds:.0f} s",
    )
    row("longest time in which none ended", f"{max(gaps, default=0.0):.1f} s")
    row("most memory of all hosts together", f"{peak} MiB")


def _resident(bench: Bench) -> int:
    """Return the resident memory of the stack's functions hosts, in MiB; 0 where /proc does not exist."""
    total = 0
    for part in bench.stack.hosts:
        pid = bench.stack.pids.get(part)
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return total // 1024
