"""The composition root: builds every client once, on first use, and hands the engine its ports.

Heavy libraries (the storage SDKs, azure-identity) are imported here and not before, so that importing
function_app.py stays cheap and cannot fail.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from shared import settings
from shared.domain.flags import FeatureFlags
from shared.domain.ports import Blobs, Clock, Fabric, Journal, JournalReads, Locks, Orchestrations
from shared.domain.telemetry import NoTelemetry, Telemetry
from shared.saga.accept import Acceptance
from shared.saga.delivery import Services
from shared.saga.payloads import Payloads
from shared.steps import KINDS, STEPS

if TYPE_CHECKING:
    from shared.adapters.breaker_registry import CircuitBreakers
    from shared.adapters.credentials import Credential
    from shared.adapters.fabric_http import FabricClient, Tokens
    from shared.adapters.fabric_transport import Transport
    from shared.adapters.rate_limiter import RateLimiter
    from shared.adapters.storage import StorageClients


log = logging.getLogger(__name__)

_READ_ATTEMPTS = 3
"""In-process tries of a read, within one delivery."""


class SystemClock:
    """The time of the machine."""

    def now(self) -> datetime:
        """Aware, UTC."""
        return datetime.now(UTC)


class Submit(Protocol):
    """Puts a submission or a command on the queue `deployments`. Raises StorageUnavailableError."""

    def __call__(self, text: str, delay_seconds: float = 0.0) -> None:
        """Deliver it, not before `delay_seconds`."""
        ...


@dataclass(frozen=True)
class Access:
    """What the command line needs: the journal to read, the blobs, and where submissions and commands go to."""

    journal: JournalReads
    blobs: Blobs
    submit: Submit


@dataclass(frozen=True)
class Storage(Access):
    """The same on storage itself."""

    journal: Journal
    locks: Locks


@dataclass(frozen=True)
class App:
    """Everything that the triggers work with."""

    services: Services
    acceptance: Acceptance
    locks: Locks
    breakers: "CircuitBreakers"
    checks: Mapping[str, Callable[[], object]]
    flags: FeatureFlags
    telemetry: Telemetry
    submit: Submit
    sweep_dry_run: bool = False
    trusts_client_principal: bool = False


_lock = threading.Lock()
_app: App | None = None


def app() -> App:
    """The app of this process, built on first use. Raises settings.SettingsError."""
    global _app
    if _app is None:
        with _lock:
            if _app is None:
                _app = build(settings.load())
    return _app


def build(loaded: settings.Settings) -> App:
    """The app from its settings; connects to nothing yet."""
    from shared.adapters.credentials import TokenSource
    from shared.adapters.fabric_transport import RequestsTransport
    from shared.adapters.queues import StorageStepQueue

    clock = SystemClock()
    clients = _clients(loaded.storage)
    stores = _stores(clients, clock)
    payloads = Payloads(stores.blobs)
    flags, policy = loaded.flags, loaded.policy.under(loaded.flags)
    log.info(flags.log_status())
    tokens = TokenSource(lambda: _credential(loaded.fabric))
    breakers = _breakers(clients, loaded, clock)
    client = fabric_client(loaded, tokens, RequestsTransport(), breakers, clock)
    services = Services(
        journal=stores.journal,
        queue=StorageStepQueue(clients),
        payloads=payloads,
        fabric=client,
        clock=clock,
        kinds=STEPS,
        policy=policy,
        new_id=lambda: uuid.uuid4().hex,
    )
    acceptance = Acceptance(stores.journal, stores.blobs, payloads, clock, KINDS, policy.retention_seconds)
    checks = {"storage": clients.ping, "fabric_identity": tokens.token}
    telemetry = NoTelemetry()
    return App(
        services,
        acceptance,
        stores.locks,
        breakers,
        checks,
        flags,
        telemetry,
        submit=stores.submit,
        sweep_dry_run=loaded.sweep_dry_run,
        trusts_client_principal=loaded.trusts_client_principal,
    )


def fabric_client(
    loaded: settings.Settings,
    tokens: "Tokens",
    transport: "Transport",
    breakers: "CircuitBreakers | None",
    clock: Clock,
    sleep: Callable[[float], None] = time.sleep,
) -> "FabricClient":
    """The client of Fabric's API behind its gates, with what the feature flags leave of them."""
    from shared.adapters.fabric_gate import FabricGate
    from shared.adapters.fabric_http import FabricClient

    flags = loaded.flags
    if not flags.circuit_breaker or not loaded.breaker.failures:
        breakers = None
    return FabricClient(
        loaded.fabric.base_url,
        tokens,
        transport,
        operation_hosts=loaded.fabric.operation_hosts,
        gate=FabricGate(breakers, _limiter(loaded, clock), clock.now),
        attempts=_READ_ATTEMPTS if flags.retry_logic else 1,
        now=clock.now,
        sleep=sleep,
    )


