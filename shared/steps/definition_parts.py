"""The parts of an item's definition: as they are sent, and compared with what Fabric returns."""

import base64
import json
from typing import Any

from shared.domain.json import JsonObject, as_list, canonical
from shared.domain.text import HALF_CHARACTER
from shared.repository import normalise
from shared.steps import definitions, schedules

PLATFORM = ".platform"
"""The part with name and type in Fabric's source-control format. Fabric ignores it by default."""
_INLINE = "InlineBase64"
"""The only type of payload. Source: published OpenAPI, PayloadType."""


def wire_definition(definition: JsonObject, item_type: str = "") -> JsonObject:
    """Return the definition as it is sent: each part in base64, and the format if it is not the type's default."""
    parts = [{"path": part["path"], "payload": _payload(part), "payloadType": _INLINE} for part in definition["parts"]]
    chosen = definitions.format_of(item_type, definition)
    return {"parts": parts, **({"format": chosen} if chosen else {})}


def restorable(definition: JsonObject) -> JsonObject | None:
    """Return a definition that Fabric returned as it can be sent again; None if a part is not complete."""
    parts = as_list(definition.get("parts")) or []
    if not parts or not all(map(_is_complete, parts)):
        return None
    return {**definition, "parts": [{**part, "payloadType": _INLINE} for part in parts]}


def _is_complete(part: JsonObject) -> bool:
    """Return True if a part has its path and its content. Fabric documents one type of payload, and requires it."""
    return "path" in part and is_base64(part.get("payload")) and part.get("payloadType", _INLINE) == _INLINE


def is_base64(payload: Any) -> bool:
    """Return True if a value is base64, wrapped or not."""
    try:
        base64.b64decode(unwrapped(payload), validate=True)
    except (AttributeError, TypeError, ValueError):  # binascii.Error is a ValueError
        return False
    return True


def _payload(part: JsonObject) -> str:
    """Return a part's content in base64; `.platform` without its description.

    Fabric takes the description of a new item from there if the request has none (recorded). Which of two wins is not
    known, and the request's contains the marker.
    """
    payload = _encoded(part)
    return _without_description(payload) if part["path"] == PLATFORM else payload


def _without_description(payload: str) -> str:
    try:
        platform: Any = json.loads(base64.b64decode(payload))
        del platform["metadata"]["description"]
        return platform_payload(platform)
    except (ValueError, KeyError, TypeError, RecursionError):
        return payload  # not there, or not a .platform that Fabric can read either


def platform_payload(platform: Any) -> str:
    """Return the content of a `.platform` in base64. Raises RecursionError.

    Half of a character, which JSON can name and UTF-8 cannot contain, stays an escape as in the file.
    """
    text = json.dumps(platform, indent=2, ensure_ascii=False)
    if HALF_CHARACTER.search(text):
        text = json.dumps(platform, indent=2)
    return base64.b64encode(text.encode()).decode()


def _encoded(part: JsonObject) -> str:
    payload = part.get("payload")
    return unwrapped(payload) if payload is not None else base64.b64encode(part["text"].encode()).decode()


def is_as_asked(spec: JsonObject, present: JsonObject) -> bool:
    """Return True if Fabric has the wanted definition, apart from what it rewrites by itself.

    Schedules are compared only if Fabric returns them.
    """
    sent, live = parts_of(spec["definition"]), parts_of(present)
    if schedules.PART in live and schedules.PART in sent:
        is_same = schedules.is_as_asked(spec["definition"], present, spec["type"])
        if is_same is None:
            is_same = same_definition(*map(_schedules, (spec["definition"], present)))
        if not is_same:
            return False
    return not normalise.changes(spec["type"], sent, live)


def _schedules(definition: JsonObject) -> JsonObject:
    return {"parts": [part for part in as_list(definition.get("parts")) or [] if part["path"] == schedules.PART]}


def parts_of(definition: JsonObject) -> dict[str, bytes]:
    """Return the content of each part by its path."""
    return {part["path"]: _decoded(_payload(part)) for part in as_list(definition.get("parts")) or []}


def same_definition(wanted: JsonObject, present: JsonObject) -> bool:
    """Return True if two definitions are equal, apart from `.platform` and the order and spacing of JSON."""
    return _contents(wanted) == _contents(present)


def _contents(definition: JsonObject) -> dict[str, str | bytes]:
    contents: dict[str, str | bytes] = {}
    for part in as_list(definition.get("parts")) or []:
        if part["path"] == PLATFORM:
            continue
        raw = _decoded(_payload(part))
        try:
            contents[part["path"]] = canonical(json.loads(raw))
        except (ValueError, RecursionError):
            contents[part["path"]] = raw.replace(b"\r\n", b"\n")
    return contents


def _decoded(payload: str) -> bytes:
    """Return the bytes of a payload; if it is not base64, those of its text."""
    try:
        return base64.b64decode(payload)
    except ValueError:
        return payload.encode()


def unwrapped(payload: str) -> str:
    """Return base64 without line ends and spaces: most tools wrap it, Fabric accepts one line."""
    return "".join(payload.split())
