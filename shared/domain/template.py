"""Parses a text under `with` that may contain `${{ steps.<id>.outputs.<name> }}`: into literal pieces and references.

`$${{` stands for the characters `${{` themselves. One pass with str.find: the cost is linear in the text.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

OPENING, CLOSING = "${{", "}}"
ESCAPE = "$"
MAX_REFERENCES = 1_000
"""The limit for one text."""
MAX_REFERENCE = 200
"""Characters between the braces: a step's id and an output's name, with room for spaces."""
FORM = "${{ steps.<step id>.outputs.<output name> }}"
INPUT_FORM = "${{ inputs.<name> }}"

_STEP_OUTPUT = re.compile(r"\s*steps\.([A-Za-z_][A-Za-z0-9_./-]*)\.outputs\.([A-Za-z_][A-Za-z0-9_]*)\s*")
"""A dot or a slash is only in the ids of steps that another step expands to."""


class Expression(NamedTuple):
    """The text between `${{` and `}}`, or after a `${{` that is not closed."""

    inner: str
    is_closed: bool = True

    @property
    def output(self) -> tuple[str, str] | None:
        """Return the step's id and the output's name; None if it is not of the one form."""
        is_short = self.is_closed and len(self.inner) <= MAX_REFERENCE
        found = _STEP_OUTPUT.fullmatch(self.inner) if is_short else None
        return (found[1], found[2]) if found else None

    def __str__(self) -> str:
        return f"{OPENING}{self.inner[:80]}{CLOSING if self.is_closed else ''}"


def parts(text: str) -> Iterator[str | Expression]:
    """Yield the literal pieces and the expressions of a text, in order."""
    start = 0
    while (at := text.find(OPENING, start)) >= 0:
        inside = at + len(OPENING)
        if at > start and text[at - 1] == ESCAPE:
            yield text[start : at - 1] + OPENING
            start = inside
            continue
        yield text[start:at]
        end = text.find(CLOSING, inside)
        if end < 0:
            yield Expression(text[inside:], is_closed=False)
            return
        yield Expression(text[inside:end])
        start = end + len(CLOSING)
    yield text[start:]


def has_reference(value: object) -> bool:
    """Return True if a string holds an expression, so that its final text is not known yet."""
    return isinstance(value, str) and any(isinstance(part, Expression) for part in parts(value))


def escaped(text: str) -> str:
    """Return the template that stands for exactly this text."""
    return text.replace(OPENING, ESCAPE + OPENING)


def filled(text: str, value_of: Callable[[Expression], Any]) -> Any:
    """Return the text with each expression replaced. A text that is one expression becomes its value unchanged."""
    if OPENING not in text:
        return text
    found = [part if isinstance(part, str) else value_of(part) for part in parts(text)]
    is_whole = len(found) == 3 and found[0] == found[2] == "" and text.startswith(OPENING)
    return found[1] if is_whole else "".join(str(each) for each in found)
