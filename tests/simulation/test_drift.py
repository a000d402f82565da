"""The drift watch in the simulated tenant: what somebody changed afterwards is found, by reading only."""

import copy
import json
from dataclasses import asdict
from functools import partial
from typing import Any

import pytest

from shared.domain.json import canonical
from shared.domain.ports import DriftedTarget, DriftSignal
from shared.domain.row_limits import ROW_CHARACTERS
from shared.domain.states import DeploymentState
from shared.domain.telemetry import Event
from shared.saga import drift
from shared.saga.drift import DriftWatch
from shared.saga.dry_run.changes import dry_run
from shared.saga.dry_run.read_only import READING_POSTS
from shared.steps import KINDS
from tests.fakes import MemorySignals, MemoryTelemetry
from tests.simulation import test_repository_schedules as scheduled
from tests.simulation.fault_table import SCENARIOS, Scenario, prepared
from tests.simulation.test_laws import MEDALLION
from tests.simulation.test_repository import manifest
from tests.simulation.test_transaction import Shop
from tests.simulation.world import World

DAY = 86400.0


def watched(telemetry: MemoryTelemetry | None = None) -> tuple[World, DriftWatch]:
    """Return a world with a watch that is due once a day."""
    world = World(telemetry=telemetry)
    return world, DriftWatch(world.services, world.blobs, MemorySignals(), KINDS, DAY)


def deployed(world: World, target: str = "T", deployment_id: str = "") -> None:
    """Deploy the medallion to a target, whose name is the deployment's id too unless one is given; and keep its
    manifest as the app does."""
    deployment_id = deployment_id or target
    manifest: dict[str, Any] = {**copy.deepcopy(MEDALLION), "target": target}
    for step in manifest["steps"]:
        if step["kind"] != "role_assignment":
            step["with"]["ifExists"] = "update"
        if step["id"] == "gold":
            step["with"]["description"] = "figures"
        if step["kind"] == "workspace":
            step["with"]["displayName"] = target
    assert world.submit(manifest, deployment_id) is DeploymentState.ACCEPTED
    world.blobs.put(canonical(manifest).encode())
    world.run(deployment_id)
    assert world.state(deployment_id) is DeploymentState.SUCCEEDED


def round_of(watch: DriftWatch) -> DriftSignal:
    """Let a round that is due run to its end."""
    found = watch.run()
    assert found is not None
    assert found.finished_at is not None
    return found


def changing_calls(world: World) -> list[Any]:
    """Return the calls that may change something: all but reads, also those that Fabric makes a POST."""
    calls = [call for call in world.model.calls if call["method"] != "GET"]
    return [call for call in calls if not call["path"].endswith(READING_POSTS)]


def test_drift_of_an_untouched_target_is_none() -> None:
    """Nothing is reported, and nothing is changed in Fabric."""
    world, watch = watched()
    deployed(world)
    before = json.dumps(world.names())
    effects = len(changing_calls(world))
    signal = round_of(watch)
    assert (signal.targets, signal.unread, signal.drifted) == (1, 0, ())
    assert (len(changing_calls(world)), json.dumps(world.names())) == (effects, before)


