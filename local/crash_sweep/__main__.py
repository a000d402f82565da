"""`make crash-sweep`: kill the host at every boundary of the medallion deployment, of the one that fails, and of one
that must restore what it changed.

SWEEP_ARGS="--manifest failing --only 10-40 --jobs 2" sweeps a slice; exit code 1 on any violation.
"""

import argparse
import random
import signal
import sys
import time

from local import azurite
from local.crash_sweep import manifests, sweep
from local.crash_sweep.manifests import Manifest
from local.crash_sweep.sweep import Kill, Report
from local.stack import HOME

EVIDENCE = HOME / "crash-sweep"


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make crash-sweep", description=__doc__)
    parser.add_argument("--manifest", choices=(*manifests.NAMES, "all"), default="all")
    parser.add_argument("--only", default="", help="boundaries by number: 10-40 or 7")
    parser.add_argument("--match", default="", help="boundaries whose name and number of its kind hold this")
    parser.add_argument("--sample", type=int, default=0, help="so many kills only, spread over each manifest")
    parser.add_argument("--seed", type=int, default=None, help="of the sample")
    parser.add_argument("--jobs", type=int, default=3, help="stacks side by side")
    parser.add_argument("--rounds", type=int, default=2, help="plain runs to record")
    parser.add_argument("--no-slow", action="store_true", help="leave out what only slow runs meet")
    parser.add_argument("--list", action="store_true", help="show the boundaries and kill nothing")
    return parser


def main(given: list[str] | None = None) -> int:
    """Record, sweep, report."""
    options = arguments().parse_args(given)
    for number in (signal.SIGINT, signal.SIGTERM):  # either ends it in order: no stack is left behind
        signal.signal(number, signal.default_int_handler)
    seed: int = random.randrange(10**6) if options.seed is None else options.seed
    began = time.monotonic()
    azurite.ensure_installed(HOME)
    report, kills = Report(0, 0), list[Kill]()
    for name in manifests.NAMES if options.manifest == "all" else (options.manifest,):
        manifest = Manifest.load(name)
        found = sweep.record(manifest, EVIDENCE, report, options.rounds, slow=not options.no_slow)
        report.boundaries += len(found)
        report_line(f"{name}: {len(found)} boundaries, {len(sweep.kills_of(manifest, found))} kills")
        if options.list:
            for number, (boundary, mode) in enumerate(found, 1):
                report_line(f"{number:4} {boundary} ({', '.join(boundary.phases)}; {mode})")
            continue
        chosen = [k for k in sweep.kills_of(manifest, found) if is_wanted(k, options.only, options.match)]
        if options.sample:
            report_line(f"a sample of {options.sample}, --seed {seed}")
            chosen = sweep.sample(chosen, options.sample, seed)
        kills += chosen
    report.planned = len(kills)
    sweep.sweep(kills, report, options.jobs, EVIDENCE, report_line)
    return tell(report, (time.monotonic() - began) / 60)


def is_wanted(kill: Kill, only: str, match: str) -> bool:
    """Whether the slice asked for holds it."""
    first, _, last = only.partition("-")
    return (not only or int(first) <= kill.number <= int(last or first)) and match in str(kill.boundary)


def tell(report: Report, minutes: float) -> int:
    """The end of the output, and the exit code."""
    if report.never:
        report_line(f"\nnot struck, for they did not come up again in {sweep.TRIES} runs each:")
    for kill in report.never:
        report_line(f"  {kill}")
    if report.violations:
        report_line(f"\nviolations (the evidence is in {EVIDENCE}):")
    for line in report.violations:
        report_line(f"  {line}")
    report_line(
        f"\nboundaries {report.boundaries}, kills {report.injected} of {report.planned} planned, "
        f"not come up {len(report.never)}, deployments {report.deployments}, violations {len(report.violations)}, "
        f"stacks that broke {report.broken}, {minutes:.1f} minutes"
    )
    return 1 if report.violations else 0


def report_line(text: str) -> None:
    """A line, at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
