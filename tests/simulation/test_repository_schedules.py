"""The schedules of a repository's items: off while their item changes, on again last, and restored by a rollback."""

import uuid
from typing import Any

import pytest

from local.fabric_simulator.schedules import MAX_SCHEDULES, Schedule, Schedules
from local.fabric_simulator.store import Item
from shared.domain.flags import FeatureFlags
from shared.domain.policy import EnginePolicy
from shared.domain.states import DeploymentState
from shared.saga.command.verbs import Verb
from tests.simulation import repositories
from tests.simulation.edges import WORKSPACE
from tests.simulation.test_repository import BALL, manifest
from tests.simulation.world import World


def content(
    world: World, text: str, times: dict[str, bool] | None, data: dict[str, Any] | None = None
) -> dict[str, object]:
    """Return a repository of a scheduled pipeline and a notebook."""
    row = repositories.item(world.blobs, "DataPipeline", "run", text)
    if times is not None:
        row = repositories.scheduled(world.blobs, row, times, data)
    return repositories.step(WORKSPACE, [row, repositories.item(world.blobs, "Notebook", "load", text)])


def pipeline(world: World) -> Item:
    return next(i for w in world.model.store.workspaces.values() for i in w.standing() if i.name == "run")


def times(world: World) -> dict[str, bool]:
    """Return the times of the pipeline's schedules, and which are switched on. No time occurs twice."""
    rows = [each.shown for each in pipeline(world).part(Schedules).by_id.values()]
    found = {row["configuration"]["times"][0]: row["enabled"] for row in rows}
    assert len(found) == len(rows)
    return found


def data_of(world: World) -> dict[str, Any]:
    """Return the data that the schedules give to their jobs, by their times."""
    rows = [each.shown for each in pipeline(world).part(Schedules).by_id.values()]
    return {row["configuration"]["times"][0]: row.get("executionData") for row in rows}


def add_by_hand(world: World, time: str) -> None:
    shown: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "enabled": True,
        "configuration": repositories.configuration(time),
    }
    pipeline(world).part(Schedules).by_id[shown["id"]] = Schedule("Pipeline", shown)


def changes(world: World, since: int) -> list[str]:
    """Return the calls that changed something: method, the end of the path, and what a schedule is switched to."""
    found: list[str] = []
    for call in world.model.calls[since:]:
        if call["method"] != "GET" and not call["path"].endswith("getDefinition"):
            found.append(
                f"{call['method']} {'schedules' if 'schedules' in call['path'] else call['path'].rsplit('/')[-1]}"
            )
    return found


@pytest.mark.law(1)
def test_schedules_are_made_changed_and_restored() -> None:
    """A failed deployment leaves the schedules of the one before, and a person's, as they were. What the part does not
    list any more is switched off by the next one, and deleted by the one after it."""
    world = World(3)
    world.submit(manifest(content(world, "{}", {"06:00": True, "18:00": False})))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert times(world) == {"06:00": True, "18:00": False}
    add_by_hand(world, "03:00")
    before = times(world)
    wanted = {"06:00": True, "12:00": True}
    world.submit(manifest(content(world, "[]", wanted), BALL), "e")
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert times(world) == before == {"06:00": True, "18:00": False, "03:00": True}
    world.submit(manifest(content(world, "[]", wanted)), "f")
    assert world.run("f") == [DeploymentState.SUCCEEDED]
    assert times(world) == {**wanted, "18:00": False, "03:00": True}
    world.submit(manifest(content(world, "[]", wanted)), "g")
    assert world.run("g") == [DeploymentState.SUCCEEDED]
    assert times(world) == {**wanted, "03:00": True}


