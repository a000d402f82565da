"""The kind `git_update` and the schedules of items: what a rollback restores, and what it leaves to people."""

import copy
from typing import Any

import pytest

from local.fabric_simulator import control
from local.fabric_simulator.schedules import Schedules
from local.fabric_simulator.store import Item
from shared.domain.states import DeploymentState
from shared.saga.command.verbs import Verb
from shared.steps import git_schedules
from tests.simulation.edges import IDENTITY
from tests.simulation.fault_table import BRANCH
from tests.simulation.git_branches import (
    CHANGED,
    GONE,
    LOAD,
    PAST,
    files,
    pipeline,
    plans,
    push,
    put_by_hand,
    put_replanned,
    scheduled,
    send,
    without,
)
from tests.simulation.laws import encoded
from tests.simulation.world import World
from tests.unit.steps.test_git_update import KIND, begun, call, contents, manifest, place, world

UPDATE = {"method": "POST", "path": ".*updateFromGit"}


def replanned(*, needs_part: bool = False) -> World:
    """Return a tenant with a workspace of pipelines, whose branch changes their schedules. With `needs_part`, Fabric
    deletes the schedules that a new definition does not contain."""
    made = world(is_behind=False)
    put_replanned(made.model, place(made).id, BRANCH)
    made.model.update_settings({"schedules_need_their_part": needs_part})
    return made


def item(made: World, name: str) -> Item:
    """Return an item of the workspace."""
    return next(each for each in place(made).items.values() if each.name == name)


def shown(made: World) -> list[tuple[str, str, bool, str]]:
    """Return the schedules of all items of the workspace."""
    return plans(place(made).items.values())


def faults(made: World, *rules: dict[str, Any]) -> None:
    """Let the simulator answer by these rules from now on, and by no others."""
    assert control.handle(made.model, "POST", "/_sim/faults", {}, encoded(list(rules)))[0] == 200


def switch(made: World, name: str, time: str, *, on: bool) -> None:
    """Switch a schedule on or off as a person would."""
    for row in item(made, name).part(Schedules).by_id.values():
        if row.shown["configuration"]["times"] == [time]:
            row.shown["enabled"] = on


def test_update_brings_the_schedules_of_the_branch() -> None:
    """Those of people stay: this is what the tests of the rollback start from."""
    made = replanned()
    made.submit(manifest())
    assert made.run() == [DeploymentState.SUCCEEDED]
    assert [row[:3] for row in shown(made)] == [
        ("clean", "['08:00']", True),
        ("clean", "['23:00']", False),
        ("load", "['07:00']", True),
        ("load", "['23:00']", True),
    ]


@pytest.mark.law(1)
@pytest.mark.parametrize("needs_part", [False, True])
@pytest.mark.parametrize("action", [{}, {"operation": "fail"}, {"reset": "after"}], ids=str)
def test_rollback_restores_the_schedules_whatever_fails(action: dict[str, Any], needs_part: bool) -> None:
    """A replaced schedule, one that was switched on by hand, those of people, and those of an item that was deleted are
    as before, and the new ones are gone."""
    made = replanned(needs_part=needs_part)
    before, texts = shown(made), contents(made)
    if action:
        faults(made, {"match": UPDATE, "action": action, **({"when": {"nth": 1}} if "reset" in action else {})})
    made.submit(manifest(fails=True))
    assert made.run() == [DeploymentState.COMPENSATED]
    assert shown(made) == before
    assert contents(made) == texts


def test_rollback_restores_the_schedules_of_the_only_item_that_was_deleted() -> None:
    """No definition is restored after it was created, so its creation must lead to another look."""
    made = world(is_behind=False)
    past = scheduled(pipeline("past", PAST, 1), {"05:00": False})
    push(made.model, BRANCH, past, place(made).id)
    put_by_hand(item(made, "past"), "23:00")
    switch(made, "past", "05:00", on=True)
    before = shown(made)
    push(made.model, BRANCH, {**without(past), "README.md": "nothing"})
    made.submit(manifest(fails=True))
    assert made.run() == [DeploymentState.COMPENSATED]
    assert [row[:3] for row in before] == [("past", "['05:00']", True), ("past", "['23:00']", True)]
    assert shown(made) == before


