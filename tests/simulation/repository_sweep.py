"""Every step of a whole repository refused in turn: `python -m tests.simulation.repository_sweep` prints the table.

A repository with all 31 types is deployed to a workspace that has none of it (`create`), and its second release to a
workspace that has the first and what people changed by hand (`change`). In each run Fabric refuses one call of one step
permanently. The deployment must be rolled back, and the workspace must hold exactly what it held before: every part of
every definition, name, description, folder, shortcut, schedule, value set and published environment, with its id.
"""

import argparse
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from local.fabric_simulator.schedules import Schedules
from tests.simulation.refusing_world import Call, How, Refusal, RefusingWorld, differences, held

PHASES = ("create", "change")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@dataclass(frozen=True)
class Point:
    """A refusal in one of the two deployments, and the call that is refused first, as people read it."""

    phase: str
    refusal: Refusal
    call: str

    def __str__(self) -> str:
        return f"{self.phase} {self.refusal.step_id} {self.call}: {self.refusal.how}"


@dataclass(frozen=True)
class Outcome:
    """The final state, how the workspace differs from what it held, and how often Fabric refused."""

    state: str
    differences: list[str]
    refused: int

    @property
    def is_restored(self) -> bool:
        """Return True if the deployment was refused and rolled back, and left nothing behind."""
        return self.refused > 0 and self.state == "compensated" and not self.differences


def prepared(phase: str) -> tuple[RefusingWorld, int]:
    """Return the world before the deployment of a phase, and the release that is deployed."""
    world = RefusingWorld()
    if phase == "create":
        return world, 1
    assert world.deploy(1, "first") == "succeeded"
    world.item("Notebook", "Load data").description += " and what a person added"
    world.item("VariableLibrary", "Vars").value_set = "Default value set"
    [schedule] = world.item("DataPipeline", "Main").part(Schedules).by_id.values()
    schedule.shown["enabled"] = False
    return world, 2


@cache
def undisturbed(phase: str) -> dict[str, list[Call]]:
    """Return the calls of each step in a deployment in which nothing is refused. Raises AssertionError if it fails."""
    world, number = prepared(phase)
    assert world.deploy(number, "it") == "succeeded"
    ordered = [row.record.step_id for row in world.journal.steps("it")]
    return {step_id: world.made[step_id] for step_id in ordered}


def points(phase: str) -> Iterator[Point]:
    """Yield every refusal of a phase: each write, each operation, and the reads before and after the writes."""
    for step_id, calls in undisturbed(phase).items():
        writes = [call for call in calls if call.is_write]
        if calls and not calls[0].is_write:
            yield Point(phase, Refusal(step_id, 0, How.READ), "look")
        for nth, call in enumerate(writes, 1):
            text = f"{call.method} {_ID.sub('{id}', call.path).rpartition('/')[2]}"
            yield Point(phase, Refusal(step_id, nth, How.WRITE), text)
            if call.status == 202:
                yield Point(phase, Refusal(step_id, nth, How.OPERATION), text)
        if writes and not calls[-1].is_write:
            yield Point(phase, Refusal(step_id, len(writes), How.READ), "verify")


def run(point: Point) -> Outcome:
    """Deploy with the refusal, and compare what the workspace holds with what it held."""
    world, number = prepared(point.phase)
    before = held(world, world.workspace)
    world.refusal = point.refusal
    state = world.deploy(number, "it")
    refused = world.refused
    return Outcome(state, differences(before, held(world, world.workspace)), refused)


def main() -> int:
    """Print the table in Markdown. The exit code is 1 if anything was not restored."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.repository_sweep", description=__doc__)
    parser.add_argument("--match", default="", help="only the points whose text contains this")
    wanted: str = parser.parse_args().match
    logging.disable(logging.WARNING)
    print("| # | Deployment | Step | Fabric refuses | Outcome | Differences |\n|---|---|---|---|---|---|")
    found = [point for phase in PHASES for point in points(phase) if wanted in str(point)]
    wrong = 0
    for number, point in enumerate(found, 1):
        outcome = run(point)
        wrong += not outcome.is_restored
        refusal = point.refusal
        state = outcome.state if outcome.refused else f"{outcome.state}, nothing refused"
        left = "; ".join(outcome.differences) or "none"
        row = (number, point.phase, refusal.step_id, f"{point.call}: {refusal.how}", state, left)
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
    steps = {(point.phase, point.refusal.step_id) for point in found}
    print(f"\nsteps: {len(steps)}, refusals: {len(found)}, not restored: {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
