"""The parts that both composition roots build from settings. Adapters are imported inside the functions."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from shared import settings
from shared.domain.access import Caller
from shared.domain.errors import SignInError
from shared.domain.ports import Blobs, Callers, Clock, Journal, Locks, Signals
from shared.domain.ports.telemetry import Telemetry
from shared.domain.telemetry import NoTelemetry
from shared.saga.health import checks as bodies
from shared.saga.payloads import Payloads

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from shared.adapters.breaker.circuit_breakers import CircuitBreakers
    from shared.adapters.fabric.client import FabricClient
    from shared.adapters.fabric.credentials import Credential, TokenSource
    from shared.adapters.fabric.rate_limiter import RateLimiter
    from shared.adapters.secrets.manager import SecretManager
    from shared.adapters.storage.clients import StorageClients
    from shared.adapters.telemetry.buffered import Exporter
    from shared.domain.ports import Tokens, Transport
    from shared.saga.notify.delivery import Notifications

log = logging.getLogger(__name__)

_READ_ATTEMPTS = 3
"""Tries of a read in one process, within one delivery."""


class SystemClock:
    """Implements the port `Clock` with the time of the machine."""

    def now(self) -> datetime:
        """Return the time, with the zone UTC."""
        return datetime.now(UTC)


class Nobody:
    """Implements the port `Callers` if no sign-in is configured."""

    def verify(self, token: str) -> Caller:
        """Raise SignInError: no token proves anybody."""
        raise SignInError("sign-in is not configured")


NOBODY = Nobody()


class Submit(Protocol):
    """Puts a submission or a command on the queue `deployments`. Raises StorageUnavailableError."""

    def __call__(self, text: str, delay_seconds: float = 0.0) -> None:
        """Deliver it, not before `delay_seconds`."""
        ...


@dataclass(frozen=True)
class Stores:
    """Everything in storage: the journal, the blobs, the locks, and the queue for submissions and commands."""

    journal: Journal
    blobs: Blobs
    submit: Submit
    locks: Locks


def stores(clients: "StorageClients", clock: Clock) -> Stores:
    from shared.adapters.storage.blobs import BlobStore
    from shared.adapters.storage.journal_table import TableJournal
    from shared.adapters.storage.lock_table import TableLocks
    from shared.adapters.storage.queues import SubmissionQueue

    submit = SubmissionQueue(clients).send
    return Stores(TableJournal(clients, clock.now), BlobStore(clients), submit, TableLocks(clients))


def storage_clients(loaded: settings.StorageSettings) -> "StorageClients":
    """Return the clients of the storage account. Raises settings.SettingsError, StorageUnavailableError."""
    from shared.adapters.storage.clients import StorageClients

    try:
        return StorageClients(
            loaded.connection_string,
            table_uri=loaded.table_uri,
            queue_uri=loaded.queue_uri,
            blob_uri=loaded.blob_uri,
            credential=lambda: _identity(loaded.client_id),
        )
    except ValueError:  # its message may contain a part of the connection string
        raise settings.SettingsError(
            "AzureWebJobsStorage is not a connection string (AccountName=...;AccountKey=...;...), or an address in it "
            "is not an http(s) address"
        ) from None


def storage_checks(
    clients: "StorageClients",
    signals: Signals,
    breakers: "CircuitBreakers",
    limiter: "RateLimiter | None",
    loaded: settings.Settings,
    clock: Clock,
) -> dict[str, Callable[[], object]]:
    """Return the health checks of storage by name; shared/saga/health/monitor.py says what a failure of each means."""
    from shared.adapters.storage.queues import depths

    policy, up_since = loaded.health, clock.now()
    return {
        "storage": clients.ping,
        "queues": lambda: bodies.queues(depths(clients), clock.now(), policy),
        "breakers": lambda: bodies.breakers(breakers.statuses(), is_on=loaded.has_breakers),
        "rate": lambda: bodies.rates(limiter.statuses() if limiter is not None else None),
        "sweep": lambda: bodies.sweep(signals, clock.now(), up_since, policy),
        "drift": lambda: bodies.drift(signals, loaded.policy.drift_watch_seconds),
        "poison": lambda: bodies.poison(signals, clock.now(), policy),
    }


def breakers(
    clients: "StorageClients", loaded: settings.Settings, clock: Clock, telemetry: Telemetry
) -> "CircuitBreakers":
    """Return the circuit breakers on table storage."""
    from shared.adapters.breaker.circuit_breakers import CircuitBreakers
    from shared.adapters.storage.breaker_table import TableBreakers

    policy = loaded.breaker if loaded.has_breakers else replace(loaded.breaker, failures=0)
    return CircuitBreakers(TableBreakers(clients), policy, clock.now, telemetry)


def rate_limiter(
    clients: "StorageClients | None", loaded: settings.Settings, clock: Clock, telemetry: Telemetry
) -> "RateLimiter | None":
    """Return the rate limit that all workers on this storage share, or the process's own without storage; None if the
    settings switch it off."""
    from shared.adapters.fabric.rate_limiter import RateLimiter
    from shared.adapters.storage.rate_table import TableRates

    if not loaded.rate.per_minute:
        return None
    store = TableRates(clients) if clients is not None else None
    return RateLimiter(loaded.rate, clock.now, store, telemetry)


def fabric_client(
    loaded: settings.Settings,
    tokens: "Tokens",
    transport: "Transport",
    breakers: "CircuitBreakers | None",
    limiter: "RateLimiter | None",
    clock: Clock,
    sleep: Callable[[float], None] = time.sleep,
) -> "FabricClient":
    """Return the client of Fabric's API behind those of its gates that the settings switch on."""
    from shared.adapters.fabric.client import FabricClient
    from shared.adapters.fabric.gate import FabricGate

    return FabricClient(
        loaded.fabric.base_url,
        tokens,
        transport,
        operation_hosts=loaded.fabric.operation_hosts,
        gate=FabricGate(breakers if loaded.has_breakers else None, limiter, clock.now),
        attempts=_READ_ATTEMPTS if loaded.flags.retry_logic else 1,
        now=clock.now,
        sleep=sleep,
    )


