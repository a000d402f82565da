"""The client of Fabric over a scripted transport: where tokens are sent, what is retried, how pages and operations are
read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from shared.adapters.fabric.client import FabricClient
from shared.adapters.fabric.transport import AnswerLostError, NothingSentError
from shared.domain.errors import (
    FabricAmbiguousError,
    FabricAuthError,
    FabricConflictError,
    FabricError,
    FabricNotFoundError,
    FabricRefusedError,
    FabricTransientError,
)
from shared.domain.ports import FabricReply, OperationStarted, OperationStatus
from shared.domain.states import OperationState as State

BASE = "https://api.fabric.microsoft.com"
OPERATION = "0acd697c-1550-43cd-b998-91bfb12347c6"
type Answer = tuple[int, dict[str, str], bytes] | Exception


@dataclass(frozen=True)
class Sent:
    """One request as the transport received it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None

    @property
    def token(self) -> str:
        """Return the bearer token."""
        return self.headers["authorization"].removeprefix("Bearer ")


class Script:
    """A transport that returns these answers in turn, and then the last one."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.sent: list[Sent] = []

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Return the next answer."""
        self.sent.append(Sent(method, url, dict(headers), body))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Numbered:
    """Tokens t0, t1, ...: a new one after each refusal."""

    def __init__(self) -> None:
        self._number = 0
        self.refused: list[str] = []

    def token(self) -> str:
        """Return the present token."""
        return f"t{self._number}"

    def invalidate(self, token: str) -> None:
        """Move on to the next token."""
        self.refused.append(token)
        self._number += 1


def ok(body: object = None, status: int = 200, **headers: str) -> Answer:
    """Return a JSON response."""
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return status, named, b"" if body is None else json.dumps(body).encode()


def client(script: Script, tokens: Numbered | None = None, **options: Any) -> FabricClient:
    """Return a client that does not sleep."""
    return FabricClient(BASE, tokens or Numbered(), script, sleep=lambda _: None, **options)


# --- where a token may go ---------------------------------------------------------------------------------------

ALLOWED = [
    f"https://wabi-west-europe-redirect.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://api.fabric.microsoft.com/v1/operations/{OPERATION}",
    f"https://API.Fabric.Microsoft.com/v1/operations/{OPERATION}",
    f"https://wabi.analysis.windows.net:443/v1/operations/{OPERATION}",
    f"https://api.powerbi.com/v1/operations/{OPERATION}",
]
HOSTILE = [
    f"https://evilanalysis.windows.net/v1/operations/{OPERATION}",
    f"https://analysis.windows.net.evil.example/v1/operations/{OPERATION}",
    f"https://wabi.analysis.windows.net.evil.example/v1/operations/{OPERATION}",
    f"https://evil.example/wabi.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://evil.example?.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://evil.example#.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://evil.example\\.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://evil.example\\@wabi.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://evil.example%2f.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://evil.example%5c.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://evil.example\t.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://evil.example\n.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://evil.example\x00.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://evil.example .analysis.windows.net/v1/operations/{OPERATION}",
    f"https://evil.example\uff0f.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://evil.example\u2100.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://wabi\u3002analysis.windows.net@evil.example/v1/operations/{OPERATION}",
    f"https://user@wabi.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://user:secret@wabi.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://@wabi.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://wabi.analysis.windows.net@evil.example/v1/operations/{OPERATION}",
    f"https://wabi.analysis.windows.net:443@evil.example/v1/operations/{OPERATION}",
    f"https://wabi.analysis.windows.net:8443/v1/operations/{OPERATION}",
    f"https://wabi.analysis.windows.net:0/v1/operations/{OPERATION}",
    f"https://wabi.analysis.windows.net:99999/v1/operations/{OPERATION}",
    f"https://wabi.analysis.windows.net:443x/v1/operations/{OPERATION}",
    f"https://wabi.analysis.windows.net./v1/operations/{OPERATION}",
    f"http://wabi.analysis.windows.net/v1/operations/{OPERATION}",
    f"http://api.fabric.microsoft.com/v1/operations/{OPERATION}",
    f"ftp://wabi.analysis.windows.net/v1/operations/{OPERATION}",
    f"file://wabi.analysis.windows.net/v1/operations/{OPERATION}",
    f"//wabi.analysis.windows.net/v1/operations/{OPERATION}",
    f"/v1/operations/{OPERATION}",
    f"https:///v1/operations/{OPERATION}",
    f"https:wabi.analysis.windows.net/v1/operations/{OPERATION}",
    f"https://wabi.analysis.windows.net/v1/operations/{OPERATION}#fragment",
    f"https://[::1]/v1/operations/{OPERATION}",
    f"https://[::1%25.analysis.windows.net]/v1/operations/{OPERATION}",
    f"https://[2001:db8::1%25x.powerbi.com]/v1/operations/{OPERATION}",
    f"https://[v1.analysis.windows.net]/v1/operations/{OPERATION}",
    "https://[broken/v1/operations/x",
    f"http://127.0.0.1/v1/operations/{OPERATION}",
    f"https://127.0.0.1/v1/operations/{OPERATION}",
    "",
]


