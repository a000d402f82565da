"""The commands as CI runs them, against Azurite: their exit codes, and lines that a program can parse."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.data.tables import TableClient
from azure.storage.queue import QueueClient

from shared import settings
from shared.bootstrap import command_line as composition
from shared.domain.json import content_hash
from shared.domain.ports import Change
from shared.domain.records import AuditEntry, DeploymentRecord
from shared.domain.states import DeploymentState, StepState
from shared.saga.payloads import Payloads
from shared.saga.submission.acceptance import Acceptance
from shared.steps import KINDS
from tests import command_line
from tests.fakes import FakeClock
from tests.unit.cli.sample_records import HOSTILE, step
from tests.waiting import PATIENCE, PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[3]
MANIFEST: dict[str, Any] = {
    "name": "sales",
    "target": "Contoso Sales",
    "steps": [{"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}}],
}
KEY = "c2VjcmV0c2VjcmV0c2VjcmV0"
COMMANDS = ["validate", "submit", "follow", "status", "audit", "verify-journal", "health", "list"]
pytestmark = pytest.mark.azurite


def unreachable(key: str = KEY) -> str:
    """Return a connection string of an account that nothing listens for."""
    ends = "".join(f"{name}Endpoint=http://127.0.0.1:1/acc;" for name in ("Blob", "Queue", "Table"))
    return f"DefaultEndpointsProtocol=http;AccountName=acc;AccountKey={key};{ends}"


def run(*arguments: str, storage: str = "", text: str = "", **environment: str) -> command_line.Done:
    """Run one command to its end."""
    given = {**os.environ, "AzureWebJobsStorage": storage, **environment}
    return command_line.run(*arguments, environment=given, text=text)


def events(done: command_line.Done) -> list[dict[str, Any]]:
    """Return every line of the output, each of them one JSON object."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def new_id() -> str:
    """Return an id that no other test uses."""
    return f"t-{uuid.uuid4().hex}"


class Account:
    """The emulator as the app sees it."""

    def __init__(self, connection: str) -> None:
        self.connection = connection
        self.stores = composition.storage(settings.load({"AzureWebJobsStorage": connection}))
        self._queue = QueueClient.from_connection_string(connection, "deployments")

    def take(self, deployment_id: str) -> dict[str, Any]:
        """Take the submission with that id off the queue."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            for message in self._queue.receive_messages(messages_per_page=32, visibility_timeout=1):
                if f'"{deployment_id}"' not in message.content:
                    continue  # A message of another test of this worker; it need not be a submission.
                body = json.loads(message.content)
                if body.get("deployment_id") == deployment_id:
                    assert len(message.content) <= 64 * 1024
                    self._queue.delete_message(message)
                    return body
        raise AssertionError("the submission is not on the queue")

    def accept(self, message: dict[str, Any]) -> DeploymentRecord:
        """Accept a submission as the app would."""
        payloads = Payloads(self.stores.blobs)
        acceptance = Acceptance(self.stores.journal, self.stores.blobs, payloads, FakeClock(datetime.now(UTC)), KINDS)
        return acceptance.accept(json.dumps(message).encode(), "m").header

    def deployment(self, state: DeploymentState = DeploymentState.SUCCEEDED, **changes: Any) -> DeploymentRecord:
        """Create a deployment in the journal."""
        record = DeploymentRecord(new_id(), "sales", "contoso", state, "hash", datetime.now(UTC)).replace(**changes)
        steps = [step(0, StepState.SUCCEEDED).replace(deployment_id=record.deployment_id)]
        return self.stores.journal.create(record, steps, "submitted")

    def move(self, deployment_id: str, state: DeploymentState) -> None:
        """Move its header to another state."""
        before = self.stores.journal.header(deployment_id)
        self.stores.journal.write_header(Change(before, before.record.replace(state=state), "test", "moved"))


@pytest.fixture(scope="module")
def account(storage: str) -> Account:
    """Return the emulator of this worker."""
    return Account(storage)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Return a manifest on disk."""
    path = tmp_path / "m.json"
    path.write_text(json.dumps(MANIFEST))
    return path


