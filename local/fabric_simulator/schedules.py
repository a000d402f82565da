"""The schedules of an item's jobs. They start no job here.

Source: recordings of microsoft/fabric-cli, the published OpenAPI; the limit of 20 schedules is Fabric's documentation.
Assumed: the definition part `.schedules` adds its schedules when the definition is put, and replaces those that an
earlier part added; a pipeline's job is `Execute` there and in its own collection, and `Pipeline` in the API of jobs.
Synthetic: Fabric keeps the `executionData` of the part, which no recording has, as the published OpenAPI says for a
schedule that is made by its API; and what it adds to them with the setting `schedule_data_added`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator.http import ApiError
from local.fabric_simulator.parts import parts_in
from local.fabric_simulator.store import Item, stamp
from local.fabric_simulator.world import Body, World, object_field

MAX_SCHEDULES = 20
_NEEDED: dict[str, tuple[str, ...]] = {
    "Cron": ("interval",),
    "Daily": ("times",),
    "Weekly": ("times", "weekdays"),
    "Monthly": ("recurrence", "occurrence", "times"),
}
_BASE = ("startDateTime", "endDateTime", "localTimeZoneId")
_PART = ".schedules"
_OTHER_NAMES = {"pipeline": "execute"}
"""Job types with two names."""


@dataclass
class Schedule:
    """A schedule; `from_part` is True if the item's definition contains it."""

    job_type: str
    shown: Body
    from_part: bool = False


@dataclass
class Schedules:
    """The schedules of one item, by id."""

    by_id: dict[str, Schedule] = field(default_factory=lambda: dict[str, Schedule]())

    def of(self, job_type: str) -> list[Schedule]:
        """Return the schedules of a job type; its case does not matter."""
        return [s for s in self.by_id.values() if _same_job(s.job_type) == _same_job(job_type)]


def _same_job(job_type: str) -> str:
    return _OTHER_NAMES.get(job_type.lower(), job_type.lower())


def checked(world: World, body: Body) -> Body:
    """Return what is shown of a request: `enabled`, `configuration` and the data. Raises ApiError 400."""
    configuration = object_field(body, "configuration")
    kind = str(configuration.get("type"))
    missing = [n for n in (*_BASE, *_NEEDED.get(kind, ())) if configuration.get(n) is None]
    if kind not in _NEEDED or missing or not isinstance(body.get("enabled"), bool):
        wrong = missing[0] if missing else "enabled" if kind in _NEEDED else "type"
        raise ApiError(400, "InvalidInput", f"The schedule's {wrong} is missing or not valid.")
    checked: Body = {"enabled": body["enabled"], "configuration": configuration}
    if body.get("executionData") is not None:
        data = object_field(body, "executionData")
        checked["executionData"] = {**world.settings.schedule_data_added, **data} if data else data
    return checked


def add(world: World, item: Item, job_type: str, wanted: Body, *, from_part: bool = False) -> Schedule:
    """Add a schedule whose request was checked. Raises ApiError 400 if there are too many."""
    if len(item.part(Schedules).of(job_type)) >= MAX_SCHEDULES:
        raise ApiError(400, "ScheduleExceedsLimit", f"An item may have at most {MAX_SCHEDULES} schedules.")
    shown: Body = {"id": world.store.new_id(), "enabled": wanted["enabled"]}
    shown |= {"createdDateTime": stamp(world.clock()), **wanted, "owner": {"id": world.identity, "type": "User"}}
    schedule = Schedule(job_type, shown, from_part)
    item.part(Schedules).by_id[shown["id"]] = schedule
    return schedule


def _in_part(data: bytes) -> Iterator[tuple[str, Body]]:
    """Yield job type and request of each schedule in a definition's part. Raises ApiError 400."""
    try:
        content: Any = json.loads(data)
        for row in content["schedules"]:
            more = {"executionData": row["executionData"]} if "executionData" in row else {}
            yield str(row["jobType"]), {"enabled": row["enabled"], "configuration": row["configuration"], **more}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ApiError(400, "CorruptedPayload", f"The definition's part {_PART} is not valid.") from None


def take_from(world: World, item: Item, definition: Any) -> None:
    """Replace the schedules of the item's earlier definition by those of the part `.schedules`, if there is one.

    Without the part they stay; with the setting `schedules_need_their_part`, all schedules of the item are deleted.
    Raises ApiError 400, and then changes nothing.
    """
    data = parts_in(definition).get(_PART)
    if data is None:
        if world.settings.schedules_need_their_part:
            item.part(Schedules).by_id.clear()
        return
    wanted = [(job_type, checked(world, body)) for job_type, body in _in_part(data)]
    held = item.part(Schedules).by_id
    for schedule_id in [i for i, schedule in held.items() if schedule.from_part]:
        del held[schedule_id]
    for job_type, body in wanted:
        add(world, item, job_type, body, from_part=True)
