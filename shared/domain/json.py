"""JSON as types, and the one canonical form by which manifests and payloads are compared and hashed."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

type JsonObject = dict[str, Any]
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(value: object) -> str:
    """The one text of a JSON value: sorted keys, no spaces, non-ASCII kept."""
    return _CANONICAL.encode(value)


def content_hash(value: object) -> str:
    """SHA-256 (hex) of the canonical text; lone surrogates, which UTF-8 cannot carry, are kept distinct."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def as_object(value: object) -> JsonObject | None:
    """The value as a JSON object, or None where it is something else."""
    return cast(JsonObject, value) if isinstance(value, Mapping) else None


def as_list(value: object) -> list[Any] | None:
    """The value as a JSON array, or None where it is something else."""
    return cast(list[Any], value) if isinstance(value, list) else None
