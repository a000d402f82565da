"""The problems and warnings about a part `.schedules`, each with its line."""

import json
from typing import Any

import pytest

from shared.repository.json_lines import line_of, lines_of
from shared.repository.schedule_rules import check

BASE = {"startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2027-01-01T00:00:00.5", "localTimeZoneId": "UTC"}
CRON = {**BASE, "type": "Cron", "interval": 10}
DAILY = {**BASE, "type": "Daily", "times": ["06:00", "23:59"]}
WEEKLY = {**DAILY, "type": "Weekly", "weekdays": ["Monday"]}
BY_DATE = {"occurrenceType": "DayOfMonth", "dayOfMonth": 31}
BY_DAY = {"occurrenceType": "OrdinalWeekday", "weekIndex": "Fifth", "weekday": "Friday"}
MONTHLY = {**DAILY, "type": "Monthly", "recurrence": 12, "occurrence": BY_DATE}


def text_of(configuration: Any, **more: Any) -> str:
    return json.dumps({"schedules": [{"enabled": True, "configuration": configuration, **more}]}, indent=2)


@pytest.mark.parametrize("configuration", [CRON, DAILY, WEEKLY, MONTHLY, {**MONTHLY, "occurrence": BY_DAY}])
def test_schedule_of_each_type_is_accepted(configuration: dict[str, Any]) -> None:
    found = check(text_of(configuration, jobType="Execute", executionData={}), "Pipeline")
    assert (found.problems, found.warnings) == ([], [])


@pytest.mark.parametrize(
    ("configuration", "field", "what"),
    [
        ({**CRON, "interval": 0}, "interval", "from 1 to 5270400"),
        ({**CRON, "interval": "10"}, "interval", "a whole number"),
        ({**CRON, "interval": True}, "interval", "a whole number"),
        ({**DAILY, "times": []}, "times", "1 to 100 times"),
        ({**DAILY, "times": ["06:00"] * 101}, "times", "1 to 100 times"),
        ({**DAILY, "times": ["24:00"]}, "24:00", "not a time of the day"),
        ({**DAILY, "times": ["6 am"]}, "6 am", "not a time of the day"),
        ({**WEEKLY, "weekdays": ["Mon"]}, "Mon", "the days are Monday"),
        ({**WEEKLY, "weekdays": []}, "weekdays", "1 to 7"),
        ({**MONTHLY, "recurrence": 13}, "recurrence", "from 1 to 12"),
        ({**MONTHLY, "occurrence": {}}, "occurrence", "DayOfMonth or OrdinalWeekday"),
        ({**MONTHLY, "occurrence": {**BY_DATE, "dayOfMonth": 32}}, "dayOfMonth", "from 1 to 31"),
        ({**MONTHLY, "occurrence": {**BY_DAY, "weekIndex": "Last"}}, "weekIndex", "First, Second"),
        ({**MONTHLY, "occurrence": {**BY_DAY, "weekday": "Fri"}}, "weekday", "Monday, Tuesday"),
        ({**CRON, "type": "cron"}, '"type"', "must be written Cron"),
        ({**CRON, "startDateTime": "2026-02-30T00:00:00"}, "startDateTime", "a time in UTC"),
        ({**CRON, "startDateTime": "0001-01-01T00:00:00+02:00"}, "startDateTime", "a time in UTC"),
        ({**CRON, "startDateTime": "2026-02-01T00:00:00+99:00"}, "startDateTime", "a time in UTC"),
        ({**CRON, "endDateTime": "2026-01-01T01:00:00+02:00"}, "endDateTime", "later than"),
        ({**CRON, "endDateTime": "2026-01-01T00:00:00"}, "endDateTime", "later than"),
        ({**CRON, "localTimeZoneId": ""}, "localTimeZoneId", "a time zone of Windows"),
    ],
)
def test_value_that_the_specification_excludes_is_a_problem_in_its_line(
    configuration: dict[str, Any], field: str, what: str
) -> None:
    text = text_of(configuration)
    [(line, message)] = check(text, "Pipeline").problems
    assert field in text.splitlines()[line - 1]
    assert message.startswith("entry 1: ")
    assert what in message


@pytest.mark.parametrize("name", ["startDateTime", "endDateTime", "localTimeZoneId", "times"])
def test_missing_field_is_a_problem_in_the_line_of_its_configuration(name: str) -> None:
    text = text_of({key: value for key, value in DAILY.items() if key != name})
    [(line, message)] = check(text, "Pipeline").problems
    assert "configuration" in text.splitlines()[line - 1]
    assert f"`{name}`" in message


def test_all_problems_of_all_entries_are_reported_at_once() -> None:
    rows = [{"enabled": 1, "configuration": {**CRON, "interval": 0}}, {"enabled": True, "jobType": 1}, 7]
    found = check(json.dumps({"schedules": rows}), "Pipeline")
    assert [message.split(":")[0] for _, message in found.problems] == [
        *("entry 1", "entry 1", "entry 2", "entry 2", "entry 3")
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (text_of({**BASE, "type": "Hourly"}), "`type` 'Hourly' is not among"),
        (text_of({**CRON, "localTimeZoneId": "Europe/Berlin"}), "that of Windows"),
        (text_of({**CRON, "startDateTime": "2026-02-01T00:00:00+02:00"}), "write 2026-01-31T22:00:00Z"),
        (text_of(CRON, jobType="TableMaintenance"), "the item's job Pipeline"),
        (text_of(CRON, owner="somebody"), "owner cannot be set"),
    ],
)
def test_what_the_specification_leaves_open_is_a_warning(text: str, what: str) -> None:
    found = check(text, "Pipeline")
    assert found.problems == []
    [(_, message)] = found.warnings
    assert what in message


def test_lines_are_found_by_names_and_numbers() -> None:
    text = '{\n"a":\n [1,\n {"b, }": "x\\",{",\n"c": []}],\n "d": {}}'
    lines = lines_of(text)
    assert lines == {
        (): 1,
        ("a",): 3,
        ("a", 0): 3,
        ("a", 1): 4,
        ("a", 1, "b, }"): 4,
        ("a", 1, "c"): 5,
        ("d",): 6,
    }
    assert line_of(lines, ("a", 1, "missing", 3)) == 4
