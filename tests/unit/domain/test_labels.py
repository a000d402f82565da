"""Labels of a manifest: what is accepted, and how they are added and compared."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.storage.journal_rows import label_column
from shared.domain.errors import InvalidInputError
from shared.domain.labels import LABELS_CHARACTERS, MAX_LABELS, has_labels, parse_labels, with_labels
from shared.domain.manifest import compile_manifest
from shared.domain.row_limits import encoded
from shared.steps import KINDS

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,62}", fullmatch=True)
VALUES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,99}", fullmatch=True)
LABELS = st.dictionaries(NAMES, VALUES, max_size=MAX_LABELS)


def manifest(labels: Any, **more: Any) -> dict[str, Any]:
    """Return a manifest with labels."""
    return {
        "name": "m",
        "labels": labels,
        "steps": [{"id": "w", "kind": "workspace", "with": {"displayName": "w"}}],
    } | more


def problems(labels: Any) -> list[tuple[str, str]]:
    """Return the problems of a manifest with these labels."""
    with pytest.raises(InvalidInputError) as caught:
        compile_manifest(manifest(labels), KINDS)
    return [(problem.path, problem.message) for problem in caught.value.problems]


@given(LABELS)
def test_labels_of_a_manifest_reach_the_graph_and_fit_their_row(labels: dict[str, str]) -> None:
    """A manifest without labels has None, as one that was accepted before there were labels."""
    assert compile_manifest(manifest(labels), KINDS).labels == (labels or None)
    assert len(encoded(labels)) <= LABELS_CHARACTERS


@given(LABELS)
def test_labels_survive_the_way_through_an_address(labels: dict[str, str]) -> None:
    """Neither a name nor a value contains what separates them."""
    text = ",".join(f"{name}={value}" for name, value in labels.items())
    assert parse_labels(text.split(",") if text else []) == labels


@given(st.lists(NAMES, unique=True, min_size=2, max_size=2))
def test_labels_have_columns_of_their_own(names: list[str]) -> None:
    """Two names never share a column, and a column's name is an identifier."""
    one, other = map(label_column, names)
    assert one != other
    assert one.isidentifier()


def test_labels_with_values_of_inputs() -> None:
    """Inputs are replaced before labels are checked."""
    given_inputs = {"pr": {"value": "123"}}
    assert compile_manifest(manifest({"pr": "${{ inputs.pr }}"}, inputs=given_inputs), KINDS).labels == {"pr": "123"}


@pytest.mark.parametrize(
    ("labels", "path", "message"),
    [
        ([], "$.labels", "must be an object of names and values, not an array"),
        ({"pr": 123}, "$.labels.pr", "must be a string, not a number; quote it"),
        ({"pr": None}, "$.labels.pr", "must be a string, not null"),
        ({"pr": ""}, "$.labels.pr", "the value must begin with"),
        ({"pr": "a b"}, "$.labels.pr", "the value must begin with"),
        ({"pr": "${{ steps.w.outputs.id }}"}, "$.labels.pr", "the value must begin with"),
        ({"pr": "x" * 101}, "$.labels.pr", "100 at most"),
        ({"p r": "x"}, "$.labels['p r']", "the name must begin with"),
        ({f"n{i}": "x" for i in range(11)}, "$.labels", "has 11 labels; at most 10"),
    ],
)
def test_wrong_labels_are_named(labels: Any, path: str, message: str) -> None:
    found = problems(labels)
    assert [at for at, _ in found] == [path]
    assert message in found[0][1]


@pytest.mark.parametrize("texts", [["pr"], ["=1"], ["pr="], ["pr=1", "pr=2"], [f"n{i}=x" for i in range(11)]])
def test_wrong_texts_of_labels_are_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"label|must be|name|value"):
        parse_labels(texts)


def test_given_labels_replace_those_of_the_manifest() -> None:
    """A text that cannot have labels is returned as it is: the check of the manifest refuses it."""
    assert with_labels({"labels": {"pr": "1", "team": "a"}}, {"pr": "2"}) == {"labels": {"pr": "2", "team": "a"}}
    assert with_labels({"name": "m"}, {"pr": "2"}) == {"name": "m", "labels": {"pr": "2"}}
    assert with_labels({"name": "m"}, {}) == {"name": "m"}
    assert with_labels([], {"pr": "2"}) == []
    assert with_labels({"labels": 7}, {"pr": "2"}) == {"labels": 7}


def test_all_wanted_labels_must_be_there() -> None:
    own = {"pr": "1", "team": "a"}
    assert has_labels(own, {"pr": "1"})
    assert not has_labels(own, {"pr": "1", "team": "b"})
    assert has_labels(None, {})
    assert not has_labels(None, {"pr": "1"})
