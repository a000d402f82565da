"""Settings of a workspace in the deployments of a schedule, and what else is in a workspace beside items and roles.

Everything here is drawn from a random generator of its own, so that the rest of a seed's schedule stays the same.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator import control
from local.fabric_simulator.git_sync import GitLink
from local.fabric_simulator.item_connections import Bindings
from shared.domain.states import DeploymentState, StepState
from tests.simulation.edges import WORKSPACE
from tests.simulation.fault_table import (
    BRANCH,
    CAPACITIES,
    CONNECTIONS,
    DOMAINS,
    SIGN_IN,
    TAGS,
    put_connections,
    put_tenant,
    settings_of,
)
from tests.simulation.world import World

_KINDS = ("capacity_assignment", "domain_assignment", "spark_settings", "tags", "git_link", "git_initialisation")
MODEL: dict[str, Any] = {
    "parts": [
        {"path": "definition.pbism", "text": '{"version": "4.2", "settings": {}}'},
        {"path": "definition/model.tmdl", "text": "model Model"},
        {"path": "definition/expressions.tmdl", "text": 'expression Source = Sql.Database("server", "database")'},
    ]
}
"""A semantic model whose one data source is that of CONNECTIONS."""
_KEPT = (DeploymentState.SUCCEEDED, DeploymentState.FAILED)


@dataclass
class SettingsInSchedule:
    """The settings of a seed's schedule. `before` are those of the workspaces that existed at its beginning."""

    world: World
    chance: random.Random
    bindings: random.Random
    endpoints: random.Random
    is_on: bool
    before: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())

    @classmethod
    def of(cls, seed: int, world: World) -> "SettingsInSchedule":
        """Draw it from the seed: one in five has settings."""
        chance = random.Random(f"{seed}/settings")
        own = random.Random(f"{seed}/bindings"), random.Random(f"{seed}/SQL endpoints")
        found = cls(world, chance, *own, chance.random() < 0.2)
        if found.is_on:
            control.seed(world.model, {"capacities": [{"id": capacity} for capacity in CAPACITIES]})
            put_tenant(world, is_tagged=chance.random() < 0.5)
            put_connections(world.model, is_bound=False)
            found.before = found._now()
        return found

    def _now(self) -> dict[str, Any]:
        """Return the settings by workspace. An item that was added or removed has no tags that matter here."""
        found: dict[str, Any] = {}
        for w in self.world.model.store.workspaces.values():
            settings = settings_of(w, self.world.clock.now().timestamp())
            found[w.id] = str([w.capacity_id, w.part(GitLink).link is not None, *settings[:2], settings[4]])
        return found

    def amend(self, manifest: dict[str, Any]) -> None:
        """Add some settings to a manifest, and in some a step after them that cannot succeed."""
        if not self.is_on:
            return
        self.world.occurred["settings"] += 1
        chance, place = self.chance, {"workspaceId": WORKSPACE}
        job = {"sessionTimeoutInMinutes": chance.choice([20, 45, 60])}
        drawn: list[dict[str, Any]] = [
            {
                "id": "capacity",
                "kind": "capacity_assignment",
                "with": {**place, "capacityId": chance.choice(CAPACITIES)},
            },
            {"id": "domain", "kind": "domain_assignment", "with": {**place, "domainId": chance.choice(DOMAINS)}},
            {"id": "spark", "kind": "spark_settings", "with": {**place, "settings": {"job": job}}},
            {"id": "tags", "kind": "tags", "with": {**place, "tags": chance.sample(TAGS, chance.randint(1, 2))}},
        ]
        git = {**place, **BRANCH, "connectionId": SIGN_IN, "initializationStrategy": "PreferWorkspace"}
        drawn.append({"id": "git", "kind": "git_connection", "with": git})
        drawn.append({"id": "house", "kind": "warehouse", "with": {**place, "displayName": "house"}})
        cores = {"driver_cores": chance.choice([4, 8])}
        compute = {**place, "displayName": "compute", "sparkCompute": cores, "ifExists": "update"}
        drawn.append({"id": "compute", "kind": "environment", "with": compute})
        chosen = chance.sample(drawn, chance.randint(1, 4))
        manifest["steps"] += chosen
        if chance.random() < 0.4:
            lake = "${{ steps.linked.outputs.id }}"
            target = {"oneLake": {**place, "itemId": lake, "path": chance.choice(["Tables", "Files"])}}
            link = {**place, "itemId": lake, "path": "Files", "name": "link", "target": target}
            link["ifExists"] = chance.choice(["adopt", "update"])
            manifest["steps"].append({"id": "linked", "kind": "lakehouse", "with": {**place, "displayName": "linked"}})
            manifest["steps"].append({"id": "link", "kind": "shortcut", "with": link})
            if self.endpoints.random() < 0.5:
                self.world.occurred["refresh of a SQL endpoint"] += 1
                tables = {**place, "itemId": lake, "recreateTables": self.endpoints.random() < 0.5}
                step = {"id": "tables", "kind": "sql_endpoint_refresh", "needs": ["link"], "with": tables}
                manifest["steps"].append(step)
        manifest["steps"] += self._binding()
        if chance.random() < 0.5:
            spec = {"workspaceId": WORKSPACE, "type": "CrystalBall", "displayName": "jewel"}
            needs = [step["id"] for step in chosen]
            manifest["steps"].append({"id": "jewel", "kind": "item", "needs": needs, "with": spec})

    def _binding(self) -> list[dict[str, Any]]:
        """Return a semantic model and the connection of its data source, or nothing; drawn by a generator of their
        own."""
        if self.bindings.random() < 0.5:
            return []
        self.world.occurred["connection of a model"] += 1
        place, connection = {"workspaceId": WORKSPACE}, self.bindings.choice(CONNECTIONS)
        model = {**place, "type": "SemanticModel", "displayName": "model", "definition": MODEL}
        binding = {**place, "itemId": "${{ steps.model.outputs.id }}", "connectionId": connection}
        return [
            {"id": "model", "kind": "item", "with": model},
            {"id": "binding", "kind": "connection_binding", "with": binding},
        ]

    def _binding_violations(self, ids: list[str]) -> Iterable[str]:
        """Check that a model is bound as a deployment that was kept says, and not at all if none does."""
        rows = [
            s.record
            for d in ids
            if self.world.state(d) in _KEPT
            for s in self.world.journal.steps(d)
            if s.record.kind == "connection_binding" and s.record.state is not StepState.COMPENSATED
        ]
        allowed = {self.world.services.payloads.load(row.spec)["connectionId"] for row in rows}
        for workspace in self.world.model.store.workspaces.values():
            for item in workspace.standing():
                for source, bound in item.part(Bindings).by_source.items():
                    if bound not in allowed:
                        yield f"the source {source} of {item.name} is bound to {bound}, as no deployment says"

    def violations(self, ids: list[str]) -> Iterable[str]:
        """Check that the settings are as before if no deployment was kept whose steps may have changed them."""
        if not self.is_on:
            return
        yield from self._binding_violations(ids)
        rows = [
            s.record
            for d in ids
            if self.world.state(d) in _KEPT
            for s in self.world.journal.steps(d)
            if s.record.kind in _KINDS
        ]
        if any(row.state not in (StepState.COMPENSATED, StepState.SKIPPED) and row.intent is not None for row in rows):
            return
        now = self._now()
        for workspace_id, was in self.before.items():
            if workspace_id in now and now[workspace_id] != was:
                yield f"the settings of {workspace_id} were {was} and are {now[workspace_id]}"
