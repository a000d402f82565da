"""A process that dies at every boundary of a repository's deployment: `python -m tests.simulation.crash_everywhere`.

The deployment is the one of the crash sweep: eleven items in folders, of which two exist already. It runs in memory. In
each run the process dies once: at a call to storage, a queue, the durable engine or Fabric, before or after its effect,
or between two writes of the call. New processes continue, and the deployment must end as one whose process never died.
If it is rolled back, the workspace holds what it held before; if it succeeds, what it holds without a crash.
"""

import argparse
import base64
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from local.crash_sweep.manifests import Manifest
from local.fabric_simulator import control
from local.fabric_simulator.store import GUID, Workspace
from shared.saga.audit import verify
from tests.simulation.edges import Crash, own_role
from tests.simulation.refusing_world import differences, held
from tests.simulation.world import World

ENDS = {"rolled back": "compensated", "succeeds": "succeeded"}
"""The two ends of the deployment, and the state of each."""
_SHORT_ID = re.compile(r" \([0-9a-f]{4}\)")
_SERVER = re.compile(r"[a-z0-9-]+(?=\.datawarehouse\.)")
"""The part of the address of a lakehouse's SQL endpoint that Fabric draws."""


@cache
def _manifest() -> Manifest:
    return Manifest.load("repository")


class DyingWorld(World):
    """A world in which the process dies once: at the boundary with the number `dies_at`, from 1 (0: never)."""

    passed = 0
    dies_at = 0
    died = ""

    def _may_die(self, where: str) -> None:
        if self._is_heartbeat:
            return
        self.passed += 1
        if self.passed == self.dies_at:
            self.died = where
            raise Crash(where)

    @property
    def workspace(self) -> Workspace:
        """Return the workspace to which the repository is deployed."""
        return next(w for w in self.model.store.workspaces.values() if w.name == "sweep-target")


@dataclass(frozen=True)
class Outcome:
    """The result of a deployment: the number of boundaries, the one at which it died, and what is wrong."""

    boundaries: int
    died: str
    wrong: tuple[str, ...]


def run(end: str, dies_at: int = 0) -> tuple[DyingWorld, dict[str, Any]]:
    """Deploy the repository, and return the world and what the workspace held before."""
    manifest, world = _manifest(), DyingWorld(1)
    world.dies_at = dies_at
    manifest.files.send(world.blobs)
    row: dict[str, Any] = {**(manifest.present or {}), "roleAssignments": [own_role()]}
    row["displayName"] = "sweep-target"
    control.seed(world.model, {"workspaces": [row]})
    before = held(world, world.workspace)
    steps = [step for step in manifest.content["steps"] if end != "succeeds" or step["id"] != "forecast"]
    world.submit({**manifest.content, "steps": steps}, "it")
    world.run("it")
    return world, before


@cache
def undisturbed(end: str) -> tuple[int, dict[str, Any]]:
    """Return the number of boundaries without a crash, and what the workspace must hold in the end."""
    world, before = run(end)
    assert world.state("it").value == ENDS[end]
    return world.passed, before if end == "rolled back" else _without_ids(world)


def outcome(end: str, dies_at: int) -> Outcome:
    """Deploy with a crash at one boundary, and judge it."""
    boundaries, wanted = undisturbed(end)
    world, _ = run(end, dies_at)
    wrong = [] if world.state("it").value == ENDS[end] else [f"it is {world.state('it').value}"]
    found = held(world, world.workspace) if end == "rolled back" else _without_ids(world)
    wrong += differences(wanted, found)
    wrong += map(str, verify.verify(verify.read(world.journal, "it")).differences)
    return Outcome(boundaries, world.died, tuple(wrong))


def _without_ids(world: DyingWorld) -> dict[str, Any]:
    """Return what the workspace holds, with names in place of the ids that Fabric draws."""
    names = {item.id: f"<{item.type} {item.name}>" for item in world.workspace.items.values()}
    found: dict[str, Any] = {}
    for key, value in held(world, world.workspace).items():
        text = base64.b64decode(value).decode() if ": part " in key else str(value)
        text = GUID.sub(lambda each: names.get(each[0].lower(), "<id>"), text)
        found[_SHORT_ID.sub("", key)] = _SERVER.sub("<server>", text)
    return {key: text for key, text in found.items() if key != "notes"}  # a note has the time of its deployment


def sweep(end: str, every: int = 1, first: int = 1) -> Iterator[tuple[int, Outcome]]:
    """Yield the number of each boundary, or of one in `every`, and what became of the deployment that died there."""
    for number in range(first, undisturbed(end)[0] + 1, every):
        yield number, outcome(end, number)


def main() -> int:
    """Print what is wrong, and the counts. The exit code is 1 after a violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.crash_everywhere", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only one boundary in this number")
    every: int = parser.parse_args().every
    logging.disable(logging.WARNING)
    violations = 0
    for end in ENDS:
        made = 0
        for number, found in sweep(end, every):
            made += bool(found.died)
            violations += bool(found.wrong)
            for line in found.wrong:
                print(f"{end}, boundary {number} ({found.died}): {line}", flush=True)
        print(f"{end}: {undisturbed(end)[0]} boundaries, {made} crashes", flush=True)
    print(f"violations: {violations}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
