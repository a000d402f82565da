"""Every client uses the environment's proxy, except for the hosts in NO_PROXY, and trusts the authority it names."""

import base64
import http.server
import json
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local import reach_loopback_directly
from local.key_vault.server import KeyVaultServer
from shared import settings
from shared.adapters.fabric.client import FabricClient
from shared.adapters.fabric.transport import RequestsTransport
from shared.adapters.storage.clients import StorageClients, mapped
from shared.bootstrap import parts
from shared.cli.__main__ import main
from shared.domain.errors import SagaError
from tests.contract.key_vault import CLIENT_ID, environment, serving

PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
KEY = base64.b64encode(b"a key of an account").decode()
ENDPOINTS = {"table": "TableEndpoint", "queue": "QueueEndpoint", "blob": "BlobEndpoint"}


class Proxy:
    """A proxy that opens tunnels (CONNECT) and records their targets; with `refuses` it answers 407 instead."""

    def __init__(self) -> None:
        self.tunnels: list[str] = []
        self.refuses = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        target = head.split()[1].decode()
        self.tunnels.append(target)
        if self.refuses:
            client.sendall(b"HTTP/1.1 407 Sign in\r\nContent-Length: 0\r\n\r\n")
            client.close()
            return
        host, _, port = target.partition(":")
        with client, socket.create_connection((host, int(port))) as server:
            client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            while ready := select.select([client, server], [], [], 60)[0]:
                for end in ready:
                    content = end.recv(65536)
                    if not content:
                        return
                    (server if end is client else client).sendall(content)


class Service(http.server.BaseHTTPRequestHandler):
    """Fabric, the three services of storage and the app, as far as one read needs them. Records the authorizations."""

    protocol_version = "HTTP/1.1"
    authorizations: list[str]

    def do_GET(self) -> None:
        """Return an empty list in the format that the client reads."""
        self.authorizations.append(self.headers.get("Authorization", ""))
        body, kind = json.dumps({"value": [], "items": [], "next": None}), "application/json"
        if "comp=list" in self.path:
            kind = "application/xml"
            body = "<?xml version='1.0'?><EnumerationResults><Queues/><Containers/><NextMarker/></EnumerationResults>"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None: ...


class Quiet(http.server.ThreadingHTTPServer):
    """A server that prints no trace when a client disconnects."""

    def handle_error(self, request: Any, client_address: Any) -> None: ...


class Token:
    """A token source with a known token."""

    def token(self) -> str:
        return "the-token"

    def invalidate(self, token: str) -> None: ...