def fabric_checks(loaded: settings.Settings, tokens: "TokenSource") -> dict[str, Callable[[], object]]:
    """Return the health checks of Fabric by name."""
    from shared.adapters.fabric.transport import RequestsTransport, answered_status

    probe = RequestsTransport(connect_timeout=2.0, read_timeout=2.5)  # both within a health check's budget
    return {
        "fabric_identity": tokens.check,
        "fabric_endpoint": lambda: bodies.fabric_endpoint(answered_status(loaded.fabric.base_url, probe)),
    }


def callers(loaded: settings.SignInSettings) -> tuple[Callers, dict[str, Callable[[], object]]]:
    """Return the verifier of callers' tokens, and its health check by name."""
    if not loaded.client_id:
        return NOBODY, {"sign_in": lambda: bodies.sign_in(None)}
    from shared.adapters.sign_in import TokenVerifier

    verifier = TokenVerifier(loaded.tenant_id, loaded.client_id, loaded.authority)
    return verifier, {"sign_in": lambda: bodies.sign_in(verifier.check)}


def observed(
    journal: Journal, transport: "Transport", telemetry: Telemetry, clock: Clock
) -> tuple[Journal, "Transport"]:
    """Return journal and transport so that they emit telemetry, or unchanged if telemetry is off."""
    if isinstance(telemetry, NoTelemetry):
        return journal, transport
    from shared.adapters.fabric.observed_transport import ObservedTransport
    from shared.saga.observed_journal import ObservedJournal

    return ObservedJournal(journal, telemetry, clock.now), ObservedTransport(transport, telemetry)


def notifications(
    loaded: settings.Settings,
    journal: Journal,
    payloads: Payloads,
    clients: "StorageClients",
    secrets: "SecretManager",
    clock: Clock,
    telemetry: Telemetry,
) -> "tuple[Journal, Notifications | None]":
    """Return the journal so that it announces what people are notified of, and what sends that to the webhook; the
    journal unchanged and None if no webhook is set."""
    notify = loaded.notify
    if not notify.url:
        return journal, None
    from shared.adapters.storage.queues import NoticeQueue
    from shared.adapters.webhook import Webhook
    from shared.saga.notify.announcing_journal import AnnouncingJournal
    from shared.saga.notify.delivery import Notifications

    queue = NoticeQueue(clients)
    receiver = Webhook(notify.url, lambda: secrets.get_secret(notify.secret_name), clock.now)
    sending = Notifications(journal, payloads, clock, receiver, queue.send, telemetry, notify.app_url)
    return AnnouncingJournal(journal, queue.send, clock.now), sending


def telemetry(loaded: settings.Settings, clock: Clock) -> Telemetry:
    """Return the way to Application Insights; the thread that sends imports its libraries with the first signal."""
    if not loaded.flags.telemetry:
        return NoTelemetry()
    if not loaded.telemetry.connection_string:
        log.warning(
            "FEATURE_USE_TELEMETRY is on, but APPLICATIONINSIGHTS_CONNECTION_STRING is empty: no telemetry is sent"
        )
        return NoTelemetry()
    from shared.adapters.telemetry.buffered import BufferedTelemetry

    buffered = BufferedTelemetry(lambda: _exporter(loaded.telemetry), clock.now)
    buffered.at_exit()
    return buffered


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


def _identity(client_id: str) -> "TokenCredential":
    """Return the app's identity in Azure: its user-assigned identity, or azure-identity's chain."""
    import azure.identity as identity

    from shared.adapters.connections import azure_transport

    if client_id:
        return identity.ManagedIdentityCredential(client_id=client_id, transport=azure_transport())
    return identity.DefaultAzureCredential(exclude_interactive_browser_credential=True, transport=azure_transport())


def secrets(loaded: settings.SecretSettings) -> "tuple[SecretManager, Callable[[], object] | None]":
    """Return the secret manager, and the vault's health check if there is a vault."""
    from shared.adapters.secrets.environment import EnvironmentSecrets
    from shared.adapters.secrets.keyvault import KeyVaultSecrets
    from shared.adapters.secrets.manager import SecretManager

    if loaded.vault_url:
        vault = KeyVaultSecrets(loaded.vault_url, lambda: _identity(loaded.vault_client_id))
        return SecretManager(vault, loaded.cache), vault.ping
    local = EnvironmentSecrets(lambda name: settings.environment_secret(name, dotenv=loaded.dotenv))
    return SecretManager(local, loaded.cache), None


def credential(loaded: settings.Settings, secrets: "SecretManager") -> "Credential":
    """Return the app's credential for Fabric. Raises FabricAuthError, VaultUnavailableError."""
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
