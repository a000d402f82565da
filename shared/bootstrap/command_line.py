"""The composition root of the command line: storage, the app's HTTP API or Fabric alone, each without the whole app."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared import settings
from shared.bootstrap import parts
from shared.bootstrap.parts import Stores, Submit, SystemClock
from shared.domain.ports import Blobs, BreakerAdmin, DeployedItems, Fabric, JournalReads
from shared.domain.telemetry import NoTelemetry
from shared.saga.health.monitor import Monitor

if TYPE_CHECKING:
    from shared.adapters.remote_api import RemoteAdmin


@dataclass(frozen=True)
class Remote:
    """The app behind its HTTP API: the journal to read, blobs, the queue, and what operators use."""

    journal: JournalReads
    blobs: Blobs
    submit: Submit
    desk: "RemoteAdmin"


Access = Stores | Remote
"""The place in which a command reads the journal, stores blobs and submits: storage, or the API."""


def storage(loaded: settings.Settings) -> Stores:
    """Return what storage holds. Raises settings.SettingsError, StorageUnavailableError."""
    return parts.stores(parts.storage_clients(loaded.storage), SystemClock())


def deployed_items(loaded: settings.Settings) -> DeployedItems:
    """Return the notes on deployed items. Raises as `storage`."""
    from shared.adapters.storage.deployed_table import TableDeployedItems

    return TableDeployedItems(parts.storage_clients(loaded.storage))


def storage_monitor(loaded: settings.Settings) -> Monitor:
    """Return the health checks of storage alone. Raises as `storage`."""
    from shared.adapters.storage.signal_table import TableSignals

    clock, clients = SystemClock(), parts.storage_clients(loaded.storage)
    breakers = parts.breakers(clients, loaded, clock, NoTelemetry())
    limiter = parts.rate_limiter(clients, loaded, clock, NoTelemetry())
    checks = parts.storage_checks(clients, TableSignals(clients), breakers, limiter, loaded, clock)
    return Monitor(checks, cache_seconds=0.0, now=clock.now, telemetry=NoTelemetry())


def stored_breakers(loaded: settings.Settings) -> BreakerAdmin:
    """Return the circuit breakers in storage. Raises as `storage`."""
    return parts.breakers(parts.storage_clients(loaded.storage), loaded, SystemClock(), NoTelemetry())


def remote(url: str, key: str, scope: str = "", authority: str = "") -> Remote:
    """Return the app behind its HTTP API. With `scope`, the caller's own identity signs in at `authority` (empty: the
    public cloud), and no key is sent.

    Raises InvalidInputError if the address cannot be used.
    """
    from shared.adapters.remote_api import RemoteAdmin, RemoteApi, RemoteJournal, key_header, token_header

    api = RemoteApi(url, token_header(_own_token(scope, authority)) if scope else key_header(key))
    desk = RemoteAdmin(api)
    return Remote(RemoteJournal(api), desk, desk.submit, desk)


def _own_token(scope: str, authority: str) -> Callable[[], str]:
    """Return what gives tokens of the caller's own identity for a scope, by azure-identity's chain: a person who is
    signed in with the Azure CLI, or a pipeline with workload identity federation."""
    from shared.adapters.fabric.credentials import TokenSource, build_credential

    return TokenSource(lambda: build_credential("default", base_url="", authority=authority), scope).token


def fabric(loaded: settings.Settings) -> Fabric:
    """Return Fabric as the caller's own identity sees it, without storage and so without the shared breakers."""
    from shared.adapters.fabric.credentials import TokenSource
    from shared.adapters.fabric.transport import RequestsTransport

    secrets, _ = parts.secrets(loaded.secrets)
    tokens = TokenSource(lambda: parts.credential(loaded, secrets))
    clock = SystemClock()
    limiter = parts.rate_limiter(None, loaded, clock, NoTelemetry())
    return parts.fabric_client(loaded, tokens, RequestsTransport(), None, limiter, clock)
