"""Regular expressions mean what they mean to Python's `re`, which fabric-cicd uses."""

import re

import pytest
import regex
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.repository.model import FindRegex, Plain
from shared.repository.patterns import for_regex
from shared.repository.render import render


def spans(found: object) -> list[tuple[int, int]]:
    return [match.span() for match in found]  # type: ignore[attr-defined] - an iterator of matches of either library


@pytest.mark.filterwarnings("ignore:Possible")
@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"/{s}/(\w+)", "f'/{s}/orders' /x/orders", "f'/{s}/NEW' /x/orders"),
        (r"ab{e<=1}(c)", "ab{e<=1}c abc axc", "ab{e<=1}NEW abc axc"),
        (r"a{2}(b)", "aab a{2}b", "aaNEW a{2}b"),
        (r"a{,2}(b)", "aab", "aaNEW"),
        (r"{}(b)", "{}b", "{}NEW"),
        (r"\{s}(b)", "{s}b", "{s}NEW"),
        (r"[[:alpha:]]+(\d)", "abc1 a]1", "abc1 a]NEW"),
        (r"[]{s}]+(\d)", "{s]1", "{s]NEW"),
        (r"\N{LATIN SMALL LETTER A}(b)", "ab", "aNEW"),
        ("(?x) a # [not a class {s}\n ([b]) {s}", "ab{s}", "aNEW{s}"),
        (r"(?#{s}[)a(b)", "ab", "aNEW"),
    ],
)
def test_expression_replaces_what_fabric_cicd_replaces(pattern: str, text: str, expected: str) -> None:
    """The expected text is also what `re` itself finds."""
    assert render(text.encode(), True, [FindRegex(pattern, Plain("NEW"), False, "p:1")], str).decode() == expected
    kept = [text[start:end] for start, end in (match.span(1) for match in re.finditer(pattern, text))]
    assert text.replace(kept[0], "NEW") == expected or expected.count("NEW") == len(kept)


@given(st.text("ab1{}[]^(:|)\\\\d,<=eis+*?#-", max_size=12), st.text("ab1{}[]^:|d,<=eis", max_size=12))
@pytest.mark.filterwarnings("ignore:Possible")
def test_expression_finds_what_re_finds(pattern: str, text: str) -> None:
    try:
        expected = spans(re.finditer(pattern, text))
    except re.error:
        assume(False)
        return
    assert spans(regex.finditer(for_regex(pattern), text)) == expected
