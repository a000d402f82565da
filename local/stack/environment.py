"""The environment variables of a stack: for its functions host, and for a shell that uses the stack."""

import os
import shlex
from collections.abc import Iterator

from local.functions_host import groups
from local.stack.description import APPLICATION, HOST, StackDescription
from shared.domain.flags import FeatureFlags
from shared.domain.json import JsonObject
from shared.domain.variables import WORKER_THREADS

_FLAGS = tuple(FeatureFlags.variable(name) for name in ("retry_logic", "circuit_breaker", "rollback", "health_checks"))
"""The feature flags that need nothing from Azure: on, unless the environment says otherwise."""


def of_host(stack: StackDescription, part: str = HOST) -> dict[str, str]:
    """Return the environment of a functions host: storage, Fabric, its group, and a vault if the stack has one."""
    environment = {
        **dict.fromkeys(_FLAGS, "true"),
        **stack.environment,
        "AzureWebJobsStorage": stack.connection_string,
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "PYTHON_THREADPOOL_THREAD_COUNT": stack.environment.get("PYTHON_THREADPOOL_THREAD_COUNT", str(WORKER_THREADS)),
        "SWEEP_SCHEDULE": stack.environment.get("SWEEP_SCHEDULE", "0 */5 * * * *"),
    }
    if stack.hosts[part]:
        environment[groups.VARIABLE] = stack.hosts[part]
    if stack.has_simulator:
        environment |= _of_simulator(stack)
        if (stack.profile, stack.time_scale) != ("realistic", "1"):
            # The simulator has no quota then, or one whose minute is shorter than the app's.
            environment.setdefault("RATE_PER_MINUTE", "0")
    if stack.has_vault:
        environment |= _of_vault(stack)
    return environment


def _of_simulator(stack: StackDescription) -> dict[str, str]:
    return {
        "FABRIC_API_BASE_URL": stack.fabric_url,
        "FABRIC_OPERATION_HOSTS": stack.operations_host,
        "FABRIC_CREDENTIAL": "simulator",
    }


def _of_vault(stack: StackDescription) -> dict[str, str]:
    """Return the variables that Azure would set: the vault, the identity and the token endpoint."""
    return {
        "FEATURE_USE_SECRET_MANAGER": stack.environment.get("FEATURE_USE_SECRET_MANAGER", "true"),
        "FEATURE_USE_AZURE_KEYVAULT": stack.environment.get("FEATURE_USE_AZURE_KEYVAULT", "true"),
        "KEY_VAULT_URL": stack.vault_url,
        "KEY_VAULT_CLIENT_ID": "identity-of-the-app",
        "IDENTITY_ENDPOINT": f"{stack.vault_url}/msi/token",
        "IDENTITY_HEADER": stack.identity_header,
        "FABRIC_CREDENTIAL": "service_principal",
        "AZURE_TENANT_ID": "tenant",
        "AZURE_CLIENT_ID": APPLICATION,
        "AZURE_AUTHORITY_HOST": stack.vault_url,
        "REQUESTS_CA_BUNDLE": str(stack.vault_ca_file),
    }


def exports(stack: StackDescription, data: JsonObject) -> Iterator[str]:
    """Yield the `export` lines that a shell evaluates. `data` is the content of stack.json."""
    yield _export({name: os.environ[name] for name in ("NO_PROXY", "no_proxy")})
    yield _export({"AzureWebJobsStorage": str(data["storage_connection_string"])})
    yield _export({"APP": str(data["functions_url"]), "FUNCTION_KEY": str(data["function_key"])})
    # The app's own flags, so that a script in this shell behaves like the app.
    yield _export({flag: stack.environment.get(flag) or "true" for flag in _FLAGS})
    if stack.has_simulator:
        yield _export(_of_simulator(stack))


def _export(values: dict[str, str]) -> str:
    return "export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
