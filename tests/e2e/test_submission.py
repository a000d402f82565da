"""Submissions from the queue message to Fabric and back: the messages of a pipeline, and the results that it gets."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from azure.storage.queue import QueueClient

from tests.e2e.conftest import Running
from tests.waiting import PATIENCE, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.law(4)]
REFERENCE = "${{ steps.ws.outputs.id }}"


def manifest(name: str, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a manifest with a workspace of that name and further steps."""
    workspace = {"id": "ws", "kind": "workspace", "with": {"displayName": name}}
    return {"name": name, "target": name, "steps": [workspace, *steps], **fields}


def lakehouse(name: str) -> dict[str, Any]:
    """Return a step for a lakehouse."""
    return {"id": name, "kind": "lakehouse", "with": {"workspaceId": REFERENCE, "displayName": name}}


def item(name: str, item_type: str, *needs: str) -> dict[str, Any]:
    """Return a step for an item."""
    spec = {"workspaceId": REFERENCE, "type": item_type, "displayName": name}
    return {"id": name, "kind": "item", "needs": list(needs), "with": spec}


def viewer() -> dict[str, Any]:
    """Return a step that assigns a role."""
    spec = {"principalId": "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c09", "principalType": "User", "role": "Viewer"}
    return {"id": "people", "kind": "role_assignment", "with": {"workspaceId": REFERENCE, **spec}}


def written(folder: Path, content: dict[str, Any]) -> str:
    """Write a manifest to a file, and return its path. JSON, because YAML of 200 kB takes seconds to write and read."""
    file = folder / f"{content['name']}.yaml"
    file.write_text(json.dumps(content))
    return str(file)


def test_submit_of_a_good_manifest_ends_with_everything_applied(shared_stack: Running, tmp_path: Path) -> None:
    """The exit code is 0, and Fabric has what the manifest describes."""
    file = written(tmp_path, manifest("good", lakehouse("bronze"), lakehouse("silver")))
    done = shared_stack.cli("submit", file, "--wait", "--timeout", PATIENCE, check=0)
    assert "succeeded: every step is applied and verified" in done.stdout
    assert shared_stack.names()["good"] == ["bronze", "silver"]


def test_submit_of_a_failing_manifest_ends_with_everything_rolled_back(shared_stack: Running, tmp_path: Path) -> None:
    """The exit code is 1; the error has the cause, the place and the remedy, and Fabric has nothing of the
    deployment."""
    file = written(tmp_path, manifest("put-back", lakehouse("bronze"), item("ball", "Crystal", "bronze")))
    done = shared_stack.cli("submit", file, "--wait", "--timeout", PATIENCE, check=1)
    assert "InvalidItemType" in done.stdout
    assert "what to do" in done.stdout
    assert "put-back" not in shared_stack.names()


def test_submit_of_a_bad_manifest_is_recorded_with_every_problem(shared_stack: Running, tmp_path: Path) -> None:
    """The exit code is 2 at once, and again for everybody who follows that id later."""
    wrong = manifest("wrong", {**lakehouse("bronze"), "kind": "lakehuose"}, {**lakehouse("silver"), "needs": ["gold"]})
    wrong["steps"][0]["with"]["displayName"] = "x" * 300
    done = shared_stack.cli("submit", written(tmp_path, wrong), "--id", "wrong", "--wait", check=2)
    followed = shared_stack.cli("follow", "wrong", check=2)
    for text in (done.stdout, followed.stdout):
        assert "$.steps[0].with.displayName: has 300 characters; at most 256 are allowed" in text
        assert "Did you mean 'lakehouse'?" in text
        assert "$.steps[2].needs[0]: there is no step 'gold'" in text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"null",
        b"\xff\xfe not text",
        b"a: &a [*a, *a]",
        b'{"manifest": 1, "manifest_blob": "x"}',
        json.dumps({"manifest_blob": "0" * 64}).encode(),
        b"[" * 5000,
        base64.b64encode(b'{"name": 7}'),
        b"x" * 60_000,
    ],
    ids=["empty", "cut", "array", "null", "binary", "alias", "two bodies", "no blob", "deep", "base64", "long"],
)
def test_junk_on_the_queue_is_recorded_as_rejected(shared_stack: Running, content: bytes) -> None:
    """Any bytes that a client puts on the queue are recorded under an id of its message, and no worker stops."""
    before = {line["deployment_id"] for line in rejected(shared_stack)}
    shared_stack.put("deployments", content)
    eventually(lambda: len(rejected(shared_stack)) == len(before) + 1)
    new = next(line for line in rejected(shared_stack) if line["deployment_id"] not in before)
    assert new["deployment_id"].startswith("unreadable-")
    assert shared_stack.cli("follow", new["deployment_id"]).returncode == 2
    assert shared_stack.http("/api/health/live")[0] == 200


