"""The stack of one machine: up, status, env and down; repaired after a kill of any part; several stacks side by
side."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.storage.queue import QueueClient

from local import azurite, processes
from local.paths import HOME, ROOT
from local.stack import Stack
from local.stack.description import hosts_of
from tests.conftest import require
from tests.waiting import PATIENCE_SECONDS, eventually

PARTS = ("azurite", "fabric", "functions")


def fresh_name() -> str:
    """Return a name that no other stack has."""
    return f"test-{secrets.token_hex(4)}"


def command(name: str, *words: str, **given: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m local.stack`."""
    environment = {k: v for k, v in os.environ.items() if k not in ("FABRIC_API_BASE_URL", "STACK", "TOPOLOGY")}
    environment |= given
    return subprocess.run(
        [sys.executable, "-m", "local.stack", *words, "--name", name],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def stack_of(name: str) -> Stack:
    """Return a stack that is not up yet."""
    environment = {k: v for k, v in os.environ.items() if k != "FABRIC_API_BASE_URL"}
    return Stack(name=name, environment=environment)


def answers(stack: Stack) -> bool:
    """Return True if all parts can be reached."""
    return all(azurite.is_listening(port) for port in stack.ports.values())


@pytest.fixture
def name() -> Iterator[str]:
    """Return a name. A stack that is up with that name is taken down and removed after the test."""
    require(shutil.which("npm") is not None, "the embedded stack needs Node.js and npm")
    given = fresh_name()
    yield given
    stack_of(given).down()
    shutil.rmtree(HOME / "stacks" / given, ignore_errors=True)


@pytest.fixture(scope="module")
def shared() -> Iterator[Stack]:
    """Start a stack for tests that leave it up."""
    require(shutil.which("npm") is not None, "the embedded stack needs Node.js and npm")
    stack = stack_of(fresh_name())
    try:
        yield stack.up()
    finally:
        stack.down()
        shutil.rmtree(stack.folder, ignore_errors=True)


def test_stack_command_up_status_env_down(name: str) -> None:
    """The commands cover the life of a stack; a second `down` succeeds."""
    file = HOME / "stacks" / name / "stack.json"
    assert command(name, "status").returncode == 1
    up = command(name, "up")
    assert up.returncode == 0, up.stderr
    data = json.loads(file.read_text())
    assert data["functions_url"] in up.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    assert data["function_key"]
    assert set(data["pids"]) == set(PARTS)
    assert len(set(data["ports"].values())) == 6
    env = command(name, "env")
    text = subprocess.run(
        ["bash", "-c", f'{env.stdout}\nprintf %s "$AzureWebJobsStorage"'], capture_output=True, text=True, check=True
    )
    assert text.stdout == data["storage_connection_string"]
    text = subprocess.run(
        ["bash", "-c", f'{env.stdout}\nprintf %s "$APP $FUNCTION_KEY $FEATURE_USE_ROLLBACK"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert text.stdout == f"{data['functions_url']} {data['function_key']} true"
    status = command(name, "status", PROFILE="realistic")
    assert (status.returncode, "(instant)" in status.stdout) == (0, True), (
        "the status is that of the running stack, not of the request"
    )
    assert f"make -s env STACK={name}" in status.stdout
    assert command(name, "down").returncode == 0
    assert not file.exists()
    assert not any(processes.is_alive(pid) for pid in data["pids"].values())
    assert not any(azurite.is_listening(port) for port in data["ports"].values())
    assert command(name, "down").returncode == 0


def test_stack_of_the_flex_topology_up_and_down(name: str) -> None:
    """It has a host for each group; a later request finds all of them, whatever topology it names, and ends them."""
    file = HOME / "stacks" / name / "stack.json"
    assert command(name, "up", TOPOLOGY="tower").returncode == 1
    up = command(name, "up", TOPOLOGY="flex")
    assert up.returncode == 0, up.stderr
    assert f"{name} (flex)" in up.stdout
    pids = json.loads(file.read_text())["pids"]
    assert set(pids) == {"azurite", "fabric", *hosts_of("flex")}
    assert command(name, "status").returncode == 0
    processes.end(pids["functions-durable"], signal.SIGKILL, 5.0)
    status = command(name, "status")
    assert (status.returncode, "functions-durable is not running" in status.stdout) == (1, True)
    assert command(name, "up").returncode == 0
    again = json.loads(file.read_text())["pids"]
    assert {part for part in pids if again[part] != pids[part]} == {"functions-durable"}
    assert command(name, "down").returncode == 0
    assert not any(processes.is_alive(pid) for pid in again.values())


def test_stack_env_of_a_stack_that_is_not_up_prints_nothing_to_evaluate(name: str) -> None:
    """The text for `eval` is empty, and the message goes to stderr."""
    env = command(name, "env")
    assert (env.returncode, env.stdout) == (1, "")
    assert "is not running" in env.stderr


@pytest.mark.parametrize("part", PARTS)
def test_stack_up_after_a_kill_repairs_with_the_same_data_and_ports(shared: Stack, part: str) -> None:
    """Only the dead part is started again; another process that calls `up` finds the same stack."""
    queue = QueueClient.from_connection_string(shared.connection_string, f"kept-{part}")
    queue.create_queue()
    queue.send_message("kept")
    ports, pids, keys = dict(shared.ports), dict(shared.pids), shared.function_key
    if part == "azurite":
        # If it is killed, Azurite loses what it has not saved, and it saves every five seconds.
        saved = shared.folder / "azurite" / "__azurite_db_queue__.json"
        eventually(lambda: saved.exists() and '"queueName":"kept-azurite"' in saved.read_text())
    os.kill(shared.pids[part], signal.SIGKILL)
    eventually(lambda: not shared.runs(part))
    status = command(shared.name, "status")
    assert status.returncode == 1
    assert f"{part} is not running" in status.stdout
    assert command(shared.name, "up").returncode == 0
    shared.up()
    assert shared.ports == ports
    assert {p for p in PARTS if shared.pids[p] != pids[p]} == {part}
    assert shared.function_key == keys
    assert answers(shared)
    assert [message.content for message in queue.receive_messages()] == ["kept"]
    assert command(shared.name, "status").returncode == 0


def test_stack_up_twice_changes_nothing(shared: Stack) -> None:
    """The same processes serve."""
    pids = dict(shared.pids)
    repeated = stack_of(shared.name).up()
    assert repeated.pids == pids
    assert repeated.ports == shared.ports


def test_stacks_beside_each_other_share_nothing(shared: Stack, name: str) -> None:
    """Each has ports, data and keys of its own; one goes down and the other stays up."""
    with stack_of(name) as other:
        assert not set(other.ports.values()) & set(shared.ports.values())
        assert other.function_key != shared.function_key
        QueueClient.from_connection_string(other.connection_string, "only-here").create_queue()
        assert answers(other)
    assert not any(azurite.is_listening(port) for port in other.ports.values())
    assert answers(shared)


def test_stack_data_survive_down(shared: Stack) -> None:
    """After down and up the storage has the same content, although the ports are new."""
    queue = QueueClient.from_connection_string(shared.connection_string, "kept")
    queue.create_queue()
    queue.send_message("x")
    shared.down()
    repeated = stack_of(shared.name).up()
    kept = QueueClient.from_connection_string(repeated.connection_string, "kept")
    assert [message.content for message in kept.receive_messages()] == ["x"]
    shared.up()  # reads where it is now
    assert shared.pids == repeated.pids


@pytest.mark.parametrize("part", PARTS)
def test_stack_pid_of_another_process_is_not_mistaken(tmp_path: Path, part: str) -> None:
    """The system has given the number to another process since, even to the same part of another stack."""
    stack = stack_of(fresh_name())
    stack.ports = {"fabric": 1, "functions": 2, "blob": 3, "queue": 4, "table": 5, "operations": 6}
    others = f"azurite.js fabric_simulator functions_host --location {HOME}/stacks/other/azurite"
    others += " --port 22 --tablePort 22"
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()", *others.split()], stdin=subprocess.PIPE
    ) as stranger:
        stack.pids[part] = stranger.pid
        eventually(lambda: b"other" in Path(f"/proc/{stranger.pid}/cmdline").read_bytes())
        assert not stack.runs(part)
        stack.kill_host()
        assert stranger.poll() is None
        stranger.kill()


def test_process_that_was_just_started_has_its_command_line() -> None:
    """For some milliseconds the system shows no command line; in that time the process must not be taken for another
    program or for a dead one."""
    for _ in range(20):
        one = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()", "mark"], stdin=subprocess.PIPE)
        line = processes.command_line(one.pid)
        assert line is None or "mark" in line  # None: a system that does not report it.
        one.kill()
        one.communicate()
        assert not processes.command_line(one.pid)


def test_stack_zombie_and_ended_processes_do_not_run() -> None:
    """A child that has ended and was not waited for yet is dead."""
    child = subprocess.Popen(["true"])
    eventually(lambda: not processes.is_alive(child.pid))
    child.wait()
    assert not processes.is_alive(child.pid)
    assert processes.is_alive(os.getpid())
    assert processes.end(child.pid, signal.SIGTERM, 1.0)


def test_azurite_free_ports_differ() -> None:
    """All are chosen at once, and no port twice."""
    assert len(set(azurite.free_ports(20))) == 20


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_azurite_on_a_taken_port_is_an_error_and_leaves_no_process(tmp_path: Path, taken: int) -> None:
    """Another program answers there: it is not taken for Azurite."""
    blob, queue, table = ports = azurite.free_ports(3)
    with socket.create_server(("127.0.0.1", ports[taken])), pytest.raises(azurite.AzuriteError, match="did not start"):
        azurite.start(HOME, tmp_path, (blob, queue, table))
    assert not any(azurite.is_listening(port) for port in ports)


def test_azurite_keeps_its_data_over_a_stop(tmp_path: Path) -> None:
    """SIGTERM saves; the same ports serve again; a second stop succeeds."""
    running = azurite.start(HOME, tmp_path)
    queue = QueueClient.from_connection_string(running.connection_string, "kept")
    queue.create_queue()
    queue.send_message("x")
    azurite.stop(running.pid)
    azurite.stop(running.pid)
    assert not azurite.is_listening(running.ports[1])
    repeated = azurite.start(HOME, tmp_path, running.ports)
    assert [message.content for message in queue.receive_messages()] == ["x"]
    azurite.stop(repeated.pid)


def test_azurite_without_node_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(azurite.AzuriteError, match=r"Node\.js"):
        azurite.ensure_installed(tmp_path)