def test_help_names_all_commands_and_exit_codes() -> None:
    """It needs no storage."""
    shown = run("--help")
    assert shown.returncode == 0
    assert all(command in shown.stdout for command in COMMANDS)
    assert "timed out" in shown.stdout
    for command in COMMANDS:
        assert run(command, "--help").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["deploy"],
        ["follow"],
        ["follow", "x", "--timeout", "soon"],
        ["list", "--limit", "many"],
        ["list", "--limit", "-3"],
    ],
)
def test_usage_errors_are_bad_requests(arguments: list[str]) -> None:
    """The exit code is 2, and the usage is on the error stream."""
    done = run(*arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_validate_needs_no_storage(manifest: Path) -> None:
    done = run("validate", str(manifest), "--json", storage=unreachable())
    assert done.returncode == 0
    [text] = events(done)
    assert (text["event"], text["name"], [s["id"] for s in text["steps"]]) == ("valid", "sales", ["ws"])
    assert "sales is valid: 1 steps" in run("validate", "-", text=manifest.read_text()).stdout


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{", "$"),
        ("name: x\nname: y", "$"),
        ('{"name": "x"}', "$.steps"),
        ('{"id": "a/b", "name": "x", "steps": []}', "$.id"),
        ("name: x\nsteps: [{id: a, kind: workspace, with: {displayName: x, ' \\u202e': 1}}]", "$.steps[0].with"),
    ],
)
def test_validate_reports_every_problem_with_its_path(text: str, path: str) -> None:
    """The exit code is 2, and each problem has one line."""
    done = run("validate", "-", "--json", text=text)
    assert done.returncode == 2
    assert any(e["event"] == "problem" and e["path"].startswith(path) for e in events(done))
    assert "\u202e" not in run("validate", "-", text=text).stdout


def test_validate_of_a_missing_file_is_a_bad_request() -> None:
    """The file is named, without a traceback."""
    done = run("validate", "/nowhere.yaml")
    assert (done.returncode, done.stderr) == (2, "")
    assert "/nowhere.yaml cannot be read" in done.stdout


def repository(root: Path) -> Path:
    """Write a manifest whose item is in a folder beside the manifest's own, with leftovers, and return its path."""
    folder = root / "items" / "Load.DataPipeline"
    folder.mkdir(parents=True)
    metadata = {"metadata": {"type": "DataPipeline", "displayName": "Load"}}
    (folder / ".platform").write_text(json.dumps(metadata))
    for name in ("pipeline-content.json", ".schedules", "Thumbs.db", ".DS_Store"):
        (folder / name).write_text("{}")
    (folder / ".schedules").write_text('{"schedules": []}')
    file = root / "deploy" / "m.json"
    file.parent.mkdir()
    spec = {"workspaceId": str(uuid.UUID(int=1)), "folder": "../items/Load.DataPipeline"}
    file.write_text(json.dumps({"name": "m", "steps": [{"id": "load", "kind": "item", "with": spec}]}))
    return file


def test_validate_reads_below_the_root_and_names_the_excluded_files(tmp_path: Path) -> None:
    """Without --root nothing outside of the manifest's folder is read; with it, excluded files are listed."""
    file = repository(tmp_path)
    done = run("validate", str(file), "--json")
    assert done.returncode == 2
    [problem] = [e for e in events(done) if e["event"] == "problem"]
    assert problem["path"] == "$.steps[0].with.folder"
    assert "leads out of the folder" in problem["message"]
    done = run("validate", str(file), "--root", str(tmp_path), "--json")
    assert done.returncode == 0
    left, _ = events(done)
    assert (left["event"], left["files"]) == ("left_out", [".DS_Store", "Thumbs.db"])
    shown = run("validate", str(file), f"--root={tmp_path}").stdout.splitlines()[0]
    assert shown == "left out of ../items/Load.DataPipeline (not parts of an item): .DS_Store, Thumbs.db"
    done = run("validate", str(file), "--root", str(tmp_path / "gone"), "--json")
    assert (done.returncode, events(done)[-1]["path"]) == (2, "--root")