def rejected(running: Running) -> list[dict[str, Any]]:
    """Return the rejected deployments as the API's list shows them."""
    status, body = running.http("/api/deployments?state=rejected&limit=200", running.stack.function_key)
    assert status == 200, body
    return json.loads(body)["items"]


def test_message_in_base64_is_accepted(shared_stack: Running) -> None:
    """Clients that use the old default of the extension still work."""
    body = json.dumps({"deployment_id": "encoded", "manifest": manifest("encoded")}).encode()
    shared_stack.put("deployments", base64.b64encode(body))
    assert shared_stack.ended("encoded")["exit_code"] == 0


def test_same_message_three_times_starts_one_deployment(shared_stack: Running) -> None:
    """One call creates one workspace."""
    body = json.dumps({"deployment_id": "thrice", "manifest": manifest("thrice", lakehouse("bronze"))}).encode()
    first = len(shared_stack.posts("/v1/workspaces"))
    for _ in range(3):
        shared_stack.put("deployments", body)
    assert shared_stack.ended("thrice")["exit_code"] == 0
    shared_stack.put("deployments", body)
    with QueueClient.from_connection_string(shared_stack.stack.connection_string, "deployments") as queue:
        eventually(lambda: queue.get_queue_properties().approximate_message_count == 0)
    assert len(shared_stack.posts("/v1/workspaces")) == first + 1


def test_same_id_with_another_manifest_is_a_conflict(shared_stack: Running, tmp_path: Path) -> None:
    """The exit code is 2, and nothing starts. The deployment with that id is unchanged, and its audit has the
    conflict."""
    file = written(tmp_path, manifest("first"))
    shared_stack.cli("submit", file, "--id", "taken", "--wait", check=0)
    other = written(tmp_path, manifest("second"))
    done = shared_stack.cli("submit", other, "--id", "taken", "--wait", check=2)
    assert "already belongs to another manifest" in done.stdout + done.stderr
    assert shared_stack.cli("status", "taken", check=0).stdout.count("first")
    assert "second" not in shared_stack.names()
    eventually(lambda: "the id is taken by another manifest" in shared_stack.cli("audit", "taken").stdout)


def test_manifest_larger_than_a_message_travels_as_a_blob(shared_stack: Running, tmp_path: Path) -> None:
    """Two hundred kilobytes of notebooks arrive complete."""
    notebooks = [
        {
            "id": f"nb{i}",
            "kind": "item",
            "with": {
                "workspaceId": REFERENCE,
                "type": "Notebook",
                "displayName": f"nb{i}",
                "definition": {"parts": [{"path": "notebook-content.py", "text": f"x = {i}\n" + "# words\n" * 2500}]},
            },
        }
        for i in range(10)
    ]
    file = written(tmp_path, manifest("large", *notebooks))
    assert Path(file).stat().st_size > 200_000
    shared_stack.cli("submit", file, "--wait", "--timeout", PATIENCE, check=0)
    workspace = next(w for w in shared_stack.fabric("state")["workspaces"] if w["displayName"] == "large")
    contents = {base64.b64decode(i["definition"]["parts"][0]["payload"]).split(b"\n")[0] for i in workspace["items"]}
    assert contents == {f"x = {i}".encode() for i in range(10)}


