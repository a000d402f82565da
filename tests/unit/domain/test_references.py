"""References: whole ones, references inside a text, and references without a value."""

import pytest

from shared.domain.errors import InvalidInputError
from shared.domain.references import resolve


def test_references_keep_types_and_become_text_inside_a_text() -> None:
    """A value that is one reference keeps the type of the referenced value."""
    values = {("a", "n"): 7, ("a", "s"): "x"}
    value = {"k": ["${{ steps.a.outputs.n }}", "-${{steps.a.outputs.s}}-${{ steps.a.outputs.n }}"]}
    assert resolve(value, lambda s, o: values[s, o]) == {"k": [7, "-x-7"]}


def test_references_without_a_value_name_their_place() -> None:
    """A missing output is an error with a path, not a crash."""
    with pytest.raises(InvalidInputError, match=r"\$\.k\[0\]"):
        resolve({"k": ["${{ steps.a.outputs.gone }}"]}, lambda s, o: {}[s, o])


def test_references_beside_each_other_are_each_resolved() -> None:
    """A text that begins and ends with a reference is not one reference; a single one keeps its value's type."""
    values = {"a": 1, "b": "two"}
    text = "${{ steps.a.outputs.x }} and\n${{ steps.b.outputs.x }}"
    assert resolve(text, lambda step, _: values[step]) == "1 and\ntwo"
    assert resolve("${{ steps.a.outputs.x }}", lambda step, _: values[step]) == 1
