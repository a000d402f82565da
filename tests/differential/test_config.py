"""Configurations of fabric-cicd beside fabric-cicd 1.4.0: the same verdict, and the same settings if it accepts."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from fabric_cicd._common import _config_utils  # pyright: ignore[reportMissingTypeStubs] - the package has no types
from hypothesis import event, given
from hypothesis import strategies as st

from shared.domain.errors import Problems
from shared.repository import config, scan
from shared.repository.config import Config, Override
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


OTHER = "5f1a2b3c-0000-4000-8000-000000000002"
BY_ENVIRONMENT = "core: {workspace: {DEV: Dev, PROD: Prod}, repository_directory: {PROD: no, DEV: ws}}\n"
NAMED = "core: {workspace: Sales, repository_directory: ws}\n"
OVERRIDES = {
    "nothing": (CORE, "{}"),
    "workspace": (CORE, f"core: {{workspace_id: {OTHER}}}"),
    "workspace beside its name": (NAMED, f"core: {{workspace_id: {OTHER}}}"),
    "name beside its workspace": (CORE, "core: {workspace: Other}"),
    "environment in a mapping": (BY_ENVIRONMENT, "core: {repository_directory: {PROD: ws, DEV: no}}"),
    "value in place of a mapping": (BY_ENVIRONMENT, "core: {repository_directory: ws, workspace: Sales}"),
    "mapping in place of a value": (CORE, f"core: {{workspace_id: {{PROD: {OTHER}, DEV: x}}}}"),
    "mapping of others": (
        CORE + "  item_types_in_scope: {PROD: [Report]}\n",
        "core: {item_types_in_scope: {DEV: [Map]}}",
    ),
    "added keys": (CORE, "core: {parameter: ws/parameter.yml, item_types_in_scope: [Notebook]}"),
    "added sections": (CORE, "publish: {exclude_regex: ^a, skip: {PROD: true}}\nunpublish: {skip: true}"),
    "skip": (CORE + "publish: {skip: {PROD: true, DEV: true}}\n", "publish: {skip: {PROD: false}}"),
    "folders": (
        CORE + "publish: {folder_exclude_regex: {PROD: ^/a}}\n",
        "publish: {folder_exclude_regex: {DEV: ^/b}, folder_path_to_include: [/c]}",
    ),
    "features": (CORE + "features: {PROD: [a], DEV: [b]}\n", "features: [enable_shortcut_publish]"),
    "constants": (CORE + "constants: {A: 1}\n", "constants: {BULK_ITEM_COUNT_LIMIT: 5}"),
    "mended": (NAMED.replace("Sales", "5"), "core: {workspace: Sales}"),
}
REFUSED_OVERRIDES = {
    "section": (CORE, "pubish: {skip: true}"),
    "type of a section": (CORE, "publish: [skip]"),
    "empty section": (CORE, "publish:"),
    "number for features": (CORE, "features: 5"),
    "text for features": (CORE, "features: a"),
    "no features": (CORE + "features: [a]\n", "features: []"),
    "list of constants": (CORE, "constants: [a]"),
    "key": (CORE, "publish: {skp: true}"),
    "key of another section": (CORE, "unpublish: {folder_exclude_regex: a}"),
    "no core": ("publish: {}\n", CORE),
    "core without a mapping": ("core:\n", CORE),
    "added directory": (f"core: {{workspace_id: {WORKSPACE}}}\n", "core: {repository_directory: ws}"),
    "added workspace": ("core: {repository_directory: ws}\n", f"core: {{workspace_id: {WORKSPACE}}}"),
    "required for another environment": (CORE, "core: {repository_directory: {DEV: ws}}"),
    "bad value": (CORE, "core: {workspace_id: x}"),
    "bad value for the environment": (BY_ENVIRONMENT, "core: {repository_directory: {PROD: ''}}"),
    "value that is left": (BY_ENVIRONMENT.replace("DEV: ws", "DEV: ''"), "core: {repository_directory: {PROD: ws}}"),
    "both folders": (CORE + "publish: {folder_path_to_include: [/a]}\n", "publish: {folder_exclude_regex: b}"),
    "empty value": (CORE, "core: {parameter: null}"),
    "list": (CORE, "[core]"),
}


def theirs(file: Path, environment: str, override: str = "{}") -> dict[str, Any] | None:
    """Return the settings that fabric-cicd reads; None if it refuses the configuration."""
    try:
        found = _config_utils.load_config_file(str(file), environment, yaml.safe_load(override))
    except Exception:
        return None
    return {
        "core": _config_utils.extract_workspace_settings(found, environment),
        "publish": _config_utils.extract_publish_settings(found, environment),
        "unpublish": _config_utils.extract_unpublish_settings(found, environment),
    }


def ours(file: Path, environment: str, override: str | None = None) -> tuple[Config | None, list[str]]:
    """Return the configuration as the command line reads it, with the paths that it names."""
    problems = Problems()
    more = None if override is None else Override(override, "override.yml")
    found = config.load(file.read_text(), "config.yml", environment, problems, more)
    found = None if problems else found
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


@pytest.mark.parametrize(("text", "override"), OVERRIDES.values(), ids=OVERRIDES.keys())
def test_override_is_merged_as_by_fabric_cicd(tmp_path: Path, text: str, override: str) -> None:
    file = written(tmp_path, text)
    expected = theirs(file, "PROD", override)
    found, problems = ours(file, "PROD", override)
    assert expected is not None
    assert problems == []
    assert found is not None
    own = as_settings(found, file)
    assert {name: plain(rows) for name, rows in own.items()} == {name: plain(rows) for name, rows in expected.items()}


@pytest.mark.parametrize(("text", "override"), REFUSED_OVERRIDES.values(), ids=REFUSED_OVERRIDES.keys())
def test_override_is_refused_as_by_fabric_cicd(tmp_path: Path, text: str, override: str) -> None:
    file = written(tmp_path, text)
    found, problems = ours(file, "PROD", override)
    assert found is None
    assert problems != []
    assert theirs(file, "PROD", override) is None


def values(*plain: Any, wrong: Any = None) -> st.SearchStrategy[Any]:
    """Return the values of a field: plain ones, mappings of environments to them, and seldom a wrong one."""
    chosen, seldom = st.sampled_from(plain), st.integers(0, 15).map(lambda number: number == 0)
    by_environment = st.fixed_dictionaries({"PROD": chosen}, optional={"DEV": chosen, "prod": chosen})
    right = chosen | by_environment
    others = st.just(wrong) | st.dictionaries(st.sampled_from(["PROD", "DEV"]), st.just(wrong) | chosen, max_size=2)
    return seldom.flatmap(lambda is_wrong: others if is_wrong else right)


_FIELDS = {
    "core": {
        "workspace_id": values(WORKSPACE, OTHER, wrong="x"),
        "workspace": values("Sales", "Other", wrong=""),
        "repository_directory": values("ws", "./ws", wrong="no"),
        "item_types_in_scope": values(["Notebook"], ["Report", "Map"], wrong=[]),
        "parameter": values("ws/parameter.yml", wrong="no.yml"),
    },
    "publish": {
        "exclude_regex": values("^a", wrong="("),
        "skip": values(True, False, wrong=1),
        "items_to_include": values(["a.Map"], wrong="a"),
    },
    "unpublish": {
        "skip": values(True, False),
        "exclude_regex": values("b", wrong=5),
        "items_to_include": values(["b.Map"], wrong=[5]),
    },
}
_SECTIONS = {
    **{name: st.fixed_dictionaries({}, optional=fields) for name, fields in _FIELDS.items()},
    "features": values(["a"], ["b", "c"], wrong=[]),
    "constants": st.just({"BULK_ITEM_COUNT_LIMIT": 5}),
}
_OPTIONAL = {name: each for name, each in _FIELDS["core"].items() if name in ("workspace", "parameter")}
_CORE = st.fixed_dictionaries(
    {"workspace_id": values(WORKSPACE, wrong="x"), "repository_directory": values("ws")}, optional=_OPTIONAL
)
CONFIGS = st.fixed_dictionaries({"core": _CORE}, optional={n: each for n, each in _SECTIONS.items() if n != "core"})
ANY_OVERRIDES = st.fixed_dictionaries({}, optional=_SECTIONS)


@given(CONFIGS, ANY_OVERRIDES)
def test_generated_override_has_the_verdict_and_settings_of_fabric_cicd(
    written_config: dict[str, Any], override: dict[str, Any]
) -> None:
    text = yaml.safe_dump(override)
    with tempfile.TemporaryDirectory() as directory:
        file = written(Path(directory), yaml.safe_dump(written_config))
        expected, (found, problems) = theirs(file, "PROD", text), ours(file, "PROD", text)
        event("refused" if expected is None else "accepted")
        assert (found is None) == (expected is None), problems
        if found is not None and expected is not None:
            own = as_settings(found, file)
            assert {name: plain(rows) for name, rows in own.items()} == {n: plain(r) for n, r in expected.items()}


def test_mapping_needs_an_environment_as_in_fabric_cicd(tmp_path: Path) -> None:
    file = written(tmp_path, CORE + "  parameter: {DEV: ws/parameter.yml}\n")
    assert theirs(file, "N/A") is None
    assert ours(file, "N/A")[0] is None