def test_folder_in_source_control_format_becomes_an_item(shared_stack: Running) -> None:
    """The example's notebook arrives with its parts, byte for byte."""
    shared_stack.cli("submit", "examples/notebook.yaml", "--wait", "--timeout", PATIENCE, check=0)
    source = Path("examples/notebook/Clean sales.Notebook/notebook-content.py").read_bytes()
    items = [i for w in shared_stack.fabric("state")["workspaces"] for i in w["items"] if i["type"] == "Notebook"]
    parts = {
        p["path"]: base64.b64decode(p["payload"]) for i in items if i["definition"] for p in i["definition"]["parts"]
    }
    assert source in parts.values()


def test_cancel_rolls_everything_back(shared_stack: Running) -> None:
    """A command on the queue while a step waits, however long that takes: exit code 8, and the audit has the
    requester."""
    busy = {"status": 429, "headers": {"Retry-After": "1"}, "effect": "before"}
    shared_stack.fabric("faults", [{"match": {"path": ".*/items", "method": "POST"}, "action": busy}])
    body = {"deployment_id": "stopped", "manifest": manifest("stopped", lakehouse("bronze"), item("nb", "Notebook"))}
    shared_stack.put("deployments", json.dumps(body).encode())
    eventually(lambda: "stopped" in shared_stack.names())
    shared_stack.cli("cancel", "stopped", "--requested-by", "an operator", check=0)
    assert shared_stack.ended("stopped")["exit_code"] == 8
    shared_stack.fabric("faults", [])
    assert "stopped" not in shared_stack.names()
    assert "cancel requested by an operator" in shared_stack.cli("audit", "stopped").stdout


def test_hold_keeps_all_resources_until_it_is_cancelled(shared_stack: Running, tmp_path: Path) -> None:
    """With `onFailure: hold`, `follow` ends with exit code 3, and nothing is deleted until a person asks for it."""
    file = written(tmp_path, manifest("kept", lakehouse("bronze"), item("ball", "Crystal", "bronze"), onFailure="hold"))
    shared_stack.cli("submit", file, "--id", "kept", "--wait", "--timeout", PATIENCE, check=3)
    assert shared_stack.names()["kept"] == ["bronze"]
    shared_stack.cli("cancel", "kept", "--requested-by", "an operator", "--wait", "--timeout", PATIENCE, check=0)
    assert "kept" not in shared_stack.names()
    assert "cancel requested by an operator" in shared_stack.cli("audit", "kept").stdout
    assert "has already ended" in shared_stack.cli("cancel", "kept", check=2).stdout


def test_two_deployments_at_one_target_do_not_interleave(shared_stack: Running) -> None:
    """The second begins when the first has ended."""
    for name, item in (("one", "bronze"), ("two", "silver")):
        body = {"deployment_id": name, "manifest": {**manifest("shared-ws", lakehouse(item)), "name": name}}
        shared_stack.put("deployments", json.dumps(body).encode())
    first, second = shared_stack.ended("one")["deployment"], shared_stack.ended("two")["deployment"]
    first, second = sorted((first, second), key=lambda d: d["started_at"])
    assert second["started_at"] >= first["finished_at"]
    assert shared_stack.names()["shared-ws"] == ["bronze", "silver"]


def promoting(stack: Running, file: str, number: int, stage: str, *, source: str = "", check: int | None = None) -> str:
    """Submit a release to a stage, and return the standard output; with `check`, wait for its end."""
    given = ["submit", file, "--id", f"release-{number}-{stage}", "--set", f"stage={stage}"]
    given += ["--promotes", source] if source else []
    given += [] if check is None else ["--wait", "--timeout", PATIENCE]
    return stack.cli(*given, check=check or 0).stdout


