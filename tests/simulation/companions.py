"""Items to which Fabric adds companions, in the manifests of schedules; and other actors who create, or change, items
that look like companions.

Everything here is drawn from a random generator of its own, so that the rest of a seed's schedule stays the same.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator.http import Reply, Request
from local.fabric_simulator.store import Item, Workspace
from tests.simulation.edges import WORKSPACE
from tests.simulation.other_actors import OtherActors
from tests.simulation.world import World

BY_HAND = (
    ("Lakehouse", "plantdtdm"),
    ("KQLDatabase", "telemetry"),
    ("KQLDatabase", "theirs"),
    ("Lakehouse", "StagingLakehouseForDataflows_20200101000000"),
    ("Warehouse", "StagingWarehouseForDataflows_20200101000030"),
)
"""Items without a description that another actor may create. A database is in an eventhouse of whoever has one; most
of the others have the name of a companion."""
_TAKEN = 0.3
"""How often another actor creates the lakehouse whose name Fabric is about to use for ours."""


def before_create(world: World, act: Callable[[str, str, str], None]) -> None:
    """Let `act` run before Fabric receives a call that creates an item, with its path, the item's type and name."""
    handle = world.model.handle

    def first_others(request: Request) -> Reply:
        if request.method == "POST" and request.path.endswith("/items"):
            body = request.json()
            act(request.path, str(body.get("type")), str(body.get("displayName")))
        return handle(request)

    world.model.handle = first_others


_PARTS = {
    "Dataflow": {"mashup.pq": "section Section{};", "queryMetadata.json": "{{}}"},
    "Eventhouse": {"EventhouseProperties.json": '{{"minimumConsumptionUnits": {}}}'},
}
"""The parts of a definition, by type."""


@dataclass
class Companions:
    """The companions in a seed's schedule, and the acts of others on them."""

    world: World
    other_actors: OtherActors
    chance: random.Random
    environments: random.Random
    definitions: random.Random
    takers: random.Random
    acts: list[int] = field(default_factory=lambda: list[int]())
    is_on: bool = False
    is_calm: bool = False

    @classmethod
    def of(cls, seed: int, world: World, other_actors: OtherActors, steps: int) -> "Companions":
        """Draw the companions from the seed; half of all seeds have none."""
        chance = random.Random(f"{seed}/companions")
        environments, takers = random.Random(f"{seed}/environments"), random.Random(f"{seed}/takers")
        found = cls(world, other_actors, chance, environments, random.Random(f"{seed}/defined"), takers)
        if chance.random() < 0.5:
            world.model.settings.companion_seconds = chance.choice([0.0, 0.0, 5.0, 20.0])
            found.acts = [chance.randrange(steps) for _ in range(chance.choice([0, 0, 1, 3]))]
            found.is_on = True
            if takers.random() < 0.5:
                before_create(world, found.take_name)
        return found

    def amend(self, manifest: dict[str, Any]) -> None:
        """Add a dataflow, a digital twin builder, an eventhouse and its database, an environment, or some of them."""
        if not self.is_on:
            return
        steps = manifest["steps"]
        for item_type, name in (("Dataflow", "orders"), ("DigitalTwinBuilder", "plant"), ("Eventhouse", "telemetry")):
            if self.chance.random() < 0.5:
                spec: dict[str, Any] = {"workspaceId": WORKSPACE, "type": item_type, "displayName": name}
                spec |= self._defined(item_type)
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

    def _defined(self, item_type: str) -> dict[str, Any]:
        """Return the definition of half of the eventhouses and dataflows, and what happens if they exist."""
        if item_type not in _PARTS or self.definitions.random() < 0.5:
            return {}
        text = self.definitions.choice(["1", "2"])
        parts = [{"path": path, "text": content.format(text)} for path, content in _PARTS[item_type].items()]
        self.world.occurred[f"a defined {item_type}"] += 1
        return {"definition": {"parts": parts}, "ifExists": self.definitions.choice(["adopt", "update"])}

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
        if self._add(place, item_type, f"their{len(before)}", {}) is not None:
            for item in [i for i in place.standing() if i.id not in before]:
                self.other_actors.remember_item(place, item)

    def _by_hand(self, place: Workspace) -> None:
        item_type, name = self.chance.choice(BY_HAND)
        payload: dict[str, Any] = {}
        if item_type == "KQLDatabase":
            houses = [i for i in place.standing() if i.type == "Eventhouse"]
            if not houses:
                return
            payload = {"parentEventhouseItemId": self.chance.choice(houses).id}
        item = self._add(place, item_type, name, payload)
        if item is not None:
            self.other_actors.remember_item(place, item)

    def take_name(self, path: str, item_type: str, name: str) -> None:
        """Perhaps let another actor create a lakehouse just before Fabric receives our create of a digital twin
        builder, for which it would use that name."""
        place = self.world.model.store.workspaces.get(path.split("/")[3])
        if self.is_calm or place is None or item_type != "DigitalTwinBuilder" or self.takers.random() >= _TAKEN:
            return
        item = self._add(place, "Lakehouse", f"{name}dtdm", {})
        if item is not None:
            self.world.occurred["a companion's name taken after the look"] += 1
            self.other_actors.remember_item(place, item)

    def _add(self, place: Workspace, item_type: str, name: str, payload: dict[str, Any]) -> Item | None:
        if self._may_be_deleted() or any((i.type, i.name) == (item_type, name) for i in place.items.values()):
            return None
        self.world.occurred["another actor's companion-like item"] += 1
        now = self.world.clock.now().timestamp()
        item = Item(self.world.model.store.new_id(), item_type, name, "", now, now, creation_payload=payload)
        place.items[item.id] = item
        self.world.model.add_companions(place, item)
        return item

    def _may_be_deleted(self) -> bool:
        """Return True while a call of a dead process is in flight. A deletion that Fabric has already received also
        deletes what another actor creates or changes now, and nothing can prevent that (seed 9004829)."""
        return bool(self.world.late_calls)

    def _touch(self, place: Workspace) -> None:
        """Give a companion of any owner a description: from now on it belongs to another actor.

        Nobody can do that to what Fabric does not show yet: the guard's list would not show it either (seed 9121212).
        """
        now = self.world.clock.now().timestamp()
        shown = [i for i in place.items.values() if i.visible_at <= now]
        outliving = [i for i in shown if i.outlives and i.id not in self.other_actors.things]
        if outliving and not self._may_be_deleted():
            self.world.occurred["companion touched"] += 1
            item = self.chance.choice(outliving)
            item.description = "mine now"
            self.other_actors.remember_item(place, item)
