"""Parses the text of a manifest (JSON or YAML) to plain JSON values, within limits against hostile text."""

import codecs
import json
import math
import re
from collections.abc import Mapping
from typing import Any, cast

import yaml

from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.fields import child
from shared.domain.text_limits import (
    ENVELOPE_VALUES,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
    TOO_DEEP,
    TOO_MANY,
    RefusedError,
)
from shared.domain.yaml_text import read_yaml

MAX_INTEGER_BITS = 1024
"""YAML's 0x... makes integers that Python then refuses to print."""
HALF_CHARACTER = re.compile("[\ud800-\udfff]")
"""A surrogate without its other half: JSON and YAML can name it, and no file or request can contain it."""
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters except tab and line ends, and lone surrogates."""


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise RefusedError(f"the key {key[:64]!r} appears twice; keep one")
        data[key] = value
    return data


def _no_constant(word: str) -> None:
    raise RefusedError(f"{word} is not a JSON number")


def counted(number: int, one: str) -> str:
    """Return a number with its noun: `1 item`, `2 items`."""
    return f"{number} {one}{'' if number == 1 else 's'}"


def utf8(content: bytes) -> str:
    """Return the text, without a byte order mark. Raises InvalidInputError, which names UTF-16 and UTF-32."""
    encoding, head = json.detect_encoding(content), content[:64]
    is_wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or 4 * head.count(0) >= len(head)
    if (
        content and is_wide and not encoding.startswith("utf-8")
    ):  # one U+0000 alone is a character that may not be there
        raise _invalid("$", f"is {encoding.upper()[:6]} text; write it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid("$", f"is not UTF-8 text (byte {error.start}); write it as UTF-8") from None


def parse(text: str, *, may_be_enclosed: bool = False) -> Any:
    """Return the value of a JSON or YAML text. Raises InvalidInputError, with the line if the parser names it.

    `may_be_enclosed`: the manifest may be inside an envelope, whose own level and values are not counted, because a
    manifest that is accepted by itself must be accepted in an envelope too.
    """
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_BYTES:
        raise _invalid("$", f"is {size} bytes; at most {MAX_BYTES} are accepted")
    try:
        value = _parse(text)
    except RefusedError as error:
        raise _invalid("$", str(error)) from None
    except RecursionError:
        raise _invalid("$", TOO_DEEP) from None
    problems = Problems()
    if may_be_enclosed:
        _Walk(problems, -ENVELOPE_VALUES).visit(value, "$", -1)
    else:
        _Walk(problems).visit(value, "$", 0)
    if problems:
        raise InvalidInputError(problems)
    return value


def _parse(text: str) -> Any:
    if text.lstrip().startswith(("{", "[")):
        try:
            return json.loads(text, object_pairs_hook=_unique_pairs, parse_constant=_no_constant)
        except RefusedError:
            raise
        except ValueError as error:
            json_error = str(error)
    else:
        json_error = ""
    try:
        return read_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        what = json_error or str(getattr(error, "problem", None) or "cannot be read").split("\n")[0]
        hint = "; indent with spaces, not with tabs" if r"'\t'" in what else ""
        raise _invalid("$", f"is neither JSON nor YAML: {what}{where}{hint}") from None
    except RefusedError:
        raise
    # PyYAML on an escape such as \UFFFFFFFF.
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise _invalid("$", f"is not valid YAML: {str(error).splitlines()[0][:200]}") from None


def _invalid(path: str, message: str) -> InvalidInputError:
    return InvalidInputError([Problem(path, message)])


class _Walk:
    """Check that a parsed document is plain JSON within the limits, with printable text."""

    def __init__(self, problems: Problems, count: int = 0) -> None:
        self.problems = problems
        self.count = count

    def visit(self, value: Any, path: str, depth: int) -> None:
        self.count += 1
        if self.count > MAX_VALUES or depth > MAX_DEPTH:
            raise _invalid("$", TOO_MANY if self.count > MAX_VALUES else TOO_DEEP)
        if isinstance(value, str):
            self.text(value, path)
        elif isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
            self.problems.append(Problem(path, "is an integer too large for any field"))
        elif isinstance(value, float):
            if not math.isfinite(value):
                self.problems.append(Problem(path, "must be a finite number; quote it to make it a string"))
        elif isinstance(value, Mapping):
            for key, member in cast(Mapping[str, Any], value).items():
                self.text(key, child(path, key))
                self.visit(member, child(path, key), depth + 1)
        elif isinstance(value, list):
            for i, item in enumerate(cast(list[Any], value)):
                self.visit(item, f"{path}[{i}]", depth + 1)

    def text(self, value: str, path: str) -> None:
        if found := _FORBIDDEN.search(value):
            code = f"U+{ord(found[0]):04X}"
            self.problems.append(Problem(path, f"contains the character {code}, which no name or text may have"))
