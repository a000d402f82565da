"""The vault (the real SDK against a local replacement of its REST API) and the environment fulfil one contract."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.key_vault.server import KeyVaultServer
from shared import settings
from shared.adapters.secrets.environment import EnvironmentSecrets
from shared.bootstrap import parts
from shared.domain.errors import SecretError, SecretNotFoundError, VaultAuthError, VaultUnavailableError
from shared.domain.ports import SecretSource
from shared.domain.secrets import environment_name
from tests.contract.key_vault import environment, serving

pytestmark = pytest.mark.law(5)

VALUE = "s3cr3t~ü$value"
PATH = "/secrets/a-b/"


@dataclass
class Place:
    """A source, and a function that stores a secret in it."""

    source: SecretSource
    put: Callable[[str, str], object]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyVaultServer]:
    """Start the local replacements."""
    with serving(tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def vault(server: KeyVaultServer) -> SecretSource:
    """Return the adapter as the app builds it, with the real SDK and the real managed identity credential."""
    return parts.secrets(settings.load(environment(server)).secrets)[0]._source


@pytest.fixture(params=["environment", "dotenv", "vault"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return each source in turn."""
    if request.param == "environment":
        variables: dict[str, str] = {}
        read = EnvironmentSecrets(lambda name: settings.environment_secret(name, variables))
        return Place(read, lambda name, value: variables.update({environment_name(name): value}))
    if request.param == "dotenv":
        file = tmp_path / ".env"
        lines: dict[str, str] = {}

        def put(name: str, value: str) -> None:
            lines[environment_name(name)] = value
            file.write_text("".join(f"{n}='{v}'\n" for n, v in lines.items()))

        return Place(EnvironmentSecrets(lambda name: settings.environment_secret(name, {}, file)), put)
    running: KeyVaultServer = request.getfixturevalue("server")
    return Place(request.getfixturevalue("vault"), running.vault.put)


def test_source_returns_the_present_value(place: Place) -> None:
    """The value is unchanged to the character; after a rotation it is the new one."""
    place.put("a-b", VALUE)
    assert place.source.fetch("a-b").reveal() == VALUE
    place.put("a-b", "another")
    assert place.source.fetch("a-b").reveal() == "another"


def test_source_reports_a_missing_secret(place: Place) -> None:
    """The error contains the name and no value of another secret. An empty secret is missing."""
    place.put("other", VALUE)
    place.put("empty", "")
    for name in ("a-b", "empty"):
        with pytest.raises(SecretNotFoundError, match=name) as caught:
            place.source.fetch(name)
        assert VALUE not in str(caught.value)


def test_dotenv_yields_to_the_environment_and_is_not_interpolated(tmp_path: Path) -> None:
    """A variable that is set has precedence; a `$` is an ordinary character; without the file the secret is missing."""
    file = tmp_path / ".env"
    file.write_text("A=from-file\nB=x${A}y\n")
    assert settings.environment_secret("A", {"A": "set"}, file) == "set"
    assert settings.environment_secret("A", {}, file) == "from-file"
    assert settings.environment_secret("B", {}, file) == "x${A}y"
    assert settings.environment_secret("A", {}, tmp_path / "none") == ""


def test_dotenv_written_by_windows_is_read_or_named(tmp_path: Path) -> None:
    """A byte order mark is not part of the first name; a file that is not UTF-8 is reported by its name."""
    file = tmp_path / ".env"
    file.write_bytes(b"\xef\xbb\xbfA=first\r\n")
    assert settings.environment_secret("A", {}, file) == "first"
    file.write_bytes("A=first\n".encode("utf-16"))
    with pytest.raises(SecretError, match=r"^\.env cannot be read as UTF-8 text \(UnicodeDecodeError\)$"):
        settings.environment_secret("A", {}, file)


@pytest.mark.parametrize(
    ("attributes", "expected_text"),
    [
        ({"enabled": False}, "SecretDisabled"),
        ({"expires": 1_000_000_000}, "expired at 2001-09-09"),
        ({"not_before": 4_000_000_000}, "valid from 2096-10-02"),
    ],
)
def test_vault_secret_that_may_not_be_used_is_missing(
    server: KeyVaultServer, vault: SecretSource, attributes: dict[str, Any], expected_text: str
) -> None:
    """A disabled, expired or not yet valid secret is missing: its latest version counts, even if an older one is
    usable."""
    server.vault.put("a-b", "usable")
    server.vault.put("a-b", VALUE, **attributes)
    with pytest.raises(SecretNotFoundError, match=expected_text) as caught:
        vault.fetch("a-b")
    assert VALUE not in str(caught.value)


BODY = {"error": {"code": "Code", "message": f"quoted: {VALUE}", "innererror": {"code": "Inner"}}}


