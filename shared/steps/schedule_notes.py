"""The notes of a deployment on an item's schedules: which it created, and what Fabric made of the data that it set.

A note has digests only, so that those of all schedules of an item fit into the outputs of a step. As with definitions,
two digests are noted of the data: of what was sent, and of what Fabric showed after it. So what Fabric adds to the data
does not count as changed, and what a person adds later does.
"""

from shared.domain.json import JsonObject, content_hash
from shared.repository.schedules import Schedule, comparable, comparable_data, has_data, is_same_data, is_same_plan

_DIGITS = 12
"""Digits of a digest. It is compared with that of one other value, so these are enough."""


def note_of(row: JsonObject, wanted: Schedule | None, *, is_own: bool) -> JsonObject | None:
    """Return the note of a schedule that Fabric shows, or None if there is nothing to note. `wanted` is what the file
    of schedules asks of it; `is_own` is True if a deployment created it."""
    note: JsonObject = {"id": row["id"]}
    if is_own:
        note["plan"] = _digest(comparable(row["configuration"]))
        note |= {} if wanted is not None else {"isListed": False}
    shown = row.get("executionData")
    if wanted is not None and not is_same_data(shown, wanted.execution) and has_data(shown, wanted.execution):
        note["data"] = _data(wanted.execution, shown)
    return note if len(note) > 1 else None


def is_of(note: JsonObject, row: JsonObject) -> bool:
    """Return True if a deployment created this schedule and nobody has changed its times since."""
    if note["id"] != row["id"]:
        return False
    if "configuration" in note:  # written by an earlier version
        return is_same_plan(note, row)
    return note.get("plan") == _digest(comparable(row.get("configuration") or {}))


def is_own(note: JsonObject) -> bool:
    """Return True if a deployment created the schedule of a note."""
    return "plan" in note or "configuration" in note


def shows(notes: list[JsonObject], row: JsonObject, wanted: JsonObject) -> bool:
    """Return True if a schedule shows the data that is wanted, or what Fabric made of it when it was sent before."""
    shown = row.get("executionData")
    if is_same_data(shown, wanted):
        return True
    noted = next((note.get("data") for note in notes if note["id"] == row["id"]), None)
    return noted is not None and noted == _data(wanted, shown)


def _data(sent: JsonObject, shown: JsonObject | None) -> str:
    return f"{_digest(comparable_data(sent))}/{_digest(comparable_data(shown))}"


def _digest(text: str) -> str:
    return content_hash(text)[:_DIGITS]
