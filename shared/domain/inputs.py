"""The inputs of a manifest: values that differ between environments, declared once and used as `${{ inputs.NAME }}`.

A given value is written into the manifest, as `value` beside its declaration, so a manifest with its values is one
document on every way: command line, queue and HTTP. Its hash covers them. Inputs are replaced before anything else is
checked, so they may stand in any text, unlike the outputs of steps, which are known only when steps have run.

A secret is never such a value, because manifests travel through queues and stay in tables. A `secret` input takes the
address of a secret in Key Vault, which Fabric reads itself; any other value is refused and not quoted (ADR 27).
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.fields import Fields, Words, child, suggestion, type_name
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.template import CLOSING, ESCAPE, OPENING, Expression, escaped, parts

MAX_INPUTS = 100
MAX_VALUE = 4_000
"""Characters of a text."""
HIDDEN = "***"
UNREAD = frozenset({"csv", "payload"})
"""Fields with the content of packed files, which is never searched for expressions."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_USE = re.compile(r"\s*inputs\.([A-Za-z_][A-Za-z0-9_-]*)\s*")
_VAULT_SECRET = re.compile(r"https://[A-Za-z0-9-]{3,24}\.vault\.[a-z.]+/secrets/[A-Za-z0-9-]{1,127}(?:/[0-9a-f]{32})?")
_VAULT_FORM = "https://VAULT.vault.azure.net/secrets/NAME"
_TYPES = ("string", "number", "boolean")
_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,300}(?:\.[0-9]{0,300})?|\.[0-9]{1,300})(?:[eE][-+]?[0-9]{1,3})?")
"""A number as a person writes it. An integer stays one, because a float would round it from 17 digits on."""

INPUTS_SCHEMA: JsonObject = {"type": "object"}
INPUTS = Words(
    "Values that differ between environments, used as ${{ inputs.NAME }} in any text of the manifest.",
    {"environment": {"default": "dev"}},
)


@dataclass(frozen=True)
class Input:
    """A declared input with its value; `value` is None if it is optional and nobody gave one."""

    name: str
    type: str
    value: str | float | bool | None
    is_secret: bool

    @property
    def shown(self) -> str:
        """The value as people see it: quoted text, or `***` for a secret."""
        if self.is_secret and self.value is not None:
            return HIDDEN
        return repr(self.value) if isinstance(self.value, str) else _text(self.value) or "(none)"


def _inputs(top: Fields) -> dict[str, Input]:
    """Read the declarations and their values. Every problem is noted, also a required input without a value."""
    value = top.data.get("inputs")
    declared = as_object({} if value is None else value)
    if declared is None:
        top.problem("inputs", f"must be an object, not {type_name(value)}")
        return {}
    if len(declared) > MAX_INPUTS:
        top.problem("inputs", f"has {len(declared)} inputs; at most {MAX_INPUTS} are accepted")
        return {}
    return {name: _input(name, row, child(top.path, "inputs"), top.problems) for name, row in declared.items()}


def _input(name: str, row: Any, path: str, problems: list[Problem]) -> Input:
    """Read one declaration."""
    fields = Fields({} if row is None else row, child(path, name), problems)
    if not _NAME.fullmatch(name):
        fields.problem(None, "must be named with letters, digits, _ and -, beginning with a letter or _ (63 at most)")
    kind, is_required, is_secret = read_declaration(fields)
    field = "default" if fields.data.get("value") is None else "value"
    value = fields.data.get(field)
    if value is None and is_required:
        fields.problem(None, f"needs a value: give it with --set {name}=VALUE, in a --values file, or as `value`")
    fields.finish()
    if value is not None and _is_wrong(fields, field, value, kind, is_secret):
        value = None
    return Input(name, kind, value, is_secret)


def read_declaration(fields: Fields) -> tuple[str, bool, bool]:
    """Read a declaration: the type, whether a value is required, and whether the input is secret."""
    kind = fields.choice(
        "type", _TYPES, default="string", words=Words("string (the default), number or boolean.", "string")
    )
    fields.text("description", maximum=1_000, words=Words("For people.", "The environment to deploy to"))
    default = fields.raw("default", words=Words("The value if none is given. Not for a secret.", "dev"))
    is_secret = fields.boolean(
        "secret",
        words=Words("Its value is the address of a secret in Key Vault, and is not shown. Default: false.", True),
    )
    is_required = fields.boolean(
        "required",
        default=default is None,
        words=Words("True if a value must be given. Default: true if there is no default.", True),
    )
    fields.raw("value", words=Words("The value of this deployment: what --set and --values write.", "prod"))
    if default is not None and fields.data.get("required") is True:
        fields.problem("required", "must not be true beside a default")
    if is_secret and (default is not None or kind != "string"):
        fields.problem("secret", "is only for an input of type string without a default")
    return kind or "string", is_required, is_secret


def _is_wrong(fields: Fields, name: str, value: Any, kind: str, is_secret: bool) -> bool:
    """Note what is wrong with a value. A secret's value is never quoted."""
    before = len(fields.problems)
    if is_secret:
        if not isinstance(value, str) or not _VAULT_SECRET.fullmatch(value):
            fields.problem(
                name,
                f"must be the address of a secret in Key Vault ({_VAULT_FORM}), because a manifest is stored; the "
                "value is not shown",
            )
    elif kind == "string":
        if not isinstance(value, str):
            fields.problem(name, f"must be a string, not {type_name(value)}; quote it")
        elif len(value) > MAX_VALUE:
            fields.problem(name, f"has {len(value)} characters; at most {MAX_VALUE} are allowed")
    elif kind == "boolean":
        if not isinstance(value, bool):
            fields.problem(name, f"must be true or false, not {type_name(value)}")
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        fields.problem(name, f"must be a number, not {type_name(value)}")
    return len(fields.problems) > before


