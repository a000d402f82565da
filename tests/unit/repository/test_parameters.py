"""parameter.yml: what is accepted, and the file and line of each thing that is not."""

from collections.abc import Mapping

import pytest

from shared.domain.errors import Problems
from shared.repository import parameters
from shared.repository.model import Plain, Ref
from shared.repository.parameter_model import Parameters

FILE = "parameter.yml"
FIND = "find_replace:\n- find_value: old\n  replace_value: {PROD: new}\n"


def loaded(
    files: str | Mapping[str, str], environment: str = "PROD", env: Mapping[str, str] | None = None
) -> tuple[Parameters | None, list[str]]:
    problems = Problems()
    texts = {FILE: files} if isinstance(files, str) else files
    found = parameters.load(texts.get, FILE, environment, env, problems)
    return found, [str(each) for each in problems]


@pytest.mark.parametrize(
    ("text", "expected_text"),
    [
        ("", "parameter.yml: is empty"),
        ("# nothing\n", "parameter.yml: is empty"),
        ("- a\n", "parameter.yml:1: must be a mapping of find_replace"),
        ("a: [\n", "parameter.yml:2: is not valid YAML"),
        ("a: !!python/object:x y\n", "parameter.yml:1: is not valid YAML: could not determine a constructor"),
        ("extend: []\n", "parameter.yml:1: 'extend' is not a parameter"),
        (FIND + "other: []\n", "parameter.yml:4: 'other' is not a parameter"),
        ("find_replace: x\n", "parameter.yml:1: find_replace must be a list of parameters, not a text"),
        ("find_replace:\n- 1\n", "parameter.yml:2: an entry of find_replace must be a mapping, not a number"),
        ("find_replace:\n- find_value: x\n", "parameter.yml:2: replace_value is missing or empty"),
        (FIND + "  extra: 1\n", "parameter.yml:4: 'extra' is not a key of find_replace"),
        (
            FIND + "  is_regex: true\n",
            'parameter.yml:4: is_regex must be a text, not a boolean; write is_regex: "true"',
        ),
        (FIND + "  item_type: 5\n", "parameter.yml:4: item_type must be a text or a list of texts"),
        (FIND + '  is_regex: "true"\n', "parameter.yml:2: the regular expression must have exactly one group"),
        (
            "find_replace:\n- find_value: (\n  is_regex: 'true'\n  replace_value: {A: b}\n",
            ":2: find_value is not a regular",
        ),
        ("find_replace:\n- find_value: $(x)\n  is_regex: 'true'\n  replace_value: {A: b}\n", "may not begin with $"),
        (
            "find_replace:\n- find_value: $items.Lakehouse.A.$id\n  replace_value: {A: b}\n",
            ":2: find_value may not be a",
        ),
        (
            "find_replace:\n- find_value: x\n  replace_value:\n    PROD: a\n    prod: b\n",
            ":5: the key 'prod' differs from",
        ),
        (
            "find_replace:\n- find_value: x\n  find_value: y\n  replace_value: {A: b}\n",
            ":3: the key 'find_value' appears twice",
        ),
        ("find_replace:\n- find_value: x\n  replace_value:\n    _ALL_: a\n    PROD: b\n", ":4: _ALL_ stands for every"),
        ("find_replace:\n- find_value: x\n  replace_value:\n    1: a\n", ":4: the key '1' is not a text; quote it"),
        (
            "find_replace:\n- find_value: x\n  replace_value:\n    A: 2026-01-01\n",
            ":4: '2026-01-01' is a date; quote it",
        ),
        (
            "find_replace:\n- find_value: x\n  replace_value:\n    A: $items.Lakehous.B.$id\n",
            ":4: '$items.Lakehous.B.$id' names",
        ),
        (
            "find_replace:\n- find_value: x\n  replace_value:\n    A: $ENV:B\n",
            ":4: '$ENV:B' is an environment variable",
        ),
        (
            "key_value_replace:\n- find_key: a.b\n  replace_value: {A: b}\n",
            ":2: find_key must be a JSONPath that begins",
        ),
        ("key_value_replace:\n- find_key: $..[\n  replace_value: {A: b}\n", ":2: find_key is not a JSONPath"),
        (
            "key_value_replace:\n- find_key: $.a\n  replace_value:\n    A: 1\n    B: 1.5\n",
            ":5: the value for B is float",
        ),
        ("key_value_replace:\n- find_key: $.a\n  replace_value:\n    A: null\n", ":4: the value for A is empty"),
        (
            "spark_pool:\n- instance_pool_id: x\n  replace_value:\n    A: {type: Small, name: n}\n",
            ":4: type for A must be",
        ),
        (
            "spark_pool:\n- instance_pool_id: x\n  replace_value:\n    A: {name: n}\n",
            ":4: the value for A must have exactly",
        ),
        ("semantic_model_binding:\n  models: []\n", ":2: models must be a list with entries"),
        ("semantic_model_binding:\n  other: 1\n", ":2: 'other' is not a key"),
        ("semantic_model_binding:\n- connection_id: x\n  semantic_model_name: m\n", ":2: connection_id must be a GUID"),
        ("a: &x {b: 1}\nfind_replace:\n- <<: *x\n", ":3: merge keys (<<) are not supported"),
    ],
)
def test_problem_has_its_file_and_line(text: str, expected_text: str) -> None:
    found, problems = loaded(text)
    assert found is None
    assert any(expected_text in each for each in problems), problems


