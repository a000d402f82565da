"""The sweep: record what there is to strike, strike each once in every phase, and count what was wrong.

Not every run meets the same boundaries: how often a timer fires depends on how long it takes, and which of two that
go on side by side is first is chance. So one that does not come up is tried again at the end, at another pace each
time; what does not come up in `TRIES` runs is listed.
"""

import random
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from local.crash_sweep.crash_plan import Boundary
from local.crash_sweep.manifests import Manifest
from local.crash_sweep.worker import FAST, Result, Speed, Worker
from local.stack import StackError
from shared.domain.errors import StorageUnavailableError

PLAIN, SLOW, UNEVEN, COLD = "plain", "slow", "uneven", "cold"
"""How a boundary comes up: in any run; in a slow or an uneven one; only in the first run on empty storage."""
SPEEDS = {PLAIN: FAST, SLOW: Speed(0.3), UNEVEN: Speed(0.8, is_uneven=True), COLD: FAST}
TRIES = 8
MAX_BROKEN = 20
"""Stacks that may break by themselves, as by another program's doing, before the sweep gives up."""
_CREATES = re.compile(r"(table|queue|blob) create\b")


@dataclass(frozen=True)
class Kill:
    """One kill to be made. `number` is the boundary's in its manifest's recording, from 1."""

    manifest: Manifest
    number: int
    boundary: Boundary
    mode: str
    phase: str
    tries: int = 0

    def __str__(self) -> str:
        """As it is printed."""
        return f"{self.manifest.name} {self.number} {self.phase} {self.boundary}"


@dataclass
class Report:
    """What came of it."""

    boundaries: int
    planned: int
    deployments: int = 0
    injected: int = 0
    broken: int = 0
    violations: list[str] = field(default_factory=lambda: list[str]())
    never: list[Kill] = field(default_factory=lambda: list[Kill]())


def record(
    manifest: Manifest, evidence: Path, report: Report, rounds: int, *, slow: bool
) -> list[tuple[Boundary, str]]:
    """Every boundary met, in order, with the mode in which it was met first."""
    found: dict[tuple[str, int], tuple[Boundary, str]] = {}
    with Worker(f"sweep-record-{secrets.token_hex(3)}", evidence) as worker:
        modes = [COLD, *[PLAIN] * rounds, *([SLOW, UNEVEN] if slow else [])]
        runs = [(mode, worker.run(manifest, speed=SPEEDS[mode])) for mode in modes]
    for mode, result in runs:
        judge(report, f"{manifest.name}, recorded ({mode})", result)
    # The plain runs go first: what they meet needs neither empty storage nor patience.
    for mode, result in sorted(runs, key=lambda run: [PLAIN, COLD, SLOW, UNEVEN].index(run[0])):
        for boundary in result.boundaries:
            own = COLD if _CREATES.match(boundary.name) else PLAIN if mode == COLD else mode
            found.setdefault((boundary.name, boundary.nth), (boundary, own))
    return list(found.values())


def kills_of(manifest: Manifest, boundaries: Sequence[tuple[Boundary, str]]) -> list[Kill]:
    """Each boundary in each of its phases."""
    return [
        Kill(manifest, number, boundary, mode, phase)
        for number, (boundary, mode) in enumerate(boundaries, 1)
        for phase in boundary.phases
    ]


def speed_of(kill: Kill) -> Speed:
    """As it was met; then, by turns, ever more slowly, as evenly as not, and as it was met again."""
    if kill.tries % 2:
        return Speed(0.3 * kill.tries, is_uneven=kill.tries % 4 == 1)
    return SPEEDS[kill.mode]


def judge(report: Report, what: str, result: Result) -> list[str]:
    """Count the violations of one deployment."""
    found = [f"{what} ({result.deployment_id}): {violation}" for violation in result.violations]
    report.violations += found
    report.deployments += 1
    return found


def sweep(kills: Iterable[Kill], report: Report, jobs: int, evidence: Path, report_line: Callable[[str], None]) -> None:
    """Make the kills, `jobs` at a time, each lane on a stack of its own."""
    left, lock = deque(kills), threading.Lock()
    total, done, began = len(left), [0], time.monotonic()
    errors: list[BaseException] = []

    def finished(kill: Kill, result: Result) -> None:
        with lock:
            wrong = judge(report, str(kill), result)
            if result.injected:
                report.injected += 1
            elif kill.tries + 1 < TRIES:
                left.append(replace(kill, tries=kill.tries + 1))
            else:
                report.never.append(kill)
            repeated = not result.injected and kill.tries + 1 < TRIES
            done[0] += 0 if repeated else 1
            word = "killed" if result.injected else "did not come up; again later" if repeated else "NEVER CAME UP"
            clock = time.strftime("%M:%S", time.gmtime(time.monotonic() - began))
            report_line(
                f"{clock} {done[0]:4}/{total} {kill}: {word}, {'ok' if not wrong else 'WRONG'} {result.seconds:.1f} s"
            )
            for line in wrong:
                report_line(f"      VIOLATION {line}")

    def broke(kill: Kill, error: Exception) -> None:
        with lock:
            report.broken += 1
            if report.broken > MAX_BROKEN:
                raise error
            left.append(kill)
            report_line(
                f"      {kill}: a part of its stack that is not the host is gone ({error}); again later on a new one"
            )

    def crash(kill: Kill, worker: Worker) -> bool:
        """Whether the lane can serve on: what moves no more would disturb what comes after it."""
        try:
            result = worker.run(kill.manifest, kill.boundary, kill.phase, speed_of(kill))
        except (OSError, StackError, StorageUnavailableError) as error:
            broke(kill, error)
            return False
        finished(kill, result)
        return not any(violation.startswith("not ended") for violation in result.violations)

    def serve() -> None:
        worker: Worker | None = None
        try:
            while not errors:
                with lock:
                    if not left:
                        return
                    kill = left.popleft()
                if kill.mode == COLD:
                    with Worker(f"sweep-cold-{secrets.token_hex(3)}", evidence) as fresh:
                        crash(kill, fresh)
                    continue
                worker = worker or Worker(f"sweep-{secrets.token_hex(3)}", evidence).__enter__()
                if not crash(kill, worker):
                    worker.__exit__()
                    worker = None
        except BaseException as error:
            errors.append(error)
        finally:
            if worker is not None:
                worker.__exit__()

    threads = [threading.Thread(target=serve, name=f"lane-{i}") for i in range(jobs)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt as error:
        errors.append(error)
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def sample(kills: Sequence[Kill], size: int, seed: int) -> list[Kill]:
    """So many of them, spread over the whole recording: one of each of as many stretches."""
    chance = random.Random(seed)
    stretches = [kills[len(kills) * i // size : len(kills) * (i + 1) // size] for i in range(size)]
    return [chance.choice(stretch) for stretch in stretches if stretch]
