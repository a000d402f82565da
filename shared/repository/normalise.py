"""Compare the definition that would be sent with the one that Fabric has, although Fabric writes it in its own way.

What Fabric rewrites is known from recorded answers: JSON in another layout, a final line end more or less, a report's
connection in another form, a higher format version, parts that only the server adds. Anything else is a difference.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.domain.json import JsonObject, as_list, as_object, canonical
from shared.repository.parsed import json_value, yaml_value

_NOT_COMPARED = frozenset({".platform", ".schedules"})
"""Name and description are compared as fields of the item, schedules by the step that sets them."""
_ADDED: dict[str, frozenset[str]] = {
    "Lakehouse": frozenset({"alm.settings.json", "lakehouse.metadata.json", "shortcuts.metadata.json"}),
    "Notebook": frozenset({"notebook-settings.json"}),
}
"""Parts that Fabric answers although nobody sent them."""
_MODEL_ID = re.compile(r"semanticmodelid=([0-9a-fA-F-]{36})", re.IGNORECASE)
_TEXT_LIMIT, _LINE_LIMIT = 200, 300
"""Lines of a part's difference that are shown, and characters of a line."""


class Change(StrEnum):
    """How a part differs from what Fabric has."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True)
class PartChange:
    """A part that differs."""

    path: str
    change: Change


def comparable(item_type: str, parts: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the parts in the form in which two definitions of an item are compared, without those that are not."""
    return {
        path: _normalised(item_type, path, content)
        for path, content in sorted(parts.items())
        if path not in _NOT_COMPARED
    }


def digest(item_type: str, parts: Mapping[str, bytes], sent: Collection[str] | None = None) -> str:
    """Return a hash (hex) of a definition that stays the same when Fabric only writes it in another way.

    `sent` are the parts that were sent, if Fabric may have added others.
    """
    added = _ADDED.get(item_type, frozenset()) if sent is not None else frozenset[str]()
    found = hashlib.sha256()
    for path, content in comparable(item_type, parts).items():
        if path in added and path not in (sent or ()):
            continue
        found.update(f"{path}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()


def changes(item_type: str, sent: Mapping[str, bytes], live: Mapping[str, bytes]) -> tuple[PartChange, ...]:
    """Return the parts that would change, were `sent` sent to an item that has `live`."""
    own, theirs = comparable(item_type, sent), comparable(item_type, live)
    added = _ADDED.get(item_type, frozenset())
    found = [PartChange(path, Change.ADDED) for path in own if path not in theirs]
    found += [PartChange(path, Change.REMOVED) for path in theirs if path not in own and path not in added]
    found += [PartChange(path, Change.CHANGED) for path in own if path in theirs and own[path] != theirs[path]]
    return tuple(sorted(found, key=lambda each: each.path))


def lines(item_type: str, change: PartChange, sent: Mapping[str, bytes], live: Mapping[str, bytes]) -> list[str]:
    """Return the difference of a part as lines, `-` from what Fabric has to `+` what would be sent.

    JSON is shown in one layout, with the keys in order, so that only values differ. Long lines and long differences are
    cut; of a binary part only the sizes are shown.
    """
    before = live.get(change.path, b"") if change.change is not Change.ADDED else b""
    after = sent.get(change.path, b"") if change.change is not Change.REMOVED else b""
    old, new = (_shown(item_type, change.path, each) for each in (before, after))
    if old is None or new is None:
        return [f"  binary: {len(before):,} bytes, would be {len(after):,}"]
    found = [each.rstrip("\n") for each in difflib.unified_diff(old, new, n=2, lineterm="")][2:]
    cut = [each if len(each) <= _LINE_LIMIT else f"{each[:_LINE_LIMIT]}..." for each in found[:_TEXT_LIMIT]]
    return cut if len(found) <= _TEXT_LIMIT else [*cut, f"  and {len(found) - _TEXT_LIMIT:,} more lines"]


def _shown(item_type: str, path: str, content: bytes) -> list[str] | None:
    value = _value(item_type, path, content)
    if isinstance(value, bytes):
        return None
    text = value if isinstance(value, str) else json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return text.splitlines()


def _normalised(item_type: str, path: str, content: bytes) -> bytes:
    value = _value(item_type, path, content)
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else canonical(value)).encode("utf-8", "surrogatepass")


