"""What is written of a record: only that from which the same record is read again."""

from datetime import datetime
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, TypeAliasType, cast, get_args, get_origin, get_type_hints

from shared.domain.errors import UnknownVersionError, UnwritableError
from shared.domain.json import JsonObject
from shared.domain.records import NESTED, AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DeploymentState, StepState


def encoded(record: StepRecord | DeploymentRecord | AuditEntry) -> JsonObject:
    """Return the record as JSON, from which `from_json` makes the same record again. Raises UnwritableError naming the
    first field from which it could not: a row that cannot be read again would take its whole deployment with it."""
    try:
        check_types(record)
    except UnknownVersionError as error:
        raise UnwritableError(f"a {type(record).__name__} is not written: {error}") from None
    for name, _ in _declared(type(record)):
        if not _round_trips(getattr(record, name)):
            raise UnwritableError(f"a {type(record).__name__} is not written: its field '{name}' is not JSON")
    return record.to_json()


def check_types[T](record: T) -> T:
    """The record, if each field is of the type that it is declared with, and each time aware. Reading a row does not
    look at that; who judges it does. Raises UnknownVersionError naming the first field that is not."""
    for name, kinds in _declared(type(record)):
        value = getattr(record, name)
        is_number = type(value) is int and float in kinds
        is_naive = isinstance(value, datetime) and value.tzinfo is None
        if is_naive or not (type(value) in kinds or is_number):
            raise UnknownVersionError(f"its field '{name}' is of a kind that no version wrote")
        if type(value) in NESTED:
            check_types(value)
    return record


@cache
def _declared(cls: type[Any]) -> tuple[tuple[str, set[type[Any]]], ...]:
    return tuple((name, _kinds_of(hint)) for name, hint in get_type_hints(cls).items())


def _kinds_of(hint: Any) -> set[type[Any]]:
    if isinstance(hint, UnionType):
        return {kind for each in get_args(hint) for kind in _kinds_of(each)}
    return _kinds_of(hint.__value__) if isinstance(hint, TypeAliasType) else {get_origin(hint) or hint}


_COME_BACK = frozenset({str, int, bool, NoneType, datetime, DeploymentState, StepState})
"""Types whose every value comes back. Most fields are of one of them, and each written row is looked over."""


def _round_trips(value: Any) -> bool:
    """Return True if what JSON makes of a value compares equal to it. Of a field, a tuple is kept too."""
    if type(value) in _COME_BACK:
        return True
    if isinstance(value, tuple):
        return all(map(_is_json, cast(tuple[Any, ...], value)))
    if type(value) in NESTED:
        return all(_round_trips(getattr(value, name)) for name, _ in _declared(cast(type[Any], type(value))))
    return isinstance(value, datetime) or _is_json(value)


def _is_json(value: Any) -> bool:
    if type(value) is str:
        return True
    if isinstance(value, dict):
        members = cast(dict[Any, Any], value)
        return all(isinstance(name, str) for name in members) and all(map(_is_json, members.values()))
    if isinstance(value, list):
        return all(map(_is_json, cast(list[Any], value)))
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and isfinite(value))
