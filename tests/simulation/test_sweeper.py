"""The sweeper in the whole system: orphans, expired environments, retention, dry runs, two runs at once."""

import copy
from datetime import timedelta
from itertools import pairwise
from typing import Any

from local.fabric_simulator import control
from shared.domain.states import DeploymentState
from shared.saga.sweep import orphans
from shared.steps.marker import marker_of, with_marker
from tests.simulation.edges import IDENTITY
from tests.simulation.test_laws import MEDALLION, WHOLE, failing
from tests.simulation.world import World


def roll_back(world: World, deployment_id: str = "d") -> None:
    """A deployment that failed and was put back in a workspace that was there before."""
    world.submit(failing(), deployment_id)
    assert world.run(deployment_id) == [DeploymentState.COMPENSATED]


def workspace(world: World) -> str:
    """A workspace of somebody's own."""
    role = {"id": IDENTITY, "type": "ServicePrincipal", "role": "Admin"}
    row: dict[str, Any] = {"displayName": "sales", "roleAssignments": [role]}
    return control.seed(world.model, {"workspaces": [row]})["workspaces"][0]["id"]


def late(world: World, workspace_id: str, name: str, description: str) -> str:
    """A lakehouse that appears when nobody waits for it any more."""
    item = {"type": "Lakehouse", "displayName": name, "description": description}
    made = control.seed(world.model, {"workspaces": [{"id": workspace_id, "items": [item]}]})
    return made["workspaces"][0]["items"][0]


def pass_grace(world: World) -> None:
    """Until the sweeper is due."""
    world.clock.advance(world.policy.orphan_grace_seconds + 1)


def test_sweep_deletes_what_a_late_call_of_ours_made() -> None:
    """It bears the step's marker, so it is ours; the audit says so before it is deleted."""
    world = World()
    place = workspace(world)
    roll_back(world)
    orphan = late(world, place, "silver", with_marker("", marker_of("d", "silver")))
    assert world.sweep().orphans == []  # not before its time
    pass_grace(world)
    swept = world.sweep()
    assert swept.orphans == [orphan]
    assert world.names() == {"sales": []}
    reasons = " ".join(e.reason for e in world.journal.audit("d") if e.actor == "sweeper")
    assert orphan in reasons
    assert "1 orphan(s) deleted" in reasons
    assert world.sweep().counts() == {**dict.fromkeys(swept.counts(), 0)}


def test_sweep_finds_what_takes_hours_to_show() -> None:
    """The answer to a create was lost, and its operation takes longer than everything else: it is looked for again,
    ever more seldom; after a day it is not."""
    world = World()
    place = workspace(world)
    lost = {"reset": "after", "operation": "never"}
    world.model.faults.replace([{"match": {"method": "POST", "path": ".*/items"}, "action": lost}])
    world.submit(MEDALLION)
    assert world.run() == [DeploymentState.COMPENSATED]
    notebooks = [i for i in world.model.store.workspaces[place].items.values() if i.type == "Notebook"]
    world.model.faults.replace([])
    looks: list[float] = []
    ended = world.clock.now()
    shown = ended + timedelta(hours=6)
    for notebook in notebooks:
        notebook.visible_at = shown.timestamp()
    while world.clock.now() - ended < timedelta(days=3):
        swept = world.sweep()
        looks += [(world.clock.now() - ended).total_seconds() / 3600] * bool(swept.orphan_checked)
        world.clock.advance(300)
    assert notebooks
    assert world.names() == {"sales": []}
    assert all(later / earlier > 1.9 for earlier, later in pairwise(looks))
    assert len(looks) < 10
    assert looks[-1] >= 24
    assert world.journal.header("d").record.orphan_checked_at is not None


def test_sweep_leaves_what_only_bears_the_name() -> None:
    """A stranger's lakehouse of the same name, or with another deployment's marker, is not an orphan."""
    world = World()
    place = workspace(world)
    roll_back(world)
    late(world, place, "silver", "somebody's own")
    late(world, place, "gold", with_marker("", marker_of("other", "gold")))
    pass_grace(world)
    assert world.sweep().orphans == []
    assert world.names() == {"sales": ["gold", "silver"]}


