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
from shared.domain.errors import InvalidInputError
from shared.domain.manifest import compile_manifest
from shared.steps import KINDS
from tests.fakes import MemoryBlobs

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
    assert needs == {"content/Environment/spark", "content/Lakehouse/sales", "content/folder/Transform"}
    assert "content/Reflex/alarm" in found["content/Reflex/alarm/definition"].needs
    assert found["content/Environment/spark/publish"].kind == "environment_publish"
    assert found["content/VariableLibrary/names/value-set"].spec["valueSet"] == "PROD"
    refs = found["content/SemanticModel/Sales"].spec["refs"]
    outputs = "steps.content/Lakehouse/sales.outputs.sqlEndpointConnectionString"
    assert any(outputs in each["value"] for each in refs)


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
    ]


def test_small_files_of_many_items_are_one_payload(folder: Path) -> None:
    """To store and to read a payload takes a request."""
    stored = StoredFiles()
    with_ = packed(manifest(), folder, stored=stored)["steps"][0]["with"]
    templates = [row["template"] for row in with_["items"] if "template" in row]
    assert len(templates) > 8
    assert {row["bundle"] for row in with_["items"] if "template" in row} == set(stored.files)
    assert set(json.loads(stored.read(next(iter(stored.files))))) == set(templates)


def test_every_problem_of_a_repository_is_reported_with_its_place(folder: Path) -> None:
    """A broken `.platform` and a duplicate logical id, in one go."""
    (folder / "workspace/Live/alarm.Reflex/.platform").write_text("{")
    shutil.copytree(folder / "workspace/Storage/sales.Lakehouse", folder / "workspace/Storage/copy.Lakehouse")
    with pytest.raises(InvalidInputError) as caught:
        packed(manifest(), folder, stored=StoredFiles())
    places = [problem.path for problem in caught.value.problems]
    assert any("alarm.Reflex/.platform:1" in place for place in places)
    assert any(".Lakehouse/.platform:" in place for place in places)


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
