"""Text is read as plain JSON values: a hostile text is refused with an error, and takes little time and memory."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import yaml_text as reader
from shared.domain.errors import InvalidInputError
from shared.domain.text import parse
from shared.domain.text_limits import MAX_DEPTH, MAX_VALUES

_UNITS = [
    "{",
    "[",
    "[a, ",
    "{a: ",
    "? ",
    "- ",
    "a ",
    "k: 1\n",
    "&a ",
    "- &a b\n",
    "!a ",
    '"a" ',
    "#\n",
    "- |\n",
    "%A b\n",
    "a: b: ",
]


def _steps(text: str) -> int:
    """Count the lines of Python that run while a text is parsed, alone and as a value."""
    count = 0

    def step(*_: Any) -> Any:
        nonlocal count
        count += 1
        return step

    before = sys.gettrace()
    for whole in (text, f"a: {text}", f'a: "{text}', f"[{text}"):
        sys.settrace(step)
        try:
            parse(whole)
        except InvalidInputError:
            pass
        finally:
            sys.settrace(before)
    return count


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
        ("{" * 100_000, "nested deeper"),
        ("[" * 100_000, "nested deeper"),
        ("? " * 100_000, "nested deeper"),
        ("- " * 100_000, "nested deeper"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested deeper"),
        ("&a [*a]", "nested deeper"),
        ("&a [" + "*a, " * 3_000 + "]", "more than 200000 values"),
        ("a: &a {<<: *a}", "nested deeper"),
        ("a: &a {<<: [*a, *a]}", "nested deeper"),
        ("a: &a " + "x" * 20_000 + "\nb: [" + "*a, " * 1_000 + "]", "more than 16777216 characters"),
        ("a: &a " + "x" * 20_000 + "\nb: [" + "{*a : 1}, " * 1_000 + "]", "more than 16777216 characters"),
        (
            "a: &a {" + ",".join(f"k{i}: 1" for i in range(500)) + "}\nb:\n" + "- <<: *a\n" * 500,
            "more than 200000 values",
        ),
        ("a: {<<: 5}", "the key << in line 1 merges a mapping or a list of mappings"),
        ("a: {<<: [5]}", "the key << in line 1 merges a mapping or a list of mappings"),
        ("a: &a {k: 1}\nb: {<<: *a, <<: *a}", "the key '<<' appears twice (line 2); merge a list: <<: [*a, *b]"),
        ("%TAG !a! " + "x" * 20_000 + "\n---\n" + "- !a!b c\n" * 1_000, "the directive %TAG in line 1"),
        ("!!pairs\n- ? [&m0 {a: 1}, &m1 {<<: [*m0, *m0]}]\n  : 1", "the key in line 2 is not a text"),
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
def test_text_that_is_hostile_gets_an_error(text: str, what: str) -> None:
    """Each hostile text is refused with a fitting message, or parsed correctly."""
    try:
        parse(text)
    except InvalidInputError as error:
        assert what in str(error)
    else:
        assert what == ""


def test_text_with_multiplying_aliases_is_refused() -> None:
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
def test_text_words_mean_what_yaml_1_2_defines(word: str, value: object) -> None:
    """PyYAML implements YAML 1.1, in which 1:30 is 90, no is false and = is an error; keys are tested too."""
    read = parse(f"a: {word}\n")["a"]
    assert (read, type(read)) == (value, type(value))
    if isinstance(value, str) and word != "<<":
        assert parse(f"? {word}\n: 1\n") == {value: 1}


@pytest.mark.parametrize("word", ["010", "-017", "09", "00", "0o17", "!!int 010", ".inf", "-.INF", ".NaN"])
def test_text_numbers_with_two_meanings_are_refused(word: str) -> None:
    """010 is 8 in YAML 1.1 and 10 in YAML 1.2; the error says how to write it."""
    with pytest.raises(InvalidInputError, match="quote it to make it a string"):
        parse(f"timeout: {word}")


@pytest.mark.parametrize(
    ("merge", "value"),
    [
        ("<<: *a", {"k": 1, "list": [1]}),
        ("k: 2\n  <<: *a", {"k": 2, "list": [1]}),
        ("<<: *a\n  k: 2", {"k": 2, "list": [1]}),
        ("<<: [*b, *a]", {"k": 3, "list": [1], "m": {"k": 4}}),
        ("<<: [*a, *b]", {"k": 1, "list": [1], "m": {"k": 4}}),
        ("<<: {n: 5}\n  k: 2", {"n": 5, "k": 2}),
        ("<<: *c", {"k": 6, "list": [1]}),
        ("'<<': *a", {"<<": {"k": 1, "list": [1]}}),
        ("k: <<", {"k": "<<"}),
    ],
)
def test_text_merge_keys_merge(merge: str, value: object) -> None:
    """A mapping's own fields have precedence wherever they are; in a list, the earlier mapping has. A quoted << is an
    ordinary key. A member that is a mapping is replaced, not merged."""
    anchors = "a: &a {k: 1, list: [1]}\nb: &b {k: 3, m: {k: 4}}\nc: &c {<<: *a, k: 6}\n"
    assert parse(f"{anchors}d:\n  {merge}\n")["d"] == value


def test_text_with_multiplying_merges_is_refused() -> None:
    """Each mapping merges the one before it nine times: the product is counted, although few fields remain."""
    lines = ["a0: &a0 {k: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 10)]
    with pytest.raises(InvalidInputError, match="more than 200000 values"):
        parse("\n".join(lines))


def test_text_at_the_maximum_depth_is_read() -> None:
    """The limit during scanning refuses nothing that is acceptable."""
    for inner in ("- " * MAX_DEPTH + "[]", "[" * MAX_DEPTH + "x, " + "]" * MAX_DEPTH):
        parse(inner)
        with pytest.raises(InvalidInputError, match="nested deeper"):
            parse(f"- {inner}")


def test_text_numbers_as_keys_are_refused_at_the_first_one() -> None:
    """All these numbers have the same hash: filling a dictionary with them takes the square of their number."""
    text = "".join(f"{i * (2**61 - 1)}: 1\n" for i in range(1, 50))
    with pytest.raises(InvalidInputError, match="the key '2305843009213693951' in line 1 is not a string; quote it"):
        parse(text)


def test_text_aliases_are_read() -> None:
    assert parse("a: &a {k: [1]}\nb: *a\n") == {"a": {"k": [1]}, "b": {"k": [1]}}


def test_text_is_refused_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text with too many values is not parsed to its end, although a later part of it is invalid."""
    monkeypatch.setattr(reader, "_MAX_NODES", 1_000)
    with pytest.raises(InvalidInputError, match="more than 200000 values"):
        parse("- a\n" * 1_001 + "]")
    with pytest.raises(InvalidInputError, match="neither JSON nor YAML"):
        parse("- a\n" * 999 + "]")


def test_text_is_parsed_in_linear_steps() -> None:
    """A text of twice the length takes at most about twice the steps of the parser, whatever it consists of."""
    made = {unit: (_steps(unit * 120), _steps(unit * 240)) for unit in _UNITS}
    assert {unit: steps for unit, steps in made.items() if steps[1] > 2.4 * steps[0] + 2_000} == {}


def test_text_in_an_envelope_may_be_as_large_as_without() -> None:
    """A text that was accepted by itself is not refused inside its message."""
    for inner in ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), json.dumps([0] * (MAX_VALUES - 1))):
        parse(inner)
        message = f'{{"deployment_id": "d", "requested_by": "x", "traceparent": "t", "manifest": {inner}}}'
        parse(message, may_be_enclosed=True)
        with pytest.raises(InvalidInputError):
            parse(message)
        with pytest.raises(InvalidInputError):
            parse(f"[[{inner}, {inner}]]", may_be_enclosed=True)


@given(st.text(max_size=300))
def test_text_is_always_a_value_or_an_error_of_the_app(text: str) -> None:
    """No text makes the parser raise anything but InvalidInputError."""
    try:
        parse(text)
    except InvalidInputError as error:
        assert error.problems[0].path.startswith("$")
