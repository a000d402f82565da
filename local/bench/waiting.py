"""Measure how soon a deployment starts after the one before it has left their target, and what its waiting costs."""

import json
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from local.bench.measure import Bench, heading, row, spread
from shared.domain.approval import waits_for_person
from shared.domain.records import DeploymentRecord
from shared.domain.states import DeploymentState

_IDLE_SECONDS = 30.0
"""How long all deployments wait before the first one is approved: so long that their timers are far."""
_LINE = 4
_PATIENCE_SECONDS = 120.0


def run(bench: Bench, rounds: int) -> None:
    """Let some deployments wait behind one that a person must approve, then approve it: each wakes the next."""
    gaps: list[float] = []
    used: list[float] = []
    for i in range(rounds):
        ids = [f"line-{i}-{n}" for n in range(_LINE)]
        for n, deployment_id in enumerate(ids):
            manifest = _manifest(deployment_id, f"line-{i}", has_gate=n == 0)
            bench.storage.submit(json.dumps({"deployment_id": deployment_id, "manifest": manifest}))
            _wait_until(lambda d=deployment_id, n=n: _waits(bench, d, for_person=n == 0))
        before = bench.used()
        time.sleep(_IDLE_SECONDS)
        used.append(bench.used().since(before).invocations / _LINE)
        approve = {"command": "approve", "deployment_id": ids[0], "step": "gate", "requested_by": "bench"}
        bench.storage.submit(json.dumps(approve))
        ended = [bench.ended(deployment_id) for deployment_id in ids]
        gaps += [_gap(a, b) for a, b in pairwise(ended)]
    heading(f"{_LINE} deployments in line at one target ({rounds} rounds)")
    row("from the end of one to the start of the next", f"{statistics.median(gaps):.2f} s", spread(gaps, "s", 2))
    row(f"invocations for each, in {_IDLE_SECONDS:.0f} s of waiting", f"{statistics.median(used):.1f}")


def _gap(left: DeploymentRecord, following: DeploymentRecord) -> float:
    assert left.finished_at is not None and following.started_at is not None  # noqa: S101, PT018 - both have ended
    return (following.started_at - left.finished_at).total_seconds()


def _manifest(name: str, target: str, *, has_gate: bool) -> dict[str, Any]:
    workspace: dict[str, Any] = {"id": "ws", "kind": "workspace", "with": {"displayName": target}}
    gate = {"id": "gate", "kind": "approval", "with": {"message": "Continue?"}}
    steps = [gate, {**workspace, "needs": ["gate"]}] if has_gate else [workspace]
    return {"name": name, "target": target, "steps": steps}


def _waits(bench: Bench, deployment_id: str, *, for_person: bool) -> bool:
    if for_person:
        return any(waits_for_person(row.record) for row in bench.storage.journal.steps(deployment_id))
    record = next(r for r in bench.storage.journal.page(1) if r.deployment_id)
    return record.deployment_id == deployment_id and record.state is DeploymentState.ACCEPTED


def _wait_until(is_true: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not is_true():
        if time.monotonic() > until:
            raise TimeoutError(f"nothing happened in {_PATIENCE_SECONDS:g} s")
        time.sleep(0.2)
