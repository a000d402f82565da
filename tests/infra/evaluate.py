"""Evaluate the Bicep files without Azure: which resources a deployment would create, with their concrete values.

It knows the part of the language that infra/ uses, and raises EvaluationError for the rest. A value that only Azure
decides (an identity's principal id, an account's address) is a `Runtime` text. `uniqueString` and `guid` return texts
of the right form, which are not Azure's.
"""

import hashlib
import json
import operator as operators
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from posixpath import dirname, join, normpath
from typing import Any

from tree_sitter import Node

from tests.infra.bicep import Declaration, Infra, Source, sources, text_of, written

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-00000000a2b1"
TENANT_ID = "00000000-0000-0000-0000-0000000007e4"

type Value = Any


class EvaluationError(Exception):
    """A file cannot be evaluated; the message says where and why."""


class Runtime(str):
    """A value that Azure decides."""


@dataclass
class Made:
    """One resource: its id, its values, its place in the files, and the module that declares it."""

    type: str
    id: str
    name: str
    body: dict[str, Value]
    place: str
    module: str
    is_existing: bool


@dataclass
class Module:
    """One evaluated file: its values by name, and the modules whose outputs its parameters need."""

    path: str
    name: str
    source: Source
    group: str
    params: dict[str, Value]
    needs: set[str] = field(default_factory=lambda: set[str]())
    values: dict[str, Value] = field(default_factory=lambda: dict[str, Value]())
    busy: set[str] = field(default_factory=lambda: set[str]())


