"""The service principal's credential is rotated in the vault, and the app continues without a restart: the real
azure-identity, MSAL and azure-keyvault-secrets against local replacements of Entra and Key Vault."""

import base64
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from local.key_vault import certificate
from local.key_vault.server import KeyVaultServer
from shared import bootstrap, settings
from shared.adapters.fabric.credentials import TokenSource
from shared.bootstrap import parts
from shared.domain.errors import FabricAuthError, FabricTransientError
from shared.scripting.secrets import get_secret_manager
from tests.contract.key_vault import CLIENT_ID, environment, serving

NAME = "azure-client-secret"
TOKENS = "/tenant/oauth2/v2.0/token"


class SignIn:
    """The part of the app that signs in, as bootstrap builds it, with a clock that a test can move forward."""

    def __init__(self, server: KeyVaultServer, **changes: str) -> None:
        loaded = settings.load(environment(server, **changes))
        self.server = server
        self.ahead = 0.0
        self.secrets, _ = parts.secrets(loaded.secrets)
        self.source = TokenSource(lambda: parts.credential(loaded, self.secrets), now=lambda: time.time() + self.ahead)

    def accept(self, *secrets: str) -> None:
        """Let Entra accept only these secrets."""
        self.server.entra.clients[CLIENT_ID].secrets = list(secrets)

    def new_token(self) -> str:
        """Return a newly requested token, after the present one was refused."""
        self.source.invalidate(self.source._token)
        return self.source.token()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyVaultServer]:
    """Start the local replacements."""
    with serving(tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def signed_in(server: KeyVaultServer) -> SignIn:
    """Return the app, signed in with the first secret."""
    signed_in = SignIn(server)
    server.vault.put(NAME, "first~secret")
    signed_in.accept("first~secret")
    assert signed_in.source.token().startswith(f"sim.{CLIENT_ID}.")
    return signed_in


def test_rotated_secret_is_read_when_the_old_one_is_refused(signed_in: SignIn) -> None:
    """Entra refuses the cached copy: the vault is asked once, and the same call gets its token."""
    signed_in.server.vault.put(NAME, "second~secret")
    signed_in.accept("second~secret")
    request = signed_in.server.call_count(f"/secrets/{NAME}/")
    assert signed_in.new_token().startswith(f"sim.{CLIENT_ID}.")
    assert signed_in.server.call_count(f"/secrets/{NAME}/") == request + 1
    assert [status for _, path, status in signed_in.server.calls if path == TOKENS] == [200, 401, 200]


def test_rotated_secret_is_read_when_its_copy_is_refreshed(signed_in: SignIn) -> None:
    """While Entra accepts both secrets, no sign-in is refused."""
    signed_in.server.vault.put(NAME, "second~secret")
    signed_in.accept("first~secret", "second~secret")
    signed_in.secrets.refresh_cache()
    signed_in.accept("second~secret")
    signed_in.new_token()
    assert {status for _, path, status in signed_in.server.calls if path == TOKENS} == {200}


def test_token_that_fabric_refused_is_not_used_again(signed_in: SignIn) -> None:
    """azure-identity caches tokens; a new one is requested from Entra all the same."""
    issued = len(signed_in.server.entra.issued)
    signed_in.new_token()
    assert len(signed_in.server.entra.issued) == issued + 1


def test_secret_that_is_also_wrong_in_the_vault_is_refused(signed_in: SignIn, caplog: pytest.LogCaptureFixture) -> None:
    """The vault is asked only once. The error contains Entra's code and no secret, even if Entra quotes it; neither
    does the log at its most detailed level."""
    caplog.set_level(logging.DEBUG)
    signed_in.accept("another~secret")
    signed_in.server.entra.echoes = True
    request = signed_in.server.call_count(f"/secrets/{NAME}/")
    with pytest.raises(FabricAuthError, match="AADSTS7000215") as caught:
        signed_in.new_token()
    assert signed_in.server.call_count(f"/secrets/{NAME}/") == request + 1
    assert "first~secret" not in str(caught.value)
    assert "first~secret" not in caplog.text
    assert "first%7Esecret" not in caplog.text


def test_vault_that_is_down_has_no_effect_while_copies_are_cached(signed_in: SignIn) -> None:
    """A new token is requested with the cached copy. If that copy is refused and the vault is down, the call waits."""
    signed_in.server.faults.replace([{"match": {"path": "/secrets/.*"}, "action": {"status": 503}}])
    assert signed_in.new_token().startswith("sim.")
    signed_in.accept("second~secret")
    with pytest.raises(FabricTransientError) as caught:
        signed_in.new_token()
    assert not caught.value.counts_as_attempt
    assert caught.value.retry_after_seconds == 10.0
    signed_in.server.faults.replace([])
    signed_in.server.vault.put(NAME, "second~secret")
    assert signed_in.source.token().startswith("sim.")


def test_token_is_renewed_before_its_end_and_the_old_one_is_used_until_then(signed_in: SignIn) -> None:
    """Renewal starts five minutes before the end. While Entra is unavailable the old token is used, and Entra is asked
    at most every few seconds."""
    old = signed_in.source.token()
    signed_in.ahead = 3400.0
    signed_in.server.faults.replace(
        [{"match": {"path": "/tenant/.*"}, "action": {"status": 400, "body": {"error": "x"}}}]
    )
    signed_in.source._credential = None  # azure-identity's own cached token, by its own clock, would be used too.
    assert [signed_in.source.token() for _ in range(3)] == [old] * 3
    assert sum(1 for _, path, status in signed_in.server.calls if status == 400 and path.startswith("/tenant")) <= 2
    signed_in.ahead = 3400.0 + 16
    signed_in.server.faults.replace([])
    issued = len(signed_in.server.entra.issued)
    signed_in.source.token()
    assert len(signed_in.server.entra.issued) == issued + 1


def test_external_programs_read_through_the_secret_manager_of_the_app(
    server: KeyVaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vault is asked once for all spellings of a name, and again after a refresh. The statistics contain names and
    no values."""
    loaded = settings.load(environment(server, AzureWebJobsStorage="UseDevelopmentStorage=true"))
    monkeypatch.setattr(bootstrap, "_app", bootstrap.build(loaded))
    manager = get_secret_manager()
    server.vault.put("my-secret", "first~secret")
    assert {manager.get_secret(name).reveal() for name in ("MY_SECRET", "My.Secret", "my-secret")} == {"first~secret"}
    assert server.call_count("/secrets/my-secret/") == 1
    server.vault.put("my-secret", "second~secret")
    manager.refresh_cache()
    assert manager.get_secret("my-secret").reveal() == "second~secret"
    assert server.call_count("/secrets/my-secret/") == 2
    stats = manager.get_cache_stats()
    assert {name: (row["hits"], row["fetches"]) for name, row in stats["names"].items()} == {"my-secret": (3, 2)}
    assert "~secret" not in repr(stats)


def test_without_the_manager_every_sign_in_reads_the_vault(server: KeyVaultServer) -> None:
    """With FEATURE_USE_SECRET_MANAGER off nothing is cached, and a rotation is used all the same."""
    signed_in = SignIn(server, FEATURE_USE_SECRET_MANAGER="false")
    server.vault.put(NAME, "first~secret")
    signed_in.accept("first~secret", "second~secret")
    signed_in.source.token()
    server.vault.put(NAME, "second~secret")
    signed_in.accept("second~secret")
    signed_in.new_token()
    assert {status for _, path, status in server.calls if path == TOKENS} == {200}


def pfx(public: str, private: str) -> str:
    """Return a certificate in the format of Key Vault if PEM was not requested."""
    key: Any = serialization.load_pem_private_key(private.encode(), None)
    leaf = x509.load_pem_x509_certificate(public.encode())
    bundle = pkcs12.serialize_key_and_certificates(b"", key, leaf, None, serialization.NoEncryption())
    return base64.b64encode(bundle).decode()


@pytest.mark.parametrize("form", ["pem", "pfx"])
def test_certificate_comes_from_the_vault_and_is_rotated(server: KeyVaultServer, form: str, tmp_path: Path) -> None:
    """It stays in memory only, as PEM or PKCS #12; a certificate that is no longer registered is replaced like a
    secret."""
    signed_in = SignIn(server, FABRIC_CLIENT_CERTIFICATE_NAME="Fabric_Client.Certificate")
    before = sorted(path for path in tmp_path.rglob("*"))
    for number in range(2):
        public, private = certificate.make(f"number {number}")
        server.vault.put("fabric-client-certificate", private + public if form == "pem" else pfx(public, private))
        server.entra.clients[CLIENT_ID].certificates = [public]
        assert signed_in.new_token().startswith(f"sim.{CLIENT_ID}.")
    assert [status for _, path, status in server.calls if path == TOKENS] == [200, 401, 200]
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_invalid_certificate_is_an_error_that_does_not_contain_it(server: KeyVaultServer) -> None:
    """A corrected certificate is used without a restart."""
    signed_in = SignIn(server, FABRIC_CLIENT_CERTIFICATE_NAME="c")
    for text in ("hunter2!", "aHVudGVyMg==", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"):
        server.vault.put("c", text)
        with pytest.raises(FabricAuthError) as caught:
            signed_in.new_token()
        assert "hunter2" not in str(caught.value)
        assert "aHVu" not in str(caught.value)
    public, private = certificate.make("good")
    server.vault.put("c", private + public)
    server.entra.clients[CLIENT_ID].certificates = [public]
    assert signed_in.new_token().startswith("sim.")
