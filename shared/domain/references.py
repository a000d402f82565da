"""References, `${{ steps.<id>.outputs.<name> }}`: the steps that a `with` refers to, and its resolved values."""

from collections.abc import Callable
from typing import Any, cast

from shared.domain.errors import InvalidInputError, Problem
from shared.domain.fields import child, strings
from shared.domain.json import JsonObject
from shared.domain.template import ESCAPE, OPENING, Expression, escaped, filled, has_reference, parts


def referred(value: Any) -> list[str]:
    """Return the ids of the steps that a checked value refers to, each once."""
    found = (part.output for _, text in strings(value, "$") for part in parts(text) if isinstance(part, Expression))
    return list(dict.fromkeys(output[0] for output in found if output is not None))


def resolve(value: Any, lookup: Callable[[str, str], Any], path: str = "$") -> Any:
    """Return the value with every reference replaced, and `${{` where it was written as `$${{`.

    `lookup(step_id, output)` may raise KeyError: then InvalidInputError.
    """

    def value_of(expression: Expression, where: str) -> Any:
        try:
            return lookup(*(expression.output or ("", "")))
        except KeyError:
            problem = Problem(where, f"'{expression}' has no value: that step has no such output")
            raise InvalidInputError([problem]) from None

    return _each(value, lambda text, where: filled(text, lambda found: value_of(found, where)), path)


def substituted(value: Any, lookup: Callable[[str, str], Any]) -> Any:
    """Return the value, still a template, with those references replaced that `lookup` has a value of, not None."""

    def known_or_open(part: str | Expression) -> Any:
        known = lookup(*part.output) if isinstance(part, Expression) and part.output else None
        # With a dollar at its end, the value would escape a reference that follows it.
        return part if known is None or (isinstance(known, str) and known.endswith(ESCAPE)) else known

    def change(text: str, _: str) -> Any:
        if OPENING not in text:
            return text
        found = [known_or_open(part) for part in parts(text)]
        if len(found) == 3 and found[0] == found[2] == "" and not isinstance(found[1], str | Expression):
            return found[1]
        written = literal = ""
        for part in found:
            if isinstance(part, Expression):
                written, literal = f"{written}{escaped(literal)}${{{{{part.inner}}}}}", ""
            else:
                # Values and the words beside them are escaped together, because `${{` may begin in one of them.
                literal += str(part)
        return written + escaped(literal)

    return _each(value, change, "$")


def template_of(value: Any) -> Any:
    """Return the template that stands for exactly this value."""
    return _each(value, lambda text, _: escaped(text), "$")


def readable(value: Any) -> Any:
    """Return the value with its references as they are, and `${{` where it was written as `$${{`."""
    return _each(value, lambda text, _: filled(text, lambda found: f"${{{{{found.inner}}}}}"), "$")


def open_fields(value: JsonObject) -> set[str]:
    """Return the names of those members of a `with` that hold a reference at any depth."""
    return {name for name, member in value.items() if any(has_reference(text) for _, text in strings(member, "$"))}


def _each(value: Any, change: Callable[[str, str], Any], path: str) -> Any:
    """Return the value with each of its strings changed by `change(text, path)`."""
    if isinstance(value, str):
        return change(value, path)
    if isinstance(value, dict):
        return {k: _each(v, change, child(path, k)) for k, v in cast(JsonObject, value).items()}
    if isinstance(value, list):
        return [_each(v, change, f"{path}[{i}]") for i, v in enumerate(cast(list[Any], value))]
    return value
