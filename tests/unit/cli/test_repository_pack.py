"""A repository is packed by the command line: what the step names, what is stored beside it, what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from local.paths import ROOT
from shared.cli import fabric_cicd
from shared.cli.pack import packed
from shared.cli.stored import StoredFiles
from shared.domain.errors import InvalidInputError, Problem
from shared.domain.manifest import compile_manifest
from shared.steps import KINDS
from tests.fakes import MemoryBlobs
from tests.unit.cli.test_commands import events, run

EXAMPLE = ROOT / "examples" / "repository"
GUID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"


def manifest(**more: Any) -> dict[str, Any]:
    """Return a manifest that deploys the folder `workspace`."""
    spec = {"workspaceId": GUID, "path": "workspace", "environment": "PROD", **more}
    return {"name": "m", "steps": [{"id": "content", "kind": "repository", "with": spec}]}


def steps(data: Any) -> dict[str, Any]:
    """Return the steps of the graph by id."""
    return {step.step_id: step for step in compile_manifest(data, KINDS).steps}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a copy of the example."""
    shutil.copytree(EXAMPLE / "workspace", tmp_path / "workspace")
    return tmp_path


def test_packed_repository_expands_to_steps_in_the_order_of_references(folder: Path) -> None:
    """A notebook waits for its lakehouse and its folder, a cycle is cut, and two items have an action of their own."""
    found = steps(packed(manifest(), folder, stored=StoredFiles()))
    needs = set(found["content/Notebook/Join"].needs)
    items = {"content/Environment/spark", "content/Lakehouse/sales"}
    assert needs == {*items, "content/folder/Transform", "content/removed-schedules"}
    assert "content/Reflex/alarm" in found["content/Reflex/alarm/definition"].needs
    assert found["content/Environment/spark/publish"].kind == "environment_publish"
    assert found["content/VariableLibrary/names/value-set"].spec["valueSet"] == "PROD"
    refs = found["content/SemanticModel/Sales"].spec["refs"]
    outputs = "steps.content/Lakehouse/sales.outputs.sqlEndpointConnectionString"
    assert any(outputs in each["value"] for each in refs)


def test_items_that_refer_to_an_endpoint_wait_for_its_refresh(folder: Path) -> None:
    """The refresh itself waits for the shortcuts of the lakehouse. Nothing is refreshed by default."""
    refresh = "content/Lakehouse/sales/sql-endpoint"
    assert refresh not in steps(packed(manifest(), folder, stored=StoredFiles()))
    found = steps(packed(manifest(refreshSqlEndpoints=True), folder, stored=StoredFiles()))
    assert refresh in found["content/SemanticModel/Sales"].needs
    assert refresh not in found["content/Notebook/Join"].needs
    assert f"{refresh}/endpoint" in found[refresh].needs
    assert "content/Lakehouse/sales" in found[refresh].needs
    links = {step_id for step_id in found if step_id.startswith("content/Lakehouse/sales/shortcut/")}
    assert links <= set(found[refresh].needs)


def test_packed_repository_stores_each_file_once(folder: Path) -> None:
    """The manifest has hashes only; a second deployment of the same files sends nothing."""
    stored, blobs = StoredFiles(), MemoryBlobs()
    data = packed(manifest(), folder, stored=stored)
    assert "spark.table" not in json.dumps(data)
    sent = stored.send(blobs)
    assert sent == sum(file.size for file in stored.files.values())
    again = StoredFiles()
    packed(manifest(), folder, stored=again)
    assert again.send(blobs) == 0
    assert again.files.keys() == stored.files.keys()


def test_packed_repository_keeps_to_its_filters(folder: Path) -> None:
    found = steps(packed(manifest(itemTypes=["Lakehouse", "Environment"]), folder, stored=StoredFiles()))
    assert [step_id for step_id in found if "/folder/" not in step_id] == [
        "content/Environment/spark",
        "content/Environment/spark/publish",
        "content/Lakehouse/sales",
        "content/removed-shortcuts",
    ]


