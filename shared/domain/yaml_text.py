"""Reads YAML 1.2 (core schema) to plain values, in linear time, within limits against hostile text."""

import re
from typing import Any, cast

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from shared.domain.text_limits import (
    ENVELOPE_VALUES,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
    TOO_DEEP,
    TOO_LARGE,
    TOO_MANY,
    RefusedError,
)

_MAX_NODES, _DEEPEST_NODE = MAX_VALUES + ENVELOPE_VALUES, 2 * MAX_DEPTH
"""Loose limits on YAML nodes, among which a merge is a level and a value of its own. The built value is counted
exactly."""
_NUMBER_CHARACTERS = 2_000
"""Characters of a number, enough for 1024 bits. Parsing a number takes more than linear time."""
_TAG, _MERGE = "tag:yaml.org,2002:", "<<"
_CORE = {
    "null": re.compile(r"~|null|Null|NULL|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(
        r"[-+]?(?:(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
    ),
}
"""Plain words that are not strings in YAML 1.2 (core schema). PyYAML itself reads YAML 1.1, in which `1:30` is 90,
`010` is 8, `1_000` is 1000 and `no` is false."""
_DISPUTED = re.compile(r"[-+]?0[0-9]+|0o[0-7]+")
"""Integers that YAML 1.1 and 1.2 read differently."""
_BREAKS = re.compile("[\x85\u2028\u2029]")
"""Line ends in YAML 1.1, characters like others in 1.2."""


class _Nodes(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML up to the tree of nodes, with the plain words of YAML 1.2 (core schema), in linear time."""

    _composed = 0

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)

    def fetch_more_tokens(self) -> None:
        super().fetch_more_tokens()  # pyright: ignore[reportUnknownMemberType]
        if self.flow_level + len(self.indents) > _DEEPEST_NODE:  # each token costs PyYAML a look at every open level
            raise RefusedError(TOO_DEEP)

    def scan_directive(self) -> Any:
        token: Any = super().scan_directive()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if token.name == "TAG":  # each tag would be as long as what it stands for
            line = token.start_mark.line + 1
            raise RefusedError(f"the directive %TAG in line {line} has no meaning here; leave it out")
        return token

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._composed += index is not None  # a key has none
        if self._composed > _MAX_NODES:  # checked while it is read, because all of it may take minutes
            raise RefusedError(TOO_MANY)
        return super().compose_node(parent, index)

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and implicit[0]:
            return _TAG + next((name for name, form in _CORE.items() if form.fullmatch(value)), "str")
        return super().resolve(kind, value, implicit)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def read_yaml(text: str) -> Any:
    """Return the value of a YAML document. Raises RefusedError, yaml.YAMLError; and ValueError, TypeError, KeyError or
    OverflowError, which PyYAML raises for an escape such as \\UFFFFFFFF.

    PyYAML's own constructors would silently keep the last of two equal keys, build everything that aliases multiply to,
    and accept types that JSON does not have.
    """
    if found := _BREAKS.search(text):
        line = text.count("\n", 0, found.start()) + 1
        code = f"{ord(found[0]):04X}"
        remedy = f"write \\u{code} in double quotes"
        raise RefusedError(f"contains U+{code} in line {line}, a line end in YAML 1.1 only; {remedy}")
    root = _Nodes(text).get_single_node()
    if root is None:
        return None
    _refuse_multiplied(root)
    return _built(root)


def _built(node: yaml.Node) -> Any:
    kind, line = node.tag.removeprefix(_TAG), node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [_built(each) for each in node.value]
    if isinstance(node, yaml.MappingNode) and kind == "map":
        return _mapping(node)
    if isinstance(node, yaml.ScalarNode) and kind == "str":
        return node.value
    if not isinstance(node, yaml.ScalarNode) or kind not in _CORE or not _CORE[kind].fullmatch(node.value):
        tag = node.tag.replace(_TAG, "!!")[:64]
        raise RefusedError(f"the tag {tag} in line {line} has no meaning here; leave it out, or quote the value")
    return _scalar(kind, node.value, line)


def _mapping(node: yaml.MappingNode) -> dict[str, Any]:
    """Return the fields of a mapping, merged ones first. Its own have precedence, then those merged earlier."""
    merged: dict[str, Any] | None = None
    own: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line, merges = key_node.start_mark.line + 1, key_node.value == _MERGE and key_node.style is None
        key = _built(key_node)
        if not isinstance(key, str):  # numbers as keys can be chosen so that a dictionary takes quadratic time
            raise RefusedError(f"the key {key_node.value[:64]!r} in line {line} is not a string; quote it")
        if key in own or (merges and merged is not None):
            remedy = "merge a list: <<: [*a, *b]" if merges else "keep one"
            raise RefusedError(f"the key {key[:64]!r} appears twice (line {line}); {remedy}")
        if merges:
            merged = _merged(value_node, line)
        else:
            own[key] = _built(value_node)
    return {**(merged or {}), **own}


def _merged(node: yaml.Node, line: int) -> dict[str, Any]:
    value = _built(node)
    found: dict[str, Any] = {}
    for each in reversed(cast(list[Any], value) if isinstance(value, list) else [value]):
        if not isinstance(each, dict):
            raise RefusedError(f"the key << in line {line} merges a mapping or a list of mappings, and nothing else")
        found.update(cast(dict[str, Any], each))
    return found


def _scalar(kind: str, text: str, line: int) -> bool | int | float | None:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if _DISPUTED.fullmatch(text):
        remedy = "write it in decimal digits without a 0 in front, or quote it to make it a string"
        raise RefusedError(f"{text[:64]} in line {line} is a different number in YAML 1.1 and 1.2; {remedy}")
    return int(text, 16 if text.startswith("0x") else 10)


def _refuse_multiplied(root: yaml.Node) -> None:
    """Refuse a document whose expanded text is too large, merged mappings included, before any of it is built."""
    count, size, todo = 1, 0, [(root, 0)]
    while todo:
        node, depth = todo.pop()
        if depth > _DEEPEST_NODE:
            raise RefusedError(TOO_DEEP)
        inside = _inside(node)
        count += len(inside)  # counted here, because waiting nodes take memory too
        if count > _MAX_NODES:
            raise RefusedError(TOO_MANY)
        size += _characters(node)
        if size > MAX_BYTES:
            raise RefusedError(TOO_LARGE)
        todo += [(each, depth + 1) for each in inside]


def _characters(node: yaml.Node) -> int:
    """Return the characters of a node itself, its keys included."""
    if isinstance(node, yaml.MappingNode):
        return sum(len(key.value) for key, _ in node.value)
    return len(node.value) if isinstance(node, yaml.ScalarNode) else 0


def _inside(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return node.value
    if not isinstance(node, yaml.MappingNode):
        _refuse_long_number(node)
        return []
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise RefusedError(f"the key in line {key.start_mark.line + 1} is not a text")
        _refuse_long_number(key)
    return [value for _, value in node.value]


def _refuse_long_number(node: yaml.Node) -> None:
    if node.tag in (f"{_TAG}int", f"{_TAG}float") and len(node.value) > _NUMBER_CHARACTERS:
        line = node.start_mark.line + 1
        raise RefusedError(f"the number in line {line} has {len(node.value)} characters, too many for any field")
