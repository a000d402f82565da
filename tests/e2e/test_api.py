"""Deployments over HTTP against the running app, with requests and with the command line."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.storage.queue import QueueClient

from tests import command_line
from tests.e2e.conftest import Running
from tests.e2e.test_submission import item, lakehouse, manifest, written
from tests.waiting import PATIENCE, PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.e2e


def ask(
    running: Running, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, key: str = ""
) -> tuple[int, Message, Any]:
    """Send a request with the function key."""
    content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{running.stack.functions_url}/api{path}", data=content, method=method)  # noqa: S310 - our own
    for name, value in {"x-functions-key": key or running.stack.function_key, **(headers or {})}.items():
        request.add_header(name, value)
    if body is not None and not (headers or {}).get("Content-Type"):
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - our own
            status, found, text = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        status, found, text = error.code, error.headers, error.read()
    return status, found, json.loads(text) if text else None


def followed(running: Running, path: str) -> tuple[dict[str, Any], int, int]:
    """Poll with the tag until the deployment ends. Return the last answer, how many answers were new, and how many
    were 304."""
    etag, known, fresh, same = "", dict[str, Any](), 0, 0
    until = time.monotonic() + PATIENCE_SECONDS
    while known.get("state") not in ("succeeded", "compensated", "cancelled", "rejected", "held"):
        assert time.monotonic() < until, known
        status, headers, body = ask(running, "GET", path.removeprefix("/api"), headers={"If-None-Match": etag})
        if status == 304:
            same += 1
        else:
            etag, known, fresh = headers["ETag"], body, fresh + 1
        time.sleep(0.02)
    return known, fresh, same


def test_api_submission_is_followed_by_its_tag_to_its_end(shared_stack: Running) -> None:
    """The answer is 202 with a location; a poll has a body only if something changed; Fabric has what was submitted."""
    body = manifest("over-http", lakehouse("bronze"))
    status, headers, answer = ask(shared_stack, "POST", "/deployments?id=over-http", body)
    assert (status, headers["Location"], headers["Retry-After"]) == (202, "/api/deployments/over-http", "2")
    end, fresh, same = followed(shared_stack, headers["Location"])
    assert (end["state"], end["manifest_hash"]) == ("succeeded", answer["manifest_hash"])
    assert [step["state"] for step in end["steps"]] == ["succeeded", "succeeded"]
    assert fresh >= 2
    assert same >= 1
    assert shared_stack.names()["over-http"] == ["bronze"]
    assert headers["Cache-Control"] == "no-store"


def test_api_submission_in_yaml_of_more_than_a_message_holds(shared_stack: Running) -> None:
    """Two hundred kilobytes are accepted and applied."""
    definition = {"parts": [{"path": "notebook-content.py", "payload": "eHh4" * 50_000, "payloadType": "InlineBase64"}]}
    step = item("big", "Notebook")
    step["with"]["definition"] = definition
    text = yaml.safe_dump(manifest("large-http", step)).encode()
    status, headers, _ = ask(
        shared_stack, "POST", "/deployments?id=large-http", text, headers={"Content-Type": "application/yaml"}
    )
    assert status == 202
    assert followed(shared_stack, headers["Location"])[0]["state"] == "succeeded"


def test_api_same_id_at_once_is_one_deployment(shared_stack: Running) -> None:
    """The id is sent over HTTP and through the queue: with the same manifest there is one workspace; with another
    one the answer is 409."""
    body = manifest("both-ways")
    before = len(shared_stack.posts("/v1/workspaces"))
    shared_stack.put("deployments", json.dumps({"deployment_id": "both-ways", "manifest": body}).encode())
    for _ in range(3):
        assert ask(shared_stack, "POST", "/deployments?id=both-ways", body)[0] == 202
    assert followed(shared_stack, "/api/deployments/both-ways")[0]["state"] == "succeeded"
    assert ask(shared_stack, "POST", "/deployments?id=both-ways", manifest("other"))[0] == 409
    with QueueClient.from_connection_string(shared_stack.stack.connection_string, "deployments") as queue:
        eventually(lambda: queue.get_queue_properties().approximate_message_count == 0)
    assert len(shared_stack.posts("/v1/workspaces")) == before + 1


def test_api_verbs_cancel_and_retire(shared_stack: Running) -> None:
    """A succeeded deployment is retired and its resources are deleted. Cancelling an ended one is 409 and names the
    verbs that are allowed."""
    _, headers, _ = ask(shared_stack, "POST", "/deployments?id=to-retire", manifest("to-retire"))
    followed(shared_stack, headers["Location"])
    status, _, answer = ask(shared_stack, "POST", "/deployments/to-retire/cancel", {})
    assert (status, answer["allowed"]) == (409, ["retire"])
    status, _, _ = ask(shared_stack, "POST", "/deployments/to-retire/retire", {"requested_by": "anna"})
    assert status == 202
    eventually(lambda: ask(shared_stack, "GET", "/deployments/to-retire")[2]["state"] == "compensated")
    assert "to-retire" not in shared_stack.names()
    entries = ask(shared_stack, "GET", "/deployments/to-retire/audit")[2]["items"]
    assert "anna (by key)" in {entry["actor"] for entry in entries}
    found: list[Any] = []
    query = "limit=3"
    while query:
        page = ask(shared_stack, "GET", f"/deployments/to-retire/audit?{query}")[2]
        found += page["items"]
        query = f"limit=3&cursor={page['next']}" if page["next"] else ""
    assert found == entries


def test_api_plan_reports_the_changes_and_makes_none(shared_stack: Running) -> None:
    status, _, answer = ask(shared_stack, "POST", "/plan", manifest("only-planned", lakehouse("bronze")))
    assert (status, answer["changes"]) == (200, 2)
    assert {step["action"] for step in answer["steps"]} == {"create"}
    assert "only-planned" not in shared_stack.names()


@pytest.mark.parametrize("key", ["wrong", "-"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/deployments"),
        ("POST", "/deployments?id=never"),
        ("POST", "/breakers/items/reset"),
        ("GET", "/orphans"),
    ],
)
def test_api_requires_its_key(shared_stack: Running, method: str, path: str, key: str) -> None:
    """The answer is 401 before the app does anything."""
    status, _, body = ask(shared_stack, method, path, None if method == "GET" else {}, key=key)
    assert (status, body) == (401, None)


def over_http(running: Running, *arguments: str, check: int, key: str | None = None) -> str:
    """Run the command line with nothing but the address and a key."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AzureWebJobs")}
    environment |= {"FABRIC_SAGA_URL": running.stack.functions_url}
    environment |= {"FUNCTION_KEY": running.stack.function_key if key is None else key}
    done = command_line.run(*arguments, environment=environment)
    assert done.returncode == check, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert running.stack.function_key not in done.stdout + done.stderr
    return done.stdout


