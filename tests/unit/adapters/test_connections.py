"""The connections of Azure's SDKs: a service that accepts connections and does not answer."""

import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import HttpRequest

from shared.adapters import connections
from shared.adapters.secrets.keyvault import KeyVaultSecrets
from shared.adapters.storage import clients
from shared.domain.errors import StorageUnavailableError, VaultUnavailableError


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_service_that_does_not_answer_is_given_up(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without a timeout in the call, as the credentials of azure-identity make theirs."""
    monkeypatch.setattr(connections, "READ_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(Exception, match="timed out"):
        connections.azure_transport().send(HttpRequest("GET", silent))
    assert time.monotonic() - began < 10.0


@pytest.mark.parametrize("service", ["tables", "queues", "blobs"])
def test_storage_that_does_not_answer_is_an_outage(silent: str, monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """A table that hangs held its caller for 300 s in each of four attempts."""
    monkeypatch.setattr(connections, "READ_SECONDS", 0.1)
    addresses = ";".join(f"{name}Endpoint={silent}/a" for name in ("Blob", "Queue", "Table"))
    storage = clients.StorageClients(f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=AAAA;{addresses}")
    client = getattr(storage, service)
    listed = {"tables": "list_tables", "queues": "list_queues", "blobs": "list_containers"}[service]
    began = time.monotonic()
    with pytest.raises(StorageUnavailableError, match="no answer"), clients.mapped(service, "ask"):
        next(iter(getattr(client, listed)()), None)
    assert time.monotonic() - began < 30.0


def test_vault_that_does_not_answer_is_given_up(silent: str) -> None:
    """Its own timeouts count, with one repetition."""
    token = AccessToken("t", int(time.time()) + 3600)
    vault = KeyVaultSecrets(silent, lambda: SimpleNamespace(get_token=lambda *_, **__: token), read_seconds=0.2)
    began = time.monotonic()
    with pytest.raises(VaultUnavailableError):
        vault.fetch("a")
    assert time.monotonic() - began < 10.0
