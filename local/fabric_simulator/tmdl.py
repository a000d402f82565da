"""A semantic model's two formats: TMDL, text with indentation, and TMSL, JSON.

Source: three recorded models that were sent as TMDL and read as TMSL. The rules are those of the language, not a full
implementation: objects with names, properties, annotations, expressions. A model that uses more is converted as far as
they reach (synthetic).
"""

import json
import re
from typing import Any

Node = dict[str, Any]
MANY = {
    "table": "tables", "column": "columns", "partition": "partitions", "measure": "measures", "role": "roles",
    "annotation": "annotations", "relationship": "relationships", "hierarchy": "hierarchies", "level": "levels",
    "expression": "expressions", "cultureInfo": "cultures", "perspective": "perspectives",
    "tablePermission": "tablePermissions", "member": "members", "dataSource": "dataSources",
}  # fmt: skip
"""An object's word in TMDL, and its list in TMSL."""
_OBJECT = re.compile(r"(\w+) ('(?:[^']|'')*'|[^\s=]+)(?:\s*=\s*(.*))?$")
_PROPERTY = re.compile(r"(\w+):\s*(.*)$")
_NUMBERS = {"compatibilityLevel", "ordinal"}


def to_tmsl(files: dict[str, str]) -> str:
    """Return the TMDL files of a model, by path, as one TMSL document."""
    database: Node = {}
    model: Node = {}
    for path, text in sorted(files.items()):
        tree = _tree(text.replace("\r\n", "\n").split("\n"))
        for line, inner in tree:
            word = line.split(" ")[0].rstrip(":")
            if word == "database":
                _fill(database, inner)
            elif word == "model":
                _fill(model, inner)
            elif (word in MANY and not (word == "annotation" and "model" in path)) or word == "annotation":
                _add(model, line, inner)
    return json.dumps({**database, "model": dict(sorted(model.items()))}, indent=2, ensure_ascii=False)


Tree = list[tuple[str, list[Any]]]


def _tree(lines: list[str]) -> Tree:
    """Return the lines with those that are indented further below each; a block of an expression keeps its text."""
    tree: Tree = []
    i = 0
    while i < len(lines):
        if not lines[i].strip():
            i += 1
            continue
        depth, end = _depth(lines[i]), i + 1
        while end < len(lines) and (not lines[end].strip() or _depth(lines[end]) > depth):
            end += 1
        line, inner = lines[i].strip(), lines[i + 1 : end]
        if re.fullmatch(r"(source|expression)\s*=", line):
            tree.append((line, _block(inner)))
        elif re.fullmatch(r"(measure|expression) .*=", line):
            tree.append((line, _expression(inner, depth)))
        else:
            tree.append((line, list(_tree(inner))))
        i = end
    return tree


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip("\t "))


def _block(lines: list[str]) -> list[str]:
    full = [line for line in lines if line.strip()]
    depth = min((_depth(line) for line in full), default=0)
    return [line[depth:] for line in full]


def _expression(lines: list[str], depth: int) -> list[Any]:
    """Return the lines of an object's expression as texts, and its properties, which are indented less, as a tree."""
    properties = [line for line in lines if line.strip() and _depth(line) == depth + 1]
    text = [line for line in lines if line not in properties]
    if not any(line.strip() for line in text):
        return list(_block(lines))
    return [*_block(text), *_tree(properties)]


def _fill(node: Node, inner: list[Any]) -> None:
    """Add what stands below an object to it."""
    for line, below in inner:
        found, given = _OBJECT.fullmatch(line), _PROPERTY.fullmatch(line)
        if given:
            node[given[1]] = _value(given[1], given[2])
        elif line.startswith("source"):
            node["source"] = {"expression": below, "type": node.pop("_kind", "m")}
        elif line.startswith("expression"):
            node["expression"] = below
        elif found and found[1] in MANY:
            _add(node, line, below)
        elif below:
            node[line] = {}
            _fill(node[line], below)
        elif not found:
            node[line] = True
    node.pop("_kind", None)


def _add(node: Node, line: str, inner: list[Any]) -> None:
    found = _OBJECT.fullmatch(line)
    if found is None or found[1] not in MANY:
        return
    own: Node = {"name": found[2].strip("'").replace("''", "'")}
    if found[1] == "annotation":
        own["value"] = found[3] or ""
    elif found[1] == "partition":
        own["_kind"] = (found[3] or "m").strip()
        _fill(own, inner)
    elif found[3] is not None:
        own["expression"] = found[3] or [text for text in inner if isinstance(text, str)]
        _fill(own, [below for below in inner if not isinstance(below, str)])
    else:
        _fill(own, inner)
    node.setdefault(MANY[found[1]], []).append({"name": own.pop("name"), **dict(sorted(own.items()))})


def _value(name: str, text: str) -> Any:
    if name in _NUMBERS and text.isdecimal():
        return int(text)
    return {"true": True, "false": False}.get(text, text)
