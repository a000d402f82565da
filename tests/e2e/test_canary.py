"""Law 5 over the whole app: secrets are planted at every entry, deployments succeed and fail in every way that
involves secrets, everything logs at its most verbose level, and then no secret is found outside memory."""

import base64
import json
import re
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient

from local.ingestion import Ingestion, connection_string, serving
from local.key_vault import certificate
from local.stack import APPLICATION, Stack
from tests.e2e.canaries import dumps, forms, leaks
from tests.e2e.conftest import Running, finish, make_stack
from tests.e2e.test_submission import item, lakehouse, manifest, written
from tests.registered import functions
from tests.waiting import PATIENCE, PATIENCE_SECONDS, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.law(5)]
NAME = "azure-client-secret"


def a_secret(prefix: str) -> str:
    """Return a secret like Entra's: with characters that encodings change, and too long to occur by chance."""
    return f"{prefix}~{secrets.token_urlsafe(18)}+/={secrets.token_hex(4)}"


@dataclass
class World:
    """A stack with a vault, its planted secrets, and its answers."""

    running: Running
    canaries: dict[str, str]
    ingestion: Ingestion
    answers: list[tuple[str, bytes]] = field(default_factory=lambda: list[tuple[str, bytes]]())

    def vault(self, path: str, body: Any = None) -> Any:
        """Send a request to the control API of the simulated Key Vault and Entra."""
        return self.running.vault(path, body)

    def accept(self, *names: str, certificates: tuple[str, ...] = ()) -> None:
        """Set what Entra accepts from now on, by the canaries' names."""
        known = {"secrets": [self.canaries[name] for name in names], "certificates": list(certificates)}
        self.vault("clients", {APPLICATION: known})

    def can_sign_in(self) -> bool:
        """Return what the app reports of its identity for Fabric."""
        _, body = self.running.http("/api/health/ready")
        return json.loads(body)["checks"]["fabric_identity"][0]["status"] == "pass"

    def wait_until_it_cannot_sign_in(self) -> None:
        """Wait until its last token has expired, which may take the token's whole short life."""
        eventually(lambda: not self.can_sign_in())
        self.ask("/api/health/ready")

    def cli(self, *arguments: str, text: str = "", **environment: str) -> tuple[int, str]:
        """Run the command line, and keep all its output."""
        done = self.running.cli(*arguments, text=text, environment=environment)
        self.answers += [(f"stdout of {arguments[0]}", done.stdout.encode())]
        self.answers += [(f"stderr of {arguments[0]}", done.stderr.encode())]
        return done.returncode, done.stdout

    def deploy(self, deployment_id: str, *steps: dict[str, Any], timeout: str = PATIENCE) -> dict[str, Any]:
        """Submit a deployment, follow it until it ends, and return the last line of JSON."""
        content = json.dumps({"deployment_id": deployment_id, "manifest": manifest(deployment_id, *steps)})
        self.running.put("deployments", content.encode())
        _, out = self.cli("follow", deployment_id, "--json", "--timeout", timeout)
        return json.loads(out.strip().splitlines()[-1])

    def ask(self, path: str, method: str = "GET", key: str = "", in_query: bool = False) -> None:
        """Send a request, and keep the status, headers and body."""
        url = f"{self.running.stack.functions_url}{path}" + (f"?code={key}" if in_query else "")
        request = urllib.request.Request(url, method=method, data=b"{}" if method == "POST" else None)  # noqa: S310 - our own address
        if key and not in_query:
            request.add_header("x-functions-key", key)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - our own address
                text = f"{answer.status} {answer.headers}".encode() + answer.read()
        except urllib.error.HTTPError as error:
            text = f"{error.code} {error.headers}".encode() + error.read()
        self.answers.append((f"{method} {path}", text))

    def everything(self) -> Iterator[tuple[str, bytes]]:
        """Yield everything that was written, answered or sent."""
        yield from self.answers
        yield "telemetry", json.dumps(self.ingestion.envelopes).encode()
        yield from dumps(self.running.stack)


def routes() -> list[tuple[str, str]]:
    """Return the method and path of every HTTP trigger of the app."""
    found: list[tuple[str, str]] = []
    for function in functions():
        trigger = cast(dict[str, Any], json.loads(str(function)))["bindings"]
        for binding in (b for b in trigger if b["type"] == "httpTrigger"):
            for method in binding.get("methods") or ["GET"]:
                found.append((str(getattr(method, "value", method)).upper(), f"/api/{binding['route']}"))
    return found


@cache
def pair() -> tuple[str, str]:
    """Return the app's certificate and its private key."""
    return certificate.make("the app's certificate")


