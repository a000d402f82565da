"""Record the boundaries of a manifest, plan the kills, and count their results.

Not every run reaches the same boundaries: how often a timer fires depends on the duration of the run, and the order of
parallel steps varies. A boundary that a run did not reach is tried again at the end, each time at another speed; a
boundary that was not reached in `TRIES` runs is listed.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from local.crash_sweep.crash_plan import Boundary
from local.crash_sweep.manifests import Manifest
from local.crash_sweep.worker import FAST, Result, Speed, Worker

PLAIN, SLOW, UNEVEN, COLD = "plain", "slow", "uneven", "cold"
"""The runs that reach a boundary: any run, a slow run, an uneven run, or only the first run on empty storage."""
SPEEDS = {PLAIN: FAST, SLOW: Speed(0.3), UNEVEN: Speed(0.8, is_uneven=True), COLD: FAST}
TRIES = 8
_CREATES = re.compile(r"(table|queue|blob) create\b")


@dataclass(frozen=True)
class Kill:
    """One planned kill. `number` is the boundary's position in the recording of its manifest, from 1."""

    manifest: Manifest
    number: int
    boundary: Boundary
    mode: str
    phase: str
    tries: int = 0

    def __str__(self) -> str:
        return f"{self.manifest.name} {self.number} {self.phase} {self.boundary}"

    @property
    def speed(self) -> Speed:
        """The speed of this try: by turns the recorded speed and a slower one, which is even or uneven."""
        if self.tries % 2:
            return Speed(0.3 * self.tries, is_uneven=self.tries % 4 == 1)
        return SPEEDS[self.mode]

    @property
    def next_try(self) -> "Kill | None":
        """The same kill to be tried again later, or None after `TRIES` tries."""
        return replace(self, tries=self.tries + 1) if self.tries + 1 < TRIES else None


@dataclass
class Report:
    """The counts and violations of a sweep."""

    boundaries: int
    planned: int
    deployments: int = 0
    kills_made: int = 0
    broken: int = 0
    violations: list[str] = field(default_factory=lambda: list[str]())
    not_reached: list[Kill] = field(default_factory=lambda: list[Kill]())


def record(
    manifest: Manifest, worker: Worker, report: Report, rounds: int, *, slow: bool
) -> list[tuple[Boundary, str]]:
    """Run the manifest undisturbed in each mode; return the boundaries in order, each with the mode that reaches it."""
    found: dict[tuple[str, int], tuple[Boundary, str]] = {}
    modes = [*([COLD] if worker.is_new else []), *[PLAIN] * rounds, *([SLOW, UNEVEN] if slow else [])]
    runs = [(mode, worker.run(manifest, speed=SPEEDS[mode])) for mode in modes]
    for mode, result in runs:
        judge(report, f"{manifest.name}, recorded ({mode})", result)
    # The plain runs come first: their boundaries need neither empty storage nor slow calls.
    for mode, result in sorted(runs, key=lambda run: [PLAIN, COLD, SLOW, UNEVEN].index(run[0])):
        for boundary in result.boundaries:
            own = COLD if _CREATES.match(boundary.name) else PLAIN if mode == COLD else mode
            found.setdefault((boundary.name, boundary.nth), (boundary, own))
    return list(found.values())


def kills_of(manifest: Manifest, boundaries: Sequence[tuple[Boundary, str]]) -> list[Kill]:
    """Return a kill for each boundary and phase."""
    return [
        Kill(manifest, number, boundary, mode, phase)
        for number, (boundary, mode) in enumerate(boundaries, 1)
        for phase in boundary.phases
    ]


def judge(report: Report, what: str, result: Result) -> list[str]:
    """Add the result of one deployment to the report; return its violations."""
    found = [f"{what} ({result.deployment_id}): {violation}" for violation in result.violations]
    report.violations += found
    report.deployments += 1
    return found


def sample(kills: Sequence[Kill], size: int, seed: int) -> list[Kill]:
    """Choose `size` kills at random, one from each of `size` equal parts of the recording."""
    chance = random.Random(seed)
    stretches = [kills[len(kills) * i // size : len(kills) * (i + 1) // size] for i in range(size)]
    return [chance.choice(stretch) for stretch in stretches if stretch]