def test_rollback_restores_the_schedules_of_notebooks() -> None:
    """Their definitions and the creation of a deleted one are operations."""
    made = world(is_behind=False)
    changed, gone = files("Notebook", "changed", CHANGED, "x = 1"), files("Notebook", "gone", GONE, "z = 1")
    push(made.model, BRANCH, {**changed, **gone}, place(made).id)
    for each in place(made).items.values():
        put_by_hand(each, "23:00", job_type="RunNotebook")
    push(made.model, BRANCH, {**files("Notebook", "changed", CHANGED, "x = 2"), **without(gone)})
    made.model.update_settings({"schedules_need_their_part": True})
    before = shown(made)
    made.submit(manifest(fails=True))
    assert made.run() == [DeploymentState.COMPENSATED]
    assert [row[0] for row in before] == ["changed", "gone"]
    assert shown(made) == before


def test_what_people_changed_after_the_update_stays() -> None:
    """One that the update left alone was switched off since, and one is new: both are so after the rollback."""
    made = replanned()
    before = shown(made)
    made.submit(manifest())
    assert made.run() == [DeploymentState.SUCCEEDED]
    switch(made, "load", "23:00", on=False)
    put_by_hand(item(made, "load"), "21:00", owner=IDENTITY)
    assert made.ask(Verb.RETIRE).accepted
    assert made.run() == [DeploymentState.COMPENSATED]
    kept = [row for row in before if row[:2] != ("load", "['23:00']")]
    old = next(row for row in before if row[:2] == ("load", "['23:00']"))
    new = ("load", "['21:00']", True, "{}")
    assert shown(made) == sorted([*kept, (*old[:2], False, old[3]), new])


@pytest.mark.parametrize("needs_part", [False, True])
def test_schedule_of_a_person_during_a_failed_update_stays(needs_part: bool) -> None:
    """The update was never verified, so only its owner shows whose a new schedule is."""
    made = replanned()
    before = shown(made)
    faults(made, {"match": UPDATE, "action": {"operation": "fail"}})
    made.submit({**manifest(), "onFailure": "hold"})
    made.run(hours=1.0)
    assert made.state() is DeploymentState.HELD
    assert ("clean", "['08:00']", True) in [row[:3] for row in shown(made)]
    put_by_hand(item(made, "clean"), "21:00")
    made.model.update_settings({"schedules_need_their_part": needs_part})
    assert made.ask(Verb.COMPENSATE).accepted
    assert made.run() == [DeploymentState.COMPENSATED]
    assert shown(made) == sorted([*before, ("clean", "['21:00']", True, "{}")])


def test_schedules_that_fabric_does_not_show_prevent_no_update() -> None:
    """Nothing is known of them, so the rollback changes none."""
    made = replanned()
    texts = contents(made)
    refusal = {"status": 403, "body": {"errorCode": "InsufficientPrivileges", "message": "x"}}
    faults(made, {"match": {"method": "GET", "path": ".*/schedules"}, "action": refusal})
    made.submit(manifest())
    assert made.run() == [DeploymentState.SUCCEEDED]
    faults(made)
    assert made.ask(Verb.RETIRE).accepted
    assert made.run() == [DeploymentState.COMPENSATED]
    assert contents(made) == texts
    assert ("clean", "['08:00']", True) in [row[:3] for row in shown(made)]
    assert not [c for c in made.model.calls if "/schedules" in c["path"] and c["method"] != "GET"]


