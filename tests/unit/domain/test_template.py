"""References in texts: what is put in, what stands for itself, and that reading them costs what their length says."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.errors import InvalidInputError, Problems
from shared.domain.fields import Fields, Reference
from shared.domain.references import open_fields, readable, referred, resolve, substituted
from shared.domain.template import MAX_REFERENCES, Expression, escaped, has_reference, parts

PIECES = st.lists(st.sampled_from(["$", "{", "{{", "}}", "${{", "$${{", " steps.a.outputs.n ", "a", "\n"]), max_size=12)
TEXTS = PIECES.map("".join)


def literal(text: str) -> Any:
    """What a text without references becomes."""
    return resolve(text, lambda step, output: {}[step, output])


@given(TEXTS)
def test_template_escape_is_exact(text: str) -> None:
    """Every text can be written, whatever stands in it, and comes out as it was."""
    assert not has_reference(escaped(text))
    assert literal(escaped(text)) == text
    assert readable(escaped(text)) == text


@given(TEXTS, TEXTS)
def test_template_escape_keeps_to_itself_beside_a_reference(before: str, after: str) -> None:
    """What stands around a reference is taken as it is; one dollar before it is the escape."""
    text = f"{escaped(before)} ${{{{ steps.a.outputs.n }}}}{escaped(after)}"
    assert resolve(text, lambda step, output: f"<{step}.{output}>") == f"{before} <a.n>{after}"


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("$${{ github.sha }}", "${{ github.sha }}"),
        ("$$${{", "$${{"),
        ("$${{ a }} ${{ steps.a.outputs.n }}", "${{ a }} 7"),
        ("${{ steps.a.outputs.n }}$${{", "7${{"),
        ("${ {{ $ }}", "${ {{ $ }}"),
        ("$HOME $$ ${x}", "$HOME $$ ${x}"),
    ],
)
def test_template_of_both(text: str, becomes: str) -> None:
    """As docs/manifest.md has it."""
    assert resolve(text, lambda *_: 7) == becomes


def test_template_value_is_never_read_again() -> None:
    """What another step says of itself may hold anything; it is put in as it is."""
    value = "${{ steps.b.outputs.n }} $${{"
    assert resolve("x${{ steps.a.outputs.n }}", lambda *_: value) == f"x{value}"


@given(
    st.lists(
        st.sampled_from(["${{ steps.a.outputs.n }}", "${{ steps.b.outputs.n }}", "$", "{", "$${{", "a"]), max_size=5
    ),
    st.sampled_from(["", "$", "$$", "${", "v", "${{", "}}"]),
)
@example(["${{ steps.a.outputs.n }}", "${{ steps.b.outputs.n }}"], "$")
def test_template_substituted_means_the_same(pieces: list[str], value: str) -> None:
    """To put in what is known first, and the rest later, gives what all at once gives."""
    template = "".join(pieces)
    known = {("a", "n"): value}
    if any(isinstance(part, Expression) and part.output is None for part in parts(template)):
        return
    half = substituted(template, lambda *key: known.get(key))
    assert resolve(half, lambda *key: known.get(key, "B")) == resolve(template, lambda *key: known.get(key, "B"))


def test_template_substituted_stays_a_template() -> None:
    """Known references become their values, the others stay, and nothing that was put in is taken for a reference."""
    value = "${{ steps.b.outputs.n }} $${{"
    known: dict[tuple[str, str], Any] = {("a", "n"): value, ("a", "seven"): 7}
    spec = {
        "k": "x${{ steps.a.outputs.n }}",
        "open": ["$${{ ${{ steps.c.outputs.n }}"],
        "n": "${{ steps.a.outputs.seven }}",
    }
    filled = substituted(spec, lambda step, output: known.get((step, output)))
    assert open_fields(filled) == {"open"}
    assert referred(filled) == ["c"]
    assert readable(filled) == {"k": f"x{value}", "open": ["${{ ${{ steps.c.outputs.n }}"], "n": 7}
    assert resolve(filled, lambda *_: "C") == {"k": f"x{value}", "open": ["${{ C"], "n": 7}


class Counted(str):
    """A text that counts the characters which are looked at in it."""

    looked_at = 0

    def find(self, what: str, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        """As str.find."""
        at = super().find(what, start)
        Counted.looked_at += (at if at >= 0 else len(self)) - start
        return at


@pytest.mark.parametrize(
    "piece", ["${{", "${{ ", "$${{", "}}", "${{ x }}", "${{}}", "${{ steps.a.outputs.n }}", "$", "{{", "${{ ${{ }}"]
)
def test_template_is_read_once(piece: str) -> None:
    """No text has more than a few looks at each of its characters, and one problem at most."""
    for count in (1_000, 4_000):
        text = Counted(piece * count)
        Counted.looked_at = 0
        read = sum(1 for _ in parts(text))
        assert Counted.looked_at <= 3 * len(text)
        assert read <= 2 * count + 2


def checked(value: Any, **options: Any) -> tuple[list[str], list[Reference]]:
    """The problems of a field, and what it refers to."""
    problems, found = Problems(), list[Reference]()
    Fields({"a": value}, "$", problems, found).text("a", refers=True, **options)
    return [problem.message for problem in problems], found


def test_template_references_in_a_text_are_bounded() -> None:
    """So many, and the problem is told once, however many more there are."""
    reference = "${{ steps.a.outputs.n }}"
    assert checked(reference * 40, maximum=10)[0] == []
    (problem,), found = checked(reference * (MAX_REFERENCES + 500), maximum=100_000)
    assert problem == f"holds more than {MAX_REFERENCES} references"
    assert len(found) == MAX_REFERENCES


def test_template_length_is_of_what_stands_beside_the_references() -> None:
    """A name that a reference makes part of is measured as far as it is known; a text of any size is refused unread."""
    reference = "${{ steps.a.outputs.n }}"
    assert checked("abcde" + reference, maximum=5)[0] == []
    assert checked("abcdef" + reference, maximum=5)[0] == ["has 6 characters; at most 5 are allowed"]
    assert checked("$${{ab", maximum=5)[0] == []
    assert checked("${{" * 40_000)[0] == ["has 120000 characters; at most 256 are allowed"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("${{ github.sha }}", "'${{ github.sha }}' is not understood"),
        ("${{ steps.a.outputs.n", "is not closed by }}"),
        ("a ${{", "is not closed by }}"),
        ("${{}}", "is not understood"),
        ("${{ steps.a.outputs.n " + " " * 300 + "}}", "is not understood"),
        ("${{ ${{ steps.a.outputs.n }}", "is not understood"),
    ],
)
def test_template_of_another_form_is_a_problem_that_says_how_to_write_it(text: str, what: str) -> None:
    """Nothing that looks like a reference and is none goes on as it is."""
    (problem,), found = checked(text, maximum=1_000)
    assert what in problem
    assert "for the characters themselves write $${{" in problem
    assert found == []


def test_template_without_a_value_is_an_error_with_its_place() -> None:
    """Whatever form it has: what was checked before cannot be there."""
    for text in ("${{ steps.a.outputs.n }}", "${{ steps.a", "${{ x }}"):
        with pytest.raises(InvalidInputError, match=r"\$\.k\[0\]"):
            resolve({"k": [text]}, lambda step, output: {}[step, output])
    assert str(Expression("x", is_closed=False)) == "${{x"