def test_sweep_leaves_what_a_later_deployment_took_up() -> None:
    """An orphan that was adopted since is part of a deployment that succeeded."""
    world = World()
    place = workspace(world)
    roll_back(world)
    late(world, place, "silver", with_marker("", marker_of("d", "silver")))
    world.submit(MEDALLION, "second")
    assert world.run("second", sweeping=False) == [DeploymentState.SUCCEEDED]
    pass_grace(world)
    assert world.sweep().orphans == []
    assert world.names() == WHOLE


def test_sweep_waits_for_a_target_that_is_held() -> None:
    """While another deployment is at the target, nothing is looked over there."""
    world = World()
    place = workspace(world)
    roll_back(world)
    late(world, place, "silver", with_marker("", marker_of("d", "silver")))
    pass_grace(world)
    held = world.journal.header("d").record.target
    world.locks.acquire(held, "another", world.clock.now(), 60)
    assert world.sweep().orphan_checked == []
    world.clock.advance(61)
    assert world.sweep().orphan_checked == ["d"]


def test_sweep_dry_run_says_and_does_nothing() -> None:
    """The same findings, and neither Fabric nor the journal moves."""
    world = World()
    place = workspace(world)
    roll_back(world)
    orphan = late(world, place, "silver", with_marker("", marker_of("d", "silver")))
    pass_grace(world)
    before = (world.names(), world.journal.header("d"), world.journal.audit("d"))
    assert world.sweep(dry_run=True).orphans == [orphan]
    assert (world.names(), world.journal.header("d"), world.journal.audit("d")) == before
    assert not [c for c in world.model.calls[-10:] if c["method"] != "GET" and c["at"] == world.clock.now().timestamp()]
    assert world.sweep().orphans == [orphan]


def test_sweep_puts_an_expired_environment_back() -> None:
    """expiresAfter: the whole deployment is compensated when its time is up, and not before."""
    world = World()
    world.submit({**copy.deepcopy(MEDALLION), "expiresAfter": "2h"})
    assert world.run() == [DeploymentState.SUCCEEDED]
    world.clock.advance(7100)
    assert world.sweep().expired == []
    world.clock.advance(200)
    assert world.sweep(dry_run=True).expired == ["d"]
    assert world.sweep().expired == ["d"]
    assert world.sweep().expired == []
    world.run()
    assert world.state() is DeploymentState.COMPENSATED
    assert world.names() == {}
    assert any("its time is up" in e.reason for e in world.journal.audit("d"))


def test_sweep_forgets_what_is_past_its_retention_but_for_its_audit() -> None:
    """The journal and the engine's history go; who did what stays."""
    world = World()
    world.submit(MEDALLION)
    world.run()
    world.submit({"name": 7}, "bad")
    audit = world.journal.audit("d")
    assert "d" in world.orchestrations
    world.clock.advance(world.policy.retention_seconds + 1)
    assert sorted(world.sweep().purged) == ["bad", "d"]
    assert "d" not in world.orchestrations
    assert world.journal.steps("d") == []
    assert list(world.journal.deployments()) == []
    assert world.journal.audit("d") == audit
    assert world.names() == WHOLE


def test_sweep_twice_at_once_does_nothing_twice(monkeypatch: Any) -> None:
    """A second run in the middle of the first: the orphan is deleted once, and both end well."""
    world = World()
    place = workspace(world)
    roll_back(world)
    orphan = late(world, place, "silver", with_marker("", marker_of("d", "silver")))
    pass_grace(world)
    original, inner = orphans.find_orphans, list[list[str]]()

    def nested(services: Any, header: Any) -> Any:
        found = original(services, header)
        if not inner:
            inner.append([])
            inner[0] = world.sweep().orphans
        return found

    monkeypatch.setattr("shared.saga.sweep.sweeper.find_orphans", nested)
    swept = world.sweep()
    assert swept.failed == []
    assert world.names() == {"sales": []}
    assert [d["id"] for d in world.model.store.deleted].count(orphan) == 1
    assert swept.orphans == [orphan]
