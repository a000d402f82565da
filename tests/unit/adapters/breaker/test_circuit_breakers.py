"""pybreaker over one shared record: many workers, one breaker, one probe; and storage that fails."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pybreaker
import pytest

from shared.adapters.breaker.circuit_breakers import BreakerOpenError, CircuitBreakers, SharedCircuitBreaker
from shared.adapters.storage.breaker_table import TableBreakers
from shared.adapters.storage.clients import StorageClients
from shared.domain.breaker import BreakerPolicy, BreakerState
from shared.domain.errors import FabricNotFoundError, FabricTransientError, StorageUnavailableError
from shared.domain.fabric_paths import AREAS
from shared.domain.ports import BreakerStore
from tests.fakes import START, FakeClock, MemoryBreakers
from tests.waiting import PATIENCE_SECONDS

POLICY = BreakerPolicy(cache_seconds=0.0)


def worker(store: BreakerStore, now: Callable[[], datetime], name: str = "items", **more: Any) -> SharedCircuitBreaker:
    """Return the breaker as another worker has it."""
    return CircuitBreakers(store, replace(POLICY, **more), now).get(name)


def fail_call() -> None:
    """Raise what a call to a failing service raises."""
    raise FabricTransientError("unavailable", call="GET /x", status=503)


def call_failing_service(breaker: SharedCircuitBreaker) -> None:
    """Make one such call; the caller gets the service's error."""
    with pytest.raises(FabricTransientError):
        breaker.call(fail_call)


def state(breaker: SharedCircuitBreaker) -> BreakerState:
    """Return the state as this worker sees it."""
    return breaker.status().state


def test_five_failures_of_five_workers_open_it_for_a_sixth() -> None:
    """Each worker has seen only one failure."""
    clock, store = FakeClock(), MemoryBreakers()
    for i in range(5):
        assert state(worker(store, clock.now)) is BreakerState.CLOSED
        call_failing_service(worker(store, clock.now))
        assert store.writes == i + 1, "each failure must be one write, also the one that opens the breaker"
    sixth = worker(store, clock.now)
    with pytest.raises(BreakerOpenError) as refused:
        sixth.call(fail_call)
    assert refused.value.retry_after_seconds == 30
    assert isinstance(refused.value, pybreaker.CircuitBreakerError)
    assert (sixth.current_state, sixth.fail_counter, sixth.status().reason) == ("open", 5, "HTTP 503")
    assert store.writes == 5


def test_failures_further_apart_than_the_window_do_not_open_it() -> None:
    """An occasional failure is normal."""
    clock, store = FakeClock(), MemoryBreakers()
    for _ in range(30):
        call_failing_service(worker(store, clock.now))
        clock.advance(16)
    assert state(worker(store, clock.now)) is BreakerState.CLOSED


def test_success_writes_nothing_and_cached_checks_read_nothing() -> None:
    """The usual case costs no storage request."""
    clock, store = FakeClock(), MemoryBreakers()
    breaker = worker(store, clock.now, cache_seconds=2.0)
    for _ in range(100):
        assert breaker.call(lambda: 7) == 7
    assert (store.reads, store.writes) == (1, 0)
    clock.advance(2.5)
    breaker.call(lambda: 7)
    assert (store.reads, store.writes) == (2, 0)


def test_another_workers_reset_and_opening_are_seen() -> None:
    """Another worker resets and opens it by hand, with pybreaker's own methods, each with one write."""
    clock, store = FakeClock(), MemoryBreakers()
    here, there = worker(store, clock.now), worker(store, clock.now)
    here.open()
    assert (there.current_state, store.writes) == ("open", 1)
    there.close()
    assert (here.current_state, store.writes) == ("closed", 2)
    here.half_open()
    assert (there.current_state, store.writes) == ("half-open", 3)
    assert there.call(lambda: 1) == 1
    assert (here.current_state, store.writes) == ("closed", 5)


