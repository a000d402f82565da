"""Timer triggers: NCRONTAB expressions of six fields (or five), and time spans."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta

from local.functions_host.queues import seconds_of
from local.functions_host.worker import Function, InvocationError, Worker, protocol

log = logging.getLogger("host.timers")

_NAMES = {
    name: number
    for names, first in (("jan feb mar apr may jun jul aug sep oct nov dec", 1), ("sun mon tue wed thu fri sat", 0))
    for number, name in enumerate(names.split(), first)
}
_LIMITS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_LONGEST_YEARS = 5


class NCrontab:
    """`{second} {minute} {hour} {day} {month} {day of week}`; day and day of week must both match, as in NCrontab."""

    def __init__(self, expression: str) -> None:
        parts = expression.split()
        parts = ["0", *parts] if len(parts) == 5 else parts
        if len(parts) != 6:
            raise ValueError(f"{expression!r} is no NCRONTAB expression of five or six fields")
        fields = [_field(part.lower(), *limits) for part, limits in zip(parts, _LIMITS, strict=True)]
        if 7 in fields[5]:
            fields[5].add(0)
        self._seconds, self._minutes, self._hours, self._days, self._months, self._weekdays = fields

    def next(self, after: datetime) -> datetime:
        """The first occurrence after a moment. Raises ValueError where there is none within five years."""
        at = after.replace(microsecond=0) + timedelta(seconds=1)
        end = after + timedelta(days=366 * _LONGEST_YEARS)
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


def _field(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _number(first)
            end = _number(last) if last else (high if step else start)
        if not low <= start <= end <= high or (step and int(step) < 1):
            raise ValueError(f"{item!r} does not lie within {low} to {high}")
        found.update(range(start, end + 1, int(step or 1)))
    return found


def _number(text: str) -> int:
    return _NAMES[text] if text in _NAMES else int(text)


async def fire(worker: Worker, function: Function, last: datetime, due: datetime) -> None:
    """Run a timer function once."""
    info = {
        "Schedule": {"AdjustForDST": True},
        "IsPastDue": datetime.now(UTC) - due > timedelta(seconds=1),
        "ScheduleStatus": {"Last": last.isoformat(), "Next": due.isoformat(), "LastUpdated": last.isoformat()},
    }
    try:
        await worker.invoke(function, protocol.TypedData(json=json.dumps(info)))
    except InvocationError as error:
        log.error("timer %s failed: %s\n%s", function.name, error, error.stack)


async def run(worker: Worker, function: Function) -> None:
    """Fire on schedule until cancelled; one run at a time, one that is late is skipped."""
    expression = function.setting("schedule") or ""
    every = seconds_of(expression, 0.0) if ":" in expression else None
    schedule = NCrontab(expression) if every is None else None
    last = datetime.now(UTC)
    if function.trigger.get("runOnStartup"):
        await fire(worker, function, last, last)
    while True:
        now = datetime.now(UTC)
        due = schedule.next(now) if schedule is not None else last + timedelta(seconds=every or 1.0)
        await asyncio.sleep(max(0.0, (due - now).total_seconds()))
        await fire(worker, function, last, due)
        last = due