@pytest.mark.parametrize(
    ("action", "kind", "expected_text"),
    [
        ({"status": 401}, VaultAuthError, "HTTP 401 Inner.*Key Vault Secrets User"),
        ({"status": 403}, VaultAuthError, "HTTP 403 Inner.*Key Vault Secrets User"),
        ({"status": 429, "headers": {"Retry-After": "70"}}, VaultUnavailableError, "HTTP 429 Code"),
        ({"status": 429, "headers": {"Retry-After": "soon"}}, VaultUnavailableError, "HTTP 429 Code"),
        ({"status": 500}, VaultUnavailableError, "HTTP 500"),
        ({"status": 503}, VaultUnavailableError, "HTTP 503"),
        ({"reset": "before"}, VaultUnavailableError, "does not answer"),
    ],
)
def test_vault_fault_is_an_error_of_the_app(
    server: KeyVaultServer,
    vault: SecretSource,
    action: dict[str, Any],
    kind: type[SecretError],
    expected_text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error is one line without the vault's own text, and never says that the secret is missing. Its Retry-After
    is reported, and the source does not sleep."""
    server.vault.put("a-b", VALUE)
    rule = {"match": {"path": "/secrets/.*"}, "action": action if "reset" in action else {"body": BODY, **action}}
    server.faults.replace([rule])
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(kind, match=expected_text) as caught:
        vault.fetch("a-b")
    assert type(caught.value) is kind
    assert slept == [], "the source slept"
    assert VALUE not in str(caught.value)
    assert isinstance(caught.value, VaultUnavailableError)
    assert caught.value.retry_after_seconds == (70.0 if action.get("headers", {}).get("Retry-After") == "70" else None)
    assert caught.value.__suppress_context__
    server.faults.replace([])
    assert vault.fetch("a-b").reveal() == VALUE


def test_vault_sign_in_that_fails_is_an_error_of_the_app(server: KeyVaultServer, vault: SecretSource) -> None:
    server.faults.replace([{"match": {"path": "/msi/token"}, "action": {"status": 400, "body": BODY}}])
    with pytest.raises(VaultAuthError) as caught:
        vault.fetch("a-b")
    assert "the-header" not in str(caught.value)
    assert VALUE not in str(caught.value)


def test_untrusted_vault_receives_nothing(
    server: KeyVaultServer, vault: SecretSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the authority of its certificate the connection fails, and so no token is sent."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(VaultUnavailableError):
        vault.fetch("a-b")
    assert server.calls == []


def test_enabled_vault_never_yields_to_the_environment(
    server: KeyVaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment is not read if the vault has no such secret, nor if the vault fails, although every spelling is
    in the environment and in `.env`."""
    for name in ("AZURE_CLIENT_SECRET", "azure-client-secret", "AZURE-CLIENT-SECRET"):
        monkeypatch.setenv(name, VALUE)
    (tmp_path / ".env").write_text(f"AZURE_CLIENT_SECRET={VALUE}\n")
    monkeypatch.setattr(settings, "DOTENV", tmp_path / ".env")
    for flag in ("true", "false"):
        loaded = settings.load(environment(server, FEATURE_USE_SECRET_MANAGER=flag))
        manager, _ = parts.secrets(loaded.secrets)
        with pytest.raises(SecretNotFoundError):
            manager.get_secret("AZURE_CLIENT_SECRET")
        server.faults.replace([{"action": {"status": 503}}])
        with pytest.raises(VaultUnavailableError):
            manager.refresh("AZURE_CLIENT_SECRET")
        server.faults.replace([])


@pytest.mark.parametrize(("manager_on", "found"), [("true", "from-file"), ("false", None)])
def test_disabled_vault_reads_the_environment_and_with_the_manager_dotenv(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, manager_on: str, found: str | None
) -> None:
    """With both flags off only the plain environment is read."""
    (tmp_path / ".env").write_text("AZURE_CLIENT_SECRET=from-file\n")
    monkeypatch.setattr(settings, "DOTENV", tmp_path / ".env")
    monkeypatch.delenv("AZURE_CLIENT_SECRET", raising=False)
    loaded = settings.load({"FEATURE_USE_SECRET_MANAGER": manager_on, "KEY_VAULT_URL": "https://unused.example"})
    manager, ping = parts.secrets(loaded.secrets)
    assert ping is None
    if found is None:
        with pytest.raises(SecretNotFoundError, match="AZURE_CLIENT_SECRET is not set"):
            manager.get_secret("azure-client-secret")
    else:
        assert manager.get_secret("azure-client-secret").reveal() == found
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "set")
    assert manager.refresh("azure-client-secret").reveal() == "set"


def test_vault_ping_distinguishes_failing_from_missing(server: KeyVaultServer) -> None:
    """A vault that reports a missing secret is healthy; one that refuses or fails is not."""
    _, ping = parts.secrets(settings.load(environment(server)).secrets)
    assert ping is not None
    ping()
    server.vault.is_forbidden = True
    with pytest.raises(VaultAuthError):
        ping()
    server.vault.is_forbidden = False
    ping()


def test_vault_sdk_logs_no_value_at_debug_level(
    server: KeyVaultServer, vault: SecretSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.vault.put("a-b", VALUE)
    vault.fetch("a-b")
    assert "secrets/a-b" in caplog.text
    assert VALUE not in caplog.text
    assert "vlt." not in caplog.text
    assert "the-header" not in caplog.text