def rendered(manifest: Any) -> tuple[Any, dict[str, Input]]:
    """Return the manifest with every `${{ inputs.NAME }}` replaced, without `inputs`; and the inputs.

    A text that is one expression becomes the value with its type; an optional input without a value makes that field
    absent. Raises InvalidInputError with every problem: of a declaration, of a value, and of an unknown name.
    """
    top = as_object(manifest)
    if top is None or "inputs" not in top:
        return manifest, {}
    problems = Problems()
    inputs = _inputs(Fields(top, "$", problems))
    body = {name: member for name, member in top.items() if name != "inputs"}
    if not problems:
        body = _filled(body, "$", inputs, problems)
    if problems:
        raise InvalidInputError(problems)
    return body, inputs


def filled(spec: JsonObject, inputs: Mapping[str, Input], path: str) -> JsonObject:
    """Return a `with` with its inputs replaced. The command line reads the paths in it before it sends the manifest.

    Raises InvalidInputError.
    """
    problems = Problems()
    found: JsonObject = _filled(spec, path, inputs, problems)
    if problems:
        raise InvalidInputError(problems)
    return found


def with_values(manifest: Any, given: Mapping[str, Any]) -> Any:
    """Return the manifest with the given values written beside their declarations.

    A text for a number or a boolean is converted. Raises InvalidInputError if the manifest does not declare a name, or
    a text cannot be converted.
    """
    if not given:
        return manifest
    top = as_object(manifest) or {}
    declared = as_object(top.get("inputs")) or {}
    problems = Problems()
    written = dict(declared)
    for name, value in given.items():
        path = f"inputs.{name[:64]}"
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            near = suggestion(name, declared, problems)
            problems.append(Problem(path, f"is not an input of the manifest.{near} Declared: {known}"))
            continue
        row = as_object(declared[name]) or {}
        written[name] = {**row, "value": _converted(value, row.get("type"), path, problems)}
    if problems:
        raise InvalidInputError(problems)
    return {**top, "inputs": written}


def _converted(value: Any, kind: Any, path: str, problems: list[Problem]) -> Any:
    if not isinstance(value, str) or kind not in ("number", "boolean"):
        return value
    if kind == "boolean":
        if value.lower() in ("true", "false"):  # a spreadsheet saves TRUE, and Python prints True
            return value.lower() == "true"
        problems.append(Problem(path, "must be true or false"))
        return None
    # float() also takes 1_000, nan, and digits of other scripts.
    if not _NUMBER.fullmatch(value) or not math.isfinite(float(value)):
        problems.append(Problem(path, "must be a number, written with the digits 0 to 9 and '.'"))
        return None
    return int(value) if _INTEGER.fullmatch(value) else float(value)


def _filled(value: Any, path: str, inputs: Mapping[str, Input], problems: list[Problem]) -> Any:
    if isinstance(value, str):
        return _replaced(value, path, inputs, problems)
    if isinstance(value, dict):
        return {
            name: member if name in UNREAD else _filled(member, child(path, name), inputs, problems)
            for name, member in cast(JsonObject, value).items()
        }
    return [_filled(item, f"{path}[{i}]", inputs, problems) for i, item in enumerate(as_list(value) or ())] or value


def _replaced(text: str, path: str, inputs: Mapping[str, Input], problems: list[Problem]) -> Any:
    """Return the text, still a template for the outputs of steps, with the inputs replaced."""
    if OPENING not in text or "inputs" not in text:
        return text
    found = list(_known(text, path, inputs, problems))
    if len(found) == 3 and found[0] == found[2] == "" and isinstance(found[1], Input):
        value = found[1].value
        return escaped(value) if isinstance(value, str) else value
    written = literal = ""
    for part in found:
        if not isinstance(part, Expression):
            # A value and the words beside it are escaped together, because `${{` may begin in one of them.
            literal += part if isinstance(part, str) else _text(part.value)
            continue
        if literal.endswith(ESCAPE):
            problems.append(Problem(path, f"has a `$` directly before `{part}`, which would escape it; separate them"))
        written, literal = f"{written}{escaped(literal)}{OPENING}{part.inner}{CLOSING if part.is_closed else ''}", ""
    return written + escaped(literal)


def _known(
    text: str, path: str, inputs: Mapping[str, Input], problems: list[Problem]
) -> Iterator[str | Expression | Input]:
    """Yield the parts of a text, with each use of an input replaced by that input."""
    for part in parts(text):
        use = _USE.fullmatch(part.inner) if isinstance(part, Expression) and part.is_closed else None
        if use is None:
            yield part
        elif (found := inputs.get(use[1])) is not None:
            yield found
        else:
            near = suggestion(use[1], inputs, problems)
            known = ", ".join(sorted(inputs)) or "none"
            problems.append(Problem(path, f"there is no input '{use[1][:64]}'.{near} Declared: {known}"))


def _text(value: str | float | bool | None) -> str:
    """Return a value within a text: true and false as YAML writes them, and nothing for a value that is absent."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def summary(inputs: Mapping[str, Input]) -> str:
    """Return the inputs and their values for people, in the order of their names."""
    return ", ".join(f"{name}={inputs[name].shown}" for name in sorted(inputs))
