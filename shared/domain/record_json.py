"""Records as JSON. How a field is checked, written and read follows from its declared type alone (ADR 22).

A codec is derived once for each type of record. So a new field needs no other declaration, and no field can be read as
something that it is not: an unknown field, a missing one and one of a wrong type are refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, TypeAliasType, cast, get_args, get_origin, get_type_hints

from shared.domain.errors import UnknownVersionError, UnwritableError
from shared.domain.json import JsonObject

SCHEMA_VERSION = 1
"""Written into every row; a row of another version is refused, because its meaning could only be guessed."""
_VERSION = "version"
_NOT_HASHED = "chain"
"""The field that ties a row to the audit, and so holds the row's digest."""


def encoded(record: object) -> JsonObject:
    """Return the record as JSON, from which `load` makes the same record again. Raises UnwritableError naming the first
    field from which it could not: a row that cannot be read again would take its whole deployment with it."""
    codec = codec_of(type(record))
    wrong = codec.first_wrong(record)
    if wrong is not None:
        raise UnwritableError(f"a {type(record).__name__} is not written: {wrong} is not of its type, or not JSON")
    return {_VERSION: SCHEMA_VERSION, **codec.write(record)}


def dump(record: object) -> JsonObject:
    """Return the record as JSON, unchecked; fields that are None are left out."""
    return {_VERSION: SCHEMA_VERSION, **codec_of(type(record)).write(record)}


def load[T](cls: type[T], data: JsonObject, *, ignore_unknown: bool = False) -> T:
    """Return the record that JSON stands for. Raises UnknownVersionError for another schema version, and naming the
    first field that is unknown, missing or of a wrong type.

    `ignore_unknown` is for what another program sends, which may say more than a record holds.
    """
    members = dict(data)
    version = members.pop(_VERSION, None)
    if version != SCHEMA_VERSION:
        raise UnknownVersionError(
            f"a {cls.__name__} of schema version {version!r} cannot be read: this program knows {SCHEMA_VERSION}. "
            "Upgrade the app, or let the version that wrote it finish its deployments first."
        )
    codec: Codec[T] = codec_of(cls, ignore_unknown)
    try:
        return codec.read(members)
    except _Unreadable as error:
        raise UnknownVersionError(f"a {cls.__name__} cannot be read: {error}") from None


def check_types[T](record: T) -> T:
    """Return the record. Raises UnknownVersionError naming the first field that is not of its declared type."""
    wrong = codec_of(type(record)).first_wrong(record)
    if wrong is not None:
        raise UnknownVersionError(f"{wrong} is of a type that no version wrote")
    return record


def hashable_fields(record: object) -> JsonObject:
    """Return what a digest is made of: every field but those at their defaults, and but `chain`.

    So a field that a later version adds, with whatever default, leaves the digests of older rows as they are.
    """
    return codec_of(type(record)).hashable(record)


def changed[T](record: T, changes: Mapping[str, object]) -> T:
    """Return the record with some fields changed; a tenth of the time that `dataclasses.replace` takes. Raises
    TypeError for an unknown field."""
    values = {**record.__dict__, **changes}
    if len(values) != len(record.__dict__):
        raise TypeError(f"a {type(record).__name__} has no field {', '.join(changes.keys() - record.__dict__.keys())}")
    return _built(type(record), values)


def _built[T](cls: type[T], values: dict[str, Any]) -> T:
    """Return a record of these values, all of its fields in their order. A frozen dataclass's own `__init__` sets each
    field by a call, which takes longer than all other work on a row."""
    record = object.__new__(cls)
    record.__dict__.update(values)
    return record


class _Unreadable(Exception):
    """A JSON object is not a record of this version; the message names the field."""