def test_small_files_of_many_items_are_one_payload(folder: Path) -> None:
    """To store and to read a payload takes a request."""
    stored = StoredFiles()
    with_ = packed(manifest(), folder, stored=stored)["steps"][0]["with"]
    templates = [row["template"] for row in with_["items"] if "template" in row]
    assert len(templates) > 8
    assert {row["bundle"] for row in with_["items"] if "template" in row} == set(stored.files) - {with_["identities"]}
    assert set(json.loads(stored.read(next(iter(stored.files))))) == set(templates)


def test_every_problem_of_a_repository_is_reported_with_its_place(folder: Path) -> None:
    """A broken `.platform`, a duplicate logical id, a parameter without a value, wrong schedules, a bad expression and
    another step with an unknown field are reported together. A reference to a broken item is not one more problem."""
    (folder / "workspace/Live/alarm.Reflex/.platform").write_text("{")
    model = next((folder / "workspace").rglob("*.SemanticModel"))
    (model / ".platform").write_text("{}")
    shutil.copytree(folder / "workspace/Storage/sales.Lakehouse", folder / "workspace/Storage/copy.Lakehouse")
    (folder / "workspace/parameter.yml").write_text("find_replace:\n  - find_value: a\n")
    put_schedules(folder, "{")
    data = manifest(excludeShortcuts="(")
    data["steps"].append({"id": "more", "kind": "workspace", "with": {"displayNam": "sales"}})
    with pytest.raises(InvalidInputError) as caught:
        packed(data, folder, stored=StoredFiles())
    places = [problem.path.replace(str(model.relative_to(folder)), "MODEL") for problem in caught.value.problems]
    for wanted in (
        *("workspace/Live/alarm.Reflex/.platform:1", "MODEL/.platform:1", "workspace/parameter.yml:2"),
        *("workspace/Ingest/Nightly.DataPipeline/.schedules:1", "$.steps[0].with.excludeShortcuts"),
        "$.steps[1].with.displayNam",
    ):
        assert wanted in places
    assert any(".Lakehouse/.platform:" in place for place in places)
    assert not [problem for problem in caught.value.problems if "not in the repository" in problem.message]
    assert len(set(caught.value.problems)) == len(caught.value.problems)


def test_file_that_changes_after_it_was_packed_is_not_sent(folder: Path) -> None:
    """Otherwise a hash would name another content. A small file was read when it was packed."""
    stored = StoredFiles()
    file = folder / "workspace/Transform/Join.Notebook/notebook-content.py"
    file.write_text(f"# Fabric notebook source\n{'x = 1\n' * 2_000}")
    packed(manifest(), folder, stored=stored)
    file.write_text("other")
    with pytest.raises(Exception, match="changed after it was checked"):
        stored.send(MemoryBlobs())


def test_configuration_of_fabric_cicd_becomes_a_manifest() -> None:
    """A workspace by name is created if it is missing; paths stay relative to the configuration."""
    made = fabric_cicd.manifest_of(str(EXAMPLE / "config.yml"), "PROD")
    workspace, content = made.manifest["steps"]
    assert workspace["with"] == {"displayName": "contoso-sales-repository"}
    assert content["with"]["path"] == "workspace"
    assert (content["with"]["parameters"], content["with"]["environment"]) == ("parameter.yml", "PROD")
    assert len(steps(packed(made.manifest, made.folder, made.root, stored=StoredFiles()))) > 20


def test_configuration_without_the_environment_is_refused_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text("core:\n  workspace: {DEV: a}\n  repository_directory: workspace\n")
    with pytest.raises(InvalidInputError) as caught:
        fabric_cicd.manifest_of(str(file), "PROD")
    assert any("config.yml" in problem.path for problem in caught.value.problems)


