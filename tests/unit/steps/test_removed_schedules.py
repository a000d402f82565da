"""The schedules of items without a file of them: which are ours."""

import json
from types import SimpleNamespace
from typing import Any

from shared.repository.schedules import Schedule
from shared.steps.removed_schedules import RemovedSchedulesKind
from shared.steps.schedule_notes import note_of


def shown(schedule_id: str, time: str) -> dict[str, Any]:
    """Return a schedule as Fabric shows it."""
    return {"id": schedule_id, "enabled": True, "configuration": {"type": "Daily", "times": [time]}}


def candidate(identity: str, *notes: dict[str, Any] | None) -> dict[str, Any]:
    """Return what is known of the notes on the schedules of an item."""
    return {"identity": identity, "itemId": "i", "key": "run", "sent": json.dumps(notes), "type": "DataPipeline"}


def own(schedule_id: str, time: str) -> dict[str, Any] | None:
    """Return the note on a schedule that a deployment created."""
    row = shown(schedule_id, time)
    return note_of(row, Schedule(True, row["configuration"], {}), is_own=True)


def of_person(schedule_id: str, time: str) -> dict[str, Any] | None:
    """Return the note on a schedule that a person created and that the file lists: Fabric added to its data."""
    row = {**shown(schedule_id, time), "executionData": {"day": 1, "timeout": 60}}
    return note_of(row, Schedule(True, row["configuration"], {"day": 1}), is_own=False)


def earlier(schedule_id: str, time: str) -> dict[str, Any]:
    """Return the note of an earlier version of the app."""
    return {**shown(schedule_id, time), "isListed": True}


def test_schedules_of_an_item_with_two_notes_are_those_of_both() -> None:
    """Another item of the repository has taken over its name, and the first one came back. A schedule without a note,
    or with other times than in its note, is a person's. What Fabric added to the data of a schedule is noted also for
    those that the other item found: it does not count."""
    fabric: Any = SimpleNamespace(list=lambda path: [shown(each, "06:00") for each in ("a", "b", "c", "d", "e")])
    notes = [
        candidate("one", own("a", "06:00"), own("c", "07:00"), earlier("e", "06:00")),
        candidate("two", own("b", "06:00"), of_person("a", "06:00"), of_person("d", "06:00")),
    ]
    found = RemovedSchedulesKind().held(fabric, "w", "i", notes)
    assert [(row["id"], row["identity"], is_ours) for row, is_ours in found] == [
        ("a", "one", True),
        ("b", "two", True),
        ("c", "one", False),
        ("d", "one", False),
        ("e", "one", True),
    ]
