"""The schedules of items without a file of them: which are ours."""

import json
from types import SimpleNamespace
from typing import Any

from shared.steps.removed_schedules import RemovedSchedulesKind


def shown(schedule_id: str, time: str) -> dict[str, Any]:
    """Return a schedule as Fabric shows it."""
    return {"id": schedule_id, "enabled": True, "configuration": {"type": "Daily", "times": [time]}}


def candidate(identity: str, *rows: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of the note on the schedules of an item."""
    sent = json.dumps([{**row, "isListed": True} for row in rows])
    return {"identity": identity, "itemId": "i", "key": "run", "sent": sent, "type": "DataPipeline"}


def test_schedules_of_an_item_with_two_notes_are_those_of_both() -> None:
    """Another item of the repository has taken over its name, and the first one came back. A schedule without a note,
    or with other times than in its note, is a person's."""
    fabric: Any = SimpleNamespace(list=lambda path: [shown(each, "06:00") for each in ("a", "b", "c", "d")])
    notes = [candidate("one", shown("a", "06:00"), shown("c", "07:00")), candidate("two", shown("b", "06:00"))]
    found = RemovedSchedulesKind().held(fabric, "w", "i", notes)
    assert [(row["id"], row["identity"], is_ours) for row, is_ours in found] == [
        ("a", "one", True),
        ("b", "two", True),
        ("c", "one", False),
        ("d", "one", False),
    ]
