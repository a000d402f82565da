"""`make bench`: all of it, or the sections named (BENCH_ARGS="medallion size"). About fifteen minutes."""

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from local import azurite
from local.bench import breaker, engine, imports, medallion, page, recovery, telemetry
from local.bench.measure import Bench, machine
from local.stack import HOME, Stack

SECTIONS = ("import", "breaker", "telemetry", "medallion", "overhead", "throughput", "size", "page", "recovery")


def main() -> int:
    """Run the sections and print."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("sections", nargs="*", default=[], help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    wanted: list[str] = options.sections or list(SECTIONS)
    unknown = sorted(set(wanted) - set(SECTIONS))
    if unknown:
        parser.error(f"there is no section {unknown[0]!r}; there are: {', '.join(SECTIONS)}")
    print(f"machine: {machine()}")
    azurite.ensure_installed(HOME)
    if "import" in wanted:
        imports.run(9)
    if "breaker" in wanted:
        breaker.run(options.rounds)
    if "telemetry" in wanted:
        telemetry.run()
    if "medallion" in wanted:
        _with(Stack(name="bench-real", profile="realistic"), lambda b: medallion.run(b, options.rounds))
    if "overhead" in wanted:
        yardstick = Stack(name="bench-bare", app=Path(__file__).parent / "activity_app", ready="/admin/host/ping")
        with yardstick:
            _with(Stack(name="bench"), lambda b: engine.overhead(b, yardstick, options.rounds))
        shutil.rmtree(yardstick.folder)
    if "throughput" in wanted:
        _with(Stack(name="bench"), lambda b: engine.throughput(b, options.rounds))
    if "size" in wanted:
        _with(Stack(name="bench", access_log=True), lambda b: engine.size(b, options.rounds))
    if "page" in wanted:
        _with(Stack(name="bench"), lambda b: page.run(b, options.rounds))
    if "recovery" in wanted:
        _with(Stack(name="bench-real", profile="realistic"), lambda b: recovery.run(b, options.rounds))
    return 0


def _with(stack: Stack, use: Callable[[Bench], None]) -> None:
    """A fresh stack for one section, gone afterwards."""
    shutil.rmtree(stack.folder, ignore_errors=True)
    try:
        with stack:
            use(Bench(stack))
    finally:
        shutil.rmtree(stack.folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