def test_submit_sends_hidden_parts_and_names_the_excluded_files(account: Account, tmp_path: Path) -> None:
    """A schedule is sent, because an update without it would delete it."""
    wanted, file = new_id(), repository(tmp_path)
    done = run("submit", str(file), "--id", wanted, "--root", str(tmp_path), "--json", storage=account.connection)
    assert done.returncode == 0
    assert [e["files"] for e in events(done) if e["event"] == "left_out"] == [[".DS_Store", "Thumbs.db"]]
    [step] = account.take(wanted)["manifest"]["steps"]
    paths = {part["path"] for part in step["with"]["definition"]["parts"]}
    assert paths == {"pipeline-content.json", ".schedules", ".platform"}


@pytest.mark.parametrize("name", ["pipe", "folder", "/dev/zero", "big"])
def test_validate_of_a_manifest_that_is_not_a_file_is_a_bad_request(tmp_path: Path, name: str) -> None:
    """It is named and refused: nothing blocks, and nothing endless is read."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with (tmp_path / "big").open("wb") as stream:
        stream.truncate(2**40)
    done = run("validate", str(tmp_path / name))
    assert (done.returncode, done.stderr) == (2, "")
    assert str(tmp_path / name) in done.stdout


def test_validate_with_a_closed_standard_input_is_a_bad_request() -> None:
    """Some schedulers start their jobs like this."""
    command = f"{sys.executable} -m shared.cli validate - <&-"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "")
    assert "standard input" in done.stdout


def test_submit_puts_the_manifest_on_the_queue(account: Account, manifest: Path) -> None:
    """The app accepts the message, under the requested id and with the requester."""
    wanted = new_id()
    done = run("submit", str(manifest), "--id", wanted, "--requested-by", "ci", "--json", storage=account.connection)
    assert done.returncode == 0
    assert [e["event"] for e in events(done)] == ["submitting", "submitted"]
    message = account.take(wanted)
    assert message["manifest"] == MANIFEST
    header = account.accept(message)
    assert (header.state, header.requested_by) == (DeploymentState.ACCEPTED, "ci")


def test_submit_uses_the_manifests_own_id_or_creates_one(account: Account, tmp_path: Path) -> None:
    """An `id` in the manifest is the deployment's id; without one it is the slug of the name with the time and a
    random part."""
    wanted = new_id()
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"id": wanted, **MANIFEST}))
    assert events(run("submit", str(path), "--json", storage=account.connection))[0]["deployment_id"] == wanted
    assert account.take(wanted)["manifest"] == MANIFEST
    path.write_text(json.dumps({**MANIFEST, "name": "Größe / Sales!"}))
    made = events(run("submit", str(path), "--json", storage=account.connection))[0]["deployment_id"]
    assert made.startswith("gr-e-sales-")
    account.take(made)


def test_submit_stores_a_large_manifest_as_a_blob(account: Account, tmp_path: Path) -> None:
    """Above the size of a message, the message names a blob that the app reads; the hash is the same."""
    wanted, path = new_id(), tmp_path / "m.json"
    large = {**MANIFEST, "steps": [_notebook(i, "ä" * 10_000) for i in range(8)]}
    path.write_text(json.dumps(large))
    assert path.stat().st_size > 64 * 1024
    assert run("submit", str(path), "--id", wanted, storage=account.connection).returncode == 0
    message = account.take(wanted)
    assert "manifest" not in message
    header = account.accept(message)
    assert (header.state, header.step_count) == (DeploymentState.ACCEPTED, 8)
    assert header.manifest_hash == content_hash(large)


def _notebook(number: int, text: str) -> dict[str, Any]:
    spec = {"workspaceId": str(uuid.uuid4()), "type": "Notebook", "displayName": f"n{number}"}
    return {
        "id": f"n{number}",
        "kind": "item",
        "with": {**spec, "definition": {"parts": [{"path": "a", "text": text}]}},
    }


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": "x", "steps": []}, "$.steps"),
        ({"name": "x", "steps": [{"id": "i", "kind": "item", "with": {"folder": "gone"}}]}, "$.steps[0].with.folder"),
    ],
)
def test_submit_of_an_invalid_manifest_is_reported_and_recorded(
    account: Account, tmp_path: Path, body: dict[str, Any], path: str
) -> None:
    """The exit code is 2 and every problem is listed. The app records the rejection under the id in the manifest."""
    wanted, file = new_id(), tmp_path / "m.json"
    file.write_text(json.dumps({"id": wanted, **body}))
    done = run("submit", str(file), "--json", storage=account.connection)
    assert done.returncode == 2
    assert path in [e.get("path") for e in events(done)]
    header = account.accept(account.take(wanted))
    assert header.state is DeploymentState.REJECTED
    paths = [p["path"] for p in header.problems]
    assert path in paths
    assert "$.id" not in paths


def test_submit_of_text_that_is_not_a_manifest_is_recorded(account: Account) -> None:
    """Text that cannot be parsed is sent unchanged, and rejected with a message of its own."""
    done = run("submit", "-", "--json", text="{\x00 nonsense", storage=account.connection)
    assert done.returncode == 2
    wanted = events(done)[0]["deployment_id"]
    header = account.accept(account.take(wanted))
    assert (header.deployment_id, header.state) == (wanted, DeploymentState.REJECTED)
    assert "U+0000" in header.problems[0]["message"]


def test_submit_with_a_bad_id_is_a_bad_request(manifest: Path) -> None:
    """Nothing is sent."""
    done = run("submit", str(manifest), "--id", "../x", storage=unreachable())
    assert done.returncode == 2
    assert "--id" in done.stdout


def test_submit_and_wait_ends_with_the_deployment(account: Account, manifest: Path) -> None:
    """The exit code is the deployment's; an id that another manifest has is refused at once."""
    taken = account.deployment(DeploymentState.SUCCEEDED, manifest_hash=content_hash(MANIFEST))
    arguments = ("submit", str(manifest), "--wait", "--timeout", PATIENCE, "--json", "--id")
    done = run(*arguments, taken.deployment_id, storage=account.connection)
    assert done.returncode == 0
    assert events(done)[-1]["event"] == "ended"
    other = account.deployment(DeploymentState.RUNNING)
    for given in (arguments, ("submit", str(manifest), "--json", "--id")):
        done = run(*given, other.deployment_id, storage=account.connection)
        assert done.returncode == 2
        assert events(done)[-1]["error"] == "conflict"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (DeploymentState.SUCCEEDED, 0),
        (DeploymentState.COMPENSATED, 1),
        (DeploymentState.REJECTED, 2),
        (DeploymentState.STUCK, 3),
        (DeploymentState.CANCELLED, 8),
        (DeploymentState.RUNNING, 9),
    ],
)
def test_follow_exit_code_is_the_state(account: Account, state: DeploymentState, code: int) -> None:
    made = account.deployment(state)
    done = run("follow", made.deployment_id, "--timeout", "0", "--json", storage=account.connection)
    assert done.returncode == code
    assert all("event" in e for e in events(done))


