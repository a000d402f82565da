"""One exchange over real loopback sockets: what counts as sent, what counts as lost, and that nothing is repeated."""

import contextlib
import datetime
import gzip
import ipaddress
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local.azurite import free_ports
from shared.adapters.fabric import transport as fabric_transport
from shared.adapters.fabric.client import FabricClient
from shared.adapters.fabric.transport import AnswerLostError, NothingSentError, RequestsTransport
from shared.domain.errors import FabricAmbiguousError, FabricTransientError

type Handler = Callable[[socket.socket, bytes], None]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class RawServer:
    """A server that reads whole requests, lets a function answer with raw bytes, and counts connections and
    requests."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self._handler, self._tls = handler, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0
        self.requests: list[bytes] = []
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str = "/x") -> str:
        """Return an address on this server."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        """Accept no further connection, and end the open ones."""
        # Closing alone would leave the thread waiting in accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self._open):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            stream = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            while request := _read_request(stream):
                self.requests.append(request)
                self._handler(stream, request)


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    length = next(
        (int(v) for k, _, v in (h.partition(b":") for h in head.split(b"\r\n")) if k.lower() == b"content-length"), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def _whole(body: bytes, head: bytes = HEAD) -> Handler:
    return lambda connection, _: connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def _then_close(answer: bytes) -> Handler:
    def handle(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)

    return handle


def _reset(connection: socket.socket, _: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


type Serve = Callable[..., RawServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts servers; they end with the test."""
    servers: list[RawServer] = []

    def start(handler: Handler, tls: ssl.SSLContext | None = None) -> RawServer:
        servers.append(RawServer(handler, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def transport() -> RequestsTransport:
    """Return a transport whose timeouts are long enough for a busy machine."""
    return RequestsTransport(connect_timeout=20.0, read_timeout=20.0)


def test_transport_returns_status_headers_and_body(serve: Serve, transport: RequestsTransport) -> None:
    """Header names are in lower case, and the request is sent as given."""
    server = serve(_whole(b'{"id": 1}', HEAD.replace(b"200 OK", b"201 Created") + b"X-MS-Operation-Id: op\r\n"))
    status, headers, body = transport.exchange("POST", server.url("/x%20y?a=b"), {"authorization": "Bearer t"}, b"{}")
    assert (status, headers["x-ms-operation-id"], body) == (201, "op", b'{"id": 1}')
    (request,) = server.requests
    assert request.startswith(b"POST /x%20y?a=b HTTP/1.1\r\n")
    assert b"authorization: Bearer t\r\n" in request
    assert request.endswith(b"\r\n\r\n{}")


def test_transport_reads_compressed_and_chunked_bodies(serve: Serve, transport: RequestsTransport) -> None:
    packed = serve(_whole(gzip.compress(b'{"id": 1}'), HEAD + b"Content-Encoding: gzip\r\n"))
    assert transport.exchange("GET", packed.url(), {}, None)[2] == b'{"id": 1}'
    answer = HEAD + b'Transfer-Encoding: chunked\r\n\r\n4\r\n{"id\r\n5\r\n": 1}\r\n0\r\n\r\n'
    assert transport.exchange("GET", serve(_then_close(answer)).url(), {}, None)[2] == b'{"id": 1}'


def test_transport_reuses_its_connection(serve: Serve, transport: RequestsTransport) -> None:
    """Many calls need one connection, including mutating calls and refused ones."""
    server = serve(_whole(b"{}", HEAD.replace(b"200 OK", b"404 Not Found")))
    for method in ("GET", "POST", "GET", "DELETE", "PATCH"):
        assert transport.exchange(method, server.url(), {}, b"{}" if method != "GET" else None)[0] == 404
    assert (server.connections, len(server.requests)) == (1, 5)


def test_transport_opens_another_connection_after_the_old_one_was_closed(
    serve: Serve, transport: RequestsTransport
) -> None:
    """No call fails if the server closed the reused connection in the meantime."""
    closed = threading.Event()

    def close(connection: socket.socket, request: bytes) -> None:
        _then_close(HEAD + b"Content-Length: 2\r\n\r\n{}")(connection, request)
        closed.set()

    server = serve(close)
    for _ in range(3):
        assert transport.exchange("POST", server.url(), {}, b"{}")[2] == b"{}"
        assert closed.wait(60)
        closed.clear()
    assert (server.connections, len(server.requests)) == (3, 3)


def test_transport_is_used_by_many_threads(serve: Serve, transport: RequestsTransport) -> None:
    """Each thread gets its own response."""

    def echo(connection: socket.socket, request: bytes) -> None:
        _whole(request.split(b" ", 2)[1])(connection, request)

    server, found = serve(echo), dict[int, bytes]()

    def run(n: int) -> None:
        for _ in range(5):
            found[n] = transport.exchange("GET", server.url(f"/{n}"), {}, None)[2]

    threads = [threading.Thread(target=run, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: b"/%d" % n for n in range(16)}
    assert server.connections <= 16


def test_transport_refused_connection_means_nothing_was_sent(transport: RequestsTransport) -> None:
    """Without a listener it is certain that nothing took effect."""
    (port,) = free_ports(1)
    with pytest.raises(NothingSentError, match="no connection"):
        transport.exchange("POST", f"http://127.0.0.1:{port}/x", {}, b"{}")


def test_transport_unknown_host_means_nothing_was_sent(
    transport: RequestsTransport, monkeypatch: pytest.MonkeyPatch
) -> None:

    def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(NothingSentError):
        transport.exchange("POST", "http://fabric.invalid/x", {}, b"{}")


LOST: dict[str, Handler] = {
    "reset before the answer": _reset,
    "closed before the answer": _then_close(b""),
    "status cut": _then_close(b"HTTP/1."),
    "body cut": _then_close(HEAD + b'Content-Length: 100\r\n\r\n{"id": 1}'),
    "body absent": _then_close(HEAD + b"Content-Length: 100\r\n\r\n"),
    "chunk cut": _then_close(HEAD + b'Transfer-Encoding: chunked\r\n\r\n64\r\n{"id": 1}'),
    "last chunk absent": _then_close(HEAD + b'Transfer-Encoding: chunked\r\n\r\n9\r\n{"id": 1}\r\n'),
    "chunk garbled": _then_close(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
    "compression garbled": _whole(b"not gzip", HEAD + b"Content-Encoding: gzip\r\n"),
    "no HTTP": _then_close(b"SSH-2.0-OpenSSH\r\n"),
}


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_transport_broken_response_is_lost_and_nothing_is_repeated(
    serve: Serve, transport: RequestsTransport, fault: str, method: str
) -> None:
    """The request was received once, and its response does not count as complete."""
    server = serve(LOST[fault])
    with pytest.raises(AnswerLostError) as caught:
        transport.exchange(method, server.url("/secret-id"), {"authorization": "Bearer t"}, b"{}")
    assert len(server.requests) == 1
    assert "secret-id" not in str(caught.value)


def test_transport_response_that_does_not_come_is_lost(serve: Serve) -> None:
    """The wait for a silent server, before or within its response, is bounded."""
    for silent in (lambda c, r: None, lambda c, r: c.sendall(HEAD + b"Content-Length: 9\r\n\r\n{")):
        server = serve(silent)
        with pytest.raises(AnswerLostError):
            RequestsTransport(20.0, 0.2).exchange("POST", server.url(), {}, b"{}")
        until = time.monotonic() + 20
        while not server.requests and time.monotonic() < until:
            time.sleep(0.01)
        assert len(server.requests) == 1


def test_transport_response_beyond_the_limit_is_lost(
    serve: Serve, transport: RequestsTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless response does not fill the memory, not even after decompression; one of exactly the limit is
    complete."""
    monkeypatch.setattr(fabric_transport, "MAX_ANSWER_BYTES", 1000)
    assert len(transport.exchange("GET", serve(_whole(b"x" * 1000)).url(), {}, None)[2]) == 1000
    bomb = _whole(gzip.compress(b"x" * 1_000_000), HEAD + b"Content-Encoding: gzip\r\n")
    for handler in (_whole(b"x" * 1001), bomb):
        with pytest.raises(AnswerLostError, match="larger than 1000 bytes"):
            transport.exchange("GET", serve(handler).url(), {}, None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_transport_does_not_follow_a_redirect(serve: Serve, transport: RequestsTransport, status: int) -> None:
    """The token must not go to another host, so a redirect is a response like any other."""
    other = serve(_whole(b"{}"))
    head = b"HTTP/1.1 %d Moved\r\nLocation: %s\r\n" % (status, other.url().encode())
    server = serve(_whole(b"", head))
    assert transport.exchange("GET", server.url(), {"authorization": "Bearer t"}, None)[0] == status
    assert (len(server.requests), other.connections) == (1, 0)


def test_transport_sends_no_cookie_and_no_netrc(
    serve: Serve, transport: RequestsTransport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing that a server or the machine's environment suggests replaces the token."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = serve(_whole(b"{}"))
    transport.exchange("GET", server.url(), {"authorization": "Bearer t"}, None)
    transport.exchange("GET", server.url(), {}, None)
    assert b"authorization: bearer t" in server.requests[0].lower()
    assert b"authorization" not in server.requests[1].lower()


# --- TLS --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a self-signed certificate for loopback, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)
        .add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """Return the server's TLS context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_transport_untrusted_certificate_means_nothing_was_sent(
    serve: Serve, transport: RequestsTransport, tls: ssl.SSLContext
) -> None:
    """No token is sent to a server that cannot prove its identity."""
    server = serve(_whole(b"{}"), tls)
    with pytest.raises(NothingSentError, match="certificate is not accepted"):
        transport.exchange("POST", server.url(), {"authorization": "Bearer t"}, b"{}")
    assert server.requests == []


def test_transport_connection_that_breaks_within_tls_is_a_lost_response(
    serve: Serve,
    transport: RequestsTransport,
    tls: ssl.SSLContext,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A TLS error after the request was received does not mean that nothing was sent."""

    def garble(connection: socket.socket, _: bytes) -> None:
        raw = socket.socket(fileno=connection.detach())
        raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)  # A record that no key can decrypt.
        raw.close()

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    good = serve(_whole(b"{}"), tls)
    assert transport.exchange("POST", good.url(), {}, b"{}")[0] == 200
    server = serve(garble, tls)
    with pytest.raises(AnswerLostError):
        transport.exchange("POST", server.url(), {}, b"{}")
    assert len(server.requests) == 1


# --- the client on top ------------------------------------------------------------------------------------------


class _Tokens:
    def token(self) -> str:
        return "t"

    def invalidate(self, token: str) -> None:
        return None


def test_client_over_sockets_sends_a_mutating_call_once(serve: Serve, transport: RequestsTransport) -> None:
    """After a reset before the response the server has seen the call once, and the error says that it may have taken
    effect."""
    server = serve(_reset)
    fabric = FabricClient(server.url("").removesuffix("/x"), _Tokens(), transport, sleep=lambda _: None)
    with pytest.raises(FabricAmbiguousError):
        fabric.send("POST", "/workspaces", {"displayName": "x"})
    assert len(server.requests) == 1
    with pytest.raises(FabricTransientError):
        fabric.get("/workspaces")
    assert len(server.requests) == 1 + 3
