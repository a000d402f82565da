"""The parts of an item's definition as bytes by path."""

import base64
from collections.abc import Mapping
from typing import Any

from local.fabric_simulator.store import Item


def parts_in(definition: dict[str, Any] | None) -> dict[str, bytes]:
    """Return the parts of a definition that was checked; none if it is missing."""
    rows: list[dict[str, str]] = definition.get("parts", []) if definition else []
    return {row["path"]: base64.b64decode(row["payload"]) for row in rows}


def parts_of(item: Item) -> dict[str, bytes]:
    """Return the parts of the item's definition; a bare item has none."""
    return parts_in(item.definition)


def put_parts(item: Item, parts: Mapping[str, bytes]) -> None:
    """Replace the parts of the item's definition."""
    rows = [
        {"path": path, "payload": base64.b64encode(data).decode(), "payloadType": "InlineBase64"}
        for path, data in parts.items()
    ]
    item.definition = {**(item.definition or {}), "parts": rows} if rows else None


def text_of(item: Item) -> str:
    """Return the text of all parts; bytes that are no UTF-8 are replaced."""
    return "\n".join(data.decode(errors="replace") for data in parts_of(item).values())
