"""Every environment variable that the app, its triggers and its command line read, each declared once.

A row says how the value is read (environment.py), its default, its meaning, and where else it appears. settings.py
reads nothing that is not declared here; `make diagrams` writes docs/settings.md and local.settings.sample.json from the
rows, and tests compare infra/ with them. The default of a number that a policy has is the policy's own.
"""

from collections.abc import Mapping
from dataclasses import fields

from shared.domain.command_line_variables import OF_THE_COMMAND_LINE
from shared.domain.declaration import Kind, Variable, count, seconds
from shared.domain.engine_variables import LEASES, RETRIES
from shared.domain.flags import FeatureFlags

WORKER_THREADS = 96
"""The size of the Python worker's thread pool (PYTHON_THREADPOOL_THREAD_COUNT): more than host.json's deliveries at
once, so that orchestrators find a thread (ADR 39). Other files take the number from here, or a test compares them with
it (tests/infra/test_host_json.py)."""


def _flag(name: str) -> Variable:
    meaning = _FEATURES.get(name, "")
    return Variable(FeatureFlags.variable(name), meaning, Kind.FLAG, value=False, sample="true", in_azure=True)


_FEATURES = {
    "secret_manager": "Keep a copy of each secret for a while, and use a rotated one without a restart "
    "([secrets.md](secrets.md)).",
    "azure_keyvault": "Read secrets from Key Vault; off: from the environment.",
    "retry_logic": "Retry after a transient error.",
    "circuit_breaker": "Reject calls to a failing area of Fabric for a while.",
    "rollback": "Roll back a deployment that fails or is cancelled; off: it ends `failed` and nothing is compensated.",
    "telemetry": "Send events, metrics and spans ([telemetry.md](telemetry.md)).",
    "health_checks": "Check what the app needs ([health.md](health.md)).",
}

