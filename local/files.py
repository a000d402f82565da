"""Files that a process of this machine reads again after it was killed, and that may be damaged by then."""

import json
import time
from pathlib import Path
from typing import Any

from shared.domain.json import JsonObject, as_object


class DamagedError(Exception):
    """A file does not hold what was written there; the message names it."""


def read_object(path: Path) -> JsonObject:
    """Return the JSON object in a file. Raises DamagedError if it holds anything else, and OSError."""
    try:
        found: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged ({type(error).__name__}: {error})") from None
    value = as_object(found)
    if value is None:
        raise DamagedError(f"{path} is damaged (it holds no JSON object)")
    return value


def set_aside(path: Path, *beside: str) -> Path:
    """Rename a damaged file, and those beside it with these endings, so that a new one can be made; its new name."""
    kept = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
    for ending in ("", *beside):
        file = path.with_name(path.name + ending)
        if file.exists():
            file.rename(kept.with_name(kept.name + ending))
    return kept
