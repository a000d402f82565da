"""A notebook that a deployment updates and then has to restore, while Fabric refuses definitions.

Everything here is drawn from a random generator of its own, so that the rest of a seed's schedule stays the same.
"""

import random
from dataclasses import dataclass
from typing import Any

from local.fabric_simulator import control
from local.fabric_simulator.store import Workspace
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.other_actors import OWN_DEFINITION, OtherActors
from tests.simulation.world import World

REFUSED: dict[str, Any] = {
    "match": {"method": "POST", "path": ".*/updateDefinition"},
    "when": {"probability": 0.5},
    "action": {"operation": "fail", "error": {"errorCode": "CorruptedPayload", "message": "x"}},
}
"""Operations that change a definition, or restore one, fail with a code that does not name a passing fault."""
NAME = "report"
"""The name of the notebook. Nobody else in a schedule uses it."""


@dataclass
class Restored:
    """The notebook and the refusals in a seed's schedule."""

    world: World
    chance: random.Random
    refuses: bool
    is_on: bool

    @classmethod
    def of(cls, seed: int, world: World) -> "Restored":
        """Draw it from the seed: refused definitions in three of ten seeds, with the notebook in half of those."""
        chance = random.Random(f"{seed}/definitions")
        refuses = chance.random() < 0.3
        return cls(world, chance, refuses, refuses and chance.random() < 0.5)

    def rules(self) -> list[dict[str, Any]]:
        """Return the fault rules to add to those of the schedule."""
        return [REFUSED] if self.refuses else []

    def prepare(self, other_actors: OtherActors) -> None:
        """Put the notebook into a workspace that existed before; create the workspace if the seed has none."""
        if not self.is_on:
            return
        self.world.occurred["notebook there before"] += 1
        workspaces = list(self.world.model.store.workspaces.values())
        row: dict[str, Any] = {"id": workspaces[0].id} if workspaces else self._new_workspace()
        notebook = {"type": "Notebook", "displayName": NAME, "description": "own", "definition": OWN_DEFINITION}
        made = control.seed(self.world.model, {"workspaces": [{**row, "items": [notebook]}]})["workspaces"][0]
        place: Workspace = self.world.model.store.workspaces[made["id"]]
        if workspaces:
            other_actors.remember_item(place, place.items[made["items"][0]])
        else:
            other_actors.remember(place.id)

    def _new_workspace(self) -> dict[str, Any]:
        role = own_role()
        return {"displayName": "sales", "description": "own words", "roleAssignments": [role]}

    def amend(self, manifest: dict[str, Any]) -> None:
        """Update the notebook, and in most schedules add a step after it that cannot succeed."""
        if not self.is_on:
            return
        part = {"path": "notebook-content.py", "text": f"x = {self.chance.randint(3, 4)}"}
        spec = {"workspaceId": WORKSPACE, "type": "Notebook", "displayName": NAME, "definition": {"parts": [part]}}
        step = {"id": NAME, "kind": "item", "needs": [], "with": {**spec, "ifExists": "update"}}
        manifest["steps"].append(step)
        if self.chance.random() < 0.7:
            spec = {"workspaceId": WORKSPACE, "type": "CrystalBall", "displayName": "globe"}
            manifest["steps"].append({"id": "globe", "kind": "item", "needs": [NAME], "with": spec})
