"""Workflows, action, template and script, checked by the tools that know their formats; and planted faults, which
the tools must find."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ACTION = ROOT / ".github" / "actions" / "deploy" / "action.yml"
CI = ROOT / ".github" / "workflows" / "ci.yml"
NIGHTLY = ROOT / ".github" / "workflows" / "nightly.yml"
EXAMPLE = ROOT / "examples" / "pipelines" / "github.yml"
PULL_REQUEST = ROOT / "examples" / "pipelines" / "pull-request-github.yml"
TEMPLATE = ROOT / "pipelines" / "azure" / "deploy.yml"
AZURE_EXAMPLE = ROOT / "examples" / "pipelines" / "azure.yml"
AZURE_PULL_REQUEST = ROOT / "examples" / "pipelines" / "pull-request-azure.yml"
SCRIPT = ROOT / "pipelines" / "deploy.sh"
SCHEMAS = {
    "vendor.github-workflows": [CI, NIGHTLY, EXAMPLE, PULL_REQUEST],
    "vendor.github-actions": [ACTION],
    "vendor.azure-pipelines": [TEMPLATE, AZURE_EXAMPLE, AZURE_PULL_REQUEST],
}


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a checker of this environment, without the network."""
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, cwd=ROOT)


def schema_check(schema: str, *files: Path) -> subprocess.CompletedProcess[str]:
    """Check against the published schema that the checker ships. Azure's schema has patterns that are not Unicode
    expressions."""
    return run(BIN / "check-jsonschema", "--regex-variant", "nonunicode", "--builtin-schema", schema, *files)


def zizmor(*files: Path) -> subprocess.CompletedProcess[str]:
    """Run zizmor with its strictest persona."""
    return run(BIN / "zizmor", "--offline", "--no-config", "--persona", "pedantic", "--format", "plain", *files)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_workflows_keep_to_the_published_schema(schema: str) -> None:
    """No key is misspelt, and none is missing."""
    done = schema_check(schema, *SCHEMAS[schema])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "file", "old", "new"),
    [
        ("vendor.github-workflows", CI, "runs-on", "run-on"),
        ("vendor.github-actions", ACTION, "using: composite", "uses: composite"),
        ("vendor.azure-pipelines", AZURE_EXAMPLE, "timeoutInMinutes", "timeoutInMinute"),
    ],
)
def test_workflows_planted_typing_error_is_found(tmp_path: Path, schema: str, file: Path, old: str, new: str) -> None:
    """This shows that the schemas are used."""
    planted = tmp_path / file.name
    planted.write_text(file.read_text().replace(old, new))
    assert schema_check(schema, planted).returncode == 1


def test_workflows_have_no_finding_of_zizmor() -> None:
    """zizmor: actions are pinned to commits, permissions are minimal, and no foreign text is pasted into a shell."""
    done = zizmor(CI, NIGHTLY, ACTION, EXAMPLE, PULL_REQUEST)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7", "unpinned-uses"),
        ("permissions: {}", "permissions: write-all", "excessive-permissions"),
        ("run: .ci/run", "run: echo ${{ github.head_ref }} && .ci/run", "template-injection"),
        ("        with:\n          persist-credentials: false\n", "", "artipacked"),
    ],
)
def test_workflows_planted_weakness_is_found(tmp_path: Path, old: str, new: str, says: str) -> None:
    """This shows that zizmor works."""
    planted = tmp_path / ".github" / "workflows" / "ci.yml"
    planted.parent.mkdir(parents=True)
    planted.write_text(CI.read_text().replace(old, new))
    done = zizmor(planted)
    assert done.returncode != 0
    assert says in done.stdout


def test_workflows_script_has_no_finding_of_shellcheck() -> None:
    """No word is unquoted, and no exit code is swallowed."""
    done = run(BIN / "shellcheck", "--enable", "quote-safe-variables,check-unassigned-uppercase", SCRIPT, ".ci/run")
    assert done.returncode == 0, done.stdout


