"""The parameters of the query: a parameter that a route does not declare is refused, never ignored."""

from typing import Any
from urllib.parse import quote

import pytest

from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from shared.web.api import ROUTES
from shared.web.backend import Route
from tests.unit.web.conftest import MANIFEST, Api, json_body

CONTROLS = ["\n", "\r", "\t", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u2066"]


def address(route: Route) -> str:
    """Return a path of the route, with names under which nothing exists."""
    return route.path.replace("{id}", "d").replace("{name}", "items").replace("{file}", "app.js")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_unknown_query_parameter_is_named(api: Api, route: Route) -> None:
    """The answer is 400 on every route, before any other check; the function key's parameter is known on all routes."""
    reply = api.ask(route.method, f"{address(route)}?code=key&foo=1", MANIFEST)
    [problem] = json_body(reply)["problems"]
    assert (reply.status, problem["path"]) == (400, "query.foo")
    assert "is not a known parameter" in problem["message"]
    assert all(name in problem["message"] for name in route.doc.query)
    assert b"is not a known parameter" not in api.ask(route.method, f"{address(route)}?code=key", MANIFEST).body
    assert not [p for p in api.queue if "foo" in p]


@pytest.mark.parametrize("route", [r for r in ROUTES if r.doc.query], ids=lambda route: route.name)
def test_repeated_query_parameter_is_named(api: Api, route: Route) -> None:
    """The answer is 400, unless the route declares it repeatable."""
    for name in route.doc.query:
        value = "pr=1" if name == "label" else "held"
        reply = api.ask(route.method, f"{address(route)}?{name}={value}&{name}={value}", MANIFEST)
        is_refused = b"is given more than once" in reply.body
        assert is_refused == (name not in route.doc.repeatable)
        assert reply.status == (400 if is_refused else 200)


@pytest.mark.parametrize(("wrong", "right"), [("ID", "id"), ("Id", "id"), ("requestedBy", "requested_by")])
def test_misspelt_query_parameter_gets_a_suggestion_and_nothing_is_submitted(api: Api, wrong: str, right: str) -> None:
    """An idempotency key is never ignored."""
    reply = api.ask("POST", f"deployments?{wrong}=my-id", MANIFEST)
    assert f"Did you mean '{right}'?" in json_body(reply)["problems"][0]["message"]
    assert (reply.status, api.queue) == (400, [])


@pytest.mark.parametrize("character", CONTROLS)
def test_requester_in_the_query_is_one_line(api: Api, character: str) -> None:
    """A character that ends a line, moves the cursor or changes the reading direction is not allowed in a name."""
    reply = api.ask("POST", f"deployments?id=x&requested_by={quote(f'a{character}b')}", MANIFEST)
    assert (reply.status, json_body(reply)["problems"][0]["path"]) == (400, "query.requested_by")
    assert api.queue == []


@pytest.mark.parametrize(("path", "body"), [("deployments", MANIFEST), ("deployments/d/cancel", {})])
@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP, identity"])
def test_encoded_body_is_refused_with_its_encoding(api: Api, path: str, body: Any, encoding: str) -> None:
    """A 415 says what to send, and the body is not decoded."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    reply = api.ask("POST", path, body, {"Content-Encoding": encoding})
    assert (reply.status, reply.headers["Accept-Encoding"]) == (415, "identity")
    assert encoding in json_body(reply)["detail"]
    assert api.ask("POST", path, body, {"Content-Encoding": "identity"}).status == 202