def storage(loaded: settings.Settings) -> Storage:
    """The storage side alone, for the command line."""
    return _stores(_clients(loaded.storage), SystemClock())


def remote(url: str, key: str) -> Access:
    """The same through the app's HTTP API. Raises SagaError where the address is none."""
    from shared.adapters.remote_api import RemoteApi, RemoteDesk, RemoteJournal

    api = RemoteApi(url, key)
    desk = RemoteDesk(api)
    return Access(RemoteJournal(api), desk, desk.submit)


def fabric(loaded: settings.Settings) -> Fabric:
    """Fabric alone, for the command line: as whoever runs it, without storage and so without the shared breakers."""
    from shared.adapters.credentials import TokenSource
    from shared.adapters.fabric_transport import RequestsTransport

    tokens = TokenSource(lambda: _credential(loaded.fabric))
    return fabric_client(loaded, tokens, RequestsTransport(), None, SystemClock())


def orchestrations(client: Any) -> Orchestrations:
    """The durable engine behind the client of one invocation."""
    from shared.adapters.durable import DurableOrchestrations

    return DurableOrchestrations(client)


def _clients(loaded: settings.StorageSettings) -> "StorageClients":
    from shared.adapters.storage import StorageClients

    def credential() -> Any:
        import azure.identity as identity

        if loaded.client_id:
            return identity.ManagedIdentityCredential(client_id=loaded.client_id)
        return identity.DefaultAzureCredential(exclude_interactive_browser_credential=True)

    try:
        return StorageClients(
            loaded.connection_string,
            table_uri=loaded.table_uri,
            queue_uri=loaded.queue_uri,
            blob_uri=loaded.blob_uri,
            credential=credential,
        )
    except ValueError:  # its message may hold a part of the connection string
        raise settings.SettingsError(
            "AzureWebJobsStorage is no connection string (AccountName=...;AccountKey=...;...), or a service's "
            "address is none"
        ) from None


def _breakers(clients: "StorageClients", loaded: settings.Settings, clock: SystemClock) -> "CircuitBreakers":
    from shared.adapters.breaker_registry import CircuitBreakers
    from shared.adapters.breaker_table import TableBreakers

    return CircuitBreakers(TableBreakers(clients), loaded.breaker, clock.now)


def _limiter(loaded: settings.Settings, clock: Clock) -> "RateLimiter | None":
    from shared.adapters.rate_limiter import RateLimiter

    return RateLimiter(loaded.rate, clock.now) if loaded.rate.per_minute else None


def _stores(clients: "StorageClients", clock: SystemClock) -> Storage:
    from shared.adapters.blobs import BlobStore
    from shared.adapters.journal_table import TableJournal
    from shared.adapters.lock_table import TableLocks
    from shared.adapters.queues import SubmissionQueue

    submissions = SubmissionQueue(clients)
    journal, locks = TableJournal(clients, clock.now), TableLocks(clients)
    return Storage(journal, BlobStore(clients), submissions.send, locks)


def _credential(loaded: settings.FabricSettings) -> "Credential":
    from shared.adapters.credentials import build_credential

    return build_credential(
        loaded.credential,
        base_url=loaded.base_url,
        tenant_id=loaded.tenant_id,
        client_id=loaded.client_id,
        client_secret=settings.credential_secret,
        certificate_path=loaded.certificate_path,
    )