def test_workflows_pass_values_to_shells_by_the_environment_only() -> None:
    """No script contains an expression or a macro, whose value would become code."""
    action: dict[str, Any] = yaml.safe_load(ACTION.read_text())
    scripts = [step.get("run", "") for step in action["runs"]["steps"]]
    template: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text())
    inputs = [step["inputs"] for step in template["steps"]]
    scripts += [i.get("inlineScript", "") + i.get("script", "") for i in inputs]
    assert len([s for s in scripts if s]) == 4
    assert [s for s in scripts if re.search(r"\$\{\{|\$\((?!dirname)", s)] == []


def test_workflows_action_and_template_set_the_same_variables() -> None:
    """Both set every variable that the script reads, how the app is reached, and no other."""
    read = set(re.findall(r"\bSAGA_[A-Z_]+", SCRIPT.read_text()))
    action: dict[str, Any] = yaml.safe_load(ACTION.read_text())
    template: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text())
    of_action = next(s["env"] for s in action["runs"]["steps"] if s.get("id") == "deploy")
    of_template = next(s["env"] for s in template["steps"] if s.get("name") == "saga")
    storage = {f"AzureWebJobsStorage__{service}ServiceUri" for service in ("blob", "queue", "table")}
    reached = storage | {"FABRIC_SAGA_URL", "FABRIC_SAGA_SCOPE", "FUNCTION_KEY"}
    assert set(of_action) - {"ACTION"} == read | reached
    assert set(of_template) - {"SAGA_FOLDER"} == read | reached


def test_workflows_one_version_of_each_action() -> None:
    """An action has the same commit and the same comment wherever it is used."""
    used: dict[str, set[str]] = {}
    for file in (CI, NIGHTLY, ACTION, EXAMPLE):
        for name, rest in re.findall(r"uses: ([\w.-]+/[\w.-]+)@(.*)", file.read_text()):
            used.setdefault(name, set()).add(rest)
    assert {name: rest for name, rest in used.items() if len(rest) > 1} == {}


@pytest.mark.parametrize(
    ("variables", "code", "says"),
    [
        ({"SAGA_MANIFEST": "m.yaml", "SAGA_ID": "d", "GITHUB_OUTPUT": "/dev/full"}, 70, "the script itself failed"),
        (
            {"SAGA_MANIFEST": "m.yaml", "SAGA_ID": "d", "SAGA_PYTHON": "/bin/false"},
            70,
            "/bin/false cannot run the comm",
        ),
        ({"SAGA_MANIFEST": "m.yaml", "SAGA_ID": "d", "SAGA_PYTHON": "/nowhere"}, 70, "/nowhere cannot run the command"),
        ({"SAGA_MANIFEST": "m.yaml"}, 2, "SAGA_ID or SAGA_RUN is needed"),
        ({}, 2, "no manifest is named"),
        ({"SAGA_MANIFEST": "m.yaml", "SAGA_FABRIC_CICD": "config.yml", "SAGA_ID": "d"}, 2, "give one of them"),
    ],
)
def test_script_that_fails_itself_has_an_exit_code_of_its_own(variables: dict[str, str], code: int, says: str) -> None:
    """A full disk and a missing input are not failed deployments."""
    done = subprocess.run(
        ["bash", SCRIPT],
        env={"PATH": "/usr/bin:/bin", "SAGA_PYTHON": sys.executable, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert says in done.stderr


@pytest.mark.parametrize("file", [PULL_REQUEST, AZURE_PULL_REQUEST], ids=lambda file: file.stem)
def test_workflows_of_a_pull_request_name_its_repository(file: Path) -> None:
    """Each repository that uses the app has a pull request 7, and `mode: retire` rolls back all that has the labels."""
    labels = [text for text in texts_of(yaml.safe_load(file.read_text()), "labels") if "pr=" in text]
    assert labels
    for text in labels:
        assert sorted(line.partition("=")[0] for line in text.splitlines()) == ["pr", "repository"]


def texts_of(value: Any, name: str) -> list[str]:
    """Return every text that stands under a name, at any depth."""
    if isinstance(value, list):
        return [text for each in value for text in texts_of(each, name)]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, dict):
        return []
    own = [value[name]] if isinstance(value.get(name), str) else []  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return [*own, *(text for each in value.values() for text in texts_of(each, name))]  # pyright: ignore[reportUnknownVariableType]