@pytest.mark.parametrize("location", ALLOWED)
def test_location_of_fabric_is_polled(location: str) -> None:
    """An operation on one of Fabric's own hosts is polled at the given address, without its query."""
    script = Script(ok({"status": "Running"}))
    client(script).poll(OPERATION, f"{location}/?api=1")
    assert [s.url for s in script.sent] == [location]


@pytest.mark.parametrize("location", HOSTILE)
def test_location_elsewhere_never_gets_the_token(location: str) -> None:
    """For any other Location the token goes to the API's own host, as requests itself parses the address."""
    script = Script(ok({"status": "Succeeded"}, location="x"))
    fabric = client(script)
    assert not fabric.is_allowed(location)
    fabric.poll(OPERATION, location)
    fabric.result(OPERATION, location)
    assert [s.url for s in script.sent] == [
        f"{BASE}/v1/operations/{OPERATION}",
        f"{BASE}/v1/operations/{OPERATION}/result",
    ]


@pytest.mark.parametrize("location", [*ALLOWED, *HOSTILE])
def test_location_that_is_allowed_is_parsed_alike_by_requests(location: str) -> None:
    """A difference between the two parsers must not leak a token: requests sends to the host that the client
    allowed."""
    if client(Script(ok())).is_allowed(location):
        prepared = requests.Request("GET", location).prepare().url or ""
        assert (urlsplit(prepared).hostname or "").endswith((".microsoft.com", ".analysis.windows.net", ".powerbi.com"))


@pytest.mark.parametrize(
    ("host", "location", "allowed"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/v1/operations/x", True),
        ("[::1]:8080", "http://[::1]:8080/v1/operations/x", True),
        ("127.0.0.1:8080", "http://127.0.0.1:8081/v1/operations/x", False),
        ("127.0.0.1:8080", "http://127.0.0.1:8080@evil.example/x", False),
        ("proxy.example", "https://proxy.example/x", True),
        ("proxy.example", "http://proxy.example/x", False),
        ("proxy.example", "https://sub.proxy.example/x", False),
    ],
)
def test_location_allowed_by_settings_is_exactly_that_host_and_port(host: str, location: str, allowed: bool) -> None:
    """A host in the settings is allowed as written, and without TLS only on this machine."""
    assert client(Script(ok()), operation_hosts=frozenset({host})).is_allowed(location) == allowed


@pytest.mark.parametrize("operation", ["", "..", "a/b", "x" * 65, "a?b", "a#b", "a b", "a\n", "é"])
def test_operation_id_that_is_not_valid_is_refused(operation: str) -> None:
    """Only a valid operation id becomes a part of an address."""
    script = Script(ok())
    with pytest.raises(FabricRefusedError, match="not an operation id"):
        client(script).poll(operation, None)
    assert script.sent == []


