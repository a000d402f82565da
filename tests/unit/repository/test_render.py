"""Rendering of single parts: what the comparison with fabric-cicd cannot show, because the two differ or one fails."""

import json

import pytest

from shared.repository import render as module
from shared.repository.model import (
    ZERO_ID,
    Binding,
    Compiled,
    Edge,
    FindRegex,
    FindText,
    Item,
    KeyValue,
    Kind,
    LogicalIds,
    NamedRef,
    Needs,
    Part,
    Plain,
    PoolChoice,
    Ref,
    Replacement,
    Repository,
    SparkPools,
    WorkspaceIds,
    item_ref,
)
from shared.repository.model_json import from_json, to_json
from shared.repository.render import RenderError, render


def resolve(ref: Ref) -> str:
    return f"<{ref}>"


def rendered(text: str | bytes, *rules: Replacement) -> str:
    content = text.encode() if isinstance(text, str) else text
    return render(content, True, rules, resolve).decode()


def test_binary_part_is_sent_byte_for_byte() -> None:
    content = b"\x89PNG\r\n" + ZERO_ID.encode() + b"\xff"
    assert render(content, False, [WorkspaceIds()], resolve) == content


def test_yaml_in_which_no_key_matches_keeps_its_comments() -> None:
    """fabric-cicd writes it again, sorted and without comments (its issue 890)."""
    rule = KeyValue("$.missing", Plain(1), "p:1")
    assert rendered("# why\nb: 1\na: 2\n", rule) == "# why\nb: 1\na: 2\n"
    assert rendered("# why\nb: 1\na: 2\n", KeyValue("$.a", Plain(3), "p:1")) == "a: 3\nb: 1\n"


def test_json_with_a_byte_order_mark_stays_json() -> None:
    """fabric-cicd takes it for YAML and sends YAML."""
    assert rendered('\ufeff{"a": 1}', KeyValue("$.a", Plain(2), "p:1")) == '{"a": 2}'


def test_yaml_that_multiplies_itself_is_left_alone() -> None:
    """A search of all values of such a part would not end (law 4)."""
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    text = "\n".join([*rows, "loop: &l [*l]", ""])
    assert rendered(text, KeyValue("$..name", Plain(1), "p:1")) == text


@pytest.mark.parametrize("text", ["a: !!bool maybe\n", "a: !!int ''\n", "a: !!timestamp soon\n", "a: \x80\n"])
def test_text_that_is_not_yaml_is_left_alone(text: str) -> None:
    """An entry without a filter is tried on every text of the repository."""
    assert rendered(text, KeyValue("$.a", Plain("x"), "p:1")) == text
    pools = SparkPools((PoolChoice("a", item_ref("Lakehouse", "A")),))
    assert rendered(text, pools) == text


def test_references_are_resolved_only_if_they_are_needed() -> None:
    """A missing item must not fail a part that does not contain what is replaced by it."""

    def none(ref: Ref) -> str:
        raise AssertionError(f"{ref} is not needed")

    value = item_ref("Lakehouse", "L")
    rules = [
        LogicalIds((NamedRef("x-id", value),)),
        KeyValue("$.other", value, "p:1"),
        FindText("absent", value, False, "p:2"),
        FindRegex("absent(.)", value, False, "p:3"),
        SparkPools((PoolChoice("other", Ref(Kind.POOL, type="Workspace", name="P")),)),
        WorkspaceIds(),
    ]
    assert render(b'{"a": 1}', True, rules[:4] + rules[5:], none) == b'{"a": 1}'


def test_regular_expression_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern of a manifest must not occupy a worker forever (law 4); the message names its line."""
    monkeypatch.setattr(module, "MAX_REGEX_SECONDS", 0.05)
    rule = FindRegex(r"(a|aa|aaa|aaaa)+$", Plain("x"), False, "parameter.yml:7")
    with pytest.raises(RenderError, match=r"parameter.yml:7: the regular expression takes more than"):
        rendered("a" * 200 + "!", rule)


@pytest.mark.parametrize(
    ("text", "rule", "expected_text"),
    [
        ("ab", FindRegex("a(x?)b", Plain("x"), False, "p:1"), "p:1: the group of the regular expression is empty"),
        (
            "xb b",
            FindRegex("(x)?b", Plain("y"), False, "p:1"),
            "p:1: the group of the regular expression takes no part",
        ),
        ('{"a": [1]}', KeyValue("$.a[?(@.b > 1)].b", Plain(1), "p:1"), None),
        (b"\xff", WorkspaceIds(), "is not UTF-8"),
    ],
)
def test_part_that_cannot_be_rendered_says_why(text: str | bytes, rule: Replacement, expected_text: str | None) -> None:
    if expected_text is None:
        assert rendered(text, rule) == '{"a": [1]}'
        return
    with pytest.raises(RenderError, match=expected_text):
        rendered(text, rule)


def test_model_values_survive_a_way_through_json() -> None:
    """This holds for references, literals of any type, and an object that looks like a model value."""
    literals = [None, "", 0, False, 1.5, [], {"is": "Ref"}, {"a": [None, {"is": "x"}]}]
    rules = [KeyValue("$.a", Plain(each, is_from_env=True), "p:1") for each in literals]
    found = Compiled((*rules, KeyValue("$", None, "p:2"), WorkspaceIds(True)), {"f": (0, 1)})
    part = Part("p", "d/p", 0, "", False)
    item = Item("T", "N", "", ZERO_ID, {"is": "Item"}, "", "d", (part,))
    values = (
        *(found, Repository((item,), ("/A",)), Binding("m", ("c",), "p:1"), Edge("a", "b", Needs.ID, "f", "r")),
        Ref(Kind.WORKSPACE, "name", workspace="W"),
    )
    for value in values:
        assert from_json(json.loads(json.dumps(to_json(value)))) == value


@pytest.mark.parametrize(
    "data", [{"is": "Nothing"}, {"is": "Ref", "kind": "other"}, {"is": "Ref", "x": 1}, {"is": "Part"}]
)
def test_json_of_another_form_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match=r"repository|Kind"):
        from_json(data)
