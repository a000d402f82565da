"""References in texts: what replaces them, what is literal, and that parsing costs no more than the length of the
text."""

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
    """Return the value of a text without references."""
    return resolve(text, lambda step, output: {}[step, output])


@given(TEXTS)
def test_template_escape_is_exact(text: str) -> None:
    """Every text can be written with the escape, and is read back unchanged."""
    assert not has_reference(escaped(text))
    assert literal(escaped(text)) == text
    assert readable(escaped(text)) == text


@given(TEXTS, TEXTS)
def test_template_escape_does_not_change_a_reference_beside_it(before: str, after: str) -> None:
    """The text around a reference is literal; one dollar before a reference is the escape."""
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
def test_template_with_escapes_and_references(text: str, becomes: str) -> None:
    """The cases are those of docs/manifest.md."""
    assert resolve(text, lambda *_: 7) == becomes


def test_template_value_is_never_parsed_again() -> None:
    """Another step's output may contain anything, and is inserted literally."""
    value = "${{ steps.b.outputs.n }} $${{"
    assert resolve("x${{ steps.a.outputs.n }}", lambda *_: value) == f"x{value}"


@given(
    st.lists(
        st.sampled_from(["${{ steps.a.outputs.n }}", "${{ steps.b.outputs.n }}", "$", "{", "$${{", "a"]), max_size=5
    ),
    st.sampled_from(["", "$", "$$", "${", "{", "{{", "v", "${{", "}}"]),
)
@example(["${{ steps.a.outputs.n }}", "${{ steps.b.outputs.n }}"], "$")
@example(["${{ steps.a.outputs.n }}", "{"], "${")
@example(["a", "$", "a", "${{ steps.a.outputs.n }}", "{"], "${")
def test_template_substituted_in_two_passes_means_the_same(pieces: list[str], value: str) -> None:
    """Inserting the known values first and the rest later gives the same result as inserting all at once."""
    template = "".join(pieces)
    known = {("a", "n"): value}
    if any(isinstance(part, Expression) and part.output is None for part in parts(template)):
        return
    half = substituted(template, lambda *key: known.get(key))
    assert resolve(half, lambda *key: known.get(key, "B")) == resolve(template, lambda *key: known.get(key, "B"))


def test_template_substituted_stays_a_template() -> None:
    """Known references become their values, the others stay, and no inserted text counts as a reference."""
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


class CountedText(str):
    """A text that counts how many of its characters are searched."""

    looked_at = 0

    def find(self, what: str, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        """Search as str.find does, and count the characters."""
        at = super().find(what, start)
        CountedText.looked_at += (at if at >= 0 else len(self)) - start
        return at


@pytest.mark.parametrize(
    "piece", ["${{", "${{ ", "$${{", "}}", "${{ x }}", "${{}}", "${{ steps.a.outputs.n }}", "$", "{{", "${{ ${{ }}"]
)
def test_template_is_parsed_in_one_pass(piece: str) -> None:
    """Each character of any text is searched only a few times, and there is at most one problem."""
    for count in (1_000, 4_000):
        text = CountedText(piece * count)
        CountedText.looked_at = 0
        read = sum(1 for _ in parts(text))
        assert CountedText.looked_at <= 3 * len(text)
        assert read <= 2 * count + 2


def checked(value: Any, **options: Any) -> tuple[list[str], list[Reference]]:
    """Return the problems of a field, and its references."""
    problems, found = Problems(), list[Reference]()
    Fields({"a": value}, "$", problems, found).text("a", refers=True, **options)
    return [problem.message for problem in problems], found


def test_template_has_a_maximum_of_references() -> None:
    """The problem is reported once, however many more there are."""
    reference = "${{ steps.a.outputs.n }}"
    assert checked(reference * 40, maximum=10)[0] == []
    (problem,), found = checked(reference * (MAX_REFERENCES + 500), maximum=100_000)
    assert problem == f"contains more than {MAX_REFERENCES} references"
    assert len(found) == MAX_REFERENCES


def test_template_length_is_measured_without_the_references() -> None:
    """A name that contains a reference is measured as far as it is known; a text that is too long is refused
    unparsed."""
    reference = "${{ steps.a.outputs.n }}"
    assert checked("abcde" + reference, maximum=5)[0] == []
    assert checked("abcdef" + reference, maximum=5)[0] == ["has 6 characters; at most 5 are allowed"]
    assert checked("$${{ab", maximum=5)[0] == []
    assert checked("${{" * 40_000)[0] == ["has 120000 characters; at most 256 are allowed"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("${{ github.sha }}", "'${{ github.sha }}' is not a reference"),
        ("${{ steps.a.outputs.n", "is not closed by }}"),
        ("a ${{", "is not closed by }}"),
        ("${{}}", "is not a reference"),
        ("${{ steps.a.outputs.n " + " " * 300 + "}}", "is not a reference"),
        ("${{ ${{ steps.a.outputs.n }}", "is not a reference"),
    ],
)
def test_template_of_another_form_is_a_problem_with_the_right_form(text: str, what: str) -> None:
    """A text that looks like a reference and is not a valid one is never accepted unchanged."""
    (problem,), found = checked(text, maximum=1_000)
    assert what in problem
    assert "for the characters themselves write $${{" in problem
    assert found == []


def test_template_without_a_value_is_an_error_with_its_place() -> None:
    """This holds for every form of reference, because a checked reference cannot lack its value."""
    for text in ("${{ steps.a.outputs.n }}", "${{ steps.a", "${{ x }}"):
        with pytest.raises(InvalidInputError, match=r"\$\.k\[0\]"):
            resolve({"k": [text]}, lambda step, output: {}[step, output])
    assert str(Expression("x", is_closed=False)) == "${{x"
