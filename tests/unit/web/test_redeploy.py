"""Redeploying over HTTP: the manifest of an ended deployment starts a new one, or the answer says why not."""

import json

import pytest

from shared.domain.json import canonical
from shared.domain.states import DeploymentState as D
from shared.domain.states import Origin
from shared.domain.states import StepState as S
from tests.unit.web.conftest import MANIFEST, Api, json_body


def ended(api: Api) -> str:
    """Submit the manifest as `d`, move it to its end, and return the hash of its manifest."""
    api.ask("POST", "deployments?id=d", MANIFEST)
    for state in (D.RUNNING, D.SUCCEEDED):
        api.saga.change_header(state=state)
    api.queue.clear()
    api.engine.received.clear()
    return api.saga.header("d").manifest_hash


def test_redeploy_submits_the_same_manifest_under_the_given_id(api: Api) -> None:
    """The answer is 202 with the address of the new deployment, which is queued and started; the earlier one does not
    change."""
    digest = ended(api)
    before = api.journal.audit("d")
    reply = api.ask("POST", "deployments/d/redeploy", {"id": "again", "requested_by": "anna"})
    assert (reply.status, reply.headers["Location"]) == (202, "/api/deployments/again")
    body = json_body(reply)
    assert (body["deployment_id"], body["state"], body["manifest_hash"]) == ("again", "accepted", digest)
    assert json.loads(api.queue[0])["manifest"] == MANIFEST
    assert api.engine.received == [("start", "again")]
    assert api.saga.header("again").requested_by == "anna (by key)"
    assert api.journal.audit("d") == before


def test_redeploy_repeated_is_the_same_deployment(api: Api) -> None:
    """The same id twice starts one; without an id, and without a body, each request starts a new one."""
    ended(api)
    first, second = (api.ask("POST", "deployments/d/redeploy", {"id": "again"}) for _ in range(2))
    assert (first.body, len(api.queue)) == (second.body, 1)
    ids = {json_body(api.ask("POST", "deployments/d/redeploy"))["deployment_id"] for _ in range(2)}
    assert len(ids | {"d", "again"}) == 4


def test_redeploy_without_a_manifest_to_send_is_a_conflict(api: Api) -> None:
    """The answer is 409 with the reason: it runs, the id is its own or another manifest's, or its manifest is gone."""
    api.ask("POST", "deployments?id=other", {**MANIFEST, "name": "other"})
    assert api.ask("POST", "deployments/other/redeploy").status == 409
    ended(api)
    for wanted, reason in (("d", "give another id"), ("other", "belongs to another manifest")):
        reply = api.ask("POST", "deployments/d/redeploy", {"id": wanted})
        assert (reply.status, reason in json_body(reply)["detail"]) == (409, True), wanted
    api.saga.deployment(D.SUCCEEDED, deployment_id="gone", manifest_hash="0" * 64)
    reply = api.ask("POST", "deployments/gone/redeploy")
    assert (reply.status, "no longer stored" in json_body(reply)["detail"]) == (409, True)


def test_redeploy_of_a_script_is_a_conflict(api: Api) -> None:
    api.saga.deployment(D.SUCCEEDED, S.SUCCEEDED, origin=Origin.SCRIPT)
    reply = api.ask("POST", "deployments/d/redeploy")
    assert (reply.status, "run the script again" in json_body(reply)["detail"]) == (409, True)


@pytest.mark.parametrize(
    "body", [{"id": "no id"}, {"id": 3}, {"ID": "x"}, {"requested_by": "a\nb"}, {"requested_by": "\u202eanna"}, [], "x"]
)
def test_redeploy_refuses_a_wrong_body(api: Api, body: object) -> None:
    """The answer is 400 and names the field, and nothing starts."""
    ended(api)
    reply = api.ask("POST", "deployments/d/redeploy", body)
    assert reply.status == 400
    assert json_body(reply)["problems"][0]["path"].startswith("$")
    assert not api.queue


def test_redeploy_of_an_unknown_deployment_is_not_found(api: Api) -> None:
    assert api.ask("POST", "deployments/nothing/redeploy").status == 404


def test_parts_without_a_manifest_are_not_found(api: Api) -> None:
    """The answer is 404 and says why: a script has no manifest, that of a deployment is gone, or a file list is
    something else."""
    items = [{"type": "Notebook", "displayName": "n", "template": api.blobs.put(b"hello")}]
    odd = {"name": "m", "steps": [{"id": "content", "kind": "repository", "with": {"items": items}}]}
    api.saga.deployment(D.SUCCEEDED, deployment_id="script", origin=Origin.SCRIPT)
    api.saga.deployment(D.SUCCEEDED, deployment_id="gone", manifest_hash="0" * 64)
    api.saga.deployment(D.SUCCEEDED, deployment_id="odd", manifest_hash=api.blobs.put(canonical(odd).encode()))
    for name, reason in (("script", "has no manifest"), ("gone", "no longer stored"), ("odd", "is not stored")):
        reply = api.ask("GET", f"deployments/{name}/parts")
        assert (reply.status, reason in json_body(reply)["detail"]) == (404, True), reply.body


def test_redeploy_with_labels_has_them_in_place_of_those_of_the_manifest(api: Api) -> None:
    """An empty object removes all; without the field they stay."""
    api.ask("POST", "deployments?id=d", {**MANIFEST, "labels": {"pr": "1", "team": "a"}})
    for state in (D.RUNNING, D.SUCCEEDED):
        api.saga.change_header(state=state)
    for given, expected in (({"pr": "2"}, {"pr": "2"}), ({}, None), (None, {"pr": "1", "team": "a"})):
        wanted = f"again-{len(given or {})}-{given is None}"
        assert api.ask("POST", "deployments/d/redeploy", {"id": wanted, "labels": given}).status == 202
        assert api.saga.header(wanted).labels == expected
    reply = api.ask("POST", "deployments/d/redeploy", {"id": "bad", "labels": {"pr": "a b"}})
    assert (reply.status, json_body(reply)["problems"][0]["path"]) == (400, "$.labels.pr")
