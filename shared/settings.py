"""Settings: frozen, grouped, and read from the environment here and nowhere else.

Every name is declared, with its default and meaning, in shared/domain/variables.py; another cannot be read. A value
that cannot be used is an error that names the variable; nothing is guessed.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from shared.domain.breaker import BreakerPolicy
from shared.domain.errors import InvalidInputError
from shared.domain.flags import FeatureFlags
from shared.domain.policy import EnginePolicy, HealthPolicy, RetryPolicy
from shared.domain.rate import RatePolicy
from shared.domain.secrets import CachePolicy, secret_name
from shared.domain.variables import VARIABLES

DOTENV = Path(__file__).resolve().parent.parent / ".env"
"""Beside function_app.py. Never deployed: .funcignore leaves out what begins with a dot."""
_VAULT_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9]|-(?!-)){1,22}[A-Za-z0-9]")


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
    """Where Fabric is and who we are to it. What the service principal signs in with is read late, by its name."""

    base_url: str
    operation_hosts: frozenset[str]
    credential: str
    tenant_id: str
    client_id: str
    certificate_path: str
    authority: str


@dataclass(frozen=True)
class SecretSettings:
    """Where secrets are (`vault_url`, or the environment where that is empty), what they are called, and how long a
    copy serves.
    """

    vault_url: str
    vault_client_id: str
    client_secret_name: str
    client_certificate_name: str
    cache: CachePolicy
    dotenv: Path | None


@dataclass(frozen=True)
class TelemetrySettings:
    """Where telemetry goes and how. Without a connection string, or with the feature off, it goes nowhere.

    `uses_identity` says that the endpoint takes a token of a managed identity (`client_id`; empty: the system's).
    """

    exporter: str
    connection_string: str
    uses_identity: bool
    client_id: str


@dataclass(frozen=True)
class Settings:
    """Everything the app is told from outside."""

    storage: StorageSettings
    fabric: FabricSettings
    secrets: SecretSettings
    policy: EnginePolicy
    sweep_dry_run: bool
    breaker: BreakerPolicy
    rate: RatePolicy
    flags: FeatureFlags
    health: HealthPolicy
    telemetry: TelemetrySettings
    trusts_client_principal: bool
    api_url: str
    traceparent: str = ""
    """The span that this process runs in, where its caller says so: what OpenTelemetry's tools for pipelines set."""

    @property
    def has_breakers(self) -> bool:
        """Whether calls pass a circuit breaker: its flag is on, and a number of faults opens it."""
        return self.flags.circuit_breaker and self.breaker.failures > 0


@dataclass(frozen=True)
class Runner:
    """The pipeline that runs the command line: `github`, `azure`, or empty; and where its summaries go to."""

    kind: str = ""
    summary_file: str = ""
    temp_folder: str = ""


def runner(environment: Mapping[str, str] = os.environ) -> Runner:
    """As GitHub Actions and Azure Pipelines say of themselves."""
    if environment.get("GITHUB_ACTIONS", "").lower() == "true":
        return Runner("github", summary_file=environment.get("GITHUB_STEP_SUMMARY", ""))
    if environment.get("TF_BUILD", "").lower() == "true":
        return Runner("azure", temp_folder=environment.get("AGENT_TEMPDIRECTORY", ""))
    return Runner()


def function_key(environment: Mapping[str, str] = os.environ) -> str:
    """The key by which the command line asks the app over HTTP; kept nowhere else."""
    return _Reader(environment).text("FUNCTION_KEY")


def environment_secret(name: str, environment: Mapping[str, str] = os.environ, dotenv: Path | None = None) -> str:
    """A secret's variable, or its line in a `.env` file: read when it is needed and kept nowhere. Empty: not set."""
    value = environment.get(name, "")
    if value or dotenv is None:
        return value
    from dotenv import dotenv_values

    # No interpolation: a `$` in a password is a `$`.
    return dotenv_values(dotenv, interpolate=False).get(name) or ""


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of an environment. Raises SettingsError."""
    read = _Reader(environment)
    base_url = read.text("FABRIC_API_BASE_URL").rstrip("/")
    try:
        address = urlsplit(base_url)
        _ = address.port  # reading it is the check
    except ValueError:
        raise SettingsError(f"FABRIC_API_BASE_URL is not an http(s) address: {base_url[:100]!r}") from None
    if address.scheme not in ("http", "https") or not address.hostname:
        raise SettingsError(f"FABRIC_API_BASE_URL is not an http(s) address: {base_url[:100]!r}")
    if address.scheme == "http" and address.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise SettingsError("FABRIC_API_BASE_URL must be https: over http the token could be read on the way")
    flags = FeatureFlags(**{f.name: read.flag(FeatureFlags.variable(f.name)) for f in fields(FeatureFlags)})
    return Settings(
        storage=StorageSettings(
            connection_string=read.text("AzureWebJobsStorage"),
            table_uri=read.text("AzureWebJobsStorage__tableServiceUri"),
            queue_uri=read.text("AzureWebJobsStorage__queueServiceUri"),
            blob_uri=read.text("AzureWebJobsStorage__blobServiceUri"),
            client_id=read.text("AzureWebJobsStorage__clientId"),
        ),
        fabric=FabricSettings(
            base_url=base_url,
            operation_hosts=frozenset(h.strip() for h in read.text("FABRIC_OPERATION_HOSTS").split(",") if h.strip()),
            credential=read.word(
                "FABRIC_CREDENTIAL", ("default", "service_principal", "managed_identity", "simulator")
            ),
            tenant_id=read.text("AZURE_TENANT_ID"),
            client_id=read.text("AZURE_CLIENT_ID"),
            certificate_path=read.text("AZURE_CLIENT_CERTIFICATE_PATH"),
            authority=read.text("AZURE_AUTHORITY_HOST"),
        ),
        secrets=_secrets(read, flags),
        policy=EnginePolicy(
            forward=_retry(read, "RETRY"),
            backward=_retry(read, "COMPENSATION"),
            step_lease_seconds=read.seconds("STEP_LEASE_SECONDS", least=1.0),
            compensation_timeout_seconds=read.seconds("COMPENSATION_TIMEOUT_SECONDS", least=1.0),
            settle_seconds=read.seconds("SETTLE_SECONDS"),
            watchdog_seconds=read.seconds("WATCHDOG_SECONDS", least=1.0),
            target_lease_seconds=read.seconds("TARGET_LEASE_SECONDS", least=1.0),
            target_retry_seconds=read.seconds("TARGET_RETRY_SECONDS", least=1.0),
            restart_grace_seconds=read.seconds("RESTART_GRACE_SECONDS"),
            orphan_grace_seconds=read.seconds("ORPHAN_GRACE_SECONDS"),
            script_lease_seconds=read.seconds("SCRIPT_LEASE_SECONDS", least=1.0),
            retention_seconds=read.seconds("RETENTION_SECONDS", least=3600.0),
        ),
        sweep_dry_run=read.flag("SWEEP_DRY_RUN"),
        breaker=_breaker(read),
        rate=RatePolicy(per_minute=read.count("RATE_PER_MINUTE", least=0)),
        flags=flags,
        health=_health(read),
        telemetry=_telemetry(read),
        traceparent=read.text("TRACEPARENT"),
        trusts_client_principal=read.flag("TRUST_CLIENT_PRINCIPAL"),
        api_url=read.text("FABRIC_SAGA_URL"),
    )


def _health(read: "_Reader") -> HealthPolicy:
    return HealthPolicy(
        cache_seconds=read.seconds("HEALTH_CACHE_SECONDS"),
        queue_age_seconds=read.seconds("HEALTH_QUEUE_AGE_SECONDS"),
        sweep_late_seconds=read.seconds("HEALTH_SWEEP_LATE_SECONDS", least=1.0),
        poison_seconds=read.seconds("HEALTH_POISON_SECONDS"),
    )


def _telemetry(read: "_Reader") -> TelemetrySettings:
    name = "APPLICATIONINSIGHTS_CONNECTION_STRING"
    connection_string = read.text(name)
    if connection_string and not _pairs(connection_string).get("instrumentationkey"):
        # Its text is not repeated: it is told to nobody who does not know it.
        raise SettingsError(f"{name} must be InstrumentationKey=...;IngestionEndpoint=https://...")
    name = "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"
    authentication = _pairs(read.text(name))
    if authentication and authentication.get("authorization", "").lower() != "aad":
        raise SettingsError(
            f"{name} must be Authorization=AAD, and ClientId=... before it for an identity of one's own"
        )
    return TelemetrySettings(
        exporter=read.word("TELEMETRY_EXPORTER", ("opentelemetry", "opencensus")),
        connection_string=connection_string,
        uses_identity=bool(authentication),
        client_id=authentication.get("clientid", ""),
    )


def _pairs(text: str) -> dict[str, str]:
    """`Name=value;...` by lower-case name."""
    pairs = [pair.partition("=") for pair in text.split(";") if pair.strip()]
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _secrets(read: "_Reader", flags: FeatureFlags) -> SecretSettings:
    url = _vault_url(read.text("KEY_VAULT_URL"), read.text("AZURE_KEY_VAULT_NAME"))
    if flags.azure_keyvault and not url:
        raise SettingsError(
            "FEATURE_USE_AZURE_KEYVAULT is on, and neither KEY_VAULT_URL nor AZURE_KEY_VAULT_NAME says which vault"
        )
    if flags.azure_keyvault and read.text("AZURE_CLIENT_CERTIFICATE_PATH"):
        raise SettingsError(
            "AZURE_CLIENT_CERTIFICATE_PATH is for FEATURE_USE_AZURE_KEYVAULT=false: put the certificate into the vault "
            "and its name into FABRIC_CLIENT_CERTIFICATE_NAME"
        )
    ttl_seconds = read.seconds("SECRET_CACHE_TTL")
    return SecretSettings(
        vault_url=url if flags.azure_keyvault else "",
        vault_client_id=read.text("KEY_VAULT_CLIENT_ID") or read.text("AzureWebJobsStorage__clientId"),
        client_secret_name=read.secret_name("FABRIC_CLIENT_SECRET_NAME"),
        client_certificate_name=read.secret_name("FABRIC_CLIENT_CERTIFICATE_NAME"),
        cache=CachePolicy(ttl_seconds=ttl_seconds if flags.secret_manager else 0.0),
        dotenv=DOTENV if flags.secret_manager and not flags.azure_keyvault else None,
    )


def _vault_url(url: str, name: str) -> str:
    """The vault's address; of both, KEY_VAULT_URL counts. Not quoted in errors: it may hold a password."""
    if url:
        try:
            address = urlsplit(url)
            is_one = address.scheme == "https" and address.hostname and address.port != 0
            is_plain = address.path in ("", "/") and not address.query and "@" not in address.netloc
        except ValueError:
            is_one = is_plain = False
        if not (is_one and is_plain):
            raise SettingsError("KEY_VAULT_URL must be a vault's address: https://<name>.vault.azure.net")
        return url.rstrip("/")
    if name and not _VAULT_NAME.fullmatch(name):
        raise SettingsError(
            f"AZURE_KEY_VAULT_NAME is {name[:64]!r}; a vault's name has 3 to 24 letters, digits and '-'"
        )
    return f"https://{name}.vault.azure.net" if name else ""


def _breaker(read: "_Reader") -> BreakerPolicy:
    policy = BreakerPolicy(
        failures=read.count("BREAKER_FAILURES", least=0),
        window_seconds=read.seconds("BREAKER_WINDOW_SECONDS"),
        open_seconds=read.seconds("BREAKER_OPEN_SECONDS"),
        longest_open_seconds=read.seconds("BREAKER_LONGEST_OPEN_SECONDS"),
        probe_seconds=read.seconds("BREAKER_PROBE_SECONDS"),
        cache_seconds=read.seconds("BREAKER_CACHE_SECONDS"),
    )
    if policy.failures and 2 * policy.cache_seconds >= policy.open_seconds:
        # A worker that still believes it closed would call beside the one probe.
        raise SettingsError("BREAKER_CACHE_SECONDS must be less than half of BREAKER_OPEN_SECONDS")
    return policy


def _retry(read: "_Reader", prefix: str) -> RetryPolicy:
    return RetryPolicy(
        max_attempts=read.count(f"{prefix}_MAX_ATTEMPTS"),
        base_seconds=read.seconds(f"{prefix}_BASE_SECONDS"),
        longest_seconds=read.seconds(f"{prefix}_LONGEST_SECONDS"),
    )


_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class _Reader:
    """Reads declared variables, saying which one is wrong. An empty one counts as absent: its default is read.

    Raises KeyError for a name that is not declared: that is a fault of the program.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> str:
        default = VARIABLES[name].default
        return self._environment.get(name, "").strip() or str(default)

    def word(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in allowed:
            raise SettingsError(f"{name} is {value[:64]!r}; it must be one of: {', '.join(allowed)}")
        return value

    def secret_name(self, name: str) -> str:
        text = self.text(name)
        try:
            return secret_name(text) if text else ""
        except InvalidInputError:
            # Not quoted: the secret itself may have been put here.
            raise SettingsError(f"{name} is no secret's name: it takes letters, digits and '-'") from None

    def flag(self, name: str) -> bool:
        value = self.text(name).lower()
        if value not in _WORDS:
            raise SettingsError(f"{name} is {value[:64]!r}; it must be one of: {', '.join(_WORDS)}")
        return _WORDS[value]

    def seconds(self, name: str, *, least: float = 0.0) -> float:
        return self._number(name, float, least)

    def count(self, name: str, *, least: int = 1) -> int:
        return self._number(name, int, least)

    def _number[T: (int, float)](self, name: str, convert: Callable[[str], T], least: T) -> T:
        text = self.text(name)
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not least <= value < 1e9:
            raise SettingsError(f"{name} is {text[:64]!r}; it must be a number of at least {least}")
        return value
