"""`make crash-sweep`: kill the host at every boundary of six deployments: one that succeeds, one that fails and is
rolled back, one that must restore what it updated, one that changes settings, one to whose items Fabric adds others,
and one of a repository.

SWEEP_ARGS="--manifest failing --only 10-40 --jobs 2" runs a part of the sweep. With TOPOLOGY=flex the host of one
group of functions is killed, the first that reaches the boundary. The exit code is 1 after a violation.
"""

import argparse
import os
import random
import secrets
import signal
import sys
import time
from contextlib import ExitStack

from local import azurite
from local.crash_sweep import kills, manifests
from local.crash_sweep.kills import Kill, Report
from local.crash_sweep.manifests import Manifest
from local.crash_sweep.sweep import Sweep
from local.crash_sweep.worker import Worker
from local.paths import HOME
from local.stack.description import SINGLE, TOPOLOGIES

EVIDENCE = HOME / "crash-sweep"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make crash-sweep", description=__doc__)
    parser.add_argument("--manifest", choices=(*manifests.NAMES, "all"), default="all")
    parser.add_argument("--only", default="", help="only boundaries with these numbers: 10-40 or 7")
    parser.add_argument("--match", default="", help="only boundaries whose printed name contains this text")
    parser.add_argument(
        "--sample",
        type=int,
        default=0,
        help="this number of kills for each manifest, spread over its run",
    )
    parser.add_argument("--seed", type=int, default=None, help="the seed that chooses the sample")
    parser.add_argument("--jobs", type=int, default=3, help="the number of stacks that run in parallel")
    parser.add_argument("--rounds", type=int, default=2, help="the number of undisturbed runs to record")
    parser.add_argument(
        "--topology", choices=TOPOLOGIES, default=os.environ.get("TOPOLOGY") or SINGLE, help="the hosts"
    )
    parser.add_argument(
        "--one-stack",
        action="store_true",
        help="record and kill on one stack; its storage is empty for the first manifest only",
    )
    parser.add_argument("--no-slow", action="store_true", help="leave out the boundaries that only slow runs have")
    parser.add_argument("--list", action="store_true", help="list the boundaries and kill nothing")
    return parser


def main(given: list[str] | None = None) -> int:
    options = arguments().parse_args(given)
    for number in (signal.SIGINT, signal.SIGTERM):  # both end the sweep in order, so that no stack is left running
        signal.signal(number, signal.default_int_handler)
    seed: int = random.randrange(10**6) if options.seed is None else options.seed
    began = time.monotonic()
    azurite.ensure_installed(HOME)
    report, planned = Report(0, 0), list[Kill]()

    def new_worker(prefix: str) -> Worker:
        return Worker(f"{prefix}-{secrets.token_hex(3)}", EVIDENCE, options.topology)

    with ExitStack() as stacks:
        worker: Worker | None = None
        for name in manifests.NAMES if options.manifest == "all" else (options.manifest,):
            if worker is None or not options.one_stack:
                stacks.close()
                worker = stacks.enter_context(new_worker("sweep-record"))
            manifest = Manifest.load(name)
            found = kills.record(manifest, worker, report, options.rounds, slow=not options.no_slow)
            report.boundaries += len(found)
            possible = kills.kills_of(manifest, found)
            report_line(f"{name}: {len(found)} boundaries, {len(possible)} kills")
            if options.list:
                for number, (boundary, mode) in enumerate(found, 1):
                    report_line(f"{number:4} {boundary} ({', '.join(boundary.phases)}; {mode})")
                continue
            chosen = [kill for kill in possible if is_wanted(kill, options.only, options.match)]
            if options.sample:
                report_line(f"a sample of {options.sample} kills; repeat it with --seed {seed}")
                chosen = kills.sample(chosen, options.sample, seed)
            planned += chosen
        if options.one_stack:
            stacks.pop_all()  # the sweep stops it
    report.planned = len(planned)
    Sweep(planned, report, report_line, new_worker, worker if options.one_stack else None).run(options.jobs)
    return print_summary(report, (time.monotonic() - began) / 60)


def is_wanted(kill: Kill, only: str, match: str) -> bool:
    """Return True if the options --only and --match select this kill."""
    first, _, last = only.partition("-")
    return (not only or int(first) <= kill.number <= int(last or first)) and match in str(kill.boundary)


def print_summary(report: Report, minutes: float) -> int:
    """Print the summary; return the exit code."""
    if report.not_reached:
        report_line(f"\nnot killed, because the boundary was not reached again in {kills.TRIES} runs each:")
    for kill in report.not_reached:
        report_line(f"  {kill}")
    if report.violations:
        report_line(f"\nviolations (the logs and journals are in {EVIDENCE}):")
    for line in report.violations:
        report_line(f"  {line}")
    report_line(
        f"\nboundaries: {report.boundaries}, kills: {report.kills_made} of {report.planned} planned, "
        f"not reached: {len(report.not_reached)}, deployments: {report.deployments}, "
        f"violations: {len(report.violations)}, broken stacks: {report.broken}, minutes: {minutes:.1f}"
    )
    return 1 if report.violations else 0


def report_line(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
