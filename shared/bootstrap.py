"""The composition root: builds every client once, on first use, and hands the engine its ports.

Heavy libraries (the storage SDKs, azure-identity) are imported here and not before, so that importing
function_app.py stays cheap and cannot fail.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from shared import logs, settings
from shared.domain.flags import FeatureFlags
from shared.domain.ports import Blobs, BreakerAdmin, Fabric, Journal, JournalReads, Locks, Signals
from shared.domain.ports.engine import Clock, Orchestrations
from shared.domain.ports.telemetry import Telemetry
from shared.domain.telemetry import NoTelemetry
from shared.saga.health import checks as bodies
from shared.saga.health.monitor import Monitor
from shared.saga.payloads import Payloads
from shared.saga.step.delivery import Services
from shared.saga.submission.acceptance import Acceptance
from shared.steps import KINDS, STEPS

if TYPE_CHECKING:
    from shared.adapters.breaker.registry import CircuitBreakers
    from shared.adapters.fabric.client import FabricClient
    from shared.adapters.fabric.credentials import Credential
    from shared.adapters.fabric.rate_limiter import RateLimiter
    from shared.adapters.remote_api import RemoteAdmin
    from shared.adapters.secrets.manager import SecretManager
    from shared.adapters.storage.clients import StorageClients
    from shared.adapters.telemetry.buffered import Exporter
    from shared.domain.ports import Tokens, Transport

log = logging.getLogger(__name__)
logs.install()  # here, because every program of this package imports the composition root

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
class Remote(Access):
    """The same, and more, through the app's HTTP API."""

    desk: "RemoteAdmin"


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
    secrets: "SecretManager"
    signals: Signals
    health: Monitor
    submit: Submit
    sweep_dry_run: bool = False
    trusts_client_principal: bool = False


