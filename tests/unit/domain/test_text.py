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
        ("1: x", "not a string; quote it"),
        ("a: !!python/object/apply:os.system ['id']", "the tag !!python/object/apply:os.system in line 1"),
        ('{"a": "\\u0000"}', "U+0000"),
        ('{"a": "\\ud800"}', "U+D800"),
        ('{"a": "\\u0085"}', "U+0085"),
        ("[" * 3000, "nested deeper"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested deeper"),
        ("&a [*a]", "nested deeper"),
        ("&a [" + "*a, " * 150_000 + "]", "more than 200000 values"),
        ("a: &a {<<: *a}", "nested deeper"),
        ("!!pairs\n- ? [&m0 {a: 1}, &m1 {<<: [*m0, *m0]}]\n  : 1", "the key in line 2 is no text"),
        ("a: " + "59:" * 20_000 + "59", ""),
        ("a: " + "5" * 60_000, "the number in line 1 has 60000 characters"),
        ("? " + "5" * 60_000 + "\n: a", "the number in line 1 has 60000 characters"),
        ('{"a": ' + "9" * 5_000 + "}", "the number in line 1 has 5000 characters"),
        ("a: 1\nb: {? [x]: 1}", "line 2"),
        ("- !!binary aGk=", "the tag !!binary in line 1"),
        ("a: !!int 1:30", "the tag !!int in line 1"),
        ("a: b\u2028c", "write \\u2028 in double quotes"),
        ('a: "\\UFFFFFFFF"', "not valid YAML"),
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


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1:30", "1:30"),
        ("190:20:30.15", "190:20:30.15"),
        ("1_000", "1_000"),
        ("0b101", "0b101"),
        ("0x1F", 31),
        ("+12", 12),
        ("-0", 0),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("y", "y"),
        ("True", True),
        ("tRue", "tRue"),
        ("~", None),
        ("", None),
        ("nUll", "nUll"),
        ("=", "="),
        ("<<", "<<"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z"),
        ("!!str 010", "010"),
        ("'010'", "010"),
    ],
)
def test_text_plain_words_mean_what_yaml_1_2_says(word: str, value: object) -> None:
    """PyYAML reads YAML 1.1, in which 1:30 is 90, no is false and = is an error; also as a key."""
    read = parse(f"a: {word}\n")["a"]
    assert (read, type(read)) == (value, type(value))
    if isinstance(value, str) and word != "<<":
        assert parse(f"? {word}\n: 1\n") == {value: 1}


@pytest.mark.parametrize("word", ["010", "-017", "09", "00", "0o17", "!!int 010", ".inf", "-.INF", ".NaN"])
def test_text_numbers_that_are_read_in_two_ways_are_refused(word: str) -> None:
    """010 is 8 in YAML 1.1 and 10 in YAML 1.2; the error says how to write it."""
    with pytest.raises(InvalidInputError, match="quote it to make it a string"):
        parse(f"timeout: {word}")


def test_text_merge_keys_are_refused_in_words() -> None:
    """YAML 1.2 has none: what was meant to be merged would be a field called <<. Quoted, it is a key like others."""
    with pytest.raises(InvalidInputError, match="<< in line 3 merges"):
        parse("a: &a {k: v}\nb:\n  <<: *a\n")
    assert parse("'<<': 1") == {"<<": 1}


def test_text_aliases_are_read() -> None:
    """What is said once may be used again."""
    assert parse("a: &a {k: [1]}\nb: *a\n") == {"a": {"k": [1]}, "b": {"k": [1]}}


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