def test_configuration_that_names_what_is_missing_is_refused_with_its_lines(tmp_path: Path) -> None:
    """Both paths are relative to the configuration; a parameter.yml in the repository is proposed."""
    file = tmp_path / "config.yml"
    text = f"core:\n  workspace_id: {GUID}\n  repository_directory: items\n  parameter: parameter.yml\n"
    file.write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        fabric_cicd.manifest_of(str(file), "PROD")
    assert [(problem.path, problem.message) for problem in caught.value.problems] == [
        (f"{file}:3", "'items' is not a directory; write it relative to the configuration"),
        (f"{file}:4", "'parameter.yml' does not exist; write it relative to the configuration"),
    ]
    (tmp_path / "items").mkdir()
    (tmp_path / "items" / "parameter.yml").write_text("find_replace: []\n")
    with pytest.raises(InvalidInputError, match=r"relative to the configuration, as items/parameter\.yml"):
        fabric_cicd.manifest_of(str(file), "PROD")


def test_configuration_may_name_parameters_above_its_folder(folder: Path) -> None:
    """As it may name a repository there: all files that it names are below the root that packing stays in."""
    (folder / "deploy").mkdir()
    (folder / "common").mkdir()
    (folder / "workspace").rename(folder / "deploy" / "workspace")
    (folder / "deploy/workspace/parameter.yml").rename(folder / "common" / "parameter.yml")
    file = folder / "deploy" / "config.yml"
    file.write_text(
        f"core: {{workspace_id: {GUID}, repository_directory: workspace, parameter: ../common/parameter.yml}}\n"
    )
    made = fabric_cicd.manifest_of(str(file), "PROD")
    assert len(steps(packed(made.manifest, made.folder, made.root, stored=StoredFiles()))) > 20


def test_configuration_names_absolute_paths_in_its_own_git_repository_only(folder: Path) -> None:
    """As in fabric-cicd."""
    for name in ("one", "two"):
        (folder / name / ".git").mkdir(parents=True)
    shutil.copytree(folder / "workspace", folder / "two/workspace")
    file = folder / "one" / "config.yml"
    other = folder / "two/workspace"
    file.write_text(
        f"core:\n  workspace_id: {GUID}\n  repository_directory: {other}\n  parameter: {other}/parameter.yml\n"
    )
    with pytest.raises(InvalidInputError) as caught:
        fabric_cicd.manifest_of(str(file), "PROD")
    assert [problem.path for problem in caught.value.problems] == [f"{file}:3", f"{file}:4"]
    assert all("in another Git repository" in problem.message for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("variable", "has"),
    [
        ("$items.Notebook.Join.$sqlendpoint", "items of type Notebook have only $id"),
        ("$items.Warehouse.other.$sqlendpointid", "items of type Warehouse have only $id, $sqlendpoint"),
        (
            "$items.Lakehouse.sales.$queryserviceuri",
            "items of type Lakehouse have only $id, $sqlendpoint, $sqlendpointid",
        ),
        (
            "$workspace.Other.$items.Eventhouse.e.$sqlendpoint",
            "items of type Eventhouse have only $id, $queryserviceuri",
        ),
    ],
)
def test_attribute_that_no_item_of_its_type_has_is_a_problem(folder: Path, variable: str, has: str) -> None:
    """The item would wait for it until its timeout. An entry that is not used is accepted."""
    file = folder / "workspace/parameter.yml"
    text = "find_replace:\n- find_value: {}\n  replace_value: {{PROD: {}}}\n"
    file.write_text(text.format("spark", variable))
    with pytest.raises(InvalidInputError) as caught:
        packed(manifest(), folder, stored=StoredFiles())
    assert [str(each) for each in caught.value.problems] == [
        f"workspace/parameter.yml:2: {variable} has no value, because {has}"
    ]
    file.write_text(text.format("nothing-has-this", variable))
    packed(manifest(), folder, stored=StoredFiles())


