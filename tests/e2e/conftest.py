"""Stacks for end-to-end tests: the real app on the embedded host, Azurite and the simulator, all on free ports."""

import contextlib
import json
import os
import secrets
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests
from azure.core.exceptions import ResourceExistsError
from azure.storage.queue import QueueClient

from local.stack import Stack
from tests import command_line
from tests.conftest import require
from tests.waiting import PATIENCE, PATIENCE_SECONDS
from tests.warm import WarmStack

QUICK = {
    "STEP_LEASE_SECONDS": "4",
    "WATCHDOG_SECONDS": "2",
    "LATE_CALL_SECONDS": "1",
    "RESTART_GRACE_SECONDS": "2",
    "TARGET_RETRY_SECONDS": "1",
    "SWEEP_SCHEDULE": "*/3 * * * * *",
    "RETRY_BASE_SECONDS": "0.5",
    "BREAKER_OPEN_SECONDS": "2",
    "BREAKER_CACHE_SECONDS": "0.5",
    "AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:00:01",
    "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:01",
}
"""Leases and watchdogs in seconds instead of minutes, so that recovery happens within a test. Idle queues are polled
less often, because with several stacks on one machine that polling is a tenth of its work."""


class Running:
    """A stack that is up, and how a test uses it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    @property
    def environment(self) -> dict[str, str]:
        """The environment that a program needs to reach this stack's storage and its Fabric."""
        return {
            **os.environ,
            "AzureWebJobsStorage": self.stack.connection_string,
            "FABRIC_API_BASE_URL": self.stack.fabric_url,
            "FABRIC_OPERATION_HOSTS": f"127.0.0.1:{self.stack.ports['operations']}",
            "FABRIC_CREDENTIAL": "simulator",
        }

    def cli(
        self, *arguments: str, text: str = "", check: int | None = None, environment: Mapping[str, str] | None = None
    ) -> command_line.Done:
        """Run the command line against this stack."""
        environment = {**self.environment, **(environment or {})}
        done = command_line.run(*arguments, environment=environment, text=text)
        if check is not None:
            assert done.returncode == check, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def ended(self, deployment_id: str, timeout: str = PATIENCE) -> dict[str, Any]:
        """Follow the deployment until it ends, and return the last JSON line."""
        done = self.cli("follow", deployment_id, "--json", "--timeout", timeout)
        return json.loads(done.stdout.strip().splitlines()[-1])

    def fabric(self, path: str, body: Any = None) -> Any:
        """Send a request to the simulator's control API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.stack.fabric_url}/_sim/{path}", data=data)  # noqa: S310 - our own
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - our own
            return json.loads(answer.read())

    def vault(self, path: str, body: Any = None) -> Any:
        """Send a request to the control API of the simulated Key Vault and Entra."""
        url, trusted = f"{self.stack.vault_url}/_sim/{path}", str(self.stack.vault_ca_file)
        answer = requests.request(
            "GET" if body is None else "POST", url, json=body, verify=trusted, timeout=PATIENCE_SECONDS
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def put(self, queue: str, content: bytes) -> None:
        """Put raw bytes on a queue, as any client might."""
        client = QueueClient.from_connection_string(self.stack.connection_string, queue)
        with contextlib.suppress(ResourceExistsError):
            client.create_queue()
        client.send_message(content.decode("latin-1"))

    def posts(self, ending: str) -> list[dict[str, Any]]:
        """Return the POSTs to paths with that ending that had an effect."""
        calls = self.fabric("calls")
        return [c for c in calls if c["method"] == "POST" and c["path"].endswith(ending) and c["effect"]]

    def names(self) -> dict[str, list[str]]:
        """Return the names of the items that Fabric has, by workspace."""
        return {
            w["displayName"]: sorted(i["displayName"] for i in w["items"]) for w in self.fabric("state")["workspaces"]
        }

    def http(self, path: str, key: str = "", method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
        """Send a request to the host."""
        request = urllib.request.Request(self.stack.functions_url + path, method=method, data=body)  # noqa: S310
        request.add_header("content-type", "application/json")
        if key:
            request.add_header("x-functions-key", key)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - our own
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def make_stack(**changes: Any) -> Stack:
    """Return a stack with a name of its own."""
    require(shutil.which("npm") is not None, "the embedded stack needs Node.js and npm")
    environment = {**os.environ, **QUICK, **changes.pop("environment", {})}
    environment.pop("FABRIC_API_BASE_URL", None)
    return WarmStack(name=f"test-{secrets.token_hex(4)}", environment=environment, queue_lease_seconds="5", **changes)


def finish(stack: Stack) -> None:
    """Stop the stack and remove its data."""
    stack.down()
    shutil.rmtree(stack.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def shared_stack() -> Iterator[Running]:
    """Start one stack for the tests of a module that do not damage it."""
    stack = make_stack()
    try:
        yield Running(stack.up())
    finally:
        finish(stack)


@pytest.fixture
def own_stack() -> Iterator[Running]:
    """Start a stack for a test that kills parts of it."""
    stack = make_stack(profile="realistic", time_scale="4")
    try:
        yield Running(stack.up())
    finally:
        finish(stack)
