"""A notebook that the deployments of a schedule run as a job: it passes, fails, or never ends.

Everything here is drawn from a random generator of its own, so that the rest of a seed's schedule stays the same.
"""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator.jobs import Jobs
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState
from tests.simulation.edges import WORKSPACE
from tests.simulation.world import World

_CODE = ('notebook.exit("ok")', 'notebook.exit("ok")', "raise ValueError", "while True: pass")


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
        if chance.random() < 0.3:
            spec["effects"] = "irreversible"
        manifest["steps"].append({"id": "smoke", "kind": "item", "needs": [], "with": book})
        manifest["steps"].append({"id": "run", "kind": "job", "needs": [], "timeout": "9m", "with": spec})
        if chance.random() < 0.3:
            spec = {"workspaceId": WORKSPACE, "type": "CrystalBall", "displayName": "pearl"}
            manifest["steps"].append({"id": "pearl", "kind": "item", "needs": ["run"], "with": spec})

    def violations(self, ids: list[str]) -> Iterable[str]:
        """Check that no job was started a second time unasked, and that none is left running."""
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
            r.resource.id for d in ids for s in self.world.journal.steps(d) if (r := s.record).resource is not None
        }
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
