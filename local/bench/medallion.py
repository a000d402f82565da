"""The medallion deployment against Fabric's recorded durations: how near to what Fabric alone would take."""

import statistics
from collections import defaultdict
from typing import Any

from local.bench import sequential
from local.bench.measure import Bench, fetch, heading, row, spread
from local.stack import ROOT
from shared.cli.pack import packed
from shared.domain.ports import Versioned
from shared.domain.records import StepRecord
from shared.domain.text import parse

EXAMPLE = ROOT / "examples" / "medallion.yaml"


def run(bench: Bench, rounds: int) -> None:
    """Deployments and scripts by turns, on the same simulator."""
    manifest = packed(parse(EXAMPLE.read_text()), EXAMPLE.parent)
    trip = bench.round_trip_seconds()
    walls, paths, busy, own, cpu = (list[float]() for _ in range(5))
    plain, waiting = list[float](), list[float]()
    for i in range(rounds):
        name = f"bench-{i}"
        manifest = _named(manifest, name)
        first = len(fetch(f"{bench.stack.fabric_url}/_sim/calls"))
        done = bench.deploy((name, manifest))
        calls = fetch(f"{bench.stack.fabric_url}/_sim/calls?after={first}")
        steps = bench.storage.journal.steps(name)
        walls.append(done.wall_seconds)
        paths.append(critical_path_seconds(steps, calls, fetch(f"{bench.stack.fabric_url}/_sim/state"), trip))
        busy.append(done.used.busy_seconds)
        own.append(done.used.busy_seconds - sum(c["seconds"] for c in calls))
        cpu.append(done.used.cpu_seconds)
        principals = [
            {"id": s.record.spec["principalId"], "type": s.record.spec["principalType"], "role": s.record.spec["role"]}
            for s in steps
            if s.record.kind == "role_assignment"
        ]
        for waits, seconds in ((False, plain), (True, waiting)):
            script = f"{name}-script-{waits}"
            seconds.append(sequential.deploy(bench.stack.fabric_url, script, principals, waits=waits))
    wall, path = statistics.median(walls), statistics.median(paths)
    heading(f"medallion deployment, Fabric's recorded durations (median of {rounds})")
    row("this engine, submission to end", f"{wall:.2f} s", spread(walls))
    row("critical path: Fabric's own time + a round trip a call", f"{path:.2f} s", spread(paths))
    ratios = [w / p for w, p in zip(walls, paths, strict=True)]
    row("ratio", f"{statistics.median(ratios):.2f}", "at most 1.25 wanted, 1.10 the goal")
    row("sequential script, fixed waits (10 s, 5 s)", f"{statistics.median(waiting):.2f} s", spread(waiting))
    row("sequential script, no waits", f"{statistics.median(plain):.2f} s", spread(plain))
    row("script with waits / this engine", f"{statistics.median(waiting) / wall:.2f} x")
    row("script without waits / this engine", f"{statistics.median(plain) / wall:.2f} x")
    note = "of which Fabric's synchronous answers are waited for, on several threads at once"
    row("worker: seconds inside invocations / wall", f"{statistics.median(busy) / wall:.2f}", note)
    row(
        "worker: the same without waiting for Fabric / wall",
        f"{statistics.median(own) / wall:.2f}",
        "storage, own code",
    )
    row("host: CPU seconds / wall", f"{statistics.median(cpu) / wall:.2f}", "functions, queues and durable engine")


def _named(manifest: Any, name: str) -> Any:
    steps = [dict(step) for step in manifest["steps"]]
    steps[0]["with"] = {**steps[0]["with"], "displayName": name}
    return {**manifest, "target": name, "steps": steps}


def critical_path_seconds(
    steps: list[Versioned[StepRecord]], calls: list[dict[str, Any]], state: dict[str, Any], trip: float
) -> float:
    """The longest chain of dependent steps, each with the server time of the calls that it cannot do without.

    Those are: the look, the create (for an asynchronous one, its operation), and the read that verifies; for a SQL
    endpoint that is waited for, the time until it is there counts in place of the create. Looks of sibling steps
    at one list cannot be told apart, so each counts as their mean.
    """
    created = {c["names"]: c for c in calls if c["method"] == "POST" and c["names"]}
    reads = defaultdict[str, list[float]](list)
    for call in calls:
        if call["method"] == "GET":
            reads[call["path"]].append(call["seconds"])
    endpoints = {i["id"]: i["endpointSeconds"] or 0.0 for w in state["workspaces"] for i in w["items"]}
    ends: dict[int, float] = {}
    for step in (s.record for s in steps):
        assert step.resource is not None  # noqa: S101 - it succeeded
        create = created[step.resource.id]
        work = create["seconds"]
        if step.spec.get("waitForSqlEndpoint"):
            work = max(work, endpoints[step.resource.id])
        looks = reads[create["path"]] or reads[create["path"].replace("/lakehouses", "/items")]
        verifies = [s for path, found in reads.items() if path.endswith(step.resource.id) for s in found]
        own = work + statistics.mean(looks) + verifies[-1] + 3 * trip
        ends[step.ordinal] = own + max((ends[n] for n in step.needs), default=0.0)
    return max(ends.values())