def test_path_and_query_are_escaped() -> None:
    """A name in a path or a query cannot become another part of the address."""
    script = Script(ok({}))
    client(script).get("/workspaces/a b?c#d", {"name": "x&y=z/é", "n": "1"})
    address = urlsplit(script.sent[0].url)
    assert (address.netloc, address.path) == ("api.fabric.microsoft.com", "/v1/workspaces/a%20b%3Fc%23d")
    assert parse_qs(address.query) == {"name": ["x&y=z/é"], "n": ["1"]}


# --- reads ------------------------------------------------------------------------------------------------------


def test_get_returns_the_body() -> None:
    """It is one request, with the token and without a body."""
    script = Script(ok({"id": "x"}))
    assert client(script).get("/workspaces/x") == {"id": "x"}
    (sent,) = script.sent
    assert (sent.method, sent.url, sent.token, sent.body) == ("GET", f"{BASE}/v1/workspaces/x", "t0", None)


@pytest.mark.parametrize("raw", [b"null", b" null\n"])
def test_get_of_null_is_empty(raw: bytes) -> None:
    assert client(Script((200, {}, raw))).get("/x") == {}


@pytest.mark.parametrize("raw", [b"", b" \r\n"])
def test_read_without_a_body_is_transient(raw: bytes) -> None:
    """A response that was cut after its headers has no body: it is neither an empty list nor a running operation."""
    calls: list[Callable[[FabricClient], object]] = [
        lambda f: f.get("/x"),
        lambda f: list(f.list("/x")),
        lambda f: f.poll(OPERATION, None),
        lambda f: f.result(OPERATION, None),
    ]
    for call in calls:
        with pytest.raises(FabricTransientError, match="empty"):
            call(client(Script((200, {}, raw))))


@pytest.mark.parametrize("fault", [AnswerLostError("x"), NothingSentError("x"), ok({}, 500), ok({}, 503), ok({}, 408)])
def test_read_is_retried_after_a_transient_fault(fault: Answer) -> None:
    script = Script(fault, fault, ok({"id": "x"}))
    assert client(script).get("/x") == {"id": "x"}
    assert len(script.sent) == 3


def test_read_is_sent_at_most_three_times() -> None:
    """The last error is transient, because a read has no effect that could be in doubt."""
    for fault in (AnswerLostError("x"), NothingSentError("x"), ok({}, 500)):
        script = Script(fault)
        with pytest.raises(FabricTransientError) as caught:
            client(script).get("/x")
        assert not isinstance(caught.value, FabricAmbiguousError)
        assert len(script.sent) == 3


@pytest.mark.parametrize(
    "refusal",
    [
        ok({}, 400),
        ok({}, 403),
        ok({}, 404),
        ok({}, 409),
        ok({}, 429),
        ok({}, 429, retry_after="1"),
        ok({}, 503, retry_after="30"),
        ok({"errorCode": "WorkspacePreviousOperationInProgress"}, 400),
    ],
)
def test_read_is_not_retried_if_that_would_not_help(refusal: Answer) -> None:
    """A refusal is final. If Fabric names a time or is busy, the client does not wait: the engine reschedules the
    step."""
    script = Script(refusal)
    with pytest.raises(FabricError):
        client(script).get("/x")
    assert len(script.sent) == 1


def test_read_stops_within_its_time_budget() -> None:
    """The retries end with the delivery's seconds, whatever the number of attempts."""
    script = Script(AnswerLostError("x"))
    with pytest.raises(FabricTransientError):
        client(script, attempts=50, budget_seconds=0.0).get("/x")
    assert len(script.sent) == 1