_lock = threading.Lock()
_app: App | None = None
_engine_calls = bodies.EngineCalls()


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
    from shared.adapters.fabric.credentials import TokenSource
    from shared.adapters.fabric.transport import RequestsTransport, answered_status
    from shared.adapters.storage.queues import StorageStepQueue
    from shared.adapters.storage.signal_table import TableSignals

    clock = SystemClock()
    telemetry = _telemetry(loaded, clock)
    clients = _clients(loaded.storage)
    stores = _stores(clients, clock)
    journal, transport = _observed(stores.journal, RequestsTransport(), telemetry, clock)
    payloads = Payloads(stores.blobs)
    secrets, ping_vault = _secrets(loaded.secrets)
    tokens = TokenSource(lambda: _credential(loaded, secrets))
    breakers = _breakers(clients, loaded, clock, telemetry)
    flags, policy = loaded.flags, loaded.policy.under(loaded.flags)
    log.info(flags.log_status())
    client = fabric_client(loaded, tokens, transport, breakers, clock)
    probe = RequestsTransport(connect_timeout=2.0, read_timeout=2.5)  # both within a health check's budget
    services = Services(
        journal=journal,
        queue=StorageStepQueue(clients),
        payloads=payloads,
        fabric=client,
        clock=clock,
        kinds=STEPS,
        policy=policy,
        new_id=lambda: uuid.uuid4().hex,
        telemetry=telemetry,
    )
    acceptance = Acceptance(journal, stores.blobs, payloads, clock, KINDS, policy.retention_seconds)
    signals = TableSignals(clients)
    checks: dict[str, Callable[[], object]] = {
        **_storage_checks(clients, signals, breakers, loaded, clock),
        "engine": _engine_calls.finding,
        "fabric_identity": tokens.check,
        "fabric_endpoint": lambda: bodies.fabric_endpoint(answered_status(loaded.fabric.base_url, probe)),
    }
    if ping_vault is not None:
        checks["key_vault"] = ping_vault
    monitor = Monitor(checks, cache_seconds=loaded.health.cache_seconds, now=clock.now, telemetry=telemetry)
    telemetry.trace(loaded.flags.log_status())
    return App(
        services,
        acceptance,
        stores.locks,
        breakers,
        checks,
        flags,
        telemetry,
        secrets,
        signals,
        monitor,
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
    from shared.adapters.fabric.client import FabricClient
    from shared.adapters.fabric.gate import FabricGate

    return FabricClient(
        loaded.fabric.base_url,
        tokens,
        transport,
        operation_hosts=loaded.fabric.operation_hosts,
        gate=FabricGate(breakers if loaded.has_breakers else None, _limiter(loaded, clock), clock.now),
        attempts=_READ_ATTEMPTS if loaded.flags.retry_logic else 1,
        now=clock.now,
        sleep=sleep,
    )


def storage_monitor(loaded: settings.Settings) -> Monitor:
    """The checks of the storage side alone, for the command line."""
    from shared.adapters.storage.signal_table import TableSignals

    clock, clients = SystemClock(), _clients(loaded.storage)
    checks = _storage_checks(
        clients, TableSignals(clients), _breakers(clients, loaded, clock, NoTelemetry()), loaded, clock
    )
    return Monitor(checks, cache_seconds=0.0, now=clock.now, telemetry=NoTelemetry())


def _storage_checks(
    clients: "StorageClients",
    signals: Signals,
    breakers: "CircuitBreakers",
    loaded: settings.Settings,
    clock: SystemClock,
) -> dict[str, Callable[[], object]]:
    """By name; what a failure of each means is said in shared/saga/health/monitor.py."""
    from shared.adapters.storage.queues import depths

    policy, up_since = loaded.health, clock.now()
    return {
        "storage": clients.ping,
        "queues": lambda: bodies.queues(depths(clients), clock.now(), policy),
        "breakers": lambda: bodies.breakers(breakers.statuses(), is_on=loaded.has_breakers),
        "sweep": lambda: bodies.sweep(signals, clock.now(), up_since, policy),
        "poison": lambda: bodies.poison(signals, clock.now(), policy),
    }


def storage(loaded: settings.Settings) -> Storage:
    """The storage side alone, for the command line."""
    return _stores(_clients(loaded.storage), SystemClock())


def stored_breakers(loaded: settings.Settings) -> BreakerAdmin:
    """The circuit breakers in storage alone, for the command line."""
    return _breakers(_clients(loaded.storage), loaded, SystemClock(), NoTelemetry())


def remote(url: str, key: str) -> Remote:
    """The same through the app's HTTP API. Raises InvalidInputError for a bad address."""
    from shared.adapters.remote_api import RemoteAdmin, RemoteApi, RemoteJournal

    api = RemoteApi(url, key)
    desk = RemoteAdmin(api)
    return Remote(RemoteJournal(api), desk, desk.submit, desk)


def fabric(loaded: settings.Settings) -> Fabric:
    """Fabric alone, for the command line: as whoever runs it, without storage and so without the shared breakers."""
    from shared.adapters.fabric.credentials import TokenSource
    from shared.adapters.fabric.transport import RequestsTransport

    secrets, _ = _secrets(loaded.secrets)
    tokens = TokenSource(lambda: _credential(loaded, secrets))
    return fabric_client(loaded, tokens, RequestsTransport(), None, SystemClock())


def orchestrations(client: Any) -> Orchestrations:
    """The durable engine behind the client of one invocation."""
    from shared.adapters.durable import DurableOrchestrations

    return DurableOrchestrations(client, _engine_calls.ended)


def _clients(loaded: settings.StorageSettings) -> "StorageClients":
    from shared.adapters.storage.clients import StorageClients

    try:
        return StorageClients(
            loaded.connection_string,
            table_uri=loaded.table_uri,
            queue_uri=loaded.queue_uri,
            blob_uri=loaded.blob_uri,
            credential=lambda: _identity(loaded.client_id),
        )
    except ValueError:  # its message may hold a part of the connection string
        raise settings.SettingsError(
            "AzureWebJobsStorage is not a connection string (AccountName=...;AccountKey=...;...), or an address in it "
            "is not an http(s) address"
        ) from None


def _breakers(
    clients: "StorageClients", loaded: settings.Settings, clock: SystemClock, telemetry: Telemetry
) -> "CircuitBreakers":
    from shared.adapters.breaker.registry import CircuitBreakers
    from shared.adapters.storage.breaker_table import TableBreakers

    policy = loaded.breaker if loaded.has_breakers else replace(loaded.breaker, failures=0)
    return CircuitBreakers(TableBreakers(clients), policy, clock.now, telemetry)


def _observed(
    journal: Journal, transport: "Transport", telemetry: Telemetry, clock: SystemClock
) -> tuple[Journal, "Transport"]:
    """What tells what passes through it; the same as before where nobody is told."""
    if isinstance(telemetry, NoTelemetry):
        return journal, transport
    from shared.adapters.fabric.observed_transport import ObservedTransport
    from shared.saga.observed_journal import ObservedJournal

    return ObservedJournal(journal, telemetry, clock.now), ObservedTransport(transport, telemetry)


def _telemetry(loaded: settings.Settings, clock: SystemClock) -> Telemetry:
    """The way to Application Insights. Its libraries are imported by the thread that sends, with the first signal."""
    if not loaded.flags.telemetry:
        return NoTelemetry()
    if not loaded.telemetry.connection_string:
        log.warning(
            "FEATURE_USE_TELEMETRY is on, but APPLICATIONINSIGHTS_CONNECTION_STRING is empty: no telemetry is sent"
        )
        return NoTelemetry()
    from shared.adapters.telemetry.buffered import BufferedTelemetry

    telemetry = BufferedTelemetry(lambda: _exporter(loaded.telemetry), clock.now)
    telemetry.at_exit()
    return telemetry


def _exporter(loaded: settings.TelemetrySettings) -> "Exporter":
    import platform

    if loaded.exporter == "opencensus":
        from shared.adapters.telemetry.opencensus_exporter import OpenCensusExporter as Chosen
    else:
        from shared.adapters.telemetry.opentelemetry_exporter import OpenTelemetryExporter as Chosen
    credential = None
    if loaded.uses_identity:
        import azure.identity as identity

        from shared.adapters.connections import azure_transport

        credential = identity.ManagedIdentityCredential(client_id=loaded.client_id or None, transport=azure_transport())
    return Chosen(loaded.connection_string, platform.node(), credential)


def _limiter(loaded: settings.Settings, clock: Clock) -> "RateLimiter | None":
    from shared.adapters.fabric.rate_limiter import RateLimiter

    return RateLimiter(loaded.rate, clock.now) if loaded.rate.per_minute else None


def _stores(clients: "StorageClients", clock: SystemClock) -> Storage:
    from shared.adapters.storage.blobs import BlobStore
    from shared.adapters.storage.journal_table import TableJournal
    from shared.adapters.storage.lock_table import TableLocks
    from shared.adapters.storage.queues import SubmissionQueue

    submissions = SubmissionQueue(clients)
    journal, locks = TableJournal(clients, clock.now), TableLocks(clients)
    return Storage(journal, BlobStore(clients), submissions.send, locks)


def _identity(client_id: str) -> Any:
    """Who the app is to Azure itself: its user-assigned identity, or azure-identity's chain."""
    import azure.identity as identity

    from shared.adapters.connections import azure_transport

    if client_id:
        return identity.ManagedIdentityCredential(client_id=client_id, transport=azure_transport())
    return identity.DefaultAzureCredential(exclude_interactive_browser_credential=True, transport=azure_transport())


def _secrets(loaded: settings.SecretSettings) -> "tuple[SecretManager, Callable[[], object] | None]":
    """What secrets are read through, and the vault's ping where there is a vault."""
    from shared.adapters.secrets.environment import EnvironmentSecrets
    from shared.adapters.secrets.keyvault import KeyVaultSecrets
    from shared.adapters.secrets.manager import SecretManager

    if loaded.vault_url:
        vault = KeyVaultSecrets(loaded.vault_url, lambda: _identity(loaded.vault_client_id))
        return SecretManager(vault, loaded.cache), vault.ping
    local = EnvironmentSecrets(lambda name: settings.environment_secret(name, dotenv=loaded.dotenv))
    return SecretManager(local, loaded.cache), None


def _credential(loaded: settings.Settings, secrets: "SecretManager") -> "Credential":
    from shared.adapters.fabric.credentials import build_credential
    from shared.adapters.fabric.service_principal import Proof

    fabric, certificate = loaded.fabric, loaded.secrets.client_certificate_name
    name = certificate or loaded.secrets.client_secret_name
    return build_credential(
        fabric.credential,
        base_url=fabric.base_url,
        tenant_id=fabric.tenant_id,
        client_id=fabric.client_id,
        proof=Proof(lambda: secrets.get_secret(name), lambda: secrets.refresh(name), is_certificate=bool(certificate)),
        certificate_path=fabric.certificate_path,
        authority=fabric.authority,
    )