class Evaluation:
    """The evaluation of main.bicep with some parameters. `resources` are those of all modules that are deployed."""

    def __init__(self, files: Infra, parameters: Mapping[str, Value]) -> None:
        self._files, self._sources = files, sources(files)
        self.resources: list[Made] = []
        self.modules: dict[str, Module] = {}
        self._main = Module("main.bicep", "", self._sources["main.bicep"], "", dict(parameters))
        self.outputs = self._run(self._main)

    def _run(self, module: Module) -> dict[str, Value]:
        names = [each.name for each in module.source.declared if each.kind != "output"]
        if twice := [name for name in names if names.count(name) > 1]:
            raise EvaluationError(f"{module.path}: {twice[0]} is declared twice")
        for each in module.source.of("resource", "module").values():
            self._value_of(module, each)
        return {each.name: self._output(module, each) for each in module.source.of("output").values()}

    def _output(self, module: Module, each: Declaration) -> Value:
        try:
            return self._eval(module, each.value, {})
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise EvaluationError(f"{module.path}:{each.line}: {each.name}: {type(error).__name__} {error}") from None

    def _value_of(self, module: Module, each: Declaration) -> Value:
        if each.name in module.values:
            return module.values[each.name]
        place = f"{module.path}:{each.line}: {each.name}"
        if each.name in module.busy:
            raise EvaluationError(f"{place} depends on itself")
        module.busy.add(each.name)
        try:
            found = self._declared(module, each, place)
        except EvaluationError:
            raise
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise EvaluationError(f"{place}: {type(error).__name__} {error}") from None
        finally:
            module.busy.discard(each.name)
        module.values[each.name] = found
        return found

    def _declared(self, module: Module, each: Declaration, place: str) -> Value:
        if each.kind == "param":
            if each.name in module.params:
                return module.params[each.name]
            if not each.has_default:
                raise EvaluationError(f"{place} has no value")
            return self._eval(module, each.value, {})
        if each.kind == "var":
            return self._eval(module, each.value, {})
        build: Callable[[Node, dict[str, Value]], Value] = (
            (lambda body, scope: self._module(module, each, body, scope))
            if each.kind == "module"
            else (lambda body, scope: self._resource(module, each, body, scope, place))
        )
        return self._unfold(module, each.node.children[-1], {}, build)

    def _unfold(
        self, module: Module, node: Node, scope: dict[str, Value], build: Callable[[Node, dict[str, Value]], Value]
    ) -> Value:
        """Follow the loop and the condition around a body. Return None for what is not deployed."""
        if node.type == "for_statement":
            return [
                self._unfold(module, node.named_children[-1], each, build) for each in self._turns(module, node, scope)
            ]
        if node.type == "if_statement":
            is_true = self._eval(module, node.named_children[0], scope)
            return self._unfold(module, node.named_children[1], scope, build) if is_true else None
        return build(node, scope)

    def _turns(self, module: Module, node: Node, scope: dict[str, Value]) -> list[dict[str, Value]]:
        loop, over = node.named_children[0], self._eval(module, node.named_children[1], scope)
        names = [written(n) for n in loop.named_children] if loop.type == "for_loop_parameters" else [written(loop)]
        return [{**scope, **dict(zip(names, (item, i), strict=False))} for i, item in enumerate(over)]

    def _module(self, module: Module, each: Declaration, body: Node, scope: dict[str, Value]) -> dict[str, Value]:
        path = normpath(join(dirname(module.path), each.type))
        given = self._eval(module, body, scope)
        group = given["scope"].id if isinstance(given.get("scope"), Made) else module.group
        made = Module(path, each.name, self._sources[path], group, given.get("params", {}))
        made.needs = self._needs_of(module, body)
        self.modules[each.name] = made
        return {"outputs": self._run(made)}

    def _needs_of(self, module: Module, body: Node) -> set[str]:
        """Return the names of the modules that an expression refers to, also through variables."""
        found, seen, left = set[str](), set[str](), [body]
        while left:
            node = left.pop()
            name = written(node) if node.type == "identifier" else ""
            if name in module.source.of("module"):
                found.add(name)
            elif name in module.source.of("var") and name not in seen:
                seen.add(name)
                left.append(module.source.of("var")[name].value)
            left += node.children
        return found

    def _resource(self, module: Module, each: Declaration, body: Node, scope: dict[str, Value], place: str) -> Made:
        values = self._eval(module, body, scope)
        kind = each.type.split("@")[0]
        parent, at = values.pop("parent", None), values.get("scope")
        values.pop("scope", None)
        name = str(values.get("name"))
        if kind == "Microsoft.Resources/resourceGroups":
            own = f"{SUBSCRIPTION}/resourceGroups/{name}"
        elif parent is not None:
            own = f"{parent.id}/{kind.rsplit('/', 1)[1]}/{name}"
        else:
            base = at.id if isinstance(at, Made) else module.group
            namespace, *types = kind.split("/")
            path = "/".join(f"{t}/{n}" for t, n in zip(types, name.split("/"), strict=True))
            own = f"{base}/providers/{namespace}/{path}"
        found = Made(each.type, own, name, values, place, module.name, each.is_existing)
        self.resources.append(found)
        return found

    def _eval(self, module: Module, node: Node, scope: dict[str, Value]) -> Value:
        children = [c for c in node.named_children if c.type != "comment"]
        match node.type:
            case "string":
                return self._text(module, node, scope)
            case "number":
                return int(written(node))
            case "boolean":
                return written(node) == "true"
            case "null":
                return None
            case "object":
                keys = [self._key(module, c.named_children[0], scope) for c in children]
                if twice := [key for key in keys if keys.count(key) > 1]:
                    raise EvaluationError(f"{module.path}:{node.start_point[0] + 1}: {twice[0]} is given twice")
                return {
                    key: self._eval(module, c.named_children[1], scope) for key, c in zip(keys, children, strict=True)
                }
            case "array":
                return [self._eval(module, c, scope) for c in children]
            case "parenthesized_expression":
                return self._eval(module, children[0], scope)
            case "unary_expression":
                return not self._eval(module, children[0], scope)
            case "binary_expression":
                left, right = (self._eval(module, c, scope) for c in children)
                return self._compared(written(node.children[1]), left, right)
            case "ternary_expression":
                chosen = children[1] if self._eval(module, children[0], scope) else children[2]
                return self._eval(module, chosen, scope)
            case "identifier":
                return self._name(module, written(node), scope, node)
            case "member_expression":
                return self._chain(module, node, scope)
            case "subscript_expression":
                return self._eval(module, children[0], scope)[self._eval(module, children[1], scope)]
            case "call_expression":
                arguments = [self._eval(module, c, scope) for c in children[1].named_children]
                return self._call(module, written(children[0]), arguments)
            case "for_statement":
                return [self._eval(module, children[-1], each) for each in self._turns(module, node, scope)]
            case other:
                raise EvaluationError(f"{module.path}:{node.start_point[0] + 1}: {other} is not known here")

    def _chain(self, module: Module, node: Node, scope: dict[str, Value]) -> Value:
        """Evaluate `a.b.c`. The grammar takes `x ? y : a!.b` for `(x ? y : a!).b`; the compiler does not."""
        names: list[str] = []
        while node.type == "member_expression":
            names.insert(0, written(node.named_children[1]))
            node = node.named_children[0]
        if node.type == "ternary_expression":
            if self._eval(module, node.named_children[0], scope):
                return self._eval(module, node.named_children[1], scope)
            node = node.named_children[2]
        value = self._eval(module, node, scope)
        for name in names:
            value = _member(value, name)
        return value

    def _key(self, module: Module, node: Node, scope: dict[str, Value]) -> str:
        return str(self._text(module, node, scope)) if node.type == "string" else written(node)

    def _text(self, module: Module, node: Node, scope: dict[str, Value]) -> str:
        parts: list[str] = []
        is_runtime = False
        for child in node.named_children:
            if child.type == "interpolation":
                value = self._eval(module, child.named_children[0], scope)
                is_runtime |= isinstance(value, Runtime)
                parts.append(str(value))
            else:
                parts.append(written(child))
        text = "".join(parts) if node.named_children else text_of(node)
        return Runtime(text) if is_runtime else text

    @staticmethod
    def _compared(operator: str, left: Value, right: Value) -> Value:
        known: dict[str, Callable[[Value, Value], Value]] = {
            "==": operators.eq,
            "!=": operators.ne,
            ">": operators.gt,
            "<": operators.lt,
            "*": operators.mul,
            "+": operators.add,
            "-": operators.sub,
            "&&": lambda a, b: a and b,
            "||": lambda a, b: a or b,
        }
        if operator not in known:
            raise EvaluationError(f"the operator {operator} is not known here")
        return known[operator](left, right)

    def _name(self, module: Module, name: str, scope: dict[str, Value], node: Node) -> Value:
        if name in scope:
            return scope[name]
        declared = module.source.of("param", "var", "resource", "module").get(name)
        if declared is None:
            raise EvaluationError(f"{module.path}:{node.start_point[0] + 1}: {name} is not declared")
        return self._value_of(module, declared)

    def _call(self, module: Module, name: str, given: list[Value]) -> Value:
        match name:
            case "concat":
                return [item for part in given for item in part] if isinstance(given[0], list) else "".join(given)
            case "union":
                return {key: value for part in given for key, value in part.items()}
            case "empty":
                return not given[0]
            case "string":
                return str(given[0])
            case "toLower":
                return str(given[0]).lower()
            case "uniqueString":
                digest = hashlib.sha256("-".join(map(str, given)).encode()).digest()
                return "".join("abcdefghijklmnopqrstuvwxyz234567"[byte % 32] for byte in digest[:13])
            case "guid":
                return str(uuid.uuid5(uuid.NAMESPACE_URL, "-".join(map(str, given))))
            case "loadTextContent":
                return self._files[normpath(join(dirname(module.path), given[0]))]
            case "subscription":
                return {"id": SUBSCRIPTION, "subscriptionId": SUBSCRIPTION.rsplit("/", 1)[1]}
            case "resourceGroup":
                return {"id": module.group, "name": module.group.rsplit("/", 1)[1]}
            case "tenant":
                return {"tenantId": TENANT_ID}
            case "environment":
                return {"suffixes": {"storage": "core.windows.net"}}
            case "subscriptionResourceId":
                return f"{SUBSCRIPTION}/providers/{given[0]}/{given[1]}"
            case _:
                raise EvaluationError(f"{module.path}: the function {name} is not known here")


