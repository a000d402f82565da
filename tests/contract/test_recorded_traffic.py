"""Real responses of Fabric, fed through the client: every recorded exchange becomes a typed answer."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from shared.adapters.fabric.client import FabricClient
from shared.domain.errors import (
    FabricAmbiguousError,
    FabricAuthError,
    FabricConflictError,
    FabricError,
    FabricNotFoundError,
    FabricRefusedError,
    FabricTransientError,
)
from shared.domain.ports import FabricReply, OperationStatus
from tests.conftest import reference

BASE = "https://api.fabric.microsoft.com"
BY_STATUS: dict[int, type[FabricError]] = {
    400: FabricRefusedError,
    401: FabricAuthError,
    403: FabricAuthError,
    404: FabricNotFoundError,
    409: FabricConflictError,
    429: FabricTransientError,
}
"""The error that a status suggests. The test names the recorded codes that are known to mean something else."""


class Recorded:
    """A transport that returns one recorded response, and records the requested URLs."""

    def __init__(self, exchange: Mapping[str, Any]) -> None:
        self._exchange = exchange
        self.urls: list[str] = []

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Return the recorded response."""
        self.urls.append(url)
        answer = self._exchange["response"]
        raw = b"" if answer is None else json.dumps(answer).encode()
        return self._exchange["status"], dict(self._exchange["headers"]), raw


class _Tokens:
    def token(self) -> str:
        return "t"

    def invalidate(self, token: str) -> None:
        return None


def replayed(exchange: Mapping[str, Any]) -> tuple[Any, Recorded]:
    """Return what the client makes of a recorded exchange, or the error that it raises."""
    transport = Recorded(exchange)
    fabric = FabricClient(BASE, _Tokens(), transport, attempts=1)
    address = urlsplit(exchange["path"])
    path, query = address.path.removeprefix("/v1"), dict(parse_qsl(address.query))
    try:
        if exchange["method"] != "GET":
            return fabric.send(exchange["method"], path, exchange["request"], query), transport
        parts = path.split("/")
        if parts[1] == "operations":
            location = f"https://{exchange['host']}/v1/operations/{parts[2]}"
            request = fabric.result if parts[-1] == "result" else fabric.poll
            return request(parts[2], location), transport
        if "value" in (exchange["response"] or {}) and exchange["response"].get("continuationToken") is None:
            return list(fabric.list(path, query)), transport
        return fabric.get(path, query), transport
    except FabricError as error:
        return error, transport


def lines(name: str) -> Iterator[Any]:
    """Yield the records of a file of recorded traffic."""
    for line in (reference("fabric_traffic") / name).read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


@pytest.fixture(scope="module")
def exchanges() -> list[Any]:
    """Return one exchange for each shape, route and status."""
    return list(lines("exchanges.jsonl"))


@pytest.fixture(scope="module")
def all_exchanges(exchanges: list[Any]) -> list[Any]:
    """Return the exchanges of whole recordings too."""
    return [*exchanges, *(e for c in lines("conversations.jsonl") for e in c["exchanges"])]


def label(exchange: Mapping[str, Any]) -> str:
    """Return a text that identifies the exchange."""
    return f"{exchange['cassette']} #{exchange['n']}: {exchange['method']} {exchange['path']}"


def test_recorded_success_is_returned_whole(all_exchanges: list[Any]) -> None:
    """Rows, body or nothing are as recorded, except for a null in a field of another type, which is left out."""
    seen = 0
    for exchange in all_exchanges:
        if exchange["status"] >= 300 or "/operations/" in exchange["path"]:
            continue
        found, _ = replayed(exchange)
        body = exchange["response"]
        if isinstance(found, FabricReply):
            assert (found.status, without_nulls(found.body)) == (exchange["status"], without_nulls(body)), label(
                exchange
            )
            assert (found.operation is None) or exchange["status"] == 202, label(exchange)
        else:
            assert without_nulls(found) == without_nulls(body["value"] if isinstance(found, list) else body), label(
                exchange
            )
        seen += 1
    assert seen > 300