def test_follow_of_an_unknown_id_is_a_bad_request(account: Account) -> None:
    """The command ends after the given time."""
    done = run("follow", new_id(), "--unknown", "0", storage=account.connection)
    assert done.returncode == 2
    assert "there is no deployment" in done.stdout


def test_unknown_id_is_an_error_that_names_the_command_which_lists_the_ids(account: Account) -> None:
    """The exit code is 2, as for every command to which nothing was sent."""
    done = run("status", new_id(), storage=account.connection)
    assert done.returncode == 2
    assert "there is no deployment" in done.stdout
    assert "list` shows the deployments" in done.stdout


@pytest.mark.parametrize("arguments", [["follow"], ["follow", "--json"]])
def test_follow_interrupted_prints_how_to_continue(account: Account, arguments: list[str]) -> None:
    """Ctrl-C ends the command and not the deployment: exit code 130, and the command that follows it again."""
    made = account.deployment(DeploymentState.RUNNING)
    environment = {**os.environ, "AzureWebJobsStorage": account.connection}
    command = [sys.executable, "-m", "shared.cli", *arguments, made.deployment_id]
    running = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # If the tests run in the background of a shell, SIGINT is ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert running.stdout is not None
    assert "running" in running.stdout.readline()
    running.send_signal(signal.SIGINT)
    shown, errors = running.communicate(timeout=PATIENCE_SECONDS)
    assert (running.returncode, errors) == (130, "")
    assert made.deployment_id in shown
    if "--json" in arguments:
        assert json.loads(shown.splitlines()[-1]) == {"event": "detached", "deployment_id": made.deployment_id}
    else:
        assert f"python -m shared.cli follow {made.deployment_id}" in shown
    assert account.stores.journal.header(made.deployment_id).record.cancel_requested_by is None