def test_probe_that_fails_opens_it_for_longer() -> None:
    """It is open for 30 s, then 60, 120, up to the maximum."""
    clock, store = FakeClock(), MemoryBreakers()
    breaker = worker(store, clock.now, max_open_seconds=100.0)
    breaker.open()
    for seconds in (30, 60, 100, 100):
        clock.advance(seconds - 0.5)
        with pytest.raises(BreakerOpenError):
            breaker.call(fail_call)
        clock.advance(0.5)
        call_failing_service(breaker)
        assert state(breaker) is BreakerState.OPEN


def test_probe_that_is_refused_closes_it() -> None:
    """A 404 is an answer: the service works."""
    clock, store = FakeClock(), MemoryBreakers()
    breaker = worker(store, clock.now)
    breaker.open()
    clock.advance(31)

    def refused() -> None:
        raise FabricNotFoundError("no such thing", call="GET /x", status=404)

    with pytest.raises(FabricNotFoundError):
        breaker.call(refused)
    assert state(breaker) is BreakerState.CLOSED


class Death(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("end", [Death, ValueError])
def test_probe_that_dies_is_superseded_after_its_lease(end: type[BaseException]) -> None:
    """Such a probe says nothing about the service. No other call passes until its lease ends, and then exactly one
    does."""
    clock, store = FakeClock(), MemoryBreakers()
    breaker, other = worker(store, clock.now), worker(store, clock.now)
    breaker.open()
    clock.advance(31)

    def die() -> None:
        raise end

    with pytest.raises(end):
        breaker.call(die)
    assert state(breaker) is BreakerState.HALF_OPEN
    for seen in (breaker, other):
        with pytest.raises(BreakerOpenError) as refused:
            seen.call(fail_call)
        assert 0 < refused.value.retry_after_seconds <= 5
    clock.advance(60)
    assert other.call(lambda: 1) == 1
    assert state(breaker) is BreakerState.CLOSED


def test_superseded_probe_changes_nothing() -> None:
    """It returns late, when another probe is in progress or has failed."""
    clock, store = FakeClock(), MemoryBreakers()
    slow, other = worker(store, clock.now), worker(store, clock.now)
    slow.open()
    clock.advance(31)

    def answered_late() -> str:
        clock.advance(61)
        call_failing_service(other)
        return "late"

    assert slow.call(answered_late) == "late"
    assert state(slow) is BreakerState.OPEN


def test_calls_run_in_parallel() -> None:
    """pybreaker alone would hold its lock during each call."""
    breaker, meet = (
        worker(MemoryBreakers(), FakeClock().now, cache_seconds=2.0),
        threading.Barrier(8, timeout=PATIENCE_SECONDS),
    )
    threads = [threading.Thread(target=breaker.call, args=(meet.wait,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not meet.broken


def probes(make: Callable[[int], SharedCircuitBreaker], count: int) -> tuple[int, int]:
    """Return how many calls are made and how many rejected when `count` threads find the breaker half-open together."""
    breakers = [make(i) for i in range(count)]
    calls: list[int] = []
    refusals: list[int] = []
    start, over = threading.Barrier(count), threading.Event()

    def call() -> None:
        calls.append(1)
        over.wait(30)

    def run(breaker: SharedCircuitBreaker) -> None:
        start.wait()
        try:
            breaker.call(call)
        except BreakerOpenError:
            refusals.append(1)
        if len(refusals) + 1 >= count:
            over.set()

    threads = [threading.Thread(target=run, args=(breaker,)) for breaker in breakers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(calls), len(refusals)


@pytest.mark.parametrize("instances", [1, 10, 200])
def test_half_open_breaker_lets_exactly_one_of_200_calls_pass(instances: int) -> None:
    """The calls come from threads of one worker, of ten workers, and of two hundred workers."""
    clock, store = FakeClock(), MemoryBreakers()
    workers = [worker(store, clock.now, cache_seconds=2.0) for _ in range(instances)]
    workers[0].open()
    clock.advance(31)
    assert probes(lambda i: workers[i % instances], 200) == (1, 199)
    assert {state(worker(store, clock.now)) for _ in range(3)} == {BreakerState.CLOSED}


@pytest.mark.azurite
def test_half_open_breaker_lets_exactly_one_call_pass_on_a_real_table(storage: str) -> None:
    """Twenty-four workers call, each with its own clients; five of them opened the breaker."""
    name = f"b-{secrets.token_hex(6)}"
    offset = [timedelta(0)]

    def now() -> datetime:
        return datetime.now(UTC) + offset[0]

    def one(_: int) -> SharedCircuitBreaker:
        # The timeout is long because a worker that gets no timely response from the table sends its own probe, by
        # design.
        return worker(TableBreakers(StorageClients(storage), 60.0), now, name, probe_seconds=300.0)

    for i in range(5):
        call_failing_service(one(i))
    with pytest.raises(BreakerOpenError):
        one(0).call(fail_call)
    offset[0] = timedelta(seconds=31)
    assert probes(one, 24) == (1, 23)
    assert one(0).status().state is BreakerState.CLOSED
    assert one(0).status().is_shared


def test_storage_that_fails_leaves_a_local_breaker_until_it_recovers(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, the known state continues to count, and storage is asked again after half a minute."""
    clock, store = FakeClock(), MemoryBreakers()
    registry = CircuitBreakers(store, POLICY, clock.now)
    breaker = registry.get("items")
    for _ in range(3):
        call_failing_service(breaker)
    down, request = [True], [0]
    read, write = store.read, store.write

    def trouble(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            request[0] += 1
            if down[0]:
                raise StorageUnavailableError("table storage, read a breaker: no answer")
            return real(*arguments)

        return call

    store.read, store.write = trouble(read), trouble(write)  # type: ignore[method-assign]
    call_failing_service(breaker)
    call_failing_service(breaker)
    with pytest.raises(BreakerOpenError):
        breaker.call(fail_call)
    registry.get("roles").call(lambda: 1)
    assert request[0] == 1, "failing storage was asked again too early"
    assert not breaker.status().is_shared
    clock.advance(31)
    assert breaker.call(lambda: 5) == 5
    assert len([r for r in caplog.records if "each worker uses its own records" in r.message]) == 1
    down[0] = False
    clock.advance(31)
    assert breaker.call(lambda: 5) == 5
    assert breaker.status().is_shared
    assert registry.all()["items"].status().failures == 3
    assert len([r for r in caplog.records if "shared by all workers again" in r.message]) == 1


def test_worker_without_breakers_reports_that_their_storage_fails() -> None:
    """A worker that has just started reports every breaker of Fabric, and none as shared."""

    class Down(MemoryBreakers):
        def read(self, name: str) -> Any:
            raise StorageUnavailableError("table storage, read a breaker: no answer")

        def all(self) -> Any:
            raise StorageUnavailableError("table storage, list the breakers: no answer")

    found = CircuitBreakers(Down(), POLICY, FakeClock().now).statuses()
    assert sorted(found) == sorted(AREAS)
    assert {(status.state, status.is_shared) for status in found.values()} == {(BreakerState.CLOSED, False)}


def test_storage_that_does_not_answer_is_asked_only_by_the_first_call() -> None:
    """Without a connection only the first call waits for the result."""
    clients = StorageClients(
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
        "BlobEndpoint=http://127.0.0.1:9/a;QueueEndpoint=http://127.0.0.1:9/a;TableEndpoint=http://127.0.0.1:9/a;"
    )
    request: list[str] = []

    class Spied(TableBreakers):
        def read(self, name: str) -> Any:
            request.append(name)
            return super().read(name)

    clock = FakeClock()
    breaker = worker(Spied(clients), clock.now)
    assert all(breaker.call(lambda: 5) == 5 for _ in range(21))
    assert request == ["items"]
    assert not breaker.status().is_shared


def test_listeners_are_called_once_for_each_change() -> None:
    """pybreaker's listeners work, with pybreaker's own state objects."""
    clock, event = FakeClock(START), list[tuple[str, str]]()

    class Listener(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            event.append((old_state.name, new_state.name))

    breaker = worker(MemoryBreakers(), clock.now)
    breaker.add_listener(Listener())
    for _ in range(5):
        call_failing_service(breaker)
    assert isinstance(breaker.state, pybreaker.CircuitOpenState)
    clock.advance(31)
    breaker.call(lambda: 5)
    assert isinstance(breaker.state, pybreaker.CircuitClosedState)
    assert event == [("closed", "open"), ("open", "closed")]
