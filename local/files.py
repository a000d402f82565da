"""Files that outlive a killed process: write them whole, read them with a check, and set damaged ones aside."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.domain.json import JsonObject, as_object


class DamagedError(Exception):
    """A file does not contain what was written to it; the message names the file."""


def read_object(path: Path) -> JsonObject:
    """Return the JSON object in a file. Raises DamagedError if the file contains anything else, and OSError."""
    try:
        found: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged ({type(error).__name__}: {error})") from None
    value = as_object(found)
    if value is None:
        raise DamagedError(f"{path} is damaged (it does not contain a JSON object)")
    return value


def write_object(path: Path, value: Mapping[str, object]) -> None:
    """Write a JSON object that only this user may read.

    The file is replaced in one step, because a process that starts after a kill must be able to read it.
    """
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(value, stream, indent=2)
    fresh.replace(path)


def set_aside(path: Path, *beside: str) -> Path:
    """Rename a damaged file, and the files with the same name and these endings; return the new path."""
    kept = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
    for ending in ("", *beside):
        file = path.with_name(path.name + ending)
        if file.exists():
            file.rename(kept.with_name(kept.name + ending))
    return kept