@pytest.mark.parametrize(
    ("value", "expected_text"),
    [
        ("!!bool maybe", ":3: 'maybe' cannot be read as YAML's type bool; quote it"),
        ("!!int ''", ":3: '' cannot be read as YAML's type int; quote it"),
        ("!!timestamp soon", ":3: 'soon' cannot be read as YAML's type timestamp; quote it"),
        (f"0x{'f' * 5000}", ":3: is an integer too large for any field; quote it"),
        ("2024-13-45", ":3: '2024-13-45' cannot be read as YAML's type timestamp; quote it"),
        ("it\u0080s", ":3: contains the character U+0080, which YAML does not allow"),
        ('"\\ud83d"', ":3: contains U+D83D, which is half a character; write the whole one"),
    ],
)
def test_value_that_is_no_text_is_a_problem_with_its_line(value: str, expected_text: str) -> None:
    """The command line failed with the place in its own code. U+0080 is what is left of a quote that was encoded
    twice."""
    _, problems = loaded(f"find_replace:\n- find_value: old\n  replace_value: {{PROD: {value}}}\n")
    assert any(expected_text in each for each in problems), problems


def test_character_in_two_halves_is_one_character() -> None:
    """Tools that write JSON escape it so, and YAML reads what they write."""
    found, problems = loaded('find_replace:\n- find_value: old\n  replace_value: {PROD: "\\ud83d\\ude00"}\n')
    assert problems == []
    assert found is not None
    assert found.finds[0].value == Plain("\U0001f600")


def test_all_problems_are_reported_at_once() -> None:
    text = "find_replace:\n- find_value: x\n- 1\nkey_value_replace: 1\nother: []\n"
    assert len(loaded(text)[1]) == 4


def test_missing_file_has_no_parameters_and_is_no_problem() -> None:
    assert loaded({}) == (None, [])


def test_entries_have_the_values_of_the_environment() -> None:
    text = """
find_replace:
- find_value: a
  replace_value: {DEV: b, PROD: $workspace.$id}
  item_type: Notebook
  item_name: [x, y]
  file_path: ""
- find_value: only-dev
  replace_value: {DEV: b}
key_value_replace:
- find_key: $.a
  replace_value: {_all_: 3}
"""
    found, problems = loaded(text)
    assert found is not None
    assert problems == []
    (find,) = found.finds
    assert isinstance(find.value, Ref)
    assert str(find.value) == "$workspace.$id"
    assert (find.where.types, find.where.names, find.where.paths, find.place) == (
        ("Notebook",),
        ("x", "y"),
        None,
        f"{FILE}:3",
    )
    assert found.keys[0].value == Plain(3)
    assert [str(each) for each in found.warnings] == [
        f"{FILE}:8: find_value 'only-dev' has no value for PROD, so it is not applied"
    ]


