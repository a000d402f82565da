"""`python -m local.fabric_simulator` as a real process, called over HTTP."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.waiting import PATIENCE_SECONDS, eventually

TOKEN = "Bearer sim.00000000-0000-0000-0000-000000000001.99999999999"
READY = re.compile(r"Fabric simulator \((\w+)\) on http://127\.0\.0\.1:(\d+), operations on port (\d+)\n")


class Running:
    """A simulator process and its two ports."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "local.fabric_simulator", "--port", "0", *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        ready = READY.fullmatch(line)
        assert ready, line
        self.profile, self.port, self.operations_port = ready[1], int(ready[2]), int(ready[3])

    def stop(self) -> int:
        """End the process as an operator would, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def raw(
        self, method: str, path: str, body: bytes | None = None, port: int = 0
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Authorization": TOKEN})
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()

    def call(self, method: str, path: str, body: Any = None, port: int = 0) -> tuple[int, Any]:
        """Send a request with JSON both ways."""
        status, _, data = self.raw(method, path, None if body is None else json.dumps(body).encode(), port)
        return status, json.loads(data) if data else None


@pytest.fixture(scope="module")
def process() -> Iterator[Running]:
    """Start one process for the tests of this module."""
    running = Running()
    yield running
    assert running.stop() == 0


@pytest.fixture
def simulator(process: Running) -> Running:
    """Return the process in its initial state."""
    assert process.call("POST", "/_sim/reset", {"seed": 1}) == (200, {})
    return process


def test_server_prints_where_it_listens(simulator: Running) -> None:
    """Port 0 takes two free ports, and one line names both."""
    assert simulator.profile == "instant"
    assert simulator.port != simulator.operations_port
    assert min(simulator.port, simulator.operations_port) > 0


def test_server_serves_the_model_and_its_control(simulator: Running) -> None:
    """A created item is in the state, a call is in the calls, and a reset empties both."""
    status, headers, data = simulator.raw("POST", "/v1/workspaces", b'{"displayName": "w"}')
    assert status == 201
    workspace = json.loads(data)["id"]
    assert headers["Location"] == f"http://127.0.0.1:{simulator.port}/v1/workspaces/{workspace}"
    assert headers["RequestId"]
    assert simulator.call("GET", "/v1/workspaces?roles=Admin")[1]["value"][0]["id"] == workspace
    _, state = simulator.call("GET", "/_sim/state")
    assert [w["displayName"] for w in state["workspaces"]] == ["w"]
    _, calls = simulator.call("GET", "/_sim/calls")
    assert [(c["n"], c["method"], c["path"], c["query"], c["status"]) for c in calls] == [
        (1, "POST", "/v1/workspaces", {}, 201),
        (2, "GET", "/v1/workspaces", {"roles": "Admin"}, 200),
    ]
    assert [c["n"] for c in simulator.call("GET", "/_sim/calls?after=1")[1]] == [2]
    assert [c["n"] for c in simulator.call("GET", "/_sim/calls?after=-1")[1]] == [2]
    assert simulator.call("POST", "/_sim/settings", {"page_size": 3})[1]["page_size"] == 3
    seeded = {"workspaces": [{"displayName": "s", "items": [{"type": "Notebook", "displayName": "n"}]}]}
    assert simulator.call("POST", "/_sim/seed", seeded)[1]["workspaces"][0]["displayName"] == "s"
    assert simulator.call("POST", "/_sim/reset") == (200, {})
    assert simulator.call("GET", "/_sim/state")[1]["workspaces"] == []
    assert simulator.call("GET", "/_sim/calls")[1] == []
    assert simulator.call("GET", "/_sim/settings")[1]["page_size"] == 1000


def test_server_serves_operations_on_the_other_listener(simulator: Running) -> None:
    """A 202's Location names the second port, and that port answers it."""
    workspace = simulator.call("POST", "/v1/workspaces", {"displayName": "w"})[1]["id"]
    status, headers, body = simulator.raw("POST", f"/v1/workspaces/{workspace}/notebooks", b'{"displayName": "n"}')
    assert (status, body, headers["Retry-After"]) == (202, b"null", "20")
    path = f"/v1/operations/{headers['x-ms-operation-id']}"
    assert headers["Location"] == f"http://127.0.0.1:{simulator.operations_port}{path}"
    assert simulator.call("GET", path, port=simulator.operations_port)[1]["status"] == "Succeeded"
    result = simulator.call("GET", f"{path}/result", port=simulator.operations_port)
    assert (result[0], result[1]["displayName"]) == (200, "n")


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe\x00", b"[" * 100_000, b"7", b'"x"', b"null"])
@pytest.mark.parametrize("word", ["faults", "settings", "seed", "reset"])
def test_server_control_refuses_bad_json(simulator: Running, word: str, body: bytes) -> None:
    """A body that is not JSON, or not the expected JSON, is 400 with a reason."""
    status, _, data = simulator.raw("POST", f"/_sim/{word}", body)
    assert status == 400
    assert json.loads(data)["error"]


def test_server_refuses_unknown_requests(simulator: Running) -> None:
    """Unknown control calls and routes are 404; a body that is not JSON is Fabric's 400; a missing token is 401."""
    assert simulator.call("GET", "/_sim/nothing")[0] == 404
    assert simulator.call("PUT", "/_sim/state")[0] == 404
    assert simulator.call("GET", "/_sim/calls?after=x")[0] == 400
    assert simulator.call("GET", "/v1/nothing")[1]["errorCode"] == "EndpointNotFound"
    status, headers, data = simulator.raw("POST", "/v1/workspaces", b"[" * 100_000)
    assert (status, json.loads(data)["errorCode"]) == (400, "InvalidInput")
    assert headers["x-ms-public-api-error-code"] == "InvalidInput"
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/v1/workspaces")
        assert connection.getresponse().status == 401


def send_and_receive(port: int, name: str) -> bytes:
    """Return the answer on a bare socket. Raises ConnectionResetError if the connection is reset."""
    body = json.dumps({"displayName": name}).encode()
    head = f"POST /v1/workspaces HTTP/1.1\r\nHost: x\r\nAuthorization: {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as line:
        line.sendall(head.encode() + body)
        return line.recv(4096)


@pytest.mark.parametrize("side", ["before", "after"])
def test_server_resets_the_connection_on_request(simulator: Running, side: str) -> None:
    """It is a real reset of the socket, not an orderly end. The effect happens or not as the rule says, and the next
    call succeeds."""
    rule = {"match": {"method": "POST", "path": "/v1/workspaces"}, "when": {"nth": 1}, "action": {"reset": side}}
    assert simulator.call("POST", "/_sim/faults", [rule])[0] == 200
    with pytest.raises(ConnectionResetError):
        send_and_receive(simulator.port, "w")
    names = [w["displayName"] for w in simulator.call("GET", "/_sim/state")[1]["workspaces"]]
    assert names == (["w"] if side == "after" else [])
    assert send_and_receive(simulator.port, "x").startswith(b"HTTP/1.1 201")
    assert simulator.call("GET", "/_sim/faults")[1][0]["injected"] == 1


def test_server_listens_on_loopback_only(simulator: Running) -> None:
    """No port answers on another address of this machine."""
    for port in (simulator.port, simulator.operations_port):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS):
            pass
        # 127.0.0.2 is this machine too: a socket bound to all addresses would answer it.
        with pytest.raises(OSError):  # noqa: PT011 - refused, unreachable or timed out, by platform
            socket.create_connection(("127.0.0.2", port), timeout=1).close()


