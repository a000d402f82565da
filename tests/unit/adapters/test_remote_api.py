"""The command line over HTTP: how each response is mapped, and where the key is never sent."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from shared.adapters.remote_api import RemoteAdmin, RemoteApi, RemoteJournal, key_header
from shared.domain import errors
from shared.domain.records import AuditEntry
from shared.domain.states import DeploymentState as D
from shared.saga.dry_run.result import DryRun
from tests.contract.harness import a_header, a_step
from tests.fakes import START


class Wire(requests.Session):
    """A session that answers from a list, and records the requests."""

    def __init__(self, *answers: tuple[int, Any, dict[str, str]] | Exception) -> None:
        super().__init__()
        self.answers, self.asked = list(answers), list[tuple[str, str, dict[str, Any]]]()

    def request(self, method: Any, url: Any, *_: Any, **options: Any) -> requests.Response:
        """Return the next response."""
        self.asked.append((method, url, options))
        next_one = self.answers.pop(0)
        if isinstance(next_one, Exception):
            raise next_one
        answer = requests.Response()
        answer.status_code, body, headers = next_one
        answer._content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer.headers.update(
            {"Content-Type": "text/html" if isinstance(body, bytes) else "application/json", **headers}
        )
        return answer


def api(
    *answers: tuple[int, Any, dict[str, str]] | Exception, url: str = "https://app.example"
) -> tuple[RemoteApi, Wire]:
    """Return an API over a scripted session."""
    remote, wire = RemoteApi(url, key_header("key")), Wire(*answers)
    wire.headers.update(remote._session.headers)
    remote._session = wire
    return remote, wire


@pytest.mark.parametrize(
    "url", ["http://app.example", "app.example", "ftp://app.example", "https://", "https://app.example?code=x", ""]
)
def test_remote_address_that_would_expose_the_key_is_refused(url: str) -> None:
    """It refuses plain http to another machine, and invalid addresses."""
    with pytest.raises(errors.SagaError):
        RemoteApi(url, key_header("key"))


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://app.example", "https://app.example/api/x"),
        ("https://app.example/", "https://app.example/api/x"),
        ("https://app.example/api", "https://app.example/api/x"),
        ("https://gateway.example/saga/api/", "https://gateway.example/saga/api/x"),
        ("http://127.0.0.1:7071", "http://127.0.0.1:7071/api/x"),
    ],
)
def test_remote_address_may_be_the_apps_or_the_apis(url: str, asked: str) -> None:
    """The address may end with `/api` or not. Redirects are not followed, because they would send the key elsewhere."""
    remote, wire = api((200, {}, {}), url=url)
    remote.get("/x")
    assert (wire.asked[0][1], wire.asked[0][2]["allow_redirects"]) == (asked, False)


@pytest.mark.parametrize(
    ("answer", "expected", "expected_text"),
    [
        (requests.ConnectionError("at secret.example"), errors.StorageUnavailableError, "does not answer"),
        (requests.Timeout(), errors.StorageUnavailableError, "does not answer"),
        ((503, {"detail": "later"}, {}), errors.StorageUnavailableError, "503: later"),
        ((500, b"<html>", {}), errors.StorageUnavailableError, "500"),
        ((401, b"", {}), errors.StorageAuthError, "FUNCTION_KEY"),
        ((403, b"", {}), errors.StorageAuthError, "FUNCTION_KEY"),
        ((404, {"detail": "no such"}, {}), errors.NotFoundError, "no such"),
        ((409, {"detail": "another's"}, {}), errors.ConflictError, "another's"),
        ((400, {"detail": "x", "problems": [{"path": "$.a", "message": "b"}]}, {}), errors.InvalidInputError, "$.a: b"),
        ((413, {"detail": "too large"}, {}), errors.SagaError, "too large"),
        ((404, b"", {}), errors.SagaError, "app.example is not this app"),
        ((200, b"<html>", {}), errors.SagaError, "app.example is not this app"),
        ((302, b"", {"Location": "https://elsewhere.example"}), errors.SagaError, "302"),
        ((400, b"[1]", {}), errors.SagaError, "400"),
    ],
)
def test_remote_response_is_an_error_of_the_app(answer: Any, expected: type[Exception], expected_text: str) -> None:
    """Therefore the command line's exit codes are the same as over storage."""
    remote, _ = api(answer)
    with pytest.raises(expected, match=expected_text.replace("$", r"\$")) as caught:
        remote.get("/x")
    assert "secret.example" not in str(caught.value)


ODD_BODIES: list[Any] = [None, [], "x", 7, {}, {"items": None}, {"items": [None]}, {"items": {}}, {"steps": [7]}]


