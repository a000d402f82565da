"""A simulator in a process of its own, and the peers that are led to it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.peers import environment

REPOSITORY = Path(__file__).parent / "repository"
_INSIDE = Path(__file__).parent / "inside"
ROOT = Path(__file__).resolve().parents[2]
ME = "5a6a0000-1111-4000-8000-000000000001"
CAPACITY = "5a6a0000-1111-4000-8000-000000000009"
_CONNECTION = "5a6a0000-2222-4000-8000-000000000001"
"""The id in the repository's parameter file, which is replaced by that of the simulator's connection."""
_PORTS = re.compile(r"on http://127\.0\.0\.1:(\d+), operations on port (\d+)")
_LIMIT_SECONDS = 300


@dataclass(frozen=True)
class Outcome:
    """A command of a peer, and what came of it; `problem` is empty if it did what it does against Fabric."""

    command: str
    problem: str
    note: str = ""


@dataclass(frozen=True)
class Done:
    """A finished process of a peer."""

    code: int
    text: str


@dataclass(frozen=True)
class Stage:
    """The ports of a running simulator, and a folder for the peers' files."""

    port: int
    operations_port: int
    folder: Path

    @property
    def home(self) -> Path:
        """Return the home directory of the peers."""
        return self.folder / "home"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the simulator as the peers' identity; return the body. Raises requests.HTTPError."""
        headers = {"Authorization": f"Bearer sim.{ME}.{int(time.time()) + 3600}"}
        url = f"http://127.0.0.1:{self.port}{path}"
        reply = requests.request(method, url, json=body, headers=headers, timeout=60)
        reply.raise_for_status()
        return reply.json() if reply.content else None

    def update_settings(self, **settings: Any) -> None:
        self.call("POST", "/_sim/settings", settings)

    def workspace(self, name: str) -> str:
        """Create a workspace with what the repository's parameters name; return its id."""
        workspace = self.call("POST", "/v1/workspaces", {"displayName": name, "capacityId": CAPACITY})["id"]
        pool = {"name": "small", "nodeFamily": "MemoryOptimized", "nodeSize": "Small"}
        self.call("POST", f"/v1/workspaces/{workspace}/spark/pools", pool)
        return workspace

    def repository(self, name: str) -> Path:
        """Return a copy of the repository whose parameter file names a new connection."""
        details = {"server": "sql-test.contoso.example", "database": "orders"}
        rows = [{"name": key, "dataType": "Text", "value": value} for key, value in details.items()]
        body: dict[str, Any] = {
            "displayName": name,
            "connectivityType": "ShareableCloud",
            "connectionDetails": {"type": "SQL", "creationMethod": "Sql", "parameters": rows},
            "credentialDetails": {"credentials": {"credentialType": "Anonymous"}},
        }
        connection = self.call("POST", "/v1/connections", body)["id"]
        copy = self.folder / name
        shutil.copytree(REPOSITORY, copy)
        parameters = copy / "parameter.yml"
        parameters.write_text(parameters.read_text().replace(_CONNECTION, connection))
        return copy

    def peer(self, program: str, *arguments: str, seconds: int = _LIMIT_SECONDS) -> Done:
        """Run a program of `inside` in the peers' environment, with a home of its own."""
        self.home.mkdir(exist_ok=True)
        more = {"SIMULATOR_PORT": str(self.port), "SIMULATOR_OPERATIONS_PORT": str(self.operations_port)}
        command = [str(environment.PYTHON), str(_INSIDE / f"{program}.py"), *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "NO_COLOR": "1", **more},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Done(done.returncode, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr))


def end_in_order() -> None:
    """Let SIGTERM end this process as Ctrl+C does, so that no simulator is left running."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def running() -> Generator[Stage]:
    """Run a simulator whose answers name Microsoft's hosts, because fab drops the port of an operation's URL."""
    hosts = {
        "--api-url": "api.fabric.microsoft.com",
        "--operations-url": "wabi-simulated-redirect.analysis.windows.net",
    }
    options = [text for name, host in hosts.items() for text in (name, f"https://{host}")]
    command = [sys.executable, "-m", "local.fabric_simulator", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        found = _PORTS.search(process.stdout.readline())
        if found is None:
            raise SystemExit("the simulator did not start: run python -m local.fabric_simulator to see why")
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            stage = Stage(int(found[1]), int(found[2]), Path(folder))
            stage.call("POST", "/_sim/seed", {"capacities": [{"id": CAPACITY, "displayName": "capacity"}]})
            yield stage
    finally:
        process.terminate()
        process.wait(timeout=10)


def last_line(done: Done) -> Any:
    """Return the JSON in the last line of a peer's output; its error if the line is something else."""
    lines = done.text.strip().splitlines() or [""]
    for line in reversed(lines):
        if line.startswith("{"):
            return json.loads(line)
    return {"error": lines[-1]}
