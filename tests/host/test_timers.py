"""Timer triggers: NCRONTAB expressions, time spans, and the data of a run."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.functions_host import timers
from local.functions_host.timers import NCrontab
from local.functions_host.worker import Function
from tests.host.hosts import Served
from tests.waiting import eventually

SUNDAY = "2026-03-01T00:00:00"


def moment(text: str) -> datetime:
    """Return a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0 */5 * * * *", "2026-03-01T10:02:30", "2026-03-01T10:05:00"),
        ("0 */5 * * * *", "2026-03-01T10:05:00", "2026-03-01T10:10:00"),
        ("0 0 * * * *", "2026-03-01T10:59:59.999", "2026-03-01T11:00:00"),
        ("0 0 */2 * * *", "2026-03-01T10:00:00", "2026-03-01T12:00:00"),
        ("0 0 9-17 * * *", "2026-03-01T17:00:00", "2026-03-02T09:00:00"),
        ("0 30 9 * * *", "2026-03-01T09:30:00", "2026-03-02T09:30:00"),
        ("0 30 9 * * 1-5", "2026-03-06T10:00:00", "2026-03-09T09:30:00"),
        ("0 30 9 * * mon-fri", "2026-03-06T10:00:00", "2026-03-09T09:30:00"),
        ("0 30 9 * Jan Mon", "2026-03-06T10:00:00", "2027-01-04T09:30:00"),
        ("0 0 0 * * 0", SUNDAY, "2026-03-08T00:00:00"),
        ("0 0 0 * * 7", SUNDAY, "2026-03-08T00:00:00"),
        ("0 0 0 * * SUN", SUNDAY, "2026-03-08T00:00:00"),
        ("0 0 0 31 * *", "2026-03-31T00:00:00", "2026-05-31T00:00:00"),
        ("0 0 0 29 2 *", "2026-03-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 0 13 * 5", "2026-03-13T00:00:00", "2026-11-13T00:00:00"),
        ("*/20 * * * * *", "2026-03-01T10:00:40", "2026-03-01T10:01:00"),
        ("5,10,50 * * * * *", "2026-03-01T10:00:10", "2026-03-01T10:00:50"),
        ("10-30/10 * * * * *", "2026-03-01T10:00:30", "2026-03-01T10:01:10"),
        ("10/25 * * * * *", "2026-03-01T10:00:10", "2026-03-01T10:00:35"),
        ("*/5 * * * *", "2026-03-01T10:02:30", "2026-03-01T10:05:00"),
        ("59 59 23 31 12 *", "2026-12-31T23:59:59", "2027-12-31T23:59:59"),
    ],
)
def test_ncrontab_next_occurrence(expression: str, after: str, expected: str) -> None:
    assert NCrontab(expression).next(moment(after)) == moment(expected)


@pytest.mark.parametrize(
    "expression",
    [
        *("", "*", "* * * *", "* * * * * * *", "60 * * * * *", "* 60 * * * *", "* * 24 * * *", "* * * 0 * *"),
        *("* * * 32 * *", "* * * * 13 *", "* * * * 0 *", "* * * * * 8", "*/0 * * * * *", "5-1 * * * * *"),
        *("a * * * * *", "1, * * * * *", "*/x * * * * *", "-1 * * * * *", "jan * * * * *", "* * * * mon *"),
        *("1-2-3 * * * * *", "*/ * * * * *", "*/1/2 * * * * *", "*/-5 * * * * *"),
    ],
)
def test_ncrontab_refuses_text_that_is_not_an_expression(expression: str) -> None:
    """A mistake is reported at once, and does not become another schedule."""
    with pytest.raises(ValueError, match=r"NCRONTAB|is not within"):
        NCrontab(expression)


def test_ncrontab_without_an_occurrence_is_an_error() -> None:
    """The thirtieth of February never comes."""
    with pytest.raises(ValueError, match="no next occurrence"):
        NCrontab("0 0 0 30 2 *").next(moment(SUNDAY))


LIMITS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


@st.composite
def field(draw: Any, low: int, high: int) -> tuple[str, set[int]]:
    """Draw a field as text, and the values that it means."""
    kind = draw(st.sampled_from(["*", "one", "span", "step", "list", "spaced"]))
    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    by = draw(st.integers(1, high))
    if kind == "*":
        return "*", set(range(low, high + 1))
    if kind == "one":
        return str(first), {first}
    if kind == "span":
        return f"{first}-{last}", set(range(first, last + 1))
    if kind == "step":
        return f"*/{by}", set(range(low, high + 1, by))
    if kind == "spaced":
        return f"{first}-{last}/{by}", set(range(first, last + 1, by))
    return f"{first},{last}", {first, last}


@st.composite
def schedules(draw: Any) -> tuple[str, list[set[int]]]:
    """Draw an expression that occurs in almost every year, and the values of its fields."""
    fields = [draw(field(*limits)) for limits in LIMITS]
    if draw(st.booleans()):
        fields[5] = ("*", set(range(7)))
    return " ".join(text for text, _ in fields), [values for _, values in fields]