def test_status_audit_and_list_show_the_journal(account: Account) -> None:
    """They print lines or JSON lines; names in the journal cannot harm a terminal."""
    target = f"target {new_id()}"
    made = account.deployment(DeploymentState.RUNNING, target=target, name=HOSTILE[:100])
    account.move(made.deployment_id, DeploymentState.SUCCEEDED)
    entry = AuditEntry(datetime.now(UTC), "deployment", "a", "b", "test", HOSTILE[:900], 9)
    account.stores.journal.note(made.deployment_id, entry)
    older = account.deployment(DeploymentState.RUNNING, target=target)
    status = run("status", made.deployment_id, "--json", storage=account.connection)
    assert status.returncode == 0
    assert events(status)[-1]["deployment"]["state"] == "succeeded"
    audit = run("audit", made.deployment_id, "--json", storage=account.connection)
    assert {"running", "succeeded"} <= {e["after"] for e in events(audit)}
    listed = events(run("list", "--target", f" {target.upper()} ", "--json", storage=account.connection))
    assert {e["deployment_id"] for e in listed} == {made.deployment_id, older.deployment_id}
    still = events(run("list", "--target", target, "--open", "--json", storage=account.connection))
    assert [e["deployment_id"] for e in still] == [older.deployment_id]
    ended = run("list", "--target", target, "--state", "succeeded", "--state", "held", storage=account.connection)
    heading, *rows = ended.stdout.splitlines()
    assert [heading.index("ID"), heading.index("TARGET")] == [rows[0].index(made.deployment_id), rows[0].index(target)]
    assert len(rows) == 1
    labelled = account.deployment(DeploymentState.RUNNING, target=target, labels={"pr": target[-8:], "team": "x"})
    by_label = run("list", "--label", f"pr={target[-8:]}", "--label", "team=x", storage=account.connection)
    [row] = by_label.stdout.splitlines()[1:]
    assert labelled.deployment_id in row
    assert f"pr={target[-8:]} team=x" in row
    wrong = run("list", "--label", "pr", storage=account.connection)
    assert (wrong.returncode, "--label: 'pr' must be NAME=VALUE" in wrong.stdout + wrong.stderr) == (2, True)
    assert len(run("list", "--limit", "1", storage=account.connection).stdout.splitlines()) == 2
    assert run("list", "--target", new_id(), storage=account.connection).stdout == "no deployments that match\n"
    assert run("list", "--target", new_id(), "--json", storage=account.connection).stdout == ""
    for command in (["status", made.deployment_id], ["audit", made.deployment_id], ["list", "--target", target]):
        shown = run(*command, storage=account.connection)
        assert shown.returncode == 0
        assert "\x1b" not in shown.stdout
        assert made.deployment_id in shown.stdout or "succeeded" in shown.stdout


