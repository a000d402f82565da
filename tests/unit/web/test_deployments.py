"""Lists, one deployment, its audit and its step graph."""

import base64
import string
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import StorageUnavailableError
from shared.domain.records import Claim, Intent, Resource
from shared.domain.states import DeploymentState as D
from shared.domain.states import IntentAction
from shared.domain.states import StepState as S
from shared.web.deployments import make_cursor, read_cursor
from tests.contract.harness import a_header
from tests.fakes import START
from tests.unit.saga.fixture import row
from tests.unit.web.conftest import Api, json_body

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)


@given(
    accepted=st.dictionaries(IDS, st.integers(0, 5), max_size=12),
    late=st.dictionaries(st.text(string.ascii_letters, min_size=11, max_size=12), st.integers(6, 9), max_size=4),
    limit=st.integers(1, 5),
)
def test_list_contains_each_deployment_exactly_once(accepted: dict[str, int], late: dict[str, int], limit: int) -> None:
    """Over all pages, whatever their size, and whatever is accepted between two of them."""
    api = Api()
    for name, seconds in accepted.items():
        api.journal.create(a_header(name, accepted_at=START + timedelta(seconds=seconds)), [], "")
    arriving = iter(late.items())
    found: list[str] = []
    query = f"deployments?limit={limit}"
    while True:
        page = json_body(api.ask("GET", query))
        found += [item["deployment_id"] for item in page["items"]]
        if page["next"] is None:
            break
        query = f"deployments?limit={limit}&cursor={page['next']}"
        for name, seconds in (each for each in [next(arriving, None)] if each):
            api.journal.create(a_header(name, accepted_at=START + timedelta(seconds=seconds)), [], "")
    assert sorted(found) == sorted(accepted)
    assert [accepted[name] for name in found] == sorted(accepted.values(), reverse=True)


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda b: base64.urlsafe_b64encode(b).decode())))
def test_invented_cursor_is_refused_or_a_valid_position(text: str) -> None:
    """The answer is 400, never 500; an accepted cursor is one that the app could have returned."""
    position = read_cursor(text)
    if position is not None:
        assert read_cursor(make_cursor(a_header(position[1], accepted_at=position[0]))) == position


@given(IDS, st.datetimes(), st.integers(0, 200), st.sampled_from(string.printable))
def test_changed_cursor_causes_no_error(name: str, at: Any, place: int, character: str) -> None:
    """One character of a valid cursor is changed."""
    cursor = make_cursor(a_header(name, accepted_at=at.replace(tzinfo=START.tzinfo)))
    place %= len(cursor)
    read_cursor(cursor[:place] + character + cursor[place + 1 :])
    assert read_cursor(cursor) == (at.replace(tzinfo=START.tzinfo), name)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "query.limit"),
        ("limit=201", "query.limit"),
        ("limit=", "query.limit"),
        ("limit=%C2%B2", "query.limit"),
        ("limit=1&limit=2", "query.limit"),
        ("open=yes", "query.open"),
        ("state=ended", "query.state"),
        ("state=held,", "query.state"),
        ("label=pr", "query.label"),
        ("label=pr%3D", "query.label"),
        ("label=pr%3D1&label=pr%3D2", "query.label"),
        ("cursor=", "query.cursor"),
        ("cursor=AAAA", "query.cursor"),
        ("cursor=%00", "query.cursor"),
    ],
)
def test_list_names_each_wrong_parameter(api: Api, query: str, path: str) -> None:
    reply = api.ask("GET", f"deployments?{query}")
    assert (reply.status, [p["path"] for p in json_body(reply)["problems"]]) == (400, [path])


def test_list_is_filtered(api: Api) -> None:
    """By target in any case and spacing, by several states, and by whether it is open."""
    for state in D:
        api.saga.deployment(state, deployment_id=f"x-{state}", target="contoso sales")
    api.saga.deployment(D.RUNNING, deployment_id="y")

    def states(query: str) -> set[str]:
        return {item["state"] for item in json_body(api.ask("GET", f"deployments?{query}"))["items"]}

    assert states("target=%20Contoso%20%20SALES") == {state.value for state in D}
    assert states("state=held,stuck&state=succeeded") == {"held", "stuck", "succeeded"}
    assert states("target=contoso%20sales&open=true") == {"accepted", "running", "compensating", "stuck", "held"}
    assert states("target=nobody") == set()


def test_list_is_filtered_by_labels(api: Api) -> None:
    """A deployment must have all of them, however they are given; each row has its labels."""
    for name, labels in (("a", {"pr": "1", "team": "x"}), ("b", {"pr": "1"}), ("c", {"pr": "12"}), ("d", None)):
        api.saga.deployment(D.RUNNING, deployment_id=name, labels=labels)

    def found(query: str) -> dict[str, Any]:
        items = json_body(api.ask("GET", f"deployments?{query}"))["items"]
        return {item["deployment_id"]: item.get("labels") for item in items}

    assert found("label=pr%3D1") == {"a": {"pr": "1", "team": "x"}, "b": {"pr": "1"}}
    assert found("label=pr%3D1&label=team%3Dx") == found("label=pr%3D1,team%3Dx") == {"a": {"pr": "1", "team": "x"}}
    assert found("label=other%3D1") == {}
    assert len(found("")) == 4


