"""The composition root of the app: builds every client once, when it is first used, and gives the engine its ports.

Heavy libraries (the storage SDKs, azure-identity) are imported when a part is built (parts.py) and not before, so that
importing function_app.py is cheap and cannot fail. The command line has a composition root of its own
(command_line.py).
"""

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared import logs, settings
from shared.bootstrap import parts, worker
from shared.bootstrap.parts import Submit, SystemClock
from shared.domain.access import EVERY_TARGET, TargetRules
from shared.domain.flags import FeatureFlags
from shared.domain.ports import Callers, Locks, Orchestrations, Signals
from shared.domain.ports.telemetry import Telemetry
from shared.saga.content_budget import MIB, ContentBudget
from shared.saga.drift import DriftWatch
from shared.saga.health import checks as bodies
from shared.saga.health.monitor import Monitor
from shared.saga.payloads import Payloads
from shared.saga.step.delivery import Services
from shared.saga.submission.acceptance import Acceptance
from shared.steps import KINDS, STEPS

if TYPE_CHECKING:
    from shared.adapters.breaker.circuit_breakers import CircuitBreakers
    from shared.adapters.durable import DurableClient
    from shared.adapters.secrets.manager import SecretManager
    from shared.saga.notify.delivery import Notifications

__all__ = ["App", "SystemClock", "app", "build", "orchestrations"]

log = logging.getLogger(__name__)
logs.install()  # here, because every program of this package imports the composition root


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
    callers: Callers = parts.NOBODY
    targets: TargetRules = EVERY_TARGET
    notifications: "Notifications | None" = None
    """None if no webhook is set."""
    drift: DriftWatch | None = None


_lock = threading.Lock()
_app: App | None = None
_engine_calls = bodies.EngineCalls()


def app() -> App:
    """Return the app of this process, built when it is first used. Raises settings.SettingsError."""
    global _app
    if _app is None:
        with _lock:
            if _app is None:
                _app = build(settings.load())
    return _app


def build(loaded: settings.Settings) -> App:
    """Return an app for these settings; nothing is connected yet. Raises settings.SettingsError."""
    from shared.adapters.fabric.credentials import TokenSource
    from shared.adapters.fabric.transport import RequestsTransport
    from shared.adapters.storage.deployed_table import TableDeployedItems
    from shared.adapters.storage.queues import StorageStepQueue
    from shared.adapters.storage.signal_table import TableSignals

    clock = SystemClock()
    telemetry = parts.telemetry(loaded, clock)
    clients = parts.storage_clients(loaded.storage)
    stores = parts.stores(clients, clock)
    journal, transport = parts.observed(stores.journal, RequestsTransport(), telemetry, clock)
    payloads = Payloads(stores.blobs)
    secrets, ping_vault = parts.secrets(loaded.secrets)
    journal, notifications = parts.notifications(loaded, journal, payloads, clients, secrets, clock, telemetry)
    tokens = TokenSource(lambda: parts.credential(loaded, secrets))
    breakers = parts.breakers(clients, loaded, clock, telemetry)
    limiter = parts.rate_limiter(clients, loaded, clock, telemetry)
    flags, policy = loaded.flags, loaded.policy.under(loaded.flags)
    log.info(flags.log_status())
    services = Services(
        journal=journal,
        queue=StorageStepQueue(clients),
        payloads=payloads,
        fabric=parts.fabric_client(loaded, tokens, transport, breakers, limiter, clock),
        clock=clock,
        kinds=STEPS,
        policy=policy,
        new_id=lambda: uuid.uuid4().hex,
        telemetry=telemetry,
        deployed=TableDeployedItems(clients),
        content=ContentBudget(policy.content_memory_mib * MIB),
    )
    signals = TableSignals(clients)
    callers, sign_in_checks = parts.callers(loaded.sign_in)
    checks = {
        **parts.storage_checks(clients, signals, breakers, limiter, loaded, clock),
        "engine": _engine_calls.finding,
        "thread_pool": lambda: worker.thread_pool(settings.worker_threads()),
        **parts.fabric_checks(loaded, tokens),
        **({"key_vault": ping_vault} if ping_vault is not None else {}),
        **sign_in_checks,
    }
    telemetry.trace(flags.log_status())
    return App(
        services,
        Acceptance(journal, stores.blobs, payloads, clock, KINDS, policy.retention_seconds, policy.access),
        stores.locks,
        breakers,
        checks,
        flags,
        telemetry,
        secrets,
        signals,
        Monitor(checks, cache_seconds=loaded.health.cache_seconds, now=clock.now, telemetry=telemetry),
        submit=stores.submit,
        sweep_dry_run=loaded.sweep_dry_run,
        callers=callers,
        targets=loaded.sign_in.targets,
        notifications=notifications,
        drift=DriftWatch(services, stores.blobs, signals, KINDS, policy.drift_watch_seconds),
    )


def orchestrations(client: "DurableClient") -> Orchestrations:
    """Return the durable engine behind the client of one invocation."""
    from shared.adapters.durable import DurableOrchestrations

    return DurableOrchestrations(client, _engine_calls.ended)
