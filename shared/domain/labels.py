"""Labels of a deployment: names and values by which people and pipelines find it again."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from shared.domain.errors import Problem
from shared.domain.field_schema import INPUT
from shared.domain.fields import Fields, Words, child, type_name
from shared.domain.json import JsonObject, as_object

MAX_LABELS = 10
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,99}")
"""A branch, a number, a commit, a time or an address of a person, and nothing that needs escaping where it is shown."""
LABEL = f"^{_NAME.pattern}={_VALUE.pattern}$"
"""The form of a label in an address and on the command line."""
NAME_RULE = "must begin with a letter or _, followed by letters, digits, _ or - (63 at most)"
VALUE_RULE = (
    "must begin with a letter or digit and contain only letters, digits and the characters . _ / : @ + - (100 at most)"
)
LABELS_CHARACTERS = MAX_LABELS * (63 + 100 + len('"":"",')) + 1
"""Characters of the largest labels in a row."""

LABELS: JsonObject = {
    "type": "object",
    "maxProperties": MAX_LABELS,
    "propertyNames": {"pattern": f"^(?:{_NAME.pattern})$"},
    "additionalProperties": {"type": "string", "pattern": f"^(?:{_VALUE.pattern})$"},
}
"""The JSON Schema of labels."""
_SCHEMA: JsonObject = {**LABELS, "additionalProperties": {"anyOf": [LABELS["additionalProperties"], INPUT]}}
_WORDS = Words("Names and values by which the deployment is found again: list --label NAME=VALUE.", {"pr": "123"})


def read_labels(top: Fields) -> JsonObject | None:
    """Read the labels of a manifest; None if it has none."""
    value = top.raw("labels", schema=_SCHEMA, words=_WORDS)
    if value is None:
        return None
    labels = as_object(value)
    if labels is None:
        top.problem("labels", f"must be an object of names and values, not {type_name(value)}")
        return None
    if len(labels) > MAX_LABELS:
        top.problem("labels", f"has {len(labels)} labels; at most {MAX_LABELS} are accepted")
        return None
    path = child(top.path, "labels")
    for name, text in labels.items():
        top.problems.extend(Problem(child(path, name), message) for message in _problems(name, text))
    return labels or None


def _problems(name: str, value: object) -> list[str]:
    found = [] if _NAME.fullmatch(name) else [f"the name {NAME_RULE}"]
    if not isinstance(value, str):
        return [*found, f"must be a string, not {type_name(value)}; quote it"]
    return found if _VALUE.fullmatch(value) else [*found, f"the value {VALUE_RULE}"]


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Return the labels in texts of the form NAME=VALUE. Raises ValueError, which says what is wrong."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"'{text[:64]}' must be NAME=VALUE")
        for message in _problems(name, value):
            raise ValueError(f"'{text[:64]}': {message}")
        if found.setdefault(name, value) != value:
            raise ValueError(f"the label '{name}' is given with two values")
    if len(found) > MAX_LABELS:
        raise ValueError(f"{len(found)} labels are given; at most {MAX_LABELS} are accepted")
    return found


def with_labels(manifest: Any, given: Mapping[str, str]) -> Any:
    """Return the manifest with the labels added; a given value replaces the manifest's own."""
    top = as_object(manifest)
    if not given or top is None:
        return manifest
    own = top.get("labels")
    if own is not None and as_object(own) is None:
        return manifest  # the check of the manifest reports it
    return {**top, "labels": {**cast(JsonObject, own or {}), **given}}


def relabelled(manifest: Any, labels: Mapping[str, str] | None) -> Any:
    """Return the manifest with these labels and no others; unchanged for None."""
    top = as_object(manifest)
    if labels is None or top is None:
        return manifest
    kept = {name: value for name, value in top.items() if name != "labels"}
    return {**kept, "labels": dict(labels)} if labels else kept


def has_labels(own: JsonObject | None, wanted: Mapping[str, str]) -> bool:
    """Return True if all wanted labels are among a deployment's own."""
    return all((own or {}).get(name) == value for name, value in wanted.items())
