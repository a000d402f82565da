"""Checking what a manifest says, field by field, collecting every problem with its path, not only the first."""

import difflib
import re
from collections.abc import Collection, Iterable
from typing import Any

from shared.domain.errors import Problem
from shared.domain.json import JsonObject, as_list, as_object

REFERENCE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
"""`${{ ... }}`: an expression to be replaced before the step runs."""

GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
DURATION = re.compile(r"(\d{1,7}(?:\.\d{1,3})?)\s*(s|m|h|d)?")
"""A number of seconds, or of what its unit says."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, None: 1}


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


def has_reference(value: object) -> bool:
    """Whether a string holds an expression, so that its final text is not known yet."""
    return isinstance(value, str) and REFERENCE.search(value) is not None


def suggestion(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or nothing where no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def child(path: str, name: str) -> str:
    """The JSON path of a member; names that are no plain word are quoted, and cut where they are absurdly long."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name):
        return f"{path}.{name}"
    return f"{path}[{name[:64]!r}]"


class Fields:
    """The members of one JSON object. Each accessor checks one field; `finish` names those that none asked for."""

    def __init__(self, data: object, path: str, problems: list[Problem]) -> None:
        self.path = path
        self.problems = problems
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
        longest: int = 256,
        pattern: re.Pattern[str] | None = None,
        hint: str = "",
        default: str = "",
    ) -> str:
        """A string; its length and pattern are checked unless a reference leaves its text open."""
        value = self.raw(name, required=required)
        if value is None:
            return default
        if not isinstance(value, str):
            self.problem(name, f"must be a string, not {type_name(value)}")
            return default
        if has_reference(value):
            return value
        if required and not value.strip():
            self.problem(name, "must not be empty")
        elif len(value) > longest:
            self.problem(name, f"has {len(value)} characters; at most {longest} are allowed")
        elif pattern is not None and value and not pattern.fullmatch(value):
            self.problem(name, hint or f"must match {pattern.pattern}")
        return value

    def guid(self, name: str, *, required: bool = False) -> str:
        """A GUID, or a reference to one."""
        return self.text(
            name,
            required=required,
            pattern=GUID,
            hint="must be a GUID such as 12345678-90ab-cdef-1234-567890abcdef",
        )

    def choice(self, name: str, allowed: Collection[str], *, required: bool = False, default: str = "") -> str:
        """One of a few words."""
        value = self.text(name, required=required, default=default)
        if value and not has_reference(value) and value not in allowed:
            listed = ", ".join(allowed)
            self.problem(name, f"'{value[:64]}' is not one of: {listed}.{suggestion(value, allowed)}")
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

    def duration(self, name: str, *, default: float, shortest: float, longest: float) -> float:
        """Seconds, from a number of seconds or a text such as `90s`, `10m`, `2h`, `1d`."""
        value = self.raw(name)
        if value is None:
            return default
        text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        match = DURATION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            self.problem(name, "must be a duration: seconds, or a text such as 90s, 10m, 2h")
            return default
        seconds = float(match[1]) * _UNITS[match[2]]
        if not shortest <= seconds <= longest:
            self.problem(name, f"must be between {shortest:g} and {longest:g} seconds")
            return default
        return seconds

    def texts(self, name: str) -> list[str]:
        """An array of strings; absent is empty."""
        value = self.raw(name)
        if value is None:
            return []
        items = as_list(value)
        if items is None:
            self.problem(name, f"must be an array, not {type_name(value)}")
            return []
        for i, item in enumerate(items):
            if not isinstance(item, str):
                self.problems.append(
                    Problem(f"{child(self.path, name)}[{i}]", f"must be a string, not {type_name(item)}")
                )
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
        return None if value is None else Fields(value, child(self.path, name), self.problems)

    def finish(self) -> None:
        """Name every field that no accessor asked for."""
        for name in self.data:
            if name not in self._known:
                listed = ", ".join(sorted(self._known))
                self.problem(name, f"is not a known field.{suggestion(name, self._known)} Known: {listed}")
