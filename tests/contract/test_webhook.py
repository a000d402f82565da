"""The webhook against a real server: what it sends, what counts as taken, and where it never goes."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from examples.notifications import receiver
from shared.adapters.webhook import Webhook
from shared.domain.errors import SecretNotFoundError, VaultUnavailableError
from shared.domain.secrets import Secret
from tests.fakes import START, FakeClock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = {"specversion": "1.0", "id": "d/deployment/4", "data": {"name": "Straße \N{GRINNING FACE}"}}


@dataclass
class Server:
    """A server that answers with one status."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict[str, str])
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list[tuple[str, dict[str, str], bytes]])
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    """Start a server on a free port."""
    known = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            known.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(known.status)
            for name, value in known.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    known.url = f"http://127.0.0.1:{running.server_address[1]}/hook?sig=x"
    yield known
    running.shutdown()
    running.server_close()


def webhook(server: Server, secret: str = SECRET) -> Webhook:
    """Return a webhook at the server's address."""
    return Webhook(server.url, lambda: Secret(secret), FakeClock().now)


def test_webhook_sends_a_signed_event_that_the_example_accepts(server: Server) -> None:
    """The path keeps its query; the receiver verifies the signature, and refuses another body, time or secret."""
    assert webhook(server).send("d/deployment/4", EVENT) is None
    [(path, headers, body)] = server.got
    assert path == "/hook?sig=x"
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert json.loads(body) == EVENT
    now = START.timestamp()
    assert receiver.is_genuine(SECRET, headers, body, now)
    assert not receiver.is_genuine(SECRET, headers, body + b" ", now)
    assert not receiver.is_genuine("whsec_AAAA", headers, body, now)
    assert not receiver.is_genuine(SECRET, headers, body, now + 3600)
    assert not receiver.is_genuine(SECRET, headers | {"webhook-id": "other"}, body, now)
    assert not receiver.is_genuine(SECRET, {}, body, now)
    for odd in ("v1,\xe9", "", "v1"):
        assert not receiver.is_genuine(SECRET, headers | {"webhook-signature": odd}, body, now)


@pytest.mark.parametrize(
    ("status", "may_pass"),
    [
        *((200, None), (202, None), (302, False), (307, False), (400, False), (404, False), (410, False)),
        *((408, True), (429, True), (500, True), (503, True)),
    ],
)
def test_webhook_status_decides_about_another_try(server: Server, status: int, may_pass: bool | None) -> None:
    """A redirect is not followed: the server is asked once. No message contains the address, which may be a secret."""
    server.status, server.headers = status, {"Location": f"{server.url}/elsewhere", "Retry-After": "120"}
    refusal = webhook(server).send("i", EVENT)
    assert (refusal.may_pass if refusal else None) is may_pass
    assert len(server.got) == 1
    assert refusal is None or "sig=" not in refusal.message
    assert refusal is None or not may_pass or refusal.retry_after_seconds == 120


@pytest.mark.parametrize(("text", "seconds"), [("Thu, 01 Jan 2099 00:00:00 GMT", 3600), ("soon", 0), ("-5", 0)])
def test_webhook_may_name_the_time_of_the_next_try(server: Server, text: str, seconds: float) -> None:
    """Retry-After is a number of seconds or a date (RFC 9110, 10.2.3); anything else counts as absent."""
    server.status, server.headers = 503, {"Retry-After": text}
    refusal = webhook(server).send("i", EVENT)
    assert refusal is not None
    assert refusal.retry_after_seconds == seconds


def test_webhook_that_does_not_answer_is_tried_again() -> None:
    refusal = Webhook("http://127.0.0.1:1/sig", lambda: Secret(SECRET), FakeClock().now).send("i", EVENT)
    assert refusal is not None
    assert refusal.may_pass
    assert "sig" not in refusal.message


@pytest.mark.parametrize("error", [SecretNotFoundError("notify-secret"), VaultUnavailableError("no answer")])
def test_webhook_without_its_secret_sends_nothing(server: Server, error: Exception) -> None:
    """An event that nobody could verify is not sent; the secret may come later."""

    def secret() -> Secret:
        raise error

    refusal = Webhook(server.url, secret, FakeClock().now).send("i", EVENT)
    assert refusal is not None
    assert refusal.may_pass
    assert server.got == []
    damaged = webhook(server, "whsec_!").send("i", EVENT)
    assert damaged is not None
    assert server.got == []
