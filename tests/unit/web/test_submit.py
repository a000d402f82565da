"""Submitting over HTTP: 202 only for a durable submission, and a response with every problem for an invalid one."""

import json
from typing import Any

import pytest
import yaml

from shared.domain.errors import StorageUnavailableError
from shared.domain.records import DeploymentRecord
from shared.domain.states import DeploymentState as D
from shared.domain.text_limits import MAX_BYTES, MAX_DEPTH
from tests.unit.web.conftest import MANIFEST, Api, json_body


def test_submit_is_recorded_queued_and_started(api: Api) -> None:
    """The answer is 202 with the recorded state; the queue has a copy in case this process dies, and the engine is
    notified."""
    reply = api.ask("POST", "deployments?id=d", MANIFEST)
    assert (reply.status, reply.headers["Location"]) == (202, "/api/deployments/d")
    assert json_body(reply)["state"] == "accepted"
    assert json.loads(api.queue[0])["manifest"] == MANIFEST
    assert api.engine.received == [("start", "d")]


def test_submit_that_is_cut_after_the_queue_is_finished_by_its_message(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal fails in the middle: 503, and the message that was sent before creates the same deployment."""

    def broken(*_: object) -> None:
        raise StorageUnavailableError("table storage, write: no answer")

    with monkeypatch.context() as patch:
        patch.setattr(api.journal, "create", broken)
        assert api.ask("POST", "deployments?id=d", MANIFEST).status == 503
    accepted = api.app.acceptance.accept(api.queue[0].encode(), "message")
    assert accepted.header.state is D.ACCEPTED
    assert json_body(api.ask("POST", "deployments?id=d", MANIFEST))["manifest_hash"] == accepted.header.manifest_hash
    assert json.loads(api.blobs.get(accepted.header.manifest_hash)) == MANIFEST, "redeploy reads it"


def test_submit_is_durable_even_if_the_engine_is_unavailable(api: Api) -> None:
    """It is in the journal and on the queue: 202."""
    api.engine.is_away = True
    assert api.ask("POST", "deployments?id=d", MANIFEST).status == 202
    assert api.saga.header().state is D.ACCEPTED
    assert len(api.queue) == 1


def test_submit_repeated_is_the_same_deployment(api: Api) -> None:
    """The same id and manifest, as JSON or YAML: 202 with the same location, whatever its state, and queued once."""
    first = api.ask("POST", "deployments?id=d", MANIFEST)
    second = api.ask("POST", "deployments?id=d", yaml.safe_dump(MANIFEST).encode(), media="text/yaml; charset=utf-8")
    assert (second.status, second.body, second.headers) == (202, first.body, first.headers)
    assert len(api.queue) == 1


def test_submit_of_another_manifest_under_an_id_is_a_conflict(api: Api) -> None:
    """The answer is 409, nothing is queued or started, and the first deployment's audit records it."""
    api.ask("POST", "deployments?id=d", MANIFEST)
    reply = api.ask("POST", "deployments?id=d", {**MANIFEST, "name": "other"})
    assert reply.status == 409
    assert len(api.queue) == 1
    assert "another manifest" in api.journal.audit("d")[-1].reason


def test_submit_id_is_the_callers_the_manifests_or_a_new_one(api: Api) -> None:
    """The id is given in one place, or in both alike; without an id, each submission gets a new one."""
    named = {**MANIFEST, "id": "own"}
    ids = [json_body(api.ask("POST", f"deployments{query}", body))["deployment_id"] for query, body in (
        ("?id=given", MANIFEST), ("", named), ("?id=own", named), ("", MANIFEST), ("", MANIFEST))]  # fmt: skip
    assert ids[:3] == ["given", "own", "own"]
    assert len(set(ids)) == 4
    assert len({api.saga.header(i).manifest_hash for i in ids}) == 1, "the id must not be a part of the manifest"


@pytest.mark.parametrize(
    ("body", "reported_by"),
    [
        ({"command": "cancell", "deployment_id": "d"}, "'cancell' is not a command. Did you mean 'cancel'?"),
        ({"command": "cancel", "deployment_id": "d"}, "must be sent to /deployments/<id>/cancel"),
        ({"Command": "cancel"}, "Did you mean 'command'?"),
        ({**MANIFEST, "command": "cancel"}, "must be sent to"),
        ({"id": "d", **MANIFEST, "command": ["cancel"]}, "an array is not a command"),
        ({"id": "a/b", "command": "cancell"}, "Did you mean 'cancel'?"),
        ({"command": "cancell", "reason": "\u0000"}, "Did you mean 'cancel'?"),
    ],
)
def test_submit_of_a_command_is_refused_and_claims_no_id(api: Api, body: Any, reported_by: str) -> None:
    """The answer is 400 with a suggestion, whatever else the body contains; the id stays free for its submission."""
    reply = api.ask("POST", "deployments?id=d", body)
    [problem] = json_body(reply)["problems"]
    assert reply.status == 400
    assert reported_by in problem["message"]
    assert (list(api.journal.deployments()), api.queue, api.engine.received) == ([], [], [])
    assert api.ask("POST", "deployments?id=d", MANIFEST).status == 202


def test_submit_under_two_ids_is_refused_and_claims_neither(api: Api) -> None:
    """The query and the manifest name different ids: the answer 400 names both, and neither id is taken."""
    reply = api.ask("POST", "deployments?id=given", {**MANIFEST, "id": "own"})
    [problem] = json_body(reply)["problems"]
    assert (reply.status, problem["path"]) == (400, "$.id")
    assert "'own'" in problem["message"]
    assert "'given'" in problem["message"]
    assert not api.queue
    for taken in ("given", "own"):
        assert api.ask("GET", f"deployments/{taken}").status == 404


def test_submit_stores_a_large_manifest_as_a_blob(api: Api) -> None:
    """The message names it by its hash."""
    parts = [{"path": "notebook-content.py", "payload": "eHh4" * 20_000, "payloadType": "InlineBase64"}]
    item = {
        "id": "n",
        "kind": "item",
        "with": {
            "workspaceId": "${{ steps.w.outputs.id }}",
            "type": "Notebook",
            "displayName": "n",
            "definition": {"parts": parts},
        },
    }
    manifest = {**MANIFEST, "steps": [*MANIFEST["steps"], item]}
    assert api.ask("POST", "deployments?id=d", manifest).status == 202
    message = json.loads(api.queue[0])
    assert json.loads(api.blobs.get(message["manifest_blob"])) == manifest


def test_submit_of_the_deepest_manifest_is_the_same_on_the_queue(api: Api) -> None:
    """The message's own level is not counted: a manifest that got a 202 is not refused or changed later."""
    deep: Any = 1
    for _ in range(MAX_DEPTH - 4):
        deep = {"a": deep}
    spec = {
        "workspaceId": "${{ steps.w.outputs.id }}",
        "type": "Warehouse",
        "displayName": "n",
        "creationPayload": deep,
    }
    manifest = {**MANIFEST, "steps": [*MANIFEST["steps"], {"id": "n", "kind": "item", "with": spec}]}
    assert api.ask("POST", "deployments?id=d", manifest).status == 202
    before = api.journal.audit("d")
    assert not api.app.acceptance.accept(api.queue[0].encode(), "message").conflict
    assert api.journal.audit("d") == before
    deep["a"] = {"a": deep["a"]}
    assert "nested deeper" in str(json_body(api.ask("POST", "deployments?id=e", manifest)))


@pytest.mark.parametrize(
    ("path", "body", "media", "status", "expected_text"),
    [
        ("deployments", {"name": "m"}, "", 400, "$.steps: is required"),
        ("deployments", b"", "", 400, "$: must be an object"),
        ("deployments", b"\xff", "", 400, "$: is not UTF-8"),
        ("deployments", b"[" * 10_000, "", 400, "$: is nested deeper"),
        ("deployments", b"{" * 3, "", 400, "$: is neither JSON nor YAML"),
        ("deployments", {**MANIFEST, "id": "a b"}, "", 400, "$.id: must begin"),
        ("deployments", {**MANIFEST, "colour": 1}, "", 400, "$.colour: is not a known field"),
        ("deployments?id=", MANIFEST, "", 400, "query.id: must begin"),
        ("deployments?id=a&id=b", MANIFEST, "", 400, "query.id: is given more than once"),
        (f"deployments?requested_by={'x' * 257}", MANIFEST, "", 400, "query.requested_by: has 257"),
        ("deployments?requested_by=%1b[2J", MANIFEST, "", 400, "query.requested_by: contains a control"),
        ("deployments", MANIFEST, "text/plain", 415, "send one of: application/json"),
        ("deployments", b"x" * (MAX_BYTES + 1), "", 413, f"at most {MAX_BYTES}"),
    ],
)
def test_submit_of_an_invalid_body_names_the_reason(
    api: Api, path: str, body: Any, media: str, status: int, expected_text: str
) -> None:
    """The status, and the place with the remedy; nothing is queued, started or recorded."""
    reply = api.ask("POST", path, body, media=media)
    answer = json_body(reply)
    lines = [f"{p['path']}: {p['message']}" for p in answer.get("problems", [])]
    assert reply.status == status
    assert any(expected_text in line for line in [*lines, answer["detail"]]), answer
    assert (api.queue, api.engine.received, list(api.journal.deployments())) == ([], [], [])


def test_submit_of_local_files_says_that_they_must_be_packed(api: Api) -> None:
    """The app cannot read files beside the caller's manifest."""
    step = {"id": "p", "kind": "principals", "with": {"workspaceId": "x", "file": "people.csv"}}
    reply = api.ask("POST", "deployments", {**MANIFEST, "steps": [step]})
    assert any("file" in problem["path"] for problem in json_body(reply)["problems"])


@pytest.mark.parametrize("body", [{"name": "m"}, b"\xff", b"{"])
def test_submit_that_is_refused_is_recorded_if_an_id_was_given(api: Api, body: Any) -> None:
    """A caller that waits for that id gets the answer; a repetition gets the same one; a valid manifest is then a
    conflict."""
    replies = [api.ask("POST", "deployments?id=d", body) for _ in range(2)]
    reply = replies[0]
    assert [(r.status, r.body) for r in replies] == [(400, reply.body)] * 2
    assert json_body(reply)["deployment_id"] == "d"
    assert api.saga.header().state is D.REJECTED
    assert list(api.saga.header().problems) == json_body(reply)["problems"]
    assert api.ask("POST", "deployments?id=d", MANIFEST).status == 409


def test_submit_marks_a_requester_who_is_not_proven(api: Api) -> None:
    """With a function key, the name is what the caller states: in the address, else in the manifest."""
    api.ask("POST", "deployments?id=d", {**MANIFEST, "requestedBy": "ci"})
    assert (api.saga.header().requested_by, api.saga.header().requester_id) == ("ci (by key)", "")
    assert json.loads(api.queue[0])["requested_by"] == "ci (by key)"
    api.ask("POST", "deployments?id=e&requested_by=bob", {**MANIFEST, "requestedBy": "ci"})
    assert api.saga.header("e").requested_by == "bob (by key)"
    api.ask("POST", "deployments?id=f", MANIFEST)
    assert api.saga.header("f").requested_by == "somebody (by key)"


def test_submit_of_an_id_past_its_retention_runs_nothing(api: Api) -> None:
    """The same manifest: 202 with its end and a sentence, and nothing is queued or started. Another manifest: 409."""
    api.ask("POST", "deployments?id=d", MANIFEST)
    api.saga.change_header(state=D.CANCELLED)
    api.journal.purge("d")
    api.queue.clear()
    api.engine.received.clear()
    reply = api.ask("POST", "deployments?id=d", MANIFEST)
    assert (reply.status, json_body(reply)["state"]) == (202, "cancelled")
    assert "past its retention" in json_body(reply)["message"]
    other = api.ask("POST", "deployments?id=d", {**MANIFEST, "name": "other"})
    assert other.status == 409
    assert "past its retention" in json_body(other)["detail"]
    assert (api.queue, api.engine.received) == ([], [])


@pytest.mark.parametrize("path", ["", "/graph", "/cancel", "/retire"])
def test_forgotten_deployment_is_404_with_what_is_kept_of_it(api: Api, path: str) -> None:
    """No verb reopens it; the response has its end, in a form that the command line can read."""
    api.saga.deployment(D.SUCCEEDED)
    api.journal.purge("d")
    reply = api.ask("POST" if path in ("/cancel", "/retire") else "GET", f"deployments/d{path}")
    assert reply.status == 404
    assert "ended succeeded and is past its retention" in json_body(reply)["detail"]
    kept = DeploymentRecord.from_json(json_body(reply)["deployment"])
    assert (kept.state, kept.forgotten_at) == (D.SUCCEEDED, api.saga.clock.now())
    if not path:
        assert (
            json_body(api.ask("GET", "deployments/d", headers={"If-None-Match": "*"}))["deployment"] == kept.to_json()
        )