def untouched(world: World, monkeypatch: pytest.MonkeyPatch) -> DriftSignal:
    """Return the signal of a watch in a world where nobody has changed anything since the last deployment."""
    monkeypatch.setattr(drift, "dry_run", partial(dry_run, sleep=world.clock.advance))
    signal = round_of(DriftWatch(world.services, world.blobs, MemorySignals(), KINDS, DAY))
    assert signal.unread == 0
    return signal


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_no_step_of_any_kind_has_drifted_right_after_its_deployment(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that does something in every deployment, and one whose next deployment finishes what it began."""
    world = prepared(scenario, False)
    world.run()
    is_kept = world.state("d") is DeploymentState.SUCCEEDED
    signal = untouched(world, monkeypatch)
    assert (signal.targets, signal.drifted) == (int(is_kept), ())


def test_schedule_that_the_next_deployment_deletes_is_no_drift_until_it_is_switched_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The deployment has switched it off, because the file does not list it any more."""
    world = World(3)
    for deployment, times in (("d", {"06:00": True, "18:00": True}), ("e", {"06:00": True})):
        data = manifest(scheduled.content(world, "{}", times))
        world.blobs.put(canonical(data).encode())
        world.submit(data, deployment)
        assert world.run(deployment) == [DeploymentState.SUCCEEDED]
    assert scheduled.times(world) == {"06:00": True, "18:00": False}
    assert untouched(world, monkeypatch).drifted == ()
    rows = scheduled.pipeline(world).part(scheduled.Schedules).by_id.values()
    next(each for each in rows if each.shown["configuration"]["times"] == ["18:00"]).shown["enabled"] = True
    assert [each.count for each in untouched(world, monkeypatch).drifted] == [1]


def test_drift_names_the_target_and_what_happened_to_its_items() -> None:
    """A deleted item and a changed description are named, each by its step; the event is emitted in every round."""
    telemetry = MemoryTelemetry()
    world, watch = watched(telemetry)
    deployed(world, "t1")
    deployed(world, "t2")
    workspace = next(w for w in world.model.store.workspaces.values() if w.name == "t1")
    bronze = next(i for i in workspace.items.values() if i.name == "bronze")
    gold = next(i for i in workspace.items.values() if i.name == "gold")
    gold.description = "by hand"
    del workspace.items[bronze.id]
    signal = round_of(watch)
    assert (signal.targets, [each.target for each in signal.drifted]) == (2, ["t1"])
    assert set(signal.drifted[0].items) >= {"bronze (missing)", "gold (description)"}
    [event] = telemetry.events(Event.DRIFT_FOUND)
    assert event.properties["target"] == "t1"
    assert event.properties["deployment_id"] == "t1"
    assert watch.run() is None, "the next round is not due"
    world.clock.advance(DAY)
    assert len(round_of(watch).drifted) == 1


def test_drift_of_a_target_that_changes_now_is_not_told() -> None:
    """A deployment that runs there will end it; and the last one that succeeded counts, not one that failed later."""
    world, watch = watched()
    deployed(world)
    world.submit(
        {"name": "m", "target": "T", "steps": [{"id": "go", "kind": "approval", "with": {"message": "Go?"}}]}, "later"
    )
    world.run("later", hours=0.1)
    assert round_of(watch).targets == 0


def test_drift_of_a_target_where_a_script_deployed_last_is_not_told() -> None:
    """The script may have changed what the manifest before it asks for. A manifest that is deployed after it counts."""
    shop = Shop()
    watch = DriftWatch(shop.world.services, shop.world.blobs, MemorySignals(), KINDS, DAY)
    deployed(shop.world, "t")
    shop.world.clock.advance(1)
    with shop.transaction(target="t"):
        workspace = next(w for w in shop.world.model.store.workspaces.values() if w.name == "t")
        next(i for i in workspace.items.values() if i.name == "gold").description = "by the script"
    signal = round_of(watch)
    assert (signal.targets, signal.drifted) == (0, ())
    shop.world.clock.advance(DAY)
    deployed(shop.world, "t", "again")
    signal = round_of(watch)
    assert (signal.targets, signal.drifted) == (1, ())


def test_drift_that_cannot_be_told_is_counted() -> None:
    """Without its manifest, or while Fabric fails, nothing is claimed about a target."""
    world, watch = watched()
    deployed(world)
    world.model.faults.replace([{"match": {"path": ".*"}, "action": {"status": 503}}])
    signal = round_of(watch)
    assert (signal.targets, signal.unread, signal.drifted) == (1, 1, ())


def in_given_workspace(if_exists: str) -> tuple[World, DriftWatch, Any]:
    """Deploy a folder and a lakehouse to a workspace that the manifest names by its id; return that workspace too."""
    shop = Shop()
    raw = {"workspaceId": shop.workspace, "displayName": "Raw", "ifExists": "fail"}
    gold = {"workspaceId": shop.workspace, "displayName": "gold", "description": "figures", "ifExists": if_exists}
    steps = [
        {"id": "raw", "kind": "folder", "with": raw},
        {"id": "gold", "kind": "lakehouse", "needs": ["raw"], "with": gold},
    ]
    data = {"name": "m", "target": "t", "steps": steps}
    shop.world.blobs.put(canonical(data).encode())
    shop.world.submit(data, "d")
    assert shop.world.run("d") == [DeploymentState.SUCCEEDED]
    watch = DriftWatch(shop.world.services, shop.world.blobs, MemorySignals(), KINDS, DAY)
    return shop.world, watch, shop.world.model.store.workspaces[shop.workspace]


def test_drift_of_a_resource_that_had_to_be_new_is_told() -> None:
    """It exists since the deployment, so it blocks nothing. It is not compared; deleted, it is missing."""
    world, watch, workspace = in_given_workspace("fail")
    gold = next(each for each in workspace.items.values() if each.name == "gold")
    gold.description = "by hand"
    signal = round_of(watch)
    assert (signal.targets, signal.unread, signal.drifted) == (1, 0, ())
    del workspace.items[gold.id]
    world.clock.advance(DAY)
    assert [each.items for each in round_of(watch).drifted] == [("gold (missing)",)]


def test_drift_of_what_needs_a_resource_that_had_to_be_new_is_told() -> None:
    """The folder had to be new, and the lakehouse that needs it has another description now."""
    _, watch, workspace = in_given_workspace("update")
    next(each for each in workspace.items.values() if each.name == "gold").description = "by hand"
    assert [each.items for each in round_of(watch).drifted] == [("gold (description)",)]


@pytest.mark.parametrize("is_gone", [True, False])
def test_drift_of_a_workspace_that_cannot_be_read_is_not_denied(is_gone: bool) -> None:
    """It was deleted, or the app has lost its role in it: every step is blocked, and nothing proves that it is as it
    was."""
    world, watch, workspace = in_given_workspace("update")
    if is_gone:
        del world.model.store.workspaces[workspace.id]
    else:
        action = {"status": 403, "body": {"errorCode": "InsufficientPrivileges", "message": "no", "requestId": "r"}}
        world.model.faults.replace([{"match": {"path": ".*"}, "action": action}])
    signal = round_of(watch)
    assert (signal.targets, signal.unread, signal.drifted) == (1, 1, ())


def test_drift_watch_that_is_off_reads_nothing() -> None:
    world, watch = watched()
    deployed(world)
    calls = len(world.model.calls)
    off = DriftWatch(world.services, world.blobs, MemorySignals(), KINDS, 0.0)
    assert off.run() is None
    assert len(world.model.calls) == calls
    assert watch.run() is not None


def test_drift_round_continues_where_its_budget_ended(monkeypatch: Any) -> None:
    """With no time left after the first target, the next sweep goes on with the second, and does not begin again."""
    world, watch = watched()
    for target in ("t1", "t2", "t3"):
        deployed(world, target)
    monkeypatch.setattr("shared.saga.drift.BUDGET_SECONDS", -1.0)
    first = watch.run()
    assert first is not None
    assert (first.finished_at, first.after) == (None, "")
    monkeypatch.setattr("shared.saga.drift.BUDGET_SECONDS", 1000.0)
    assert round_of(watch).targets == 3


def test_drift_of_many_targets_fits_into_the_signal() -> None:
    """Names beyond ASCII take many characters. The first targets are named with their items, the next without."""
    drifted: tuple[DriftedTarget, ...] = ()
    for i in range(60):
        items = tuple(f"content/Notebook/{i}-{n}{'x' * 80} (description, folder, definition)" for n in range(10))
        drifted = drift.added(drifted, DriftedTarget(f"{i}{'\u00e4' * 20}", "d" * 100, 10, items))
        assert len(json.dumps([asdict(each) for each in drifted])) <= drift.ROOM_CHARACTERS < ROW_CHARACTERS - 5_000
    assert len(drifted) > 10
    assert drifted[0].items
    assert not drifted[-1].items


def test_target_that_cannot_be_planned_does_not_stop_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that one target triggers would otherwise meet every round at the same place."""
    world, watch = watched()
    deployed(world, "A")
    deployed(world, "B")
    planned = drift.dry_run

    def broken(fabric: Any, kinds: Any, graph: Any, **more: Any) -> Any:
        if graph.target == "A":
            raise KeyError("displayName")
        return planned(fabric, kinds, graph, **more)

    monkeypatch.setattr(drift, "dry_run", broken)
    found = round_of(watch)
    assert (found.targets, found.unread) == (2, 1)
