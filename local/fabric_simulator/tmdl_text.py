"""A semantic model in TMSL written as TMDL, Fabric's default format (the published OpenAPI).

Synthetic: no recording shows the TMDL of a model that was sent as TMSL. The files are those of Microsoft's language;
`tmdl.to_tmsl` reads the same model from them.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

from local.fabric_simulator.http import as_object
from local.fabric_simulator.tmdl import MANY, Node

_WORDS = {many: word for word, many in MANY.items()}
_PLAIN = re.compile(r"\w+")
_OWN_FILES = {"tables": "tables", "roles": "roles", "cultures": "cultures", "perspectives": "perspectives"}
"""Lists of a model whose objects have a file each, and the folder of those files."""
_SHARED_FILES = {"relationships": "relationships", "expressions": "expressions", "dataSources": "dataSources"}
"""Lists of a model that are one file."""


def to_tmdl(text: str) -> dict[str, str]:
    """Return the TMDL files of a TMSL document, by path. Everything that is not an object of a model is left out."""
    document = as_object(json.loads(text))
    model = as_object(document.get("model"))
    database = {name: value for name, value in document.items() if name not in ("model", "name", "id")}
    own = {name: value for name, value in model.items() if name not in {*_OWN_FILES, *_SHARED_FILES, "annotations"}}
    lines = ["model Model", *_properties(own, 1)]
    for row in _rows(model, "annotations"):
        lines += ["", *_object("annotation", row, 0)]
    lines += [f"ref {_WORDS[many]} {_quoted(row)}" for many in _OWN_FILES for row in _rows(model, many)]
    files = {"database": ["database", *_properties(database, 1)], "model": lines}
    for many, folder in _OWN_FILES.items():
        for row in _rows(model, many):
            files[f"{folder}/{row.get('name')}"] = list(_object(_WORDS[many], row, 0))
    for many, name in _SHARED_FILES.items():
        objects = [line for row in _rows(model, many) for line in (*_object(_WORDS[many], row, 0), "")]
        files |= {name: objects} if objects else {}
    return {f"definition/{name}.tmdl": "\n".join(each).rstrip("\n") + "\n\n" for name, each in files.items()}


def _rows(node: Node, many: str) -> list[Node]:
    found: Any = node.get(many)
    return [as_object(row) for row in cast(list[Any], found)] if isinstance(found, list) else []


def _quoted(row: Node) -> str:
    name = str(row.get("name"))
    return name if _PLAIN.fullmatch(name) else "'{}'".format(name.replace("'", "''"))


def _object(word: str, row: Node, depth: int) -> Iterator[str]:
    """Yield the lines of an object with a name, and of what is below it."""
    head = f"{'\t' * depth}{word} {_quoted(row)}"
    rest = {name: value for name, value in row.items() if name != "name"}
    if word == "annotation":
        yield f"{head} = {rest.get('value', '')}"
        return
    source = as_object(rest.pop("source", None)) if word == "partition" else {}
    if word == "partition":
        head = f"{head} = {source.get('type', 'm')}"
    elif "expression" in rest:
        text = _text(rest.pop("expression"))
        if len(text) == 1:
            head = f"{head} = {text[0]}"
        else:
            head = "\n".join([f"{head} =", *(f"{'\t' * (depth + 2)}{line}" for line in text)])
    yield head
    yield from _properties(rest, depth + 1)
    if source:
        yield f"{'\t' * (depth + 1)}source ="
        yield from (f"{'\t' * (depth + 3)}{line}" for line in _text(source.get("expression")))


def _properties(node: Node, depth: int) -> Iterator[str]:
    """Yield the lines of properties first, and then those of objects."""
    indent = "\t" * depth
    for name, value in node.items():
        if name in _WORDS and isinstance(value, list):
            continue
        if value is True:
            yield f"{indent}{name}"
        elif isinstance(value, dict):
            yield f"{indent}{name}"
            yield from _properties(as_object(value), depth + 1)
        elif isinstance(value, list):
            yield f"{indent}{name} ="
            yield from (f"{indent}\t\t{line}" for line in _text(value))
        else:
            yield f"{indent}{name}: {'false' if value is False else value}"
    for many in (name for name in node if name in _WORDS):
        for row in _rows(node, many):
            yield ""
            yield from _object(_WORDS[many], row, depth)


def _text(value: Any) -> list[str]:
    """Return an expression, which TMSL has as a text or as a list of its lines."""
    if isinstance(value, list):
        return [str(row) for row in cast(list[Any], value)]
    return ("" if value is None else str(value)).split("\n")