class Network:
    """The proxy, the services behind TLS with their own authority, and one read for each client."""

    def __init__(self, proxy: Proxy, vault: KeyVaultServer, key_file: Path) -> None:
        self.proxy, self.vault = proxy, vault
        self.authorizations: list[str] = []
        handler = type("Handler", (Service,), {"authorizations": self.authorizations})
        self._server = Quiet(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(vault.ca_file, key_file)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop the services."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def calls(self) -> dict[str, Callable[[], object]]:
        """Return one read for each client, from the creation of the client to its answer."""
        return {
            "fabric": self._fabric,
            "table": lambda: self._storage("table", lambda c: next(iter(c.tables.list_tables()), None)),
            "queue": lambda: self._storage("queue", lambda c: next(iter(c.queues.list_queues()), None)),
            "blob": lambda: self._storage("blob", lambda c: next(iter(c.blobs.list_containers()), None)),
            "sign-in": self._sign_in,
            "vault": self._vault,
            "cli": self._cli,
        }

    def _fabric(self) -> object:
        client = FabricClient(f"https://{self.host}", Token(), RequestsTransport(), attempts=1)
        return list(client.list("/workspaces"))

    def _storage(self, service: str, call: Callable[[StorageClients], object]) -> object:
        ends = "".join(f"{name}=https://{self.host}/acc;" for name in ENDPOINTS.values())
        clients = StorageClients(f"DefaultEndpointsProtocol=https;AccountName=acc;AccountKey={KEY};{ends}")
        with mapped(service, "ask"):
            return call(clients)

    def _sign_in(self) -> object:
        from shared.adapters.fabric.credentials import TokenSource, build_credential
        from shared.adapters.fabric.service_principal import Proof
        from shared.domain.secrets import Secret

        self.vault.entra.clients[CLIENT_ID].secrets = ["right"]
        proof = Proof(lambda: Secret("right"), lambda: Secret("right"))

        def credential() -> Any:
            return build_credential(
                "service_principal",
                base_url="https://api.fabric.microsoft.com",
                tenant_id="tenant",
                client_id=CLIENT_ID,
                proof=proof,
                authority=self.vault.url,
            )

        return TokenSource(credential).token()

    def _vault(self) -> object:
        self.vault.vault.put("a-b", "value")
        return parts.secrets(settings.load(environment(self.vault)).secrets)[0]._source.fetch("a-b")

    def _cli(self) -> object:
        code = main(["list", "--url", f"https://{self.host}", "--json"])
        if code:
            raise SagaError(f"exit code {code}")
        return code


CLIENTS = ("fabric", "table", "queue", "blob", "sign-in", "vault", "cli")


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """Return the network, in an environment whose REQUESTS_CA_BUNDLE names the authority, with neither a proxy nor an
    exception yet."""
    proxy = Proxy()
    with serving(tmp_path, monkeypatch) as vault:
        for name in (*PROXIES, "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        monkeypatch.setenv("FUNCTION_KEY", "key")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        # The vendor's delays between retries are not tested here.
        monkeypatch.setattr("azure.core.pipeline.transport._base.HttpTransport.sleep", lambda self, duration: None)
        found = Network(proxy, vault, tmp_path / "key.pem")
        yield found
        found.close()
    proxy.close()


def error_text(call: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the message of the error that the call ends with."""
    with pytest.raises(SagaError) as caught:
        call()
    return f"{caught.value} {capsys.readouterr().out}"


@pytest.mark.parametrize(
    ("client", "variable"),
    [*((client, "HTTPS_PROXY") for client in CLIENTS), ("fabric", "https_proxy"), ("table", "ALL_PROXY")],
)
def test_connection_goes_through_the_proxy(
    network: Network, client: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every client uses the proxy, in each spelling of the variable, and trusts the authority through it."""
    monkeypatch.setenv(variable, network.proxy.url)
    network.calls[client]()
    assert network.proxy.tunnels


@pytest.mark.parametrize(
    ("client", "exception"),
    [*((client, "127.0.0.1") for client in CLIENTS), ("fabric", "localhost,127.0.0.0/8"), ("table", "*")],
)
def test_connection_avoids_the_proxy_for_hosts_in_no_proxy(
    network: Network, client: str, exception: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host may be named by its address or by a range; `*` names all hosts."""
    monkeypatch.setenv("HTTPS_PROXY", network.proxy.url)
    monkeypatch.setenv("NO_PROXY", exception)
    network.calls[client]()
    assert network.proxy.tunnels == []


@pytest.mark.parametrize("client", CLIENTS)
def test_connection_trusts_the_authority_in_the_variable_of_curl(
    network: Network, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like requests, if its own variable is not set."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(network.vault.ca_file))
    network.calls[client]()


@pytest.mark.parametrize("client", CLIENTS)
def test_connection_to_an_unknown_authority_names_the_variable_and_the_file(
    network: Network, client: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says what to set and where the present authorities are; no request was sent."""
    import certifi

    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    text = error_text(network.calls[client], capsys)
    assert "set REQUESTS_CA_BUNDLE to a PEM file" in text
    assert certifi.where() in text
    assert network.authorizations == []


@pytest.mark.parametrize("client", CLIENTS)
def test_connection_through_a_proxy_that_refuses_names_the_proxy(
    network: Network, client: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The operator must correct the proxy, not Fabric or storage."""
    network.proxy.refuses = True
    monkeypatch.setenv("HTTPS_PROXY", network.proxy.url)
    assert "the proxy refuses (HTTP 407): correct HTTPS_PROXY" in error_text(network.calls[client], capsys)


def test_connection_through_a_proxy_that_does_not_answer_names_the_proxy(
    network: Network, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No request was sent, so a call that changes something may be repeated."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    text = error_text(network.calls["fabric"], capsys)
    assert "the proxy does not answer: correct HTTPS_PROXY" in text


def test_connection_to_the_local_stack_is_direct_behind_a_proxy() -> None:
    """No proxy can reach the services that `make demo` starts on this machine; the environment's other exceptions
    stay."""
    environment = {"HTTP_PROXY": "http://proxy.example:8080", "NO_PROXY": "storage.example, 10.0.0.0/8"}
    reach_loopback_directly(environment)
    reach_loopback_directly(environment)
    assert environment["NO_PROXY"] == environment["no_proxy"] == "storage.example,10.0.0.0/8,127.0.0.1,localhost"
    assert os.environ["no_proxy"] == "*" or "127.0.0.1" in os.environ["no_proxy"].split(",")


@pytest.mark.parametrize("client", ["fabric", "table", "vault"])
def test_connection_keeps_its_own_authorization(network: Network, client: str, tmp_path: Path) -> None:
    """A line of ~/.netrc for the host does not replace the token, although the client reads the environment."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login u password p\n")
    network.calls[client]()
    assert not any(each.startswith("Basic") for each in network.authorizations)