@pytest.mark.law(1)
def test_data_of_a_schedule_that_alone_changed_is_set_and_restored() -> None:
    """The schedule keeps its id. A rollback restores the data, also if a person had set it; data that is gone from the
    file is removed, and one of a person keeps theirs."""
    world = World(3)
    one, two = {"parameters": {"day": 1}}, {"parameters": {"day": 2}}
    world.submit(manifest(content(world, "{}", {"06:00": True})))
    world.run()
    add_by_hand(world, "03:00")
    ids = set(pipeline(world).part(Schedules).by_id)
    for each in pipeline(world).part(Schedules).by_id.values():
        each.shown["executionData"] = one
    steps: list[tuple[dict[str, Any] | None, bool, Any]] = [
        (two, True, one),
        (None, True, one),
        (two, False, two),
        (None, True, two),
        (None, False, {}),
        (two, True, {}),
        (two, False, two),
    ]
    for number, (data, fails, expected) in enumerate(steps):
        world.submit(manifest(content(world, "{}", {"06:00": True}, data), *([BALL] if fails else [])), f"e{number}")
        end = DeploymentState.COMPENSATED if fails else DeploymentState.SUCCEEDED
        assert world.run(f"e{number}") == [end]
        assert data_of(world) == {"06:00": expected, "03:00": one}
        assert times(world) == {"06:00": True, "03:00": True}
    assert set(pipeline(world).part(Schedules).by_id) == ids
    calls = len(world.model.calls)
    world.submit(manifest(content(world, "{}", {"06:00": True}, two)), "f")
    assert world.run("f") == [DeploymentState.SUCCEEDED]
    assert changes(world, calls) == []