@pytest.mark.parametrize(
    ("name", "expected_text"),
    [
        ("Parameter.yaml", "does not exist, and 'Parameter.yaml' is not read; rename that"),
        ("other.yml", "does not exist, so nothing is replaced for PROD"),
    ],
)
def test_missing_parameters_are_a_warning(folder: Path, name: str, expected_text: str) -> None:
    """The values of the first environment would be deployed to another one."""
    (folder / "workspace/parameter.yml").rename(folder / "workspace" / name)
    shutil.rmtree(next((folder / "workspace").rglob("*.VariableLibrary")))  # its value set uses the environment too
    found: list[Problem] = []
    packed(manifest(), folder, stored=StoredFiles(), on_warning=found.append)
    assert [str(each) for each in found if expected_text in each.message] != []
    found.clear()
    packed(manifest(parameters="none"), folder, stored=StoredFiles(), on_warning=found.append)
    assert not [each for each in found if "does not exist" in each.message]


def test_problems_of_a_configuration_do_not_hide_those_of_the_repository(folder: Path) -> None:
    """Those of the configuration, of an item, of a part and of parameter.yml come together, each with file and line."""
    (folder / "workspace/Live/alarm.Reflex/.platform").write_text("{")
    put_schedules(folder, "{")
    (folder / "p.yml").write_text("find_replace:\n  - find_value: a\n")
    lines = ["core:", "  workspace_id: x", "  repository_directory: workspace", "  parameter: p.yml", "unpublish:"]
    lines += ["  exclude_regex: ("]
    file = folder / "config.yml"
    file.write_text("\n".join(lines))
    with pytest.raises(InvalidInputError) as caught:
        fabric_cicd.manifest_of(str(file), "PROD")
    places = [problem.path for problem in caught.value.problems]
    assert places[:2] == [f"{file}:2", f"{file}:6"]
    for wanted in (
        "workspace/Live/alarm.Reflex/.platform:1",
        "p.yml:2",
        "workspace/Ingest/Nightly.DataPipeline/.schedules:1",
    ):
        assert wanted in places
    assert len(set(caught.value.problems)) == len(caught.value.problems)


def test_problem_of_a_filter_leaves_open_which_items_are_deployed(folder: Path) -> None:
    """So their parts are not reported, and parameter.yml and what is wrong with any item is."""
    (folder / "workspace/Live/alarm.Reflex/.platform").write_text("{")
    put_schedules(folder, "{")
    (folder / "p.yml").write_text("find_replace:\n  - find_value: a\n")
    core = f"core: {{workspace_id: {GUID}, repository_directory: workspace, parameter: p.yml}}\n"
    (folder / "config.yml").write_text(core + "publish:\n  exclude_regex: (\n")
    with pytest.raises(InvalidInputError) as caught:
        fabric_cicd.manifest_of(str(folder / "config.yml"), "PROD")
    found = [problem.path.removeprefix(str(folder)) for problem in caught.value.problems]
    assert found == ["/config.yml:3", "workspace/Live/alarm.Reflex/.platform:1", "p.yml:2"]


def test_missing_directory_of_a_configuration_does_not_hide_what_is_wrong_with_its_parameters(folder: Path) -> None:
    (folder / "p.yml").write_text("find_replace:\n  - find_value: a\n")
    (folder / "config.yml").write_text(
        f"core:\n  workspace_id: {GUID}\n  repository_directory: items\n  parameter: p.yml\n"
    )
    with pytest.raises(InvalidInputError) as caught:
        fabric_cicd.manifest_of(str(folder / "config.yml"), "PROD")
    assert [problem.path.removeprefix(str(folder)) for problem in caught.value.problems] == ["/config.yml:3", "p.yml:2"]


def test_problem_of_a_selection_has_its_line_of_the_configuration(folder: Path) -> None:
    """Also if the configuration itself has no problem."""
    text = f"core:\n  workspace_id: {GUID}\n  repository_directory: workspace\npublish:\n  items_to_include:\n"
    (folder / "config.yml").write_text(text + "  - Join.Notebook\n  - Nobody.Notebook\n")
    done = run("validate", "--fabric-cicd", str(folder / "config.yml"), "--environment", "PROD", "--json")
    problems = [event["path"] for event in events(done) if event["event"] == "problem"]
    assert problems == [f"{folder / 'config.yml'}:7"]


