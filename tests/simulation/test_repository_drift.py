"""Drift of a repository's items in the whole system in memory: changes by people are distinguished from what Fabric
rewrites and from changes of the repository, in the plan, the audit and the drift watch."""

import base64
import copy
import json
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.json import canonical
from shared.domain.manifest import compile_manifest
from shared.domain.states import DeploymentState
from shared.saga import deployed, drift
from shared.saga.command.verbs import Verb
from shared.saga.dry_run.changes import dry_run
from shared.saga.dry_run.result import Action, StepChange
from shared.steps import KINDS, STEPS
from tests.fakes import MemorySignals
from tests.simulation import repositories
from tests.simulation.edges import WORKSPACE
from tests.simulation.test_repository import BALL, definitions, manifest, notebooks, tampered
from tests.simulation.test_verbs import until
from tests.simulation.world import World


def checked(world: World, step: dict[str, Any], deployment_id: str = "d") -> dict[str, Any]:
    """Deploy a repository with `unchanged: check`; return its manifest, which is kept as the app keeps it."""
    step["with"]["unchanged"] = "check"
    data = manifest(step)
    world.blobs.put(canonical(data).encode())
    world.submit(data, deployment_id)
    assert world.run(deployment_id) == [DeploymentState.SUCCEEDED]
    return data


def planned(world: World, data: dict[str, Any]) -> dict[str, StepChange]:
    """Return the changes of the items by name, as a plan shows them."""
    graph = compile_manifest(data, KINDS)
    recall = deployed.Recalled(world.deployed, graph.target)
    options: Any = {"clock": world.clock, "sleep": world.clock.advance, "recall": recall, "read": world.blobs.get}
    return {step.name: step for step in dry_run(world.fabric, STEPS, graph, **options).steps if "/" in step.id}


def actions(found: dict[str, StepChange]) -> set[Action]:
    return {step.action for step in found.values()}


def notes(world: World) -> dict[str, str | None]:
    """Return the digests of what Fabric showed, by the item's name."""
    [place] = world.model.store.workspaces
    return {note.name: note.seen for note in world.deployed.of_workspace(place)}


def calls(world: World, since: int) -> Counter[str]:
    return Counter(c["path"].rsplit("/", 1)[1] for c in world.model.calls[since:] if c["method"] == "POST")


def test_definitions_that_were_written_are_read_back_by_one_export_for_many() -> None:
    world = World(1, pace=0.1)
    checked(world, notebooks(world, 60))
    assert calls(world, 0)["getDefinition"] == 0
    assert calls(world, 0)["bulkExportDefinitions"] <= 4
    assert all(notes(world).values())
    assert len(notes(world)) == 60


@pytest.mark.parametrize("unchanged", ["skip", "redeploy"])
def test_definitions_that_nobody_checks_are_not_read_back(unchanged: str) -> None:
    world = World(1)
    step = notebooks(world, 6)
    step["with"]["unchanged"] = unchanged
    world.submit(manifest(step))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert not {"getDefinition", "bulkExportDefinitions"} & set(calls(world, 0))
    assert set(notes(world).values()) == {None}


