"""The gate of every call: the token, then the breaker; and what it records of each response."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from shared.adapters.breaker.circuit_breakers import CircuitBreakers
from shared.adapters.fabric.client import FabricClient
from shared.adapters.fabric.gate import FabricGate
from shared.adapters.fabric.rate_limiter import RateLimiter
from shared.adapters.fabric.transport import AnswerLostError, NothingSentError
from shared.domain.breaker import BreakerPolicy, BreakerState
from shared.domain.errors import FabricAmbiguousError, FabricError, FabricTransientError
from shared.domain.rate import Bucket, RatePolicy
from tests.fakes import FakeClock, MemoryBreakers

Reply = tuple[int, dict[str, str], bytes]


class Script:
    """A transport that returns or raises the given answers, then returns 200."""

    def __init__(self, *answers: int | Reply | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[str] = []

    def exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Return the next answer."""
        self.calls.append(f"{method} {url}")
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return (answer, {}, b"{}") if isinstance(answer, int) else answer


class Token:
    """A token source whose token never expires."""

    def token(self) -> str:
        return "t"

    def invalidate(self, token: str) -> None: ...


class GatedClient:
    """A client with its gate, and all its parts."""

    def __init__(self, *answers: int | Reply | Exception, per_minute: int = 180) -> None:
        self.clock, self.script, self.store = FakeClock(), Script(*answers), MemoryBreakers()
        self.breakers = CircuitBreakers(self.store, BreakerPolicy(), self.clock.now)
        self.limiter = RateLimiter(RatePolicy(per_minute), self.clock.now)
        gate = FabricGate(self.breakers, self.limiter, self.clock.now)
        self.client = FabricClient(
            "http://127.0.0.1", Token(), self.script, gate=gate, now=self.clock.now, sleep=lambda _: None
        )

    def failures(self, name: str = "items") -> int:
        """Return the failures that the breaker has counted."""
        self.clock.advance(3)
        return self.breakers.get(name).status().failures

    def rejected(self, call: Any) -> FabricTransientError:
        """Check that a call is not made, and return its error."""
        before = len(self.script.calls)
        with pytest.raises(FabricTransientError) as error:
            call()
        assert len(self.script.calls) == before
        assert not error.value.counts_as_attempt
        assert error.value.retry_after_seconds is not None
        assert not isinstance(error.value, FabricAmbiguousError), "a call that was not sent is not ambiguous"
        return error.value


ITEM = "/workspaces/w/items/1"


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (200, 0),
        (400, 0),
        (403, 0),
        (404, 0),
        (409, 0),
        (429, 0),
        (430, 0),
        (408, 1),
        (500, 1),
        (502, 1),
        ((503, {}, b"<html>a proxy's page"), 1),
        ((500, {}, b'{"errorCode": "CapacityNotActive"}'), 0),
        (AnswerLostError("reset"), 1),
    ],
)
def test_gate_counts_only_failures_of_the_service(answer: int | Reply | Exception, counts: int) -> None:
    """After the response to one mutating call."""
    rig = GatedClient(answer)
    with suppress(FabricError):
        rig.client.send("POST", "/workspaces/w/items", {})
    assert rig.failures() == counts


def test_gate_counts_each_retry_in_process() -> None:
    """Each retry is a failed call."""
    rig = GatedClient(*[NothingSentError("no connection")] * 3)
    with pytest.raises(FabricTransientError):
        rig.client.get(ITEM)
    assert rig.failures() == 3


def test_gate_with_an_open_breaker_makes_no_call_and_returns_the_time() -> None:
    """Reads and writes alike are rejected at once and without a retry in the process; other areas are not affected."""
    rig = GatedClient()
    rig.breakers.get("items").open()
    assert rig.rejected(lambda: rig.client.get(ITEM)).retry_after_seconds == 30
    error = rig.rejected(lambda: rig.client.send("POST", "/workspaces/w/lakehouses", {}))
    assert "circuit breaker 'items' is open" in error.detail
    rig.client.get("/workspaces/w")
    rig.clock.advance(30)
    rig.client.get(ITEM)
    assert rig.breakers.get("items").status().state is BreakerState.CLOSED


def test_gate_does_not_count_a_401_that_is_renewed() -> None:
    """Both exchanges take a token of the bucket, and neither counts as a failure."""
    rig = GatedClient(401, 200)
    rig.client.get(ITEM)
    assert len(rig.script.calls) == 2
    assert rig.failures() == 0


def test_gate_without_tokens_makes_no_call() -> None:
    """Each bucket is separate; a minute after their use the tokens are available again."""
    rig = GatedClient(per_minute=3)
    for i in range(3):
        rig.client.get(f"/workspaces/w/items/{i}")
    error = rig.rejected(lambda: rig.client.get("/workspaces/w/items/9"))
    assert error.retry_after_seconds == 60
    assert rig.rejected(lambda: rig.client.send("POST", "/workspaces", {})).retry_after_seconds == 60
    rig.client.poll("0a", None)
    rig.clock.advance(60)
    rig.client.get("/workspaces/w/items/9")


def test_gate_without_a_token_does_not_claim_the_probe() -> None:
    """The breaker stays open for a worker that can call."""
    rig = GatedClient(per_minute=2)
    rig.client.get(ITEM)
    rig.client.get(ITEM)
    rig.breakers.get("items").open()
    rig.clock.advance(31)
    rig.rejected(lambda: rig.client.get(ITEM))
    assert rig.breakers.get("items").status().state is BreakerState.OPEN
    rig.clock.advance(30)
    rig.client.get(ITEM)
    assert rig.breakers.get("items").status().state is BreakerState.CLOSED


def test_gate_takes_no_token_for_a_call_that_the_breaker_rejects() -> None:
    """After a hundred rejections the bucket is as full as before."""
    rig = GatedClient(per_minute=2)
    rig.breakers.get("items").open()
    for _ in range(100):
        assert "breaker" in rig.rejected(lambda: rig.client.get(ITEM)).detail
    rig.client.get("/workspaces/w")
    rig.client.get("/workspaces/v")


@pytest.mark.parametrize(("headers", "seconds"), [({"retry-after": "17"}, 17), ({}, 30)])
def test_gate_empties_the_bucket_after_a_429(headers: dict[str, str], seconds: float) -> None:
    """Other paths of the same quota wait for exactly that time too, and the share is halved."""
    rig = GatedClient((429, headers, b'{"errorCode": "RequestBlocked"}'))
    with pytest.raises(FabricTransientError) as error:
        rig.client.send("POST", "/workspaces/w/items", {})
    assert error.value.status == 429
    assert rig.rejected(lambda: rig.client.get("/workspaces")).retry_after_seconds == seconds
    rig.client.poll("0a", None)
    assert (rig.limiter.share(Bucket.PLATFORM), rig.limiter.share(Bucket.OPERATIONS)) == (90, 180)
    rig.clock.advance(seconds)
    rig.client.get("/workspaces")
    assert rig.failures() == 0


def test_gate_polls_leave_tokens_to_other_calls() -> None:
    """A repeated GET is a poll: it does not take the last tokens, a POST does."""
    rig = GatedClient(per_minute=20)
    for _ in range(1 + 18):
        rig.client.get(ITEM)
    rig.rejected(lambda: rig.client.get(ITEM))
    rig.client.send("POST", "/workspaces/w/items", {})