@pytest.mark.parametrize(
    "raw", [b"<html>proxy</html>", b"{", b"[1]", b'"text"', b"7", b"\xff\xfe", b"[" * 100_000, b'{"a":1}{"b":2}']
)
def test_read_of_a_body_that_is_not_json_is_transient(raw: bytes) -> None:
    """A success whose body is not a JSON object comes from a proxy or was cut off, so it does not count as a
    response."""
    script = Script((200, {"content-type": "text/html"}, raw))
    with pytest.raises(FabricTransientError, match="not JSON"):
        client(script).get("/x")


def test_error_in_html_keeps_its_status() -> None:
    """A gateway's page with an error status is that error."""
    with pytest.raises(FabricTransientError) as caught:
        client(Script((502, {}, b"<html>Bad gateway</html>"))).get("/x")
    assert caught.value.status == 502
    with pytest.raises(FabricNotFoundError):
        client(Script((404, {}, b"<html>"))).get("/x")


# --- mutating calls ---------------------------------------------------------------------------------------------


def test_send_is_never_repeated_after_a_lost_response() -> None:
    """It may have taken effect: it is sent once, and the engine looks before it acts again."""
    for fault in (AnswerLostError("reset"), ok({}, 500), ok({}, 502), ok({}, 408), (200, {}, b"<html>")):
        script = Script(fault, ok({"id": "second"}, 201))
        with pytest.raises(FabricAmbiguousError):
            client(script).send("POST", "/workspaces", {"displayName": "x"})
        assert len(script.sent) == 1


def test_send_is_retried_if_nothing_was_sent() -> None:
    """Without a connection nothing took effect: the call is sent again, and only one arrives."""
    script = Script(NothingSentError("refused"), NothingSentError("refused"), ok({"id": "x"}, 201))
    assert client(script).send("POST", "/workspaces", {"displayName": "é"}) == FabricReply(201, {"id": "x"})
    assert len(script.sent) == 3
    assert {s.body for s in script.sent} == {json.dumps({"displayName": "é"}).encode()}
    assert {s.headers["content-type"] for s in script.sent} == {"application/json"}


def test_send_without_a_connection_is_transient_and_not_ambiguous() -> None:
    """After the last attempt it is still certain that nothing took effect."""
    script = Script(NothingSentError("refused"))
    with pytest.raises(FabricTransientError) as caught:
        client(script).send("DELETE", "/workspaces/x")
    assert not isinstance(caught.value, FabricAmbiguousError)
    assert len(script.sent) == 3


def test_send_that_was_lost_after_a_refused_connection_is_not_repeated() -> None:
    """After one request was sent, no other one is."""
    script = Script(NothingSentError("refused"), AnswerLostError("reset"), ok({}, 201))
    with pytest.raises(FabricAmbiguousError):
        client(script).send("POST", "/x", {})
    assert len(script.sent) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (ok({"errorCode": "WorkspaceNameAlreadyExists"}, 400), FabricConflictError),
        (ok({}, 429, retry_after="2.5"), FabricTransientError),
        (ok({}, 302, location="https://evil.example/"), FabricRefusedError),
        (ok({}, 403), FabricAuthError),
    ],
)
def test_send_that_is_refused_is_not_retried(answer: Answer, kind: type[FabricError]) -> None:
    """A refusal, a redirect or a throttle of a mutating call is raised at once."""
    script = Script(answer)
    with pytest.raises(kind) as caught:
        client(script).send("POST", "/x", {})
    assert type(caught.value) is kind
    assert len(script.sent) == 1


@pytest.mark.parametrize("raw", [b"null", b"", b"  "])
def test_send_with_an_empty_response_has_no_body(raw: bytes) -> None:
    """Fabric answers a deletion with nothing, and some calls with null: both are None."""
    script = Script((200, {}, raw))
    assert client(script).send("DELETE", "/workspaces/x") == FabricReply(200, None)
    assert "content-type" not in script.sent[0].headers