def test_verify_journal_reports_what_is_proven_and_where_the_journal_differs(account: Account) -> None:
    """The exit code is 0 for an unchanged journal, and 1 with the place for a changed one."""
    made = account.accept({"deployment_id": new_id(), "manifest": MANIFEST})
    done = run("verify-journal", made.deployment_id, storage=account.connection)
    assert (done.returncode, "every move is legal" in done.stdout) == (0, True)
    with TableClient.from_connection_string(account.connection, "journal") as table:
        row = table.get_entity(made.deployment_id, "header")
        table.update_entity({**row, "record": row["record"].replace('"sequence":0', '"sequence":1')})
    done = run("verify-journal", made.deployment_id, "--json", storage=account.connection)
    assert done.returncode == 1
    *differences, verdict = events(done)
    assert (verdict["proven"], verdict["differences"]) == (False, len(differences))
    assert {d["subject"] for d in differences} == {"deployment", "header"}, (
        "the chain and its row must both be reported"
    )


@pytest.mark.parametrize("command", ["status", "audit", "verify-journal", "follow"])
@pytest.mark.parametrize("wrong", ["gone", "a/b", "\x1b[31m"])
def test_unknown_and_impossible_ids_are_bad_requests(account: Account, command: str, wrong: str) -> None:
    """The exit code is 2, with a plain message."""
    extra = ["--unknown", "0"] if command == "follow" else []
    done = run(command, wrong, *extra, storage=account.connection)
    assert done.returncode == 2
    assert "\x1b" not in done.stdout
    assert ("no deployment" if wrong == "gone" else "is not a deployment id") in done.stdout


ASKING: list[Callable[[Path], list[str]]] = [
    lambda manifest: ["submit", str(manifest)],
    lambda _: ["status", "x"],
    lambda _: ["list"],
]


@pytest.mark.parametrize("arguments", ASKING)
@pytest.mark.parametrize("as_json", [False, True])
def test_unreachable_storage_is_exit_code_5_without_the_key(
    manifest: Path, arguments: Callable[[Path], list[str]], as_json: bool
) -> None:
    done = run(*arguments(manifest), *(["--json"] if as_json else []), storage=unreachable())
    assert done.returncode == 5
    assert "storage" in done.stdout
    assert as_json or "what to do: " in done.stdout
    assert KEY not in done.stdout + done.stderr
    assert done.stderr == ""
    if as_json:
        assert events(done)[-1]["error"] == "unavailable"


def test_wrong_key_is_exit_code_4_without_the_key(account: Account, manifest: Path) -> None:
    """The account answers and refuses: a person must act."""
    right = next(p for p in account.connection.split(";") if p.startswith("AccountKey="))
    wrong = account.connection.replace(right, f"AccountKey={KEY}")
    for arguments in (["status", "x"], ["submit", str(manifest)]):
        done = run(*arguments, storage=wrong)
        assert done.returncode == 4, done.stdout
        assert "correct the connection" in done.stdout
        assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize("text", ["garbage", "AccountName=a;AccountKey=", "a=b;c", f"AccountKey={KEY}"])
def test_connection_string_that_is_not_valid_is_a_bad_request(text: str) -> None:
    """The variable is named, and its value is not."""
    done = run("status", "x", storage=text)
    assert (done.returncode, done.stderr) == (2, "")
    assert "AzureWebJobsStorage" in done.stdout
    assert KEY not in done.stdout


def test_missing_storage_is_reported_with_what_to_set() -> None:
    """A new user meets this message first."""
    done = run("list")
    assert done.returncode == 5
    assert "set AzureWebJobsStorage" in done.stdout
    assert "make up" in done.stdout


def test_setting_that_is_not_valid_is_a_bad_request() -> None:
    """The variable is named."""
    done = run("list", storage=unreachable(), WATCHDOG_SECONDS="often")
    assert done.returncode == 2
    assert "WATCHDOG_SECONDS" in done.stdout


def test_output_that_nobody_reads_causes_no_traceback(account: Account) -> None:
    """`list | head` ends without a message."""
    made = account.deployment()
    script = f"{sys.executable} -m shared.cli audit {made.deployment_id} --json | true; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "AzureWebJobsStorage": account.connection}
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "141"


def test_output_in_a_poor_encoding_causes_no_crash(account: Account) -> None:
    """A log that accepts only ASCII gets escapes."""
    made = account.deployment(name="Größe 日本")
    done = run("status", made.deployment_id, storage=account.connection, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert "Gr\\xf6\\xdfe" in done.stdout
