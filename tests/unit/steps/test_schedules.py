"""The schedules that an update of a definition changes, and the calls that restore them."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from shared.domain.errors import FabricTransientError
from shared.steps import definition_parts, schedules
from shared.steps.kind import Call

PATH = "/workspaces/w/items/i/jobs/Pipeline/schedules"
FOUR, FIVE = ({"type": "Daily", "times": [time], "startDateTime": "2026-01-01T00:00:00"} for time in ("04:00", "05:00"))


def shown(schedule_id: str, configuration: dict[str, Any], *, enabled: bool = True) -> dict[str, Any]:
    """Return a schedule as Fabric shows it."""
    return {"id": schedule_id, "enabled": enabled, "configuration": configuration}


def sent(configuration: dict[str, Any], *, enabled: bool = True) -> dict[str, Any]:
    """Return a schedule as a definition contains it."""
    return {"enabled": enabled, "jobType": "Execute", "configuration": configuration}


def part(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"parts": [{"path": ".schedules", "text": json.dumps({"schedules": list(rows)})}]}


def calls(before: list[Any], wanted: list[Any], present: list[Any]) -> list[tuple[str, str, Any]]:
    """Return the calls that lead from the present schedules to the ones before."""
    image = {"schedules": before, "sentSchedules": wanted}
    found: list[Call] = schedules.restored("w", "i", "DataPipeline", image, present)
    return [(call.method, call.path, call.body) for call in found]


def test_schedule_that_the_definition_added_is_deleted() -> None:
    """One of a person, whose plan the definition does not have, stays."""
    present = [shown("a", FOUR), shown("b", FIVE)]
    assert calls([], [sent(FOUR)], present) == [("DELETE", f"{PATH}/a", None)]


def test_schedule_that_fabric_made_anew_is_switched_as_the_old_one_was() -> None:
    """It has a new id and the same plan; if it is switched as the old one was, nothing is called."""
    before, wanted = [shown("old", FOUR, enabled=False)], [sent(FOUR)]
    body = {"enabled": False, "configuration": FOUR}
    assert calls(before, wanted, [shown("new", FOUR)]) == [("PATCH", f"{PATH}/new", body)]
    assert calls(before, wanted, [shown("new", FOUR, enabled=False)]) == []


def test_schedule_that_the_definition_replaced_gets_its_plan_back() -> None:
    """Fabric made another one in its place, which takes it over; if there is none, it is created again."""
    body = {"enabled": True, "configuration": FOUR}
    assert calls([shown("old", FOUR)], [sent(FIVE)], [shown("new", FIVE)]) == [("PATCH", f"{PATH}/new", body)]
    assert calls([shown("old", FOUR)], [sent(FIVE)], []) == [("POST", PATH, body)]


def test_schedule_that_kept_its_id_gets_its_plan_back() -> None:
    body = {"enabled": True, "configuration": FOUR}
    assert calls([shown("old", FOUR)], [sent(FIVE)], [shown("old", FIVE)]) == [("PATCH", f"{PATH}/old", body)]


def test_schedule_gets_the_data_of_its_jobs_back() -> None:
    """A person's schedule that the update deleted starts its jobs with the same data when it is created again."""
    data = {"parameters": {"day": "all"}}
    old = {**shown("old", FOUR), "executionData": data}
    body = {"enabled": True, "configuration": FOUR, "executionData": data}
    assert calls([old], [], []) == [("POST", PATH, body)]
    assert calls([old], [sent(FOUR)], [shown("new", FOUR)]) == [("PATCH", f"{PATH}/new", body)]
    assert calls([old], [sent(FOUR)], [{**shown("new", FOUR), "executionData": data}]) == []


def test_two_schedules_with_one_plan_are_two() -> None:
    before = [shown("a", FOUR), shown("b", FOUR, enabled=False)]
    body = {"enabled": False, "configuration": FOUR}
    assert calls(before, [sent(FOUR)], [shown("n", FOUR)]) == [("POST", PATH, body)]


@pytest.mark.parametrize(
    ("configuration", "is_the_definitions"),
    [
        (FOUR, True),
        ({**FOUR, "startDateTime": "2026-01-01T00:00:00.0000000Z", "localTimeZoneId": "UTC"}, True),
        ({**FOUR, "startDateTime": "2026-01-01T02:00:00+02:00"}, True),
        ({**FOUR, "startDateTime": "2026-01-01T00:00:00+02:00"}, False),
        ({**FOUR, "times": ["05:00", "04:00"]}, False),
        (FIVE, False),
        ({}, False),
    ],
)
def test_only_schedules_of_the_definition_are_deleted(configuration: dict[str, Any], is_the_definitions: bool) -> None:
    """Fabric may add fields, and fractions and a zone to a time."""
    found = calls([], [sent(FOUR)], [shown("x", configuration)])
    assert [method for method, _, _ in found] == ["DELETE"] * is_the_definitions


