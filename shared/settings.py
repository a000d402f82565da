"""Settings: frozen, grouped, and read from the environment here and nowhere else.

Every variable is declared in shared/domain/variables.py; no other can be read. A value that cannot be used is an error
that names the variable; nothing is guessed.
"""

import os
import re
import ssl
import stat
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from shared.domain import address
from shared.domain.access import AccessPolicy
from shared.domain.breaker import BreakerPolicy
from shared.domain.environment import Reader, SettingsError, addressed, vault_url
from shared.domain.errors import SecretError
from shared.domain.flags import FeatureFlags
from shared.domain.notify import NotifySettings, read_notify
from shared.domain.policy import EnginePolicy, HealthPolicy
from shared.domain.rate import RatePolicy
from shared.domain.secrets import CachePolicy, environment_name
from shared.domain.sign_in import SignInSettings, read_sign_in

DOTENV = Path(__file__).resolve().parent.parent / ".env"
"""Beside function_app.py. It is never deployed, because .funcignore excludes files whose names begin with a dot."""
_SERVICES = [f"AzureWebJobsStorage__{service}ServiceUri" for service in ("blob", "queue", "table")]
_ADDRESSES = ("FABRIC_SAGA_URL", "AzureWebJobsStorage", *_SERVICES)
_TENANT = re.compile(r"[0-9A-Za-z.-]*")


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
    """The address of Fabric and the identity of the app. The service principal's secret is read later, by its name."""

    base_url: str
    operation_hosts: frozenset[str]
    credential: str
    tenant_id: str
    client_id: str
    certificate_path: str
    authority: str


@dataclass(frozen=True)
class SecretSettings:
    """The source of secrets (`vault_url`, or the environment if it is empty), their names, and how long a copy is
    used.
    """

    vault_url: str
    vault_client_id: str
    client_secret_name: str
    client_certificate_name: str
    cache: CachePolicy
    dotenv: Path | None


@dataclass(frozen=True)
class TelemetrySettings:
    """Where telemetry is sent and how. Without a connection string, or with the feature off, nothing is sent.

    With `uses_identity`, requests carry a token of the managed identity `client_id` (empty: the system's).
    """

    exporter: str
    connection_string: str
    uses_identity: bool
    client_id: str


@dataclass(frozen=True)
class Settings:
    """Everything that the environment configures."""

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
    sign_in: SignInSettings
    notify: NotifySettings
    api_url: str
    traceparent: str = ""
    """The span that this process runs in, as OpenTelemetry's tools for pipelines set it; empty without one."""

    @property
    def has_breakers(self) -> bool:
        """Return True if calls pass a circuit breaker: its flag is on, and a number of failures opens it."""
        return self.flags.circuit_breaker and self.breaker.failures > 0


@dataclass(frozen=True)
class Runner:
    """The pipeline that runs the command line (`github`, `azure`, or empty), and the place of its summaries."""

    kind: str = ""
    summary_file: str = ""
    temp_folder: str = ""


def runner(environment: Mapping[str, str] = os.environ) -> Runner:
    """Return the runner, from the variables that GitHub Actions and Azure Pipelines set."""
    if environment.get("GITHUB_ACTIONS", "").lower() == "true":
        return Runner("github", summary_file=environment.get("GITHUB_STEP_SUMMARY", ""))
    if environment.get("TF_BUILD", "").lower() == "true":
        return Runner("azure", temp_folder=environment.get("AGENT_TEMPDIRECTORY", ""))
    return Runner()


def worker_threads(environment: Mapping[str, str] = os.environ) -> int | None:
    """Return the size of the worker's thread pool that PYTHON_THREADPOOL_THREAD_COUNT names; None if it names none.

    The worker ignores what is not a positive number (azure_functions_runtime/utils/threadpool.py).
    """
    text = environment.get("PYTHON_THREADPOOL_THREAD_COUNT", "").strip()
    return int(text[:9]) if text.isascii() and text.isdigit() and int(text[:9]) else None


