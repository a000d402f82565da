"""The members of a JSON object, checked one by one. All problems are collected, each with its path.

A field is declared by the call that reads it: its name, its limits, and its words (description and example). The JSON
Schema is recorded from the same calls (field_schema.py), so that it cannot differ from the check.
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, cast

from shared.domain.errors import Problem
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.template import FORM, INPUT_FORM, MAX_REFERENCES, OPENING, Expression, parts

_MAX_PLAIN = 64
_PLAIN_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{_MAX_PLAIN - 1}}}")
GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
DURATION = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)\s*(s|m|h|d)?")
"""A number of seconds, or of the unit behind it."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, None: 1}
MAX_SUGGESTIONS, _MAX_WORD, _MAX_WORDS = 10, 64, 1_000
"""Finding a similar word costs its length times the length of all known words, so only the first problems of an input
get a suggestion."""
_NOT_REPLACED = (
    "contains `${{`, which is not replaced in this field; use an input, which is replaced everywhere: "
    f"{INPUT_FORM}, declared under `inputs`"
)
_MAX_TEMPLATE = 10_000
"""Characters that the references in a text may use, in addition to the limit of the text itself."""


class Reference(NamedTuple):
    """A reference from a path of the manifest to an output of another step."""

    path: str
    step_id: str
    output: str


class Words(NamedTuple):
    """The description and the example of a field. Editors and the API's document show them; no check reads them."""

    description: str
    example: object


