"""JSONPath in the grammar of fabric-cicd, which is that of the library jsonpath-ng with its extensions."""

from collections.abc import Callable
from copy import copy
from functools import cache, lru_cache
from typing import Any

from jsonpath_ng.ext.parser import ExtentedJsonPathParser  # pyright: ignore[reportMissingTypeStubs] - it has no types


def problem(path: str) -> str:
    """Return why a text is not a JSONPath; empty if it is one."""
    try:
        _parsed(path)
    except Exception as error:  # the library raises Exception itself
        return str(error).split("\n")[0][:200]
    return ""


def replaced(path: str, data: Any, value: Callable[[], Any]) -> bool:
    """Set what a path finds in JSON data to the value, in place; return True if it finds anything.

    `value` is called once for each match. The root itself cannot be replaced, as in
    fabric-cicd. Raises ValueError if the library cannot follow the path in this data.
    """
    try:
        matches = list(_parsed(path).find(data))
    except Exception as error:  # a filter that compares a text with a number, for example
        raise ValueError(f"the path cannot be followed: {str(error)[:200]}") from None
    for match in matches:
        new = value()
        try:
            match.full_path.update(data, new)
        except Exception as error:
            raise ValueError(f"the value at {match.full_path} cannot be set: {str(error)[:200]}") from None
    return bool(matches)


@lru_cache(maxsize=256)
def _parsed(path: str) -> Any:
    """Return the parsed path. Each call has a parser of its own, because a parser has state and threads parse too."""
    mine = copy(_grammar())
    mine.parser = copy(mine.parser)
    return mine.parse(path)


@cache
def _grammar() -> Any:
    """Return the library's parser; it computes the tables of its grammar, which takes a tenth of a second."""
    return ExtentedJsonPathParser()
