"""From text to plain JSON values: hostile texts get an answer, and cost little."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidInputError
from shared.domain.text import parse


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
    """Nine levels of nine aliases would be a billion values; they are counted and refused in well under a second."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    began = time.process_time()
    with pytest.raises(InvalidInputError, match="more than 200000 values"):
        parse("\n".join(lines))
    assert time.process_time() - began < 5


@given(st.text(max_size=300))
def test_text_any_text_is_a_value_or_an_error_of_ours(text: str) -> None:
    """No text makes the parser raise anything but InvalidInputError."""
    try:
        parse(text)
    except InvalidInputError as error:
        assert error.problems[0].path.startswith("$")
