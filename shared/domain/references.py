"""`${{ steps.<id>.outputs.<name> }}`: what a step says of another step's result."""

import re
from collections.abc import Callable, Iterator
from typing import Any, cast

from shared.domain.errors import InvalidInputError, Problem
from shared.domain.fields import REFERENCE, child
from shared.domain.json import JsonObject

_STEP_OUTPUT = re.compile(r"\s*steps\.([A-Za-z_][A-Za-z0-9_-]*)\.outputs\.([A-Za-z_][A-Za-z0-9_]*)\s*")


def strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every string in a value, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, member in cast(JsonObject, value).items():
            yield from strings(member, child(path, name))
    elif isinstance(value, list):
        for i, item in enumerate(cast(list[Any], value)):
            yield from strings(item, f"{path}[{i}]")


def references(value: Any, path: str, problems: list[Problem]) -> Iterator[tuple[str, str, str]]:
    """Every reference in a value as (path, step id, output name); an expression of another form is a problem."""
    for where, text in strings(value, path):
        for match in REFERENCE.finditer(text):
            parsed = _STEP_OUTPUT.fullmatch(match[1])
            if parsed is None:
                problems.append(
                    Problem(
                        where,
                        f"'${{{{{match[1][:80]}}}}}' is not understood; the one form is "
                        "${{ steps.<step id>.outputs.<output name> }}",
                    )
                )
            else:
                yield where, parsed[1], parsed[2]


def resolve(value: Any, lookup: Callable[[str, str], Any], path: str = "$") -> Any:
    """The value with every reference replaced. `lookup(step_id, output)` may raise KeyError: then InvalidInputError."""
    if isinstance(value, str):
        return _resolve_text(value, lookup, path)
    if isinstance(value, dict):
        return {k: resolve(v, lookup, child(path, k)) for k, v in cast(JsonObject, value).items()}
    if isinstance(value, list):
        return [resolve(v, lookup, f"{path}[{i}]") for i, v in enumerate(cast(list[Any], value))]
    return value


def _resolve_text(text: str, lookup: Callable[[str, str], Any], path: str) -> Any:
    def one(match: re.Match[str]) -> Any:
        parsed = _STEP_OUTPUT.fullmatch(match[1])
        try:
            if parsed is None:
                raise KeyError(match[1])
            return lookup(parsed[1], parsed[2])
        except KeyError:
            problem = Problem(path, f"'{match[0][:120]}' has no value: that step has no such output")
            raise InvalidInputError([problem]) from None

    first = REFERENCE.match(text)
    if first is not None and first.end() == len(text):  # the whole text is one reference: its value keeps its type
        return one(first)
    return REFERENCE.sub(lambda m: str(one(m)), text)
