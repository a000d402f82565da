"""Regular expressions in the syntax of Python's `re`, for the library `regex`, which can stop one that never ends.

`regex` reads some texts in another way, which are plain characters to `re`: `{s}` and `{e<=1}` permit errors before
them, and `[[:alpha:]]` is a class. fabric-cicd uses `re`, so these characters are escaped.
"""

import re

_QUANTIFIER = re.compile(r"\{(?:[0-9]+(?:,[0-9]*)?|,[0-9]*)\}")
_NAMED_CHARACTER = re.compile(r"\\N\{[^}]*\}")
_COMMENT, _REST_OF_LINE = re.compile(r"\(\?#[^)]*\)"), re.compile(r"#.*")
_CLASS_START = re.compile(r"\[\^?\]?")
_VERBOSE = re.compile(r"\(\?[a-zA-Z]*x[a-zA-Z]*(?:-[a-z]+)?[:)]")


def for_regex(pattern: str) -> str:
    """Return the expression with which `regex` finds what `re` finds with a valid `pattern`."""
    whole = [_NAMED_CHARACTER, _QUANTIFIER, _COMMENT, *([_REST_OF_LINE] if _VERBOSE.search(pattern) else [])]
    found: list[str] = []
    at, is_class = 0, False
    while at < len(pattern):
        wholes = [_NAMED_CHARACTER] if is_class else whole
        match = next((match for each in wholes if (match := each.match(pattern, at))), None)
        start = None if is_class else _CLASS_START.match(pattern, at)
        if match:
            piece = match[0]
        elif pattern[at] == "\\":
            piece = pattern[at : at + 2]
        elif start:
            piece, is_class = start[0], True
        else:
            piece = pattern[at]
            is_class = is_class and piece != "]"
        is_plain = piece == ("[" if is_class and not start else "{")
        found.append(f"\\{piece}" if is_plain else piece)
        at += len(piece)
    return "".join(found)
