"""Configurations of fabric-cicd beside fabric-cicd 1.4.0: the same verdict, and the same settings if it accepts."""

from pathlib import Path
from typing import Any

import pytest
from fabric_cicd._common import _config_utils  # pyright: ignore[reportMissingTypeStubs] - the package has no types

from shared.domain.errors import Problems
from shared.repository import config, scan
from shared.repository.config import Config
from tests.differential.all_types import write

WORKSPACE = "5f1a2b3c-0000-4000-8000-000000000001"
CORE = f"core:\n  workspace_id: {WORKSPACE}\n  repository_directory: ws\n"

ACCEPTED = {
    "minimal": CORE,
    "name": "core: {workspace: Sales, repository_directory: ws}\n",
    "both": CORE + "  workspace: Sales\n",
    "environments": f"core: {{workspace_id: {{PROD: {WORKSPACE}}}, repository_directory: {{PROD: ws, prod: x}}}}\n",
    "types": CORE + "  item_types_in_scope: [Notebook, Lakehouse]\n",
    "types of another environment": CORE + "  item_types_in_scope: {DEV: [Notebook]}\n",
    "parameter": CORE + "  parameter: ws/parameter.yml\n",
    "parameter of another environment": CORE + "  parameter: {DEV: no.yml}\n",
    "publish": CORE + "publish:\n  exclude_regex: ^a\n  items_to_include: [a.Notebook]\n  shortcut_exclude_regex: ^b\n",
    "folders": CORE + "publish:\n  folder_exclude_regex: {DEV: ^/a}\n  folder_path_to_include: {PROD: [/b]}\n",
    "skip": CORE + "publish: {skip: true}\nunpublish: {skip: {PROD: true, DEV: false}}\n",
    "unpublish": CORE + "unpublish:\n  exclude_regex: keep\n  items_to_include: [b.Report]\n",
    "features": CORE + "features: [enable_shortcut_publish]\n",
    "features by environment": CORE + "features: {PROD: [a, b], DEV: [c]}\n",
    "constants": CORE + "constants: {BULK_ITEM_COUNT_LIMIT: 5}\n",
    "unknown keys": CORE + "  other: 1\nelse: {}\npublish: {x: 1}\n",
    "merge": f"base: &b {{workspace_id: {WORKSPACE}}}\ncore: {{<<: *b, repository_directory: ws}}\n",
    "case": f"core: {{workspace_id: {{PROD: {WORKSPACE}, Prod: {WORKSPACE}}}, repository_directory: ws}}\n",
}

REFUSED = {
    "empty": "",
    "list": "[]\n",
    "broken": "core: [\n",
    "no core": "publish: {}\n",
    "core": "core: x\n",
    "no workspace": "core: {repository_directory: ws}\n",
    "no directory": f"core: {{workspace_id: {WORKSPACE}}}\n",
    "guid": "core: {workspace_id: x, repository_directory: ws}\n",
    "empty name": "core: {workspace: ' ', repository_directory: ws}\n",
    "number": "core: {workspace: 5, repository_directory: ws}\n",
    "environment": "core: {workspace: {DEV: x}, repository_directory: ws}\n",
    "environment of the directory": f"core: {{workspace_id: {WORKSPACE}, repository_directory: {{DEV: ws}}}}\n",
    "another environment": f"core: {{workspace_id: {{PROD: {WORKSPACE}, DEV: x}}, repository_directory: ws}}\n",
    "missing directory": f"core: {{workspace_id: {WORKSPACE}, repository_directory: no}}\n",
    "type": CORE + "  item_types_in_scope: [Nothing]\n",
    "no types": CORE + "  item_types_in_scope: []\n",
    "missing parameter": CORE + "  parameter: no.yml\n",
    "empty parameter": CORE + "  parameter: ''\n",
    "regex": CORE + "publish: {exclude_regex: (}\n",
    "empty regex": CORE + "publish: {exclude_regex: ''}\n",
    "items": CORE + "publish: {items_to_include: a}\n",
    "no items": CORE + "publish: {items_to_include: []}\n",
    "item": CORE + "publish: {items_to_include: [5]}\n",
    "folder": CORE + "publish: {folder_path_to_include: [a]}\n",
    "both folders": CORE + "publish: {folder_path_to_include: [/a], folder_exclude_regex: b}\n",
    "folders when unpublishing": CORE + "unpublish: {folder_exclude_regex: b}\n",
    "skip": CORE + "publish: {skip: 'no'}\n",
    "features": CORE + "features: x\n",
    "no features": CORE + "features: []\n",
    "feature": CORE + "features: ['']\n",
    "empty mapping": CORE + "  item_types_in_scope: {}\n",
}