@pytest.mark.law(1)
@pytest.mark.parametrize(("status", "code"), [(404, "ItemNotFound"), (403, "InsufficientPrivileges")])
def test_schedules_that_fabric_does_not_show_during_a_rollback_are_restored_when_it_does(
    status: int, code: str
) -> None:
    """A capacity that is paused meanwhile answers 404. The rollback does not end before they are restored."""
    made = replanned()
    before = shown(made)
    made.submit(manifest())
    assert made.run() == [DeploymentState.SUCCEEDED]
    answer = {"status": status, "body": {"errorCode": code, "message": "x"}}
    faults(made, {"match": {"method": "GET", "path": ".*/schedules"}, "action": answer})
    assert made.ask(Verb.RETIRE).accepted
    made.run(hours=0.5)
    assert made.state() is not DeploymentState.COMPENSATED
    faults(made)
    made.pass_hours(3.0)
    assert made.state() is DeploymentState.COMPENSATED
    assert shown(made) == before


def test_before_image_of_an_earlier_version_says_nothing_of_schedules() -> None:
    """It has the schedules of no item, but the items may have had some."""
    made = replanned()
    spec, intent, _ = begun(made)
    for each in KIND.apply(spec, intent):
        send(made.model, each.method, f"/v1{each.path}", each.body)
    before = copy.deepcopy(intent.before or {})
    del before[git_schedules.ARE_READ]
    before["definitions"] = git_schedules.definitions(before)
    items = [{"id": each.id, "type": each.type, "displayName": each.name} for each in place(made).items.values()]
    assert git_schedules.surveyed(made.services.fabric, place(made).id, before, items, {}) == {}
    assert git_schedules.shown(made.services.fabric, place(made).id, before) == {}


def test_schedules_are_restored_however_many_items_had_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """One delivery looks for new schedules in a limited number of items, and reads those that had some in any case."""
    monkeypatch.setattr(git_schedules, "LOOKS", 0)
    made = replanned()
    before = shown(made)
    made.submit(manifest(fails=True))
    assert made.run() == [DeploymentState.COMPENSATED]
    assert shown(made) == before


@pytest.mark.parametrize("action", ["change", "delete"])
def test_rollback_reads_the_schedules_of_an_item_a_few_times_however_many_items_there_are(action: str) -> None:
    """Each definition and each creation is an operation with deliveries of its own."""
    made, count = world(is_behind=False), 9
    ids = [f"0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c{number:02x}" for number in range(count)]
    old, new = (
        {path: text for i, each in enumerate(ids) for path, text in files("Notebook", f"n{i}", each, code).items()}
        for code in ("x = 1", "x = 2")
    )
    push(made.model, BRANCH, old, place(made).id)
    for each in place(made).items.values():
        put_by_hand(each, "23:00", job_type="RunNotebook")
    before, texts = shown(made), contents(made)
    push(made.model, BRANCH, new if action == "change" else {**without(old), "README.md": "nothing"})
    made.submit(manifest(fails=True))
    assert made.run() == [DeploymentState.COMPENSATED]
    assert (shown(made), contents(made)) == (before, texts)
    reads = [call for call in made.model.calls if call["method"] == "GET" and "/schedules" in call["path"]]
    assert len(reads) <= 5 * count


def test_item_of_somebody_else_in_place_of_a_deleted_one_gets_no_schedules() -> None:
    made = replanned()
    made.submit(manifest())
    assert made.run() == [DeploymentState.SUCCEEDED]
    call(made, "POST", "/items", {"type": "DataPipeline", "displayName": "past"})
    assert made.ask(Verb.RETIRE).accepted
    assert made.run() == [DeploymentState.COMPENSATED]
    assert [row for row in shown(made) if row[0] == "past"] == []


def test_deleted_item_whose_name_another_one_got_is_restored() -> None:
    """The branch deletes a pipeline and gives its name to another one."""
    made = world(is_behind=False)
    load, past = scheduled(pipeline("load", LOAD, 1), {"04:00": True}), scheduled(pipeline("past", PAST, 1), {})
    push(made.model, BRANCH, {**load, **past}, place(made).id)
    put_by_hand(item(made, "past"), "23:00")
    before, texts = shown(made), contents(made)
    push(made.model, BRANCH, {**without({**load, **past}), **pipeline("past", LOAD, 2)})
    made.submit(manifest(fails=True))
    assert made.run() == [DeploymentState.COMPENSATED]
    assert contents(made) == texts
    assert shown(made) == before