def _value(item_type: str, path: str, content: bytes) -> Any:
    """Return the JSON or YAML value of a part, its text without what Fabric changes in it, or its bytes."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content
    if "\0" in text:
        return content
    text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    value = json_value(text)
    if as_object(value) is not None or as_list(value) is not None:
        return _RULES.get((item_type, path.rpartition("/")[2]), _without_schema)(value)
    if item_type == "Environment" and path.endswith((".yml", ".yaml")):
        settings: Any = _yaml(text)
        return text if as_object(settings) is None and as_list(settings) is None else settings
    return text


def _yaml(text: str) -> Any:
    """Return the value of a YAML text; None if it has none that JSON has too."""
    value = yaml_value(text)
    try:
        canonical(value)
    except (ValueError, TypeError, RecursionError, OverflowError):
        return None
    return value


def _without_schema(value: Any) -> Any:
    """Return a value without `$schema`, which Fabric writes with its own version."""
    row = as_object(value)
    return value if row is None else {key: each for key, each in row.items() if key != "$schema"}


def _connection(value: Any) -> Any:
    """Return a report's definition.pbir with its model's id alone, whatever form names it."""
    row = as_object(value)
    dataset = as_object((row or {}).get("datasetReference"))
    by_connection = as_object((dataset or {}).get("byConnection"))
    if row is None or by_connection is None:
        return value
    found = _MODEL_ID.search(str(by_connection.get("connectionString")))
    model = found[1] if found else by_connection.get("pbiModelDatabaseName")
    if model is None:
        return _versioned(value)
    return {**_versioned(row), "datasetReference": {"model": str(model).lower()}}


def _versioned(value: Any) -> Any:
    """Return a definition with its major version alone: Fabric raises the minor one, and the schema with it."""
    row = as_object(_without_schema(value)) or {}
    if "version" in row:
        row["version"] = str(row["version"]).partition(".")[0]
    return row


def _without_empty(value: Any) -> Any:
    """Return a Spark job without its empty fields, of which Fabric answers some as null and some as empty text."""
    return {key: each for key, each in (as_object(value) or {}).items() if each not in (None, "", [])}


def _notebook(value: Any) -> Any:
    """Return a notebook without outputs and counters, which Fabric does not keep, and with each source as one text."""
    row = dict(as_object(value) or {})
    cells = [as_object(each) or {} for each in as_list(row.get("cells")) or []]
    row["cells"] = [
        {key: _joined(each) for key, each in cell.items() if key not in ("outputs", "execution_count", "id")}
        for cell in cells
    ]
    row.pop("nbformat_minor", None)
    metadata = as_object(row.get("metadata")) or {}
    row["metadata"] = {key: _without_null(each) for key, each in metadata.items() if each not in (None, 0)}
    return row


def _without_null(value: Any) -> Any:
    row = as_object(value)
    return value if row is None else {key: each for key, each in row.items() if each is not None}


def _joined(source: Any) -> Any:
    rows = as_list(source)
    return "".join(rows) if rows is not None and all(isinstance(each, str) for each in rows) else source


type _Rule = Callable[[Any], Any]
_RULES: dict[tuple[str, str], _Rule] = {
    ("Report", "definition.pbir"): _connection,
    ("SemanticModel", "definition.pbism"): _versioned,
    ("SparkJobDefinition", "SparkJobDefinitionV1.json"): _without_empty,
    ("Notebook", "notebook-content.ipynb"): _notebook,
}
"""By item type and name of the part. Source: what was sent and read back in recorded traffic."""


def platform_metadata(content: bytes, without_marker: Callable[[str], str]) -> JsonObject:
    """Return the display name and description of a `.platform` part, without the marker of a deployment."""
    metadata = as_object((as_object(json_value(content.decode("utf-8-sig", "replace"))) or {}).get("metadata")) or {}
    description = without_marker(str(metadata.get("description") or ""))
    return {"displayName": str(metadata.get("displayName") or ""), "description": description}