@pytest.fixture
def world() -> Iterator[World]:
    """Start a world with all secrets planted."""
    canaries = {
        "client secret": a_secret("aB8"),
        "rotated client secret": a_secret("bC9"),
        "secret that Entra refuses": a_secret("cD7"),
        "client secret in the environment": a_secret("dE6"),
        "identity header": a_secret("eF5").replace("=", ""),
        "private key": pair()[1].splitlines()[5],
        "bearer token in Fabric's message": a_secret("fG4"),
        "account key in Fabric's message": base64.b64encode(secrets.token_bytes(48)).decode(),
        "account key of a connection string": base64.b64encode(secrets.token_bytes(64)).decode(),
    }
    environment = {
        "LOG_LEVEL": "DEBUG",
        "AZURE_CLIENT_SECRET": canaries["client secret in the environment"],
        "IDENTITY_HEADER": canaries["identity header"],
        "SECRET_CACHE_SECONDS": "2",
        "BREAKER_FAILURES": "0",
        "HEALTH_CACHE_SECONDS": "0",
    }
    with serving() as (ingestion, port):
        environment |= {
            "FEATURE_USE_TELEMETRY": "true",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": connection_string(port),
        }
        yield from planted(make_stack(has_vault=True, has_storage=True, environment=environment), canaries, ingestion)


def planted(stack: Stack, canaries: dict[str, str], ingestion: Ingestion) -> Iterator[World]:
    """Start the stack, yield its world, and stop it."""
    try:
        stack.up()
        canaries["storage account key"] = dict(p.split("=", 1) for p in stack.connection_string.split(";") if p)[
            "AccountKey"
        ]
        canaries["function key"], canaries["master key"] = stack.function_key, stack.master_key
        world = World(Running(stack), canaries, ingestion)
        world.vault("secrets", {"name": NAME, "value": canaries["client secret"]})
        world.vault("secrets", {"name": "fabric-certificate", "value": pair()[1] + pair()[0]})
        world.accept("client secret")
        # Tokens and cached copies live for seconds, so each phase signs in again.
        world.vault("settings", {"life_seconds": 4})
        yield world
    finally:
        finish(stack)


def run_deployments_that_succeed_and_fail(world: World, folder: Path) -> None:
    """Run deployments through every entry of a secret."""
    canaries, fabric = world.canaries, world.running.fabric
    for name, expected in (("medallion", 0), ("failing", 1)):
        assert (
            world.cli("submit", f"examples/{name}.yaml", "--id", name, "--wait", "--timeout", PATIENCE)[0] == expected
        )
    part = {"path": "notebook-content.py", "text": "# words\n" * 10_000}
    large = item("large", "Notebook")
    large["with"]["definition"] = {"parts": [part]}
    file = written(folder, manifest("by-blob", large))
    assert world.cli("submit", file, "--id", "by-blob", "--wait", "--timeout", PATIENCE)[0] == 0

    # Fabric refuses, and its message quotes secrets.
    quoted = canaries["bearer token in Fabric's message"], canaries["account key in Fabric's message"]
    message = f"Authorization: Bearer {quoted[0]} for AccountName=x;AccountKey={quoted[1]};EndpointSuffix=y"
    for status, code in ((401, "Unauthorized"), (403, "InsufficientPrivileges"), (400, "InvalidInput")):
        body = {"errorCode": code, "message": message, "moreDetails": [{"errorCode": "x", "message": message}]}
        rule = {"match": {"method": "POST", "path": ".*/lakehouses"}, "action": {"status": status, "body": body}}
        fabric("faults", [rule])
        assert world.deploy(f"refused-{status}", lakehouse("bronze"))["exit_code"] == 1
    fabric("faults", [])

    # The secret is rotated, and the old one refused at once.
    world.vault("secrets", {"name": NAME, "value": canaries["rotated client secret"]})
    world.accept("rotated client secret")
    issued = len(world.vault("tokens"))
    eventually(lambda: world.can_sign_in() and len(world.vault("tokens")) > issued + 1)
    assert world.deploy("rotated")["exit_code"] == 0

    # The vault is unavailable, and no copy or token is left: the step waits instead of failing.
    world.vault("faults", [{"match": {"path": "/secrets/.*"}, "action": {"status": 503}}])
    world.wait_until_it_cannot_sign_in()
    before = len(world.vault("calls"))
    content = {"deployment_id": "patient", "manifest": manifest("patient")}
    world.running.put("deployments", json.dumps(content).encode())
    eventually(lambda: any(call[2] == 503 for call in world.vault("calls")[before:]))
    world.vault("faults", [])
    assert world.running.ended("patient")["exit_code"] == 0

    # The secret in the vault is wrong too, and Entra quotes the secret that it received.
    world.vault("secrets", {"name": NAME, "value": canaries["secret that Entra refuses"]})
    world.vault("settings", {"echoes": True})
    world.accept()
    world.wait_until_it_cannot_sign_in()
    assert world.deploy("wrong")["exit_code"] != 0
    world.accept("secret that Entra refuses")
    eventually(world.can_sign_in)

    # The identity may not read the vault; then a certificate replaces the secret.
    world.vault("settings", {"forbidden": True})
    world.wait_until_it_cannot_sign_in()
    assert world.deploy("forbidden")["exit_code"] != 0
    world.vault("settings", {"forbidden": False})
    world.accept(certificates=(pair()[0],))
    stack = world.running.stack
    stack.kill_host()
    stack.environment = {**stack.environment, "FABRIC_CLIENT_CERTIFICATE_NAME": "Fabric.Certificate"}
    stack.start_host()
    assert world.deploy("certified", lakehouse("bronze"))["exit_code"] == 0