def test_unreadable_configuration_and_override_are_both_reported() -> None:
    with pytest.raises(InvalidInputError) as caught:
        fabric_cicd.manifest_of("missing.yml", "PROD", "also-missing.yml")
    assert [problem.path for problem in caught.value.problems] == ["--fabric-cicd", "--config-override"]


def test_missing_parameters_are_reported_beside_other_problems(folder: Path) -> None:
    (folder / "workspace/Live/alarm.Reflex/.platform").write_text("{")
    with pytest.raises(InvalidInputError) as caught:
        packed(manifest(parameters="nowhere.yml"), folder, stored=StoredFiles())
    places = [problem.path for problem in caught.value.problems]
    assert places == ["workspace/Live/alarm.Reflex/.platform:1", "workspace/nowhere.yml"]


LINKED = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c0b"
ZERO = "00000000-0000-0000-0000-000000000000"


def link(name: str, item_id: str, path: str, at: str = "/Tables") -> dict[str, Any]:
    """Return an entry of shortcuts.metadata.json."""
    place = {"workspaceId": ZERO, "itemId": item_id, "path": path}
    return {"name": name, "path": at, "target": {"type": "OneLake", "oneLake": place}}


def put_lakehouses(folder: Path, first: Any, second: Any) -> None:
    """Put two lakehouses with these shortcuts into the repository; `LINKED` is the logical id of the second."""
    for name, logical_id, rows in (("one", GUID, first), ("two", LINKED, second)):
        at = folder / f"workspace/{name}.Lakehouse"
        at.mkdir()
        platform = {"metadata": {"type": "Lakehouse", "displayName": name}, "config": {"logicalId": logical_id}}
        (at / ".platform").write_text(json.dumps(platform))
        (at / "lakehouse.metadata.json").write_text("{}")
        (at / "shortcuts.metadata.json").write_text(rows if isinstance(rows, str) else json.dumps(rows))


def test_each_shortcut_is_a_step_after_its_targets(folder: Path) -> None:
    """One that points into another shortcut comes after that one; a circle of shortcuts is cut somewhere."""
    own = [link("own", ZERO, "Tables/raw/2026"), link("raw", LINKED, "Tables/raw"), link("a", LINKED, "Tables/b")]
    put_lakehouses(folder, own, [link("raw", ZERO, "Files"), link("b", GUID, "Tables/a")])
    found = steps(packed(manifest(), folder, stored=StoredFiles()))
    at = "content/Lakehouse/one/shortcut/Tables"
    other = "content/Lakehouse/two/shortcut/Tables"
    lakes = {"content/Lakehouse/one", "content/Lakehouse/two"}
    assert set(found[f"{at}/own"].needs) == {*lakes, f"{at}/raw"}
    assert set(found[f"{at}/raw"].needs) == {*lakes, f"{other}/raw"}
    assert set(found[f"{other}/raw"].needs) == lakes
    circle = {f"{at}/a": f"{other}/b", f"{other}/b": f"{at}/a"}
    assert sum(target in found[step_id].needs for step_id, target in circle.items()) == 1
    assert found[f"{at}/own"].kind == "repository_shortcut"
    assert set(found["content/removed-shortcuts"].needs) >= {f"{at}/own", f"{other}/raw"}


