"""Find the line of each value of a JSON text, so that a problem names the place that a person must edit."""

import json
import re

type JsonPath = tuple[str | int, ...]
"""The names of members and the numbers of entries (from 0) that lead to a value."""

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def lines_of(text: str) -> dict[JsonPath, int]:
    """Return the line (from 1) in which each value of a valid JSON text begins."""
    found: dict[JsonPath, int] = {}
    path: list[str | int] = []
    is_name, line, at = False, 1, 0
    for match in _PIECE.finditer(text):
        line, at = line + text.count("\n", at, match.start()), match.start()
        piece = match[0]
        if piece in "}]":
            path.pop()
        elif piece == ",":
            last = path[-1]
            is_name = isinstance(last, str)
            path[-1] = last if isinstance(last, str) else last + 1
        elif piece == ":":
            is_name = False
        elif is_name:
            path[-1] = str(json.loads(piece))
        else:
            found.setdefault(tuple(path), line)
            if piece in "{[":
                path.append("" if piece == "{" else 0)
                is_name = piece == "{"
    return found


def line_of(lines: dict[JsonPath, int], path: JsonPath) -> int:
    """Return the line of a value; of a missing one, the line of the object or list that lacks it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)
