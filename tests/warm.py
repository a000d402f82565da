"""Python processes that begin warm: they are forked from one that has imported the libraries, which takes a second.

A test that needs a process (to kill it, to signal it, to run it in parallel) gets a real one from `start`, with its own
process id, session, environment, folder and streams. A shell gets one from the program that `interpreter` writes. The
modules that the server imports build no client, open no connection and read no environment; each host loads
function_app.py itself.
"""

import atexit
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from local import processes
from local.paths import ROOT
from local.stack import Stack
from tests import storage

LIBRARIES = (
    *("azure.functions", "azure.durable_functions", "azure_functions_runtime", "azure.data.tables", "azure.identity"),
    *("azure.storage.queue", "azure.storage.blob", "azure.storage.queue.aio", "azure.core.pipeline.transport"),
    *("aiohttp.web", "cryptography.x509", "http.server", "sqlite3", "rich.live"),
)
"""Libraries that the app, its host, the local replacements of Fabric and the vault, and the command line import."""
OURS = ("shared", "local.functions_host", "local.fabric_simulator", "local.key_vault")
_LATER = ("__main__", "open", "telemetry")
"""Parts of the names of modules that are run, or that a process imports only if it emits telemetry."""
_FOLDER = "TESTS_WARM_FOLDER"
_LOOK_SECONDS = 2.0
_CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
if sys.argv[1:4] != ["-P", "-m", "shared.cli"]:
    os.execv("{python}", ["{python}", *sys.argv[1:]])
passed_on = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)
server = socket.socket(socket.AF_UNIX)
server.connect("{address}")
asked = {{"module": sys.argv[3], "arguments": sys.argv[4:], "folder": os.getcwd(), "environment": dict(os.environ)}}
socket.send_fds(server, [json.dumps(asked).encode() + b"\\n"], [0, 1, 2])
answers = server.makefile()
pid = int(answers.readline())
for number in passed_on:
    signal.signal(number, lambda number, _: os.kill(pid, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
code = int(answers.readline())
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def prepare() -> None:
    """Create this test run's folder. All workers share it, because they inherit the environment."""
    if _FOLDER not in os.environ:
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix=f"warm-{os.getpid()}-")


def folder() -> Path:
    """Return the folder of this test run."""
    prepare()
    return Path(os.environ[_FOLDER])


def owner(place: Path) -> int:
    """Return the process that created a run's folder. A run that a test starts uses the folder of its parent."""
    return int(place.name.split("-")[1])


@cache
def server() -> Path:
    """Return the server's address. The first call starts the server, which ends with the run."""
    address = folder() / "socket"
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.warm", str(address)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
    return address


class Process:
    """A warm process, with the parts of `subprocess.Popen` that tests use."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers = connection.makefile()
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """Start `python -m module` in the repository's folder, with its output at the end of `log`."""
    request = {"module": module, "arguments": list(arguments), "folder": str(ROOT), "environment": dict(environment)}
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(server()))
    with log.open("ab") as output, open(os.devnull, "rb") as nothing:
        streams = [nothing.fileno(), output.fileno(), output.fileno()]
        socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], streams)
        return Process(connection)


def interpreter(place: Path) -> Path:
    """Write a program in place of the interpreter: the command line begins warm, and all else runs in the real one."""
    program = place / "python"
    program.write_text(_CLIENT.format(python=sys.executable, address=server()))
    program.chmod(0o700)
    return program


@dataclass
class WarmStack(Stack):
    """A stack whose processes of Python begin warm, with an account of the run's Azurite or with an Azurite of its
    own."""

    has_storage: bool = False
    """True if the stack starts its own Azurite."""

    def __post_init__(self) -> None:
        self._started: dict[int, Process] = {}
        self._account = ""

    @property
    def connection_string(self) -> str:
        """The connection string of the storage."""
        return self._account or super().connection_string

    def start_azurite(self) -> None:
        """Start the stack's Azurite, or take an empty account."""
        if self.has_storage:
            super().start_azurite()
        else:
            self._account = storage.account(folder())

    def stop_azurite(self) -> None:
        """Stop the stack's Azurite. The run's Azurite stays."""
        if self.has_storage:
            super().stop_azurite()

    def runs(self, part: str) -> bool:
        """Return True while the process runs. A forked process is identified by its process id alone."""
        pid = self.pids.get(part)
        if part == "azurite" and not self.has_storage:
            return bool(self._account)
        if part == "azurite" or pid is None:
            return super().runs(part)
        return pid in self._started and processes.is_alive(pid)

    def _spawn(self, part: str, module: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        environment = {**environment, "PYTHONUNBUFFERED": "1"}
        process = start(module, arguments, environment, self.folder / f"{part}.log")
        self.pids[part] = process.pid
        self._started[process.pid] = process
        self._save()


def _serve(address: Path) -> dict[str, Any]:
    """Fork a process for each request. Returns only in the forked process, with the request."""
    running: dict[int, socket.socket] = {}
    woken, wakes = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(address))
    listening.listen(64)
    print("ready", flush=True)
    run = owner(address.parent)
    while True:
        ready, _, _ = select.select([listening, woken], [], [], _LOOK_SECONDS)
        if not processes.is_alive(run):
            storage.stop(address.parent)
            shutil.rmtree(address.parent, ignore_errors=True)
            os._exit(0)
        if woken in ready:
            os.read(woken, 4096)
            _tell_of_the_dead(running)
        if listening not in ready:
            continue
        connection, _ = listening.accept()
        text, streams, _, _ = socket.recv_fds(connection, 65536, 3)
        while not text.endswith(b"\n"):
            text += connection.recv(65536)
        pid = os.fork()
        if pid:
            for stream in streams:
                os.close(stream)
            running[pid] = connection
            connection.sendall(f"{pid}\n".encode())
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (listening, connection, *running.values()):
            each.close()
        for stream in (woken, wakes):
            os.close(stream)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        return json.loads(text)


def _tell_of_the_dead(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with running.pop(pid) as connection, suppress(OSError):  # who asked may not wait for it
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _ours() -> list[str]:
    """Return every module that may be imported in advance. None of them reads its process before it is called."""
    found = [name for package in OURS for name in _modules(package)]
    return [name for name in found if not any(part in name for part in _LATER)]


def _modules(package: str) -> Iterator[str]:
    path = importlib.import_module(package).__path__
    return (module.name for module in pkgutil.walk_packages(path, f"{package}."))


def main() -> None:
    """Import the modules, serve requests, and run the requested module in the forked process."""
    for module in (*LIBRARIES, *_ours()):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that a collection in a forked process does not copy the pages of all these modules
    request = _serve(Path(sys.argv[1]))
    os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[1:] = request["arguments"]
    sys.modules.pop(f"{request['module']}.__main__", None)  # another module may have imported it
    code = 1
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except Exception:
        traceback.print_exc()
    _exit(code)


def _exit(code: int) -> None:
    """End the process as the interpreter does, but leave its modules to the operating system: to free them one by one
    takes longer than many a command."""
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue] - typeshed leaves out what the interpreter calls
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # None, a broken pipe, closed
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