def test_excluded_shortcuts_are_left_alone_and_no_shortcuts_are_made_on_request(folder: Path) -> None:
    """An excluded shortcut is not deleted either, so it stays in the list of the step that deletes."""
    put_lakehouses(folder, [link("tmp_a", LINKED, "Files"), link("raw", LINKED, "Files")], [])
    found = steps(packed(manifest(excludeShortcuts="^tmp"), folder, stored=StoredFiles()))
    assert [step_id.rpartition("/")[2] for step_id in found if "/shortcut/" in step_id] == ["raw"]
    assert found["content/removed-shortcuts"].spec["lakehouses"][GUID] == ["Tables/raw", "Tables/tmp_a"]
    none = steps(packed(manifest(shortcuts=False), folder, stored=StoredFiles()))
    assert not [step_id for step_id in none if "shortcut" in step_id]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ("{", "is not JSON"),
        ({}, "must be a list of shortcuts"),
        ([link("..", LINKED, "Files")], "entry 1: `name`"),
        ([link("a", LINKED, "Files", at="/Other")], "entry 1: `path`"),
        ([{"name": "a", "path": "Files", "target": {"type": "OneLake"}}], "entry 1: `target`"),
        ([link("a", LINKED, "Files"), link("a", LINKED, "Files")], "twice"),
        ([link(LINKED, LINKED, "Files")], "whose name or path comes from"),
    ],
)
def test_shortcuts_that_cannot_be_made_are_a_problem_with_their_file(folder: Path, rows: Any, what: str) -> None:
    put_lakehouses(folder, rows, [])
    with pytest.raises(InvalidInputError) as caught:
        packed(manifest(), folder, stored=StoredFiles())
    [problem] = caught.value.problems
    assert problem.path == "workspace/one.Lakehouse/shortcuts.metadata.json"
    assert what in problem.message


def test_every_shortcut_that_cannot_be_made_is_a_problem(folder: Path) -> None:
    """One entry does not hide the others."""
    wrong: list[Any] = [link("..", LINKED, "Files", at="/Other"), 1, link("a", LINKED, "Files")]
    put_lakehouses(folder, [*wrong, wrong[-1]], [])
    with pytest.raises(InvalidInputError) as caught:
        packed(manifest(), folder, stored=StoredFiles())
    found = [problem.message for problem in caught.value.problems]
    for message, what in zip(found, ("1: `name`", "1: `path`", "entry 2 is not", "'Tables/a' twice"), strict=True):
        assert what in message


def test_shortcuts_of_a_config_are_made_with_the_feature_of_fabric_cicd(folder: Path) -> None:
    """Without the feature, fabric-cicd makes none either."""
    put_lakehouses(folder, [link("tmp_a", LINKED, "Files"), link("raw", LINKED, "Files")], [])
    text = (
        f"core: {{workspace_id: {GUID}, repository_directory: workspace}}\npublish: {{shortcut_exclude_regex: ^tmp}}\n"
    )
    for features, expected in (("", []), ("features: [enable_shortcut_publish]\n", ["raw"])):
        (folder / "config.yml").write_text(text + features)
        found = fabric_cicd.manifest_of(str(folder / "config.yml"), "").manifest
        made = steps(packed(found, folder, stored=StoredFiles()))
        assert [step_id.rpartition("/")[2] for step_id in made if "/shortcut/" in step_id] == expected


DAY = {
    "type": "Daily",
    "startDateTime": "2026-01-01T00:00:00",
    "endDateTime": "2027-01-01T00:00:00",
    "localTimeZoneId": "UTC",
    "times": ["06:00"],
}


def test_override_of_a_config_is_a_file_or_the_values_themselves(folder: Path) -> None:
    """Its paths are relative to the configuration, as those of the configuration itself."""
    (folder / "config.yml").write_text(f"core: {{workspace_id: {GUID}, repository_directory: none}}\n")
    override = "{core: {repository_directory: workspace, item_types_in_scope: [Lakehouse]}}"
    (folder / "over").mkdir()
    (folder / "over/values.yml").write_text(override)
    for given in (override, str(folder / "over/values.yml")):
        spec = fabric_cicd.manifest_of(str(folder / "config.yml"), "", given).manifest["steps"][0]["with"]
        assert (spec["path"], spec["itemTypes"]) == ("workspace", ["Lakehouse"])


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ("{core: {workspace_id: x}}", "--config-override:1"),
        ("missing.yml", "--config-override"),
        ("core: {}", "--config-override"),
    ],
)
def test_override_that_is_wrong_is_a_problem_with_its_place(folder: Path, override: str, place: str) -> None:
    (folder / "config.yml").write_text(f"core: {{workspace_id: {GUID}, repository_directory: workspace}}\n")
    with pytest.raises(InvalidInputError) as caught:
        fabric_cicd.manifest_of(str(folder / "config.yml"), "", override)
    assert [problem.path for problem in caught.value.problems] == [place]


