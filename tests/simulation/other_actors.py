"""Other actors in the same tenant: they create resources that are not ours, and that must be unchanged in the end."""

import copy
import random
from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator import companions, control
from local.fabric_simulator.store import Item, Workspace
from tests.simulation.edges import own_role
from tests.simulation.world import World

OWN_DEFINITION = {"parts": [{"path": "notebook-content.py", "payload": "b2xk", "payloadType": "InlineBase64"}]}
PRINCIPAL = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c0"


@dataclass
class OtherActors:
    """Creates resources of other actors, remembers them as they were, and removes them on request."""

    world: World
    chance: random.Random
    things: dict[str, dict[str, Any]] = field(default_factory=lambda: dict[str, dict[str, Any]]())
    removed_ids: set[str] = field(default_factory=lambda: set[str]())
    compared: set[str] = field(default_factory=lambda: set[str]())
    """The ids of the workspaces whose contents tests/simulation/git_in_schedule.py compares."""

    def seed_workspace(self) -> None:
        """Create a workspace with our name and some items with our names, before any deployment starts."""
        self.world.occurred["workspace there before"] += 1
        role = own_role()
        roles = [role]
        if self.chance.random() < 0.5:
            roles.append({"id": f"{PRINCIPAL}0", "type": "User", "role": "Contributor"})
        names = self.chance.sample(["bronze", "silver", "clean", "join"], self.chance.randint(0, 3))
        row = {
            "displayName": self.chance.choice(["sales", "Sales"]),
            "description": "own words",
            "roleAssignments": roles,
        }
        made = control.seed(self.world.model, {"workspaces": [{**row, "items": [_item(name) for name in names]}]})
        self.remember(made["workspaces"][0]["id"])

    def appear(self) -> None:
        """Create a resource with a name that a deployment will use or has used.

        Do nothing while a call of a dead process is in flight. A deletion that Fabric has already received also deletes
        what is created after the guard's look, and nothing can prevent that.
        """
        if self.world.late_calls:
            return
        self.world.occurred["another actor's item"] += 1
        workspaces = list(self.world.model.store.workspaces.values())
        if not workspaces:
            role = own_role()
            made = control.seed(self.world.model, {"workspaces": [{"displayName": "sales", "roleAssignments": [role]}]})
            self.remember(made["workspaces"][0]["id"])
            return
        place = self.chance.choice(workspaces)
        taken = {i.name for i in place.items.values()}
        free = [name for name in ("bronze", "silver", "gold", "clean", "join") if name not in taken]
        if free:
            made = control.seed(
                self.world.model, {"workspaces": [{"id": place.id, "items": [_item(self.chance.choice(free))]}]}
            )
            self.remember_item(place, place.items[made["workspaces"][0]["items"][0]])

    def remove_blocking_items(self) -> None:
        """Remove the items of other actors from our workspaces, as a person would who has read in the error that they
        block the rollback; and what an audit says was kept because nothing proves whose it is."""
        kept = self._kept()
        for workspace in self.world.model.store.workspaces.values():
            for item_id in [i.id for i in workspace.items.values() if self._is_blocking(workspace, i, kept)]:
                removed = workspace.items.pop(item_id, None)  # It was deleted with an earlier one.
                if removed is not None:
                    companions.take_along(workspace, removed)
                self.removed_ids.add(item_id)

    def _kept(self) -> str:
        """Return what the audits say about kept items, with their ids."""
        deployments = {record.deployment_id for record in self.world.journal.deployments()}
        reasons = (entry.reason for each in deployments for entry in self.world.journal.audit(each))
        return "\n".join(reason for reason in reasons if "kept, because nothing proves" in reason)

    def _is_blocking(self, workspace: Workspace, item: Item, kept: str) -> bool:
        """Return True for an item of another actor, or one that an audit says was kept, in a workspace, an eventhouse
        or a folder of ours: other actors have no folders."""
        if item.id in kept and (workspace.id not in self.things or item.folder_id is not None):
            return True
        house = companions.eventhouse_of(item)
        is_inside = workspace.id not in self.things or (house is not None and house not in self.things)
        is_inside = is_inside or item.folder_id is not None
        return item.id in self.things and is_inside

    def unfinished(self) -> set[str]:
        """Return the items whose operation was set never to end. They become visible when it ends."""
        done = {
            o.result["id"]
            for o in self.world.model.store.operations.values()
            if o.result and not o.error and "id" in o.result
        }
        items = [i for w in self.world.model.store.workspaces.values() for i in w.items.values()]
        return {i.id for i in items if i.visible_at == float("inf")} & done

    def remember(self, workspace_id: str) -> None:
        """Remember a workspace and all its items as they are now."""
        workspace = self.world.model.store.workspaces[workspace_id]
        self.things[workspace.id] = {"description": workspace.description, "roles": copy.deepcopy(workspace.roles)}
        for item in workspace.items.values():
            self.remember_item(workspace, item)

    def remember_item(self, workspace: Workspace, item: Item) -> None:
        """Remember an item of another actor, which must stay as it is now."""
        definition = copy.deepcopy(item.definition)
        self.things[item.id] = {"description": item.description, "definition": definition, "in": workspace.id}


def _item(name: str) -> dict[str, Any]:
    if name in ("clean", "join"):
        return {
            "type": "Notebook",
            "displayName": name,
            "description": "own",
            "definition": copy.deepcopy(OWN_DEFINITION),
        }
    return {"type": "Lakehouse", "displayName": name, "description": "own"}
