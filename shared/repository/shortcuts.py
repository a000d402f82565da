"""The shortcuts of a lakehouse, as the part `shortcuts.metadata.json` lists them.

Source: published OpenAPI (CreateShortcutRequest, Target); fabric-docs, lakehouse in Git.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shared.domain.json import JsonObject, as_list, as_object

ROOTS = ("Files", "Tables", "Shortcut")
"""The first segment of a shortcut's path."""
ONE_LAKE = "oneLake"
TARGETS: dict[str, tuple[str, ...]] = {
    ONE_LAKE: ("itemId", "workspaceId", "path", "connectionId"),
    "amazonS3": ("location", "subpath", "connectionId"),
    "adlsGen2": ("location", "subpath", "connectionId"),
    "googleCloudStorage": ("location", "subpath", "connectionId"),
    "s3Compatible": ("location", "subpath", "bucket", "connectionId"),
    "dataverse": ("environmentDomain", "connectionId", "deltaLakeFolder", "tableName"),
    "azureBlobStorage": ("location", "subpath", "connectionId"),
    "oneDriveSharePoint": ("location", "subpath", "connectionId"),
}
"""The destinations that a request may name, with the members that Fabric shows of each."""
_NO_DOTS = r"(?!\.{1,2}(?:/|$))"
"""No segment may be . or .., which would lead the address of a deletion to another resource."""
PATH = re.compile(rf"/?({'|'.join(ROOTS)})(/{_NO_DOTS}[^/]+)*/?")
NAME = re.compile(rf"{_NO_DOTS}[^/\\]+")
MAX_PATH, MAX_NAME = 1000, 200


@dataclass(frozen=True)
class Shortcut:
    """A shortcut as it is sent: `target` has one destination, `transform` may be empty."""

    path: str
    name: str
    target: JsonObject
    transform: JsonObject

    @property
    def key(self) -> str:
        """Return what identifies the shortcut in its lakehouse."""
        return f"{self.path}/{self.name}"


class ShortcutsError(ValueError):
    """A part lists shortcuts that cannot be made; each sentence says what is wrong, and in which entry."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = sentences


def shortcuts_in(text: str) -> tuple[Shortcut, ...]:
    """Return the shortcuts of a rendered part, in its order. Raises ShortcutsError."""
    try:
        value: Any = json.loads(text.removeprefix("\ufeff")) if text.strip() else None
    except (ValueError, RecursionError) as error:
        raise ShortcutsError(f"is not JSON: {error}") from None
    rows = as_list(value)
    if rows is None and value is not None:
        raise ShortcutsError("must be a list of shortcuts")
    wrong: list[str] = []
    found = tuple(_read(rows or [], wrong))
    count = Counter(each.key for each in found)
    wrong += [f"has the shortcut {key[:200]!r} twice; remove one of them" for key, n in count.items() if n > 1]
    if wrong:
        raise ShortcutsError(*wrong)
    return found


def _read(rows: list[Any], wrong: list[str]) -> Iterator[Shortcut]:
    """Yield the shortcuts, and note what is wrong with the others."""
    for number, each in enumerate(rows, start=1):
        row = as_object(each)
        if row is None:
            wrong.append(f"entry {number} is not an object")
            continue
        before = len(wrong)
        path, name = row.get("path"), row.get("name")
        if not isinstance(name, str) or len(name) > MAX_NAME or NAME.fullmatch(name) is None:
            wrong.append(f"entry {number}: `name` must be a text without slashes, and not . or ..")
        if not isinstance(path, str) or len(path) > MAX_PATH or PATH.fullmatch(path) is None:
            roots = ", ".join(ROOTS)
            wrong.append(f"entry {number}: `path` must begin with one of {roots}, and have no segment . or ..")
        target = as_object(row.get("target")) or {}
        chosen = {kind: place for kind in TARGETS if (place := as_object(target.get(kind))) is not None}
        if len(chosen) != 1:
            wrong.append(f"entry {number}: `target` must have exactly one of {', '.join(TARGETS)}")
        if len(wrong) == before:
            yield Shortcut(str(path).strip("/"), str(name), chosen, as_object(row.get("transform")) or {})