def ask_everything(world: World) -> None:
    """Call every route with and without a key, run every command, and use wrong connection strings."""
    stack = world.running.stack
    for method, route in routes():
        path = re.sub(r"\{[^}]*\}", "medallion", route)
        for key in ("", stack.function_key, "no-such-key"):
            world.ask(path, method, key)
        world.ask(path, method, stack.function_key, in_query=True)
    world.ask("/admin/host/status", key=stack.master_key)
    world.ask("/runtime/webhooks/durabletask/instances/medallion", key=stack.master_key, in_query=True)
    environment = {"AZURE_CLIENT_SECRET": world.canaries["client secret in the environment"]}
    _, usage = world.cli("--help", **environment)
    commands = re.findall(r"^  ([a-z][a-z-]+)  ", usage, re.MULTILINE)
    assert {"submit", "follow", "list", "audit"} <= set(commands)
    for command in commands:
        world.cli(command, "--help", **environment)
    for arguments in (["list"], ["list", "--json"], ["audit", "refused-403"], ["audit", "wrong", "--json"]):
        world.cli(*arguments, **environment)
    key = world.canaries["account key of a connection string"]
    wrong = stack.connection_string.replace(world.canaries["storage account key"], key)
    for connection in (wrong, wrong.replace("AccountName", "Name"), f"AccountKey={key}"):
        code, _ = world.cli("list", "--json", AzureWebJobsStorage=connection)
        assert code != 0


def test_planted_secrets_are_found_only_in_memory(world: World, tmp_path: Path) -> None:
    """No table, queue, blob, log line, file, HTTP answer or CLI output contains a secret; and the search would find
    it if it did."""
    run_deployments_that_succeed_and_fail(world, tmp_path)
    ask_everything(world)
    stack = world.running.stack
    tokens = world.vault("tokens")
    assert len(set(tokens)) > 3
    canaries = world.canaries | {f"token {n}": token for n, token in enumerate(sorted(set(tokens)))}
    everything = list(world.everything())
    places = [place for place, _ in everything]
    for expected in (
        "table journal",
        "blob payloads/",
        "file functions.log",
        "file engine.sqlite",
        "telemetry",
        "GET /api/",
        "stdout",
    ):
        assert any(place.startswith(expected) for place in places), expected
    kinds = {envelope["data"]["baseType"] for envelope in world.ingestion.envelopes}
    assert {"EventData", "RemoteDependencyData"} <= kinds
    log = (stack.folder / "functions.log").read_text()
    assert " DEBUG " in log, "the log is not at its loudest"
    assert f"/secrets/{NAME}" in log, "the vendor's loggers are not at their loudest"
    assert leaks(canaries, everything) == []

    # The search can fail: a secret planted in each kind of place is found there, in each form.
    secret = canaries["client secret"]
    tables = TableServiceClient.from_connection_string(stack.connection_string)
    row = {"PartitionKey": "planted", "RowKey": "planted", "text": f"x{secret}y"}
    tables.get_table_client("journal").create_entity(row)
    queue = QueueClient.from_connection_string(stack.connection_string, "planted")
    queue.create_queue()
    queue.send_message(secret[::-1])
    blobs = BlobServiceClient.from_connection_string(stack.connection_string)
    encoded = base64.b64encode(f"{{{secret}}}".encode())
    blobs.get_blob_client("payloads", "planted").upload_blob(encoded)
    with (stack.folder / "functions.log").open("ab") as stream:
        stream.write(forms(canaries["token 0"])["percent-encoded"])
    found = leaks(canaries, world.everything())
    for expected in (
        "client secret (plain) in table journal",
        "client secret (reversed) in queue planted",
        "client secret (base64 at 1) in blob payloads/planted",
        "token 0 (plain) in file functions.log",
    ):
        assert expected in found
