"""pybreaker over one shared record: many workers, one breaker, one probe; and storage that fails."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pybreaker
import pytest

from shared.adapters.breaker_registry import CircuitBreakers
from shared.adapters.breaker_table import TableBreakers
from shared.adapters.breakers import BreakerOpenError, SharedCircuitBreaker
from shared.adapters.storage import StorageClients
from shared.domain.breaker import AREAS, BreakerPolicy, BreakerState
from shared.domain.errors import FabricNotFoundError, FabricTransientError, StorageUnavailableError
from shared.domain.ports import BreakerStore
from tests.fakes import START, FakeClock, MemoryBreakers
from tests.waiting import PATIENCE_SECONDS

POLICY = BreakerPolicy(cache_seconds=0.0)


def worker(store: BreakerStore, now: Callable[[], datetime], name: str = "items", **more: Any) -> SharedCircuitBreaker:
    """The breaker as one more worker has it."""
    return CircuitBreakers(store, replace(POLICY, **more), now).get(name)


def ill() -> None:
    """A call that meets a fault of the service."""
    raise FabricTransientError("unavailable", call="GET /x", status=503)


def fail(breaker: SharedCircuitBreaker) -> None:
    """One such call; the caller sees the fault itself."""
    with pytest.raises(FabricTransientError):
        breaker.call(ill)


def state(breaker: SharedCircuitBreaker) -> BreakerState:
    """As this worker sees it."""
    return breaker.status().state


def test_five_faults_of_five_workers_open_it_for_a_sixth() -> None:
    """Each has seen but one."""
    clock, store = FakeClock(), MemoryBreakers()
    for i in range(5):
        assert state(worker(store, clock.now)) is BreakerState.CLOSED
        fail(worker(store, clock.now))
        assert store.writes == i + 1, "one write a fault, also the one that opens"
    sixth = worker(store, clock.now)
    with pytest.raises(BreakerOpenError) as refused:
        sixth.call(ill)
    assert refused.value.retry_after_seconds == 30
    assert isinstance(refused.value, pybreaker.CircuitBreakerError)
    assert (sixth.current_state, sixth.fail_counter, sixth.status().reason) == ("open", 5, "HTTP 503")
    assert store.writes == 5


def test_faults_further_apart_than_the_window_do_not_open_it() -> None:
    """A fault now and then is normal."""
    clock, store = FakeClock(), MemoryBreakers()
    for _ in range(30):
        fail(worker(store, clock.now))
        clock.advance(16)
    assert state(worker(store, clock.now)) is BreakerState.CLOSED


def test_success_writes_nothing_and_cached_checks_read_nothing() -> None:
    """The usual case costs no storage."""
    clock, store = FakeClock(), MemoryBreakers()
    breaker = worker(store, clock.now, cache_seconds=2.0)
    for _ in range(100):
        assert breaker.call(lambda: 7) == 7
    assert (store.reads, store.writes) == (1, 0)
    clock.advance(2.5)
    breaker.call(lambda: 7)
    assert (store.reads, store.writes) == (2, 0)


def test_another_workers_reset_and_opening_are_noticed() -> None:
    """By hand, by pybreaker's own methods, each with one write."""
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


def test_probe_that_meets_a_fault_opens_for_longer() -> None:
    """30 s, then 60, 120, capped."""
    clock, store = FakeClock(), MemoryBreakers()
    breaker = worker(store, clock.now, longest_open_seconds=100.0)
    breaker.open()
    for seconds in (30, 60, 100, 100):
        clock.advance(seconds - 0.5)
        with pytest.raises(BreakerOpenError):
            breaker.call(ill)
        clock.advance(0.5)
        fail(breaker)
        assert state(breaker) is BreakerState.OPEN


def test_probe_that_is_refused_closes() -> None:
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
    """The process ends here."""


@pytest.mark.parametrize("end", [Death, ValueError])
def test_probe_that_dies_is_superseded_after_its_lease(end: type[BaseException]) -> None:
    """It says nothing about the service; nobody else calls until its lease is over, then exactly one does."""
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
            seen.call(ill)
        assert 0 < refused.value.retry_after_seconds <= 5
    clock.advance(60)
    assert other.call(lambda: 1) == 1
    assert state(breaker) is BreakerState.CLOSED


def test_superseded_probe_changes_nothing() -> None:
    """It answers late, when another probe is under way or has met a fault."""
    clock, store = FakeClock(), MemoryBreakers()
    slow, other = worker(store, clock.now), worker(store, clock.now)
    slow.open()
    clock.advance(31)

    def answered_late() -> str:
        clock.advance(61)
        fail(other)
        return "late"

    assert slow.call(answered_late) == "late"
    assert state(slow) is BreakerState.OPEN


