"""A repository in the deployments of a schedule: items that refer to each other, in folders, changed from one to the
next.

Everything here is drawn from a random generator of its own, so that the rest of a seed's schedule stays the same.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.simulation import repositories
from tests.simulation.actions_in_schedule import ActionsInSchedule
from tests.simulation.edges import WORKSPACE
from tests.simulation.world import World


@dataclass
class InSchedule:
    """The repository of a seed's schedule."""

    world: World
    chance: random.Random
    types: random.Random
    seed: int
    is_on: bool
    actions: ActionsInSchedule

    @classmethod
    def of(cls, seed: int, world: World) -> "InSchedule":
        """Draw it from the seed: one in four has a repository."""
        chance = random.Random(f"{seed}/repository")
        types, actions = random.Random(f"{seed}/types"), ActionsInSchedule.of(seed, world)
        return cls(world, chance, types, seed, chance.random() < 0.25, actions)

    def amend(self, manifest: dict[str, Any]) -> None:
        """Add a repository to a manifest, and in some a step after it that cannot succeed."""
        if not self.is_on:
            return
        self.world.occurred["repository"] += 1
        chance, blobs = self.chance, self.world.blobs
        folder: dict[str, Any] = (
            {"folder": chance.choice(["/Raw", "/Raw/New", "/Clean"])} if chance.random() < 0.6 else {}
        )
        name = chance.choice(["load", "load", "load sales"])
        load = repositories.item(blobs, "Notebook", name, f"x = {chance.randint(5, 6)}", **folder)
        load["logicalId"] = repositories.logical_id("Notebook", "load")  # a renamed item keeps it
        pipeline = self.actions.scheduled(repositories.item(blobs, "DataPipeline", "run", "{}", (f"Notebook/{name}",)))
        items = [load, pipeline]
        shells: tuple[str, ...] = ()
        if chance.random() < 0.5:
            items.append(repositories.item(blobs, "Eventstream", "stream", "{}", ("Reflex/alarm",)))
            items.append(repositories.item(blobs, "Reflex", "alarm", "{}", ("Eventstream/stream",)))
            shells = ("Reflex/alarm",)
        items += [*self._special(), *self.actions.items()]
        more: dict[str, Any] = {"unchanged": chance.choice(["skip", "check", "redeploy"])}
        more["refreshSqlEndpoints"] = random.Random(f"{self.seed}/SQL endpoints").random() < 0.5
        if chance.random() < 0.5:  # an item that some of the deployments do not contain
            items.append(self._old(folder))
        if chance.random() < 0.6:
            more["orphans"] = chance.choice(["quarantine", "delete"])
        manifest["steps"].append({**repositories.step(WORKSPACE, items, shells, **more), "needs": []})
        if chance.random() < 0.4:
            spec = {"workspaceId": WORKSPACE, "type": "CrystalBall", "displayName": "orb"}
            manifest["steps"].append({"id": "orb", "kind": "item", "needs": ["content"], "with": spec})

    def violations(self, ids: list[str]) -> Iterable[str]:
        """Check what the repository does beside its definitions."""
        return self.actions.violations(ids) if self.is_on else ()

    def _old(self, folder: dict[str, Any]) -> dict[str, Any]:
        """Return a notebook, or in some schedules a dataflow, to which Fabric adds companions."""
        if random.Random(f"{self.seed}/old").random() < 0.7:
            return repositories.item(self.world.blobs, "Notebook", "old", "z = 1", **folder)
        self.world.occurred["a dataflow that may be an orphan"] += 1
        return repositories.item(self.world.blobs, "Dataflow", "old", "section Section1;", **folder)

    def _special(self) -> list[dict[str, Any]]:
        """Return an environment that is published, an eventhouse and a dataflow, or some of them.

        All deployments of a schedule have the same ones, each in a folder or not.
        """
        found: list[dict[str, Any]] = []
        same = random.Random(f"{self.seed}/special")
        for item_type, name in (("Environment", "spark"), ("Eventhouse", "meters"), ("Dataflow", "prices")):
            is_in, folder = same.random() < 0.4, {"folder": "/Raw"} if same.random() < 0.5 else {}
            if is_in:
                text = repositories.text_of(item_type, self.types.randint(1, 2))
                more: dict[str, Any] = folder
                found.append(repositories.item(self.world.blobs, item_type, name, text, **more))
                self.world.occurred[f"{item_type} of a repository"] += 1
        return found
