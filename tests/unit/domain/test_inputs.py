"""Inputs of a manifest: what may be declared, how values are checked, and where they are replaced."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidInputError
from shared.domain.inputs import filled, rendered, summary, with_values
from shared.domain.json import content_hash
from shared.domain.manifest import compile_manifest
from shared.domain.references import resolve
from shared.steps import KINDS

VAULT = "https://contoso.vault.azure.net/secrets/gateway"
OUTPUT = "${{ steps.ws.outputs.id }}"


def manifest(inputs: Any, **fields: Any) -> dict[str, Any]:
    """Return a manifest with these inputs, whose workspace is named by `displayName`."""
    spec = {"displayName": "sales", **fields.pop("with", {})}
    return {"name": "m", "inputs": inputs, "steps": [{"id": "ws", "kind": "workspace", "with": spec}], **fields}


def problems(function: Any, *arguments: Any) -> list[str]:
    """Return the problems that a function raises, each with its path."""
    with pytest.raises(InvalidInputError) as raised:
        function(*arguments)
    return [f"{problem.path} {problem.message}" for problem in raised.value.problems]


def replaced(text: str, **values: Any) -> Any:
    """Return a text with inputs of these values replaced."""
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "string"}
    declared = {name: {"type": kinds[type(value)], "value": value, "required": False} for name, value in values.items()}
    return rendered({"inputs": declared, "text": text})[0]["text"]


def test_input_is_replaced_in_every_text_of_a_manifest() -> None:
    """An input may also stand in fields in which no output of a step may: target, ids, kinds, choices, durations."""
    declared = {"env": {"default": "dev"}, "role": {"default": "Viewer"}, "wait": {"default": "5m"}}
    row = {
        "id": "team-${{ inputs.env }}",
        "kind": "role_assignment",
        "timeout": "${{ inputs.wait }}",
        "with": {
            "workspaceId": OUTPUT,
            "principalId": "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01",
            "principalType": "User",
            "role": "${{ inputs.role }}",
        },
    }
    body = manifest(declared, target="sales-${{inputs.env}}", **{"with": {"displayName": "sales ${{ inputs.env }}"}})
    graph = compile_manifest({**body, "steps": [*body["steps"], row]}, KINDS)
    assert graph.target == "sales-dev"
    assert graph.steps[0].spec["displayName"] == "sales dev"
    assert (graph.steps[1].step_id, graph.steps[1].timeout_seconds) == ("team-dev", 300)
    assert graph.steps[1].spec["role"] == "Viewer"
    assert graph.steps[1].spec["workspaceId"] == OUTPUT
    assert graph.inputs == "env='dev', role='Viewer', wait='5m'"


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("${{ inputs.a }}", {"a": True}, True),
        ("${{ inputs.a }}", {"a": 2.5}, 2.5),
        ("${{ inputs.a }}", {"a": None}, None),
        ("<${{ inputs.a }}>", {"a": True}, "<true>"),
        ("<${{ inputs.a }}>", {"a": 7}, "<7>"),
        ("<${{ inputs.a }}>", {"a": None}, "<>"),
        ("${{inputs.a}}${{ inputs.b-c }}", {"a": "x", "b-c": "y"}, "xy"),
        ("$${{ inputs.a }}", {"a": "x"}, "$${{ inputs.a }}"),
        (f"${{{{ inputs.a }}}}/{OUTPUT}", {"a": "x"}, f"x/{OUTPUT}"),
    ],
)
def test_input_in_a_text(text: str, values: dict[str, Any], expected: Any) -> None:
    """An expression alone keeps the type of the value; within a text it is a text; other expressions stay."""
    assert replaced(text, **values) == expected


@given(st.text(max_size=40), st.text(max_size=10), st.text(max_size=10))
def test_value_is_never_read_as_an_expression(value: str, before: str, after: str) -> None:
    """Whatever a value contains, the final text is the value between the words beside it."""
    words = [each.replace("{", "(").rstrip("$") for each in (before, after)]
    text = replaced(f"{words[0]}${{{{ inputs.a }}}}{words[1]}", a=value)
    assert resolve(text, lambda *_: "another") == f"{words[0]}{value}{words[1]}"


def test_dollar_before_a_reference_is_a_problem() -> None:
    """With that dollar, the value would escape the reference of a step."""
    body = {"inputs": {"a": {"value": "costs $"}}, "text": f"${{{{ inputs.a }}}}{OUTPUT}"}
    assert problems(rendered, body) == [
        f"$.text has a `$` directly before `{OUTPUT}`, which would escape it; separate them"
    ]


def test_contents_of_packed_files_are_not_searched() -> None:
    row = {"csv": "${{ inputs.a }}", "definition": {"parts": [{"payload": "${{ inputs.a }}", "text": "${{inputs.a}}"}]}}
    body, _ = rendered({"inputs": {"a": {"value": "x"}}, "with": row})
    assert body["with"] == {
        "csv": "${{ inputs.a }}",
        "definition": {"parts": [{"payload": "${{ inputs.a }}", "text": "x"}]},
    }


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([], ["$.inputs must be an object, not an array"]),
        ({"a": {}}, ["$.inputs.a needs a value: give it with --set a=VALUE, in a --values file, or as `value`"]),
        ({"a": None}, ["$.inputs.a needs a value: give it with --set a=VALUE, in a --values file, or as `value`"]),
        ({"a": {"default": 3}}, ["$.inputs.a.default must be a string, not a number; quote it"]),
        ({"a": {"type": "number", "value": "3"}}, ["$.inputs.a.value must be a number, not a string"]),
        ({"a": {"type": "number", "value": True}}, ["$.inputs.a.value must be a number, not a boolean"]),
        ({"a": {"type": "boolean", "value": 1}}, ["$.inputs.a.value must be true or false, not a number"]),
        ({"a": {"default": "x", "required": True}}, ["$.inputs.a.required must not be true beside a default"]),
        ({"a": {"value": "x" * 4_001}}, ["$.inputs.a.value has 4001 characters; at most 4000 are allowed"]),
        (
            {"a": {"default": VAULT, "secret": True}},
            ["$.inputs.a.secret is only for an input of type string without a default"],
        ),
    ],
)
def test_wrong_declaration_is_a_problem(inputs: Any, expected: list[str]) -> None:
    assert problems(compile_manifest, manifest(inputs), KINDS) == expected


def test_unknown_names_are_problems_with_a_suggestion() -> None:
    """The name may be in an expression, in a declaration, or among the given values."""
    body = manifest({"environment": {"default": "dev", "valeu": "x"}})
    assert "$.inputs.environment.valeu is not a known field. Did you mean 'value'?" in problems(rendered, body)[0]
    body = manifest({"environment": {"default": "dev"}}, target="${{ inputs.enviroment }}")
    assert problems(rendered, body) == [
        "$.target there is no input 'enviroment'. Did you mean 'environment'? Declared: environment"
    ]
    assert problems(with_values, body, {"env": "x"}) == [
        "inputs.env is not an input of the manifest. Declared: environment"
    ]


def test_use_without_any_declaration_is_a_problem() -> None:
    body = manifest({}, target="${{ inputs.env }}")
    del body["inputs"]
    assert "declared under `inputs`" in problems(compile_manifest, body, KINDS)[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12345678901234567890", 12345678901234567890),
        ("-9007199254740993", -9007199254740993),
        ("+5", 5),
        ("-0", 0),
        ("1.50", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        *(
            (odd, None)
            for odd in ("1_000", "1,5", "nan", "inf", "1e999", "0x10", "\u0663", " 5", "5 ", "", ".", "9" * 400)
        ),
    ],
)
def test_text_of_a_number_is_exactly_that_number_or_a_problem(text: str, value: float | None) -> None:
    """A large integer is not rounded: it may be an id."""
    body = manifest({"a": {"type": "number"}})
    if value is None:
        assert len(problems(with_values, body, {"a": text})) == 1
    else:
        found = with_values(body, {"a": text})["inputs"]["a"]["value"]
        assert (found, type(found)) == (value, type(value))


def test_values_are_converted_by_their_declared_type() -> None:
    """Texts from the command line become numbers and booleans; a values file may have them already."""
    declared = {"a": {"type": "number"}, "b": {"type": "boolean", "default": True}, "c": {}, "d": {"type": "number"}}
    valued = with_values(manifest(declared), {"a": "3", "b": "false", "c": "3", "d": 2.5})
    _, inputs = rendered(valued)
    assert {name: each.value for name, each in inputs.items()} == {"a": 3, "b": False, "c": "3", "d": 2.5}
    assert problems(with_values, manifest(declared), {"a": "three", "b": "yes"}) == [
        "inputs.a must be a number, written with the digits 0 to 9 and '.'",
        "inputs.b must be true or false",
    ]


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("True", True), ("FALSE", False), ("falsE", False)])
def test_boolean_in_the_spelling_of_a_spreadsheet_is_converted(text: str, value: bool) -> None:
    """Excel saves TRUE and FALSE, whatever was typed into the cell."""
    body = manifest({"a": {"type": "boolean"}})
    assert with_values(body, {"a": text})["inputs"]["a"]["value"] is value
    assert len(problems(with_values, body, {"a": f"{text} "})) == 1


def test_values_are_part_of_the_manifest() -> None:
    """Another value is another manifest, so one id cannot stand for both; the caller's object is unchanged."""
    body = manifest({"env": {"default": "dev"}})
    valued = with_values(body, {"env": "prod"})
    assert content_hash(valued) != content_hash(body)
    assert body["inputs"] == {"env": {"default": "dev"}}
    assert with_values(body, {}) is body