def test_server_serves_64_requests_at_once(simulator: Running) -> None:
    """No answer is lost or mixed up."""
    rule = {"match": {"method": "POST"}, "action": {"delay_seconds": 0.2}}
    simulator.call("POST", "/_sim/faults", [rule])

    def create(i: int) -> tuple[int, Any]:
        return simulator.call("POST", "/v1/workspaces", {"displayName": f"w{i}"})

    with ThreadPoolExecutor(64) as pool:
        replies = list(pool.map(create, range(64)))
    assert [(status, body["displayName"]) for status, body in replies] == [(201, f"w{i}") for i in range(64)]
    assert len({body["id"] for _, body in replies}) == 64
    assert len(simulator.call("GET", "/_sim/state")[1]["workspaces"]) == 64


def test_server_takes_the_realistic_time_and_stops_on_sigterm() -> None:
    """The realistic profile waits, scaled; the page size is the configured one. SIGTERM ends it, although 64 calls
    wait for an answer that would take hours."""
    running = Running("--profile", "realistic", "--time-scale", "10", "--page-size", "1", "--seed", "3")
    try:
        assert running.profile == "realistic"
        began = time.monotonic()
        assert running.call("POST", "/v1/workspaces", {"displayName": "a"})[0] == 201
        assert time.monotonic() - began >= 0.5
        running.call("POST", "/v1/workspaces", {"displayName": "b"})
        assert len(running.call("GET", "/v1/workspaces")[1]["value"]) == 1
        settings = running.call("GET", "/_sim/settings")[1]
        assert (settings["quota_per_minute"], settings["name_reservation_seconds"]) == (500, 60.0)
        running.call("POST", "/_sim/faults", [{"action": {"delay_seconds": 7200}}])
        with ThreadPoolExecutor(64) as pool:
            waiting = [pool.submit(running.call, "GET", "/v1/workspaces") for _ in range(64)]
            eventually(lambda: running.call("GET", "/_sim/faults")[1][0]["matched"] == 64)
            assert running.stop() == 0
            assert all(one.exception(PATIENCE_SECONDS) is not None for one in waiting)
    finally:
        if running.process.poll() is None:
            running.process.kill()


@pytest.mark.parametrize("option", [["--time-scale", "0"], ["--profile", "fast"], ["--port", "x"]])
def test_server_refuses_options_that_make_no_sense(option: list[str]) -> None:
    """The exit code is 2, and a line names the option."""
    command = [sys.executable, "-m", "local.fabric_simulator", *option]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 2
    assert option[0] in done.stderr
