"""Items to which Fabric adds companions, in the manifests of schedules; and other actors who create, or change, items
that look like companions.

Everything here is drawn from a random generator of its own, so that the rest of a seed's schedule stays the same.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator.store import Item, Workspace
from tests.simulation.edges import WORKSPACE
from tests.simulation.other_actors import OtherActors
from tests.simulation.world import World

BY_HAND = (
    ("Lakehouse", "plantdtdm"),
    ("KQLDatabase", "telemetry"),
    ("Lakehouse", "StagingLakehouseForDataflows_20200101000000"),
    ("Warehouse", "StagingWarehouseForDataflows_20200101000030"),
)
"""Items with the name of a companion, and without a description, that another actor may create."""


@dataclass
class Companions:
    """The companions in a seed's schedule, and the acts of others on them."""

    world: World
    other_actors: OtherActors
    chance: random.Random
    environments: random.Random
    acts: list[int] = field(default_factory=lambda: list[int]())
    is_on: bool = False

    @classmethod
    def of(cls, seed: int, world: World, other_actors: OtherActors, steps: int) -> "Companions":
        """Draw the companions from the seed; half of all seeds have none."""
        chance = random.Random(f"{seed}/companions")
        found = cls(world, other_actors, chance, random.Random(f"{seed}/environments"))
        if chance.random() < 0.5:
            world.model.settings.companion_seconds = chance.choice([0.0, 0.0, 5.0, 20.0])
            found.acts = [chance.randrange(steps) for _ in range(chance.choice([0, 0, 1, 3]))]
            found.is_on = True
        return found

    def amend(self, manifest: dict[str, Any]) -> None:
        """Add a dataflow, a digital twin builder, an eventhouse and its database, an environment, or some of them."""
        if not self.is_on:
            return
        steps = manifest["steps"]
        for item_type, name in (("Dataflow", "orders"), ("DigitalTwinBuilder", "plant"), ("Eventhouse", "telemetry")):
            if self.chance.random() < 0.5:
                spec = {"workspaceId": WORKSPACE, "type": item_type, "displayName": name}
                steps.append({"id": name, "kind": "item", "with": spec})
                self.world.occurred[f"a step of {item_type}"] += 1
        if steps[-1]["id"] == "telemetry" and self.chance.random() < 0.5:
            spec = {"workspaceId": WORKSPACE, "type": "KQLDatabase", "displayName": "telemetry"}
            spec["ifExists"] = self.chance.choice(["adopt", "update", "fail"])
            steps.append({"id": "database", "kind": "item", "needs": ["telemetry"], "with": spec})
        if self.environments.random() < 0.5:
            part = {"path": "Setting/Sparkcompute.yml", "text": f"driver_cores: {self.environments.choice([4, 8])}"}
            spec = {"workspaceId": WORKSPACE, "type": "Environment", "displayName": "compute"}
            spec |= {"definition": {"parts": [part]}, "ifExists": self.environments.choice(["adopt", "update", "fail"])}
            steps.append({"id": "compute", "kind": "item", "with": spec})
            self.world.occurred["a step of Environment"] += 1

    def act_at(self, step: int) -> None:
        """Let other actors act at this step of the scheduler."""
        workspaces = list(self.world.model.store.workspaces.values())
        for _ in range(self.acts.count(step) if workspaces else 0):
            place = self.chance.choice(workspaces)
            self.chance.choice([self._make, self._by_hand, self._touch])(place)

    def _make(self, place: Workspace) -> None:
        """Create another actor's item, to which Fabric adds companions."""
        before = set(place.items)
        item_type = self.chance.choice(["Dataflow", "DigitalTwinBuilder"])
        if self._add(place, item_type, f"their{len(before)}") is not None:
            for item in [i for i in place.standing() if i.id not in before]:
                self.other_actors.remember_item(place, item)

    def _by_hand(self, place: Workspace) -> None:
        item = self._add(place, *self.chance.choice(BY_HAND))
        if item is not None:
            self.other_actors.remember_item(place, item)

    def _add(self, place: Workspace, item_type: str, name: str) -> Item | None:
        if any((i.type, i.name) == (item_type, name) for i in place.items.values()):
            return None
        self.world.occurred["another actor's companion-like item"] += 1
        now = self.world.clock.now().timestamp()
        item = Item(self.world.model.store.new_id(), item_type, name, "", now, now)
        place.items[item.id] = item
        self.world.model.add_companions(place, item)
        return item

    def _touch(self, place: Workspace) -> None:
        """Give a companion of any owner a description: from now on it belongs to another actor."""
        outliving = [i for i in place.items.values() if i.outlives and i.id not in self.other_actors.things]
        if outliving:
            self.world.occurred["companion touched"] += 1
            item = self.chance.choice(outliving)
            item.description = "mine now"
            self.other_actors.remember_item(place, item)