def test_templates_are_merged_after_the_file_and_their_problems_are_theirs() -> None:
    more = "find_replace:\n- find_value: second\n  replace_value: {PROD: x}\n"
    found, _ = loaded({FILE: "extend: [t/a.yml, t/a.yml]\n" + FIND, "t/a.yml": more})
    assert found is not None
    assert [(each.find, each.place) for each in found.finds] == [("old", f"{FILE}:3"), ("second", "t/a.yml:2")]
    assert loaded({FILE: "extend: [no.yml]\n" + FIND})[1] == [f"{FILE}:1: the template 'no.yml' does not exist"]
    assert loaded({FILE: "extend: [a.yml]\n" + FIND, "a.yml": "extend: [b.yml]\n"})[1] == [
        "a.yml:1: a template may not extend others; name them in the first file"
    ]


def test_environment_variables_are_replaced_and_marked() -> None:
    text = "find_replace:\n- find_value: a\n  replace_value:\n    PROD: https://$ENV:HOST/x\n    DEV: $ENV:NO\n"
    found, problems = loaded(text, env={"HOST": "h.example", "UNUSED": "u"})
    assert found is not None
    assert problems == []
    assert found.finds[0].value == Plain("https://h.example/x", is_from_env=True)
    assert found.environment_variables == ("HOST",)
    assert loaded(text, "DEV", {"HOST": "h"})[1] == [f"{FILE}:5: the environment variable 'NO' is not set"]


@pytest.mark.parametrize(
    ("section", "at", "expected_text"),
    [
        (
            "semantic_model_binding:\n  default:\n    connection_id: {A: ID}\n    note: x\n",
            4,
            "'note' is not a key of default",
        ),
        (
            "semantic_model_binding:\n  models:\n  - semantic_model_name: m\n    connection_ids: {A: ID}\n"
            "    connection_id: {A: ID}\n",
            4,
            "'connection_ids' is not a key of an entry of models",
        ),
        (
            "gateway_binding:\n- gateway_id: ID\n  dataset_name: m\n  connection_id: ID\n",
            4,
            "'connection_id' is not a key of an entry of gateway_binding",
        ),
    ],
)
def test_key_of_a_binding_that_has_no_effect_is_a_warning(section: str, at: int, expected_text: str) -> None:
    """fabric-cicd accepts such a file and ignores the key without a word."""
    found, problems = loaded(section.replace("ID", "11111111-2222-4333-8444-555555555555"), "A")
    assert problems == []
    assert found is not None
    [warning] = [each for each in found.warnings if "is not a key" in each.message]
    assert warning.path.endswith(f":{at}")
    assert warning.message.startswith(expected_text)


def test_bindings_of_both_forms_are_read() -> None:
    one, two = "11111111-2222-4333-8444-555555555555", "11111111-2222-4333-8444-666666666666"
    text = f"semantic_model_binding:\n  default: {{connection_id: {{_ALL_: {one}}}}}\n  models:\n"
    text += "  - semantic_model_name: [A, B]\n"
    found, _ = loaded(f"{text}    connection_id: {{PROD: [{one}, {two}]}}\n")
    assert found is not None
    assert found.default_connections is not None
    assert found.default_connections.connection_ids == (one,)
    assert [(each.model, each.connection_ids) for each in found.bindings] == [("A", (one, two)), ("B", (one, two))]
    old, _ = loaded(f"{FIND}gateway_binding:\n- gateway_id: {one}\n  dataset_name: C\n")
    assert old is not None
    assert [(each.model, each.connection_ids) for each in old.bindings] == [("C", (one,))]


def test_document_that_multiplies_itself_is_refused() -> None:
    """Aliases of aliases would expand to more values than memory holds."""
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "contains more than" in loaded("\n".join(rows))[1][0]


def test_environment_that_no_entry_has_is_a_warning_with_the_one_that_was_meant() -> None:
    """A misspelt name deploys the values of development, because no entry is applied."""
    text = "find_replace:\n- find_value: a\n  replace_value: {PROD: b, TEST: c}\n"
    for environment, expected in (("PRD", "Did you mean 'PROD'?"), ("PROD", ""), ("TEST", "")):
        found, problems = loaded(text, environment)
        assert found is not None
        assert problems == []
        first = [each for each in found.warnings if each.path == FILE]
        assert bool(first) is bool(expected)
        assert expected in "".join(each.message for each in first)


def test_tab_in_yaml_is_told_what_to_write() -> None:
    _, problems = loaded({FILE: "find_replace:\n\t- find_value: a\n"})
    [problem] = problems
    assert problem.startswith(f"{FILE}:2: is not valid YAML: ")
    assert problem.endswith("; indent with spaces, not with tabs")
