"""Settings: usable defaults, and every invalid value is reported with its variable."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import pytest

from shared import settings
from shared.domain.access import BY_KEY, KEYS
from shared.domain.declaration import POLICIES, Kind
from shared.domain.environment import Reader
from shared.domain.policy import EnginePolicy
from shared.domain.variables import VARIABLES
from tests.infra.agreement import settings_read

SECONDS = [row.name for row in VARIABLES.values() if row.kind is Kind.SECONDS]
COUNTS = [row.name for row in VARIABLES.values() if row.kind is Kind.COUNT]
OF_THE_ENGINE = [n for n in SECONDS if VARIABLES[n].field.startswith(("engine", "forward", "backward"))]
ATTEMPTS = ["RETRY_MAX_ATTEMPTS", "COMPENSATION_MAX_ATTEMPTS"]
NOT_SET = {
    *("engine.rollback", "engine.access", "engine.forward", "engine.backward"),
    *("rate.window_seconds", "rate.use_seconds", "rate.call_seconds", "rate.skew_seconds"),
    *("cache.missing_seconds", "cache.renew_at", "cache.pause_seconds"),
}
"""Fields of policies that no variable sets: a flag, policies of their own, and constants."""


def test_settings_have_usable_defaults() -> None:
    """An empty or blank value counts as absent."""
    loaded = settings.load({})
    assert loaded.policy == EnginePolicy()
    assert loaded.fabric.base_url == "https://api.fabric.microsoft.com"
    assert loaded.fabric.credential == "default"
    assert settings.load(dict.fromkeys([*SECONDS, *COUNTS, "FABRIC_CREDENTIAL"], "  ")) == loaded


def test_settings_must_be_declared_to_be_read() -> None:
    """A variable without a row, or with a row of another kind, is an error of the program."""
    with pytest.raises(KeyError, match="FABRIC_COLOUR"):
        Reader({"FABRIC_COLOUR": "blue"}).text("FABRIC_COLOUR")
    with pytest.raises(TypeError, match="SWEEP_DRY_RUN is declared as flag"):
        Reader({}).word("SWEEP_DRY_RUN")


def test_settings_have_a_row_for_every_field_of_a_policy_and_a_meaning_for_every_flag() -> None:
    declared = [row.field for row in VARIABLES.values() if row.field]
    existing = {f"{name}.{f.name}" for name, policy in POLICIES.items() for f in fields(cast(Any, policy))}
    missing = sorted(existing - NOT_SET - set(declared))
    assert not missing, f"add a row to shared/domain/variables.py, or the field to NOT_SET: {missing}"
    unknown = sorted(set(declared) - existing)
    assert not unknown, f"rows of shared/domain/variables.py name fields that no policy has: {unknown}"
    assert len(declared) == len(set(declared)), "two rows of shared/domain/variables.py set the same field"
    without = [row.name for row in VARIABLES.values() if not row.meaning]
    assert not without, f"say in shared/domain/variables.py what these do: {without}"


def test_settings_declare_only_variables_that_are_read() -> None:
    """At the start (a proxy in lower case too), or later: when needed (the key, the secret, the variables of a
    pipeline), or by the trigger (the schedule)."""
    late = {row.name for row in VARIABLES.values() if row.is_late}
    read = {name.upper() if name.islower() else name for name in settings_read()}
    unread, undeclared = sorted(set(VARIABLES) - read - late), sorted(read - set(VARIABLES))
    assert not unread, f"shared/settings.py does not read these rows of shared/domain/variables.py: {unread}"
    assert not undeclared, f"add rows to shared/domain/variables.py: {undeclared}"


@pytest.mark.parametrize("name", [*SECONDS, *COUNTS])
@pytest.mark.parametrize("value", ["often", "-1", "nan", "inf", "1e10", "1,5", "0x10", "5s"])
def test_settings_invalid_number_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(settings.SettingsError, match=f"{name} is '{value}'"):
        settings.load({name: value})


@pytest.mark.parametrize("name", [row.name for row in VARIABLES.values() if row.minimum])
def test_settings_zero_that_would_disable_the_engine_is_refused(name: str) -> None:
    """A lease of zero protects nothing, and a watchdog of zero never rests."""
    with pytest.raises(
        settings.SettingsError, match=f"{name} is '0'; it must be a number of at least {VARIABLES[name].minimum:g}$"
    ):
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
            **dict.fromkeys(OF_THE_ENGINE, "3600.5"),
            **dict.fromkeys(ATTEMPTS, "3"),
            "AzureWebJobsStorage": "connection",
            "AzureWebJobsStorage__tableServiceUri": "https://t.example",
            "FABRIC_API_BASE_URL": "http://127.0.0.1:8080/",
            "FABRIC_OPERATION_HOSTS": "a:1, b:2 ,",
            "FABRIC_CREDENTIAL": "simulator",
        }
    )
    policy = loaded.policy
    assert {policy.step_lease_seconds, policy.late_call_seconds, policy.forward.base_seconds} == {3600.5}
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


IDS = {
    "SIGN_IN_CLIENT_ID": "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01",
    "SIGN_IN_TENANT_ID": "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c02",
}
RULES = '{"sales": ["*"]}'


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"SIGN_IN_CLIENT_ID": IDS["SIGN_IN_CLIENT_ID"]}, "SIGN_IN_TENANT_ID"),
        ({**IDS, "SIGN_IN_CLIENT_ID": "fabric-saga"}, "must be the ids"),
        ({"QUEUE_NEEDS_IDENTITY": "true"}, "needs sign-in"),
        ({**IDS, "ALLOWED_TARGETS": RULES}, "needs QUEUE_NEEDS_IDENTITY=true"),
        ({"ALLOWED_TARGETS": RULES}, "needs QUEUE_NEEDS_IDENTITY=true"),
        ({**IDS, "QUEUE_NEEDS_IDENTITY": "true", "ALLOWED_TARGETS": "sales"}, "ALLOWED_TARGETS is not JSON"),
        ({**IDS, "AZURE_AUTHORITY_HOST": "http://login.example"}, "AZURE_AUTHORITY_HOST must be https"),
    ],
)
def test_settings_of_sign_in_that_would_protect_nothing_are_refused(given: dict[str, str], message: str) -> None:
    """Half of a registration is refused, and so is a rule that a message on the queue would bypass."""
    with pytest.raises(settings.SettingsError, match=message):
        settings.load(given)


def test_settings_of_sign_in() -> None:
    """A key opens everything until a registration is named."""
    assert not settings.signs_in({"SIGN_IN_CLIENT_ID": " "})
    assert settings.load({}).policy.access == KEYS
    whole = {**IDS, "QUEUE_NEEDS_IDENTITY": "true", "ALLOWED_TARGETS": RULES, "AZURE_AUTHORITY_HOST": "login.example"}
    loaded = settings.load(whole)
    assert settings.signs_in(whole)
    assert (loaded.policy.access.signs_in, loaded.policy.access.queue_needs_identity) == (True, True)
    assert loaded.sign_in.authority == "https://login.example"
    upper = {name: value.upper() for name, value in IDS.items()}
    found = settings.load(upper).sign_in
    assert [found.client_id, found.tenant_id] == list(IDS.values())  # in lower case, as in every token
    assert loaded.sign_in.targets.refusal(BY_KEY, "sales") == ""
