"""Timer triggers: NCRONTAB expressions of five or six fields, and time spans."""

import asyncio
import json
import logging
import re
from datetime import UTC, datetime, timedelta

from local.functions_host.queues import seconds_of
from local.functions_host.worker import Function, InvocationError, Worker, log_error, pause, protocol

log = logging.getLogger("host.timers")

_FIELDS = (
    (0, 59, ""),
    (0, 59, ""),
    (0, 23, ""),
    (1, 31, ""),
    (1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    (0, 7, "sun mon tue wed thu fri sat"),
)
"""The lowest and highest value of each field, and the names of its values, starting with the lowest."""
_ITEM = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")
_MAX_YEARS = 5


class NCrontab:
    """`{second} {minute} {hour} {day} {month} {day of week}`; day and day of week must both match, as in NCrontab."""

    def __init__(self, expression: str) -> None:
        parts = expression.split()
        parts = ["0", *parts] if len(parts) == 5 else parts
        if len(parts) != 6:
            raise ValueError(f"{expression!r} is not an NCRONTAB expression of five or six fields")
        fields = [_field(part.lower(), *limits) for part, limits in zip(parts, _FIELDS, strict=True)]
        if 7 in fields[5]:
            fields[5].add(0)
        self._seconds, self._minutes, self._hours, self._days, self._months, self._weekdays = fields

    def next(self, after: datetime) -> datetime:
        """Return the first occurrence after a moment. Raises ValueError if none is within five years."""
        at = after.replace(microsecond=0) + timedelta(seconds=1)
        end = after + timedelta(days=366 * _MAX_YEARS)
        while at < end:
            if at.month not in self._months or at.day not in self._days or (at.isoweekday() % 7) not in self._weekdays:
                at = at.replace(hour=0, minute=0, second=0) + timedelta(days=1)
            elif at.hour not in self._hours:
                at = at.replace(minute=0, second=0) + timedelta(hours=1)
            elif at.minute not in self._minutes:
                at = at.replace(second=0) + timedelta(minutes=1)
            elif at.second not in self._seconds:
                at += timedelta(seconds=1)
            else:
                return at
        raise ValueError("the expression has no next occurrence")


def _field(text: str, low: int, high: int, names: str) -> set[int]:
    numbers = {str(n): n for n in range(low, high + 1)} | {n: i for i, n in enumerate(names.split(), low)}
    found: set[int] = set()
    for item in text.split(","):
        parts = _ITEM.fullmatch(item)
        if parts is None:
            raise ValueError(f"{item!r} is not valid in an NCRONTAB expression")
        first, last, step = parts["first"], parts["last"], int(parts["step"] or 1)
        start = numbers.get(first.lstrip("0") or "0", -1) if first else low
        end = numbers.get(last.lstrip("0") or "0", -1) if last else (start if first and not parts["step"] else high)
        if not low <= start <= end <= high or step < 1:
            raise ValueError(f"{item!r} is not within {low} to {high}")
        found.update(range(start, end + 1, step))
    return found


class Schedule:
    """The schedule of a timer trigger: an NCRONTAB expression or a time span. Raises ValueError."""

    def __init__(self, text: str) -> None:
        self._every = timedelta(seconds=seconds_of(text, 0.0)) if ":" in text else None
        self._expression = NCrontab(text) if self._every is None else None
        if self._every is not None and self._every <= timedelta():
            raise ValueError(f"a timer cannot fire every {text}")

    def next(self, last: datetime, now: datetime) -> datetime:
        """Return the occurrence after the last one; skip those that passed during a long run."""
        if self._expression is not None:
            return self._expression.next(max(last, now))
        every = self._every or timedelta()
        return last + every * max(1, -((last - now) // every))


async def fire(worker: Worker, function: Function, last: datetime, due: datetime) -> None:
    info = {
        "Schedule": {"AdjustForDST": True},
        "IsPastDue": datetime.now(UTC) - due > timedelta(seconds=1),
        "ScheduleStatus": {"Last": last.isoformat(), "Next": due.isoformat(), "LastUpdated": last.isoformat()},
    }
    try:
        await worker.invoke(function, protocol.TypedData(json=json.dumps(info)))
    except InvocationError as error:
        log_error(f"timer {function.name}", error, log)


async def run(worker: Worker, function: Function, schedule: Schedule, stopping: asyncio.Event) -> None:
    """Fire on schedule until `stopping` is set: one run at a time, without runs that were missed."""
    last = datetime.now(UTC)
    if function.trigger.get("runOnStartup"):
        await fire(worker, function, last, last)
    while True:
        now = datetime.now(UTC)
        due = schedule.next(last, now)
        if await pause(stopping, max(0.0, (due - now).total_seconds())):
            return
        await fire(worker, function, last, due)
        last = due
