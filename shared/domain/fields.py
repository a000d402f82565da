"""Checking what a manifest says, field by field, collecting every problem with its path, not only the first."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, cast

from shared.domain.errors import Problem
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.template import FORM, MAX_REFERENCES, OPENING, Expression, parts

GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
DURATION = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)\s*(s|m|h|d)?")
"""A number of seconds, or of what its unit says."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, None: 1}
MAX_SUGGESTIONS, _MAX_WORD, _MAX_WORDS = 10, 64, 1_000
"""To find a near word costs its length times theirs: only the first problems of an input get a suggestion."""
_NOT_REPLACED = "holds `${{`, which is not replaced here; let the pipeline write the value"
_MAX_TEMPLATE = 10_000
"""Characters that the references in a text may take beyond what the text itself may have."""


class Reference(NamedTuple):
    """Where a manifest refers to another step's output."""

    path: str
    step_id: str
    output: str


def type_name(value: object) -> str:
    """The JSON name of a value's type, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, int | float):
        return "a number"
    return "an array" if isinstance(value, list) else "an object"


def _not_a_string(value: object) -> str:
    remedy = "; quote it" if isinstance(value, int | float) else ""
    return f"must be a string, not {type_name(value)}{remedy}"


def suggestion(word: str, known: Iterable[str], problems: Collection[Problem] = ()) -> str:
    """Return ` Did you mean 'x'?`, or nothing if no known word is near or `problems` holds ten already."""
    if len(problems) >= MAX_SUGGESTIONS:
        return ""
    near = difflib.get_close_matches(word[:_MAX_WORD], islice(known, _MAX_WORDS), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def child(path: str, name: str) -> str:
    """The JSON path of a member; names that are no plain word are quoted, and cut where they are absurdly long."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name):
        return f"{path}.{name}"
    return f"{path}[{name[:64]!r}]"


def strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every string in a value, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, member in cast(JsonObject, value).items():
            yield from strings(member, child(path, name))
    elif isinstance(value, list):
        for i, item in enumerate(cast(list[Any], value)):
            yield from strings(item, f"{path}[{i}]")