@pytest.fixture(params=[True, False], ids=["known", "unknown"])
def rewriting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return True if the comparison knows how the simulator rewrites a model; else the digests alone can tell."""
    if not request.param:
        monkeypatch.setattr("shared.repository.normalise._RULES", {})
    return bool(request.param)


def models(world: World, first: str = '{"version": "4.0"}', count: int = 3) -> dict[str, Any]:
    """Return models; Fabric was recorded to raise the version of what is sent. The first one has another content."""
    rows = [
        repositories.item(world.blobs, "SemanticModel", f"m{number}", '{"version": "4.0"}' if number else first)
        for number in range(count)
    ]
    return repositories.step(WORKSPACE, rows)


CHANGED = '{"version": "4.0", "settings": {"by": "Git"}}'
BY_HAND = '{"version": "4.2", "settings": {"by": "hand"}}'


@pytest.mark.usefixtures("rewriting")
def test_what_fabric_rewrites_is_neither_changed_nor_drift() -> None:
    world = World(1, pace=0.1)
    data = checked(world, models(world))
    assert "4.2" in definitions_of(world)["m0"]
    assert actions(planned(world, data)) == {Action.UNCHANGED}
    before = len(world.model.calls)
    checked(world, models(world), "e")
    assert calls(world, before) == {"bulkExportDefinitions": 1}
    assert all(notes(world).values())
    assert drifted(world) == []


@pytest.mark.usefixtures("rewriting")
def test_what_a_person_changed_is_drift_with_its_files_and_is_brought_back() -> None:
    world = World(1, pace=0.1)
    data = checked(world, models(world))
    sent = definitions_of(world)
    tampered(world, "m0", BY_HAND)
    found = planned(world, data)
    assert {name: step.action for name, step in found.items()} == {
        "m0": Action.DRIFT,
        "m1": Action.UNCHANGED,
        "m2": Action.UNCHANGED,
    }
    assert (found["m0"].fields, found["m0"].files) == (("definition",), ("definition.pbism changed",))
    assert any("hand" in line for line in found["m0"].lines)
    assert found["m0"].reason.startswith("changed in Fabric since it was deployed")
    assert drifted(world) == ["content/SemanticModel/m0 (definition)"]
    checked(world, models(world), "e")
    assert definitions_of(world) == sent
    assert [each.split(":")[0] for each in reasons(world, "e") if "drift" in each] == ["drift"]
    assert actions(planned(world, data)) == {Action.UNCHANGED}


@pytest.mark.usefixtures("rewriting")
def test_change_of_the_repository_is_told_from_one_on_top_of_drift() -> None:
    world = World(1, pace=0.1)
    checked(world, models(world))
    changed = manifest(models(world, CHANGED))
    changed["steps"][1]["with"]["unchanged"] = "check"
    alone = planned(world, changed)["m0"]
    assert (alone.action, alone.reason) == (Action.UPDATE, "there, and differs")
    tampered(world, "m0", BY_HAND)
    both = planned(world, changed)["m0"]
    assert both.action is Action.UPDATE
    assert both.reason.startswith("changed in the repository, and in Fabric since it was deployed")
    checked(world, models(world, CHANGED), "e")
    assert any("changed in the repository, and in Fabric" in each for each in reasons(world, "e"))
    assert "Git" in definitions_of(world)["m0"]


def test_item_that_each_deployment_sends_again_has_not_drifted() -> None:
    """A plan says that it will be sent; the watch reports only what somebody changed."""
    world = World(1, pace=0.1)
    step = notebooks(world, 3)
    step["with"]["unchanged"] = "redeploy"
    data = manifest(step)
    world.blobs.put(canonical(data).encode())
    world.submit(data)
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert actions({name: each for name, each in planned(world, data).items() if name}) == {Action.UPDATE}
    assert drifted(world) == []
    next(i for w in world.model.store.workspaces.values() for i in w.standing() if i.name == "n0").name = "by hand"
    assert drifted(world) == ["content/Notebook/n0 (displayName)"]


def test_item_that_was_not_read_back_is_learnt_when_it_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the digest nobody knows who changed it, and the plan says so. It is sent again once, not each time."""
    monkeypatch.setattr("shared.repository.normalise._RULES", {})
    world = World(1, pace=0.1)
    world.submit(manifest(models(world)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    data = manifest(models(world))
    data["steps"][1]["with"]["unchanged"] = "check"
    found = planned(world, data)
    assert actions(found) == {Action.DRIFT}
    assert "it was not read back" in found["m0"].reason
    checked(world, models(world), "e")
    assert actions(planned(world, data)) == {Action.UNCHANGED}


def test_check_that_finds_an_item_as_asked_notes_what_it_read() -> None:
    """So a later change of the repository on top of drift is reported, and `skip` keeps the note."""
    world = World(1, pace=0.1)
    world.submit(manifest(models(world)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert set(notes(world).values()) == {None}
    checked(world, models(world), "e")
    noted = notes(world)
    assert all(noted.values())
    world.submit(manifest(models(world)), "f")
    assert world.run("f") == [DeploymentState.SUCCEEDED]
    assert notes(world) == noted


def test_name_and_description_that_a_person_changed_are_drift_without_a_definition_being_read() -> None:
    world = World(1)
    step = notebooks(world, 2)
    world.submit(manifest(step))
    assert world.run() == [DeploymentState.SUCCEEDED]
    [place] = world.model.store.workspaces.values()
    item = next(each for each in place.standing() if each.name == "n0")
    item.name = "by hand"
    before = len(world.model.calls)
    found = planned(world, manifest(step))
    assert (found["n0"].action, found["n0"].fields) == (Action.DRIFT, ("displayName",))
    assert found["n1"].action is Action.UNCHANGED
    assert calls(world, before) == {}


@pytest.mark.parametrize("action", [{"status": 403}, {"status": 503}, {"operation": "fail"}, {"operation": "never"}])
def test_read_back_that_fails_fails_nothing(action: dict[str, Any]) -> None:
    world = World(1, pace=0.1)
    rule = {"match": {"method": "POST", "path": ".*/bulkExportDefinitions"}, "action": action}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, json.dumps([rule]).encode())[0] == 200
    checked(world, notebooks(world, 6))
    assert set(notes(world).values()) == {None}
    assert len(definitions(world)) == 6


def test_read_back_that_fabric_throttles_for_an_hour_does_not_keep_the_deployment() -> None:
    """It is not needed; the other steps wait for the item."""
    world = World(1, pace=0.1)
    throttled = {"status": 429, "headers": {"Retry-After": "3600"}}
    rule = {"match": {"method": "POST", "path": ".*/bulkExportDefinitions"}, "action": throttled}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, json.dumps([rule]).encode())[0] == 200
    checked(world, notebooks(world, 6))
    header = world.journal.header("d").record
    assert header.finished_at is not None
    assert header.finished_at - header.accepted_at < timedelta(minutes=4)
    assert set(notes(world).values()) == {None}


@pytest.mark.usefixtures("rewriting")
def test_content_that_fabric_has_not_taken_is_not_taken_for_rewritten() -> None:
    """It still shows what was there before, so the next deployment sends the content again."""
    world = World(1, pace=0.1)
    checked(world, models(world))
    [item] = [i for w in world.model.store.workspaces.values() for i in w.standing() if i.name == "m0"]
    handle, old = world.model.handle, copy.deepcopy(item.definition)

    def losing(request: Any) -> Any:
        if request.path.endswith("/bulkExportDefinitions"):
            item.definition = copy.deepcopy(old)
        return handle(request)

    world.model.handle = losing
    data = checked(world, models(world, CHANGED), "e")
    world.model.handle = handle
    assert planned(world, data)["m0"].action is Action.DRIFT
    checked(world, models(world, CHANGED), "f")
    assert "Git" in definitions_of(world)["m0"]
    assert actions(planned(world, data)) == {Action.UNCHANGED}


@pytest.mark.parametrize(("workers", "seconds"), [(1, 0.0), (2, 15.0)])
def test_items_of_a_cancelled_deployment_are_not_read_with_those_of_the_next(workers: int, seconds: float) -> None:
    """They are deleted, and Fabric would refuse the export of all. Their steps may have ended in another process."""
    world = World(1, pace=0.1, workers=workers)
    world.submit(manifest(notebooks(world, 1)), "a")
    assert world.run("a") == [DeploymentState.SUCCEEDED]
    step = notebooks(world, 6)
    step["with"]["unchanged"] = "check"
    world.submit(manifest(step))
    while sum(1 for row in world.journal.steps("d") if "verifiedAt" in (row.record.outputs or {})) < 5:
        until(world, 0.5)
    until(world, 3.0)
    assert world.ask(Verb.CANCEL).accepted
    assert world.run() == [DeploymentState.CANCELLED]
    until(world, seconds)
    before = len(world.model.calls)
    checked(world, notebooks(world, 6), "e")
    assert all(notes(world).values())
    refused = [c for c in world.model.calls[before:] if c["method"] == "POST" and c["status"] >= 400]
    assert refused == []


def test_type_that_other_steps_change_afterwards_is_not_read_back() -> None:
    """A stream adds its source to the activator that it names."""
    world = World(1)
    row = repositories.item(world.blobs, "Reflex", "alarm", "{}")
    checked(world, repositories.step(WORKSPACE, [row]))
    assert calls(world, 0)["bulkExportDefinitions"] == 0


@pytest.mark.law(3)
@pytest.mark.parametrize("seed", range(8))
def test_read_back_under_crashes_ends_as_without_them(seed: int) -> None:
    world = World(seed, crash_rate=0.02, overtake_rate=0.03, workers=2, pace=0.1)
    data = checked(world, models(world, count=8))
    tampered(world, "m0", BY_HAND)
    checked(world, models(world, count=8), "e")
    assert "hand" not in definitions_of(world)["m0"]
    world.crash_rate = world.overtake_rate = 0.0
    assert actions(planned(world, data)) == {Action.UNCHANGED}


@pytest.mark.law(1)
def test_drift_is_there_again_after_a_rollback() -> None:
    """A rollback restores the workspace as it was, with what a person had changed; and the notes are as before."""
    world = World(1, pace=0.1)
    data = checked(world, models(world))
    noted = notes(world)
    tampered(world, "m0", BY_HAND)
    step = models(world, CHANGED)
    step["with"]["unchanged"] = "check"
    world.submit(manifest(step, BALL), "e")
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert json.loads(definitions_of(world)["m0"])["settings"] == {"by": "hand"}
    assert notes(world) == noted
    assert planned(world, data)["m0"].action is Action.DRIFT


def definitions_of(world: World) -> dict[str, str]:
    """Return the text of each model's connection settings, by name."""
    found: dict[str, str] = {}
    for workspace in world.model.store.workspaces.values():
        for each in workspace.standing():
            for part in (each.definition or {}).get("parts", []):
                if part["path"] == "definition.pbism":
                    found[each.name] = base64.b64decode(part["payload"]).decode()
    return found


def reasons(world: World, deployment_id: str) -> list[str]:
    return [entry.reason for entry in world.journal.audit(deployment_id) if entry.reason]


def drifted(world: World) -> list[str]:
    """Return what the drift watch finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drift, "dry_run", partial(dry_run, sleep=world.clock.advance))
        signal = drift.DriftWatch(world.services, world.blobs, MemorySignals(), KINDS, 86400.0).run()
    assert signal is not None
    assert (signal.targets, signal.unread) == (1, 0)
    return [item for target in signal.drifted for item in target.items]
