"""Start, stop, kill and restart the processes of a stack."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from local import azurite, files, processes
from local.functions_host.keys import Keys
from local.paths import HOME, ROOT
from local.stack import description, environment
from local.stack.description import HOST, SINGLE, StackDescription
from shared.domain.json import JsonObject

_START_SECONDS = 60.0
_LOGS = ("functions*.log", "vault.log", "fabric.log", "azurite/azurite.log")
_PING = "/admin/host/ping"
HTTP_CONCURRENCY = "16"
"""perInstanceConcurrency in infra/modules/app.bicep."""
_CANNOT_START = "the host cannot start: "


class StackError(Exception):
    """A part did not start; the message says which part, and which log to read."""


@dataclass
class Stack(StackDescription):
    """One stack. Every part can be killed, stopped and started separately; the data stay."""

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(self, *error: object) -> None:
        self.down()

    def up(self, *, host: bool = True) -> Self:
        """Start the parts that do not run, with the data and ports that the stack already has.

        With `host=False` the caller starts the functions host. Raises StackError and AzuriteError.
        """
        if self.topology not in description.TOPOLOGIES:
            raise StackError(f"TOPOLOGY is {self.topology!r}; it is one of: {', '.join(description.TOPOLOGIES)}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._set_aside_damaged_files()
        if self.ports:
            missing = [name for name in self.port_names if name not in self.ports]
            self.ports.update(zip(missing, azurite.free_ports(len(missing)), strict=True))
            return self._start_missing_parts(host)
        for tries_left in (2, 1, 0):
            names = self.port_names
            self.ports = dict(zip(names, azurite.free_ports(len(names)), strict=True))
            try:
                return self._start_missing_parts(host)
            except (StackError, azurite.AzuriteError):
                for part in (*self.hosts, "vault", "fabric", "azurite"):
                    self.kill(part)
                # Another program may have taken a port between the choice and the start: choose others.
                if not tries_left or not any(azurite.is_listening(port) for port in self.ports.values()):
                    raise
        return self

    def _start_missing_parts(self, host: bool) -> Self:
        if not self.runs("azurite"):
            self.start_azurite()
        if self.has_simulator and not self.runs("fabric"):
            self.start_fabric()
        if self.has_vault and not self.runs("vault"):
            self.start_vault()
        if host:
            self.start_host()
        self._save()
        return self

    def _set_aside_damaged_files(self) -> None:
        """Load stack.json. If it is damaged, end the processes that it may have named, because their ids are lost."""
        try:
            self.load()
        except files.DamagedError as error:
            self._end_writers_here()
            kept = files.set_aside(self.file)
            self.notes.append(f"{error}: it is kept as {kept.name}; its processes are started again on their data")
        try:
            if self.keys_file.exists():
                Keys.read(self.keys_file)
        except files.DamagedError as error:
            self.kill_host()  # it runs with keys that nobody can read any more
            kept = files.set_aside(self.keys_file)
            self.notes.append(f"{error}: it is kept as {kept.name}, and new keys were made; `make env` prints them")

    def _end_writers_here(self) -> None:
        for log in [file for pattern in _LOGS for file in self.folder.glob(pattern)]:
            for pid in processes.writing_to(log):
                if not processes.end(pid, signal.SIGTERM, 20.0):
                    processes.end(pid, signal.SIGKILL, 5.0)

    def down(self) -> None:
        """Stop everything: the host first, the storage last. Do nothing if the stack is stopped already."""
        try:
            self.load()
        except files.DamagedError as error:
            self._end_writers_here()
            self.notes.append(f"{error}: the processes that wrote to this stack's logs were ended")
        for part in (*self.hosts, "vault", "fabric"):
            if not self._end(part, signal.SIGTERM, 15.0):
                self.kill(part)
        self.stop_azurite()
        for file in self._files():
            file.unlink(missing_ok=True)

    def start_azurite(self) -> None:
        folder, in_memory = self.folder / "azurite", not self.keeps_storage
        running = azurite.start(HOME, folder, self.storage_ports, access_log=self.access_log, in_memory=in_memory)
        self.pids["azurite"] = running.pid
        self._save()

    def start_fabric(self) -> None:
        """Start the simulator with an empty tenant."""
        arguments = ["--port", str(self.ports["fabric"]), "--operations-port", str(self.ports["operations"])]
        arguments += ["--profile", self.profile, "--time-scale", self.time_scale, "--seed", self.seed]
        self._spawn("fabric", "local.fabric_simulator", arguments, dict(self.environment))
        self._wait(f"http://127.0.0.1:{self.ports['fabric']}/_sim/settings", "fabric")

    def start_vault(self) -> None:
        """Start the stand-ins for Key Vault and Entra, without any secret or client."""
        arguments = ["--port", str(self.ports["vault"]), "--folder", str(self.folder / "vault")]
        variables = {**self.environment, "IDENTITY_HEADER": self.identity_header}
        self._spawn("vault", "local.key_vault", arguments, variables)
        until = time.monotonic() + _START_SECONDS
        while not azurite.is_listening(self.ports["vault"]):
            if time.monotonic() > until or not self.runs("vault"):
                raise StackError(f"vault did not start; its log is {self.folder / 'vault.log'}")
            time.sleep(0.03)

    def start_host(self, *parts: str) -> None:
        """Start the functions hosts that do not run, or these of them, and wait until they answer."""
        missing = [part for part in parts or self.hosts if not self.runs(part)]
        before = self._damaged_engines()
        for part in missing:
            self._spawn(part, self.host_module, self._host_arguments(part), environment.of_host(self, part))
            if part == HOST and not self.keys_file.exists():
                self._wait(self.functions_url + self.ready, part)  # it makes the keys, which all hosts share
        for part in missing:
            self._wait(f"http://127.0.0.1:{self.ports[part]}{self.ready if part == HOST else _PING}", part)
        for kept in sorted(self._damaged_engines() - before):
            self.notes.append(
                f"the engine's state {self.engine_file} was damaged: it is kept as {kept}, and the engine "
                "started empty; the next sweep continues the deployments from their journal"
            )

    def _host_arguments(self, part: str) -> list[str]:
        arguments = [str(self.app), "--port", str(self.ports[part]), *self._task_hub]
        arguments += ["--keys", str(self.keys_file), "--queue-lease", self.queue_lease_seconds]
        if self.topology != SINGLE:
            arguments += ["--hub-lease", self.hub_lease_seconds, "--http-concurrency", HTTP_CONCURRENCY]
        return [*arguments, "--placeholder"] if self.is_placeholder or self.topology != SINGLE else arguments

    @property
    def _task_hub(self) -> list[str]:
        return ["--state", str(self.engine_file)] if self.topology == SINGLE else ["--hub", str(self.hub_file)]

    def _damaged_engines(self) -> set[str]:
        beside = ("-wal", "-shm")
        found = self.folder.glob(f"{self.engine_file.name}.damaged-*")
        return {file.name for file in found if not file.name.endswith(beside)}

    def kill(self, part: str) -> None:
        """Kill a part with SIGKILL, as a crash would, and wait until it has ended."""
        self._end(part, signal.SIGKILL, 5.0)

    def kill_host(self, *parts: str) -> None:
        """Kill the functions hosts, or these of them, with SIGKILL, as a crash would."""
        for part in parts or self.hosts:
            self.kill(part)

    def stop_host(self, part: str) -> None:
        """End a functions host with SIGTERM, as the platform does when it removes an instance."""
        self._end(part, signal.SIGTERM, 20.0)

    def stop_azurite(self) -> None:
        """Stop Azurite with SIGTERM, so that it saves its data."""
        self._end("azurite", signal.SIGTERM, 20.0)

    def runs(self, part: str) -> bool:
        """Return True if this part's process runs and is still the one that was started."""
        pid = self.pids.get(part)
        if pid is None or not processes.is_alive(pid):
            return False
        command = processes.command_line(pid)
        if command is None:
            return True  # without /proc, the id is all that is known
        # The program's name is not enough: the id may now belong to a part of another stack.
        marks = {
            "azurite": [["--tablePort", str(self.ports["table"])]],
            "fabric": [["--port", str(self.ports["fabric"])]],
            "vault": [["--folder", str(self.folder / "vault")]],
        }
        of_host = [["--keys", str(self.keys_file)], ["--port", str(self.ports.get(part))]]
        found = [command[n : n + 2] for n in range(len(command))]
        return all(mark in found for mark in marks.get(part, of_host))

    def _spawn(self, part: str, module: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        with (self.folder / f"{part}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env={**environment, "PYTHONUNBUFFERED": "1"},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.pids[part] = process.pid
        self._save()

    def _wait(self, url: str, part: str) -> None:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            if not self.runs(part):
                break
            time.sleep(0.03)
        log = self.folder / f"{part}.log"
        raise StackError(f"{part} did not start{_logged_reason(log)}; its log is {log}")

    def _end(self, part: str, number: signal.Signals, seconds: float) -> bool:
        if not self.runs(part):
            return True
        return processes.end(self.pids[part], number, seconds)

    def _files(self) -> list[Path]:
        return [self.file, HOME / "stack.json"] if self.name == "default" else [self.file]

    def _save(self) -> None:
        for file in self._files():
            files.write_object(file, self.describe())

    def load(self) -> JsonObject:
        """Load the ports and process ids from stack.json; return its content, or {} without a file.

        Raises files.DamagedError.
        """
        if not self.file.exists():
            return {}
        data, self.ports, self.pids = description.read(self.file)
        known = data.get("topology", SINGLE)
        if known != self.topology and any(self.runs(part) for part in description.hosts_of(known)):
            # Running hosts keep the topology that they were started with, whatever is requested now.
            self.topology = str(known)
        if self.runs("fabric"):
            # A running simulator keeps the speed that it was started with, whatever is requested now.
            self.profile = str(data.get("profile", self.profile))
            self.time_scale = str(data.get("time_scale", self.time_scale))
        return data


def _logged_reason(log: Path) -> str:
    """Return the last reason that the host logged for not starting; empty if it logged none."""
    with suppress(OSError):
        lines = log.read_text(errors="replace")[-20_000:].splitlines()
        line = next((line for line in reversed(lines) if _CANNOT_START in line), "")
        return f": {line.partition(_CANNOT_START)[2].strip()}" if line else ""
    return ""


def from_environment(name: str | None = None) -> Stack:
    """Return the stack that STACK, PROFILE, TIME_SCALE, TOPOLOGY, SEED and QUEUE_LEASE_SECONDS describe."""
    given = os.environ
    return Stack(
        name=name or given.get("STACK") or "default",
        profile=given.get("PROFILE") or "instant",
        time_scale=given.get("TIME_SCALE") or "1",
        seed=given.get("SEED") or "0",
        topology=given.get("TOPOLOGY") or SINGLE,
        queue_lease_seconds=given.get("QUEUE_LEASE_SECONDS") or "600",
    )