def type_name(value: object) -> str:
    """Return the JSON name of a value's type, for messages."""
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
    """Return ` Did you mean 'x'?`, or an empty text if no known word is similar or `problems` has ten entries."""
    if len(problems) >= MAX_SUGGESTIONS:
        return ""
    near = difflib.get_close_matches(word[:_MAX_WORD], islice(known, _MAX_WORDS), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def child(path: str, name: str) -> str:
    """Return the JSON path of a member. A name that is not a plain word is quoted, and cut at 64 characters."""
    if len(name) <= _MAX_PLAIN and _is_plain(name):
        return f"{path}.{name}"
    return f"{path}[{name[:_MAX_PLAIN]!r}]"


@lru_cache(maxsize=1024)
def _is_plain(name: str) -> bool:
    """Return True if the name is a plain word. Manifests repeat few names, so the results are kept."""
    return _PLAIN_NAME.fullmatch(name) is not None


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


def seconds_of(duration: str) -> float | None:
    """Return the seconds of a text such as `90`, `90s`, `10m`, `2h`, `1d`; None if it is not a duration."""
    match = DURATION.fullmatch(duration)
    return None if match is None else float(match[1]) * _UNITS[match[2]]


class Fields:
    """The members of one JSON object. Each accessor checks one field, and notes its problems.

    `references` is a list for a manifest as it was written: the references of fields with `refers` are added to it,
    and `${{` in any other field is a problem. With None, `${{` has no meaning.
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
        """Note a problem of a field or, with None, of the object itself."""
        self.problems.append(Problem(child(self.path, name) if name is not None else self.path, message))

    def raw(
        self, name: str, *, required: bool = False, schema: JsonObject | None = None, words: Words | None = None
    ) -> Any:
        """Return the value unchecked; None if it is absent. `schema` is for the JSON Schema only."""
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
        unreplaced: str = "",
        words: Words | None = None,
    ) -> str:
        """Return a string of at most `maximum` characters.

        With `refers` it may contain references: `maximum` then limits the text beside them, and the pattern is
        checked after they have been replaced. Without it, `unreplaced` ends the message about a reference.
        """
        value = self.raw(name, required=required)
        if value is None:
            return default
        if not isinstance(value, str):
            self.problem(name, _not_a_string(value))
            return default
        size, is_open = len(value), False
        if size <= maximum + _MAX_TEMPLATE:  # a longer text is refused unread
            size, is_open = self._read(child(self.path, name), value, refers, unreplaced)
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
        """Collect the references at any depth of a field's value. A reference in a key is a problem."""
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

    def _read(self, path: str, text: str, refers: bool, unreplaced: str = "") -> tuple[int, bool]:
        """Return the number of characters beside the references of a text, and True if it has any reference."""
        if self.references is None or OPENING not in text:
            return len(text), False
        if not refers:
            self.problems.append(Problem(path, _NOT_REPLACED + unreplaced))
            return len(text), False
        size = count = 0
        for part in parts(text):
            if isinstance(part, str):
                size += len(part)
                continue
            count += 1
            if count > MAX_REFERENCES:
                self.problems.append(Problem(path, f"contains more than {MAX_REFERENCES} references"))
                break
            self._refer(path, part, self.references)
        return size, count > 0

    def _refer(self, path: str, expression: Expression, references: list[Reference]) -> None:
        output = expression.output
        if output is not None:
            references.append(Reference(path, *output))
            return
        what = "is not a reference" if expression.is_closed else "is not closed by }}"
        remedy = f"write {FORM}, or {INPUT_FORM} for an input; for the characters themselves write $${{{{"
        self.problems.append(Problem(path, f"'{expression}' {what}; {remedy}"))

    def guid(self, name: str, *, required: bool = False, words: Words | None = None) -> str:
        """Return a GUID, or a reference to one."""
        return self.text(
            name,
            required=required,
            pattern=GUID,
            hint="must be a GUID such as 12345678-90ab-cdef-1234-567890abcdef",
            refers=True,
            words=words,
        )

    def choice(
        self,
        name: str,
        allowed: Collection[str],
        *,
        required: bool = False,
        default: str = "",
        words: Words | None = None,
    ) -> str:
        """Return one of the allowed words. It is never a reference, because it is used before anything runs."""
        value = self.text(name, required=required, default=default, unreplaced=f"; one of: {', '.join(allowed)}")
        if value and value not in allowed:
            if self.references is not None and OPENING in value:
                return default  # `text` has said what is wrong with it
            near = suggestion(value, allowed, self.problems)
            self.problem(name, f"'{value[:64]}' is not one of: {', '.join(allowed)}.{near}")
            return default
        return value

    def boolean(self, name: str, *, default: bool = False, words: Words | None = None) -> bool:
        """Return true or false. A string such as "true" is a problem."""
        value = self.raw(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.problem(name, f"must be true or false, not {type_name(value)}")
            return default
        return value

    def duration(
        self, name: str, *, default: float, minimum: float, maximum: float, words: Words | None = None
    ) -> float:
        """Return seconds, from a number of seconds or a text such as `90s`, `10m`, `2h`, `1d`."""
        value = self.raw(name)
        if value is None:
            return default
        text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        if isinstance(text, str):
            self._read(child(self.path, name), text, refers=False)
        seconds = seconds_of(text) if isinstance(text, str) else None
        if seconds is None:
            self.problem(name, "must be a duration: seconds, or a text such as 90s, 10m, 2h")
            return default
        if not minimum <= seconds <= maximum:
            self.problem(name, f"must be between {minimum:g} and {maximum:g} seconds")
            return default
        return seconds

    def texts(self, name: str, *, refers: bool = False, words: Words | None = None) -> list[str]:
        """Return an array of strings, which may contain references if `refers`; empty if it is absent."""
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

    def rows(self, name: str, *, required: bool = False, words: Words | None = None) -> list[Any]:
        """Return an array whose elements are not checked; empty if it is absent."""
        return self._rows(name, self.raw(name, required=required))

    def _rows(self, name: str, value: object) -> list[Any]:
        if value is None:
            return []
        items = as_list(value)
        if items is None:
            self.problem(name, f"must be an array, not {type_name(value)}")
        return items or []

    def each[T](
        self,
        name: str,
        read: Callable[["Fields"], T],
        *,
        empty: str,
        required: bool = False,
        words: Words | None = None,
    ) -> Iterator[tuple["Fields", T]]:
        """Yield the objects in an array, each with what `read` returns. `empty` is the problem of an empty array.

        Nothing is checked before the first element is asked for.
        """
        return self._each(name, self.raw(name, required=required), read, empty)

    def _each[T](
        self, name: str, value: object, read: Callable[["Fields"], T], empty: str
    ) -> Iterator[tuple["Fields", T]]:
        rows = self._rows(name, value)
        if not rows:
            self.problem(name, empty)
        for i, row in enumerate(rows):
            element = Fields(row, f"{child(self.path, name)}[{i}]", self.problems, self.references)
            yield element, read(element)
            element.finish()

    def sub(self, name: str, *, words: Words | None = None) -> "Fields | None":
        """Return the fields of a nested object; None if it is absent."""
        value = self.raw(name)
        return None if value is None else Fields(value, child(self.path, name), self.problems, self.references)

    def any_object(self, name: str, *, words: Words | None = None) -> JsonObject | None:
        """Return a nested object with any fields, whose values may contain references; None if it is absent."""
        nested = self.sub(name)
        if nested is None:
            return None
        self.refers(name, nested.data)
        return nested.data

    def path_field(self, name: str, *, gives: Collection[str] = (), words: Words | None = None) -> bool:
        """Return True if a field names a local file or folder, which the command line reads and replaces.

        `gives` are the fields that its content gives: they are required only without it, and not checked with it.
        """
        is_given = self.raw(name) is not None
        if is_given:
            self._known += gives
        return is_given

    def not_packed(self, name: str) -> None:
        """Note that a path arrived unread: only the command line, on the caller's machine, can read it."""
        self.problem(name, f"is not packed: submit with the command line, which reads the {name}")

    def one_of(self, types: Mapping[str, str]) -> list[str]:
        """Return the names among `types` (name to JSON type) that have a value. The caller allows exactly one."""
        return [name for name in types if self.data.get(name) is not None]

    def absent(self, name: str, message: str) -> None:
        """Note `message` if a field has a value."""
        if self.raw(name) is not None:
            self.problem(name, message)

    def schema_rules(self, rules: Iterable[JsonObject]) -> None:
        """Declare the JSON Schema of what the check compares between fields. The check itself is written out."""

    def finish(self) -> None:
        """Note every field that no accessor has read."""
        known = sorted(set(self._known))
        listed = ", ".join(known)
        for name in self.data:
            if name in known:
                continue
            self.problem(name, f"is not a known field.{suggestion(name, known, self.problems)} Known: {listed}")