def put_schedules(folder: Path, content: str) -> None:
    """Put schedules beside a pipeline of the example."""
    (folder / "workspace/Ingest/Nightly.DataPipeline/.schedules").write_text(content)


def test_schedules_are_not_part_of_the_definition_and_come_last(folder: Path) -> None:
    """Nothing needs the step; it needs each step that nothing else needs."""
    put_schedules(folder, json.dumps({"schedules": [{"enabled": True, "jobType": "Execute", "configuration": DAY}]}))
    stored = StoredFiles()
    data = packed(manifest(), folder, stored=stored)
    found = steps(data)
    last = found["content/DataPipeline/Nightly/schedules"]
    assert last.kind == "item_schedules"
    assert not [step_id for step_id, step in found.items() if "content/DataPipeline/Nightly/schedules" in step.needs]
    needed = {need for step in found.values() if step is not last for need in step.needs}
    assert set(last.needs) == {*found.keys() - needed - {last.step_id}, "content/DataPipeline/Nightly"}
    [row] = [row for row in data["steps"][0]["with"]["items"] if row["displayName"] == "Nightly"]
    bundle = json.loads(stored.read(row["bundle"]))
    assert ".schedules" not in [part["path"] for part in bundle[row["template"]]["parts"]]
    assert found["content/DataPipeline/Nightly"].spec["hasSchedules"] is True


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("{", ":1", "is not JSON"),
        ("[]", ":1", "must be an object with the list"),
        (json.dumps({"schedules": [{"enabled": 1, "configuration": DAY}]}), ":1", "entry 1: `enabled`"),
        ('{"schedules": [\n{"enabled": true,\n"configuration": {}}]}', ":3", "entry 1: `configuration`"),
        (json.dumps({"schedules": [{"enabled": True, "configuration": DAY}] * 2}), "", "entry 2 starts"),
        (
            json.dumps({"schedules": [{"enabled": True, "configuration": {**DAY, "x": 0}}]}).replace(
                '"x": 0', f'"x": {"[" * 999}{"]" * 999}'
            ),
            "",
            "entry 1: `configuration` has too many levels",
        ),
    ],
)
def test_schedules_that_cannot_be_set_are_a_problem_with_file_and_line(
    folder: Path, content: str, line: str, what: str
) -> None:
    put_schedules(folder, content)
    with pytest.raises(InvalidInputError) as caught:
        packed(manifest(), folder, stored=StoredFiles())
    [problem] = caught.value.problems
    assert problem.path == f"workspace/Ingest/Nightly.DataPipeline/.schedules{line}"
    assert what in problem.message


def test_environment_that_fabric_would_refuse_is_a_problem_with_file_and_line(folder: Path) -> None:
    """A slip in a name, a number that no Spark pool has, and packages that are not a list."""
    place = "workspace/Compute/spark.Environment"
    (folder / place / "Setting/Sparkcompute.yml").write_text("driver_cores: 5\nexecutor_core: 8\n")
    libraries = folder / place / "Libraries/PublicLibraries"
    libraries.mkdir(parents=True, exist_ok=True)
    (libraries / "environment.yml").write_text("dependencies:\n  - pip: pandas\n")
    with pytest.raises(InvalidInputError) as caught:
        packed(manifest(), folder, stored=StoredFiles())
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert "one of 4, 8, 16, 32, 64" in found[f"{place}/Setting/Sparkcompute.yml:1"]
    assert "Did you mean 'executor_cores'?" in found[f"{place}/Setting/Sparkcompute.yml:2"]
    assert "a list of packages" in found[f"{place}/Libraries/PublicLibraries/environment.yml:2"]
    assert len(found) == 3


