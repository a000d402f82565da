"""A workspace that is connected with a branch, which the deployments of a schedule update and have to restore.

Everything here is drawn from a random generator of its own, so that the rest of a seed's schedule stays the same. The
branch deletes a pipeline, which Fabric creates again at once, and no notebook: an operation of Fabric that fails would
reserve its name, and the rollback could never create it again.
"""

import base64
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from local.fabric_simulator import control
from local.fabric_simulator.bulk import root_of
from local.fabric_simulator.folders import Folders
from shared.domain.states import DeploymentState, IntentAction, StepState
from shared.steps.definition_parts import PLATFORM
from tests.simulation import git_branches
from tests.simulation.edges import own_role
from tests.simulation.fault_table import BRANCH
from tests.simulation.git_branches import CHANGED, NEW, RENAMED, files, plans, without
from tests.simulation.other_actors import OtherActors
from tests.simulation.world import World

_KIND = "git_update"
_OLD = {**files("Notebook", "changed", CHANGED, "x = 1"), **files("Notebook", "renamed", RENAMED, "y = 1")}
_NEXT = {
    **files("Notebook", "changed", CHANGED, "x = 2", description="new"),
    **without(files("Notebook", "renamed", RENAMED, "y = 1")),
    **files("Notebook", "other", RENAMED, "y = 2", folder="Raw/"),
    **files("Notebook", "new", NEW, "n = 1", folder="Raw/Deep/"),
}
_AT_HEAD = ("x = 2", "/Raw/Deep/new.Notebook", "/Raw/other.Notebook", "['07:00']", "['08:00']")
"""Texts and times of schedules that the workspace has when it is at the head of the branch."""


@dataclass
class GitInSchedule:
    """The connected workspace of a seed's schedule, and its contents at the beginning."""

    world: World
    chance: random.Random
    is_on: bool
    others: OtherActors
    place: str = ""
    before: str = ""

    @classmethod
    def of(cls, seed: int, world: World, others: OtherActors) -> "GitInSchedule":
        """Draw it from the seed: one in six has such a workspace."""
        chance = random.Random(f"{seed}/git")
        found = cls(world, chance, chance.random() < 1 / 6, others)
        if found.is_on:
            found._prepare()
        return found

    def _prepare(self) -> None:
        row = {"displayName": "in git", "roleAssignments": [own_role()]}
        self.place = control.seed(self.world.model, {"workspaces": [row]})["workspaces"][0]["id"]
        self.others.remember(self.place)
        self.others.compared.add(self.place)
        git_branches.put_replanned(self.world.model, self.place, BRANCH, (_OLD, _NEXT))
        self.before = self._now()

    def _now(self) -> str:
        """Return place, description, text and schedules of each item that no other actor created, and the folders."""
        workspace = self.world.model.store.workspaces[self.place]
        rows = [
            (root_of(workspace, item), item.description, base64.b64decode(part["payload"]).decode())
            for item in workspace.items.values()
            if item.id not in self.others.things
            for part in (item.definition or {"parts": []})["parts"]
            if part["path"] != PLATFORM
        ]
        own = [item for item in workspace.items.values() if item.id not in self.others.things]
        return str([sorted(rows), sorted(f.name for f in workspace.part(Folders).by_id.values()), plans(own)])

    def amend(self, manifest: dict[str, Any]) -> None:
        """Update the workspace, and in most schedules add a step after it that cannot succeed."""
        if not self.is_on:
            return
        self.world.occurred["update from Git"] += 1
        spec: dict[str, Any] = {"workspaceId": self.place}
        if self.chance.random() < 0.3:
            spec["conflictResolution"] = "PreferRemote"
        manifest["steps"].append({"id": "git_update", "kind": _KIND, "needs": [], "with": spec})
        if self.chance.random() < 0.6:
            ball = {"workspaceId": self.place, "type": "CrystalBall", "displayName": "marble"}
            manifest["steps"].append({"id": "marble", "kind": "item", "needs": ["git_update"], "with": ball})

    def violations(self, ids: list[str]) -> Iterable[str]:
        """Check that the workspace is as before if every update was compensated, and as the branch if one was kept."""
        if not self.is_on:
            return
        rows = [(d, s.record) for d in ids for s in self.world.journal.steps(d) if s.record.kind == _KIND]
        updates = [(d, r) for d, r in rows if r.intent is not None and r.intent.action is IntentAction.UPDATE]
        kept = [d for d, r in updates if r.state is not StepState.COMPENSATED]
        now = self._now()
        if not kept and now != self.before:
            yield f"every update from Git was compensated; the workspace was {self.before} and is {now}"
        is_at_head = all(text in now for text in _AT_HEAD) and "/past.DataPipeline" not in now
        if kept and not is_at_head and all(self.world.state(d) is DeploymentState.SUCCEEDED for d, _ in updates):
            yield f"{kept[0]} succeeded, and the workspace is not at the head of the branch: {now}"