def until_it_waits(stack: Running, deployment_id: str) -> None:
    """Wait until an approval of the deployment waits for a person."""
    eventually(lambda: "waits for approval" in stack.cli("status", deployment_id).stdout)


def decided(stack: Running, deployment_id: str, *options: str) -> int:
    """Decide the approval of a release when it waits, and return the exit code of the deployment."""
    until_it_waits(stack, deployment_id)
    stack.cli("approve", deployment_id, "go", "--requested-by", "anna", *options, check=0)
    return stack.ended(deployment_id)["exit_code"]


def parts(stack: Running, deployment_id: str) -> dict[str, str]:
    """Return the digests of the parts of a deployment, by name, as the page compares them."""
    status, body = stack.http(f"/api/deployments/{deployment_id}/parts", key=stack.stack.function_key)
    assert status == 200, body
    return {part["name"]: part["digest"] for part in json.loads(body)["items"]}


def test_release_goes_from_test_to_production_after_an_approval(shared_stack: Running, tmp_path: Path) -> None:
    """One manifest through two stages. Production is rejected if the stage before waits, was rolled back, or deployed
    something else; otherwise it has the same parts, and nothing of it exists before its approval."""
    stack, name, book = shared_stack, "release-${{ inputs.stage }}", item("book", "Notebook")
    book["with"]["definition"] = {"parts": [{"path": "notebook-content.py", "text": "x = 1"}]}
    release = manifest(name, lakehouse("bronze"), book, inputs={"stage": {}})
    release["steps"][0]["needs"] = ["go"]
    release["steps"].insert(0, {"id": "go", "kind": "approval", "with": {"message": f"Deploy {name}?"}})
    file = written(tmp_path, {**release, "name": "release"})
    book["with"]["definition"]["parts"][0]["text"] = "x = 2"
    other = written(tmp_path, {**release, "name": "other"})

    promoting(stack, file, 1, "test")
    until_it_waits(stack, "release-1-test")
    assert "release-1-test is running: only" in promoting(stack, file, 1, "prod", source="release-1-test", check=2)
    assert decided(stack, "release-1-test", "--refuse") == 1
    assert "release-1-test is compensated: only" in promoting(stack, file, 2, "prod", source="release-1-test", check=2)

    promoting(stack, file, 3, "test")
    assert decided(stack, "release-3-test") == 0
    found = promoting(stack, other, 3, "prod", source="release-3-test", check=2)
    assert "$.promotes: is not what release-3-test deployed: book differs; submit the same files" in found
    promoting(stack, file, 4, "prod", source="release-3-test")
    until_it_waits(stack, "release-4-prod")
    assert "release-prod" not in stack.names()
    assert decided(stack, "release-4-prod") == 0
    assert stack.names()["release-prod"] == stack.names()["release-test"] == ["book", "bronze"]
    assert parts(stack, "release-4-prod") == parts(stack, "release-3-test")
    assert parts(stack, "release-4-prod").keys() == {"ws", "bronze", "book"}
    assert "approved by anna" in stack.cli("audit", "release-4-prod").stdout


def test_health_is_anonymous_and_coarse_and_the_rest_needs_a_key(shared_stack: Running) -> None:
    """`live` and `ready` answer anybody, without an address, a key or an error text; admin endpoints do not."""
    assert shared_stack.http("/api/health/live") == (200, '{"status": "pass"}')
    status, body = shared_stack.http("/api/health/ready")
    assert status == 200
    assert json.loads(body)["status"] == "pass"
    assert "127.0.0.1" not in body
    assert shared_stack.http("/admin/functions/sweep", method="POST", body=b"{}")[0] == 401
    assert shared_stack.http("/runtime/webhooks/durabletask/instances/x")[0] == 401
