"""Read YAML as PyYAML's safe loader does, keep the file and line of each value, and report all problems at once."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any, cast

import yaml
from yaml.constructor import SafeConstructor
from yaml.reader import ReaderError

from shared.domain.errors import Problem, Problems
from shared.domain.text import HALF_CHARACTER, MAX_INTEGER_BITS
from shared.repository.parsed import NOT_YAML

MAX_NODES = 200_000
"""Values of a document, each alias counted as its full content."""
_MAX_DEPTH = 50
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Marked:
    """A value with its place (`file:line`). Exactly one of `rows` and `members` is set for a list and a mapping."""

    scalar: Any
    place: str
    rows: "list[Marked] | None" = None
    members: "dict[str, Marked] | None" = None
    keys: dict[str, str] = field(default_factory=dict[str, str])
    """The place of each key of a mapping."""

    @property
    def value(self) -> Any:
        """Return the plain value."""
        if self.rows is not None:
            return [each.value for each in self.rows]
        if self.members is not None:
            return {key: each.value for key, each in self.members.items()}
        return self.scalar

    @property
    def text(self) -> str | None:
        """Return the value if it is a text."""
        return self.scalar if isinstance(self.scalar, str) else None

    @property
    def what(self) -> str:
        """Return the value's type for messages, such as `a list`; an empty value is named as empty."""
        if self.rows is not None:
            return "a list" if self.rows else "an empty list"
        if self.members is not None:
            return "a mapping"
        names: dict[type[Any], str] = {
            str: "a text" if (self.text or "").strip() else "an empty text",
            bool: "a boolean",
            int: "a number",
            float: "a number",
            type(None): "an empty value",
        }
        kind: type[Any] = type(self.scalar)  # pyright: ignore[reportUnknownVariableType] - any scalar of YAML
        return names.get(kind, "another value")

    def get(self, key: str) -> "Marked | None":
        """Return the member of a mapping."""
        return (self.members or {}).get(key)

    def __iter__(self) -> Iterator["Marked"]:
        return iter(self.rows or [])


