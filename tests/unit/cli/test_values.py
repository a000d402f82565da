"""The values of inputs on the command line: from options and files, checked before anything is sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_commands import Account, account, events, new_id, run

__all__ = ["account"]
MANIFEST: dict[str, Any] = {
    "name": "sales",
    "target": "sales-${{ inputs.env }}",
    "inputs": {
        "env": {},
        "wait": {"type": "boolean", "default": False},
        "folder": {"default": "dev"},
        "password": {"secret": True, "required": False},
    },
    "steps": [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales ${{ inputs.env }}"}},
        {
            "id": "team",
            "kind": "principals",
            "with": {"workspaceId": "${{ steps.ws.outputs.id }}", "file": "${{ inputs.folder }}/team.csv"},
        },
    ],
}
PERSON = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"
VAULT = "https://contoso.vault.azure.net/secrets/gateway"


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Write the manifest and the files that it may name."""
    for name in ("dev", "prod"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "team.csv").write_text(f"{PERSON},{'Admin' if name == 'dev' else 'Viewer'},,User\n")
    path = tmp_path / "sales.yaml"
    path.write_text(json.dumps(MANIFEST))
    return str(path)


def test_values_decide_target_names_and_packed_files(file: str, tmp_path: Path) -> None:
    """A later file replaces an earlier one, and an option replaces both."""
    (tmp_path / "one.yaml").write_text("env: test\nfolder: prod\nwait: true\n")
    (tmp_path / "two.yaml").write_text("env: stage\n")
    files = ("--values", str(tmp_path / "one.yaml"), "--values", str(tmp_path / "two.yaml"))
    done = run("validate", file, *files, "--json")
    assert (done.returncode, events(done)[-1]["target"]) == (0, "sales-stage")
    done = run("validate", file, *files, "--set", "env=prod", "--set", f"password={VAULT}", "--json")
    assert (done.returncode, events(done)[-1]["target"]) == (0, "sales-prod")


@pytest.mark.azurite
def test_submission_carries_the_values_and_the_audit_shows_them(account: Account, file: str) -> None:
    """The app replaces the inputs itself; the value of a secret input is not shown."""
    deployment_id = new_id()
    options = ("--set", "env=prod", "--set", "folder=prod", "--set", f"password={VAULT}", "--label", "pr=123")
    done = run("submit", file, "--id", deployment_id, *options, storage=account.connection)
    assert done.returncode == 0, done.stderr
    message = account.take(deployment_id)
    assert message["manifest"]["inputs"]["env"] == {"value": "prod"}
    assert message["manifest"]["steps"][1]["with"]["csv"].endswith("Viewer,,User\n")
    header = account.accept(message)
    assert header.target == "sales-prod"
    assert header.labels == {"pr": "123"}
    reason = account.stores.journal.audit(deployment_id)[0].reason
    assert reason == "submitted, with env='prod', folder='prod', password=***, wait=false"
    row = account.stores.journal.steps(deployment_id)[0].record
    assert row.spec == {"displayName": "sales prod"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "needs a value"),
        (("--set", "env=prod", "--set", "evn=x"), "is not an input of the manifest. Did you mean 'env'?"),
        (("--set", "env=prod", "--set", "wait=perhaps"), "must be true or false"),
        (("--set", "env=prod", "--set", "password=hunter2"), "must be the address of a secret in Key Vault"),
        (("--set", "env=prod", "--values", "nowhere.yaml"), "--values nowhere.yaml"),
    ],
    ids=["missing", "unknown", "of another type", "secret in clear", "no file"],
)
def test_wrong_value_is_refused_before_anything_is_sent(file: str, options: tuple[str, ...], message: str) -> None:
    """The exit code is 2, also with storage that would answer; a secret in clear is not quoted."""
    done = run("submit", file, "--id", new_id(), *options, storage="AccountKey=not read")
    assert done.returncode == 2
    assert message in done.stdout
    assert "submitted" not in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_problems_of_all_values_are_reported_at_once(file: str, tmp_path: Path) -> None:
    """A file that is missing does not hide what is wrong with another one and with an option."""
    (tmp_path / "values.yaml").write_text("env: [a]\n")
    files = ("--values", "nowhere.yaml", "--values", str(tmp_path / "values.yaml"))
    done = run("validate", file, *files, "--set", "evn=x", "--set", "wait=perhaps", "--json")
    assert done.returncode == 2
    paths = [event["path"] for event in events(done) if event["event"] == "problem"]
    assert paths == ["--values nowhere.yaml", f"--values {tmp_path / 'values.yaml'}.env", "inputs.evn", "inputs.wait"]


@pytest.mark.parametrize("text", ["[1]", "env: [a]", "env: {a: b}"])
def test_values_file_of_another_form_is_refused(file: str, tmp_path: Path, text: str) -> None:
    (tmp_path / "values.yaml").write_text(text)
    done = run("validate", file, "--values", str(tmp_path / "values.yaml"))
    assert done.returncode == 2
    assert "--values" in done.stdout


def test_option_without_a_value_is_a_usage_error_that_does_not_quote_it(file: str) -> None:
    done = run("validate", file, "--set", "hunter2")
    assert done.returncode == 2
    assert "must be NAME=VALUE" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_id_that_is_wrong_does_not_hide_what_is_wrong_with_the_steps(tmp_path: Path, command: str) -> None:
    path = tmp_path / "m.json"
    step = {"id": "ws", "kind": "workspace", "with": {"displayNam": "sales"}}
    path.write_text(json.dumps({"id": "a b", "name": "m", "steps": [step]}))
    done = run(command, str(path), "--json")
    paths = {event["path"] for event in events(done) if event["event"] == "problem"}
    assert done.returncode == 2
    assert {"$.id", "$.steps[0].with.displayNam"} <= paths


def test_options_that_need_a_configuration_are_reported_together() -> None:
    done = run("validate", "--environment", "PROD", "--config-override", "x", "--json")
    paths = [event["path"] for event in events(done) if event["event"] == "problem"]
    assert paths == ["--environment", "--config-override", "MANIFEST"]
