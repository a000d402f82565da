"""Settings: frozen, grouped, and read from the environment here and nowhere else.

Every name is listed in local.settings.sample.json and docs/settings.md. A value that cannot be used is an error
that names the variable; nothing is guessed.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from shared.domain.breaker import BreakerPolicy
from shared.domain.flags import FeatureFlags
from shared.domain.policy import EnginePolicy, RetryPolicy
from shared.domain.rate import RatePolicy

FABRIC_API = "https://api.fabric.microsoft.com"


class SettingsError(Exception):
    """An environment variable has a value that cannot be used. The message names it and what is expected."""


@dataclass(frozen=True)
class StorageSettings:
    """The storage account: a connection string (local), or service addresses and an identity (Azure)."""

    connection_string: str
    table_uri: str
    queue_uri: str
    blob_uri: str
    client_id: str


@dataclass(frozen=True)
class FabricSettings:
    """Where Fabric is and who we are to it. `secret` values are read late, by `credential_secret`."""

    base_url: str
    operation_hosts: frozenset[str]
    credential: str
    tenant_id: str
    client_id: str
    certificate_path: str


@dataclass(frozen=True)
class Settings:
    """Everything the app is told from outside."""

    storage: StorageSettings
    fabric: FabricSettings
    policy: EnginePolicy
    sweep_dry_run: bool
    breaker: BreakerPolicy
    rate: RatePolicy
    flags: FeatureFlags
    trusts_client_principal: bool
    api_url: str


def function_key(environment: Mapping[str, str] = os.environ) -> str:
    """The key by which the command line asks the app over HTTP; kept nowhere else."""
    return environment.get("FUNCTION_KEY", "")


def credential_secret(environment: Mapping[str, str] = os.environ) -> str:
    """The service principal's secret; asked for when the credential is built and kept nowhere else."""
    return environment.get("AZURE_CLIENT_SECRET", "")


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of an environment. Raises SettingsError."""
    read = _Reader(environment)
    base_url = read.text("FABRIC_API_BASE_URL", FABRIC_API).rstrip("/")
    try:
        address = urlsplit(base_url)
        _ = address.port  # reading it is the check
    except ValueError:
        raise SettingsError(f"FABRIC_API_BASE_URL is not an http(s) address: {base_url[:100]!r}") from None
    if address.scheme not in ("http", "https") or not address.hostname:
        raise SettingsError(f"FABRIC_API_BASE_URL is not an http(s) address: {base_url[:100]!r}")
    if address.scheme == "http" and address.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise SettingsError("FABRIC_API_BASE_URL must be https: over http the token could be read on the way")
    default = EnginePolicy()
    return Settings(
        storage=StorageSettings(
            connection_string=read.text("AzureWebJobsStorage", ""),
            table_uri=read.text("AzureWebJobsStorage__tableServiceUri", ""),
            queue_uri=read.text("AzureWebJobsStorage__queueServiceUri", ""),
            blob_uri=read.text("AzureWebJobsStorage__blobServiceUri", ""),
            client_id=read.text("AzureWebJobsStorage__clientId", ""),
        ),
        fabric=FabricSettings(
            base_url=base_url,
            operation_hosts=frozenset(
                h.strip() for h in read.text("FABRIC_OPERATION_HOSTS", "").split(",") if h.strip()
            ),
            credential=read.word(
                "FABRIC_CREDENTIAL", ("default", "service_principal", "managed_identity", "simulator"), "default"
            ),
            tenant_id=read.text("AZURE_TENANT_ID", ""),
            client_id=read.text("AZURE_CLIENT_ID", ""),
            certificate_path=read.text("AZURE_CLIENT_CERTIFICATE_PATH", ""),
        ),
        policy=EnginePolicy(
            forward=_retry(read, "RETRY", default.forward),
            backward=_retry(read, "COMPENSATION", default.backward),
            step_lease_seconds=read.seconds("STEP_LEASE_SECONDS", default.step_lease_seconds, least=1.0),
            compensation_timeout_seconds=read.seconds(
                "COMPENSATION_TIMEOUT_SECONDS", default.compensation_timeout_seconds, least=1.0
            ),
            settle_seconds=read.seconds("SETTLE_SECONDS", default.settle_seconds),
            watchdog_seconds=read.seconds("WATCHDOG_SECONDS", default.watchdog_seconds, least=1.0),
            target_lease_seconds=read.seconds("TARGET_LEASE_SECONDS", default.target_lease_seconds, least=1.0),
            target_retry_seconds=read.seconds("TARGET_RETRY_SECONDS", default.target_retry_seconds, least=1.0),
            restart_grace_seconds=read.seconds("RESTART_GRACE_SECONDS", default.restart_grace_seconds),
            orphan_grace_seconds=read.seconds("ORPHAN_GRACE_SECONDS", default.orphan_grace_seconds),
            retention_seconds=read.seconds("RETENTION_SECONDS", default.retention_seconds, least=3600.0),
        ),
        sweep_dry_run=read.flag("SWEEP_DRY_RUN"),
        breaker=_breaker(read, BreakerPolicy()),
        rate=RatePolicy(per_minute=read.count("RATE_PER_MINUTE", RatePolicy().per_minute, least=0)),
        flags=FeatureFlags(**{f.name: read.flag(FeatureFlags.variable(f.name)) for f in fields(FeatureFlags)}),
        trusts_client_principal=read.flag("TRUST_CLIENT_PRINCIPAL"),
        api_url=read.text("FABRIC_SAGA_URL", ""),
    )


def _breaker(read: "_Reader", default: BreakerPolicy) -> BreakerPolicy:
    policy = BreakerPolicy(
        failures=read.count("BREAKER_FAILURES", default.failures, least=0),
        window_seconds=read.seconds("BREAKER_WINDOW_SECONDS", default.window_seconds),
        open_seconds=read.seconds("BREAKER_OPEN_SECONDS", default.open_seconds),
        longest_open_seconds=read.seconds("BREAKER_LONGEST_OPEN_SECONDS", default.longest_open_seconds),
        probe_seconds=read.seconds("BREAKER_PROBE_SECONDS", default.probe_seconds),
        cache_seconds=read.seconds("BREAKER_CACHE_SECONDS", default.cache_seconds),
    )
    if policy.failures and 2 * policy.cache_seconds >= policy.open_seconds:
        # A worker that still believes it closed would call beside the one probe.
        raise SettingsError("BREAKER_CACHE_SECONDS must be less than half of BREAKER_OPEN_SECONDS")
    return policy


def _retry(read: "_Reader", prefix: str, default: RetryPolicy) -> RetryPolicy:
    return RetryPolicy(
        max_attempts=read.count(f"{prefix}_MAX_ATTEMPTS", default.max_attempts),
        base_seconds=read.seconds(f"{prefix}_BASE_SECONDS", default.base_seconds),
        longest_seconds=read.seconds(f"{prefix}_LONGEST_SECONDS", default.longest_seconds),
    )


_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class _Reader:
    """Reads variables, saying which one is wrong. An empty value counts as absent."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, default: str) -> str:
        return self._environment.get(name, "").strip() or default

    def word(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise SettingsError(f"{name} is {value[:64]!r}; it must be one of: {', '.join(allowed)}")
        return value

    def flag(self, name: str) -> bool:
        value = self.text(name, "false").lower()
        if value not in _WORDS:
            raise SettingsError(f"{name} is {value[:64]!r}; it must be one of: {', '.join(_WORDS)}")
        return _WORDS[value]

    def seconds(self, name: str, default: float, *, least: float = 0.0) -> float:
        return self._number(name, default, float, least)

    def count(self, name: str, default: int, least: int = 1) -> int:
        return self._number(name, default, int, least)

    def _number[T: (int, float)](self, name: str, default: T, convert: Callable[[str], T], least: T) -> T:
        text = self.text(name, "")
        if not text:
            return default
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not least <= value < 1e9:
            raise SettingsError(f"{name} is {text[:64]!r}; it must be a number of at least {least}")
        return value
