"""A configuration of fabric-cicd for one environment, with the file and line of each problem, and what it selects."""

import pytest

from shared.domain.errors import Problems
from shared.repository import config
from shared.repository.config import Config, Override
from shared.repository.model import Item, Repository
from shared.repository.selection import Selection, folders_of, selected

WORKSPACE = "5f1a2b3c-0000-4000-8000-000000000001"
MINIMAL = f"core:\n  workspace_id: {WORKSPACE}\n  repository_directory: ws\n"


def loaded(text: str, environment: str = "PROD") -> tuple[Config | None, list[str]]:
    problems = Problems()
    return config.load(text, "config.yml", environment, problems), [str(each) for each in problems]


def test_minimal_configuration_publishes_and_unpublishes_everything() -> None:
    """No parameters apply without core.parameter, and both halves run although no section names them."""
    found, problems = loaded(MINIMAL, "N/A")
    assert found is not None
    assert problems == []
    assert (found.workspace_id, found.repository_directory, found.parameter) == (WORKSPACE, "ws", None)
    assert (found.publish_skip, found.unpublish.skip, found.selection) == (False, False, Selection())


def test_each_field_has_the_value_of_the_environment() -> None:
    text = """
core:
  workspace: {DEV: Dev, PROD: Prod}
  repository_directory: {dev: d, DEV: e, PROD: p}
  item_types_in_scope: {PROD: [Notebook]}
  parameter: {DEV: parameter.yml}
publish:
  exclude_regex: ^tmp
  folder_exclude_regex: {DEV: ^/old}
  folder_path_to_include: {PROD: [/A]}
  items_to_include: [A.Notebook]
  shortcut_exclude_regex: x
  skip: {DEV: true}
unpublish:
  skip: {PROD: true}
  exclude_regex: keep
features: {PROD: [enable_shortcut_publish]}
constants: {DEFAULT_API_ROOT_URL: "https://api.powerbi.com"}
"""
    found, problems = loaded(text)
    assert found is not None
    assert problems == []
    assert (found.workspace, found.repository_directory, found.repository_place) == ("Prod", "p", "config.yml:4")
    assert found.selection == Selection(("Notebook",), "^tmp", "", ("/A",), ("A.Notebook",), "x")
    assert (found.publish_skip, found.unpublish.skip, found.unpublish.exclude_regex) == (False, True, "keep")
    assert found.features == {"enable_shortcut_publish"}
    assert [each.path for each in found.warnings] == [
        "config.yml:6",
        "config.yml:18",
        "config.yml:9",
        "config.yml:13",
    ]


@pytest.mark.parametrize(
    ("text", "expected_text"),
    [
        ("", "config.yml: is empty"),
        ("[]", "config.yml:1: must be a mapping with the section core"),
        ("core: 1", "config.yml:1: core must be a mapping"),
        ("publish: {}", "config.yml:1: the section core is missing"),
        ("core: {repository_directory: x}", "config.yml:1: core must have workspace_id, or workspace"),
        ("core: {workspace: x}", "config.yml:1: core must have repository_directory"),
        ("core:\n  workspace_id: x\n  repository_directory: x", "config.yml:2: workspace_id 'x' is not a GUID"),
        ("core:\n  workspace: {DEV: x}\n  repository_directory: x", "config.yml:2: workspace has no value for PROD"),
        (MINIMAL + "  item_types_in_scope: [Note]", "config.yml:4: 'Note' is not an item type"),
        (MINIMAL + "  item_types_in_scope: []", "item_types_in_scope must be a non-empty list, not an empty list"),
        (MINIMAL + "  parameter: ' '", "config.yml:4: parameter must be a non-empty text, not an empty text"),
        (MINIMAL + "publish:\n  exclude_regex: (", "config.yml:5: '(' is not a regular expression"),
        (MINIMAL + "publish:\n  skip: 'yes'", "config.yml:5: publish.skip must be true or false"),
        (MINIMAL + "publish:\n  folder_path_to_include: [A]", "config.yml:5: the folder 'A' must begin with /"),
        (
            MINIMAL + "publish:\n  skip: false\n  folder_path_to_include: [/A]\n  folder_exclude_regex: x",
            "config.yml:6: cannot be combined with folder_exclude_regex",
        ),
        (
            MINIMAL + "unpublish:\n  shortcut_exclude_regex: x",
            "config.yml:5: shortcut_exclude_regex belongs to the section",
        ),
        (MINIMAL + "core: {}", "config.yml:4: the key 'core' appears twice"),
    ],
)
def test_problem_has_its_file_and_line(text: str, expected_text: str) -> None:
    _, problems = loaded(text)
    assert any(expected_text in each for each in problems), problems


