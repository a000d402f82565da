"""A notebook that the deployments of a schedule run as a job: it passes, fails, or never ends.

Everything here is drawn from a random generator of its own, so that the rest of a seed's schedule stays the same.
"""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator.jobs import Jobs
from shared.domain.records import StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState, OnFailure, StepState
from tests.simulation.edges import WORKSPACE
from tests.simulation.world import World

_CODE = ('notebook.exit("ok")', 'notebook.exit("ok")', "raise ValueError", "while True: pass")

_ASKED = frozenset({"cancel", "compensate", "resume", "release"})
"""The verbs that change which steps start."""


@dataclass
class JobsInSchedule:
    """The jobs of a seed's schedule. `once` are the numbers of the manifests whose job must not run twice; a number is
    a parameter of its job, so that Fabric shows how often it was started."""

    world: World
    chance: random.Random
    is_on: bool
    once: set[int] = field(default_factory=lambda: set[int]())
    count: int = 0

    @classmethod
    def of(cls, seed: int, world: World) -> "JobsInSchedule":
        """Draw it from the seed: one in five has jobs."""
        chance = random.Random(f"{seed}/jobs")
        return cls(world, chance, chance.random() < 0.2)

    def amend(self, manifest: dict[str, Any]) -> None:
        """Add a notebook and its job to a manifest; in some manifests, add a step after the job that cannot succeed."""
        if not self.is_on:
            return
        self.world.occurred["job"] += 1
        chance, self.count = self.chance, self.count + 1
        part = {"path": "notebook-content.py", "text": chance.choice(_CODE)}
        book = {"workspaceId": WORKSPACE, "type": "Notebook", "displayName": "smoke", "definition": {"parts": [part]}}
        spec: dict[str, Any] = {"workspaceId": WORKSPACE, "itemId": "${{ steps.smoke.outputs.id }}"}
        spec |= {"jobType": "RunNotebook", "parameters": {"number": self.count}}
        if chance.random() < 0.5:
            spec["mayRunTwice"] = True
        else:
            self.once.add(self.count)
        is_always = chance.random() < 0.4
        if is_always:
            spec["when"] = "always"
        elif chance.random() < 0.3:
            spec["effects"] = "irreversible"
        manifest["steps"].append({"id": "smoke", "kind": "item", "needs": [], "with": book})
        manifest["steps"].append({"id": "run", "kind": "job", "needs": [], "timeout": "9m", "with": spec})
        if chance.random() < 0.3:
            spec = {"workspaceId": WORKSPACE, "type": "CrystalBall", "displayName": "pearl"}
            needs = [] if is_always else ["run"]
            manifest["steps"].append({"id": "pearl", "kind": "item", "needs": needs, "with": spec})

    def _cleanups_left_out(self, ids: list[str]) -> Iterable[str]:
        """Check that a job that runs always began in each deployment that failed by itself and had the notebook."""
        for d in ids:
            header = self.world.journal.header(d).record
            rows = {s.record.step_id: s.record for s in self.world.journal.steps(d)}
            run, book = rows.get("run"), rows.get("smoke")
            is_asked = any(e.reason.split(" requested by")[0] in _ASKED for e in self.world.journal.audit(d))
            holds = OnFailure.HOLD in {header.on_failure, *(row.on_failure for row in rows.values())}
            if run is None or book is None or not run.is_always or is_asked or holds:
                continue
            if book.outputs is not None and run.state is StepState.SKIPPED:
                yield f"{d} is {header.state.value}, and its job that runs always did not begin"

    def violations(self, ids: list[str]) -> Iterable[str]:
        """Check that no job was started a second time unasked, and that none is left running without a word: with
        rollback off, nobody tries again to stop the run of a paused capacity (seed 11003456)."""
        if not self.is_on:
            return
        jobs = [
            job
            for w in self.world.model.store.workspaces.values()
            for i in w.items.values()
            for job in i.part(Jobs).by_id.values()
        ]
        resumed = sum(e.reason.startswith("resume requested") for d in ids for e in self.world.journal.audit(d))
        started = Counter(job.request["executionData"]["parameters"]["number"]["value"] for job in jobs)
        for number in self.once:
            if started[number] > 1 + resumed:
                yield f"job {number} was started {started[number]} times, and {resumed} deployments were resumed"
        known = {
            r.resource.id
            for d in ids
            for s in self.world.journal.steps(d)
            if (r := s.record).resource is not None and not _says_that_it_runs(r)
        }
        yield from self._cleanups_left_out(ids)
        for job in jobs:
            if job.over_at is None and job.id in known:
                yield f"job {job.id} is left running"
        for d in ids:
            rows = [s.record for s in self.world.journal.steps(d) if s.record.kind == "job"]
            is_good = self.world.state(d) is DeploymentState.SUCCEEDED
            assert self.world.state(d) in DEPLOYMENT_ENDED
            for row in rows:
                found = [job for job in jobs if row.resource is not None and job.id == row.resource.id]
                if is_good and any(job.outcome != "Completed" or job.over_at is None for job in found):
                    yield f"{d} succeeded, and its job ended as {found[0].outcome}"


def _says_that_it_runs(row: StepRecord) -> bool:
    return row.error is not None and "its run could not be stopped" in row.error.message
