"""Check a part `.schedules` before it is sent, each problem with its line.

A schedule is sent to Fabric's API of schedules, so the rules are those of its requests. Source: published OpenAPI
(common/job_scheduling.json: BaseScheduleRequest, ScheduleConfig and its types). Fabric may extend
these lists, so a word that they lack is a warning.
"""

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared.domain.json import JsonObject, as_list, as_object
from shared.repository.json_lines import JsonPath, line_of, lines_of
from shared.repository.schedules import GENERAL_JOB

_ENTRY_FIELDS = frozenset({"enabled", "jobType", "configuration", "executionData"})
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?")
_TIME = re.compile(r"(?:[01]?\d|2[0-3]):[0-5]\d")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEKS = ("First", "Second", "Third", "Fourth", "Fifth")
_MAX_MINUTES, _MAX_TIMES = 5_270_400, 100


@dataclass
class Findings:
    """The problems and the doubts about a part: pairs of a line and a sentence."""

    problems: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    warnings: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])


def check(text: str, job_type: str) -> Findings:
    """Return what is wrong with a rendered part; `job_type` is the job of the item whose schedules it lists."""
    found = Findings()
    text = text.removeprefix("\ufeff")
    try:
        content: Any = json.loads(text)
    except json.JSONDecodeError as error:
        found.problems.append((error.lineno, f"is not JSON: {error.msg} (column {error.colno})"))
        return found
    except (ValueError, RecursionError) as error:
        found.problems.append((1, f"is not JSON that can be read: {error}"))
        return found
    rows = as_list((as_object(content) or {}).get("schedules"))
    if rows is None:
        found.problems.append((1, "must be an object with the list `schedules`"))
        return found
    lines = lines_of(text)
    for number, row in enumerate(rows):
        _Entry(number, lines, found, job_type).check(row)
    return found