@pytest.mark.parametrize(
    ("override", "expected_text"),
    [
        ("cor: {}", "over.yml:1: 'cor' is not a section"),
        ("core: []", "over.yml:1: core must be a mapping, not an empty list"),
        ("features: x", "over.yml:1: features must be a list or a mapping, not a text"),
        ("publish:\n  skip: false\n  skp: true", "over.yml:3: 'skp' is not a key of publish"),
        ("core:\n  workspace_id: x", "over.yml:2: workspace_id 'x' is not a GUID"),
        ("core:\n  item_types_in_scope:\n  - Note", "over.yml:3: 'Note' is not an item type"),
        ("core:\n  repository_directory: {DEV: x}", "over.yml:2: repository_directory has no value for PROD"),
        ("- core", "over.yml:1: must be a mapping of sections, not a list"),
        ("core: [", "over.yml:1: is not valid YAML"),
    ],
)
def test_problem_of_an_override_has_its_own_file_and_line(override: str, expected_text: str) -> None:
    problems = Problems()
    config.load(MINIMAL, "config.yml", "PROD", problems, Override(override, "over.yml"))
    assert [str(each) for each in problems if expected_text in str(each)], problems


@pytest.mark.parametrize(
    ("text", "environment", "is_known"),
    [
        (MINIMAL.replace(WORKSPACE, "x"), "PROD", True),
        (MINIMAL + "unpublish:\n  exclude_regex: (", "PROD", True),
        (MINIMAL + "publish:\n  exclude_regex: (", "PROD", False),
        (MINIMAL + "  parameter: ' '", "PROD", False),
        (MINIMAL + "publish: 1", "PROD", False),
        (MINIMAL + "  item_types_in_scope: [Note]", "PROD", False),
        (MINIMAL.replace(WORKSPACE, "{DEV: x}"), "PROD", False),
        (MINIMAL.replace(WORKSPACE, "{DEV: x}"), "N/A", False),
    ],
)
def test_configuration_with_a_problem_says_what_it_leaves_open(text: str, environment: str, is_known: bool) -> None:
    """Which repository it names is known, and in some cases also which items of it are deployed, and how."""
    found, problems = loaded(text, environment)
    assert problems
    assert found is not None
    assert (found.repository_directory, found.is_content_known) == ("ws", is_known)


@pytest.mark.parametrize("override", ["core: {repository_directry: x}", "core: [", "- core"])
def test_override_with_a_problem_may_name_another_repository(override: str) -> None:
    problems = Problems()
    assert config.load(MINIMAL, "config.yml", "PROD", problems, Override(override, "over.yml")) is None
    assert problems


def test_override_cannot_add_what_the_configuration_must_have() -> None:
    """As in fabric-cicd, so that a configuration is complete without it."""
    problems = Problems()
    override = Override(MINIMAL, "over.yml")
    assert config.load("core: {item_types_in_scope: [Map]}", "config.yml", "PROD", problems, override) is None
    places = [each.path for each in problems if "an override cannot add" in each.message]
    assert places == ["over.yml:2", "over.yml:3"]


def test_mapping_without_an_environment_is_a_problem() -> None:
    text = f"core:\n  workspace_id: {{DEV: {WORKSPACE}}}\n  repository_directory: x\n"
    assert "give --environment" in loaded(text, "N/A")[1][0]


def test_merge_keys_are_read_as_yaml_has_them() -> None:
    found, problems = loaded(
        f"base: &b\n  workspace_id: {WORKSPACE}\n  repository_directory: a\n"
        "core:\n  <<: *b\n  repository_directory: b\n"
    )
    assert found is not None
    assert problems == []
    assert found.repository_directory == "b"


ITEMS = {
    "Notebook/Root": "",
    "Notebook/tmp_x": "",
    "Notebook/Deep": "/A/B",
    "Report/Shallow": "/A",
    "Dashboard/Old": "",
}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), ["Notebook/Root", "Notebook/tmp_x", "Notebook/Deep", "Report/Shallow"]),
        (Selection(types=("Report",)), ["Report/Shallow"]),
        (Selection(exclude_regex="tmp"), ["Notebook/Root", "Notebook/Deep", "Report/Shallow"]),
        (Selection(exclude_regex="x"), ["Notebook/Root", "Notebook/tmp_x", "Notebook/Deep", "Report/Shallow"]),
        (Selection(folder_exclude_regex="^/A$"), ["Notebook/Root", "Notebook/tmp_x"]),
        (Selection(folder_exclude_regex="B"), ["Notebook/Root", "Notebook/tmp_x", "Report/Shallow"]),
        (Selection(folders=("/A",)), ["Notebook/Root", "Notebook/tmp_x", "Report/Shallow"]),
        (Selection(items=("deep.notebook",)), ["Notebook/Deep"]),
    ],
)
def test_selection_chooses_as_fabric_cicd(selection: Selection, expected: list[str]) -> None:
    rows = [(*key.split("/"), folder) for key, folder in ITEMS.items()]
    items = [Item(kind, name, "", "", None, folder, f"{name}.{kind}", ()) for kind, name, folder in rows]
    chosen, left = selected(Repository(tuple(items), ()), selection)
    assert list(chosen) == expected
    assert {*chosen, *left} == ITEMS.keys()
    assert left["Dashboard/Old"] == "is of a type that cannot be deployed"


def test_folders_of_the_chosen_items_come_with_their_parents_first() -> None:
    items = [Item("Notebook", "A", "", "", None, "/A/B", "d", ()), Item("Notebook", "B", "", "", None, "/C", "e", ())]
    assert folders_of(items) == ("/A", "/C", "/A/B")
