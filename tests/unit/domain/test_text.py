"""From text to plain JSON values: hostile texts get an answer, and cost little."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidInputError
from shared.domain.text import MAX_DEPTH, MAX_VALUES, parse


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"a": 1, "a": 2}', "appears twice"),
        ("a: 1\na: 2\n", "appears twice"),
        ("{", "neither JSON nor YAML"),
        ("a: [1, 2\nb: 3", "line 2"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("a: .inf", "finite"),
        ("when: 2026-01-01", "quote it"),
        ("1: x", "not a string; quote it"),
        ("a: !!python/object/apply:os.system ['id']", "neither JSON nor YAML"),
        ('{"a": "\\u0000"}', "U+0000"),
        ('{"a": "\\ud800"}', "U+D800"),
        ('{"a": "\\u0085"}', "U+0085"),
        ("[" * 3000, "nested deeper"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested deeper"),
        ("&a [*a]", "nested deeper"),
        ("&a [" + "*a, " * 150_000 + "]", "more than 200000 values"),
        ("a: &a {<<: *a}", "nested deeper"),
        ("!!pairs\n- ? [&m0 {a: 1}, &m1 {<<: [*m0, *m0]}]\n  : 1", "the key in line 2 is no text"),
        ("a: " + "59:" * 190 + "59.5", "not valid YAML: int too large"),
        ("a: " + "59:" * 20_000 + "59", "the number in line 1 has 60002 characters"),
        ("? 59" + ":59" * 20_000 + "\n: a", "the number in line 1 has 60002 characters"),
        ('{"a": ' + "9" * 5_000 + "}", "the number in line 1 has 5000 characters"),
        ("a: 1\nb: {? [x]: 1}", "line 2"),
        ("- !!binary aGk=", "quote it"),
        ("&x a: &x", ""),
    ],
)
def test_text_hostile_is_answered(text: str, what: str) -> None:
    """Each hostile text is refused in words that fit it, or read as what it is."""
    try:
        parse(text)
    except InvalidInputError as error:
        assert what in str(error)
    else:
        assert what == ""


def test_text_aliases_that_multiply_are_cut_off() -> None:
    """Nine levels of nine aliases would be a billion values; they are counted, and refused at the limit."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    with pytest.raises(InvalidInputError, match="more than 200000 values"):
        parse("\n".join(lines))


@pytest.mark.parametrize("width", [2, 10])
def test_text_merges_that_multiply_are_refused_before_they_are_built(width: int) -> None:
    """PyYAML copies what is merged once for each mention: a few hundred characters would fill the memory."""
    levels = [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * width)}]}}" for i in range(1, 40)]
    with pytest.raises(InvalidInputError, match="more than 200000 values"):
        parse("\n".join(["a0: &a0 {k: v}", *levels]))


def test_text_merges_of_a_usual_number_are_merged() -> None:
    """A hundred steps that share what they have in common; what they say themselves stands over it."""
    common = "common: &common {kind: lakehouse, timeout: 5m}\nsteps:\n"
    steps = parse(common + "".join(f"- {{<<: *common, id: s{i}, timeout: {i}}}\n" for i in range(100)))["steps"]
    assert steps == [{"kind": "lakehouse", "timeout": i, "id": f"s{i}"} for i in range(100)]


def test_text_is_refused_while_it_is_read() -> None:
    """What holds too many values is not read to its end, where something else is wrong."""
    with pytest.raises(InvalidInputError, match="more than 200000 values"):
        parse("- a\n" * (MAX_VALUES + 20) + "]")


def test_text_with_an_envelope_around_it_may_be_as_large_as_without() -> None:
    """What was accepted by itself is not refused on its way."""
    for inner in ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), json.dumps([0] * (MAX_VALUES - 1))):
        parse(inner)
        message = f'{{"deployment_id": "d", "requested_by": "x", "traceparent": "t", "manifest": {inner}}}'
        parse(message, may_be_enclosed=True)
        with pytest.raises(InvalidInputError):
            parse(message)
        with pytest.raises(InvalidInputError):
            parse(f"[[{inner}, {inner}]]", may_be_enclosed=True)


@given(st.text(max_size=300))
def test_text_any_text_is_a_value_or_an_error_of_ours(text: str) -> None:
    """No text makes the parser raise anything but InvalidInputError."""
    try:
        parse(text)
    except InvalidInputError as error:
        assert error.problems[0].path.startswith("$")
