"""JSON types, and the canonical form in which manifests and payloads are compared and hashed."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, cast

SHA256 = re.compile(r"[0-9a-f]{64}")
"""A SHA-256 in lower-case hex: the name of content, whoever stores it."""

type JsonObject = dict[str, Any]
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(value: object) -> str:
    """Return the canonical text of a JSON value: sorted keys, no spaces, non-ASCII kept."""
    return _CANONICAL.encode(value)


def content_hash(value: object) -> str:
    """Return the SHA-256 (hex) of the canonical text. Lone surrogates, which UTF-8 cannot encode, stay distinct."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def as_object(value: object) -> JsonObject | None:
    """Return the value if it is a JSON object, else None."""
    return cast(JsonObject, value) if isinstance(value, Mapping) else None


def as_list(value: object) -> list[Any] | None:
    """Return the value if it is a JSON array, else None."""
    return cast(list[Any], value) if isinstance(value, list) else None
