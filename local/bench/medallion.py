"""Compare the medallion deployment, at Fabric's recorded durations, with the time that Fabric alone would take."""

import statistics
from dataclasses import dataclass, field
from typing import Any

from local.bench import sequential
from local.bench.critical_path import forward_seconds
from local.bench.measure import Bench, heading, row, spread
from local.client import fetch
from local.paths import ROOT
from shared.cli.pack import packed
from shared.domain.text import parse

EXAMPLE = ROOT / "examples" / "medallion.yaml"


@dataclass
class _Seconds:
    """The seconds measured in each round."""

    walls: list[float] = field(default_factory=list[float])
    paths: list[float] = field(default_factory=list[float])
    busy: list[float] = field(default_factory=list[float])
    busy_without_fabric: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])
    script_without_waits: list[float] = field(default_factory=list[float])
    script_with_waits: list[float] = field(default_factory=list[float])


def run(bench: Bench, rounds: int) -> None:
    """Run deployments and sequential scripts in turn on the same simulator, and print."""
    manifest = packed(parse(EXAMPLE.read_text()), EXAMPLE.parent)
    trip = bench.round_trip_seconds()
    found = _Seconds()
    for i in range(rounds):
        name = f"bench-{i}"
        manifest = named(manifest, name)
        _measure(bench, name, manifest, trip, found)
        principals = _principals(bench, name)
        for waits, seconds in ((False, found.script_without_waits), (True, found.script_with_waits)):
            script = f"{name}-script-{waits}"
            seconds.append(sequential.deploy(bench.stack.fabric_url, script, principals, waits=waits))
    _print(found, rounds)


def _measure(bench: Bench, name: str, manifest: Any, trip: float, found: _Seconds) -> None:
    simulator = f"{bench.stack.fabric_url}/_sim"
    first = len(fetch(f"{simulator}/calls"))
    done = bench.deploy((name, manifest))
    calls = fetch(f"{simulator}/calls?after={first}")
    steps = bench.storage.journal.steps(name)
    found.walls.append(done.wall_seconds)
    found.paths.append(forward_seconds(steps, calls, fetch(f"{simulator}/state"), trip))
    found.busy.append(done.used.busy_seconds)
    found.busy_without_fabric.append(done.used.busy_seconds - sum(c["seconds"] for c in calls))
    found.cpu.append(done.used.cpu_seconds)


def _principals(bench: Bench, name: str) -> list[dict[str, str]]:
    """Return the role assignments of a deployment, which the sequential script repeats."""
    steps = [step.record for step in bench.storage.journal.steps(name) if step.record.kind == "role_assignment"]
    return [{"id": s.spec["principalId"], "type": s.spec["principalType"], "role": s.spec["role"]} for s in steps]


def _print(found: _Seconds, rounds: int) -> None:
    wall, path = statistics.median(found.walls), statistics.median(found.paths)
    heading(f"medallion deployment at Fabric's recorded durations (median of {rounds})")
    row("this engine, submission to end", f"{wall:.2f} s", spread(found.walls))
    row("critical path: Fabric's own time + one round trip per call", f"{path:.2f} s", spread(found.paths))
    ratios = [w / p for w, p in zip(found.walls, found.paths, strict=True)]
    row("ratio", f"{statistics.median(ratios):.2f}", "at most 1.08 wanted")
    with_waits, without = statistics.median(found.script_with_waits), statistics.median(found.script_without_waits)
    row("sequential script, fixed waits (10 s, 5 s)", f"{with_waits:.2f} s", spread(found.script_with_waits))
    row("sequential script, no waits", f"{without:.2f} s", spread(found.script_without_waits))
    row("script with waits / this engine", f"{with_waits / wall:.2f} x")
    row("script without waits / this engine", f"{without / wall:.2f} x")
    note = "includes waiting for Fabric, on several threads at once"
    row("worker: seconds inside invocations / wall time", f"{statistics.median(found.busy) / wall:.2f}", note)
    own = statistics.median(found.busy_without_fabric) / wall
    row("worker: the same without waiting for Fabric / wall time", f"{own:.2f}", "storage and own code")
    cpu = statistics.median(found.cpu) / wall
    row("host: CPU seconds / wall time", f"{cpu:.2f}", "functions, queues and durable engine")


def named(manifest: Any, name: str) -> Any:
    """Return the manifest with a workspace and a target of this name."""
    steps = [dict(step) for step in manifest["steps"]]
    steps[0]["with"] = {**steps[0]["with"], "displayName": name}
    return {**manifest, "target": name, "steps": steps}
