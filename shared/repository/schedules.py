"""The schedules of an item's jobs, as the part `.schedules` lists them, and when two of them are the same.

Source: published OpenAPI (job scheduler); the schema of the part, as Fabric writes it into Git.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.domain.json import JsonObject, as_list, as_object, canonical

PART = ".schedules"
GENERAL_JOB = "execute"
"""The name that a part may give to the job of any type of item, as Fabric writes it for pipelines."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?")


@dataclass(frozen=True)
class Schedule:
    """A schedule as it is wanted. `configuration` says when it starts the job, `execution` with which data."""

    enabled: bool
    configuration: JsonObject
    execution: JsonObject

    @property
    def text(self) -> str:
        """Return the schedule for people."""
        return text_of(self.configuration)


def text_of(configuration: JsonObject) -> str:
    """Return when a schedule starts its job, for people."""
    times = as_list(configuration.get("times")) or [configuration.get("interval")]
    when = ", ".join(str(each) for each in times if each is not None)
    return f"{configuration.get('type')} {when}".strip()


def schedules_in(text: str) -> tuple[Schedule, ...]:
    """Return the schedules of a rendered part. Raises ValueError with what is wrong in which entry."""
    rows = _rows(text)
    found = tuple(_read(rows))
    keys = [_key(number, each) for number, each in enumerate(found, start=1)]
    twice = next((n for n, key in enumerate(keys, start=1) if key in keys[: n - 1]), 0)
    if twice:
        raise ValueError(f"entry {twice} starts the job at the same times as another entry; remove one of them")
    return found


def _key(number: int, schedule: Schedule) -> str:
    name = "executionData"
    try:
        canonical(_data(schedule.execution))
        name = "configuration"
        return comparable(schedule.configuration)
    except RecursionError:
        raise ValueError(f"entry {number}: `{name}` has too many levels") from None


def is_same(shown: JsonObject, wanted: JsonObject) -> bool:
    """Return True if Fabric shows the configuration that is wanted. Members that only Fabric has do not matter."""
    held, wished = (json.loads(comparable(each)) for each in (shown, wanted))
    return all(held.get(name) == value for name, value in wished.items())


def is_same_plan(one: JsonObject, other: JsonObject) -> bool:
    """Return True if two schedules that Fabric has shown start their jobs at the same times."""
    return comparable(one.get("configuration") or {}) == comparable(other.get("configuration") or {})


def is_same_data(shown: JsonObject | None, wanted: JsonObject | None) -> bool:
    """Return True if two schedules start their jobs with the same data; to have none and to have no member is the
    same."""
    return comparable_data(shown) == comparable_data(wanted)


def may_be_of(shown: JsonObject | None, sent: JsonObject | None) -> bool:
    """Return True if Fabric may have made the data that a schedule shows of the data that was sent: all of it, and
    perhaps more. Assumed: it adds nothing to none."""
    return has_data(shown, sent) if _data(sent or {}) else is_same_data(shown, sent)


def has_data(shown: JsonObject | None, wanted: JsonObject | None) -> bool:
    """Return True if a schedule shows at least the data that is wanted: Fabric may add to it."""
    held = _data(shown or {})
    return all(canonical(held.get(name)) == canonical(value) for name, value in _data(wanted or {}).items())


def comparable_data(data: JsonObject | None) -> str:
    """Return data in the form in which two are compared."""
    return canonical(_data(data or {}))


def comparable(configuration: JsonObject) -> str:
    """Return a configuration in the form in which two are compared: times in UTC to the second, lists sorted, nothing
    that is null. A time without a zone is in UTC, as Fabric shows all times."""
    return canonical(_plain(configuration, _to_second, is_sorted=True))


def _data(value: JsonObject) -> JsonObject:
    """Return data in the form in which two are compared. For a job, the order of a list and the fraction of a second
    matter."""
    return _plain(value, lambda found: found, is_sorted=False)


def _plain(value: Any, rounded: Callable[[datetime], datetime], *, is_sorted: bool) -> Any:
    row, rows = as_object(value), as_list(value)
    if row is not None:
        return {name: _plain(row[name], rounded, is_sorted=is_sorted) for name in row if row[name] is not None}
    if rows is not None:
        found = [_plain(each, rounded, is_sorted=is_sorted) for each in rows]
        return sorted(found, key=canonical) if is_sorted else found
    if isinstance(value, float) and value.is_integer():
        return int(value)  # one number, whether it is written 1 or 1.0
    return _time(value, rounded) if isinstance(value, str) and _TIME.fullmatch(value) else value


def _time(text: str, rounded: Callable[[datetime], datetime]) -> str:
    try:
        found = datetime.fromisoformat(text)
        return rounded(found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found).isoformat()
    except (ValueError, OverflowError):
        return text  # a day that does not exist: Fabric reports it


def _to_second(time: datetime) -> datetime:
    return time.replace(microsecond=0)


def _rows(text: str) -> list[Any]:
    try:
        content: Any = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    rows = as_list((as_object(content) or {}).get("schedules"))
    if rows is None:
        raise ValueError("must be an object with the list `schedules`")
    return rows


def _read(rows: list[Any]) -> Iterator[Schedule]:
    for number, each in enumerate(rows, start=1):
        row = as_object(each) or {}
        configuration = as_object(row.get("configuration"))
        if not isinstance(row.get("enabled"), bool):
            raise ValueError(f"entry {number}: `enabled` must be true or false")
        if configuration is None or not isinstance(configuration.get("type"), str):
            raise ValueError(f"entry {number}: `configuration` must be an object with a `type`")
        yield Schedule(row["enabled"], configuration, as_object(row.get("executionData")) or {})
