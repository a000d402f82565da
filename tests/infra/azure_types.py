"""Azure's own types, as far as infra/ uses them: `azure_types.json`, for each resource type at its version.

Taken from the definitions that the Bicep compiler itself uses (github.com/Azure/bicep-types-az, MIT licence). After a
change that it does not cover, with a clone of that repository (`--depth 1` is enough): `python -m
tests.infra.azure_types CLONE`.
"""

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tree_sitter import Node

from tests.infra.bicep import Source, infra, reads, sources, text_of, written

_FILE = Path(__file__).with_suffix(".json")
_REQUIRED, _READ_ONLY = 1, 2

type Shape = Any
"""`string`, `int`, `bool`, `any`; an object with `is` (one of the former) and its limits, `one_of` (texts), `items` (of
a list), `has` (properties) or `cases` (by the text of the property `by`); or null: it exists and is not examined."""
LIMITS = ("minLength", "maxLength", "pattern", "minValue", "maxValue")
"""The limits of texts (characters) and numbers."""


@cache
def known() -> dict[str, Shape]:
    """Return the shape of each resource type."""
    return json.loads(_FILE.read_text())


def shape_at(shape: Shape, path: tuple[str, ...]) -> Shape:
    """Return the shape at that path, or null if nothing is known of it. A list counts as its items."""
    for name in path:
        while isinstance(shape, dict) and "items" in shape:
            shape = shape["items"]
        if not isinstance(shape, dict):
            return shape
        shape = shape.get("has", {}).get(name, shape.get("more"))
    return shape


def kind_of(shape: Shape) -> str:
    """Return the kind that an expression must have for this shape."""
    if isinstance(shape, str):
        return shape
    if "is" in shape:
        return shape["is"]
    return "string" if "one_of" in shape else "array" if "items" in shape else "object"


class _Extract:
    """Extracts from one file of definitions the shapes at some paths."""

    def __init__(self, definitions: list[dict[str, Any]], paths: set[tuple[str, ...]]) -> None:
        self._definitions = definitions
        self._paths = {path[: n + 1] for path in paths for n in range(len(path))}

    def shape(self, at: int, path: tuple[str, ...] = ()) -> Shape:
        """Return the definition with that number, as far as the path reaches it."""
        it = self._definitions[at]
        match it["$type"]:
            case "ObjectType":
                return self._object(it, path)
            case "DiscriminatedObjectType":
                cases = {name: self.shape(_number(ref), path) for name, ref in it["elements"].items()}
                base = self._object({"properties": it["baseProperties"]}, path)
                return {"by": it["discriminator"], "has": base["has"], "cases": cases}
            case "ArrayType":
                return {"items": self.shape(_number(it["itemType"]), path)}
            case "UnionType":
                parts = [self._definitions[_number(ref)] for ref in it["elements"]]
                return {"one_of": [p["value"] for p in parts if p["$type"] == "StringLiteralType"]}
            case "StringLiteralType":
                return {"one_of": [it["value"]]}
            case other:
                kind = {"StringType": "string", "IntegerType": "int", "BooleanType": "bool"}.get(other, "any")
                limits = {name: it[name] for name in LIMITS if name in it}
                return {"is": kind, **limits} if limits else kind

    def _object(self, it: dict[str, Any], path: tuple[str, ...]) -> Shape:
        found: dict[str, Any] = {"has": {}}
        for name, prop in it.get("properties", {}).items():
            inner = (*path, name)
            found["has"][name] = self.shape(_number(prop["type"]), inner) if inner in self._paths else None
            for flag, key in ((_REQUIRED, "required"), (_READ_ONLY, "read_only")):
                if prop["flags"] & flag:
                    found.setdefault(key, []).append(name)
        if "additionalProperties" in it:
            found["more"] = self.shape(_number(it["additionalProperties"]), (*path, "*"))
        return found


def _extract(clone: Path) -> dict[str, Shape]:
    """Extract what the files use of every resource type that they name."""
    paths: dict[str, set[tuple[str, ...]]] = {}
    for source in sources(infra()).values():
        for each in source.of("resource").values():
            touched = paths.setdefault(each.type, set())
            touched.update(() if each.body is None else _written_paths(each.body, source))
            touched.update(path for symbol, path, _ in reads(source) if symbol == each.name)
    found: dict[str, Shape] = {}
    for name, touched in sorted(paths.items()):
        namespace, version = name.split("/")[0].lower(), name.split("@")[1]
        for file in sorted(clone.glob(f"generated/*/{namespace}/{version}/types.json")):
            definitions = _definitions(file)
            body = next((d["body"] for d in definitions if d.get("name") == name and "body" in d), None)
            if body is not None:
                found[name] = _Extract(definitions, touched).shape(_number(body))
    return found


@cache
def _definitions(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text())


def _number(ref: dict[str, str]) -> int:
    return int(ref["$ref"].removeprefix("#/"))


def _written_paths(node: Node, source: Source, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if node.type == "object_property" and len(node.named_children) > 1:
        path = (*path, text_of(node.named_children[0]))
        yield path
        node = node.named_children[1]
    elif node.type == "identifier" and written(node) in source.of("var"):
        node = source.of("var")[written(node)].value
    for child in node.named_children:
        yield from _written_paths(child, source, path)


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(shape)}" for name, shape in _extract(Path(sys.argv[1])).items()]
    _FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
