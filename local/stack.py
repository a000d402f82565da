"""The whole on one machine: Azurite, Fabric's simulator, and the functions host with the app of this repository.

`python -m local.stack up|down|status|env`. Stacks are told apart by STACK (or --name), each with ports and a data
folder of its own under .local/stacks; what runs where stands in its stack.json.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from local import azurite, files, processes
from local.functions_host.keys import Keys
from shared.domain.flags import FeatureFlags
from shared.domain.json import as_object

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".local"
_START_SECONDS = 60.0
READY = "/api/health/live"
_FLAGS = ("retry_logic", "circuit_breaker", "rollback", "health_checks")
"""The features that need nothing of Azure; the environment may say otherwise."""
_PORTS = ("blob", "queue", "table", "fabric", "operations", "functions")
_PRINTED = ("functions_url", "fabric_url", "storage_connection_string", "function_key")
_CANNOT_START = "the host cannot start: "
APPLICATION = "5a9a0000-0000-4000-8000-00000000a991"
"""The client id that the app signs in to Fabric with where the stack has a vault."""


class StackError(Exception):
    """Something did not start; the message says what, and which log to read."""


@dataclass
class Stack:
    """One stack. Every part can be killed, stopped and started by itself; the data stay."""

    name: str = "default"
    profile: str = "instant"
    time_scale: str = "1"
    seed: str = "0"
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    queue_lease_seconds: str = "600"
    access_log: bool = False
    app: Path = ROOT
    ready: str = READY
    host_module: str = "local.functions_host"
    has_vault: bool = False
    """Whether the app signs in as a service principal, at a stand-in of Entra, with a secret of a stand-in of Key Vault
    (with FEATURE_USE_AZURE_KEYVAULT=false: of the environment)."""
    ports: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    pids: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    notes: list[str] = field(default_factory=lambda: list[str]())
    """Sentences for the person who ran `up` or `down`: which file was damaged, and where it is kept."""

    @property
    def folder(self) -> Path:
        """Where its data and logs are."""
        return HOME / "stacks" / self.name

    @property
    def functions_url(self) -> str:
        """The app."""
        return f"http://127.0.0.1:{self.ports['functions']}"

    @property
    def fabric_url(self) -> str:
        """Fabric: the simulator, or what FABRIC_API_BASE_URL says."""
        return f"http://127.0.0.1:{self.ports['fabric']}" if self.has_simulator else self._configured_fabric

    @property
    def has_simulator(self) -> bool:
        """Whether Fabric is ours to start. An address beside the simulator's credential is what `env` printed."""
        return not self._configured_fabric or self.environment.get("FABRIC_CREDENTIAL") == "simulator"

    @property
    def _configured_fabric(self) -> str:
        return self.environment.get("FABRIC_API_BASE_URL", "")

    @property
    def parts(self) -> tuple[str, ...]:
        """The processes that it consists of."""
        between = (("fabric", self.has_simulator), ("vault", self.has_vault))
        return ("azurite", *(part for part, is_there in between if is_there), "functions")

    @property
    def vault_url(self) -> str:
        """Key Vault, Entra and the identity endpoint; clients have to trust `vault_ca_file`."""
        return f"https://127.0.0.1:{self.ports['vault']}"

    @property
    def vault_ca_file(self) -> Path:
        """Whom to trust at `vault_url`."""
        return self.folder / "vault" / "ca.pem"

    @property
    def identity_header(self) -> str:
        """What the platform would give the app for its identity endpoint."""
        return self.environment.get("IDENTITY_HEADER") or "identity-header-of-this-stack"

    @property
    def connection_string(self) -> str:
        """The storage."""
        return azurite.connection_string((self.ports["blob"], self.ports["queue"], self.ports["table"]))

    @property
    def function_key(self) -> str:
        """The key of the routes that are not anonymous. Raises files.DamagedError."""
        return Keys.read(self._keys_file).default

    @property
    def master_key(self) -> str:
        """The key of the host's admin endpoints. Raises files.DamagedError."""
        return Keys.read(self._keys_file).master

    @property
    def _keys_file(self) -> Path:
        return self.folder / "keys.json"

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(self, *error: object) -> None:
        self.down()

    def up(self, *, host: bool = True) -> Self:
        """Start what does not run; a half-dead stack is mended with its data and ports. `host` off leaves the functions
        host to the caller."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._set_aside_damaged_files()
        if self.ports:
            return self._start_missing_parts(host)
        for tries_left in (2, 1, 0):
            names = (*_PORTS, "vault") if self.has_vault else _PORTS
            self.ports = dict(zip(names, azurite.free_ports(len(names)), strict=True))
            try:
                return self._start_missing_parts(host)
            except (StackError, azurite.AzuriteError):
                for part in ("functions", "vault", "fabric", "azurite"):
                    self._end(part, signal.SIGKILL, 5.0)
                # Another program may have taken a port between the choice and the start: then others are chosen.
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
        if host and not self.runs("functions"):
            self.start_host()
        self._save()
        return self

    def _set_aside_damaged_files(self) -> None:
        """Take over what runs; what cannot be known because stack.json is damaged is ended, and its data stay."""
        try:
            self.load()
        except files.DamagedError as error:
            self._end_writers_here()
            kept = files.set_aside(self.folder / "stack.json")
            self.notes.append(f"{error}: it is kept as {kept.name}; what ran was ended, and starts on its data again")
        try:
            if self._keys_file.exists():
                Keys.read(self._keys_file)
        except files.DamagedError as error:
            self.kill_host()  # it goes by keys that nobody can read any more
            kept = files.set_aside(self._keys_file)
            self.notes.append(f"{error}: it is kept as {kept.name}, and there are new keys; `make env` prints them")

    def _end_writers_here(self) -> None:
        for log in ("functions.log", "vault.log", "fabric.log", "azurite/azurite.log"):
            for pid in processes.writing_to(self.folder / log):
                if not processes.end(pid, signal.SIGTERM, 20.0):
                    processes.end(pid, signal.SIGKILL, 5.0)

    def down(self) -> None:
        """Stop everything: the host first, the storage last. Stopping twice is fine."""
        try:
            self.load()
        except files.DamagedError as error:
            self._end_writers_here()
            self.notes.append(f"{error}: what wrote to the logs of this stack was ended")
        for part in ("functions", "vault", "fabric"):
            if not self._end(part, signal.SIGTERM, 15.0):
                self._end(part, signal.SIGKILL, 5.0)
        self._end("azurite", signal.SIGTERM, 20.0)
        for file in self._files():
            file.unlink(missing_ok=True)

    def start_azurite(self) -> None:
        """Start the storage on its ports."""
        ports = (self.ports["blob"], self.ports["queue"], self.ports["table"])
        self.pids["azurite"] = azurite.start(HOME, self.folder / "azurite", ports, access_log=self.access_log).pid
        self._save()

    def start_fabric(self) -> None:
        """Start the simulator: an empty tenant."""
        arguments = ["--port", str(self.ports["fabric"]), "--operations-port", str(self.ports["operations"])]
        arguments += ["--profile", self.profile, "--time-scale", self.time_scale, "--seed", self.seed]
        self._spawn("fabric", "local.fabric_simulator", arguments, dict(self.environment))
        self._wait(f"http://127.0.0.1:{self.ports['fabric']}/_sim/settings", "fabric")

    def start_vault(self) -> None:
        """Start the stand-ins of Key Vault and Entra: nothing in them yet."""
        arguments = ["--port", str(self.ports["vault"]), "--folder", str(self.folder / "vault")]
        environment = {**self.environment, "IDENTITY_HEADER": self.identity_header}
        self._spawn("vault", "local.key_vault", arguments, environment)
        until = time.monotonic() + _START_SECONDS
        while not azurite.is_listening(self.ports["vault"]):
            if time.monotonic() > until or not self.runs("vault"):
                raise StackError(f"vault did not come up; its log is {self.folder / 'vault.log'}")
            time.sleep(0.03)

    def _vault_environment(self) -> dict[str, str]:
        """What Azure would tell the app: the vault, its identity, and where tokens are."""
        return {
            "FEATURE_USE_SECRET_MANAGER": self.environment.get("FEATURE_USE_SECRET_MANAGER", "true"),
            "FEATURE_USE_AZURE_KEYVAULT": self.environment.get("FEATURE_USE_AZURE_KEYVAULT", "true"),
            "KEY_VAULT_URL": self.vault_url,
            "KEY_VAULT_CLIENT_ID": "identity-of-the-app",
            "IDENTITY_ENDPOINT": f"{self.vault_url}/msi/token",
            "IDENTITY_HEADER": self.identity_header,
            "FABRIC_CREDENTIAL": "service_principal",
            "AZURE_TENANT_ID": "tenant",
            "AZURE_CLIENT_ID": APPLICATION,
            "AZURE_AUTHORITY_HOST": self.vault_url,
            "REQUESTS_CA_BUNDLE": str(self.vault_ca_file),
        }

    def start_host(self) -> None:
        """Start the functions host and wait until the app answers."""
        environment = {
            **{FeatureFlags.variable(name): "true" for name in _FLAGS},
            **self.environment,
            "AzureWebJobsStorage": self.connection_string,
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "PYTHON_THREADPOOL_THREAD_COUNT": self.environment.get("PYTHON_THREADPOOL_THREAD_COUNT", "32"),
            "SWEEP_SCHEDULE": self.environment.get("SWEEP_SCHEDULE", "0 */5 * * * *"),
        }
        if self.has_simulator:
            environment["FABRIC_API_BASE_URL"] = self.fabric_url
            environment["FABRIC_OPERATION_HOSTS"] = f"127.0.0.1:{self.ports['operations']}"
            environment["FABRIC_CREDENTIAL"] = "simulator"
            if (self.profile, self.time_scale) != ("realistic", "1"):
                # No quota there to keep, or one whose minute is shorter than ours.
                environment.setdefault("RATE_PER_MINUTE", "0")
        if self.has_vault:
            environment |= self._vault_environment()
        arguments = [
            str(self.app),
            "--port",
            str(self.ports["functions"]),
            "--state",
            str(self.folder / "engine.sqlite"),
        ]
        arguments += ["--keys", str(self.folder / "keys.json"), "--queue-lease", self.queue_lease_seconds]
        before = self._damaged_engines()
        self._spawn("functions", self.host_module, arguments, environment)
        self._wait(self.functions_url + self.ready, "functions")
        for kept in sorted(self._damaged_engines() - before):
            self.notes.append(
                f"the engine's state {self.folder / 'engine.sqlite'} was damaged: it is kept as {kept}, and the engine "
                "began empty; deployments go on from their journal at the next sweep"
            )

    def _damaged_engines(self) -> set[str]:
        beside = ("-wal", "-shm")
        return {file.name for file in self.folder.glob("engine.sqlite.damaged-*") if not file.name.endswith(beside)}

    def kill_host(self) -> None:
        """SIGKILL, as a crash would."""
        self._end("functions", signal.SIGKILL, 5.0)

    def stop_azurite(self) -> None:
        """SIGTERM, which saves its data."""
        self._end("azurite", signal.SIGTERM, 20.0)

    def runs(self, part: str) -> bool:
        """Whether that process lives and is still the one that was started."""
        pid = self.pids.get(part)
        if pid is None or not processes.is_alive(pid):
            return False
        command = processes.command_line(pid)
        if command is None:
            return True  # the number is all there is
        # Not the program's name: the number may by now be that of another stack's part.
        marks = {
            "azurite": ["--location", str(self.folder / "azurite")],
            "fabric": ["--port", str(self.ports["fabric"])],
            "vault": ["--folder", str(self.folder / "vault")],
            "functions": ["--state", str(self.folder / "engine.sqlite")],
        }
        return marks[part] in [command[n : n + 2] for n in range(len(command))]

    def describe(self) -> dict[str, Any]:
        """What stack.json holds."""
        return {
            "name": self.name,
            "profile": self.profile,
            "time_scale": self.time_scale,
            "functions_url": self.functions_url,
            "fabric_url": self.fabric_url,
            "storage_connection_string": self.connection_string,
            "function_key": self.function_key if self._keys_file.exists() else "",
            "pids": self.pids,
            "data_folder": str(self.folder),
            "ports": self.ports,
        }

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
        raise StackError(f"{part} did not come up{_failure_output(log)}; its log is {log}")

    def _end(self, part: str, number: signal.Signals, seconds: float) -> bool:
        if not self.runs(part):
            return True
        return processes.end(self.pids[part], number, seconds)

    def _files(self) -> list[Path]:
        own = [self.folder / "stack.json"]
        return [*own, HOME / "stack.json"] if self.name == "default" else own

    def _save(self) -> None:
        text = json.dumps(self.describe(), indent=2)
        for file in self._files():
            fresh = file.with_suffix(".new")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
                stream.write(text)
            fresh.replace(file)

    def load(self) -> dict[str, Any]:
        """Take over what stack.json says of what runs, and return it; empty where there is none. Raises
        files.DamagedError."""
        file = self.folder / "stack.json"
        data = files.read_object(file) if file.exists() else {}
        if data:
            ports, pids = (_numbers(data.get(name)) for name in ("ports", "pids"))
            if not set(_PORTS) <= ports.keys() or not set(_PRINTED) <= data.keys():
                raise files.DamagedError(f"{file} is damaged (it does not say what runs where)")
            self.ports, self.pids = ports, pids
            if self.runs("fabric"):
                # What runs keeps the speed that it was started with, whatever is asked for now.
                self.profile = data.get("profile", self.profile)
                self.time_scale = data.get("time_scale", self.time_scale)
        return data


def _numbers(value: object) -> dict[str, int]:
    return {name: number for name, number in (as_object(value) or {}).items() if isinstance(number, int)}


def _failure_output(log: Path) -> str:
    """Return the reason that the host logged last for not starting; empty if there is none."""
    with suppress(OSError):
        lines = log.read_text(errors="replace")[-20_000:].splitlines()
        text = next((line for line in reversed(lines) if _CANNOT_START in line), "")
        return f": {text.partition(_CANNOT_START)[2].strip()}" if text else ""
    return ""


def from_environment(name: str | None = None) -> Stack:
    """The stack that STACK, PROFILE, TIME_SCALE and SEED describe."""
    given = os.environ
    return Stack(
        name=name or given.get("STACK") or "default",
        profile=given.get("PROFILE") or "instant",
        time_scale=given.get("TIME_SCALE") or "1",
        seed=given.get("SEED") or "0",
        queue_lease_seconds=given.get("QUEUE_LEASE_SECONDS") or "600",
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m local.stack", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status", "env"))
    parser.add_argument("--name")
    options = parser.parse_args()
    stack = from_environment(options.name)
    try:
        return _run(stack, options.command)
    except files.DamagedError as error:
        print(f"error: {error}: `make up` sets it aside and starts again; the data stay", file=sys.stderr)
    except (StackError, azurite.AzuriteError) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or stack.folder}: {error.strerror}; see to it, then `make up`", file=sys.stderr)
    finally:
        for note in stack.notes:
            print(f"note: {note}", file=sys.stderr)
    return 1


def _run(stack: Stack, command: str) -> int:
    if command == "down":
        stack.down()
        print(f"stack {stack.name} is down")
        return 0
    if command == "up":
        stack.up()
    file = stack.folder / "stack.json"
    if not file.exists():
        # To stderr: what `env` prints is evaluated.
        print(f"stack {stack.name} is not up", file=sys.stderr if command == "env" else sys.stdout)
        return 1
    data = stack.load()
    if command == "env":
        print(f"export NO_PROXY={shlex.quote(os.environ['NO_PROXY'])} no_proxy={shlex.quote(os.environ['no_proxy'])}")
        print(f"export AzureWebJobsStorage={shlex.quote(data['storage_connection_string'])}")
        print(f"export APP={data['functions_url']} FUNCTION_KEY={shlex.quote(data['function_key'])}")
        # As the app has them, so that a script or a look from here goes by the same.
        print(
            "export "
            + " ".join(f"{flag}={stack.environment.get(flag) or 'true'}" for flag in map(FeatureFlags.variable, _FLAGS))
        )
        if stack.has_simulator:
            print(f"export FABRIC_API_BASE_URL={data['fabric_url']} FABRIC_CREDENTIAL=simulator")
            print(f"export FABRIC_OPERATION_HOSTS=127.0.0.1:{data['ports']['operations']}")
        return 0
    print(f"stack      {stack.name}")
    print(f"app        {data['functions_url']}{READY}")
    print(f"page       {data['functions_url']}/api/dashboard (its key: make env prints it as FUNCTION_KEY)")
    print(f"fabric     {data['fabric_url']}" + (f"/_sim/state ({stack.profile})" if stack.has_simulator else ""))
    print(f"details    {file}")
    dead = [part for part in stack.parts if not stack.runs(part)]
    for part in dead:
        print(f"parts      {part} does not run; `make up` starts it")
    if dead:
        return 1
    of_this = "" if stack.name == "default" else f" STACK={stack.name}"
    print(f'next       eval "$(make -s env{of_this})"; source .venv/bin/activate')
    print("           python -m shared.cli submit examples/medallion.yaml --wait")
    return 0


if __name__ == "__main__":
    sys.exit(main())