def test_deployment_has_its_steps_without_internal_fields(api: Api) -> None:
    """Spec, claim and before-image are internal; the marker and the created resource are shown."""
    step = row(0, S.SUCCEEDED, spec={"displayName": "secret plan"}, claim=Claim("me", START, 3))
    step = step.replace(
        intent=Intent(IntentAction.UPDATE, "mark", {"description": "as it was"}, "id-1"),
        resource=Resource("Item", "id-1", "n"),
    )
    api.saga.deployment(D.SUCCEEDED, step)
    body = json_body(api.ask("GET", "deployments/d"))
    assert body["allowed"] == ["retire"]
    assert body["steps"][0]["intent"] == {"action": "update", "marker": "mark", "before_id": "id-1"}
    assert not {"spec", "claim"} & body["steps"][0].keys()
    assert body["steps"][0]["resource"]["id"] == "id-1"


def test_deployment_shows_an_approvals_question_and_approvers(api: Api) -> None:
    """A person needs them to decide; no other value of a step is shown, whether it is in the row or in a blob."""
    request = {"message": "ü" * 1000, "approvers": ["anna"]}
    spec = api.app.services.payloads.store({**request, "default": "reject"})
    assert "message" not in spec
    api.saga.deployment(D.RUNNING, row(0, S.PENDING, kind="approval", spec=spec, started_at=START))
    [step] = json_body(api.ask("GET", "deployments/d"))["steps"]
    assert step["asks"] == request
    assert "spec" not in step


def test_unchanged_deployment_is_not_sent_again(api: Api) -> None:
    """The answer is 304 for its ETag, weak or among others; any move of header or step changes the ETag."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    tags = [api.ask("GET", "deployments/d").headers["ETag"]]
    for given_tag in (tags[0], f"W/{tags[0]}", f'"x", {tags[0]}', "*"):
        reply = api.ask("GET", "deployments/d", headers={"If-None-Match": given_tag})
        assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", tags[0])
    api.saga.change(0, state=S.INTENT)
    tags.append(api.ask("GET", "deployments/d").headers["ETag"])
    api.saga.change_header(heartbeat_at=START)
    tags.append(api.ask("GET", "deployments/d").headers["ETag"])
    assert len(set(tags)) == 3
    assert api.ask("GET", "deployments/d", headers={"If-None-Match": tags[1]}).status == 200


@pytest.mark.parametrize("path", ["d", "d/audit", "d/graph", "a b", "-", "x" * 101, "%00"])
def test_missing_deployment_is_404(api: Api, path: str) -> None:
    """This holds for an unknown id and for an invalid one."""
    assert api.ask("GET", f"deployments/{path}").status == 404


def test_audit_names_steps_and_outlives_the_deployment(api: Api) -> None:
    """Oldest first, with the step's id; after the purge the entries are still returned."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    api.saga.change(0, state=S.SKIPPED)
    items = json_body(api.ask("GET", "deployments/d/audit"))["items"]
    assert [(i["subject"], i.get("step_id"), i["after"]) for i in items] == [
        ("deployment", None, "running"),
        ("step_00000", "s0", "skipped"),
    ]
    api.saga.change_header(state=D.SUCCEEDED)
    api.journal.purge("d")
    assert len(json_body(api.ask("GET", "deployments/d/audit"))["items"]) == 3
    assert api.ask("GET", "deployments/d").status == 404


def test_graph_is_what_was_compiled(api: Api) -> None:
    """Needs by name, and the waves in which the steps may run; a step that is not written yet is left out."""
    rows = [row(0, S.PENDING), row(1, S.PENDING), row(2, S.PENDING, needs=(0,)), row(3, S.PENDING, needs=(1, 2, 9))]
    api.saga.deployment(D.ACCEPTED, *rows)
    plan = json_body(api.ask("GET", "deployments/d/graph"))
    assert plan["waves"] == [["s0"], ["s1", "s2"], ["s3"]]
    assert plan["steps"][3]["needs"] == ["s1", "s2"]


def test_failing_storage_is_503_with_a_retry_after(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets no reason."""

    def broken(*_: object, **__: object) -> None:
        raise StorageUnavailableError("table storage at secret.example: no answer")

    monkeypatch.setattr(api.journal, "page", broken)
    reply = api.ask("GET", "deployments")
    assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
    assert b"secret.example" not in reply.body


def test_internal_error_is_500_with_an_id_for_the_log(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The body has no text of the exception; the log has it under the same id."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("do not show this")

    monkeypatch.setattr(api.journal, "page", broken)
    reply = api.ask("GET", "deployments")
    assert reply.status == 500
    assert b"do not show" not in reply.body
    assert json_body(reply)["correlation_id"] in caplog.text
    assert "do not show this" in caplog.text
