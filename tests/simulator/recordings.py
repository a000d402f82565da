"""Recorded traffic: conversations of exchanges, and whether the simulator serves a route."""

import json
import lzma
import re
from functools import cache
from pathlib import Path
from typing import Any

from local.fabric_simulator import routes
from local.fabric_simulator.http import ApiError

Exchange = dict[str, Any]
Conversation = dict[str, Any]
GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
OPERATION = re.compile(rf"/v1/operations/({GUID.pattern})(/result)?")
_ANY_ID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"


def read(file: Path) -> list[Any]:
    """Return the records of a file of JSON lines, which may be compressed with xz."""
    lines = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
    return [json.loads(line) for line in lines.splitlines() if line.strip()]


def conversations(file: Path) -> list[Conversation]:
    """Return the conversations of a file; a line that is one exchange is a conversation of one."""
    rows = read(file)
    return [row if "exchanges" in row else {"name": row["cassette"], "exchanges": [row]} for row in rows]


def route_of(exchange: Exchange) -> str:
    """Return the method and the path, with ids as `{id}` and without the query."""
    return f"{exchange['method']} {GUID.sub('{id}', exchange['path'].partition('?')[0])}"


@cache
def is_served(route: str) -> bool:
    """Return True if the simulator serves the method and path template."""
    method, _, path = route.partition(" ")
    try:
        routes.find(method, path.replace("{id}", _ANY_ID))
    except ApiError:
        return False
    return True