def matches(at: datetime, fields: list[set[int]]) -> bool:
    """Return True if a moment fits all six fields."""
    parts = (at.second, at.minute, at.hour, at.day, at.month, at.isoweekday() % 7)
    return all(part in values for part, values in zip(parts, fields, strict=True))


moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(schedules(), moments)
def test_ncrontab_next_is_later_and_fits_every_field(schedule: tuple[str, list[set[int]]], after: datetime) -> None:
    """For any expression, the result is later than the given moment, to the second, and fits all six fields."""
    expression, fields = schedule
    try:
        at = NCrontab(expression).next(after)
    except ValueError:
        # One day of one month on one weekday may not come within five years.
        days = (after + timedelta(days=n) for n in range(366 * 5))
        assert not any(d.day in fields[3] and d.month in fields[4] and d.isoweekday() % 7 in fields[5] for d in days)
        return
    assert at > after
    assert at.microsecond == 0
    assert matches(at, fields)


@given(schedules(), moments, st.integers(1, 4000))
def test_ncrontab_next_skips_no_occurrence(schedule: tuple[str, list[set[int]]], after: datetime, seconds: int) -> None:
    """No second that fits lies between a moment and the next occurrence after it."""
    expression, fields = schedule
    try:
        at = NCrontab(expression).next(after)
    except ValueError:
        return
    start = max(after.replace(microsecond=0) + timedelta(seconds=1), at - timedelta(seconds=seconds))
    between = (start + timedelta(seconds=n) for n in range(int((at - start).total_seconds())))
    assert not any(matches(moment, fields) for moment in between)


class Recorder:
    """Takes the worker's place: records the data of each run, and ends the test after some firings."""

    def __init__(self, firings: int, takes: timedelta = timedelta()) -> None:
        self.received: list[Any] = []
        self._firings, self._takes = firings, takes

    async def invoke(self, function: Function, data: Any) -> None:
        """Run the function once."""
        self.received.append(json.loads(data.json))
        Clock.moment += self._takes
        if len(self.received) == self._firings:
            raise asyncio.CancelledError


class Clock(datetime):
    """A clock that moves only when a test moves it."""

    moment = datetime(2026, 3, 1, 10, 0, 0, tzinfo=UTC)

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return cls.moment


def fired(monkeypatch: pytest.MonkeyPatch, schedule: str, recorder: Recorder, early: float = 0.0) -> list[datetime]:
    """Run a timer on the clock above, whose sleeps may end early, and return when each run was due."""

    async def pause(stopping: asyncio.Event, seconds: float) -> bool:
        Clock.moment += timedelta(seconds=max(0.0, seconds - early))
        return False

    Clock.moment = datetime(2026, 3, 1, 10, 0, 0, tzinfo=UTC)
    monkeypatch.setattr(timers, "datetime", Clock)
    monkeypatch.setattr(timers, "pause", pause)
    function = Function("t", "t", [{"type": "timerTrigger", "name": "timer", "schedule": schedule, "direction": "IN"}])
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(timers.run(recorder, function, timers.Schedule(schedule), asyncio.Event()))  # type: ignore[arg-type]
    return [datetime.fromisoformat(t["ScheduleStatus"]["Next"]) for t in recorder.received]


@pytest.mark.parametrize("schedule", ["*/10 * * * * *", "00:00:10"])
def test_timer_fires_once_for_each_occurrence_although_a_sleep_ends_early(
    monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    """Sleeps use another clock than the wall's: a sleep that ends before the moment must not fire the timer twice."""
    due = fired(monkeypatch, schedule, Recorder(4), early=0.002)
    assert [(d - due[0]).total_seconds() for d in due] == [0, 10, 20, 30]


@pytest.mark.parametrize("schedule", ["*/10 * * * * *", "00:00:10"])
def test_timer_skips_occurrences_during_its_own_run(monkeypatch: pytest.MonkeyPatch, schedule: str) -> None:
    """A run that takes 35 seconds is followed by the next occurrence, not by those during the run."""
    due = fired(monkeypatch, schedule, Recorder(3, timedelta(seconds=35)))
    assert [(d - due[0]).total_seconds() for d in due] == [0, 40, 80]


def test_timers_fire_on_their_schedules(make: Callable[..., Served]) -> None:
    """Each second, at an interval, and at the start; none is past due."""
    with make(environment={"TICK": "* * * * * *", "SPAN": "00:00:01"}) as served:
        eventually(lambda: len(served.traces("tick")) >= 3 and len(served.traces("span")) >= 3)
        seconds = [int(t["at"]) for t in served.traces("tick")]
        assert seconds == sorted(set(seconds)), "a second fired twice"
        assert served.traces("span")[0]["at"] < served.traces("tick")[0]["at"] + 1
        assert not any(t["past_due"] for t in served.traces("tick")[:1])