def test_cli_over_http_works_as_over_storage(shared_stack: Running, tmp_path: Path) -> None:
    """Plan, submit and follow, status, list, audit and retire have the same exit codes, and need nothing of storage."""
    good = written(tmp_path, manifest("cli-http", lakehouse("bronze")))
    assert "Plan: 2 to create" in over_http(shared_stack, "plan", good, check=0)
    over_http(shared_stack, "plan", good, "--detailed-exitcode", check=2)
    options = ("--id", "cli-http", "--wait", "--timeout", PATIENCE)
    assert "every step is applied" in over_http(shared_stack, "submit", good, *options, check=0)
    assert "every step is applied" in over_http(shared_stack, "submit", good, *options, check=0)
    assert "cli-http" in over_http(shared_stack, "list", "--target", "CLI-http", check=0)
    assert "bronze" in over_http(shared_stack, "status", "cli-http", check=0)
    assert "holds its target" in over_http(shared_stack, "audit", "cli-http", check=0)
    over_http(shared_stack, "cancel", "cli-http", check=2)
    over_http(shared_stack, "retire", "cli-http", "--wait", "--timeout", PATIENCE, check=0)
    assert "cli-http" not in shared_stack.names()


def test_cli_over_http_reports_failures_with_the_same_exit_codes(shared_stack: Running, tmp_path: Path) -> None:
    """The codes are 1 (rolled back), 2 (bad request, conflict, unknown id), 4 (no key) and 5 (nobody answers)."""
    failing = written(tmp_path, manifest("http-fails", item("ball", "Crystal")))
    over_http(shared_stack, "submit", failing, "--id", "http-fails", "--wait", "--timeout", PATIENCE, check=1)
    wrong = written(tmp_path, manifest("http-wrong", {"id": "x", "kind": "lakehuose"}))
    assert "Did you mean" in over_http(shared_stack, "submit", wrong, "--id", "http-wrong", check=2)
    assert ask(shared_stack, "GET", "/deployments/http-wrong")[2]["state"] == "rejected"
    over_http(shared_stack, "submit", written(tmp_path, manifest("other")), "--id", "http-fails", check=2)
    over_http(shared_stack, "status", "nobody", check=2)
    assert "FUNCTION_KEY" in over_http(shared_stack, "list", check=4, key="wrong")
    over_http(shared_stack, "list", "--url", "http://127.0.0.1:9", check=5)
    over_http(shared_stack, "list", "--url", "http://app.example", check=2)
