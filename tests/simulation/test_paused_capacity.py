"""A paused capacity answers 404 to everything in its workspaces, also for what exists: that proves nothing."""

from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.flags import FeatureFlags
from shared.domain.policy import EnginePolicy
from shared.domain.states import DeploymentState
from shared.saga.command.verbs import Verb
from shared.steps.marker import marker_of, with_marker
from tests.simulation import test_orphans as quarantine
from tests.simulation.edges import WORKSPACE
from tests.simulation.laws import encoded
from tests.simulation.test_companions import FLOW, HOUSE, adopted, in_eventhouse, manifest
from tests.simulation.test_repository import manifest as repository_manifest
from tests.simulation.test_sweeper import late, pass_grace, roll_back, workspace
from tests.simulation.world import World

pytestmark = pytest.mark.law(1, 2)
GONE = {"status": 404, "body": {"errorCode": "WorkspaceNotFound", "message": "The requested workspace was not found."}}


def paused(world: World, is_paused: bool) -> None:
    """Pause the capacity of every workspace, or let it run."""
    world.model.update_settings({"paused_capacity": "404" if is_paused else ""})


def paused_once(world: World, method: str, path: str) -> None:
    """Let the capacity be paused during the next call of this kind."""
    rule = {"match": {"method": method, "path": path}, "when": {"times": 1}, "action": GONE}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200


def paused_calls(world: World) -> int:
    """Return how many calls `paused_once` let fail."""
    return sum(rule["injected"] for rule in world.model.faults.shown())


def test_sweep_deletes_an_orphan_when_its_capacity_runs_again() -> None:
    """The search is repeated: an orphan that it could not see is not taken for absent."""
    world = World()
    place = workspace(world)
    roll_back(world)
    orphan = late(world, place, "silver", with_marker("", marker_of("d", "silver")))
    pass_grace(world)
    paused(world, True)
    assert world.sweep().orphans == []
    assert world.journal.header("d").record.orphan_checked_at is None
    paused(world, False)
    assert world.sweep().orphans == [orphan]
    assert world.names() == {"sales": []}


def test_sweep_deletes_an_orphan_whose_deletion_met_a_paused_capacity() -> None:
    world = World()
    place = workspace(world)
    roll_back(world)
    orphan = late(world, place, "silver", with_marker("", marker_of("d", "silver")))
    pass_grace(world)
    paused_once(world, "DELETE", f".*/{orphan}")
    world.sweep()
    assert (world.names(), paused_calls(world)) == ({"sales": ["silver"]}, 1)
    world.sweep()
    assert world.names() == {"sales": []}


def test_sweep_deletes_companions_when_their_capacity_runs_again() -> None:
    """Only companions are left, and they are looked for in the list of the workspace's items alone."""
    world = World()
    world.model.settings.companion_seconds = 600.0
    adopted(world)
    world.submit(manifest(FLOW))
    assert world.run() == [DeploymentState.COMPENSATED]
    world.clock.advance(world.policy.orphan_grace_seconds + 1)
    paused(world, True)
    assert world.sweep().orphans == []
    paused(world, False)
    assert len(world.sweep().orphans) == 2
    assert world.names() == {"sales": []}


def test_companion_whose_deletion_met_a_paused_capacity_is_deleted() -> None:
    """The step that deletes it is delivered again."""
    world = World()
    adopted(world)
    world.submit(manifest(FLOW, fails=False))
    assert world.run() == [DeploymentState.SUCCEEDED]
    [staging, *_] = [i for w in world.model.store.workspaces.values() for i in w.standing() if i.name != "orders"]
    paused_once(world, "DELETE", f".*/{staging.id}")
    assert world.ask(Verb.RETIRE).accepted
    assert world.run() == [DeploymentState.COMPENSATED]
    assert (world.names(), paused_calls(world)) == ({"sales": []}, 1)


def test_quarantined_item_whose_deletion_met_a_paused_capacity_is_deleted() -> None:
    world = World(1)
    item_id = quarantine.deployed(world)
    world.submit(repository_manifest(quarantine.content(world, orphans="delete")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    paused_once(world, "DELETE", f".*/{item_id}")
    world.pass_hours(24)
    assert (item_id in quarantine.items(world), paused_calls(world)) == (False, 1)


@pytest.mark.parametrize("is_ours", [True, False], ids=["workspace of ours", "workspace that was there"])
def test_eventhouse_that_cannot_be_looked_into_stays(is_ours: bool) -> None:
    """Fabric would delete the database of another actor with it; a 404 does not show that it has none."""
    world = World()
    if not is_ours:
        adopted(world)
    world.submit(manifest(HOUSE, fails=False))
    assert world.run() == [DeploymentState.SUCCEEDED]
    in_eventhouse(world, "theirs")
    paused_once(world, "GET", ".*/eventhouses/.*")
    world.ask(Verb.RETIRE)
    world.run(hours=2.0)
    assert (world.state(), paused_calls(world)) == (DeploymentState.STUCK, 1)
    assert world.names() == {"sales": ["telemetry", "telemetry", "theirs"]}


def test_deployment_whose_resource_another_one_uses_is_not_rolled_back_while_nobody_can_see_it() -> None:
    """Its create got no answer, and a later deployment adopted what it made. Only Fabric can show that."""
    world = World(policy=EnginePolicy().under(FeatureFlags(rollback=False, retry_logic=False)))
    adopted(world)
    rule = {"match": {"method": "POST", "path": ".*/lakehouses"}, "when": {"times": 1}, "action": {"reset": "after"}}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    lake: dict[str, Any] = {"workspaceId": WORKSPACE, "displayName": "lake"}
    steps = [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}},
        {"id": "lake", "kind": "lakehouse", "with": lake},
    ]
    world.submit({"name": "m", "steps": steps})
    assert world.run() == [DeploymentState.FAILED]
    assert world.journal.step("d", 1)[1].record.resource is None
    world.clock.advance(60)
    world.submit({"name": "m", "steps": steps}, "later")
    assert world.run("later") == [DeploymentState.SUCCEEDED]
    paused(world, True)
    answer = world.ask(Verb.COMPENSATE)
    assert (answer.accepted, "cannot be checked" in answer.message) == (False, True)
    paused(world, False)
    assert "later uses resources of this one" in world.ask(Verb.COMPENSATE).message
