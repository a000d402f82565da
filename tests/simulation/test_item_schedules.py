"""The schedules of an item's definition: sent when they change, and restored by a rollback."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.fabric_simulator.schedules import Schedules
from shared.domain.states import DeploymentState
from tests.simulation.type_trial import FAILS, Trial


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """Return a pipeline with a schedule that is off, deployed once."""
    made = Trial("DataPipeline", "repository", tmp_path)
    assert made.deploy(made.step()) is DeploymentState.SUCCEEDED
    return made


def schedules(trial: Trial) -> list[tuple[bool, Any]]:
    """Return whether each schedule is on, and its times."""
    assert trial.item is not None
    rows = [each.shown for each in trial.item.part(Schedules).by_id.values()]
    return sorted((row["enabled"], row["configuration"]["times"]) for row in rows)


def edit(trial: Trial, *plans: tuple[bool, list[str]]) -> None:
    """Write schedules into the pipeline's folder."""
    [file] = (trial.folder / "repository").rglob("*.DataPipeline/.schedules")
    content = json.loads(file.read_text())
    [row] = content["schedules"]
    rows = [{**row, "enabled": on, "configuration": {**row["configuration"], "times": times}} for on, times in plans]
    file.write_text(json.dumps({**content, "schedules": rows}))


def test_schedule_that_alone_changed_is_set_once(trial: Trial) -> None:
    """The plan names it. The old one is switched off, and the next deployment deletes it; one more writes nothing."""
    edit(trial, (True, ["05:00"]))
    assert trial.planned_files() == ["Daily 05:00 created", "Daily 05:00 switched on"]
    assert trial.deploy(trial.step()) is DeploymentState.SUCCEEDED
    assert schedules(trial) == [(False, ["04:00"]), (True, ["05:00"])]
    assert trial.deploy(trial.step()) is DeploymentState.SUCCEEDED
    assert schedules(trial) == [(True, ["05:00"])]
    assert trial.repeated() == "yes"


@pytest.mark.law(1)
@pytest.mark.parametrize("need_part", [False, True])
@pytest.mark.parametrize("plans", [((False, ["05:00"]), (True, ["06:00"])), ((False, ["05:00"]),), (), None])
def test_schedules_are_restored_by_a_rollback(
    trial: Trial, need_part: bool, plans: tuple[tuple[bool, list[str]], ...] | None
) -> None:
    """A person had switched the schedule on; the failed release changed it, added one, or had none any more."""
    trial.world.model.update_settings({"schedules_need_their_part": need_part})
    assert trial.item is not None
    [schedule] = trial.item.part(Schedules).by_id.values()
    schedule.shown["enabled"] = True
    if plans is None:
        [file] = (trial.folder / "repository").rglob("*.DataPipeline/.schedules")
        file.unlink()
    else:
        edit(trial, *plans)
    trial.change()
    assert trial.deploy(trial.step(), FAILS) is DeploymentState.COMPENSATED
    assert schedules(trial) == [(True, ["04:00"])]


@pytest.mark.law(1)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("has_part", [False, True])
def test_schedule_of_a_person_outlives_an_update(trial: Trial, has_part: bool, fails: bool) -> None:
    """Fabric deletes the schedules that a definition without the part does not contain, and they are made again. With
    the part, the definition says which schedules there are."""
    step = Trial("DataPipeline", "item", trial.folder / "as item")
    step.deploy(step.step())
    step.world.model.update_settings({"schedules_need_their_part": True})
    assert step.item is not None
    [schedule] = step.item.part(Schedules).by_id.values()
    schedule.from_part, schedule.shown["enabled"] = False, True
    [file] = (step.folder / "repository").rglob("*.DataPipeline/.schedules")
    if not has_part:
        file.unlink()
    step.change()
    end = step.deploy(step.step(), *([FAILS] if fails else []))
    assert end is (DeploymentState.COMPENSATED if fails else DeploymentState.SUCCEEDED)
    added = [(False, ["04:00"])] if has_part and not fails else []
    assert schedules(step) == [*added, (True, ["04:00"])]


def test_schedules_that_fabric_does_not_show_do_not_stop_an_update(trial: Trial) -> None:
    """The list is refused: the update is made and rolled back, and the schedules are those of the definition."""
    rule = {"match": {"path": ".*/schedules"}, "action": {"status": 403, "body": {"errorCode": "X", "message": "x"}}}
    trial.world.model.faults.replace([rule])
    edit(trial, (False, ["05:00"]))
    trial.change()
    assert trial.deploy(trial.step(), FAILS) is DeploymentState.COMPENSATED
    assert schedules(trial) == [(False, ["04:00"])]


def test_data_of_the_schedules_of_an_item_is_kept_and_restored(trial: Trial) -> None:
    """It reaches the schedule that Fabric makes of the part, and a rollback leaves that of the release before."""
    step = Trial("DataPipeline", "item", trial.folder / "as item")
    [file] = (step.folder / "repository").rglob("*.DataPipeline/.schedules")
    content = json.loads(file.read_text())
    for fails, data, expected in ((False, 1, 1), (True, 2, 1), (False, 2, 2)):
        content["schedules"][0]["executionData"] = {"parameters": {"day": data}}
        file.write_text(json.dumps(content))
        end = step.deploy(step.step(), *([FAILS] if fails else []))
        assert end is (DeploymentState.COMPENSATED if fails else DeploymentState.SUCCEEDED)
        assert step.item is not None
        [schedule] = step.item.part(Schedules).by_id.values()
        assert schedule.shown["executionData"] == {"parameters": {"day": expected}}
