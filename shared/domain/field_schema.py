"""JSON Schema of an object, from the very code that checks it: a `Fields` that notes what it is asked for.

So the schema cannot say anything else than the check does. Where a check cannot be recorded (it looks into rows, or
one field depends on another), the schema is wider than the check, never narrower: an editor raises no false alarm.
"""

import re
from collections.abc import Callable, Collection
from typing import Any

from shared.domain.fields import DURATION, GUID, Fields
from shared.domain.json import JsonObject
from shared.domain.template import FORM, OPENING

_OPENING = re.escape(OPENING)
_REFERENCE: JsonObject = {
    "type": "string",
    "pattern": _OPENING,
    "description": f"Another step's output: {FORM}.",
}
_CLOSED: JsonObject = {"not": {"type": "string", "pattern": _OPENING}}


class SchemaFields(Fields):
    """Answers as if every field were absent."""

    def __init__(self) -> None:
        super().__init__({}, "$", [])
        self._properties: JsonObject = {}
        self._required: list[str] = []
        self._subs: dict[str, SchemaFields] = {}

    def schema(self) -> JsonObject:
        """What was noted."""
        subs = {name: _or_null(sub.schema()) for name, sub in self._subs.items()}
        whole: JsonObject = {"type": "object", "properties": {**self._properties, **subs}}
        if self._required:
            whole["required"] = list(self._required)
        return {**whole, "additionalProperties": False}

    def _note(self, name: str, schema: JsonObject, required: bool = False) -> None:
        self._properties[name] = schema if required else _or_null(schema)
        if required and name not in self._required:
            self._required.append(name)

    def raw(self, name: str, *, required: bool = False) -> Any:
        """Anything."""
        self._note(name, {}, required)

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
        """A string within its limits; if it may refer, also one whose final text is not known yet."""
        limits: JsonObject = {"type": "string", "maxLength": maximum}
        if pattern is not None:
            limits["pattern"] = f"^(?:{pattern.pattern})$" if required else f"^(?:{pattern.pattern})?$"
        elif required:
            limits["pattern"] = r"\S"
        if not refers and pattern is None:
            limits |= _CLOSED
        self._note(name, {"anyOf": [limits, _REFERENCE]} if refers else limits, required)
        return default

    def guid(self, name: str, *, required: bool = False) -> str:
        """Its length is in the pattern."""
        return self.text(name, required=required, pattern=GUID, refers=True)

    def choice(self, name: str, allowed: Collection[str], *, required: bool = False, default: str = "") -> str:
        """One of the words. Empty is as absent."""
        words = [*allowed] if required else [*allowed, ""]
        schema: JsonObject = {"anyOf": [{"type": "string", "enum": words}]}
        self._note(name, schema | ({"default": default} if default else {}), required)
        return default

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """As the check: no string that looks like one."""
        self._note(name, {"type": "boolean"})
        return default

    def duration(self, name: str, *, default: float, minimum: float, maximum: float) -> float:
        """Seconds or a text; the limits of a text are beyond a pattern."""
        number: JsonObject = {"type": "number", "minimum": minimum, "maximum": maximum}
        text: JsonObject = {"type": "string", "pattern": f"^(?:{DURATION.pattern})$"}
        self._note(name, {"anyOf": [number, text]})
        return default

    def texts(self, name: str, *, refers: bool = False) -> list[str]:
        """An array of strings."""
        self._note(name, {"type": "array", "items": {"type": "string"}})
        return []

    def rows(self, name: str, *, required: bool = False) -> list[Any]:
        """An array of anything."""
        self._note(name, {"type": "array"}, required)
        return []

    def sub(self, name: str) -> Fields | None:
        """An object, whose own fields are noted in turn."""
        return self._subs.setdefault(name, SchemaFields())


def recorded(read: Callable[[Fields], object]) -> JsonObject:
    """The schema of what `read` reads."""
    fields = SchemaFields()
    read(fields)
    return fields.schema()


def _or_null(schema: JsonObject) -> JsonObject:
    """A field without a value is as one that is absent."""
    if not schema:
        return schema
    if "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
