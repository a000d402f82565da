"""Compare one host with a host for each group of functions (TOPOLOGY=flex), at Fabric's recorded durations."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local.bench.critical_path import backward_seconds, forward_seconds
from local.bench.engine import plan
from local.bench.measure import Bench, heading, row, spread
from local.bench.medallion import named
from local.client import fetch
from local.fabric_simulator.routes import buckets
from local.paths import ROOT
from shared.cli.pack import packed
from shared.domain.states import DeploymentState
from shared.domain.text import parse

LIMIT = 1.25
_MANY = 50
_IDLE = "medallion from idle"


@dataclass
class _Found:
    """The wall seconds and the critical paths of one kind of run, by topology."""

    walls: dict[str, list[float]] = field(default_factory=lambda: dict[str, list[float]]())
    paths: dict[str, list[float]] = field(default_factory=lambda: dict[str, list[float]]())

    def add(self, topology: str, wall: float, path: float) -> None:
        self.walls.setdefault(topology, []).append(wall)
        self.paths.setdefault(topology, []).append(path)

    def ratio(self, topology: str) -> float:
        pairs = zip(self.walls[topology], self.paths[topology], strict=True)
        return statistics.median(wall / path for wall, path in pairs)


def run(open_stack: Callable[[str, Callable[[Bench], None]], None], topologies: tuple[str, ...], rounds: int) -> None:
    """Run medallion, failing and fifty deployments on a stack of each topology, and print the ratios side by side."""
    found: dict[str, _Found] = {name: _Found() for name in (_IDLE, "medallion", "failing", f"{_MANY} at once")}
    for topology in topologies:
        open_stack(topology, lambda bench, topology=topology: _measure(bench, topology, rounds, found))
    for name, each in found.items():
        heading(f"{name}: wall / critical path (median of {rounds})")
        for topology in topologies:
            wall, path = statistics.median(each.walls[topology]), statistics.median(each.paths[topology])
            row(f"{topology}: wall, critical path", f"{wall:.2f} s", f"{path:.2f} s; {spread(each.walls[topology])}")
            row(f"{topology}: ratio", f"{each.ratio(topology):.2f}", f"wanted at most {LIMIT}")


def _measure(bench: Bench, topology: str, rounds: int, found: dict[str, _Found]) -> None:
    trip = bench.round_trip_seconds()
    for i in range(rounds):
        if i == 0:
            # The first deployment finds hosts that have built nothing yet, as instances that came up for it.
            _example(bench, f"idle-{topology}", "medallion", trip, found[_IDLE], topology)
        _example(bench, f"medallion-{topology}-{i}", "medallion", trip, found["medallion"], topology)
        _example(bench, f"failing-{topology}-{i}", "failing", trip, found["failing"], topology)
        _many(bench, f"many-{topology}-{i}", trip, found[f"{_MANY} at once"], topology)


def _example(bench: Bench, name: str, example: str, trip: float, found: _Found, topology: str) -> None:
    file = ROOT / "examples" / f"{example}.yaml"
    manifest = named(packed(parse(file.read_text()), file.parent), name)
    is_failing = example == "failing"
    end = DeploymentState.COMPENSATED if is_failing else DeploymentState.SUCCEEDED
    simulator = f"{bench.stack.fabric_url}/_sim"
    first = len(fetch(f"{simulator}/calls"))
    done = bench.deploy((name, manifest), expected=end)
    calls: list[dict[str, Any]] = fetch(f"{simulator}/calls?after={first}")
    steps, state = bench.storage.journal.steps(name), fetch(f"{simulator}/state")
    refused = next((n for n, call in enumerate(calls) if call["status"] >= 400), len(calls) - 1) + 1
    path = forward_seconds(steps, calls[:refused], state, trip)
    path += backward_seconds(steps, calls[refused:], trip) if is_failing else 0.0
    found.add(topology, done.wall_seconds, path)


def _many(bench: Bench, prefix: str, trip: float, found: _Found, topology: str) -> None:
    names = [f"{prefix}-{n}" for n in range(_MANY)]
    simulator = f"{bench.stack.fabric_url}/_sim"
    first = len(fetch(f"{simulator}/calls"))
    done = bench.deploy(*((name, plan(name, 4)) for name in names))
    calls, state = fetch(f"{simulator}/calls?after={first}"), fetch(f"{simulator}/state")
    paths = [forward_seconds(bench.storage.journal.steps(name), calls, state, trip) for name in names]
    found.add(topology, done.wall_seconds, max(*paths, _quota_seconds(bench, calls)))


def _quota_seconds(bench: Bench, calls: list[dict[str, Any]]) -> float:
    """Return the time before which Fabric's quota for an identity does not allow the last of these calls."""
    quota: int = fetch(f"{bench.stack.fabric_url}/_sim/settings")["quota_per_minute"]
    counted = sum("platform" in buckets(call["method"], call["path"]) for call in calls)
    return 60.0 * ((counted - 1) // quota) if quota else 0.0
