"""Run the schedules of N seeds on all cores: `make simulate N=10000 SEED=1`. Print what happened in them, and every
violation."""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator

from shared.domain.transitions import DEPLOYMENT_TRANSITIONS, STEP_TRANSITIONS
from tests.simulation.schedules import Move, Report, attempt

_CHUNK = 20
_SHOWN = 20


def main() -> int:
    """Run the schedules, print the report, and exit with 1 if a law was violated."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--n", type=int, default=int(os.environ.get("N") or 1000))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or int(time.time())))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    print(f"{options.n} schedules from seed {options.seed}, {options.jobs} processes", flush=True)
    began = time.monotonic()
    occurred, ended, moves, broken = Counter[str](), Counter[str](), Counter[Move](), list[Report]()
    for i, report in enumerate(_reports(options.seed, options.n, options.jobs), start=1):
        occurred += report.occurred
        ended += report.ended
        moves += report.moves
        if report.violations:
            broken.append(report)
            if len(broken) <= _SHOWN:
                print(f"seed {report.seed}: {'; '.join(report.violations[:3])}", flush=True)
        if i % 1000 == 0:
            print(f"  {i} done, {i / (time.monotonic() - began):.1f} a second", flush=True)
        if options.n == 1:
            print(f"trace:      {report.trace}")
    took = time.monotonic() - began
    print(f"{options.n} schedules in {took:.0f} s: {options.n / took:.1f} a second")
    print("occurred:    " + ", ".join(f"{name} {count}" for name, count in occurred.most_common()))
    print("ended:      " + ", ".join(f"{name} {count}" for name, count in ended.most_common()))
    for owner, table in (("deployment", DEPLOYMENT_TRANSITIONS), ("step", STEP_TRANSITIONS)):
        made = {(before.value, after.value): moves[(owner, before.value, after.value)] for before, after in table}
        reached = Counter[str]()
        for (_, after), count in made.items():
            reached[after] += count
        never = [f"{before} -> {after}" for (before, after), count in made.items() if not count]
        print(f"{owner}s reached: ".ljust(12) + ", ".join(f"{name} {count}" for name, count in reached.most_common()))
        print(f"            {len(made) - len(never)} of {len(made)} legal moves; never: {', '.join(never) or 'none'}")
    print(
        f"violations: {len(broken)}" + "".join(f"\n  replay: make simulate N=1 SEED={r.seed}" for r in broken[:_SHOWN])
    )
    return 1 if broken else 0


def _reports(seed: int, count: int, jobs: int) -> Iterator[Report]:
    seeds = range(seed, seed + count)
    if jobs == 1 or count == 1:
        yield from map(attempt, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(attempt, seeds, chunksize=_CHUNK)


if __name__ == "__main__":
    sys.exit(main())
