"""The law of the dry run: the deployment does in a tenant what the dry run reports."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from local.fabric_simulator import control
from shared.domain.manifest import compile_manifest
from shared.domain.states import DeploymentState, StepState
from shared.saga.dry_run.changes import dry_run
from shared.saga.dry_run.result import Action
from shared.steps import KINDS, STEPS
from tests.simulation import repositories, schedules
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.test_sql_endpoints import lake_with_table
from tests.simulation.test_sql_endpoints import manifest as with_workspace
from tests.simulation.world import World

DONE = {
    Action.CREATE: "create",
    Action.UPDATE: "update",
    Action.UNCHANGED: "adopt",
    Action.ADOPT: "adopt",
}
"""The words of the journal for what a dry run reports."""


def manifest(chance: random.Random) -> dict[str, Any]:
    """Return a manifest without what only an attempt can tell, such as types that Fabric does not know, and short
    timeouts."""
    made = schedules.manifest(chance)
    made["onFailure"] = "rollback"
    made["steps"] = [step for step in made["steps"] if step["id"] != "ball"]
    for step in made["steps"]:
        step.pop("timeout", None)
        step["needs"] = [need for need in step.get("needs", []) if need != "ball"]
    return made


def tenant(world: World, chance: random.Random) -> None:
    """Create, in some cases, a workspace of that name with some of the items in it, some as requested and some not."""
    if chance.random() < 0.2:
        return
    items: list[dict[str, Any]] = []
    for name in chance.sample(["bronze", "silver", "gold"], chance.randint(0, 3)):
        items.append({"type": "Lakehouse", "displayName": name, "description": chance.choice(["", "tables", "else"])})
    for name in chance.sample(["clean", "join"], chance.randint(0, 2)):
        payload = chance.choice(["eCA9IDE=", "eCA9IDI=", "b2xk"])  # x = 1, x = 2, old
        part = {"path": "notebook-content.py", "payload": payload, "payloadType": "InlineBase64"}
        items.append({"type": "Notebook", "displayName": name, "definition": {"parts": [part]}})
    roles = [own_role()]
    for i in range(chance.randint(0, 2)):
        role = chance.choice(["Viewer", "Member"])
        roles.append({"id": f"{schedules.PRINCIPAL}{i}", "type": "User", "role": role})
    words = chance.choice(["words", "other words", ""])
    row = {"displayName": chance.choice(["sales", "Sales"]), "description": words, "roleAssignments": roles}
    control.seed(world.model, {"workspaces": [{**row, "items": items}]})


@settings(max_examples=80)
@given(st.integers(0, 10**9))
def test_law_deployment_does_what_the_dry_run_reports(seed: int) -> None:
    """Every step that runs does what was reported, a step fails exactly if it was reported as blocked, and after a
    success nothing is left to change."""
    chance = random.Random(seed)
    world = World(seed)
    tenant(world, chance)
    given_manifest = manifest(chance)
    plan = compile_manifest(given_manifest, KINDS)

    def look() -> Any:
        return dry_run(world.fabric, STEPS, plan, clock=world.clock, sleep=world.clock.advance, parallel=1)

    text = look()
    effects = [c for c in world.model.calls if c["effect"] and not c["path"].endswith("/getDefinition")]
    assert effects == []
    world.submit(given_manifest)
    [state] = world.run("d")
    rows = {s.record.step_id: s.record for s in world.journal.steps("d")}
    for step in text.steps:
        row = rows[step.id]
        if row.intent is not None:
            assert row.intent.action == DONE[step.action], f"{step} became {row.intent}"
        if step.resource is not None and row.resource is not None:
            assert row.resource.id == step.resource.id
        if row.error is not None:
            assert step.action is Action.BLOCKED, f"{step} failed: {row.error}"
    if text.counts[Action.BLOCKED]:
        assert state is DeploymentState.COMPENSATED
        return
    assert state is DeploymentState.SUCCEEDED
    assert {row.state for row in rows.values()} == {StepState.SUCCEEDED}
    own = [c for c in world.model.calls if c["effect"] and not c["path"].endswith("/getDefinition")]
    assert bool(own) == bool(text.changes), "something was changed where nothing was to change, or the reverse"
    repeated = look()
    assert repeated.changes == 0, repeated.steps


def test_law_plan_says_what_steps_do_that_create_nothing() -> None:
    """The same deployment creates the items that they work on. They update these; a wait changes nothing, and in a new
    workspace nothing is removed or quarantined."""
    world = World(3)
    row = repositories.item(world.blobs, "DataPipeline", "run", "{}")
    row = repositories.scheduled(world.blobs, row, {"06:00": True})
    lake = repositories.item(world.blobs, "Lakehouse", "gold")
    note = repositories.item(world.blobs, "Notebook", "load", "x = 1")
    content = repositories.step(WORKSPACE, [row, lake, note], orphans="delete", refreshSqlEndpoints=True)
    spark = {"workspaceId": WORKSPACE, "settings": {"job": {"conservativeJobAdmissionEnabled": True}}}
    settings_step = {"id": "spark", "kind": "spark_settings", "with": spark}
    given_manifest = with_workspace(*lake_with_table(), settings_step, content)
    plan = compile_manifest(given_manifest, KINDS)
    found = dry_run(world.fabric, STEPS, plan, clock=world.clock, sleep=world.clock.advance, parallel=1)
    world.submit(given_manifest)
    assert world.run() == [DeploymentState.SUCCEEDED]
    rows = {s.record.step_id: s.record for s in world.journal.steps("d")}
    done = {step_id: row.intent.action.value for step_id, row in rows.items() if row.intent is not None}
    assert {step.id: DONE[step.action] for step in found.steps} == done
    assert {"update", "create", "adopt"} <= set(done.values())
    actions = {step.id: (step.action, step.reason) for step in found.steps}
    assert actions["tables"] == (Action.UPDATE, "known after apply: workspaceId, sqlEndpointId")
    assert actions["content/removed-schedules"] == (Action.UNCHANGED, "nothing to remove")