def theirs(file: Path, environment: str) -> dict[str, Any] | None:
    """Return the settings that fabric-cicd reads; None if it refuses the configuration."""
    try:
        found = _config_utils.load_config_file(str(file), environment)
    except Exception:
        return None
    return {
        "core": _config_utils.extract_workspace_settings(found, environment),
        "publish": _config_utils.extract_publish_settings(found, environment),
        "unpublish": _config_utils.extract_unpublish_settings(found, environment),
    }


def ours(file: Path, environment: str) -> tuple[Config | None, list[str]]:
    """Return the configuration as the command line reads it, with the paths that it names."""
    problems = Problems()
    found = config.load(file.read_text(), "config.yml", environment, problems)
    if found is not None:
        for path, is_directory in ((found.repository_directory, True), (found.parameter, False)):
            try:
                if path is not None:
                    scan.named_by(file, path, is_directory=is_directory)
            except Exception as error:
                return None, [str(error)]
    return found, [str(each) for each in problems]


def as_settings(found: Config, file: Path) -> dict[str, Any]:
    """Return our configuration in the form of theirs, without what is not set."""
    names = {"workspace_id": found.workspace_id, "workspace_name": "" if found.workspace_id else found.workspace}
    selection = found.selection
    core = {
        **names,
        "repository_directory": str(scan.named_by(file, found.repository_directory, is_directory=True)),
        "item_types_in_scope": selection.types,
        "parameter_file_path": found.parameter and str(scan.named_by(file, found.parameter, is_directory=False)),
    }
    publish = {
        "exclude_regex": selection.exclude_regex,
        "folder_exclude_regex": selection.folder_exclude_regex,
        "folder_path_to_include": selection.folders,
        "items_to_include": selection.items,
        "shortcut_exclude_regex": selection.shortcut_exclude_regex,
        "skip": found.publish_skip,
    }
    unpublish = {
        "exclude_regex": found.unpublish.exclude_regex,
        "items_to_include": found.unpublish.items,
        "skip": found.unpublish.skip,
    }
    return {"core": core, "publish": publish, "unpublish": unpublish}


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without empty ones, with lists instead of tuples."""
    rows = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    return {name: value for name, value in rows.items() if value}


def written(root: Path, text: str) -> Path:
    write(root / "ws/parameter.yml", "find_replace: []\n")
    write(root / "config.yml", text)
    return root / "config.yml"


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_configuration_is_accepted_with_the_settings_of_fabric_cicd(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    expected = theirs(file, "PROD")
    found, problems = ours(file, "PROD")
    assert expected is not None
    assert problems == []
    assert found is not None
    own = as_settings(found, file)
    assert {name: plain(rows) for name, rows in own.items()} == {name: plain(rows) for name, rows in expected.items()}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_configuration_is_refused_as_by_fabric_cicd(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    found, problems = ours(file, "PROD")
    assert found is None
    assert problems != []
    assert theirs(file, "PROD") is None


def test_mapping_needs_an_environment_as_in_fabric_cicd(tmp_path: Path) -> None:
    file = written(tmp_path, CORE + "  parameter: {DEV: ws/parameter.yml}\n")
    assert theirs(file, "N/A") is None
    assert ours(file, "N/A")[0] is None
