"""Every environment variable that the app, its triggers and its command line read: name, default, meaning.

settings.py reads nothing that is not declared here, and `make diagrams` writes docs/settings.md from it. A default that
a policy has as well is taken from there, so no number stands twice. Durations are in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from shared.domain.breaker import BreakerPolicy
from shared.domain.flags import FeatureFlags
from shared.domain.policy import EnginePolicy, HealthPolicy
from shared.domain.rate import RatePolicy
from shared.domain.secrets import CachePolicy


@dataclass(frozen=True)
class Variable:
    """One variable. `shown` is what the documentation says of the default where its value does not tell."""

    name: str
    default: str | float | bool
    meaning: str
    shown: str = ""


_ENGINE, _BREAKER, _HEALTH = EnginePolicy(), BreakerPolicy(), HealthPolicy()

_FEATURES = {
    "secret_manager": "A copy of a secret serves for a while; no restart to renew it ([secrets.md](secrets.md)).",
    "azure_keyvault": "Secrets come from Key Vault; off: from the environment.",
    "retry_logic": "A fault that may pass is tried again.",
    "circuit_breaker": "An area of Fabric that is ill is left alone for a while.",
    "rollback": "A deployment that fails or is cancelled is put back; off: it ends `failed`, and nothing is undone.",
    "telemetry": "Events, metrics and spans are sent ([telemetry.md](telemetry.md)).",
    "health_checks": "Health looks at what the app needs ([health.md](health.md)).",
}

GROUPS: Mapping[str, tuple[Variable, ...]] = {
    "Features": tuple(
        Variable(FeatureFlags.variable(f.name), default=False, meaning=_FEATURES[f.name]) for f in fields(FeatureFlags)
    ),
    "Storage": (
        Variable(
            "AzureWebJobsStorage",
            "",
            "Connection string of the storage account; on a machine without Azure. In Azure the four below.",
        ),
        Variable("AzureWebJobsStorage__blobServiceUri", "", "The address of its containers, used with an identity."),
        Variable("AzureWebJobsStorage__queueServiceUri", "", "The address of its queues, likewise."),
        Variable("AzureWebJobsStorage__tableServiceUri", "", "The address of its tables, likewise."),
        Variable(
            "AzureWebJobsStorage__clientId",
            "",
            "The user-assigned identity for storage; without it the default credential chain.",
        ),
    ),
    "Fabric": (
        Variable("FABRIC_API_BASE_URL", "https://api.fabric.microsoft.com", "Only `https`, but for loopback."),
        Variable(
            "FABRIC_OPERATION_HOSTS",
            "",
            "Further hosts (`host:port`, comma separated) that a long-running operation's Location may name. Fabric's "
            "own domains are always allowed; to all others no token is ever sent.",
        ),
        Variable(
            "FABRIC_CREDENTIAL",
            "default",
            "`managed_identity`, `service_principal`, `default` (azure-identity's chain), or `simulator` "
            "(loopback only).",
        ),
        Variable("AZURE_TENANT_ID", "", "The service principal's tenant."),
        Variable("AZURE_CLIENT_ID", "", "The service principal, or the client id of a user-assigned identity."),
        Variable(
            "AZURE_CLIENT_SECRET",
            "",
            "Of the service principal, without a vault. Read when a token is asked for and kept nowhere else. With the "
            "vault on it is not read.",
        ),
        Variable(
            "AZURE_CLIENT_CERTIFICATE_PATH",
            "",
            "In place of `AZURE_CLIENT_SECRET`: the certificate's file. With the vault on it is an error.",
        ),
        Variable("AZURE_AUTHORITY_HOST", "", "Entra's address in another cloud.", shown="azure-identity's"),
        Variable(
            "RATE_PER_MINUTE",
            RatePolicy().per_minute,
            "Calls a minute that a worker makes at most in each of Fabric's three quotas (200 a principal). "
            "0: no limit of ours.",
        ),
    ),
    "Secrets": (
        Variable(
            "KEY_VAULT_URL",
            "",
            "The vault's address, `https://<name>.vault.azure.net`. It or `AZURE_KEY_VAULT_NAME` is needed with "
            "`FEATURE_USE_AZURE_KEYVAULT` ([secrets.md](secrets.md)).",
        ),
        Variable(
            "AZURE_KEY_VAULT_NAME", "", "The vault's name in the public cloud. `KEY_VAULT_URL` counts if both are set."
        ),
        Variable(
            "KEY_VAULT_CLIENT_ID",
            "",
            "The user-assigned identity that reads the vault; without either, the default credential chain.",
            shown="`AzureWebJobsStorage__clientId`",
        ),
        Variable(
            "SECRET_CACHE_SECONDS",
            CachePolicy().cache_seconds,
            "Seconds that a copy of a secret serves, with `FEATURE_USE_SECRET_MANAGER`. 0: none is kept.",
        ),
        Variable(
            "FABRIC_CLIENT_SECRET_NAME",
            "azure-client-secret",
            "The service principal's secret, by its name in the vault; in the environment the same name in capitals.",
        ),
        Variable(
            "FABRIC_CLIENT_CERTIFICATE_NAME",
            "",
            "Its certificate (PEM with the private key, or PKCS #12), by name; if set, in place of the secret.",
        ),
    ),
    "Connections": (
        Variable(
            "HTTPS_PROXY",
            "",
            "The proxy (`http://host:port`) for `https` addresses: Fabric, storage, sign-in, Key Vault and, from the "
            "command line, the app. Each of the four names is also read in lower case, which counts first.",
        ),
        Variable("HTTP_PROXY", "", "The proxy for `http` addresses."),
        Variable("ALL_PROXY", "", "The proxy for a scheme that has no proxy above."),
        Variable(
            "NO_PROXY",
            "",
            "Hosts that are reached without a proxy, comma separated: a host or its domain, `host:port`, an IPv4 "
            "address or range (`10.0.0.0/8`), `*`. Behind a proxy it must name `127.0.0.1,localhost` and, for a "
            "managed identity, `169.254.0.0/16`.",
        ),
        Variable(
            "REQUESTS_CA_BUNDLE",
            "",
            "A PEM file, or a folder, with the certificate authorities to trust in place of certifi's: for a proxy "
            "that inspects TLS, or a company's own authority.",
        ),
        Variable("CURL_CA_BUNDLE", "", "The same, if `REQUESTS_CA_BUNDLE` is empty."),
    ),
    "Trying again": (
        Variable(
            "RETRY_MAX_ATTEMPTS",
            _ENGINE.forward.max_attempts,
            "Tries of a forward action that may go wrong in ways that pass by themselves. A throttled call (429) is no "
            "try.",
        ),
        Variable(
            "RETRY_BASE_SECONDS",
            _ENGINE.forward.base_seconds,
            "Full jitter between zero and base x 2^n. A Retry-After is obeyed exactly instead.",
        ),
        Variable("RETRY_MAX_SECONDS", _ENGINE.forward.max_seconds, "The most that jitter may come to."),
        Variable(
            "COMPENSATION_MAX_ATTEMPTS",
            _ENGINE.backward.max_attempts,
            "Tries of a compensating action before it is `compensation_failed` and the deployment `stuck`.",
        ),
        Variable("COMPENSATION_BASE_SECONDS", _ENGINE.backward.base_seconds, "As `RETRY_BASE_SECONDS`."),
        Variable("COMPENSATION_MAX_SECONDS", _ENGINE.backward.max_seconds, "As `RETRY_MAX_SECONDS`."),
        Variable(
            "COMPENSATION_TIMEOUT_SECONDS",
            _ENGINE.compensation_timeout_seconds,
            "How long one try of a compensation may take, waits included.",
        ),
        Variable(
            "LATE_CALL_SECONDS",
            _ENGINE.late_call_seconds,
            "How long a call whose answer was lost may take to have its effect: what was left half done is not "
            "compensated before, and what does not show is looked for until then.",
        ),
    ),
    "Leases and the sweeper": (
        Variable(
            "STEP_LEASE_SECONDS",
            _ENGINE.step_lease_seconds,
            "How long a worker that gives no sign of life keeps its step. A living one gives three within it, so calls "
            "to Fabric may take longer.",
        ),
        Variable(
            "WATCHDOG_SECONDS",
            _ENGINE.watchdog_seconds,
            "How often an orchestration compares its view with the journal; sooner if a claim ends before that.",
        ),
        Variable(
            "TARGET_LEASE_SECONDS",
            _ENGINE.target_lease_seconds,
            "How long a deployment holds its target without a sign of life.",
        ),
        Variable(
            "TARGET_RETRY_SECONDS", _ENGINE.target_retry_seconds, "How often a waiting deployment asks for its target."
        ),
        Variable(
            "SCRIPT_LEASE_SECONDS",
            _ENGINE.script_lease_seconds,
            "How long a script with a `DeploymentTransaction` may give no sign of life before the sweeper puts it back "
            "([scripting.md](scripting.md)). The same value for the app and for the scripts, whose clocks must "
            "agree within it.",
        ),
        Variable(
            "SWEEP_SCHEDULE",
            "",
            "NCRONTAB of the sweeper. Must be set: the trigger names it. The sample and infra/ have `0 */5 * * * *`.",
        ),
        Variable(
            "SWEEP_DRY_RUN",
            default=False,
            meaning="`true`: the sweeper says in the log what it would do, and does nothing.",
        ),
        Variable(
            "RESTART_GRACE_SECONDS",
            _ENGINE.restart_grace_seconds,
            "How old a deployment must be before the sweeper misses its orchestration.",
        ),
        Variable(
            "ORPHAN_GRACE_SECONDS",
            _ENGINE.orphan_grace_seconds,
            "How long after a deployment was put back the sweeper looks for what a call still under way may have made "
            "afterwards. Must outlast `functionTimeout`.",
        ),
        Variable(
            "RETENTION_SECONDS",
            _ENGINE.retention_seconds,
            "Ninety days: how long an ended deployment stays in the journal. Its audit stays, and its id stays taken.",
        ),
    ),
    "Circuit breaker": (
        Variable(
            "BREAKER_FAILURES",
            _BREAKER.failures,
            "Faults of Fabric (no answer, 408, 5xx; never our 4xx, 401, 403, 429) that open the circuit breaker of an "
            "API area, whichever workers meet them. 0: no breaker.",
        ),
        Variable("BREAKER_WINDOW_SECONDS", _BREAKER.window_seconds, "Within how long."),
        Variable(
            "BREAKER_OPEN_SECONDS",
            _BREAKER.open_seconds,
            "How long no call is made before one probe is; twice as long after each probe that met a fault.",
        ),
        Variable("BREAKER_MAX_OPEN_SECONDS", _BREAKER.max_open_seconds, "The most that may come to."),
        Variable(
            "BREAKER_PROBE_SECONDS",
            _BREAKER.probe_seconds,
            "How long a prober may take before another takes its place. Must outlast one call.",
        ),
        Variable(
            "BREAKER_CACHE_SECONDS",
            _BREAKER.cache_seconds,
            "How old a worker's copy of the breaker's record may be. Less than half of `BREAKER_OPEN_SECONDS`.",
        ),
    ),
    "Health": (
        Variable(
            "HEALTH_CACHE_SECONDS",
            _HEALTH.cache_seconds,
            "How long one round of health checks is told to whoever asks ([health.md](health.md)).",
        ),
        Variable(
            "HEALTH_QUEUE_AGE_SECONDS",
            _HEALTH.queue_age_seconds,
            "A message that lies untouched for longer is a warning.",
        ),
        Variable(
            "HEALTH_SWEEP_LATE_SECONDS",
            _HEALTH.sweep_late_seconds,
            "So is a last sweep longer ago than this. Three periods of `SWEEP_SCHEDULE`.",
        ),
        Variable(
            "HEALTH_POISON_SECONDS", _HEALTH.poison_seconds, "For how long after a poisoned message health warns of it."
        ),
    ),
    "Telemetry": (
        Variable(
            "TELEMETRY_EXPORTER",
            "opentelemetry",
            "`opentelemetry` or `opencensus`: which library sends telemetry ([telemetry.md](telemetry.md)).",
        ),
        Variable(
            "APPLICATIONINSIGHTS_CONNECTION_STRING",
            "",
            "Where telemetry goes, if `FEATURE_USE_TELEMETRY` is on. Empty: nowhere, and the log says so once.",
        ),
        Variable(
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
            "",
            "`ClientId=...;Authorization=AAD` to send with a managed identity's token.",
        ),
    ),
    "HTTP API": (
        Variable(
            "TRUST_CLIENT_PRINCIPAL",
            default=False,
            meaning="`true` only where App Service authentication is on: then the signed-in principal that it names is "
            "who asked, in the audit. Where it is off, anybody with a key could send that header.",
        ),
    ),
    "Of the command line only": (
        Variable(
            "FABRIC_SAGA_URL",
            "",
            "The app's address, to go over its [HTTP API](api.md) in place of storage (as `--url`).",
        ),
        Variable("FUNCTION_KEY", "", "The key for it. Read when it is sent and kept nowhere else."),
        Variable(
            "TRACEPARENT",
            "",
            "The span that a submission is part of (W3C). What is no traceparent begins a trace of its own.",
        ),
        Variable("GITHUB_ACTIONS", "", "`true`, as GitHub Actions sets it: it prints what that runner understands."),
        Variable("GITHUB_STEP_SUMMARY", "", "As GitHub Actions sets it: the file that the summary is written to."),
        Variable("TF_BUILD", "", "`True`, as Azure Pipelines sets it: it prints what that runner understands."),
        Variable("AGENT_TEMPDIRECTORY", "", "As Azure Pipelines sets it: the folder that the summary is written to."),
    ),
}

VARIABLES: Mapping[str, Variable] = {variable.name: variable for group in GROUPS.values() for variable in group}
"""By name."""