class _Entry:
    """One schedule of the list."""

    def __init__(self, number: int, lines: dict[JsonPath, int], found: Findings, job_type: str) -> None:
        self._path: JsonPath = ("schedules", number)
        self._name, self._lines, self._found, self._job_type = f"entry {number + 1}", lines, found, job_type

    def _bad(self, what: str, *path: str | int) -> None:
        self._found.problems.append((line_of(self._lines, self._path + path), f"{self._name}: {what}"))

    def _doubtful(self, what: str, *path: str | int) -> None:
        self._found.warnings.append((line_of(self._lines, self._path + path), f"{self._name}: {what}"))

    def check(self, value: Any) -> None:
        row = as_object(value)
        if row is None:
            self._bad("must be an object with `enabled` and `configuration`")
            return
        if not isinstance(row.get("enabled"), bool):
            self._bad("`enabled` must be true or false", "enabled")
        if row.get("executionData") is not None and as_object(row["executionData"]) is None:
            self._bad("`executionData` must be an object", "executionData")
        self._check_job(row.get("jobType"))
        for name in row.keys() - _ENTRY_FIELDS:
            self._doubtful(f"{name} cannot be set by Fabric's API of schedules, and is not sent", name)
        configuration = as_object(row.get("configuration"))
        if configuration is None or not isinstance(configuration.get("type"), str):
            self._bad("`configuration` must be an object with a `type`", "configuration")
        else:
            self._check_configuration(configuration)

    def _check_job(self, given: Any) -> None:
        if given is None:
            return
        if not isinstance(given, str) or not given.strip():
            self._bad("`jobType` must be a text", "jobType")
        elif given.casefold() not in (self._job_type.casefold(), GENERAL_JOB):
            what = f"`jobType` {given[:64]!r} is not used: the schedule starts the item's job {self._job_type}"
            self._doubtful(what, "jobType")

    def _check_configuration(self, row: JsonObject) -> None:
        start, end = self._moment(row, "startDateTime"), self._moment(row, "endDateTime")
        if start and end and start >= end:
            self._bad("`endDateTime` must be later than `startDateTime`", "configuration", "endDateTime")
        self._check_zone(row.get("localTimeZoneId"))
        given = row["type"]
        known = next((each for each in _FIELDS if each.casefold() == given.casefold()), None)
        if known is None:
            types = ", ".join(_FIELDS)
            what = f"`type` {given[:64]!r} is not among {types}, so its other fields are not checked"
            self._doubtful(what, "configuration", "type")
        elif given != known:
            self._bad(f"`type` {given!r} must be written {known}", "configuration", "type")
        else:
            for name, check in _FIELDS[known].items():
                check(self, row.get(name), "configuration", name)

    def _moment(self, row: JsonObject, name: str) -> datetime | None:
        given = row.get(name)
        match = _MOMENT.fullmatch(given) if isinstance(given, str) else None
        try:
            if match is not None:
                found = datetime.fromisoformat(match[1] + (match[2] or "Z"))
                if found.utcoffset():
                    what = f"`{name}` {given!r} has an offset; Fabric's API documents times in UTC"
                    self._doubtful(f"{what}: write {found.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", "configuration", name)
                return found
        except (ValueError, OverflowError):
            pass  # the 30th of February, or a moment before the year 1
        wanted = "must be a time in UTC, such as 2026-01-31T08:00:00Z"
        self._bad(f"`{name}` {'is missing; it ' if given is None else ''}{wanted}", "configuration", name)
        return None

    def _check_zone(self, given: Any) -> None:
        place = ("configuration", "localTimeZoneId")
        if not isinstance(given, str) or not given.strip():
            missing = "is missing; it " if given is None else ""
            self._bad(f"`localTimeZoneId` {missing}must be a time zone of Windows, such as UTC", *place)
        elif "/" in given:
            what = (
                f"`localTimeZoneId` {given[:64]!r} looks like a name of the IANA; Fabric's API asks for that of Windows"
            )
            self._doubtful(f"{what}, such as 'W. Europe Standard Time'", *place)

    def whole(self, low: int, high: int, given: Any, *path: str | int) -> None:
        if not isinstance(given, int) or isinstance(given, bool) or not low <= given <= high:
            self._bad(f"`{path[-1]}` must be a whole number from {low} to {high}", *path)

    def one_of(self, known: Collection[str], given: Any, *path: str | int) -> None:
        if given not in known:
            self._bad(f"`{path[-1]}` must be one of {', '.join(known)}", *path)

    def times(self, given: Any, *path: str | int) -> None:
        rows = as_list(given)
        if not rows or len(rows) > _MAX_TIMES:
            self._bad(f"`times` must be a list of 1 to {_MAX_TIMES} times such as 08:00", *path)
            return
        for i, each in enumerate(rows):
            if not isinstance(each, str) or not _TIME.fullmatch(each):
                self._bad(f"`times` has {str(each)[:64]!r}, which is not a time of the day such as 08:00", *path, i)

    def weekdays(self, given: Any, *path: str | int) -> None:
        rows = as_list(given)
        if not rows or len(rows) > len(_DAYS):
            self._bad(f"`weekdays` must be a list of 1 to 7 of {', '.join(_DAYS)}", *path)
            return
        for i, each in enumerate(rows):
            if each not in _DAYS:
                self._bad(f"`weekdays` has {str(each)[:64]!r}; the days are {', '.join(_DAYS)}", *path, i)

    def occurrence(self, given: Any, *path: str | int) -> None:
        row = as_object(given) or {}
        kind = row.get("occurrenceType")
        if kind == "DayOfMonth":
            self.whole(1, 31, row.get("dayOfMonth"), *path, "dayOfMonth")
        elif kind == "OrdinalWeekday":
            self.one_of(_WEEKS, row.get("weekIndex"), *path, "weekIndex")
            self.one_of(_DAYS, row.get("weekday"), *path, "weekday")
        else:
            self._bad("`occurrence` must be an object whose `occurrenceType` is DayOfMonth or OrdinalWeekday", *path)


def _interval(entry: _Entry, given: Any, *path: str | int) -> None:
    entry.whole(1, _MAX_MINUTES, given, *path)


def _recurrence(entry: _Entry, given: Any, *path: str | int) -> None:
    entry.whole(1, 12, given, *path)


_FIELDS: dict[str, dict[str, Callable[..., None]]] = {
    "Cron": {"interval": _interval},
    "Daily": {"times": _Entry.times},
    "Weekly": {"times": _Entry.times, "weekdays": _Entry.weekdays},
    "Monthly": {"times": _Entry.times, "recurrence": _recurrence, "occurrence": _Entry.occurrence},
}
"""The fields that each type of configuration needs beside those of every type, with their checks."""