def test_what_fabric_adds_to_data_is_not_a_change() -> None:
    """It was shown after the deployment, so it is known. The next deployment replaces the data if a person adds a
    member later, or if the file has lost one. A rollback restores the data, whatever was added to what it replaces."""
    world = World(3)
    world.model.update_settings({"schedule_data_added": {"timeout": 60, "compute": {"name": "default"}}})
    added = {"timeout": 60, "compute": {"name": "default"}}
    two: dict[str, Any] = {"parameters": {"day": 1}, "retry": 1.0}
    world.submit(manifest(content(world, "{}", {"06:00": True}, two)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    add_by_hand(world, "03:00")
    assert data_of(world) == {"06:00": {**added, **two}, "03:00": None}
    for deployment in ("e", "f"):
        calls = len(world.model.calls)
        world.submit(
            manifest(content(world, "{}", {"06:00": True}, {"retry": 1, "parameters": {"day": 1}})), deployment
        )
        assert world.run(deployment) == [DeploymentState.SUCCEEDED]
        assert changes(world, calls) == []
    [own] = [each for each in pipeline(world).part(Schedules).by_id.values() if each.shown.get("executionData")]
    own.shown["executionData"] = {**added, **two, "priority": "high"}
    one = {"parameters": {"day": 1}}
    for deployment, wanted, fails in (("g", two, False), ("h", one, True), ("i", one, False)):
        before = data_of(world)
        world.submit(manifest(content(world, "{}", {"06:00": True}, wanted), *([BALL] if fails else [])), deployment)
        world.run(deployment)
        assert data_of(world) == before if fails else {"06:00": {**added, **wanted}, "03:00": None}
    assert times(world) == {"06:00": True, "03:00": True}


@pytest.mark.parametrize("has_data", [False, True])
def test_schedules_that_are_made_again_with_more_data_are_found_again(has_data: bool) -> None:
    """Fabric deletes them with the definition and adds to the data when they are made again; no second one is made,
    also of a person's."""
    world = World(3)
    data = {"parameters": {"day": 1}} if has_data else None
    world.submit(manifest(content(world, "{}", {"06:00": True}, data)))
    world.run()
    add_by_hand(world, "03:00")
    for each in pipeline(world).part(Schedules).by_id.values():
        each.shown |= {"executionData": data} if data else {}
    world.model.update_settings({"schedules_need_their_part": True, "schedule_data_added": {"timeout": 60}})
    for deployment, text, fails in (("e", "[]", False), ("f", "[1]", True), ("g", "[2]", False)):
        world.submit(manifest(content(world, text, {"06:00": True}, data), *([BALL] if fails else [])), deployment)
        assert world.run(deployment) == [DeploymentState.COMPENSATED if fails else DeploymentState.SUCCEEDED]
        assert times(world) == {"06:00": True, "03:00": True}


def test_item_with_as_many_schedules_as_fabric_allows_is_deployed() -> None:
    """The notes on them fit into the outputs of a step."""
    world = World(3)
    world.model.update_settings({"schedule_data_added": {"timeout": 60}})
    wanted = {f"{hour:02}:30": True for hour in range(MAX_SCHEDULES)}
    for deployment in ("d", "e"):
        calls = len(world.model.calls)
        world.submit(manifest(content(world, "{}", wanted, {"parameters": {"day": 1}})), deployment)
        assert world.run(deployment) == [DeploymentState.SUCCEEDED]
        assert times(world) == wanted
    assert changes(world, calls) == []


def test_data_that_a_person_has_changed_since_stays() -> None:
    """A rollback does not restore what is not the deployment's any more."""
    world = World(3)
    own = {"parameters": {"day": 7}}
    world.submit(manifest(content(world, "{}", {"06:00": True})))
    world.run()
    world.submit(manifest(content(world, "{}", {"06:00": True}, {"parameters": {"day": 2}})), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    for each in pipeline(world).part(Schedules).by_id.values():
        each.shown["executionData"] = own
    world.ask(Verb.RETIRE, "e")
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert data_of(world) == {"06:00": own}


def test_schedules_are_off_while_their_item_changes_and_on_again_last() -> None:
    """They are switched off before the first change, and on after all items; a schedule of people too."""
    world = World(3)
    world.submit(manifest(content(world, "{}", {"06:00": True})))
    world.run()
    add_by_hand(world, "03:00")
    calls = len(world.model.calls)
    world.submit(manifest(content(world, "[]", {"06:00": True})), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    found = changes(world, calls)
    first, last = found.index("PATCH schedules"), len(found) - 1 - found[::-1].index("POST updateDefinition")
    assert found[first : first + 3] == ["PATCH schedules", "PATCH schedules", "POST updateDefinition"]
    assert found[last + 1 :] == ["PATCH schedules", "PATCH schedules"]
    assert times(world) == {"06:00": True, "03:00": True}


def test_new_item_is_created_without_its_schedules() -> None:
    """Otherwise a schedule could start a job before the items are there that the job needs. Each is created switched
    off, because a create whose response is lost is repeated."""
    world = World(3)
    world.submit(manifest(content(world, "{}", {"06:00": True})))
    world.run()
    assert changes(world, 0)[-2:] == ["POST schedules", "PATCH schedules"]


def test_unchanged_schedules_are_not_touched() -> None:
    world = World(3)
    world.submit(manifest(content(world, "{}", {"06:00": True})))
    world.run()
    calls = len(world.model.calls)
    world.submit(manifest(content(world, "{}", {"06:00": True})), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    assert changes(world, calls) == []
    assert times(world) == {"06:00": True}


def test_schedules_without_a_note_are_not_touched() -> None:
    """They are those of people: no deployment listed one of the item."""
    world = World(3)
    world.submit(manifest(content(world, "{}", None)))
    world.run()
    add_by_hand(world, "03:00")
    calls = len(world.model.calls)
    world.submit(manifest(content(world, "{}", None)), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    assert changes(world, calls) == []
    assert not [call for call in world.model.calls[calls:] if "schedules" in call["path"]]


@pytest.mark.parametrize("need_part", [False, True])
def test_schedules_whose_file_is_gone_are_taken_away(need_part: bool) -> None:
    """They are switched off, and deleted by the next deployment; a person's stays. If the file comes back meanwhile,
    they are the deployment's again."""
    world = World(3)
    world.model.update_settings({"schedules_need_their_part": need_part})
    world.submit(manifest(content(world, "{}", {"06:00": True})))
    world.run()
    add_by_hand(world, "03:00")
    steps: list[tuple[dict[str, bool] | None, dict[str, bool]]] = [
        (None, {"06:00": False}),
        ({"06:00": True}, {"06:00": True}),
        (None, {"06:00": False}),
        (None, {}),
        (None, {}),
        ({"06:00": False, "12:00": True}, {"06:00": False, "12:00": True}),
        (None, {"12:00": False}),
    ]
    for number, (wanted, found) in enumerate(steps):
        world.submit(manifest(content(world, "[]{}"[number % 2 * 2 :][:2], wanted)), f"e{number}")
        assert world.run(f"e{number}") == [DeploymentState.SUCCEEDED]
        assert times(world) == {**found, "03:00": True}


@pytest.mark.law(1)
@pytest.mark.parametrize("need_part", [False, True])
@pytest.mark.parametrize("text", ["{}", "[]"], ids=["item unchanged", "item changed"])
def test_schedules_whose_file_is_gone_are_restored_by_a_rollback(text: str, need_part: bool) -> None:
    """Those that were switched off are on again, and those that were deleted are there again, with their data."""
    world = World(3)
    world.model.update_settings({"schedules_need_their_part": need_part})
    world.submit(manifest(content(world, "{}", {"06:00": True, "18:00": False}, {"parameters": {"day": 1}})))
    world.run()
    add_by_hand(world, "03:00")
    before = times(world), data_of(world)
    world.submit(manifest(content(world, text, None), BALL), "e")
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert (times(world), data_of(world)) == before


def test_schedule_of_a_file_that_is_gone_is_off_before_its_item_changes() -> None:
    world = World(3)
    world.submit(manifest(content(world, "{}", {"06:00": True})))
    world.run()
    calls = len(world.model.calls)
    world.submit(manifest(content(world, "[]", None)), "e")
    world.run("e")
    found = changes(world, calls)
    assert found.index("PATCH schedules") < found.index("POST updateDefinition")
    assert found.count("PATCH schedules") == 1


@pytest.mark.law(2)
def test_schedule_that_somebody_changed_is_not_deleted() -> None:
    """It is not the one that was created."""
    world = World(3)
    world.submit(manifest(content(world, "{}", {"06:00": True})))
    world.run()
    for each in pipeline(world).part(Schedules).by_id.values():
        each.shown["configuration"] = repositories.configuration("07:00")
    for deployment, wanted in (("e", {}), ("f", {}), ("g", {}), ("h", None), ("i", None)):
        world.submit(manifest(content(world, "{}", wanted)), deployment)
        assert world.run(deployment) == [DeploymentState.SUCCEEDED]
        assert times(world) == {"07:00": True}


@pytest.mark.law(1)
@pytest.mark.parametrize("without", [{}, None], ids=["an empty file", "no file"])
def test_update_of_a_definition_loses_no_schedule(without: dict[str, bool] | None) -> None:
    """Fabric deletes all schedules of the item with it. A person's is made again and stays theirs; one of a deployment
    stays the deployment's: it is switched off and deleted when the file does not list it any more."""
    world = World(3)
    world.model.update_settings({"schedules_need_their_part": True})
    world.submit(manifest(content(world, "{}", {"06:00": True})))
    world.run()
    add_by_hand(world, "03:00")
    expected = {"06:00": True, "03:00": True}
    steps: list[tuple[str, dict[str, bool] | None, dict[str, bool]]] = [
        ("[]", {"06:00": True}, expected),
        ("{}", without, {"06:00": False, "03:00": True}),
        ("[]", without, {"03:00": True}),
    ]
    for number, (text, wanted, found) in enumerate(steps):
        world.submit(manifest(content(world, text, wanted)), f"e{number}")
        assert world.run(f"e{number}") == [DeploymentState.SUCCEEDED]
        assert times(world) == found


@pytest.mark.parametrize("rolled_back", ["after a failure", "on request"])
@pytest.mark.parametrize("without", [{}, None], ids=["an empty file", "no file"])
def test_schedule_that_a_rollback_made_again_stays_the_deployments(
    without: dict[str, bool] | None, rolled_back: str
) -> None:
    """Fabric deletes it with each definition. It has another id then, and is still switched off and deleted when the
    file does not list it any more; a person's is not."""
    world = World(3)
    world.model.update_settings({"schedules_need_their_part": True})
    world.submit(manifest(content(world, "{}", {"06:00": True})))
    world.run()
    add_by_hand(world, "03:00")
    fails = rolled_back == "after a failure"
    for deployment, text in (("e", "[]"), ("f", "[1]")):
        world.submit(manifest(content(world, text, {"06:00": True}), *([BALL] if fails else [])), deployment)
        world.run(deployment)
    for deployment in () if fails else ("f",):
        world.ask(Verb.RETIRE, deployment)
        assert world.run(deployment) == [DeploymentState.COMPENSATED]
    assert times(world) == {"06:00": True, "03:00": True}
    for deployment, expected in (("g", {"06:00": False, "03:00": True}), ("h", {"03:00": True})):
        world.submit(manifest(content(world, "{}", without)), deployment)
        assert world.run(deployment) == [DeploymentState.SUCCEEDED]
        assert times(world) == expected


@pytest.mark.parametrize("without", [{}, None], ids=["an empty file", "no file"])
@pytest.mark.parametrize("text", ["{}", "[]"], ids=["item unchanged", "item changed"])
@pytest.mark.parametrize("need_part", [False, True])
@pytest.mark.parametrize("was_on", [True, False])
def test_schedule_that_a_rollback_created_again_stays_the_deployments(
    was_on: bool, need_part: bool, text: str, without: dict[str, bool] | None
) -> None:
    """A deployment deleted it, because the file does not list it any more. It has another id after the rollback, and
    is deleted by the next deployment; a person's is not."""
    world = World(3)
    world.model.update_settings({"schedules_need_their_part": need_part})
    world.submit(manifest(content(world, "{}", {"06:00": was_on, "07:00": False})))
    world.run()
    add_by_hand(world, "03:00")
    if was_on or without is not None:  # it is switched off, or noted as not listed, before it is deleted
        world.submit(manifest(content(world, "{}", without)), "e")
        assert world.run("e") == [DeploymentState.SUCCEEDED]
    before = times(world)
    assert before["06:00"] is False
    for deployment in ("f", "g"):
        world.submit(manifest(content(world, text, without), BALL), deployment)
        assert world.run(deployment) == [DeploymentState.COMPENSATED]
        assert times(world) == before
    world.submit(manifest(content(world, "{}", without)), "h")
    assert world.run("h") == [DeploymentState.SUCCEEDED]
    assert times(world) == {"03:00": True}


@pytest.mark.parametrize("rolls_back_later", [False, True])
@pytest.mark.parametrize("without", [{}, None], ids=["an empty file", "no file"])
def test_schedule_that_a_failed_deployment_made_again_and_left_is_the_deployments(
    without: dict[str, bool] | None, rolls_back_later: bool
) -> None:
    """With rollback off, it has another id than the one that was noted. It is switched off and deleted when the file
    does not list it any more, also after a rollback on request has made it again; a person's is not."""
    world = World(3, EnginePolicy().under(FeatureFlags(rollback=False)))
    world.model.update_settings({"schedules_need_their_part": True})
    world.submit(manifest(content(world, "{}", {"06:00": True})))
    world.run()
    add_by_hand(world, "03:00")
    world.submit(manifest(content(world, "[]", {"06:00": True}), BALL), "e")
    assert world.run("e") == [DeploymentState.FAILED]
    if rolls_back_later:
        world.ask(Verb.COMPENSATE, "e")
        assert world.run("e") == [DeploymentState.COMPENSATED]
    assert times(world) == {"06:00": True, "03:00": True}
    for deployment, expected in (("g", {"06:00": False, "03:00": True}), ("h", {"03:00": True})):
        world.submit(manifest(content(world, "{}", without)), deployment)
        assert world.run(deployment) == [DeploymentState.SUCCEEDED]
        assert times(world) == expected


@pytest.mark.parametrize("need_part", [False, True])
@pytest.mark.parametrize("seed", range(16))
def test_schedules_under_crashes_end_as_without_them(seed: int, need_part: bool) -> None:
    """A repeated create leaves no second schedule."""
    world = World(seed)
    world.model.update_settings({"schedules_need_their_part": need_part})
    world.submit(manifest(content(world, "{}", {"06:00": True, "18:00": True})))
    world.run()
    add_by_hand(world, "03:00")
    before = times(world)
    world.crash_rate, world.overtake_rate = 0.06, 0.03
    wanted = {"06:00": False, "12:00": True} if seed % 4 < 2 else None
    world.submit(manifest(content(world, "[]", wanted), *([BALL] if seed % 2 else [])), "e")
    [end] = world.run("e")
    if seed % 2:
        assert (end, times(world)) == (DeploymentState.COMPENSATED, before)
    else:
        expected = {"06:00": False, "18:00": False, **(wanted or {}), "03:00": True}
        assert (end, times(world)) == (DeploymentState.SUCCEEDED, expected)
