"""Settings: usable defaults, and every invalid value is reported with its variable."""

import json
from pathlib import Path

import pytest

from shared import settings
from shared.domain.policy import EnginePolicy
from shared.domain.variables import VARIABLES
from tests.infra.agreement import settings_read

SECONDS = [
    "RETRY_BASE_SECONDS",
    "RETRY_MAX_SECONDS",
    "COMPENSATION_BASE_SECONDS",
    "COMPENSATION_MAX_SECONDS",
    "STEP_LEASE_SECONDS",
    "COMPENSATION_TIMEOUT_SECONDS",
    "LATE_CALL_SECONDS",
    "WATCHDOG_SECONDS",
    "TARGET_LEASE_SECONDS",
    "TARGET_RETRY_SECONDS",
    "RESTART_GRACE_SECONDS",
]
COUNTS = ["RETRY_MAX_ATTEMPTS", "COMPENSATION_MAX_ATTEMPTS"]


def test_settings_have_usable_defaults() -> None:
    """An empty or blank value counts as absent."""
    loaded = settings.load({})
    assert loaded.policy == EnginePolicy()
    assert loaded.fabric.base_url == "https://api.fabric.microsoft.com"
    assert loaded.fabric.credential == "default"
    assert settings.load(dict.fromkeys([*SECONDS, *COUNTS, "FABRIC_CREDENTIAL"], "  ")) == loaded


