"""The form in JSON of a repository's values: the command line writes it into the manifest, the engine reads it."""

from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from types import NoneType
from typing import Any, cast, get_args

from shared.domain.json import JsonObject
from shared.repository.model import (
    Binding,
    Compiled,
    DashboardClusters,
    Edge,
    FindRegex,
    FindText,
    Item,
    KeyValue,
    Kind,
    LogicalIds,
    NamedRef,
    Needs,
    OwnLakehouse,
    Part,
    Plain,
    PoolChoice,
    QuerysetClusters,
    Ref,
    ReportModel,
    Repository,
    SparkPools,
    WorkspaceIds,
)


def to_json(value: Any) -> Any:
    """Return the form in JSON of a model value: an object whose `is` names the class, or a list of them.

    Fields that are empty texts or None are left out.
    """
    if is_dataclass(value):
        raw = _RAW.get(type(value), "")
        row = {each.name: getattr(value, each.name) for each in fields(value)}
        row = {name: each if name == raw else to_json(each) for name, each in row.items()}
        kept = {name: each for name, each in row.items() if each not in ("", None) or isinstance(value, Plain)}
        return {"is": type(value).__name__, **kept}
    if isinstance(value, tuple):
        return [to_json(each) for each in cast(tuple[Any, ...], value)]
    if isinstance(value, dict):
        return {name: to_json(each) for name, each in cast(dict[str, Any], value).items()}
    return value


def from_json(data: Any) -> Any:
    """Return the model value that `to_json` wrote. Raises ValueError for anything else.

    An object without `is` stays an object (the parts of `Compiled`).
    """
    if isinstance(data, list):
        return tuple(from_json(each) for each in cast(list[Any], data))
    if not isinstance(data, dict):
        return data
    row = dict(cast(JsonObject, data))
    if "is" not in row:
        return {name: from_json(each) for name, each in row.items()}
    name = str(row.pop("is"))
    cls = _CLASSES.get(name)
    if cls is None:
        raise ValueError(f"'{name[:64]}' is not part of a repository")
    row = {name: each if name == _RAW.get(cls) else from_json(each) for name, each in row.items()}
    try:
        row |= {name: enum(row[name]) for name, enum in _ENUMS.get(cls, {}).items()}
        return cls(**{**_empty(cls), **row})
    except (KeyError, TypeError) as error:
        raise ValueError(f"a {name} of a repository cannot be read: {error}") from None


def _empty(cls: type[Any]) -> JsonObject:
    """Return the values of the fields that `to_json` leaves out when they are empty."""
    hints = {each.name: each for each in fields(cls) if each.default is MISSING}
    texts = {name: "" for name, each in hints.items() if each.type is str}
    return {**texts, **{name: None for name, each in hints.items() if NoneType in get_args(each.type)}}


_CLASSES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        *(Ref, Plain, ReportModel, PoolChoice, SparkPools, NamedRef, QuerysetClusters, DashboardClusters, LogicalIds),
        *(KeyValue, FindText, FindRegex, WorkspaceIds, OwnLakehouse, Part, Item, Repository, Binding, Compiled, Edge),
    )
}
_ENUMS: dict[type[Any], dict[str, type[StrEnum]]] = {Ref: {"kind": Kind}, Edge: {"needs": Needs}}
_RAW: dict[type[Any], str] = {Plain: "value", Item: "creation_payload"}
"""The fields that have any JSON, which is not looked into."""