# --- 401 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["get", "send"])
def test_refused_token_is_renewed_once_and_the_call_sent_again(call: str) -> None:
    """Fabric did not process a call that it answered with 401, so the same call is sent again with a new token."""
    tokens, script = Numbered(), Script(ok({}, 401), ok({"id": "x"}))
    fabric = client(script, tokens)
    found = fabric.get("/x") if call == "get" else fabric.send("POST", "/x", {"a": 1}).body
    assert found == {"id": "x"}
    assert [s.token for s in script.sent] == ["t0", "t1"]
    assert (script.sent[0].method, script.sent[0].url, script.sent[0].body) == (
        script.sent[1].method,
        script.sent[1].url,
        script.sent[1].body,
    )
    assert tokens.refused == ["t0"]


@pytest.mark.parametrize("call", ["get", "send"])
def test_token_refused_twice_is_an_error_for_a_person(call: str) -> None:
    """The second 401 is raised, without a third request."""
    script = Script(ok({"errorCode": "TokenExpired", "message": "m"}, 401))
    fabric = client(script)
    with pytest.raises(FabricAuthError):
        fabric.get("/x") if call == "get" else fabric.send("POST", "/x", {})
    assert len(script.sent) == 2


def test_response_lost_after_the_second_sending_is_ambiguous() -> None:
    """The second request was sent and may have taken effect."""
    script = Script(ok({}, 401), AnswerLostError("reset"), ok({}, 201))
    with pytest.raises(FabricAmbiguousError):
        client(script).send("POST", "/x", {})
    assert len(script.sent) == 2


# --- pages ------------------------------------------------------------------------------------------------------


def pages(count: int) -> list[Answer]:
    """Return pages of two rows, linked by tokens."""
    return [
        ok({"value": [{"n": 2 * i}, {"n": 2 * i + 1}], **({"continuationToken": f"t/{i}=&"} if i < count - 1 else {})})
        for i in range(count)
    ]


def test_list_reads_ten_pages_in_order() -> None:
    """Every page is requested with the token of the page before and the query of the first."""
    script = Script(*pages(10))
    assert [row["n"] for row in client(script).list("/workspaces", {"type": "X"})] == list(range(20))
    queries = [parse_qs(urlsplit(s.url).query) for s in script.sent]
    assert queries[0] == {"type": ["X"]}
    assert queries[1:] == [{"type": ["X"], "continuationToken": [f"t/{i}=&"]} for i in range(9)]


def test_list_is_lazy() -> None:
    """A caller that has found its row requests no further page."""
    script = Script(*pages(10))
    assert next(client(script).list("/workspaces"))["n"] == 0
    assert len(script.sent) == 1


@pytest.mark.parametrize("period", [1, 3])
def test_list_with_a_repeated_token_is_refused(period: int) -> None:
    """Pages that form a cycle end in an error, not in an endless loop or an incomplete list."""
    answers = [ok({"value": [{}], "continuationToken": str(i)}) for i in range(period)]
    script = Script(*answers, *answers)
    with pytest.raises(FabricRefusedError, match="round in a circle"):
        list(client(script).list("/workspaces"))
    assert len(script.sent) == period + 1


@pytest.mark.parametrize(
    "body",
    [
        {"value": []},
        {"value": [], "continuationToken": None},
        {"value": [], "continuationToken": ""},
        {"value": [], "continuationToken": None, "continuationUri": "https://evil.example/"},
        {"data": []},
    ],
)
def test_list_without_rows_is_empty(body: dict[str, Any]) -> None:
    """An empty page without a token is the end."""
    script = Script(ok(body))
    assert list(client(script).list("/workspaces")) == []
    assert len(script.sent) == 1


