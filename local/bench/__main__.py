"""`make bench`: run all benchmarks, or some sections (BENCH_ARGS="medallion size"). All take about half an hour."""

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from local import azurite
from local.bench import (
    breaker,
    engine,
    fleet,
    imports,
    medallion,
    page,
    rate,
    recovery,
    repository,
    repository_size,
    telemetry,
    topology,
    waiting,
)
from local.bench.measure import Bench, machine
from local.paths import HOME
from local.stack import Stack
from local.stack.description import FLEX, TOPOLOGIES


def _overhead(rounds: int) -> None:
    baseline = Stack(name="bench-bare", app=Path(__file__).parent / "activity_app", ready="/admin/host/ping")
    with baseline:
        _with(Stack(name="bench"), lambda b: engine.overhead(b, baseline, rounds))
    shutil.rmtree(baseline.folder)


def _real() -> Stack:
    return Stack(name="bench-real", profile="realistic")


def _topology(rounds: int) -> None:
    def open_stack(name: str, use: Callable[[Bench], None]) -> None:
        _with(Stack(name=f"bench-{name}", profile="realistic", topology=name), use)

    topology.run(open_stack, TOPOLOGIES, rounds)


def _repository(rounds: int) -> None:
    def use(bench: Bench) -> None:
        for quota in (200, 0):
            repository.run(bench, quota)

    _with(_real(), use)


def _fleet(workspaces: int, items: int) -> None:
    stack = Stack(name="bench-fleet", profile="realistic", topology=FLEX)
    _with(stack, lambda b: fleet.run(b, workspaces, items))


SECTIONS: dict[str, Callable[[int], None]] = {
    "import": lambda rounds: imports.run(9),
    "breaker": breaker.run,
    "rate": lambda rounds: rate.run(),
    "telemetry": lambda rounds: telemetry.run(),
    "medallion": lambda rounds: _with(_real(), lambda b: medallion.run(b, rounds)),
    "topology": _topology,
    "repository": _repository,
    "repository-1000": lambda rounds: _with(_real(), repository_size.run),
    "overhead": _overhead,
    "throughput": lambda rounds: _with(Stack(name="bench"), lambda b: engine.throughput(b, rounds)),
    "size": lambda rounds: _with(Stack(name="bench", access_log=True), lambda b: engine.size(b, rounds)),
    "page": lambda rounds: _with(Stack(name="bench"), lambda b: page.run(b, rounds)),
    "waiting": lambda rounds: _with(Stack(name="bench"), lambda b: waiting.run(b, rounds)),
    "fleet": lambda rounds: _fleet(20, 5),
    "fleet-500": lambda rounds: _fleet(500, 10),
    "recovery": lambda rounds: _with(_real(), lambda b: recovery.run(b, rounds)),
}
"""Each section's function of the number of rounds, in the order in which they run."""
_ON_REQUEST = {"fleet-500", "repository-1000"}
"""Sections that run only if they are named: the first has 5,500 steps under Fabric's quota and takes about an hour, the
second has 1,100 items of 330 MiB and takes about ten minutes."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("sections", nargs="*", default=[], help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each measurement")
    options = parser.parse_args()
    wanted: list[str] = options.sections or [name for name in SECTIONS if name not in _ON_REQUEST]
    unknown = sorted(set(wanted) - SECTIONS.keys())
    if unknown:
        parser.error(f"unknown section {unknown[0]!r}; the sections are: {', '.join(SECTIONS)}")
    print(f"machine: {machine()}")
    azurite.ensure_installed(HOME)
    for name, section in SECTIONS.items():
        if name in wanted:
            section(options.rounds)
    return 0


def _with(stack: Stack, use: Callable[[Bench], None]) -> None:
    """Run a section on a new stack, and delete the stack afterwards."""
    shutil.rmtree(stack.folder, ignore_errors=True)
    try:
        with stack:
            use(Bench(stack))
    finally:
        shutil.rmtree(stack.folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
