"""What is written of a record: only that from which the same record is read again."""

from dataclasses import fields, is_dataclass
from datetime import datetime
from math import isfinite
from typing import Any, cast

from shared.domain.errors import UnknownVersionError, UnwritableError
from shared.domain.json import JsonObject
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord, strict


def encoded(record: StepRecord | DeploymentRecord | AuditEntry) -> JsonObject:
    """Return the record as JSON, from which `from_json` makes the same record again. Raises UnwritableError naming the
    first field from which it could not: a row that cannot be read again would take its whole deployment with it."""
    try:
        strict(record)
    except UnknownVersionError as error:
        raise UnwritableError(f"a {type(record).__name__} is not written: {error}") from None
    for field in fields(record):
        if not _comes_back(getattr(record, field.name)):
            raise UnwritableError(f"a {type(record).__name__} is not written: its field '{field.name}' is not JSON")
    return record.to_json()


def _comes_back(value: Any) -> bool:
    """Return True if what JSON makes of a value compares equal to it. Of a field, a tuple is kept too."""
    if isinstance(value, tuple):
        return all(map(_is_json, cast(tuple[Any, ...], value)))
    if is_dataclass(value):
        return all(_comes_back(getattr(value, field.name)) for field in fields(value))
    return isinstance(value, datetime) or _is_json(value)


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        members = cast(dict[Any, Any], value)
        return all(isinstance(name, str) for name in members) and all(map(_is_json, members.values()))
    if isinstance(value, list):
        return all(map(_is_json, cast(list[Any], value)))
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and isfinite(value))
