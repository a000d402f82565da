"""From the text of a manifest (JSON or YAML) to plain JSON values, with every limit that hostile text needs."""

import json
import math
from collections.abc import Mapping
from typing import Any, cast

import yaml

from shared.domain.errors import InvalidInputError, Problem
from shared.domain.fields import child, type_name

MAX_BYTES = 16 * 1024 * 1024
"""A manifest with its packed folders; larger ones are refused before they are parsed."""
MAX_DEPTH = 50
MAX_VALUES = 200_000
"""Values counted as a reader of the expanded document would see them, so that YAML aliases cannot multiply unseen."""
MAX_INTEGER_BITS = 1024
"""YAML's 0x... builds integers that Python then refuses to write down."""
_NUMBER_CHARACTERS = 2_000
"""Of a number as YAML writes it: enough for 1024 bits. To the base 60, to build one takes the square of it in time."""

_ALLOWED_CONTROLS = "\t\n\r"
_TOO_MANY = f"holds more than {MAX_VALUES} values"
_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"
_ENVELOPE_VALUES = 10
"""What an envelope has at most beside the manifest in it, itself counted."""
_MOST_NODES, _DEEPEST_NODE = MAX_VALUES + _ENVELOPE_VALUES, 2 * MAX_DEPTH
"""Of YAML before it is built: loose, for a merge is a level of its own, and what was built is counted exactly."""
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _Refused(ValueError):
    """What neither parser may make something of."""


class _Loader(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys without a word; this one says so. And it builds whatever aliases and
    merges multiply to; this one counts first."""

    _composed = 0

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            _refuse_multiplied(node)
        return node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._composed += index is not None  # a key has none
        if self._composed > _MOST_NODES:  # while it is read: the whole of it may take minutes
            raise _Refused(_TOO_MANY)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag != "tag:yaml.org,2002:merge":
                if key_node.value in seen:
                    line = key_node.start_mark.line + 1
                    raise _Refused(f"the key {key_node.value[:64]!r} appears twice (line {line}); keep one")
                seen.add(key_node.value)
        return cast(dict[Any, Any], super().construct_mapping(node, deep=deep))


def _refuse_multiplied(root: yaml.Node) -> None:
    """Count what a reader of the expanded text would see, merged mappings too, before any of it is built."""
    count, todo = 1, [(root, 0)]
    while todo:
        node, depth = todo.pop()
        if depth > _DEEPEST_NODE:
            raise _Refused(_TOO_DEEP)
        inside = _inside(node)
        count += len(inside)  # here, not when they are taken up: to remember them takes memory too
        if count > _MOST_NODES:
            raise _Refused(_TOO_MANY)
        todo += [(each, depth + 1) for each in inside]


def _inside(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return node.value
    if not isinstance(node, yaml.MappingNode):
        _refuse_long_number(node)
        return []
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _Refused(f"the key in line {key.start_mark.line + 1} is no text")
        _refuse_long_number(key)
    return [value for _, value in node.value]


def _refuse_long_number(node: yaml.Node) -> None:
    if node.tag in _NUMBERS and len(node.value) > _NUMBER_CHARACTERS:
        line = node.start_mark.line + 1
        raise _Refused(f"the number in line {line} has {len(node.value)} characters, too many for any field")


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise _Refused(f"the key {key[:64]!r} appears twice; keep one")
        data[key] = value
    return data


def _no_constant(word: str) -> None:
    raise _Refused(f"{word} is not a JSON number")


def parse(text: str, *, may_be_enclosed: bool = False) -> Any:
    """The value of a JSON or YAML text. Raises InvalidInputError, with a line where the parser knows it.

    `may_be_enclosed`: the manifest may stand in an envelope, whose own level and values are not counted: what is
    accepted by itself must not be refused on its way.
    """
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_BYTES:
        raise _invalid("$", f"is {size} bytes; at most {MAX_BYTES} are accepted")
    try:
        value = _parse(text)
    except _Refused as error:
        raise _invalid("$", str(error)) from None
    except RecursionError:
        raise _invalid("$", _TOO_DEEP) from None
    problems: list[Problem] = []
    if may_be_enclosed:
        _Walk(problems, -_ENVELOPE_VALUES).visit(value, "$", -1)
    else:
        _Walk(problems).visit(value, "$", 0)
    if problems:
        raise InvalidInputError(problems)
    return value


def _parse(text: str) -> Any:
    if text.lstrip().startswith(("{", "[")):
        try:
            return json.loads(text, object_pairs_hook=_unique_pairs, parse_constant=_no_constant)
        except _Refused:
            raise
        except ValueError as error:
            json_error = str(error)
    else:
        json_error = ""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        what = json_error or str(getattr(error, "problem", None) or "cannot be read").split("\n")[0]
        raise _invalid("$", f"is neither JSON nor YAML: {what}{where}") from None
    except _Refused:
        raise
    # PyYAML's constructors on odd dates, numbers and keys.
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise _invalid("$", f"is not valid YAML: {str(error).splitlines()[0][:200]}") from None


def _invalid(path: str, message: str) -> InvalidInputError:
    return InvalidInputError([Problem(path, message)])


class _Walk:
    """Checks that a parsed document is plain JSON of bearable size and printable text."""

    def __init__(self, problems: list[Problem], count: int = 0) -> None:
        self.problems = problems
        self.count = count

    def visit(self, value: Any, path: str, depth: int) -> None:
        self.count += 1
        if self.count > MAX_VALUES or depth > MAX_DEPTH:
            raise _invalid("$", _TOO_MANY if self.count > MAX_VALUES else _TOO_DEEP)
        if isinstance(value, str):
            self.text(value, path)
        elif isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
            self.problems.append(Problem(path, "is an integer too large for any field"))
        elif isinstance(value, float):
            if not math.isfinite(value):
                self.problems.append(Problem(path, "must be a finite number"))
        elif isinstance(value, Mapping):
            for key, member in cast(Mapping[Any, Any], value).items():
                if isinstance(key, str):
                    self.text(key, child(path, key))
                    self.visit(member, child(path, key), depth + 1)
                else:
                    self.problems.append(
                        Problem(path, f"has the key {str(key)[:64]!r}, which is not a string; quote it")
                    )
        elif isinstance(value, list):
            for i, item in enumerate(cast(list[Any], value)):
                self.visit(item, f"{path}[{i}]", depth + 1)
        elif value is not None and not isinstance(value, bool | int):
            kind = type(value).__name__ if type_name(value) == "an object" else type_name(value)
            self.problems.append(Problem(path, f"is a {kind}, which JSON does not have; quote it to make it a string"))

    def text(self, value: str, path: str) -> None:
        for character in value:
            code = ord(character)
            if (code < 32 and character not in _ALLOWED_CONTROLS) or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000:
                self.problems.append(Problem(path, f"holds the character U+{code:04X}, which no name or text may have"))
                return