def load(text: str, name: str, problems: Problems, *, is_lenient: bool = False) -> Marked | None:
    """Return the value of a YAML document; None if it is empty or cannot be read, which is then a problem.

    A key that appears twice is a problem; so is one that is not a text, and a value that JSON does not have (a date,
    for example). Unless `is_lenient`, keys that differ only by the case of their letters are problems too, and merge
    keys (<<).
    """
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)  # reads the whole text for characters that YAML does not allow
        root = loader.get_single_node()
        if root is None:
            problems.append(Problem(name, "is empty; remove the file, or write the parameters into it"))
            return None
        return _Reader(name, problems, loader, is_lenient).read(root, 0)
    except _TooLargeError as error:
        problems.append(Problem(name, str(error)))
    except ReaderError as error:
        place = f"{name}:{text.count('\n', 0, error.position) + 1}"
        problems.append(Problem(place, f"contains the character U+{error.character:04X}, which YAML does not allow"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark is not None else name
        what = str(getattr(error, "problem", None) or error).split("\n")[0]
        problems.append(Problem(place, f"is not valid YAML: {what}{tab_hint(what)}"))
    except (ValueError, RecursionError, OverflowError) as error:
        problems.append(Problem(name, f"is not valid YAML: {str(error).splitlines()[0][:200]}"))
    finally:
        if loader is not None:
            loader.dispose()
    return None


def tab_hint(problem: str) -> str:
    """Return what to do about a problem of YAML that is a tab; empty for any other."""
    return "; indent with spaces, not with tabs" if r"'\t'" in problem else ""


class _TooLargeError(Exception):
    """The document expands to more values than any file of parameters has."""


class _Reader:
    def __init__(self, name: str, problems: Problems, constructor: SafeConstructor, is_lenient: bool) -> None:
        self._name, self._problems, self._constructor, self._count = name, problems, constructor, 0
        self._is_lenient = is_lenient

    def read(self, node: yaml.Node, depth: int) -> Marked:
        self._count += 1
        if self._count > MAX_NODES or depth > _MAX_DEPTH:
            raise _TooLargeError(f"contains more than {MAX_NODES} values, or more than {_MAX_DEPTH} levels")
        place = f"{self._name}:{node.start_mark.line + 1}"
        if isinstance(node, yaml.SequenceNode):
            rows = cast(list[yaml.Node], node.value)
            return Marked(None, place, rows=[self.read(each, depth + 1) for each in rows])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, depth)
        return Marked(self._scalar(node, place), place)

    def _mapping(self, node: yaml.MappingNode, place: str, depth: int) -> Marked:
        members: dict[str, Marked] = {}
        keys: dict[str, str] = {}
        folded: dict[str, str] = {}
        own: set[str] = set()
        for key_node, value_node in cast(list[tuple[yaml.Node, yaml.Node]], node.value):
            at = f"{self._name}:{key_node.start_mark.line + 1}"
            if key_node.tag == _MERGE and self._is_lenient:
                merged = self._merged(value_node, at, depth)
                members, keys = {**(merged.members or {}), **members}, {**merged.keys, **keys}
                continue
            if key_node.tag == _MERGE:
                self._problems.append(Problem(at, "merge keys (<<) are not supported; write the keys out"))
                continue
            key = self._scalar(key_node, at) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                self._problems.append(Problem(at, f"the key {str(key)[:64]!r} is not a text; quote it"))
                continue
            other = folded.setdefault(key if self._is_lenient else key.lower(), key)
            if other != key or key in own:
                twice = "appears twice" if other == key else f"differs from {other!r} only by the case of letters"
                self._problems.append(Problem(at, f"the key {key[:64]!r} {twice}; keep one of them"))
            own.add(key)
            members[key], keys[key] = self.read(value_node, depth + 1), at
        return Marked(None, place, members=members, keys=keys)

    def _merged(self, node: yaml.Node, place: str, depth: int) -> Marked:
        """Return the members of a merge key's mapping, or of its list of mappings, whose first one has precedence."""
        value = self.read(node, depth + 1)
        rows = value.rows if value.rows is not None else [value]
        members: dict[str, Marked] = {}
        keys: dict[str, str] = {}
        for row in reversed(rows):
            if row.members is None:
                self._problems.append(Problem(place, "the key << merges a mapping or a list of mappings"))
            members, keys = {**members, **(row.members or {})}, {**keys, **row.keys}
        return Marked(None, place, members=members, keys=keys)

    def _scalar(self, node: yaml.Node, place: str) -> Any:
        try:
            value: Any = self._constructor.construct_object(node, deep=True)  # pyright: ignore[reportUnknownMemberType] - PyYAML's stub
        except yaml.YAMLError:
            raise
        except NOT_YAML:  # as a month 13, or `!!bool maybe`
            what = f"cannot be read as YAML's type {node.tag.rpartition(':')[2]}; quote it to make it a text"
            self._problems.append(Problem(place, f"{str(node.value)[:64]!r} {what}"))
            return str(node.value)
        if isinstance(value, date) or not isinstance(value, str | int | float | bool | None):
            what = "is a date" if isinstance(value, date) else "is not a text, number, boolean or empty"
            self._problems.append(Problem(place, f"{str(value)[:64]!r} {what}; quote it to make it a text"))
            return str(value)
        if isinstance(value, float) and not math.isfinite(value):
            self._problems.append(Problem(place, f"{value} is not a finite number; quote it to make it a text"))
        if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:  # as 0x..., which Python cannot print
            self._problems.append(Problem(place, "is an integer too large for any field; quote it to make it a text"))
            return 0
        return self._joined(value, place) if isinstance(value, str) and HALF_CHARACTER.search(value) else value

    def _joined(self, text: str, place: str) -> str:
        """Return a text whose characters are written in two halves, as JSON escapes them ("\\ud83d\\ude00"); one half
        alone is a problem."""
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            code = f"U+{ord(HALF_CHARACTER.findall(text)[0]):04X}"
            self._problems.append(Problem(place, f"contains {code}, which is half a character; write the whole one"))
            return text
