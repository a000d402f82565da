"""Install Azurite, Microsoft's storage emulator, from npm, and run it on free ports with its data on disk."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from local import processes
from local.paths import HOME

VERSION = "3.35.0"
"""The last version that runs on Node 20; later versions need Node 22."""
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's published key; it gives access to nothing else."""
_START_SECONDS = 30.0
_PORTS = (12_000, 32_000)
_CHANCE = random.SystemRandom()
"""Not the shared source, because tests seed that one: two processes would draw the same ports."""


class AzuriteError(Exception):
    """Azurite cannot be installed or started; the message says why."""


@dataclass(frozen=True)
class Azurite:
    pid: int
    ports: tuple[int, int, int]

    @property
    def connection_string(self) -> str:
        return connection_string(self.ports)


def connection_string(ports: tuple[int, int, int], account: str = _ACCOUNT, key: str = _KEY) -> str:
    """Return the connection string of an account of an emulator on these ports (blob, queue, table)."""
    endpoints = "".join(
        f"{name}Endpoint=http://127.0.0.1:{port}/{account};"
        for name, port in zip(("Blob", "Queue", "Table"), ports, strict=True)
    )
    return f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};{endpoints}"


def ensure_installed(folder: Path) -> Path:
    """Return the path of the emulator's script; install it into `folder`/node_modules if it is missing.

    Raises AzuriteError.
    """
    script = folder / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    if script.exists():
        return script
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise AzuriteError("Node.js (18 or later, with npm) is needed for Azurite, the storage emulator: install it")
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(folder), f"azurite@{VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not script.exists():
        raise AzuriteError(f"npm could not install azurite {VERSION}: {done.stderr.strip()[-500:]}")
    return script


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that are free now; all are held until the last is chosen, so that they differ.

    The ports are drawn at random below the range that operating systems use for outgoing connections. A port that the
    system chose could be given to another connection or stack before the server that it is meant for has bound it.
    """
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            with suppress(OSError):
                listener.bind(("127.0.0.1", _CHANCE.randrange(*_PORTS)))
            held.append(listener) if listener.getsockname()[1] else listener.close()
        return [int(listener.getsockname()[1]) for listener in held]
    finally:
        for listener in held:
            listener.close()


def start(
    tools: Path,
    data: Path,
    ports: tuple[int, int, int] | None = None,
    *,
    access_log: bool = False,
    in_memory: bool = False,
    accounts: Mapping[str, str] | None = None,
) -> Azurite:
    """Start Azurite on these ports, or on free ones, and wait until all three accept connections.

    With `access_log`, Azurite writes a line for each request into `data`/azurite.log, which benchmarks count; this
    makes it slower. With `in_memory`, its data end with it. With `accounts` (names and keys), it has these instead of
    its standard one. Raises AzuriteError.
    """
    script = ensure_installed(tools)
    data.mkdir(parents=True, exist_ok=True)
    chosen = ports or tuple(free_ports(3))
    for port in chosen:
        if is_listening(port):
            raise AzuriteError(f"Azurite did not start: another program listens on port {port}")
    command = ["node", str(script), "--disableTelemetry", "--skipApiVersionCheck"]
    command += ["--inMemoryPersistence"] if in_memory else ["--location", str(data)]
    pairs = ";".join(f"{name}:{key}" for name, key in (accounts or {}).items())
    environment = {**os.environ, "AZURITE_ACCOUNTS": pairs} if pairs else None
    command += [] if access_log else ["--silent"]
    for name, port in zip(("blob", "queue", "table"), chosen, strict=True):
        command += [f"--{name}Host", "127.0.0.1", f"--{name}Port", str(port)]
    with (data / "azurite.log").open("ab") as log:
        # In its own process group: Ctrl-C in the terminal must not end it before the processes that write to it.
        process = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, env=environment
        )
    _wait_for_ports(process, chosen, data)
    blob, queue, table = chosen
    return Azurite(process.pid, (blob, queue, table))


def _wait_for_ports(process: "subprocess.Popen[bytes]", ports: Sequence[int], data: Path) -> None:
    """Wait until all ports accept connections. Raises AzuriteError, and then ends the process."""
    until = time.monotonic() + _START_SECONDS
    for port in ports:
        while not is_listening(port):
            if process.poll() is not None or time.monotonic() > until:
                processes.end(process.pid, signal.SIGKILL, 5.0)
                raise AzuriteError(f"Azurite did not start; see {data / 'azurite.log'}")
            time.sleep(0.02)


def is_listening(port: int) -> bool:
    """Return True if a process accepts connections on this port of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(pid: int, seconds: float = 15.0) -> None:
    """End the process with SIGTERM and wait: after SIGKILL, up to 5 s of acknowledged writes would be lost."""
    processes.end(pid, signal.SIGTERM, seconds)


def main() -> None:
    """Install Azurite. Exits with the reason if that fails."""
    try:
        print(f"azurite: {ensure_installed(HOME)}")
    except AzuriteError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