def without_nulls(value: Any) -> Any:
    """Return an answer without its null fields."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def test_recorded_refusal_is_the_error_that_its_status_suggests(all_exchanges: list[Any]) -> None:
    """The error contains status, code, text and request id."""
    codes: set[str] = set()
    for exchange in all_exchanges:
        code = (exchange["response"] or {}).get("errorCode") if exchange["status"] >= 400 else None
        if exchange["status"] < 400 or code == "OperationHasNoResult":
            continue
        error, _ = replayed(exchange)
        body, headers = exchange["response"] or {}, exchange["headers"]
        assert isinstance(error, FabricError), label(exchange)
        expected = BY_STATUS.get(exchange["status"])
        if expected is None:
            expected = FabricTransientError if exchange["method"] == "GET" else FabricAmbiguousError
        known = {"ItemDisplayNameAlreadyInUse", "WorkspaceNameAlreadyExists", "PrincipalNotFound"}
        if code == "UnknownError":  # Fabric does not know the effect of the call, whatever the status.
            expected = FabricTransientError if exchange["method"] == "GET" else FabricAmbiguousError
        assert type(error) is expected or code in known, (label(exchange), repr(error))
        assert error.status == exchange["status"]
        assert error.error_code == code == headers.get("x-ms-public-api-error-code", code)
        assert error.request_id == body.get("requestId", headers.get("requestid"))
        assert not body.get("message") or error.detail.startswith(" ".join(body["message"].split())[:200])
        assert error.retry_after_seconds == (float(headers["retry-after"]) if "retry-after" in headers else None)
        assert error.counts_as_attempt == (exchange["status"] != 429)
        codes.add(str(code))
    assert len(codes) >= 8, "the recordings contain fewer kinds of refusal than expected"


def test_recorded_details_are_in_the_error(all_exchanges: list[Any]) -> None:
    """If Fabric gives a reason in moreDetails, the error contains it."""
    found = 0
    for exchange in all_exchanges:
        details = (exchange["response"] or {}).get("moreDetails") if exchange["status"] >= 400 else None
        if details and details[0].get("message"):
            assert " ".join(details[0]["message"].split()) in str(replayed(exchange)[0]), label(exchange)
            found += 1
    assert found


def test_recorded_operation_can_be_polled(all_exchanges: list[Any]) -> None:
    """Every 202 has an operation id and a delay, or no operation; every operation is polled on the host that the
    response names."""
    named = 0
    for exchange in all_exchanges:
        if exchange["status"] != 202:
            continue
        reply, _ = replayed(exchange)
        headers = exchange["headers"]
        assert isinstance(reply, FabricReply), label(exchange)
        if "location" not in headers:
            assert reply.operation is None, label(exchange)
            continue
        operation = reply.operation
        assert operation is not None, label(exchange)
        assert operation.id == headers.get("x-ms-operation-id", headers["location"].rsplit("/", 1)[-1])
        assert operation.retry_after_seconds == float(headers["retry-after"])
        poll = Recorded({"status": 200, "headers": {}, "response": {"status": "Running"}})
        FabricClient(BASE, _Tokens(), poll).poll(operation.id, operation.location)
        assert poll.urls == [headers["location"]], label(exchange)
        named += 1
    assert named > 30


def test_recorded_poll_and_result_are_read(all_exchanges: list[Any]) -> None:
    """States are the app's own, a result is announced if the recording has a Location, and a missing result is None."""
    states: dict[str, int] = {}
    results: list[Any] = []
    for exchange in all_exchanges:
        if "/operations/" not in exchange["path"] or exchange["method"] != "GET":
            continue
        found, transport = replayed(exchange)
        assert transport.urls == [f"https://{exchange['host']}{exchange['path']}"], label(exchange)
        if exchange["path"].endswith("/result"):
            body = exchange["response"] if exchange["status"] == 200 else None
            assert found == body, label(exchange)
            results.append(found)
            continue
        assert isinstance(found, OperationStatus), label(exchange)
        recorded = exchange["response"]["status"]
        assert found.state == {"NotStarted": "running"}.get(recorded, recorded.lower()), label(exchange)
        ended_with_result = found.state == "succeeded" and "location" in exchange["headers"]
        assert found.has_result == ended_with_result, label(exchange)
        states[found.state] = states.get(found.state, 0) + 1
    assert {"running", "succeeded"} <= states.keys()
    assert None in results
    assert len([r for r in results if r]) >= 5


def test_recorded_pages_lead_to_the_next_page(exchanges: list[Any]) -> None:
    """A page with a continuationToken is followed by a request with that token."""
    pages = [e for e in exchanges if e["method"] == "GET" and (e["response"] or {}).get("value")]
    assert pages
    for page in pages:
        first = {**page, "response": {**page["response"], "continuationToken": "next"}}
        transport = Recorded(first)
        rows = FabricClient(BASE, _Tokens(), transport).list("/x")
        for _ in page["response"]["value"]:
            next(rows)
        assert transport.urls == [f"{BASE}/v1/x"]
        with pytest.raises(FabricRefusedError):
            list(rows)
        assert transport.urls[1:] == [f"{BASE}/v1/x?continuationToken=next"]
