"""Notifications with the real app: the webhook gets signed events, and a webhook that fails disturbs no deployment."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from examples.notifications import receiver
from tests.e2e.conftest import Running, finish, make_stack
from tests.e2e.test_submission import lakehouse, manifest, written
from tests.waiting import eventually

pytestmark = pytest.mark.e2e
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Hook:
    """A webhook on this machine; it answers 503 to the first events."""

    def __init__(self) -> None:
        self.failing = 1
        self.events: list[dict[str, Any]] = []
        self.forged: list[bytes] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                """Log nothing."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                if not receiver.is_genuine(SECRET, headers, body, int(headers["webhook-timestamp"])):
                    hook.forged.append(body)
                if hook.failing:
                    hook.failing -= 1
                    self.send_response(503)
                else:
                    hook.events.append(json.loads(body))
                    self.send_response(204)
                self.send_header("content-length", "0")
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_webhook_gets_a_signed_event_of_an_approval_and_of_the_end(hook: Hook, tmp_path: Path) -> None:
    """The first try is refused, and the event comes again; each event has its link, and no signature is wrong."""
    environment = {
        "NOTIFY_URL": f"http://{hook.address}/in?sig=x",
        "NOTIFY_HOSTS": hook.address,
        "NOTIFY_SECRET": SECRET,
        "NOTIFY_APP_URL": "https://app.example",
    }
    stack = make_stack(environment=environment)
    try:
        running = Running(stack.up())
        gate = {"id": "go", "kind": "approval", "needs": ["bronze"], "with": {"message": "Go live?"}}
        file = written(tmp_path, manifest("notify", lakehouse("bronze"), gate, labels={"pr": "7"}))
        running.cli("submit", file, "--id", "told", check=0)
        eventually(lambda: [event["type"].rpartition(".")[2] for event in hook.events] == ["approval_waiting"])
        running.cli("approve", "told", "go", "--wait", check=0)
        eventually(lambda: len(hook.events) == 2)
    finally:
        finish(stack)
    waiting, ended = hook.events
    assert waiting["data"]["approval"]["message"] == "Go live?"
    assert waiting["data"]["page"] == "https://app.example/api/dashboard#/deployments/told"
    assert (ended["type"], ended["data"]["state"]) == ("fabric-saga.deployment.ended", "succeeded")
    assert ended["data"]["labels"] == {"pr": "7"}
    assert hook.forged == []