def test_package_that_pip_does_not_read_is_a_warning_with_file_and_line(folder: Path) -> None:
    file = "workspace/Compute/spark.Environment/Libraries/PublicLibraries/environment.yml"
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text("dependencies:\n  - pip:\n      - pandas=2.2\n      - --pre\n")
    warnings = list[Problem]()
    packed(manifest(), folder, stored=StoredFiles(), on_warning=warnings.append)
    [warning] = [each for each in warnings if each.path == f"{file}:3"]
    assert "compares versions with ==" in warning.message


def test_semantic_models_are_bound_to_the_connections_of_parameter_yml(folder: Path) -> None:
    """One that no binding names gets the default; a binding without a model is a warning.

    Two connections may be for one data source, so their steps and compensations are in one order.
    """
    file = folder / "workspace/parameter.yml"
    binding = f"""
semantic_model_binding:
  default: {{connection_id: {{PROD: {GUID}}}}}
  models:
    - {{semantic_model_name: [Sales, Missing], connection_id: {{PROD: [{LINKED}, {GUID}]}}}}
"""
    file.write_text(file.read_text() + binding)
    warnings = list[Problem]()
    found = steps(packed(manifest(), folder, stored=StoredFiles(), on_warning=warnings.append))
    bound = {step_id: step.spec["connectionId"] for step_id, step in found.items() if step.kind == "connection_binding"}
    assert bound == {"content/SemanticModel/Sales/bind-1": LINKED, "content/SemanticModel/Sales/bind-2": GUID}
    assert found["content/SemanticModel/Sales/bind-1"].needs == ("content/SemanticModel/Sales",)
    assert found["content/SemanticModel/Sales/bind-2"].needs == ("content/SemanticModel/Sales/bind-1",)
    assert any("'Missing'" in each.message for each in warnings)
    file.write_text(file.read_text().replace("Sales, Missing", "Missing"))
    again = steps(packed(manifest(), folder, stored=StoredFiles()))
    assert again["content/SemanticModel/Sales/bind-1"].spec["connectionId"] == GUID


def test_part_that_its_replacements_make_unreadable_is_named(folder: Path) -> None:
    """The text is JSON in Git; a quote in the value of parameter.yml ends it. Files of people may be anything."""
    pipeline = folder / "workspace" / "Ingest" / "Nightly.DataPipeline" / "pipeline-content.json"
    pipeline.write_text('\ufeff{"properties": {"description": "dev"}}', encoding="utf-8")
    resources = folder / "workspace" / "Ingest" / "Load orders.Notebook" / ".resources"
    resources.mkdir()
    (resources / "lines.json").write_text('{"a": 1}\n{"a": 2}\n', encoding="utf-8")

    def warned() -> list[str]:
        found = list[Problem]()
        packed(manifest(), folder, stored=StoredFiles(), on_warning=found.append)
        return [each.path for each in found if "is not JSON" in each.message]

    assert warned() == []
    rules = "find_replace:\n- {find_value: dev, replace_value: {PROD: 'the \"real\" one'}, item_type: DataPipeline}\n"
    (folder / "workspace" / "parameter.yml").write_text(rules, encoding="utf-8")
    assert warned() == ["workspace/Ingest/Nightly.DataPipeline/pipeline-content.json"]
    (folder / "workspace" / "parameter.yml").unlink()
    (folder / "workspace" / "Model" / "Sales.SemanticModel" / "definition.pbism").write_text("{,}", encoding="utf-8")
    assert warned() == ["workspace/Model/Sales.SemanticModel/definition.pbism"]