def caller_variables(environment: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """Return the environment variables of the caller of the command line, for `$ENV:` in parameter.yml."""
    return environment


def function_key(environment: Mapping[str, str] = os.environ) -> str:
    """Return the function key for the app's HTTP API; it is kept nowhere. Raises SettingsError."""
    return Reader(environment).text("FUNCTION_KEY")


def sign_in_scope(environment: Mapping[str, str] = os.environ) -> str:
    """Return the scope for which the command line gets a token; '' to send the key. Raises SettingsError."""
    return Reader(environment).text("FABRIC_SAGA_SCOPE")


def config_file(environment: Mapping[str, str] = os.environ) -> str:
    """Return the file that FABRIC_SAGA_CONFIG names, or an empty text."""
    return Reader(environment).raw("FABRIC_SAGA_CONFIG")


def set_addresses(addresses: Mapping[str, str], environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables of these addresses, unless the environment names the API or a storage account itself."""
    if not any(environment.get(name, "").strip() for name in _ADDRESSES):
        environment.update({name: text for name, text in addresses.items() if not environment.get(name, "").strip()})


def check_connections(environment: Mapping[str, str] = os.environ) -> None:
    """Raise SettingsError if a proxy or the certificate authorities cannot be used. The libraries that read them would
    fail at the first call, with an unclear message."""
    read = Reader(environment)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        for variable in (name.lower(), name):
            _check_proxy(variable, read.text(name, variable))
    read.text("NO_PROXY")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        path = read.raw(name)
        if path:
            _check_authorities(name, path)


def _check_proxy(name: str, text: str) -> None:
    if text.startswith("socks"):
        if find_spec("socks") is None:
            raise SettingsError(f"{name} names a SOCKS proxy: install PySocks, or name an http proxy")
    elif text:
        # As requests does: without a scheme it is an http proxy.
        addressed(name, lambda: address.read(text if "://" in text else f"http://{text}", may_name_user=True))


def _check_authorities(name: str, path: str) -> None:
    try:
        found = Path(path).stat()
        if not stat.S_ISDIR(found.st_mode):
            _check_regular(found)
            _read_authorities(path, found.st_mtime_ns, found.st_size)
    except ssl.SSLError:
        raise SettingsError(f"{name} is {path!r}, which holds no certificate in PEM (BEGIN CERTIFICATE)") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name} is {path!r}, which cannot be read: {_reason(error)}") from None


@lru_cache(maxsize=8)
def _read_authorities(path: str, modified_ns: int, size: int) -> None:
    """Read a file of certificate authorities once for each version of it, because a system's file takes 0.1 s.

    Raises ssl.SSLError, OSError and ValueError.
    """
    ssl.create_default_context(cafile=path)


def _check_regular(found: os.stat_result) -> None:
    """Raise OSError for a folder, a pipe or a device: to open a pipe waits for its writer."""
    if not stat.S_ISREG(found.st_mode):
        raise OSError(None, "it is not a regular file")


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or "it is not a path"


def environment_secret(name: str, environment: Mapping[str, str] = os.environ, dotenv: Path | None = None) -> str:
    """Return the value of a secret's variable, or of its line in a `.env` file; empty if neither is set. It is kept
    nowhere.

    Raises SecretError if the file exists and cannot be read.
    """
    value = environment.get(name, "")
    if value or dotenv is None:
        return value
    from dotenv import dotenv_values

    try:
        # No interpolation: a `$` in a password is a `$`. A byte order mark (Windows) is not part of a name.
        return dotenv_values(dotenv, interpolate=False, encoding="utf-8-sig").get(name) or ""
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(f"{dotenv.name} cannot be read as UTF-8 text ({type(error).__name__})") from None


def signs_in(environment: Mapping[str, str] = os.environ) -> bool:
    """Return True if sign-in is configured. It is read when the routes are registered, so it raises nothing."""
    return bool(environment.get("SIGN_IN_CLIENT_ID", "").strip())


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of an environment. Raises SettingsError."""
    read = Reader(environment)
    check_connections(environment)
    flags = FeatureFlags(**{f.name: read.flag(FeatureFlags.variable(f.name)) for f in fields(FeatureFlags)})
    return Settings(
        storage=_storage(read),
        secrets=_secrets(read, flags),
        fabric=_fabric(read),
        policy=_engine(read),
        sweep_dry_run=read.flag("SWEEP_DRY_RUN"),
        breaker=_breaker(read),
        rate=replace(RatePolicy(), **read.policy_fields("rate")),
        flags=flags,
        health=replace(HealthPolicy(), **read.policy_fields("health")),
        telemetry=_telemetry(read),
        traceparent=read.raw("TRACEPARENT"),
        sign_in=read_sign_in(read),
        notify=read_notify(read),
        api_url=read.secure("FABRIC_SAGA_URL", "the key"),
    )


def _engine(read: Reader) -> EnginePolicy:
    default = EnginePolicy()
    return replace(
        default,
        forward=replace(default.forward, **read.policy_fields("forward")),
        backward=replace(default.backward, **read.policy_fields("backward")),
        access=AccessPolicy(bool(read.text("SIGN_IN_CLIENT_ID")), read.flag("QUEUE_NEEDS_IDENTITY")),
        **read.policy_fields("engine"),
    )


def _storage(read: Reader) -> StorageSettings:
    connection_string = read.text("AzureWebJobsStorage")
    _check_endpoints("AzureWebJobsStorage", connection_string)
    return StorageSettings(
        connection_string=connection_string,
        table_uri=read.secure("AzureWebJobsStorage__tableServiceUri"),
        queue_uri=read.secure("AzureWebJobsStorage__queueServiceUri"),
        blob_uri=read.secure("AzureWebJobsStorage__blobServiceUri"),
        client_id=read.text("AzureWebJobsStorage__clientId"),
    )


def _fabric(read: Reader) -> FabricSettings:
    hosts = [host.strip() for host in read.text("FABRIC_OPERATION_HOSTS").split(",") if host.strip()]
    for host in hosts:
        if (
            addressed("FABRIC_OPERATION_HOSTS", lambda host=host: address.read(f"https://{host}")).netloc
            != host.lower()
        ):
            raise SettingsError(
                f"FABRIC_OPERATION_HOSTS has {host[:100]!r}; it takes host or host:port, comma separated"
            )
    tenant_id, authority = read.text("AZURE_TENANT_ID"), read.text("AZURE_AUTHORITY_HOST")
    if not _TENANT.fullmatch(tenant_id):
        raise SettingsError("AZURE_TENANT_ID must be a tenant's id or domain: letters, digits, '.' and '-'")
    if authority:  # azure-identity takes a host alone, too
        url = authority if "://" in authority else f"https://{authority}"
        addressed("AZURE_AUTHORITY_HOST", lambda: address.secure(url, "the secret"))
    return FabricSettings(
        base_url=read.secure("FABRIC_API_BASE_URL").rstrip("/"),
        operation_hosts=frozenset(hosts),
        credential=read.word("FABRIC_CREDENTIAL"),
        tenant_id=tenant_id,
        client_id=read.text("AZURE_CLIENT_ID"),
        certificate_path=_file("AZURE_CLIENT_CERTIFICATE_PATH", read),
        authority=authority,
    )


def _file(name: str, read: Reader) -> str:
    """Return the path of a readable file, or an empty text."""
    path = read.raw(name)
    try:
        if path:
            _check_regular(Path(path).stat())
            Path(path).open("rb").close()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name} is {path[:300]!r}, which cannot be read: {_reason(error)}") from None
    return path


def _check_endpoints(name: str, connection_string: str) -> None:
    """Raise SettingsError if an address in a connection string is not valid. Its text is not quoted: it has a key."""
    for key, value in _pairs(connection_string).items():
        if key.endswith("endpoint") and value:
            addressed(f"{name}: its {key}", lambda value=value: address.read(value))


def _telemetry(read: Reader) -> TelemetrySettings:
    name = "APPLICATIONINSIGHTS_CONNECTION_STRING"
    connection_string = read.text(name)
    if connection_string and not _pairs(connection_string).get("instrumentationkey"):
        # Its text is not quoted, because it is not public.
        raise SettingsError(f"{name} must be InstrumentationKey=...;IngestionEndpoint=https://...")
    _check_endpoints(name, connection_string)
    name = "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"
    authentication = _pairs(read.text(name))
    if authentication and authentication.get("authorization", "").lower() != "aad":
        raise SettingsError(
            f"{name} must be Authorization=AAD, with ClientId=... before it for a user-assigned identity"
        )
    return TelemetrySettings(
        exporter=read.word("TELEMETRY_EXPORTER"),
        connection_string=connection_string,
        uses_identity=bool(authentication),
        client_id=authentication.get("clientid", ""),
    )


def _pairs(text: str) -> dict[str, str]:
    """Return the values of `Name=value;...` by lower-case name."""
    pairs = [pair.partition("=") for pair in text.split(";") if pair.strip()]
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _secrets(read: Reader, flags: FeatureFlags) -> SecretSettings:
    url = vault_url(read.text("KEY_VAULT_URL"), read.text("AZURE_KEY_VAULT_NAME"))
    if flags.azure_keyvault and not url:
        raise SettingsError(
            "FEATURE_USE_AZURE_KEYVAULT is on, and neither KEY_VAULT_URL nor AZURE_KEY_VAULT_NAME names the vault"
        )
    if flags.azure_keyvault and read.raw("AZURE_CLIENT_CERTIFICATE_PATH"):
        raise SettingsError(
            "AZURE_CLIENT_CERTIFICATE_PATH is for FEATURE_USE_AZURE_KEYVAULT=false: put the certificate into the vault "
            "and its name into FABRIC_CLIENT_CERTIFICATE_NAME"
        )
    cache = replace(CachePolicy(), **read.policy_fields("cache"))
    client_secret_name = read.secret_name("FABRIC_CLIENT_SECRET_NAME")
    if read.text("FABRIC_CREDENTIAL") == "service_principal" and not flags.azure_keyvault:
        read.check_secret(environment_name(client_secret_name))
    return SecretSettings(
        vault_url=url if flags.azure_keyvault else "",
        vault_client_id=read.text("KEY_VAULT_CLIENT_ID") or read.text("AzureWebJobsStorage__clientId"),
        client_secret_name=client_secret_name,
        client_certificate_name=read.secret_name("FABRIC_CLIENT_CERTIFICATE_NAME"),
        cache=cache if flags.secret_manager else replace(cache, cache_seconds=0.0),
        dotenv=DOTENV if flags.secret_manager and not flags.azure_keyvault else None,
    )


def _breaker(read: Reader) -> BreakerPolicy:
    policy = replace(BreakerPolicy(), **read.policy_fields("breaker"))
    if policy.failures and 2 * policy.cache_seconds >= policy.open_seconds:
        # A worker that still considers the breaker closed would call at the same time as the probe.
        raise SettingsError("BREAKER_CACHE_SECONDS must be less than half of BREAKER_OPEN_SECONDS")
    return policy