def parameters(files: Infra, environment: Mapping[str, str]) -> dict[str, Value]:
    """Return the parameters of main.bicep as azd passes them: with the environment's values, else the defaults. azd
    turns texts into the type of the parameter."""
    declared = sources(files)["main.bicep"].of("param")
    found: dict[str, Value] = {}
    for name, row in json.loads(files["main.parameters.json"])["parameters"].items():
        variable, _, default = row["value"].removeprefix("${").removesuffix("}").partition("=")
        text = environment.get(variable, default)
        kind = written(next(c for c in declared[name].node.children if c.type == "type"))
        found[name] = int(text) if kind == "int" else text == "true" if kind == "bool" else text
    return found


def _member(value: Value, name: str) -> Value:
    """Return a property of a value; one that only Azure knows is a Runtime text that names it."""
    if isinstance(value, Made):
        if name in ("id", "name"):
            return getattr(value, name)
        if name in value.body and isinstance(value.body[name], dict | str | int):
            return _Partial(value.id, name, value.body[name]) if name == "properties" else value.body[name]
        return _Partial(value.id, name, {})
    if isinstance(value, _Partial):
        known = value.given.get(name) if isinstance(value.given, dict) else None
        return known if isinstance(known, str | int | bool) else _Partial(value.of, f"{value.path}.{name}", known or {})
    return value[name]


class _Partial(Runtime):
    """The properties of a resource as the files give them; the others are Azure's."""

    of: str
    path: str
    given: Value

    def __new__(cls, of: str, path: str, given: Value) -> "_Partial":
        made = super().__new__(cls, f"<{path} of {of.rsplit('/', 1)[-1]}>")
        made.of, made.path, made.given = of, path, given
        return made

    def __getitem__(self, key: Any) -> "_Partial":
        return _Partial(self.of, f"{self.path}[{key}]", {})