def test_calls_run_side_by_side() -> None:
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
    """Calls made and calls refused when so many threads find the breaker half-open at once."""
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
def test_half_open_lets_exactly_one_of_200_through(instances: int) -> None:
    """Threads of one worker, of ten workers, and two hundred workers."""
    clock, store = FakeClock(), MemoryBreakers()
    workers = [worker(store, clock.now, cache_seconds=2.0) for _ in range(instances)]
    workers[0].open()
    clock.advance(31)
    assert probes(lambda i: workers[i % instances], 200) == (1, 199)
    assert {state(worker(store, clock.now)) for _ in range(3)} == {BreakerState.CLOSED}


@pytest.mark.azurite
def test_half_open_lets_exactly_one_through_on_a_real_table(storage: str) -> None:
    """Twenty-four workers, each with clients of its own; and five of them opened it."""
    name = f"b-{secrets.token_hex(6)}"
    offset = [timedelta(0)]

    def now() -> datetime:
        return datetime.now(UTC) + offset[0]

    def one(_: int) -> SharedCircuitBreaker:
        # Patient: a worker to which the table does not answer in time probes for itself, on purpose.
        return worker(TableBreakers(StorageClients(storage), 60.0), now, name, probe_seconds=300.0)

    for i in range(5):
        fail(one(i))
    with pytest.raises(BreakerOpenError):
        one(0).call(ill)
    offset[0] = timedelta(seconds=31)
    assert probes(one, 24) == (1, 23)
    assert one(0).status().state is BreakerState.CLOSED
    assert one(0).status().is_shared


def test_storage_that_fails_leaves_a_local_breaker_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """Said once; what was known goes on to count; asked again after half a minute."""
    clock, store = FakeClock(), MemoryBreakers()
    registry = CircuitBreakers(store, POLICY, clock.now)
    breaker = registry.get("items")
    for _ in range(3):
        fail(breaker)
    down, asked = [True], [0]
    read, write = store.read, store.write

    def trouble(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            asked[0] += 1
            if down[0]:
                raise StorageUnavailableError("table storage, read a breaker: no answer")
            return real(*arguments)

        return call

    store.read, store.write = trouble(read), trouble(write)  # type: ignore[method-assign]
    fail(breaker)
    fail(breaker)
    with pytest.raises(BreakerOpenError):
        breaker.call(ill)
    registry.get("roles").call(lambda: 1)
    assert asked[0] == 1, "storage that fails is left alone"
    assert not breaker.status().is_shared
    clock.advance(31)
    assert breaker.call(lambda: 5) == 5
    assert len([r for r in caplog.records if "goes by what it sees itself" in r.message]) == 1
    down[0] = False
    clock.advance(31)
    assert breaker.call(lambda: 5) == 5
    assert breaker.status().is_shared
    assert registry.all()["items"].status().faults == 3
    assert len([r for r in caplog.records if "shared by all workers again" in r.message]) == 1


def test_worker_that_used_no_breaker_says_that_their_storage_fails() -> None:
    """An idle one, just started: every breaker of Fabric's is told, and none is said to be shared."""

    class Down(MemoryBreakers):
        def read(self, name: str) -> Any:
            raise StorageUnavailableError("table storage, read a breaker: no answer")

        def all(self) -> Any:
            raise StorageUnavailableError("table storage, list the breakers: no answer")

    found = CircuitBreakers(Down(), POLICY, FakeClock().now).statuses()
    assert sorted(found) == sorted(AREAS)
    assert {(status.state, status.is_shared) for status in found.values()} == {(BreakerState.CLOSED, False)}


def test_storage_that_does_not_answer_is_asked_by_the_first_call_only() -> None:
    """No connection: the first call pays for finding out; the next ones do not ask."""
    clients = StorageClients(
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
        "BlobEndpoint=http://127.0.0.1:9/a;QueueEndpoint=http://127.0.0.1:9/a;TableEndpoint=http://127.0.0.1:9/a;"
    )
    asked: list[str] = []

    class Spied(TableBreakers):
        def read(self, name: str) -> Any:
            asked.append(name)
            return super().read(name)

    clock = FakeClock()
    breaker = worker(Spied(clients), clock.now)
    assert all(breaker.call(lambda: 5) == 5 for _ in range(21))
    assert asked == ["items"]
    assert not breaker.status().is_shared


def test_listeners_hear_each_change_once() -> None:
    """pybreaker's listeners work, with its own state objects."""
    clock, heard = FakeClock(START), list[tuple[str, str]]()

    class Listener(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            heard.append((old_state.name, new_state.name))

    breaker = worker(MemoryBreakers(), clock.now)
    breaker.add_listener(Listener())
    for _ in range(5):
        fail(breaker)
    assert isinstance(breaker.state, pybreaker.CircuitOpenState)
    clock.advance(31)
    breaker.call(lambda: 5)
    assert isinstance(breaker.state, pybreaker.CircuitClosedState)
    assert heard == [("closed", "open"), ("open", "closed")]
