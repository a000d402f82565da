"""The functions host as a process of its own, and the requests that tests send to it."""

import copy
import http.client
import json
import os
import secrets
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from azure.storage.queue import QueueClient

from local import azurite
from shared.domain.variables import WORKER_THREADS
from tests import warm
from tests.waiting import PATIENCE_SECONDS, eventually

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "tests" / "host" / "sample_app"
NEVER = "0 0 0 1 1 *"
"""A schedule that does not fire during a test."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        """Return the body, decoded."""
        return json.loads(self.text)


class Served:
    """A copy of the sample app on a host, with ports, queues, state and keys of its own, which a restart keeps."""

    def __init__(
        self,
        folder: Path,
        storage: str,
        *,
        lease: str = "30",
        drain: str = "10",
        environment: dict[str, str] | None = None,
        configuration: dict[str, Any] | None = None,
        source: str | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.options = options
        self.folder, self.storage, self.lease, self.drain = folder, storage, lease, drain
        self.app = folder / "app"
        shutil.copytree(SAMPLE, self.app, ignore=shutil.ignore_patterns("__pycache__"))
        if source is not None:
            (self.app / "function_app.py").write_text(source)
        self.configuration = json.loads((self.app / "host.json").read_text())
        for path, value in (configuration or {}).items():
            *above, last = path.split(".")
            at = self.configuration
            for name in above:
                at = at.setdefault(name, {})
            if value is None:
                at.pop(last, None)
            else:
                at[last] = value
        (self.app / "host.json").write_text(json.dumps(self.configuration))
        self.prefix = f"t{secrets.token_hex(4)}"
        self.trace_file = folder / "trace.jsonl"
        self.trace_file.touch()
        self.log_file = folder / "host.log"
        self.environment = {
            **os.environ,
            "AzureWebJobsStorage": storage,
            "PREFIX": self.prefix,
            "TRACE": str(self.trace_file),
            "TICK": NEVER,
            "SPAN": "1.00:00:00",
            "PYTHON_THREADPOOL_THREAD_COUNT": str(WORKER_THREADS),
            "PYTHONUNBUFFERED": "1",
            **(environment or {}),
        }
        self.state = True
        (self.port,) = azurite.free_ports(1)
        self.process: warm.Process | None = None

    def of_group(self, group: str) -> Self:
        """Return another host of the same app, with the same storage, keys and task hub, for one group of functions."""
        twin = copy.copy(self)
        (twin.port,) = azurite.free_ports(1)
        twin.process, twin.state = None, False
        twin.log_file = self.folder / f"{group.replace(':', '-')}.log"
        twin.environment = {**self.environment, "FUNCTIONS_TARGET_GROUP": group}
        twin.options = [*self.options, "--hub", str(self.folder / "hub.sqlite")]
        return twin

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.kill()

    def spawn(self) -> warm.Process:
        """Start the process without waiting for it."""
        arguments = [str(self.app), "--port", str(self.port)]
        arguments += ["--keys", str(self.folder / "keys.json"), "--queue-lease", self.lease]
        arguments += ["--drain", self.drain]
        arguments += ["--state", str(self.folder / "engine.sqlite")] if self.state else []
        arguments += self.options
        self.process = warm.start("local.functions_host", arguments, self.environment, self.log_file)
        return self.process

    def start(self) -> Self:
        """Start the process, and wait until it answers."""
        process = self.spawn()

        def answers() -> bool:
            assert process.poll() is None, self.log
            return azurite.is_listening(self.port) and self.http("GET", "/admin/host/ping").status == 200

        eventually(answers)
        return self

    def kill(self) -> None:
        """Send SIGKILL, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def terminate(self) -> int:
        """Send SIGTERM, and return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    @property
    def log(self) -> str:
        """Return what the host logged."""
        return self.log_file.read_text()

    @property
    def keys(self) -> dict[str, str]:
        """Return the function key (`default`) and the master key."""
        return json.loads((self.folder / "keys.json").read_text())

    def traces(self, *what: str, **facts: Any) -> list[dict[str, Any]]:
        """Return what the app's functions recorded."""
        lines = [json.loads(line) for line in self.trace_file.read_text().splitlines()]
        return [t for t in lines if t["what"] in what and all(t.get(k) == v for k, v in facts.items())]

    # HTTP

    def http(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, path, sent, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.getheaders()})
        finally:
            connection.close()

    # Queues

    def queue(self, name: str) -> QueueClient:
        """Return the client of a queue of this app, which exists."""
        client = QueueClient.from_connection_string(self.storage, f"{self.prefix}-{name}")
        eventually(lambda: _exists(client))
        return client

    def put(self, name: str, content: Any) -> None:
        """Put a message unchanged."""
        self.queue(name).send_message(content if isinstance(content, str) else json.dumps(content))

    def take(self, name: str, count: int) -> list[str]:
        """Wait for this many messages and remove them; return their texts, sorted."""
        client, found = self.queue(name), list[str]()

        def all_there() -> bool:
            for message in client.receive_messages(messages_per_page=32):
                found.append(message.content)
                client.delete_message(message)
            return len(found) >= count

        eventually(all_there)
        return sorted(found)

    def depth(self, name: str) -> int:
        """Return how many messages a queue has, visible or not."""
        return self.queue(name).get_queue_properties().approximate_message_count or 0

    # Durable

    def begin(self, orchestration: str, instance_id: str, given: Any = None) -> Answer:
        """Start an orchestration."""
        return self.http("POST", f"/api/start/{orchestration}/{instance_id}", json.dumps(given).encode())

    def instance(self, instance_id: str, method: str = "GET", rest: str = "", body: Any = None) -> Answer:
        """Send a request to the durable extension's webhooks."""
        path = f"/runtime/webhooks/durabletask/instances/{instance_id}{rest}"
        return self.http(method, path, body, {"x-functions-key": self.keys["master"]})

    def status(self, instance_id: str) -> str:
        """Return an instance's runtime status."""
        answer = self.instance(instance_id)
        return answer.json["runtimeStatus"] if answer.status != 404 else ""

    def ended(self, instance_id: str) -> dict[str, Any]:
        """Wait until the instance has ended, and return its status."""
        return eventually(lambda: a.json if (a := self.instance(instance_id)).status == 200 else {})

    def output(self, instance_id: str) -> Any:
        """Wait until the instance has succeeded, and return its output."""
        ended = self.ended(instance_id)
        assert ended["runtimeStatus"] == "Completed", ended
        return ended["output"]

    def send(self, instance_id: str, event: str, data: Any = None) -> Answer:
        """Raise an event through the webhook."""
        return self.instance(instance_id, "POST", f"/raiseEvent/{event}", data)


def _exists(client: QueueClient) -> bool:
    try:
        client.get_queue_properties()
    except Exception:
        return False
    return True