def test_settings_must_be_declared_to_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable without a declared default and meaning is an error at the first load, whatever the environment
    contains."""
    monkeypatch.delitem(VARIABLES, "STEP_LEASE_SECONDS")  # type: ignore[arg-type] - a dict, declared as read-only
    with pytest.raises(KeyError, match="STEP_LEASE_SECONDS"):
        settings.load({"STEP_LEASE_SECONDS": "90"})


def test_settings_declare_only_variables_that_are_read() -> None:
    """At the start (a proxy in lower case too), when needed (the key, the secret, the variables of a pipeline), or by
    the trigger (the schedule)."""
    late = {"FUNCTION_KEY", "AZURE_CLIENT_SECRET", "SWEEP_SCHEDULE"}
    late |= {"GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "TF_BUILD", "AGENT_TEMPDIRECTORY"}
    assert set(VARIABLES) == {name.upper() if name.islower() else name for name in settings_read()} | late


@pytest.mark.parametrize("name", [*SECONDS, *COUNTS])
@pytest.mark.parametrize("value", ["often", "-1", "nan", "inf", "1e10", "1,5", "0x10", "5s"])
def test_settings_invalid_number_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(settings.SettingsError, match=f"{name} is '{value}'"):
        settings.load({name: value})


@pytest.mark.parametrize(
    "name", [*COUNTS, *[n for n in SECONDS if n.endswith(("LEASE_SECONDS", "TIMEOUT_SECONDS", "WATCHDOG_SECONDS"))]]
)
def test_settings_zero_that_would_disable_the_engine_is_refused(name: str) -> None:
    """A lease of zero protects nothing, and a watchdog of zero never rests."""
    with pytest.raises(settings.SettingsError, match=f"{name} is '0'; it must be a number of at least 1"):
        settings.load({name: "0"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FABRIC_CREDENTIAL", "password"),
        ("FABRIC_API_BASE_URL", "api.fabric.microsoft.com"),
        ("FABRIC_API_BASE_URL", "ftp://api.fabric.microsoft.com"),
        ("FABRIC_API_BASE_URL", "http://api.fabric.microsoft.com"),
        ("FABRIC_API_BASE_URL", "https://"),
        ("FABRIC_API_BASE_URL", "https://[::1"),
        ("FABRIC_API_BASE_URL", "https://fabric:port"),
        ("FABRIC_API_BASE_URL", "https://fabric:99999"),
    ],
)
def test_settings_invalid_word_or_address_names_its_variable(name: str, value: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(settings.SettingsError, match=name):
        settings.load({name: value})


def test_settings_are_read_from_their_variables() -> None:
    loaded = settings.load(
        {
            **dict.fromkeys(SECONDS, "7.5"),
            **dict.fromkeys(COUNTS, "3"),
            "AzureWebJobsStorage": "connection",
            "AzureWebJobsStorage__tableServiceUri": "https://t.example",
            "FABRIC_API_BASE_URL": "http://127.0.0.1:8080/",
            "FABRIC_OPERATION_HOSTS": "a:1, b:2 ,",
            "FABRIC_CREDENTIAL": "simulator",
        }
    )
    policy = loaded.policy
    assert {policy.step_lease_seconds, policy.late_call_seconds, policy.forward.base_seconds} == {7.5}
    assert (policy.forward.max_attempts, policy.backward.max_attempts) == (3, 3)
    assert (loaded.storage.connection_string, loaded.storage.table_uri) == ("connection", "https://t.example")
    assert loaded.fabric.base_url == "http://127.0.0.1:8080"
    assert loaded.fabric.operation_hosts == {"a:1", "b:2"}


def test_settings_contain_no_secret() -> None:
    """The client secret is read when it is needed."""
    environment = {"AZURE_CLIENT_SECRET": "hush"}
    assert "hush" not in repr(settings.load(environment))
    assert settings.environment_secret("AZURE_CLIENT_SECRET", environment) == "hush"
    assert settings.environment_secret("AZURE_CLIENT_SECRET", {}) == ""


VAULT = {"FEATURE_USE_AZURE_KEYVAULT": "true", "KEY_VAULT_URL": "https://contoso.vault.azure.net/"}


@pytest.mark.parametrize(
    ("manager", "vault", "url", "ttl", "has_dotenv"),
    [
        ("false", "false", "", 0.0, False),
        ("true", "false", "", 60.0, True),
        ("false", "true", "https://contoso.vault.azure.net", 0.0, False),
        ("true", "true", "https://contoso.vault.azure.net", 60.0, False),
    ],
)
def test_settings_of_secrets_in_every_combination(
    manager: str, vault: str, url: str, ttl: float, has_dotenv: bool
) -> None:
    """One flag decides where secrets are, the other whether they are cached; `.env` is for the manager without a
    vault."""
    flags = {"FEATURE_USE_SECRET_MANAGER": manager, "FEATURE_USE_AZURE_KEYVAULT": vault, "SECRET_CACHE_SECONDS": "60"}
    found = settings.load({**VAULT, **flags}).secrets
    assert (found.vault_url, found.cache.cache_seconds, found.dotenv is not None) == (url, ttl, has_dotenv)


def test_settings_vault_without_an_address_names_both_variables() -> None:
    """With the vault on, an address is needed; with the vault off, none is."""
    with pytest.raises(settings.SettingsError, match="neither KEY_VAULT_URL nor AZURE_KEY_VAULT_NAME"):
        settings.load({"FEATURE_USE_AZURE_KEYVAULT": "true"})
    assert settings.load({"FEATURE_USE_AZURE_KEYVAULT": "false"}).secrets.vault_url == ""


def test_settings_vault_by_name_or_address() -> None:
    """The name is one in the public cloud; if both are set, the address has precedence."""
    by_name = {"FEATURE_USE_AZURE_KEYVAULT": "true", "AZURE_KEY_VAULT_NAME": "contoso-kv"}
    assert settings.load(by_name).secrets.vault_url == "https://contoso-kv.vault.azure.net"
    assert settings.load({**by_name, **VAULT}).secrets.vault_url == "https://contoso.vault.azure.net"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KEY_VAULT_URL", "http://127.0.0.1:1"),
        ("KEY_VAULT_URL", "contoso.vault.azure.net"),
        ("KEY_VAULT_URL", "https://user:hunter2@contoso.vault.azure.net"),
        ("KEY_VAULT_URL", "https://contoso.vault.azure.net/secrets/x"),
        ("KEY_VAULT_URL", "https://contoso.vault.azure.net?x=y"),
        ("KEY_VAULT_URL", "https://contoso:port"),
        ("KEY_VAULT_URL", "https://[::1"),
        ("AZURE_KEY_VAULT_NAME", "c"),
        ("AZURE_KEY_VAULT_NAME", "contoso.evil.example#"),
        ("AZURE_KEY_VAULT_NAME", "a--b"),
        ("AZURE_KEY_VAULT_NAME", "evil.example/"),
        ("FABRIC_CLIENT_SECRET_NAME", "hunter2=="),
        ("FABRIC_CLIENT_CERTIFICATE_NAME", "-----BEGIN PRIVATE KEY-----\nMII+hunter2="),
        ("SECRET_CACHE_SECONDS", "-1"),
        ("SECRET_CACHE_SECONDS", "5m"),
    ],
)
def test_settings_of_secrets_that_are_not_valid_name_their_variable(name: str, value: str) -> None:
    """The message does not repeat the value, which may be a secret in the wrong variable."""
    own = {**VAULT, name: value}
    if name == "AZURE_KEY_VAULT_NAME":
        del own["KEY_VAULT_URL"]
    with pytest.raises(settings.SettingsError, match=name) as caught:
        settings.load(own)
    assert "hunter2" not in str(caught.value)


def test_settings_certificate_file_beside_the_vault_is_refused() -> None:
    """With two places for one secret it would be unclear which one counts."""
    with pytest.raises(settings.SettingsError, match="FABRIC_CLIENT_CERTIFICATE_NAME"):
        settings.load({**VAULT, "AZURE_CLIENT_CERTIFICATE_PATH": "/some/file.pem"})


def test_settings_of_the_sample_can_be_loaded() -> None:
    sample = Path(settings.__file__).resolve().parents[1] / "local.settings.sample.json"
    settings.load(json.loads(sample.read_text())["Values"])
