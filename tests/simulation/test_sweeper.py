"""The sweeper in the whole system: orphans, expired environments, retention, dry runs, two runs at once."""

import copy
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.states import DeploymentState
from shared.saga.audit import verify
from shared.saga.sweep import orphans, sweeper
from shared.steps.marker import marker_of, with_marker
from tests.simulation import test_companions as companions
from tests.simulation.edges import IDENTITY
from tests.simulation.test_laws import MEDALLION, WHOLE, failing
from tests.simulation.world import World


def roll_back(world: World, deployment_id: str = "d") -> None:
    """Run a deployment that fails and is rolled back in a workspace that existed before."""
    world.submit(failing(), deployment_id)
    assert world.run(deployment_id) == [DeploymentState.COMPENSATED]


def workspace(world: World) -> str:
    """Create a workspace of another actor."""
    role = {"id": IDENTITY, "type": "ServicePrincipal", "role": "Admin"}
    row: dict[str, Any] = {"displayName": "sales", "roleAssignments": [role]}
    return control.seed(world.model, {"workspaces": [row]})["workspaces"][0]["id"]


def late(world: World, workspace_id: str, name: str, description: str) -> str:
    """Create a lakehouse that becomes visible after the deployment has ended."""
    item = {"type": "Lakehouse", "displayName": name, "description": description}
    made = control.seed(world.model, {"workspaces": [{"id": workspace_id, "items": [item]}]})
    return made["workspaces"][0]["items"][0]


def pass_grace(world: World) -> None:
    """Let time pass until the sweeper looks for orphans."""
    world.clock.advance(world.policy.orphan_grace_seconds + 1)


def test_sweep_deletes_what_our_late_call_created() -> None:
    """The lakehouse has the step's marker, so it is ours; the audit records that before it is deleted."""
    world = World()
    place = workspace(world)
    roll_back(world)
    orphan = late(world, place, "silver", with_marker("", marker_of("d", "silver")))
    assert world.sweep().orphans == []  # Not before the grace period has passed.
    pass_grace(world)
    swept = world.sweep()
    assert swept.orphans == [orphan]
    assert world.names() == {"sales": []}
    reasons = " ".join(e.reason for e in world.journal.audit("d") if e.actor == "sweeper")
    assert orphan in reasons
    assert "1 orphan(s) deleted" in reasons
    assert world.sweep().counts() == {**dict.fromkeys(swept.counts(), 0)}


@pytest.mark.law(1, 2)
def test_orphan_that_must_stay_is_reported_by_each_sweep_and_stops_no_other() -> None:
    """Somebody's database is in a late eventhouse (seed 7000560). The late lakehouse is deleted; the eventhouse is
    deleted when they have removed the database."""
    world = World()
    place = workspace(world)
    house = {"id": "house", "type": "Eventhouse", "displayName": "telemetry"}
    world.submit(companions.manifest({"id": "load", "type": "Notebook", "displayName": "load"}, house))
    assert world.run() == [DeploymentState.COMPENSATED]
    # The sweeper comes to the eventhouse first: its step is the later one.
    rows = [("Notebook", "load", "load"), ("Eventhouse", "telemetry", "house")]
    items = [
        {"type": item_type, "displayName": name, "description": with_marker("", marker_of("d", step))}
        for item_type, name, step in rows
    ]
    made = control.seed(world.model, {"workspaces": [{"id": place, "items": items}]})["workspaces"][0]["items"]
    for each in [i for i in world.model.store.workspaces[place].items.values() if i.type == "KQLDatabase"]:
        companions.delete_item(world, each)
    foreign = companions.in_eventhouse(world, "theirs")
    pass_grace(world)
    for count in (2, 1, 1):
        swept = world.sweep()
        assert (swept.orphans_left, len(swept.orphans), swept.failed) == ([made[1]], count, ["d"])
        assert world.names() == {"sales": ["telemetry", "theirs"]}
    companions.delete_item(world, foreign)
    assert world.sweep().orphans_left == []
    assert world.names() == {"sales": []}
    assert verify.verify(verify.read(world.journal, "d")).differences == ()


def test_sweep_finds_an_item_that_takes_hours_to_appear() -> None:
    """The answer to a create was lost, and its operation takes longer than everything else: the sweeper looks for it at
    growing intervals, and no longer after a day."""
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


def test_sweep_leaves_an_item_that_only_has_the_name() -> None:
    """Another actor's lakehouse with the same name, or with another deployment's marker, is not an orphan."""
    world = World()
    place = workspace(world)
    roll_back(world)
    late(world, place, "silver", "somebody's own")
    late(world, place, "gold", with_marker("", marker_of("other", "gold")))
    pass_grace(world)
    assert world.sweep().orphans == []
    assert world.names() == {"sales": ["gold", "silver"]}


def test_sweep_leaves_an_item_that_a_later_deployment_adopted() -> None:
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


def test_sweep_waits_for_a_locked_target() -> None:
    """While another deployment is active on the target, the orphan check waits."""
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


def test_sweep_dry_run_reports_and_changes_nothing() -> None:
    """The report is the same, and neither Fabric nor the journal changes."""
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


def test_sweep_rolls_back_an_expired_environment() -> None:
    """With `expiresAfter`, the whole deployment is rolled back when its time is up, and not before."""
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


def test_sweep_forgets_a_deployment_past_its_retention_except_its_audit() -> None:
    """The journal and the engine's history are deleted; the audit stays."""
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


def test_sweep_that_runs_twice_at_once_does_nothing_twice(monkeypatch: Any) -> None:
    """A second run starts in the middle of the first: the orphan is deleted once, and both runs succeed."""
    world = World()
    place = workspace(world)
    roll_back(world)
    orphan = late(world, place, "silver", with_marker("", marker_of("d", "silver")))
    pass_grace(world)
    original, inner = orphans.find_orphans, list[list[str]]()

    def nested(services: Any, header: Any, *concerns: Any) -> Any:
        found = original(services, header, *concerns)
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


@pytest.mark.parametrize("overtake_rate", [0.0, 0.3])
def test_timer_waits_for_the_end_of_a_sweep_or_starts_one_beside_it(
    overtake_rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a slow Fabric, a sweep takes longer than the pause between two. Sweeps that began within sweeps took 96 days
    of a schedule, until its deployments were forgotten (seed 12000826)."""
    original, running, most = sweeper.sweep, list[int](), list[int]()

    def counted(*args: Any, **named: Any) -> Any:
        running.append(1)
        most.append(len(running))
        try:
            return original(*args, **named)
        finally:
            running.pop()

    monkeypatch.setattr(sweeper, "sweep", counted)
    world = World(3, overtake_rate=overtake_rate, pace=180.0)
    place = workspace(world)
    for deployment_id in ("d", "e"):
        roll_back(world, deployment_id)
        late(world, place, "silver", with_marker("", marker_of(deployment_id, "silver")))
        world.pass_hours(3)
    assert max(most) == (2 if overtake_rate else 1)
