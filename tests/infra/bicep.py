"""A reader of Bicep without its compiler: what a file declares, what it refers to, and which values it sets.

It uses tree-sitter's grammar, which parses and knows no types; `az bicep build` in CI finds errors of types.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

FOLDER = Path(__file__).resolve().parents[2] / "infra"
_PARSER = Parser(Language(tree_sitter_bicep.language()))
_KINDS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
}

type Infra = dict[str, str]
"""The text of every file of infra/, by its path below that folder."""


@dataclass(frozen=True)
class Declaration:
    """A `param`, `var`, `resource`, `module` or `output`."""

    kind: str
    name: str
    node: Node

    @property
    def line(self) -> int:
        """Return the line number, from 1."""
        return self.node.start_point[0] + 1

    @property
    def type(self) -> str:
        """Return the quoted text after the name: a resource's type and version, or a module's path."""
        return text_of(next((c for c in self.node.children if c.type == "string"), None))

    @property
    def has_default(self) -> bool:
        """Return True if a parameter may be omitted."""
        return any(c.type == "=" for c in self.node.children)

    @property
    def value(self) -> Node:
        """Return the node after the `=`."""
        return self.node.children[-1]

    @property
    def body(self) -> Node | None:
        """Return the object of a resource or a module, also in a loop or under a condition."""
        return next((n for n in walk(self.node) if n.type == "object"), None)

    @property
    def is_existing(self) -> bool:
        """Return True if the resource is referred to and not created."""
        return any(c.type == "existing" for c in self.node.children)


@dataclass(frozen=True)
class Source:
    """A parsed file."""

    root: Node
    declared: tuple[Declaration, ...]

    def of(self, *kinds: str) -> dict[str, Declaration]:
        """Return the declarations of those kinds, by name."""
        return {d.name: d for d in self.declared if d.kind in kinds}


def infra() -> Infra:
    """Return the files as they are."""
    kinds = ("*.bicep", "*.json", "*.kql")
    return {str(f.relative_to(FOLDER)): f.read_text() for kind in kinds for f in sorted(FOLDER.rglob(kind))}


def sources(files: Infra) -> dict[str, Source]:
    """Return the Bicep files, parsed."""
    return {name: parse(text) for name, text in files.items() if name.endswith(".bicep")}


@cache
def parse(text: str) -> Source:
    """Parse a file."""
    root = _PARSER.parse(text.encode()).root_node
    found: list[Declaration] = []
    for node in root.children:
        name = next((c for c in node.children if c.type == "identifier"), None)
        if node.type in _KINDS and name is not None:
            found.append(Declaration(_KINDS[node.type], written(name), node))
    return Source(root, tuple(found))


def walk(node: Node) -> Iterator[Node]:
    """Yield the node and everything below it."""
    yield node
    for child in node.children:
        yield from walk(child)


def written(node: Node | None) -> str:
    """Return the node's text in the file."""
    return "" if node is None or node.text is None else node.text.decode()


def text_of(node: Node | None) -> str:
    """Return a string's content, with interpolations as they are written; or the text of any other node."""
    if node is None or node.type != "string":
        return written(node)
    return written(node)[1:-1]


def properties(node: Node | None) -> dict[str, Node]:
    """Return the properties of an object, by name."""
    found: dict[str, Node] = {}
    for child in [] if node is None else node.children:
        named = [c for c in child.children if c.is_named and c.type != "comment"]
        if child.type == "object_property" and len(named) > 1:
            found[text_of(named[0])] = named[1]
    return found


def at(node: Node | None, path: str) -> Node | None:
    """Return the node at `properties.siteConfig.minTlsVersion`, for example, of an object."""
    for name in path.split("."):
        node = properties(node).get(name)
    return node


def read(node: Node) -> tuple[str, tuple[str, ...]]:
    """Split `a.b[0].c` into `a` and the path `b`, `c`."""
    path: list[str] = []
    while node.type in ("member_expression", "subscript_expression"):
        if node.type == "member_expression":
            path.insert(0, written(node.named_children[1]))
        node = node.named_children[0]
    return written(node), tuple(path)


def reads(source: Source) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """Yield what is read of the resources: the symbol, the path and the line."""
    for node in walk(source.root):
        symbol, path = read(node) if node.type == "member_expression" else ("", ())
        if symbol in source.of("resource"):
            yield symbol, path, node.start_point[0] + 1


def references(root: Node) -> Iterator[tuple[str, Node, frozenset[str]]]:
    """Yield every name that is used: the name, its place, and the names of the loops and lambdas around it."""
    yield from _references(root, frozenset())


def _references(node: Node, scope: frozenset[str]) -> Iterator[tuple[str, Node, frozenset[str]]]:
    children = list(node.children)
    if node.type == "for_statement":
        after = children[[c.type for c in children].index("for") + 1]
        scope |= {written(n) for n in walk(after) if n.child_count == 0}
    elif node.type == "lambda_expression":
        scope |= {written(children[0])}
    if node.type in _KINDS:
        name = next((i for i, c in enumerate(children) if c.type == "identifier"), len(children))
        children = children[name + 1 :]
    elif node.type == "object_property":
        children = children if children[0].type != "identifier" else children[1:]
    elif node.type in ("decorators", "type", "target_scope_assignment"):
        return
    elif node.type == "identifier":
        yield written(node), node, scope
    for child in children:
        yield from _references(child, scope)
