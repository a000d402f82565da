"""The JSON Schema of an object, recorded from the code that checks it: a `Fields` that notes what it is asked for.

So the schema cannot differ from the check. If a check cannot be recorded (it compares fields, or looks into a text),
the schema allows more than the check, never less: an editor never marks a valid manifest.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from shared.domain.fields import DURATION, GUID, Fields, Words
from shared.domain.json import JsonObject
from shared.domain.template import FORM, INPUT_FORM, OPENING

_OPENING = re.escape(OPENING)
REFERENCE: JsonObject = {
    "type": "string",
    "pattern": _OPENING,
    "description": f"Another step's output: {FORM}.",
}
INPUT: JsonObject = {
    "type": "string",
    "pattern": rf"{_OPENING}\s*inputs\.",
    "description": f"An input of the manifest: {INPUT_FORM}.",
}
_CLOSED: JsonObject = {"not": {"type": "string", "pattern": _OPENING}}


class SchemaFields(Fields):
    """Record the schema of the fields that are read. Every field reads as absent."""

    def __init__(self) -> None:
        super().__init__({}, "$", [])
        self._properties: JsonObject = {}
        self._required: list[str] = []
        self._subs: dict[str, tuple[SchemaFields, Words | None]] = {}
        self._rules: list[JsonObject] = []
        self._given_by: dict[str, Collection[str]] = {}

    def schema(self) -> JsonObject:
        """Return the schema of the fields that were read so far."""
        subs = {name: _described(_or_null(sub.schema()), words) for name, (sub, words) in self._subs.items()}
        whole: JsonObject = {"type": "object", "properties": {**self._properties, **subs}}
        required, rules = list(self._required), list(self._rules)
        for name, gives in self._given_by.items():
            rules.append({"anyOf": [given(name, "string"), {"required": [each for each in required if each in gives]}]})
            required = [each for each in required if each not in gives]
        if required:
            whole["required"] = required
        if rules:
            whole["allOf"] = rules
        return {**whole, "additionalProperties": False}

    def _note(self, name: str, schema: JsonObject, words: Words | None, *, required: bool = False) -> None:
        self._properties[name] = _described(schema if required else _or_null(schema), words)
        if required and name not in self._required:
            self._required.append(name)

    def raw(
        self, name: str, *, required: bool = False, schema: JsonObject | None = None, words: Words | None = None
    ) -> Any:
        self._note(name, schema or {}, words, required=required)

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
        """Note a string within its limits; with `refers`, also one whose final text is not known yet."""
        limits: JsonObject = {"type": "string", "maxLength": maximum}
        if pattern is not None:
            limits["pattern"] = f"^(?:{pattern.pattern})$" if required else f"^(?:{pattern.pattern})?$"
        elif required:
            limits["pattern"] = r"\S"
        if not refers and pattern is None:
            limits |= _CLOSED
        self._note(name, {"anyOf": [limits, REFERENCE if refers else INPUT]}, words, required=required)
        return default

    def guid(self, name: str, *, required: bool = False, words: Words | None = None) -> str:
        """Note a GUID or a reference. The pattern limits the length."""
        return self.text(name, required=required, pattern=GUID, refers=True, words=words)

    def choice(
        self,
        name: str,
        allowed: Collection[str],
        *,
        required: bool = False,
        default: str = "",
        words: Words | None = None,
    ) -> str:
        """Note one of the words, or an empty text, which counts as absent."""
        values = [*allowed] if required else [*allowed, ""]
        schema: JsonObject = {"anyOf": [{"type": "string", "enum": values}, INPUT]}
        self._note(name, schema | ({"default": default} if default else {}), words, required=required)
        return default

    def boolean(self, name: str, *, default: bool = False, words: Words | None = None) -> bool:
        self._note(name, {"anyOf": [{"type": "boolean"}, INPUT]}, words)
        return default

    def duration(
        self, name: str, *, default: float, minimum: float, maximum: float, words: Words | None = None
    ) -> float:
        """Note seconds or a text. A pattern cannot express the limits of a text."""
        number: JsonObject = {"type": "number", "minimum": minimum, "maximum": maximum}
        text: JsonObject = {"type": "string", "pattern": f"^(?:{DURATION.pattern})$"}
        self._note(name, {"anyOf": [number, text, INPUT]}, words)
        return default

    def texts(self, name: str, *, refers: bool = False, words: Words | None = None) -> list[str]:
        self._note(name, {"type": "array", "items": {"type": "string"}}, words)
        return []

    def rows(self, name: str, *, required: bool = False, words: Words | None = None) -> list[Any]:
        self._note(name, {"type": "array"}, words, required=required)
        return []

    def each[T](
        self,
        name: str,
        read: Callable[[Fields], T],
        *,
        empty: str,
        required: bool = False,
        words: Words | None = None,
    ) -> Iterator[tuple[Fields, T]]:
        """Note an array of at least one element, each with the schema of what `read` reads."""
        self._note(name, {"type": "array", "minItems": 1, "items": recorded(read)}, words, required=required)
        return iter(())

    def sub(self, name: str, *, words: Words | None = None) -> Fields | None:
        """Return a recorder for the fields of a nested object."""
        nested, _ = self._subs.setdefault(name, (SchemaFields(), words))
        return nested

    def any_object(self, name: str, *, words: Words | None = None) -> JsonObject | None:
        self._note(name, {"type": "object"}, words)

    def path_field(self, name: str, *, gives: Collection[str] = (), words: Words | None = None) -> bool:
        """Note a text that is not empty, beside which the fields that it gives are not required."""
        self._note(name, {"type": "string", "minLength": 1}, words)
        if gives:
            self._given_by[name] = gives
        return False

    def one_of(self, types: Mapping[str, str]) -> list[str]:
        """Note that exactly one of the fields has a value."""
        self._rules.append({"oneOf": [given(name, kind) for name, kind in types.items()]})
        return []

    def absent(self, name: str, message: str) -> None:
        self._note(name, {"type": "null"}, None, required=False)

    def schema_rules(self, rules: Iterable[JsonObject]) -> None:
        self._rules += rules


def recorded(read: Callable[[Fields], object]) -> JsonObject:
    """Return the schema of the fields that `read` reads."""
    fields = SchemaFields()
    read(fields)
    return fields.schema()


def given(name: str, kind: str) -> JsonObject:
    """Return the schema of an object whose field `name` has a value of the JSON type `kind`."""
    return {"properties": {name: {"type": kind}}, "required": [name]}


def _described(schema: JsonObject, words: Words | None) -> JsonObject:
    if words is None:
        return schema
    return {"description": words.description, **schema, "examples": [words.example]}


def _or_null(schema: JsonObject) -> JsonObject:
    """Return the schema with null allowed, because a field without a value counts as absent."""
    if not schema or schema.get("type") == "null":
        return schema
    if "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