GROUPS: Mapping[str, tuple[Variable, ...]] = {
    "Features": tuple(_flag(f.name) for f in fields(FeatureFlags)),
    "Storage": (
        Variable(
            "AzureWebJobsStorage",
            "Connection string of the storage account on a machine without Azure. Azure uses the four below.",
            sample="UseDevelopmentStorage=true",
        ),
        Variable(
            "AzureWebJobsStorage__blobServiceUri",
            "Address of the blob service, used with an identity.",
            Kind.ADDRESS,
            in_azure=True,
        ),
        Variable("AzureWebJobsStorage__queueServiceUri", "Address of the queue service.", Kind.ADDRESS, in_azure=True),
        Variable("AzureWebJobsStorage__tableServiceUri", "Address of the table service.", Kind.ADDRESS, in_azure=True),
        Variable(
            "AzureWebJobsStorage__clientId",
            "The user-assigned identity for storage; if empty, the default credential chain.",
            in_azure=True,
        ),
    ),
    "Fabric": (
        Variable(
            "FABRIC_API_BASE_URL",
            "Address of the Fabric API. `http` only on loopback.",
            Kind.ADDRESS,
            value="https://api.fabric.microsoft.com",
            sample="https://api.fabric.microsoft.com",
        ),
        Variable(
            "FABRIC_OPERATION_HOSTS",
            "Further hosts (`host:port`, comma separated) that a long-running operation's Location may name. Fabric's "
            "own domains are always allowed; a token is never sent to any other host.",
        ),
        Variable(
            "FABRIC_CREDENTIAL",
            "How the app signs in to Fabric; `default` is azure-identity's chain, `simulator` works on loopback only.",
            Kind.WORD,
            value="default",
            words=("default", "service_principal", "managed_identity", "simulator"),
            sample="default",
            in_azure=True,
        ),
        Variable("AZURE_TENANT_ID", "The service principal's tenant.", sample=""),
        Variable(
            "AZURE_CLIENT_ID",
            "The service principal, or the client id of a user-assigned identity.",
            sample="",
            in_azure=True,
        ),
        Variable(
            "AZURE_CLIENT_SECRET",
            "The service principal's secret, without a vault. It is read when a token is requested and kept nowhere "
            "else. With the vault on it is not read.",
            is_late=True,
            is_secret=True,
        ),
        Variable(
            "AZURE_CLIENT_CERTIFICATE_PATH",
            "The certificate's file, in place of `AZURE_CLIENT_SECRET`. With the vault on it is an error.",
            Kind.PATH,
        ),
        Variable("AZURE_AUTHORITY_HOST", "Entra's address in another cloud.", shown="azure-identity's"),
        count(
            "RATE_PER_MINUTE",
            "rate.per_minute",
            "Calls a minute that all workers together make at most in each of Fabric's three quotas of an identity "
            "(documented: 500, formerly 200; the rest is for other programs). 0: no limit by the app. [Fabric's page]"
            "(https://learn.microsoft.com/rest/api/fabric/articles/throttling) and [ADR 24](adr/0024-shared-rate.md).",
            minimum=0,
        ),
        count(
            "RATE_DELETES_PER_MINUTE",
            "rate.deletes_per_minute",
            "Deletions of items a minute, of all workers together (documented: 200). They count in `RATE_PER_MINUTE` "
            "too. 0: no limit of their own. [Fabric's page]"
            "(https://learn.microsoft.com/rest/api/fabric/core/items/delete-item).",
            minimum=0,
        ),
    ),
    "Secrets": (
        Variable(
            "KEY_VAULT_URL",
            "The vault's address, `https://<name>.vault.azure.net`. This or `AZURE_KEY_VAULT_NAME` is needed with "
            "`FEATURE_USE_AZURE_KEYVAULT` ([secrets.md](secrets.md)).",
            sample="https://your-vault.vault.azure.net",
            in_azure=True,
        ),
        Variable(
            "AZURE_KEY_VAULT_NAME", "The vault's name in the public cloud. `KEY_VAULT_URL` counts if both are set."
        ),
        Variable(
            "KEY_VAULT_CLIENT_ID",
            "The user-assigned identity that reads the vault; if neither is set, the default credential chain.",
            shown="`AzureWebJobsStorage__clientId`",
        ),
        Variable(
            "SECRET_CACHE_SECONDS",
            "How long a copy of a secret is used, with `FEATURE_USE_SECRET_MANAGER`. 0: no copy is kept.",
            Kind.SECONDS,
            field="cache.cache_seconds",
            sample="300",
        ),
        Variable(
            "FABRIC_CLIENT_SECRET_NAME",
            "The service principal's secret, by its name in the vault; in the environment, the same name in capitals.",
            Kind.SECRET_NAME,
            value="azure-client-secret",
        ),
        Variable(
            "FABRIC_CLIENT_CERTIFICATE_NAME",
            "The certificate (PEM with the private key, or PKCS #12), by name; if set, it replaces the secret.",
            Kind.SECRET_NAME,
        ),
    ),
    "Connections": (
        Variable(
            "HTTPS_PROXY",
            "The proxy (`http://host:port`) for `https` addresses: Fabric, storage, sign-in, Key Vault and, from the "
            "command line, the app. Each of the four names is also read in lower case, which counts first.",
        ),
        Variable("HTTP_PROXY", "The proxy for `http` addresses."),
        Variable("ALL_PROXY", "The proxy for a scheme that has no proxy above."),
        Variable(
            "NO_PROXY",
            "Hosts that are reached without a proxy, comma separated: a host or its domain, `host:port`, an IPv4 "
            "address or range (`10.0.0.0/8`), `*`. Behind a proxy it must name `127.0.0.1,localhost` and, for a "
            "managed identity, `169.254.0.0/16`.",
        ),
        Variable(
            "REQUESTS_CA_BUNDLE",
            "A PEM file, or a folder, with the certificate authorities to trust in place of certifi's: for a proxy "
            "that inspects TLS, or for a company's own authority.",
            Kind.PATH,
        ),
        Variable("CURL_CA_BUNDLE", "The same, if `REQUESTS_CA_BUNDLE` is empty.", Kind.PATH),
    ),
    "Retries": RETRIES,
    "Leases and the sweeper": LEASES,
    "Circuit breaker": (
        count(
            "BREAKER_FAILURES",
            "breaker.failures",
            "Failures of Fabric (no answer, 408, 5xx; not other 4xx, 401, 403, 429) that open the circuit breaker of "
            "an API area, whichever workers meet them. 0: no breaker.",
            minimum=0,
        ),
        seconds("BREAKER_WINDOW_SECONDS", "breaker.window_seconds", "How long a failure counts."),
        seconds(
            "BREAKER_OPEN_SECONDS",
            "breaker.open_seconds",
            "How long no call is made before the probe; twice as long after each probe that fails.",
        ),
        seconds("BREAKER_MAX_OPEN_SECONDS", "breaker.max_open_seconds", "The longest time without a call."),
        seconds(
            "BREAKER_PROBE_SECONDS",
            "breaker.probe_seconds",
            "How long a probe may take before another worker replaces it. It must be longer than one call.",
        ),
        seconds(
            "BREAKER_CACHE_SECONDS",
            "breaker.cache_seconds",
            "How old a worker's copy of the breaker's record may be. Less than half of `BREAKER_OPEN_SECONDS`.",
        ),
    ),
    "Health": (
        seconds(
            "HEALTH_CACHE_SECONDS",
            "health.cache_seconds",
            "How long the results of a round of health checks are reused ([health.md](health.md)).",
        ),
        seconds(
            "HEALTH_QUEUE_AGE_SECONDS",
            "health.queue_age_seconds",
            "Health warns if a message is not handled for longer than this.",
        ),
        seconds(
            "HEALTH_SWEEP_LATE_SECONDS",
            "health.sweep_late_seconds",
            "Health warns if the last sweep is longer ago than this. Three periods of `SWEEP_SCHEDULE`.",
            minimum=1,
        ),
        seconds("HEALTH_POISON_SECONDS", "health.poison_seconds", "How long health warns after a poison message."),
    ),
    "Telemetry": (
        Variable(
            "TELEMETRY_EXPORTER",
            "The library that sends telemetry ([telemetry.md](telemetry.md)).",
            Kind.WORD,
            value="opentelemetry",
            words=("opentelemetry", "opencensus"),
            sample="opentelemetry",
            in_azure=True,
        ),
        Variable(
            "APPLICATIONINSIGHTS_CONNECTION_STRING",
            "Where telemetry is sent, if `FEATURE_USE_TELEMETRY` is on. If empty, nothing is sent, and the log says so "
            "once.",
            sample="",
            in_azure=True,
        ),
        Variable(
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
            "`ClientId=...;Authorization=AAD` to send with a managed identity's token.",
            in_azure=True,
        ),
    ),
    "Notifications": (
        Variable(
            "NOTIFY_URL",
            "The webhook that gets an event when an approval waits, and when a deployment ended, is held or is stuck "
            "([notifications.md](notifications.md)). If empty, nothing is sent.",
        ),
        Variable(
            "NOTIFY_HOSTS",
            "The hosts (`host` or `host:port`, comma separated) that `NOTIFY_URL` may name. An event is sent to no "
            "other host, and redirects are not followed.",
        ),
        Variable(
            "NOTIFY_SECRET_NAME",
            "The secret by which events are signed, by its name in the vault; in the environment, the same name in "
            "capitals.",
            Kind.SECRET_NAME,
            value="notify-secret",
        ),
        Variable("NOTIFY_APP_URL", "The app's address, to whose page an event links.", Kind.ADDRESS),
    ),
    "HTTP API": (
        Variable(
            "SIGN_IN_CLIENT_ID",
            "The app registration in Entra that signs in callers of the HTTP API ([sign-in.md](sign-in.md)). Then each "
            "route needs a role, and function keys open nothing. If empty, a function key opens everything.",
            in_azure=True,
        ),
        Variable("SIGN_IN_TENANT_ID", "The tenant of that registration.", in_azure=True),
        Variable(
            "ALLOWED_TARGETS",
            'Who may change which target, as JSON: `{"sales-*": ["<object id>"]}`, with `*` for everyone. The '
            "first pattern that matches decides, and nobody may change a target that none matches. If empty, the roles "
            "alone decide. It needs `QUEUE_NEEDS_IDENTITY`.",
            Kind.PATH,
        ),
        Variable(
            "QUEUE_NEEDS_IDENTITY",
            "`true`: submissions and commands on the queue are refused, because a queue does not prove who writes. "
            "It needs sign-in.",
            Kind.FLAG,
            value=False,
        ),
    ),
    "Of the command line only": OF_THE_COMMAND_LINE,
}

VARIABLES: Mapping[str, Variable] = {variable.name: variable for group in GROUPS.values() for variable in group}
"""By name."""