@pytest.mark.law(5)
@pytest.mark.parametrize("value", ["hunter2", "https://evil.example/secrets/x", VAULT.replace("https", "http"), 7])
def test_secret_in_clear_is_refused_and_not_quoted(value: Any) -> None:
    """Only the address of a secret in Key Vault is accepted, because a manifest is stored."""
    found = problems(compile_manifest, manifest({"password": {"secret": True, "value": value}}), KINDS)
    assert len(found) == 1
    assert found[0].startswith("$.inputs.password.value must be the address of a secret in Key Vault")
    assert str(value) not in found[0]


@pytest.mark.law(5)
def test_secret_input_is_replaced_and_never_shown() -> None:
    body, inputs = rendered(
        {"inputs": {"password": {"secret": True, "value": VAULT}}, "text": "${{ inputs.password }}"}
    )
    assert body == {"text": VAULT}
    assert summary(inputs) == "password=***"


def test_field_that_the_command_line_reads() -> None:
    """A path to pack may contain inputs; an unknown one is a problem at that path."""
    _, inputs = rendered({"inputs": {"env": {"value": "prod"}}})
    assert filled({"path": "items/${{ inputs.env }}/x"}, inputs, "$.a") == {"path": "items/prod/x"}
    assert problems(filled, {"b": "${{ inputs.x }}"}, inputs, "$.a")[0].startswith("$.a.b there is no input 'x'.")


def test_manifest_without_inputs_is_returned_unchanged() -> None:
    body = manifest({})
    del body["inputs"]
    assert rendered(body)[0] is body
    assert rendered("text") == ("text", {})
