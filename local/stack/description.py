"""The description of a stack: its options, folders, addresses and keys. The module stack.py starts it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local import azurite, files
from local.functions_host import groups
from local.functions_host.keys import Keys
from local.paths import HOME, ROOT
from shared.domain.json import JsonObject, as_object

READY = "/api/health/live"
PORTS = ("blob", "queue", "table", "fabric", "operations", "functions")
HOST = "functions"
"""The part that serves HTTP, and everything else unless the topology has hosts for it."""
SINGLE, FLEX = "single", "flex"
_FUNCTIONS = (
    *("accept_deployment", "execute_step", "sweep", "notify"),
    *("poisoned_deployment", "poisoned_step", "poisoned_notice"),
)
_HOSTS = {
    SINGLE: {HOST: ""},
    FLEX: {
        HOST: groups.HTTP,
        f"{HOST}-durable": groups.DURABLE,
        **{f"{HOST}-{name}": f"function:{name}" for name in _FUNCTIONS},
    },
}
"""The hosts of each topology, with the group of functions that each serves; empty for all functions."""
TOPOLOGIES = tuple(_HOSTS)
_ADDRESSES = ("functions_url", "fabric_url", "storage_connection_string", "function_key")
APPLICATION = "5a9a0000-0000-4000-8000-00000000a991"
"""The client id with which the app signs in to Fabric if the stack has a vault."""


@dataclass
class StackDescription:
    """The options of a stack and, once its ports are chosen, its addresses."""

    name: str = "default"
    profile: str = "instant"
    time_scale: str = "1"
    seed: str = "0"
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    queue_lease_seconds: str = "600"
    access_log: bool = False
    keeps_storage: bool = True
    """If False, the storage is in memory, and ends with its process."""
    app: Path = ROOT
    ready: str = READY
    host_module: str = "local.functions_host"
    topology: str = SINGLE
    """`single`: one host serves all functions. `flex`: each group has a host, as in Azure."""
    is_placeholder: bool = False
    """If True, each host starts as a placeholder and is specialized, as in Azure; always so with `flex`."""
    hub_lease_seconds: str = "30"
    """How long a dead host of the group `durable` keeps the partitions of the task hub."""
    has_vault: bool = False
    """If True, the app signs in as a service principal at a stand-in for Entra, with a secret from a stand-in for Key
    Vault (with FEATURE_USE_AZURE_KEYVAULT=false: from the environment)."""
    ports: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    pids: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    notes: list[str] = field(default_factory=lambda: list[str]())
    """Messages for the person who ran `up` or `down`: which file was damaged, and where it is kept."""

    @property
    def folder(self) -> Path:
        """The folder of the data and the logs."""
        return HOME / "stacks" / self.name

    @property
    def file(self) -> Path:
        """The path of stack.json."""
        return self.folder / "stack.json"

    @property
    def engine_file(self) -> Path:
        """The file of the durable engine's state."""
        return self.folder / "engine.sqlite"

    @property
    def hub_file(self) -> Path:
        """The file of the task hub that the hosts of the topology `flex` share."""
        return self.folder / "hub.sqlite"

    @property
    def hosts(self) -> dict[str, str]:
        """The functions hosts, with the group that each serves; the host that serves HTTP is the first."""
        return _HOSTS[self.topology]

    @property
    def host_urls(self) -> list[str]:
        """The addresses of all hosts, for their admin endpoints."""
        return [f"http://127.0.0.1:{self.ports[part]}" for part in self.hosts]

    @property
    def port_names(self) -> tuple[str, ...]:
        """The names of the ports that this stack needs."""
        return (*PORTS, *(("vault",) if self.has_vault else ()), *(part for part in self.hosts if part != HOST))

    @property
    def keys_file(self) -> Path:
        """The file of the host's keys."""
        return self.folder / "keys.json"

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the processes."""
        between = (("fabric", self.has_simulator), ("vault", self.has_vault))
        return ("azurite", *(part for part, is_there in between if is_there), *self.hosts)

    @property
    def functions_url(self) -> str:
        """The address of the app."""
        return f"http://127.0.0.1:{self.ports['functions']}"

    @property
    def fabric_url(self) -> str:
        """The address of Fabric: the simulator's, or FABRIC_API_BASE_URL."""
        return f"http://127.0.0.1:{self.ports['fabric']}" if self.has_simulator else self._configured_fabric

    @property
    def operations_host(self) -> str:
        """The host and port of the simulator's long-running operations."""
        return f"127.0.0.1:{self.ports['operations']}"

    @property
    def has_simulator(self) -> bool:
        """True if this stack starts a simulator. An address with the simulator's credential is what `env` printed."""
        return not self._configured_fabric or self.environment.get("FABRIC_CREDENTIAL") == "simulator"

    @property
    def _configured_fabric(self) -> str:
        return self.environment.get("FABRIC_API_BASE_URL", "")

    @property
    def vault_url(self) -> str:
        """The address of Key Vault, Entra and the identity endpoint; clients must trust `vault_ca_file`."""
        return f"https://127.0.0.1:{self.ports['vault']}"

    @property
    def vault_ca_file(self) -> Path:
        """The certificate authority that clients of `vault_url` must trust."""
        return self.folder / "vault" / "ca.pem"

    @property
    def identity_header(self) -> str:
        """The header value that Azure would give the app for its identity endpoint."""
        return self.environment.get("IDENTITY_HEADER") or "identity-header-of-this-stack"

    @property
    def storage_ports(self) -> tuple[int, int, int]:
        """Azurite's ports for blobs, queues and tables."""
        return self.ports["blob"], self.ports["queue"], self.ports["table"]

    @property
    def connection_string(self) -> str:
        """The connection string of the storage."""
        return azurite.connection_string(self.storage_ports)

    @property
    def function_key(self) -> str:
        """The key for the routes that are not anonymous. Raises files.DamagedError."""
        return Keys.read(self.keys_file).default

    @property
    def master_key(self) -> str:
        """The key for the host's admin endpoints. Raises files.DamagedError."""
        return Keys.read(self.keys_file).master

    def describe(self) -> dict[str, Any]:
        """Return the content of stack.json."""
        return {
            "name": self.name,
            "profile": self.profile,
            "time_scale": self.time_scale,
            "topology": self.topology,
            "functions_url": self.functions_url,
            "fabric_url": self.fabric_url,
            "storage_connection_string": self.connection_string,
            "function_key": self.function_key if self.keys_file.exists() else "",
            "pids": self.pids,
            "data_folder": str(self.folder),
            "ports": self.ports,
        }


def hosts_of(topology: object) -> dict[str, str]:
    """Return the hosts of a topology; none for an unknown one."""
    return _HOSTS.get(str(topology), {})


def read(file: Path) -> tuple[JsonObject, dict[str, int], dict[str, int]]:
    """Return the content of stack.json with its ports and process ids. Raises files.DamagedError, and OSError."""
    data = files.read_object(file)
    ports, pids = _numbers(data.get("ports")), _numbers(data.get("pids"))
    if not set(PORTS) <= ports.keys() or not set(_ADDRESSES) <= data.keys():
        raise files.DamagedError(f"{file} is damaged (the ports or addresses are missing)")
    return data, ports, pids


def _numbers(value: object) -> dict[str, int]:
    return {name: number for name, number in (as_object(value) or {}).items() if isinstance(number, int)}