@pytest.mark.parametrize("token", [5, 0, True, ["a"], {"a": 1}])
def test_page_whose_token_is_not_a_text_is_not_the_last_one(token: Any) -> None:
    """The rows after it would count as missing: what exists would be created again, or deleted with its workspace."""
    script = Script(ok({"value": [{"n": 1}], "continuationToken": token}))
    with pytest.raises(FabricTransientError, match="continuationToken"):
        list(client(script).list("/workspaces"))


def test_half_of_a_character_in_an_answer_is_replaced() -> None:
    """It has no UTF-8, so a later request, whose address or definition contains it, could not be made."""
    text = json.dumps({"id": "a\ud800", "displayName": "\U0001f600 \ude00", "x": [{"\udc00": "\ud83d"}]})
    found = client(Script((200, {}, text.encode()))).get("/workspaces/1")
    assert found == {"id": "a\ufffd", "displayName": "\U0001f600 \ufffd", "x": [{"\ufffd": "\ufffd"}]}
    raw = b'{"id": "a\xed\xa0\x80"}'
    assert "\ud800" not in client(Script((200, {}, raw))).get("/workspaces/1")["id"]


def test_list_continues_after_an_empty_page() -> None:
    """A page may be empty and still name the next one; the other name of the rows is read too."""
    script = Script(ok({"value": [], "continuationToken": "a"}), ok({"data": [{"n": 1}]}))
    assert list(client(script).list("/workspaces")) == [{"n": 1}]


def test_list_retries_a_page_and_loses_none() -> None:
    """After a fault between pages only that page is requested again."""
    answers = pages(3)
    script = Script(answers[0], AnswerLostError("x"), answers[1], ok({}, 503), answers[2])
    assert [row["n"] for row in client(script).list("/workspaces")] == list(range(6))


def test_list_that_fails_is_an_error_and_not_a_short_list() -> None:
    """A page that cannot be read raises an error, so that no caller takes an incomplete list for the whole."""
    script = Script(pages(3)[0], ok({}, 403))
    rows = client(script).list("/workspaces")
    assert [next(rows)["n"], next(rows)["n"]] == [0, 1]
    with pytest.raises(FabricAuthError):
        next(rows)


# --- operations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "operation"),
    [
        ({}, None),
        ({"location": ""}, None),
        ({"location": "https://[broken"}, None),
        ({"location": "https://[broken", "x-ms-operation-id": "op"}, OperationStarted("op", "https://[broken", None)),
        ({"x-ms-operation-id": "op"}, OperationStarted("op", None, None)),
        ({"location": f"{BASE}/v1/operations/op/?x=1"}, OperationStarted("op", f"{BASE}/v1/operations/op/?x=1", None)),
        (
            {"location": "https://h/v1/operations/other", "x-ms-operation-id": "op", "retry-after": "20"},
            OperationStarted("op", "https://h/v1/operations/other", 20.0),
        ),
        ({"x-ms-operation-id": "op", "retry-after": "soon"}, OperationStarted("op", None, None)),
        ({"x-ms-operation-id": " op "}, OperationStarted("op", None, None)),
        (
            {"location": "https://h/v1/operations/other", "x-ms-operation-id": "o_p/.."},
            OperationStarted("other", "https://h/v1/operations/other", None),
        ),
        ({"location": "https://h/v1/operations/o_p"}, None),
    ],
)
@pytest.mark.parametrize("raw", [b"", b"null"])
def test_accepted_call_has_its_operation_or_none(
    headers: dict[str, str], operation: OperationStarted | None, raw: bytes
) -> None:
    """A 202 took effect, whatever its headers: with an id it can be polled, and without one it has no operation."""
    reply = client(Script((202, headers, raw))).send("POST", "/x", {})
    assert reply == FabricReply(202, None, operation)