@pytest.mark.parametrize("body", ODD_BODIES)
@pytest.mark.parametrize(
    "read",
    [
        lambda remote: RemoteJournal(remote).page(10),
        lambda remote: RemoteJournal(remote).audit("d"),
        lambda remote: RemoteJournal(remote).header("d"),
        lambda remote: RemoteJournal(remote).steps("d"),
        lambda remote: RemoteAdmin(remote).breakers.items(),
        lambda remote: DryRun.from_json(RemoteAdmin(remote).plan({})),
    ],
)
def test_remote_answer_of_another_program_is_an_error_of_the_app(read: Callable[[RemoteApi], Any], body: Any) -> None:
    """A proxy or another service answers with JSON too."""
    remote, _ = api((200, body, {}))
    with pytest.raises(errors.SagaError, match=r"app\.example is not this app|cannot be read"):
        read(remote)


@pytest.mark.parametrize("rows", [{}, [None], [7], "x", [{"path": 1, "message": [], "count": "many"}], [{"count": -1}]])
def test_remote_problems_of_another_program_are_an_error_of_the_app(rows: Any) -> None:
    remote, _ = api((400, {"detail": "x", "problems": rows}, {}))
    with pytest.raises(errors.SagaError):
        remote.get("/x")


def one(state: D, *, etag: str) -> tuple[int, Any, dict[str, str]]:
    """Return a response with a deployment."""
    return 200, {**a_header("d", state=state).to_json(), "steps": [], "allowed": []}, {"ETag": etag}


def test_remote_read_is_one_request_and_conditional() -> None:
    """Steps come with their header; the next read sends the ETag, and a 304 means that the known copy is current."""
    remote, wire = api(one(D.RUNNING, etag='"1"'), (304, b"", {}), one(D.SUCCEEDED, etag='"2"'))
    journal = RemoteJournal(remote)
    states = []
    for _ in range(3):
        states.append(journal.header("d").record.state)
        assert journal.steps("d") == []
    assert states == [D.RUNNING, D.RUNNING, D.SUCCEEDED]
    assert [options["headers"].get("If-None-Match") for _, _, options in wire.asked] == [None, '"1"', '"1"']


def test_remote_read_contains_the_question_of_an_approval() -> None:
    """The command line can then show what to decide; the values of other steps are not sent."""
    asks = {"message": "Go live?", "approvers": ["anna"]}
    rows = [a_step("d", 0, kind="approval").to_json() | {"asks": asks}, a_step("d", 1).to_json()]
    for row in rows:
        del row["spec"]
    remote, _ = api((200, {**a_header("d").to_json(), "steps": rows, "allowed": []}, {"ETag": '"1"'}))
    assert [step.record.spec for step in RemoteJournal(remote).steps("d")] == [asks, {}]


def test_remote_list_reads_as_many_pages_as_it_needs() -> None:
    """It returns no more rows than requested."""
    rows = [a_header(f"d{i}").to_json() for i in range(6)]
    remote, wire = api((200, {"items": rows[:3], "next": "c"}, {}), (200, {"items": rows[3:], "next": "d"}, {}))
    found = RemoteJournal(remote).page(5, target="t", open_only=True, labels={"pr": "1", "team": "x"})
    assert [h.deployment_id for h in found] == ["d0", "d1", "d2", "d3", "d4"]
    assert wire.asked[1][2]["params"] == {
        "target": "t",
        "open": "true",
        "label": "pr=1,team=x",
        "limit": "5",
        "cursor": "c",
    }


def test_remote_audit_has_all_pages() -> None:
    """An app of an earlier version sends one page without `next`, and knows no parameters."""
    rows = [AuditEntry(START, "deployment", "", "running", "saga", f"{i}", i).to_json() for i in range(3)]
    remote, wire = api((200, {"items": rows[:2], "next": "c"}, {}), (200, {"items": rows[2:], "next": None}, {}))
    assert [entry.sequence for entry in RemoteJournal(remote).audit("d")] == [0, 1, 2]
    assert [options["params"] for _, _, options in wire.asked] == [{}, {"cursor": "c"}]
    remote, _ = api((200, {"items": rows}, {}))
    assert len(RemoteJournal(remote).audit("d")) == 3


def test_remote_messages_become_requests() -> None:
    """A command, a submission, a submission too large for a message, and an unreadable one."""
    remote, wire = api(*[(202, {}, {})] * 4)
    desk = RemoteAdmin(remote)
    desk.submit(
        json.dumps({"command": "approve", "deployment_id": "d", "requested_by": "a", "step": "s", "reason": ""})
    )
    desk.submit(json.dumps({"deployment_id": "d", "requested_by": "a", "manifest": {"name": "m"}}))
    desk.submit(json.dumps({"deployment_id": "d", "requested_by": "", "manifest_blob": desk.put(b"large")}))
    desk.submit(json.dumps({"deployment_id": "d", "requested_by": "", "manifest_text": "{"}))
    paths = [url.removeprefix("https://app.example/api") for _, url, _ in wire.asked]
    assert paths == ["/deployments/d/approve", *["/deployments"] * 3]
    bodies = [options["data"] for _, _, options in wire.asked]
    assert bodies == [b'{"requested_by":"a","step":"s"}', b'{"name":"m"}', b"large", b"{"]
    assert [options["params"] for _, _, options in wire.asked] == [
        None,
        {"id": "d", "requested_by": "a"},
        {"id": "d"},
        {"id": "d"},
    ]
