"""Verbs and breakers over HTTP."""

from typing import Any

import pytest

from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from shared.saga.command.verbs import VERBS, Verb
from shared.web.api import answer
from shared.web.backend import Backend
from shared.web.http import Request
from tests.unit.web.conftest import Api, json_body, route_of

OF_A_STEP = tuple(verb for verb, spec in VERBS.items() if spec.is_for_step)


@pytest.mark.parametrize("state", list(D))
@pytest.mark.parametrize("verb", [verb for verb in Verb if verb not in OF_A_STEP])
def test_verb_is_accepted_exactly_if_it_is_listed_as_allowed(api: Api, verb: Verb, state: D) -> None:
    """In every state: a verb in `allowed` is 202; a verb that is neither in the state's row nor done already is 409."""
    api.saga.deployment(state, S.PENDING)
    allowed = json_body(api.ask("GET", "deployments/d"))["allowed"]
    reply = api.ask("POST", f"deployments/d/{verb}", {"requested_by": "anna", "reason": "a try"})
    assert reply.status in ((202,) if verb in allowed else (202, 409))
    if reply.status == 202:
        assert reply.headers["Location"] == "/api/deployments/d"
    else:
        assert state not in VERBS[verb].states
        assert json_body(reply)["allowed"] == allowed
        assert "anna (by key)" in api.journal.audit("d")[-1].actor


def test_verb_records_the_requester_and_the_reason_in_the_audit(api: Api) -> None:
    """The name that the caller gives is marked as unconfirmed."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    reply = api.ask("POST", "deployments/d/cancel", {"requested_by": "anna", "reason": "wrong target"})
    assert (reply.status, json_body(reply)["state"]) == (202, "running")
    entry = api.journal.audit("d")[-1]
    assert (entry.actor, "wrong target" in entry.reason) == ("anna (by key)", True)
    assert api.engine.received[0] == ("start", "d")


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"", "", 202),
        (b"  ", "", 202),
        ({}, "", 202),
        ({"reason": None}, "", 202),
        ({"reason": 7}, "", 400),
        ({"reason": "x" * 501}, "", 400),
        ({"why": "x"}, "", 400),
        ([], "", 400),
        (b"\xff", "", 400),
        (b"{", "", 400),
        ({}, "text/plain", 415),
        (b" " * 20_000 + b"{}", "", 413),
    ],
)
def test_verb_accepts_only_a_valid_body(api: Api, body: Any, media: str, status: int) -> None:
    """An empty body is valid. A body with an unknown field or a wrong type is not valid, and nothing is done."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    assert api.ask("POST", "deployments/d/cancel", body, media=media).status == status
    assert bool(api.saga.header().cancel_requested_by) == (status == 202)


def test_release_needs_a_reason(api: Api) -> None:
    """Without one, 400 that names the field; with one it is accepted, and no other verb is allowed until the
    deployment has ended."""
    api.saga.deployment(D.STUCK, S.COMPENSATION_FAILED)
    for body in ({}, {"reason": ""}, {"reason": None}, b""):
        reply = api.ask("POST", "deployments/d/release", body)
        assert (reply.status, json_body(reply)["problems"][0]["path"]) == (400, "$.reason")
    assert json_body(api.ask("GET", "deployments/d"))["allowed"] == ["compensate", "release"]
    assert api.ask("POST", "deployments/d/release", {"reason": "theirs to keep"}).status == 202
    assert json_body(api.ask("GET", "deployments/d"))["allowed"] == []
    assert api.ask("POST", "deployments/d/compensate", {}).status == 409


@pytest.mark.parametrize("verb", OF_A_STEP)
def test_verb_for_a_step_needs_its_name(api: Api, verb: Verb) -> None:
    """The answer is 400 without a name, and 409 for a step that does not wait for a person."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    assert json_body(api.ask("POST", f"deployments/d/{verb}", {}))["problems"][0]["path"] == "$.step"
    assert api.ask("POST", f"deployments/d/{verb}", {"step": "s0"}).status == 409
    assert api.ask("POST", f"deployments/e/{verb}", {"step": "s0"}).status == 404


def test_breakers_are_listed_and_closed(api: Api) -> None:
    """An open one has the time at which it may close; after the reset it is closed for all."""
    api.app.breakers.get("items").open()
    by_name = {b["name"]: b for b in json_body(api.ask("GET", "breakers"))["items"]}
    assert by_name["items"]["state"] == "open"
    assert by_name["items"]["retry_at"] > by_name["items"]["opened_at"]
    assert by_name["workspaces"]["state"] == "closed"
    assert json_body(api.ask("POST", "breakers/items/reset"))["state"] == "closed"
    assert api.ask("POST", "breakers/nobody/reset").status == 404


def test_verb_names_its_deployment_with_or_without_a_slash_at_the_end(api: Api) -> None:
    """Hosts pass an address with a slash at its end unchanged."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    route, parameters = route_of("POST", "deployments/d/cancel")
    request = Request.of("POST", "http://host/api/deployments/d/cancel/", parameters, {}, lambda: b"")
    reply = answer(route.handler, request, Backend(lambda: api.app, api.engine))
    assert (reply.status, reply.headers["Location"]) == (202, "/api/deployments/d")
