"""When the plans of two schedules, and the data that they give to their jobs, are the same."""

import json
from typing import Any

import pytest

from shared.repository.schedules import has_data, is_same_data, is_same_plan, schedules_in


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({"parameters": {"day": 1}}, {"parameters": {"day": 1, "no": None}}, True),
        ({"args": ["from", "to"]}, {"args": ["from", "to"]}, True),
        ({"args": ["from", "to"]}, {"args": ["to", "from"]}, False),
        ({"since": "2026-01-01T00:00:00Z"}, {"since": "2026-01-01T02:00:00.000+02:00"}, True),
        ({"since": "2026-01-01T00:00:00.5Z"}, {"since": "2026-01-01T00:00:00.7Z"}, False),
        ({"since": "2026-02-30T00:00:00Z"}, {"since": "2026-02-30T00:00:00"}, False),
        ({"retry": 1.0, "on": True}, {"on": True, "retry": 1}, True),
        ({"on": True}, {"on": 1}, False),
        ({}, None, True),
    ],
)
def test_data_is_compared_as_a_job_reads_it(one: Any, other: Any, is_same: bool) -> None:
    """The order of a list matters to it, and so does the fraction of a second."""
    assert is_same_data(one, other) is is_same
    assert has_data(one, other) is is_same


def test_data_may_have_more_than_what_was_sent() -> None:
    assert has_data({"a": [1], "b": 2}, {"a": [1]})
    assert not has_data({"b": 2}, {"a": [1]})


def test_order_of_times_and_the_fraction_of_a_second_do_not_change_a_plan() -> None:
    one, other = ({"configuration": {"times": times}} for times in (["04:00", "06:00"], ["06:00", "04:00"]))
    assert is_same_plan(one, other)
    start = "2026-01-01T00:00:00"
    one, other = ({"configuration": {"startDateTime": start + end}} for end in (".5Z", ""))
    assert is_same_plan(one, other)


@pytest.mark.parametrize("name", ["configuration", "executionData"])
def test_entry_with_too_many_levels_is_refused(name: str) -> None:
    row: dict[str, Any] = {"enabled": True, "configuration": {"type": "Daily"}}
    row[name] = {"type": "Daily", "deep": "HERE"}
    text = json.dumps({"schedules": [row]}).replace('"HERE"', '{"a":' * 1500 + "1" + "}" * 1500)
    with pytest.raises(ValueError, match=f"`{name}` has too many levels"):
        schedules_in(text)