def test_operation_is_returned_only_for_a_202() -> None:
    """The Location of a 201 is the resource itself."""
    reply = client(Script(ok({"id": "x"}, 201, location=f"{BASE}/v1/workspaces/x"))).send("POST", "/x", {})
    assert reply == FabricReply(201, {"id": "x"}, None)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"status": "NotStarted"}, {}, OperationStatus(State.RUNNING, False)),
        (
            {"status": "Running", "percentComplete": 50},
            {"location": "x"},
            OperationStatus(State.RUNNING, False),
        ),
        ({"status": "Undefined"}, {}, OperationStatus(State.RUNNING, False)),
        ({}, {}, OperationStatus(State.RUNNING, False)),
        ({"status": None}, {}, OperationStatus(State.RUNNING, False)),
        ({"status": "Succeeded"}, {"location": "https://x/result"}, OperationStatus(State.SUCCEEDED, True)),
        ({"status": "succeeded"}, {}, OperationStatus(State.SUCCEEDED, False)),
        ({"status": "Failed"}, {}, OperationStatus(State.FAILED, False)),
        (
            {"status": "Failed", "error": None},
            {"requestid": "r"},
            OperationStatus(State.FAILED, False, request_id="r"),
        ),
        (
            {"status": "Failed", "error": {"errorCode": "C", "message": "m", "isRetriable": True, "requestId": "q"}},
            {"requestid": "r"},
            OperationStatus(State.FAILED, False, "C", "m", True, "q"),
        ),
        (
            {"status": "Failed", "error": {"errorCode": "C", "isRetriable": "yes"}},
            {},
            OperationStatus(State.FAILED, False, "C"),
        ),
        (
            {"status": "Failed", "error": {"errorCode": {"a": 1}, "message": ["m"], "requestId": 7}},
            {},
            OperationStatus(State.FAILED, False),
        ),
    ],
)
def test_poll_reads_the_state_of_an_operation(
    body: dict[str, Any], headers: dict[str, str], status: OperationStatus
) -> None:
    """An unknown state counts as running; a failure contains Fabric's error."""
    assert client(Script((200, headers, json.dumps(body).encode()))).poll(OPERATION, None) == status


def test_result_of_an_operation_may_be_absent() -> None:
    """OperationHasNoResult and null are None; any other refusal is raised."""
    absent = ok({"errorCode": "OperationHasNoResult", "message": "The operation has no result"}, 400)
    assert client(Script(absent)).result(OPERATION, None) is None
    assert client(Script((200, {}, b"null"))).result(OPERATION, None) is None
    assert client(Script(ok({"id": "x"}))).result(OPERATION, None) == {"id": "x"}
    for refusal in (ok({"errorCode": "OperationNotFound"}, 404), ok({}, 400), ok({}, 500)):
        with pytest.raises(FabricError):
            client(Script(refusal)).result(OPERATION, None)


def test_errors_name_the_call_and_contain_no_token() -> None:
    calls: list[Callable[[FabricClient], object]] = [
        lambda f: f.get("/workspaces/x", {"secret": "q"}),
        lambda f: f.send("POST", "/workspaces/x", {"password": "hunter2"}),
        lambda f: f.poll(OPERATION, None),
    ]
    for fault in (AnswerLostError("reset"), NothingSentError("refused"), ok({}, 401), ok({}, 500), (200, {}, b"<")):
        for call in calls:
            with pytest.raises(FabricError) as caught:
                call(client(Script(fault)))
            text = str(caught.value)
            assert "/x:" in text or OPERATION in text
            assert not any(secret in text for secret in ("t0", "t1", "hunter2", "Bearer"))


def test_refusal_that_quotes_the_token_is_recorded_without_it() -> None:
    """The journal keeps what Fabric answered, but nothing that was sent to it."""

    class Long(Numbered):
        def token(self) -> str:
            return "sim.somebody.1234567890"

    script = Script(ok({"errorCode": "InvalidInput", "message": "no: sim.somebody.1234567890 (x)"}, 400))
    with pytest.raises(FabricRefusedError) as caught:
        client(script, Long()).get("/workspaces")
    assert caught.value.detail == "no: *** (x)"
