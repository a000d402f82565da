"""Checks that the values in the Bicep files match their places: Azure's types, and the modules' parameters.

They find the errors of types that can be found without the compiler: in literals, names, parameters, and the outputs of
a resource or a module. Of a composed text they know only that it is a text.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from os.path import dirname, join, normpath

from tree_sitter import Node

from tests.infra.azure_types import Shape, kind_of, known, shape_at
from tests.infra.bicep import Declaration, Infra, Source, at, properties, read, reads, sources, text_of, written

_OF_BICEP = {"parent", "scope", "dependsOn"}
"""Properties that every resource may have besides those of its type."""
_LITERALS = {"string": "string", "number": "int", "boolean": "bool", "object": "object", "array": "array"}
_FUNCTIONS = {
    **dict.fromkeys(("guid", "loadTextContent", "string", "subscriptionResourceId"), "string"),
    **dict.fromkeys(("toLower", "uniqueString"), "string"),
    "empty": "bool",
}


@dataclass(frozen=True)
class _Place:
    """The place of an expression: its file among the others, what its names mean, and how to name it in a finding."""

    source: Source
    modules: dict[str, Source]
    loops: dict[str, Node]
    says: str

    def below(self, name: str) -> "_Place":
        return replace(self, says=f"{self.says}.{name}")


def types(files: Infra) -> Iterator[str]:
    """Check for a property that is unknown, missing or read-only, and for a value of another kind or outside its
    list."""
    parsed = sources(files)
    for name, source in parsed.items():
        targets = {m.name: parsed.get(normpath(join(dirname(name), m.type))) for m in source.of("module").values()}
        modules = {module: target for module, target in targets.items() if target is not None}
        for each in source.of("resource", "module").values():
            place = _Place(source, modules, _loops(each, source), f"{name}:{each.line}: {each.name}")
            if each.kind == "module" and each.name in modules:
                takes = {p.name: _declared(p) for p in modules[each.name].of("param").values()}
                yield from _misfits(at(each.body, "params"), {"has": takes}, place)
            elif each.type in known():
                yield from _misfits(each.body, _as_declared(known()[each.type], each), place)
            elif each.kind == "resource":
                yield f"{place.says}: azure_types.json has no {each.type}: azure_types.py describes how to add it"
        for symbol, path, line in reads(source):
            of = source.of("resource")[symbol].type
            if shape_at(known().get(of), path) is None:
                yield f"{name}:{line}: {of} has no output {'.'.join(path)}"


def _as_declared(shape: Shape, resource: Declaration) -> Shape:
    """Check what a declaration in Bicep may and must contain for a type."""
    more = {"has": {**dict.fromkeys(_OF_BICEP, "any"), **shape["has"]}}
    return {**shape, **more, "required": [] if resource.is_existing else shape.get("required", [])}


def _declared(declaration: Declaration) -> Shape:
    """Return the shape of a parameter or an output."""
    kind = written(next((c for c in declaration.node.children if c.type == "type"), None))
    return {"array": {"items": "any"}, "object": {"has": {}, "more": "any"}}.get(kind, kind)


def _misfits(node: Node | None, shape: Shape, place: _Place) -> Iterator[str]:
    """Yield what does not match, for every value that the expression may have."""
    if shape is None:
        yield f"{place.says}: azure_types.json does not cover it; azure_types.py describes how to add it"
        return
    wanted = kind_of(shape)
    for value in [] if node is None else _values(node, place):
        kind = _kind(value, place)
        if kind not in ("", wanted) and wanted != "any":
            yield f"{place.says} is {kind}, not {wanted}"
        elif value.type == "object" and wanted == "object":
            yield from _misfits_of_object(value, shape, place)
        elif value.type in ("array", "for_statement") and wanted == "array":
            for item in value.named_children if value.type == "array" else value.named_children[-1:]:
                yield from _misfits(item, shape["items"], place)
        elif value.type == "string" and wanted == "string":
            yield from _misfits_of_text(value, shape, place)


def _misfits_of_text(node: Node, shape: Shape, place: _Place) -> Iterator[str]:
    if (
        isinstance(shape, dict)
        and "one_of" in shape
        and "${" not in written(node)
        and text_of(node) not in shape["one_of"]
    ):
        yield f"{place.says} is {text_of(node)!r}, not one of {shape['one_of']}"


def _misfits_of_object(node: Node, shape: Shape, place: _Place) -> Iterator[str]:
    given = properties(node)
    if "cases" in shape:
        case = text_of(given.get(shape["by"]))
        if case not in shape["cases"]:
            yield f"{place.says}.{shape['by']} is {case!r}, not one of {sorted(shape['cases'])}"
            return
        shape = {**shape["cases"][case], "has": shape["has"] | shape["cases"][case]["has"]}
    for name, value in given.items():
        if name in shape.get("read_only", ()):
            yield f"{place.says}.{name} can only be read"
        elif name in shape["has"] or "more" in shape:
            yield from _misfits(value, shape["has"].get(name, shape.get("more")), place.below(name))
        else:
            yield f"{place.says} has no property {name}"
    yield from (f"{place.says} lacks {name}" for name in shape.get("required", ()) if name not in given)


def _values(node: Node, place: _Place) -> Iterator[Node]:
    """Return the possible values of a condition, a variable, a loop's variable or a union, or the expression itself."""
    variables = place.source.of("var")
    first = node.named_children[0] if node.named_children else node
    if node.type == "ternary_expression":
        for branch in node.named_children[1:]:
            yield from _values(branch, place)
    elif node.type == "identifier" and written(node) in variables:
        yield from _values(variables[written(node)].value, place)
    elif node.type == "member_expression" and written(first) in place.loops:
        items = [properties(item) for item in place.loops[written(first)].named_children]
        yield from (item[written(node.named_children[1])] for item in items if item)
    elif node.type == "call_expression" and written(first) in ("concat", "union"):
        for argument in node.named_children[1].named_children:
            yield from _values(argument, place)
    elif node.type != "comment":
        yield node


def _loops(each: Declaration, source: Source) -> dict[str, Node]:
    """Return the variable of a resource's loop with its objects, if the list is in the same file."""
    loop = next((c for c in each.node.children if c.type == "for_statement"), None)
    names = [] if loop is None else [written(n) for n in loop.named_children if n.type == "identifier"]
    over = source.of("var").get(names[-1]) if len(names) == 2 else None
    return {} if over is None else {names[0]: over.value}


def _kind(node: Node, place: _Place) -> str:
    """Return the kind of an expression, or an empty text if it is unknown."""
    if node.type == "call_expression":
        return _FUNCTIONS.get(written(node.named_children[0]), "")
    if node.type == "identifier" and written(node) in place.source.of("param"):
        return kind_of(_declared(place.source.of("param")[written(node)]))
    symbol, path = read(node)
    shape: Shape = "any"
    if path and symbol in place.source.of("resource"):
        shape = shape_at(known().get(place.source.of("resource")[symbol].type), path)
    elif len(path) == 2 and symbol in place.modules:
        output = place.modules[symbol].of("output").get(path[1])
        shape = "any" if output is None else _declared(output)
    kind = "any" if shape is None else kind_of(shape)
    return _LITERALS.get(node.type, "" if kind == "any" else kind)