class Fields:
    """The members of one JSON object. Each accessor checks one field; `finish` names those that none asked for.

    `references` is for a manifest as it was written: then `${{` is a problem in every field but those that may refer
    to another step, and what these refer to is collected there. With None, a text is what it is.
    """

    def __init__(
        self, data: object, path: str, problems: list[Problem], references: list[Reference] | None = None
    ) -> None:
        self.path = path
        self.problems = problems
        self.references = references
        self._known: list[str] = []
        found = as_object(data)
        if found is None:
            self.problem(None, f"must be an object, not {type_name(data)}")
        self.data: JsonObject = found or {}

    def problem(self, name: str | None, message: str) -> None:
        """Note that a field (or, with None, the object itself) is wrong."""
        self.problems.append(Problem(child(self.path, name) if name is not None else self.path, message))

    def raw(self, name: str, *, required: bool = False) -> Any:
        """The value as it is; None where absent."""
        self._known.append(name)
        value = self.data.get(name)
        if value is None and required:
            self.problem(name, "is required")
        return value

    def text(
        self,
        name: str,
        *,
        required: bool = False,
        maximum: int = 256,
        pattern: re.Pattern[str] | None = None,
        hint: str = "",
        default: str = "",
        refers: bool = False,
    ) -> str:
        """A string, with its limits. With `refers` it may hold references: then its pattern is checked when they are
        replaced, and what stands beside them is no longer than the whole may be."""
        value = self.raw(name, required=required)
        if value is None:
            return default
        if not isinstance(value, str):
            self.problem(name, _not_a_string(value))
            return default
        size, is_open = len(value), False
        if size <= maximum + _MAX_TEMPLATE:  # a longer one is refused unread
            size, is_open = self._read(child(self.path, name), value, refers)
        if size > maximum:
            self.problem(name, f"has {size} characters; at most {maximum} are allowed")
        elif is_open:
            return value
        elif required and not value.strip():
            self.problem(name, "must not be empty")
        elif pattern is not None and value and not pattern.fullmatch(value):
            self.problem(name, hint or f"must match {pattern.pattern}")
        return value

    def refers(self, name: str, value: object) -> None:
        """Take note of the references at any depth of a field's value. A key may hold none."""
        if self.references is not None:
            self._refers(child(self.path, name), value)

    def _refers(self, path: str, value: object) -> None:
        if isinstance(value, str):
            self._read(path, value, refers=True)
        for key, member in (as_object(value) or {}).items():
            if OPENING in key:
                self.problems.append(Problem(child(path, key), _NOT_REPLACED))
            self._refers(child(path, key), member)
        for i, item in enumerate(as_list(value) or ()):
            self._refers(f"{path}[{i}]", item)

    def _read(self, path: str, text: str, refers: bool) -> tuple[int, bool]:
        """How many characters stand in a text beside its references, and whether it has any."""
        if self.references is None or OPENING not in text:
            return len(text), False
        if not refers:
            self.problems.append(Problem(path, _NOT_REPLACED))
            return len(text), False
        size = count = 0
        for part in parts(text):
            if isinstance(part, str):
                size += len(part)
                continue
            count += 1
            if count > MAX_REFERENCES:
                self.problems.append(Problem(path, f"holds more than {MAX_REFERENCES} references"))
                break
            self._refer(path, part, self.references)
        return size, count > 0

    def _refer(self, path: str, expression: Expression, references: list[Reference]) -> None:
        output = expression.output
        if output is not None:
            references.append(Reference(path, *output))
            return
        what = "is not understood" if expression.is_closed else "is not closed by }}"
        remedy = f"the one form is {FORM}; for the characters themselves write $${{{{"
        self.problems.append(Problem(path, f"'{expression}' {what}; {remedy}"))

    def guid(self, name: str, *, required: bool = False) -> str:
        """A GUID, or a reference to one."""
        return self.text(
            name,
            required=required,
            pattern=GUID,
            hint="must be a GUID such as 12345678-90ab-cdef-1234-567890abcdef",
            refers=True,
        )

    def choice(self, name: str, allowed: Collection[str], *, required: bool = False, default: str = "") -> str:
        """One of a few words; it is needed before anything runs, so it never is a reference."""
        value = self.text(name, required=required, default=default)
        if value and value not in allowed:
            near = suggestion(value, allowed, self.problems)
            self.problem(name, f"'{value[:64]}' is not one of: {', '.join(allowed)}.{near}")
            return default
        return value

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """true or false; never a string that looks like one."""
        value = self.raw(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.problem(name, f"must be true or false, not {type_name(value)}")
            return default
        return value

    def duration(self, name: str, *, default: float, minimum: float, maximum: float) -> float:
        """Seconds, from a number of seconds or a text such as `90s`, `10m`, `2h`, `1d`."""
        value = self.raw(name)
        if value is None:
            return default
        text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        if isinstance(text, str):
            self._read(child(self.path, name), text, refers=False)
        match = DURATION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            self.problem(name, "must be a duration: seconds, or a text such as 90s, 10m, 2h")
            return default
        seconds = float(match[1]) * _UNITS[match[2]]
        if not minimum <= seconds <= maximum:
            self.problem(name, f"must be between {minimum:g} and {maximum:g} seconds")
            return default
        return seconds

    def texts(self, name: str, *, refers: bool = False) -> list[str]:
        """An array of strings, with references if `refers`; absent is empty."""
        value = self.raw(name)
        if value is None:
            return []
        items = as_list(value)
        if items is None:
            self.problem(name, f"must be an array, not {type_name(value)}")
            return []
        for i, item in enumerate(items):
            path = f"{child(self.path, name)}[{i}]"
            if isinstance(item, str):
                self._read(path, item, refers)
            else:
                self.problems.append(Problem(path, _not_a_string(item)))
        return [item for item in items if isinstance(item, str)]

    def rows(self, name: str, *, required: bool = False) -> list[Any]:
        """An array of anything; absent is empty."""
        value = self.raw(name, required=required)
        if value is None:
            return []
        items = as_list(value)
        if items is None:
            self.problem(name, f"must be an array, not {type_name(value)}")
        return items or []

    def sub(self, name: str) -> "Fields | None":
        """A nested object, or None where absent."""
        value = self.raw(name)
        return None if value is None else Fields(value, child(self.path, name), self.problems, self.references)

    def element(self, name: str, index: int, value: object) -> "Fields":
        """An object in an array that is a field of this one."""
        return Fields(value, f"{child(self.path, name)}[{index}]", self.problems, self.references)

    def finish(self) -> None:
        """Name every field that no accessor asked for."""
        known = sorted(set(self._known))
        listed = ", ".join(known)
        for name in self.data:
            if name in known:
                continue
            self.problem(name, f"is not a known field.{suggestion(name, known, self.problems)} Known: {listed}")
