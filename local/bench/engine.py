"""Measure what the engine itself costs, with a simulator that answers at once."""

import statistics
import time
from pathlib import Path
from typing import Any

from local.bench.measure import Bench, heading, row, spread
from local.client import fetch
from local.stack import Stack

_WORKSPACE = {"id": "ws", "kind": "workspace"}
_REFERENCE = "${{ steps.ws.outputs.id }}"


def plan(name: str, lakehouses: int, *, chained: bool = False) -> dict[str, Any]:
    """Return a manifest with a workspace and this number of lakehouses, in parallel or one after the other."""
    steps: list[dict[str, Any]] = [{**_WORKSPACE, "with": {"displayName": name}}]
    for i in range(lakehouses):
        spec = {"workspaceId": _REFERENCE, "displayName": f"lake_{i}"}
        needs = [f"lake_{i - 1}"] if chained and i else []
        steps.append({"id": f"lake_{i}", "kind": "lakehouse", "needs": needs, "with": spec})
    return {"name": name, "target": name, "steps": steps}


def overhead(bench: Bench, yardstick: Stack, rounds: int) -> None:
    """Compare a chain of steps with a chain of activities that do nothing, on the same host program."""
    length = 19
    own = [bench.deploy((f"chain-{i}", plan(f"chain-{i}", length, chained=True))) for i in range(rounds)]
    steps = [run.wall_seconds / (length + 1) * 1000 for run in own]
    bare = [_bare_chain(yardstick, length + 1) / (length + 1) * 1000 for _ in range(rounds)]
    heading(f"steps one after the other, Fabric answers at once (median of {rounds})")
    row("one step (journaled, claimed, verified)", f"{statistics.median(steps):.0f} ms", spread(steps, "ms", 0))
    row("one durable activity that does nothing", f"{statistics.median(bare):.1f} ms", spread(bare, "ms", 1))
    row("difference per step", f"{statistics.median(steps) - statistics.median(bare):.0f} ms")


def _bare_chain(yardstick: Stack, length: int) -> float:
    key = {"x-functions-key": yardstick.function_key}
    master = {"x-functions-key": yardstick.master_key}
    began = time.monotonic()
    instance = fetch(f"{yardstick.functions_url}/api/start/{length}", b"", key)
    while True:
        state = fetch(f"{yardstick.functions_url}/runtime/webhooks/durabletask/instances/{instance}", None, master)
        if state["runtimeStatus"] == "Completed":
            return time.monotonic() - began
        time.sleep(0.005)


def throughput(bench: Bench, rounds: int) -> None:
    """Measure fifty deployments of five steps, submitted together."""
    rates: list[float] = []
    for i in range(rounds):
        names = [f"many-{i}-{n}" for n in range(50)]
        done = bench.deploy(*((name, plan(name, 4)) for name in names))
        rates.append(len(names) / done.wall_seconds)
    heading(f"50 deployments of 5 steps, submitted together (median of {rounds})")
    row("deployments per second", f"{statistics.median(rates):.2f}", spread(rates, "/s"))


def size(bench: Bench, rounds: int) -> None:
    """Compare the CPU time per step of a long and a short deployment, and count the storage requests per step."""
    cpu: dict[int, list[float]] = {30: [], 300: []}
    walls: dict[int, list[float]] = {30: [], 300: []}
    requests: list[float] = []
    log = bench.stack.folder / "azurite" / "azurite.log"
    for i in range(rounds):
        for steps, found in cpu.items():
            # The idle host uses CPU too (polling), and more in a longer run; it is measured and subtracted.
            idle = _idle_cpu_a_second(bench)
            name = f"size-{steps}-{i}"
            before = _requests(log)
            done = bench.deploy((name, plan(name, steps - 1)))
            found.append(1000 * (done.used.cpu_seconds - idle * done.wall_seconds) / steps)
            walls[steps].append(done.wall_seconds)
            if steps == 300:
                requests.append((_requests(log) - before) / steps)
    heading(f"a deployment of 300 steps compared with one of 30 (median of {rounds})")
    for steps, found in cpu.items():
        took = f"{statistics.median(walls[steps]):.1f} s in total"
        row(f"CPU per step, {steps} steps", f"{statistics.median(found):.1f} ms", took)
    ratio = statistics.median(cpu[300]) / statistics.median(cpu[30])
    row("ratio", f"{ratio:.2f}", "limit 1.5")
    row("storage requests per step, without idle polling", f"{statistics.median(requests):.1f}")


def _idle_cpu_a_second(bench: Bench) -> float:
    time.sleep(1.0)
    before = bench.used().cpu_seconds
    time.sleep(3.0)
    return (bench.used().cpu_seconds - before) / 3.0


def _requests(log: Path) -> int:
    """Count the requests in Azurite's access log, except for the host's polls of its queues."""
    time.sleep(0.5)
    with log.open(errors="replace") as lines:
        return sum(1 for line in lines if "HTTP/1.1" in line and not ("GET " in line and "/messages?" in line))