class Codec[T]:
    """Checks, writes and reads the records of one type, a frozen dataclass; nested records have codecs of their own.

    `_as_they_are` has for each field the types of the JSON values that need no reader; it has every known field.
    """

    def __init__(self, cls: type[T], ignore_unknown: bool) -> None:
        hints = {name: _Hint(hint, ignore_unknown) for name, hint in get_type_hints(cls).items()}
        self._cls = cls
        self._ignore_unknown = ignore_unknown
        self._defaults: dict[str, Any] = {f.name: f.default for f in fields(cast(Any, cls))}
        self._required = tuple(name for name, default in self._defaults.items() if default is MISSING)
        self._hashed = tuple((name, default) for name, default in self._defaults.items() if name != _NOT_HASHED)
        self._checks = tuple((name, hint.types, hint.is_sound) for name, hint in hints.items())
        converted: frozenset[type[Any]] = frozenset()
        self._as_they_are = {name: hint.types if hint.reader is None else converted for name, hint in hints.items()}
        self._readers = {name: hint.reader for name, hint in hints.items() if hint.reader is not None}
        self._nested = {hint.codec.cls: hint.codec for hint in hints.values() if hint.codec is not None}
        plain: dict[type[Any], Callable[[Any], Any]] = {datetime: datetime.isoformat, tuple: list}
        self._writers = {**plain, **{cls: codec.write for cls, codec in self._nested.items()}}
        self._hashers = {**plain, **{cls: codec.hashable for cls, codec in self._nested.items()}}

    @property
    def cls(self) -> type[T]:
        return self._cls

    def first_wrong(self, record: T) -> str | None:
        """Return the field that could not be read again unchanged, as part of a message; None if all can."""
        values = record.__dict__
        for name, types, is_sound in self._checks:
            value = values[name]
            if value.__class__ not in types or (is_sound is not None and value is not None and not is_sound(value)):
                nested = self._nested.get(value.__class__)
                inner = nested.first_wrong(value) if nested is not None else None
                return f"its field '{name}'" if inner is None else f"in its field '{name}', {inner}"
        return None

    def write(self, record: T) -> JsonObject:
        writers = self._writers
        return {
            name: value if (write := writers.get(value.__class__)) is None else write(value)
            for name, value in record.__dict__.items()
            if value is not None
        }

    def hashable(self, record: T) -> JsonObject:
        values, hashers = record.__dict__, self._hashers
        return {
            name: value if (write := hashers.get(value.__class__)) is None else write(value)
            for name, default in self._hashed
            if (value := values[name]) is not default and value != default
        }

    def read(self, data: JsonObject) -> T:
        values, as_they_are, readers = dict(self._defaults), self._as_they_are, self._readers
        for name, value in data.items():
            types = as_they_are.get(name)
            if types is None:
                if not self._ignore_unknown:
                    raise _Unreadable(f"its field '{name[:64]}' is unknown to this program. Upgrade the app")
            elif value.__class__ in types:
                values[name] = value
            else:
                values[name] = _read(name, readers.get(name), value)
        for name in self._required:
            if values[name] is MISSING:
                raise _Unreadable(f"its field '{name}' is missing")
        return _built(self._cls, values)


def _read(name: str, reader: Callable[[Any], Any] | None, value: object) -> Any:
    try:
        if reader is not None:
            return reader(value)
    except _Unreadable as error:
        raise _Unreadable(f"in its field '{name}', {error}") from None
    except (KeyError, TypeError, ValueError):  # a state that a later version added, or an invalid time
        pass
    raise _Unreadable(f"its field '{name}' is of a type or a value that no version wrote")


@cache
def codec_of(cls: type[Any], ignore_unknown: bool = False) -> Codec[Any]:
    """Return the codec of a type of records; derived once, because it is needed with every row."""
    return Codec(cls, ignore_unknown)


class _Hint:
    """The declared type of a field: `types` are the classes that a value may have, `is_sound` looks inside a
    value, and `reader` makes a value of JSON that is not one of `types` already."""

    def __init__(self, hint: Any, ignore_unknown: bool) -> None:
        options = _options(hint)
        self.codec: Codec[Any] | None = None
        self.is_sound: Callable[[Any], bool] | None = None
        self.reader: Callable[[Any], Any] | None = None
        (option,) = (each for each in options if each is not NoneType)
        cls = get_origin(option) or option
        types = {cls, NoneType} if NoneType in options else {cls}
        self.types: frozenset[type[Any]] = frozenset(types | {int} if cls is float else types)
        if cls is float:
            self.is_sound = _is_number
        elif cls is datetime:
            self.is_sound, self.reader = _is_aware, _time
        elif cls is dict:
            self.is_sound = _is_json
        elif cls is tuple:
            member = _Hint(get_args(option)[0], ignore_unknown)
            self.is_sound = lambda value: all(m.__class__ in member.types and _is_json(m) for m in value)
            self.reader = lambda value: _tuple(value, member.types)
        elif is_dataclass(cls):
            codec = self.codec = codec_of(cast(type[Any], cls), ignore_unknown)
            self.is_sound = lambda value: codec.first_wrong(value) is None
            self.reader = lambda value: codec.read(_object(value))
        elif issubclass(cls, StrEnum):
            members = {member.value: member for member in cls}
            self.reader = members.__getitem__
        elif cls not in (str, int, bool):
            raise TypeError(f"records have no fields of type {hint}")
        if self.reader is not None and NoneType in options:
            self.reader = _or_none(self.reader)


def _options(hint: Any) -> tuple[Any, ...]:
    if isinstance(hint, UnionType):
        return tuple(option for each in get_args(hint) for option in _options(each))
    return _options(hint.__value__) if isinstance(hint, TypeAliasType) else (hint,)


def _or_none(reader: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else reader(value)


def _time(value: str) -> datetime:
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at


def _tuple(value: object, types: frozenset[type[Any]]) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    members = tuple(cast(list[Any], value))
    if not all(member.__class__ in types for member in members):
        raise TypeError("a member of another type")
    return members


def _object(value: object) -> JsonObject:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return cast(JsonObject, value)


def _is_aware(value: datetime) -> bool:
    return value.tzinfo is not None


def _is_number(value: float) -> bool:
    return value.__class__ is int or isfinite(value)


def _is_json(value: Any) -> bool:
    """Return True if what JSON makes of a value compares equal to it."""
    if value.__class__ is str:
        return True
    if isinstance(value, dict):
        members = cast(dict[Any, Any], value)
        return all(isinstance(name, str) for name in members) and all(map(_is_json, members.values()))
    if isinstance(value, list):
        return all(map(_is_json, cast(list[Any], value)))
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and isfinite(value))