def test_schedule_that_fabric_shows_otherwise_is_the_old_one() -> None:
    """Fabric made the schedule again, with fractions and a zone after its times, and in another order."""
    old = {"type": "Weekly", "times": ["04:00", "06:00"], "startDateTime": "2026-01-01T00:00:00"}
    new = {"type": "Weekly", "times": ["06:00", "04:00"], "startDateTime": "2026-01-01T00:00:00.0000000Z"}
    assert calls([shown("old", old)], [sent(old)], [shown("new", new)]) == []


def test_schedule_that_the_update_made_again_is_the_old_one_however_fabric_shows_it() -> None:
    """The definition contains none. A second one would start the job twice at each time."""
    old, new = {**FOUR, "interval": None}, {**FOUR, "startDateTime": "2026-01-01T00:00:00.0000000Z"}
    body = {"enabled": True, "configuration": old}
    assert calls([shown("old", old)], [], [shown("new", new)]) == []
    assert calls([shown("old", old)], [], [shown("new", new, enabled=False)]) == [("PATCH", f"{PATH}/new", body)]


def test_schedule_whose_plan_fabric_did_not_show_is_not_made_again() -> None:
    """Fabric would refuse it, each time that the rollback is tried."""
    assert calls([{"id": "odd", "enabled": True}, shown("a", FOUR)], [], [shown("a", FOUR)]) == []


@pytest.mark.parametrize("row", [{"enabled": True}, {"id": "a"}, {"id": "a", "enabled": None}])
def test_list_that_does_not_say_which_schedules_are_on_is_read_again(row: dict[str, Any]) -> None:
    fabric: Any = SimpleNamespace(list=lambda path: [shown("b", FOUR), {"configuration": FIVE, **row}])
    with pytest.raises(FabricTransientError):
        schedules.of_item(fabric, "w", "i", "DataPipeline")


def test_entry_of_a_definition_without_a_plan_deletes_nothing() -> None:
    """Fabric makes no schedule from it."""
    assert calls([], [{"enabled": True}, sent({})], [shown("x", FOUR)]) == []


def test_schedules_of_a_definition_are_read_or_left_to_fabric() -> None:
    """A text in another format has no schedules: Fabric refuses it in its own words."""
    assert schedules.in_definition(part(sent(FOUR))) == [sent(FOUR)]
    for text in ("", "[]", '{"schedules": 1}', '{"schedules": [1]}', "{"):
        rows = schedules.in_definition({"parts": [{"path": ".schedules", "text": text}]})
        assert [row for row in rows if row] == []
    assert schedules.in_definition({"parts": [{"path": "x", "text": "y"}]}) == []


@pytest.mark.parametrize("configuration", [None, [], 7, "Daily"])
def test_schedule_whose_plan_is_not_shown_is_left_alone(configuration: Any) -> None:
    """It could not be restored, so nothing is sent for it: not if it is gone, nor if its plan is shown later."""
    odd = {"id": "a", "enabled": True, "configuration": configuration}
    fabric: Any = SimpleNamespace(list=lambda *_: [odd, shown("b", FIVE)])
    before = schedules.of_item(fabric, "w", "i", "DataPipeline")
    assert before == [{"id": "a", "enabled": True}, shown("b", FIVE)]
    assert schedules.switched("w", "i", "DataPipeline", before[:1], is_on=False) == []
    assert calls(before, [], [shown("b", FIVE)]) == []
    assert calls(before, [sent(FOUR)], [shown("a", FOUR), shown("b", FIVE)]) == []


def test_part_that_fabric_writes_in_another_way_has_the_schedules_that_were_asked() -> None:
    """The order of entries and members, null, times, and the name of the job do not matter; what is on does, and so
    does data that the manifest does not ask for any more."""
    data = {"parameters": {"day": 1}, "since": "2026-01-01T00:00:00Z"}
    wanted = part({**sent(FOUR), "executionData": data}, sent(FIVE, enabled=False))
    other = {"since": "2026-01-01T01:00:00+01:00", "none": None, "parameters": {"day": 1.0}}
    four = {"executionData": other, "configuration": {**FOUR, "startDateTime": "2026-01-01T00:00:00.000Z"}}
    four |= {"enabled": True, "jobType": "Pipeline"}
    five: dict[str, Any] = {**sent(FIVE, enabled=False), "executionData": None}
    assert schedules.is_as_asked(wanted, part(five, four), "DataPipeline")
    spec = {"type": "DataPipeline", "definition": wanted}
    assert definition_parts.is_as_asked(spec, part(five, four))
    assert not definition_parts.is_as_asked(spec, part(four))
    for present in (
        part(four),
        part(five, four, five),
        part({**five, "enabled": True}, four),
        part(five, {**four, "executionData": {**other, "more": 1}}),
        part(five, {**four, "jobType": "RunNotebook"}),
    ):
        assert schedules.is_as_asked(wanted, present, "DataPipeline") is False
    assert schedules.is_as_asked(wanted, {"parts": [{"path": ".schedules", "text": "{"}]}, "DataPipeline") is None
