"""What the service principal signs in with is rotated in the vault, and the app goes on without a restart: the real
azure-identity, MSAL and azure-keyvault-secrets against stand-ins of Entra and Key Vault.
"""

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
from shared.adapters.credentials import TokenSource
from shared.domain.errors import FabricAuthError, FabricTransientError
from shared.secret_manager import get_secret_manager
from tests.contract.key_vault import CLIENT_ID, environment, serving

NAME = "azure-client-secret"
TOKENS = "/tenant/oauth2/v2.0/token"


class World:
    """The part of the app that signs in, as bootstrap builds it, with a clock that can be put forward."""

    def __init__(self, server: KeyVaultServer, **changes: str) -> None:
        loaded = settings.load(environment(server, **changes))
        self.server = server
        self.ahead = 0.0
        self.secrets, _ = bootstrap._secrets(loaded.secrets)
        self.source = TokenSource(
            lambda: bootstrap._credential(loaded, self.secrets), now=lambda: time.time() + self.ahead
        )

    def accept(self, *secrets: str) -> None:
        """What Entra takes from now on."""
        self.server.entra.clients[CLIENT_ID].secrets = list(secrets)

    def anew(self) -> str:
        """A token that is asked for now: the one at hand is refused."""
        self.source.invalidate(self.source._token)
        return self.source.token()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyVaultServer]:
    """The stand-ins."""
    with serving(tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def world(server: KeyVaultServer) -> World:
    """Signed in with the first secret."""
    world = World(server)
    server.vault.put(NAME, "first~secret")
    world.accept("first~secret")
    assert world.source.token().startswith(f"sim.{CLIENT_ID}.")
    return world


def test_secret_that_was_rotated_is_taken_when_the_old_one_is_refused(world: World) -> None:
    """The copy still lives, Entra refuses it: the vault is asked once, and the same call has its token."""
    world.server.vault.put(NAME, "second~secret")
    world.accept("second~secret")
    asked = world.server.asked(f"/secrets/{NAME}/")
    assert world.anew().startswith(f"sim.{CLIENT_ID}.")
    assert world.server.asked(f"/secrets/{NAME}/") == asked + 1
    assert [status for _, path, status in world.server.calls if path == TOKENS] == [200, 401, 200]


def test_secret_that_was_rotated_is_taken_when_its_copy_is_refreshed(world: World) -> None:
    """While Entra accepts both, nobody is ever refused."""
    world.server.vault.put(NAME, "second~secret")
    world.accept("first~secret", "second~secret")
    world.secrets.refresh_cache()
    world.accept("second~secret")
    world.anew()
    assert {status for _, path, status in world.server.calls if path == TOKENS} == {200}


def test_token_that_fabric_refused_is_not_given_again(world: World) -> None:
    """azure-identity keeps tokens; a new one is asked of Entra all the same."""
    issued = len(world.server.entra.issued)
    world.anew()
    assert len(world.server.entra.issued) == issued + 1


def test_secret_that_is_wrong_in_the_vault_too_is_refused(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The vault is asked once, not over and over; the error has Entra's code, and no secret even where Entra quotes
    it; neither has the log at its loudest."""
    caplog.set_level(logging.DEBUG)
    world.accept("another~secret")
    world.server.entra.echoes = True
    asked = world.server.asked(f"/secrets/{NAME}/")
    with pytest.raises(FabricAuthError, match="AADSTS7000215") as caught:
        world.anew()
    assert world.server.asked(f"/secrets/{NAME}/") == asked + 1
    assert "first~secret" not in str(caught.value)
    assert "first~secret" not in caplog.text
    assert "first%7Esecret" not in caplog.text


def test_vault_that_is_down_costs_nothing_while_copies_live(world: World) -> None:
    """A new token comes with the copy of the secret; what was refused and cannot be asked for is waited for."""
    world.server.faults.replace([{"match": {"path": "/secrets/.*"}, "action": {"status": 503}}])
    assert world.anew().startswith("sim.")
    world.accept("second~secret")
    with pytest.raises(FabricTransientError) as caught:
        world.anew()
    assert not caught.value.counts_as_attempt
    assert caught.value.retry_after_seconds == 10.0
    world.server.faults.replace([])
    world.server.vault.put(NAME, "second~secret")
    assert world.source.token().startswith("sim.")


def test_token_is_renewed_before_its_end_and_the_old_one_serves_meanwhile(world: World) -> None:
    """From five minutes before; while Entra is away the old one serves, asked about no more than every few seconds."""
    old = world.source.token()
    world.ahead = 3400.0
    world.server.faults.replace([{"match": {"path": "/tenant/.*"}, "action": {"status": 400, "body": {"error": "x"}}}])
    world.source._credential = None  # azure-identity's own copy of the token, by its own clock, would serve too
    assert [world.source.token() for _ in range(3)] == [old] * 3
    assert sum(1 for _, path, status in world.server.calls if status == 400 and path.startswith("/tenant")) <= 2
    world.ahead = 3400.0 + 16
    world.server.faults.replace([])
    issued = len(world.server.entra.issued)
    world.source.token()
    assert len(world.server.entra.issued) == issued + 1


def test_programs_of_ones_own_read_through_the_manager_of_the_app(
    server: KeyVaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vault is asked once for all spellings, and again when all is to be refreshed; the statistics name names."""
    loaded = settings.load(environment(server, AzureWebJobsStorage="UseDevelopmentStorage=true"))
    monkeypatch.setattr(bootstrap, "_app", bootstrap.build(loaded))
    manager = get_secret_manager()
    server.vault.put("my-secret", "first~secret")
    assert {manager.get_secret(name).reveal() for name in ("MY_SECRET", "My.Secret", "my-secret")} == {"first~secret"}
    assert server.asked("/secrets/my-secret/") == 1
    server.vault.put("my-secret", "second~secret")
    manager.refresh_cache()
    assert manager.get_secret("my-secret").reveal() == "second~secret"
    assert server.asked("/secrets/my-secret/") == 2
    stats = manager.get_cache_stats()
    assert {name: (row["hits"], row["fetches"]) for name, row in stats["names"].items()} == {"my-secret": (3, 2)}
    assert "~secret" not in repr(stats)


def test_without_the_manager_every_sign_in_reads_the_vault(server: KeyVaultServer) -> None:
    """FEATURE_USE_SECRET_MANAGER off: plain, and rotation is seen all the same."""
    world = World(server, FEATURE_USE_SECRET_MANAGER="false")
    server.vault.put(NAME, "first~secret")
    world.accept("first~secret", "second~secret")
    world.source.token()
    server.vault.put(NAME, "second~secret")
    world.accept("second~secret")
    world.anew()
    assert {status for _, path, status in server.calls if path == TOKENS} == {200}


def pfx(public: str, private: str) -> str:
    """As Key Vault hands out a certificate that was not asked for as PEM."""
    key: Any = serialization.load_pem_private_key(private.encode(), None)
    leaf = x509.load_pem_x509_certificate(public.encode())
    bundle = pkcs12.serialize_key_and_certificates(b"", key, leaf, None, serialization.NoEncryption())
    return base64.b64encode(bundle).decode()


@pytest.mark.parametrize("form", ["pem", "pfx"])
def test_certificate_comes_from_the_vault_and_is_rotated(server: KeyVaultServer, form: str, tmp_path: Path) -> None:
    """In memory only, as PEM or PKCS #12; one that is no longer registered is replaced as a secret is."""
    world = World(server, FABRIC_CLIENT_CERTIFICATE_NAME="Fabric_Client.Certificate")
    before = sorted(path for path in tmp_path.rglob("*"))
    for number in range(2):
        public, private = certificate.make(f"number {number}")
        server.vault.put("fabric-client-certificate", private + public if form == "pem" else pfx(public, private))
        server.entra.clients[CLIENT_ID].certificates = [public]
        assert world.anew().startswith(f"sim.{CLIENT_ID}.")
    assert [status for _, path, status in server.calls if path == TOKENS] == [200, 401, 200]
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_certificate_that_is_none_is_an_error_without_it(server: KeyVaultServer) -> None:
    """Whatever text is in its place; and one that is put right is taken without a restart."""
    world = World(server, FABRIC_CLIENT_CERTIFICATE_NAME="c")
    for text in ("hunter2!", "aHVudGVyMg==", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"):
        server.vault.put("c", text)
        with pytest.raises(FabricAuthError) as caught:
            world.anew()
        assert "hunter2" not in str(caught.value)
        assert "aHVu" not in str(caught.value)
    public, private = certificate.make("good")
    server.vault.put("c", private + public)
    server.entra.clients[CLIENT_ID].certificates = [public]
    assert world.anew().startswith("sim.")
