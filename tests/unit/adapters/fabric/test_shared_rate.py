"""The rate of several workers over one store: never more than the quota in any window, whatever interleaves, dies or
differs in its clock; and no token is lost for ever."""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.fabric.rate_bucket import RETRY_SECONDS
from shared.adapters.fabric.rate_limiter import Grant, RateLimiter
from shared.domain.clock_offset import ClockOffset
from shared.domain.errors import FabricTransientError, StorageUnavailableError
from shared.domain.ports import Versioned
from shared.domain.rate import Bucket, RatePolicy
from shared.domain.rate_window import SharedWindow
from tests.fakes import MemoryRates, MemoryTelemetry
from tests.unit.domain.test_rate import Windows

START = 1_767_225_600.0
SKEW = RatePolicy().skew_seconds
ITEM = "/workspaces/w/items/1"


class RacingRates(MemoryRates):
    """A store before each of whose writes other workers may take their turn."""

    def __init__(self) -> None:
        super().__init__()
        self.before_write: Callable[[], None] = lambda: None

    def write(self, before: Versioned[SharedWindow] | None, after: SharedWindow) -> Versioned[SharedWindow]:
        self.before_write()
        return super().write(before, after)


class Workers:
    """Workers that share a store, each with a clock of its own, and the calls that they have sent."""

    def __init__(self, limit: int, skews: list[float], deletes: int = 0) -> None:
        self.policy = RatePolicy(limit, deletes)
        self.store, self.telemetry = RacingRates(), MemoryTelemetry()
        self.time, self.skews = START, skews
        self._made = 0
        self.limiters = [self._new(i) for i in range(len(skews))]
        self.under_way: list[tuple[float, int, int, Grant]] = []
        self.arrivals: list[float] = []
        self._busy: set[int] = set()

    def _new(self, index: int) -> RateLimiter:
        self._made += 1

        def now() -> datetime:
            return datetime.fromtimestamp(self.time + self.skews[index], UTC)

        return RateLimiter(self.policy, now, self.store, self.telemetry, f"w{self._made}")

    def advance(self, seconds: float) -> None:
        """Let time pass; calls whose time is over end in it."""
        until = self.time + seconds
        while self.under_way and self.under_way[0][0] <= until:
            self.time, _, _, grant = heapq.heappop(self.under_way)
            grant.ended()
        self.time = until

    def call(self, index: int, takes: float, arrives: float, method: str = "POST") -> float | None:
        """Make a call of `takes` seconds that Fabric counts in between. Return the wait if there is no token."""
        if index in self._busy:
            return 0.0  # its one thread waits for storage
        self._busy.add(index)
        try:
            grant = self.limiters[index].take(method, ITEM)
        except FabricTransientError as error:
            assert error.retry_after_seconds is not None
            return error.retry_after_seconds
        finally:
            self._busy.remove(index)
        self.arrivals.append(self.time + takes * arrives)
        heapq.heappush(self.under_way, (self.time + takes, len(self.arrivals), index, grant))
        return None

    def kill(self, index: int) -> None:
        """Let a worker die: Fabric still counts its calls under way, and nobody reports their ends."""
        self.under_way = [each for each in self.under_way if each[2] != index]
        heapq.heapify(self.under_way)
        self.limiters[index] = self._new(index)


STEPS = st.lists(
    st.tuples(
        st.floats(0, 8),
        st.integers(0, 4),
        st.floats(0, 44),
        st.sampled_from(["POST", "POST", "POST", "GET", "kill"]),
    ),
    min_size=1,
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(
    limit=st.integers(1, 100),
    steps=STEPS,
    skews=st.lists(st.floats(-SKEW / 2, SKEW / 2), min_size=2, max_size=5),
    arrives=st.floats(0, 1),
    races=st.lists(st.integers(0, 4), max_size=40),
    crowd=st.integers(1, 12),
)
def test_workers_together_never_exceed_any_window(
    limit: int,
    steps: list[tuple[float, int, float, str]],
    skews: list[float],
    arrives: float,
    races: list[int],
    crowd: int,
) -> None:
    """Calls of any duration, counted by Fabric at any moment of it; workers that lose races, die, and have clocks that
    differ: no window of Fabric has more calls than the quota. After all of them have died, all tokens come back."""
    workers = Workers(limit, skews)
    left = list(races)

    def race() -> None:
        if left:
            workers.call(left.pop() % len(skews), 1.0, arrives)

    for pause, index, takes, what in steps:
        workers.advance(pause)
        index %= len(skews)
        if what == "kill":
            workers.kill(index)
            continue
        for _ in range(crowd):
            workers.store.before_write = race
            workers.call(index, takes, arrives, what)
            workers.store.before_write = lambda: None
    windows = Windows(limit)
    assert all(windows.count(at) for at in sorted(workers.arrivals))
    for index in range(len(skews)):
        workers.kill(index)
    policy = workers.policy
    workers.advance(policy.use_seconds + policy.call_seconds + policy.window_seconds + 2 * SKEW + 1)
    before = len(workers.arrivals)
    while workers.call(0, 0.0, 0.0) is None and workers.call(0, 0.0, 0.0, "GET") is None:
        workers.advance(0)
    assert len(workers.arrivals) - before >= limit - max(1, limit // 10) - 1


def test_two_workers_use_the_whole_quota_and_no_more() -> None:
    """One worker takes what the other leaves, without a fixed half for each; a rejected caller gets the time at which
    the first token returns."""
    workers = Workers(40, [0.0, 0.0])
    while workers.call(0, 0.5, 0.0) is None:
        pass
    assert len(workers.arrivals) == 38, "two tokens are reserved for later calls"
    wait = workers.call(1, 0.5, 0.0)
    assert wait is not None
    workers.advance(3)
    assert workers.call(0, 0.5, 0.0) is not None  # tells the others that its calls have ended
    workers.advance(1)
    wait = workers.call(1, 0.5, 0.0) or 0.0
    assert wait == pytest.approx(60.5 + SKEW - 4, abs=0.6)
    workers.advance(wait)
    assert workers.call(1, 0.5, 0.0) is None


def test_worker_that_makes_many_calls_writes_once_a_share() -> None:
    """A share is a fortieth of the quota; a worker that is alone reads nothing."""
    workers = Workers(400, [0.0])
    for _ in range(300):
        assert workers.call(0, 0.1, 0.0) is None
        workers.advance(0.01)
    assert (workers.store.writes, workers.store.reads) == (30, 0)


def test_worker_that_goes_idle_loses_a_share_for_two_minutes_at_most() -> None:
    """A worker claims a share, makes one call and dies: the others have its tokens back a window after the last moment
    at which it could have used them, and not before."""
    workers = Workers(1, [0.0, 0.0])
    assert workers.call(0, 10.0, 0.0) is None
    workers.kill(0)
    policy, waited = workers.policy, 0.0
    while (wait := workers.call(1, 0.0, 0.0)) is not None:
        workers.advance(wait)
        waited += wait
    assert waited == pytest.approx(policy.use_seconds + policy.call_seconds + policy.window_seconds + SKEW, abs=0.01)


def test_429_stops_every_worker_and_halves_their_common_limit() -> None:
    """A worker whose share is used up learns of it with its next claim; quiet minutes restore the limit."""
    workers = Workers(40, [0.0, 0.0])
    grant = workers.limiters[0].take("POST", ITEM)
    grant.throttled(30.0)
    grant.ended()
    wait = workers.call(1, 0.0, 0.0)
    assert wait == pytest.approx(30.0)
    (status, *_) = workers.limiters[1].statuses()
    assert (status.limit, status.per_minute, status.is_shared) == (20, 40, True)
    assert status.blocked_seconds == pytest.approx(30.0)
    (event,) = [s.properties for s in workers.telemetry.signals if s.name == "RateLowered"]
    assert event == {
        "bucket": "platform",
        "limit": 20,
        "per_minute": 40,
        "retry_after_seconds": 30.0,
        "is_shared": True,
    }
    workers.advance(30 + 61)
    assert workers.limiters[0].share(Bucket.PLATFORM) == 24
    workers.advance(3600)
    assert workers.limiters[0].share(Bucket.PLATFORM) == 40


def test_429s_of_one_burst_halve_the_limit_once() -> None:
    """The limit is halved once, also if different workers get the answers."""
    workers = Workers(40, [0.0, 0.0, 0.0])
    grants = [limiter.take("POST", ITEM) for limiter in workers.limiters]
    for grant in grants:
        grant.throttled(30.0)
        grant.ended()
    assert workers.limiters[2].share(Bucket.PLATFORM) == 20
    assert len(workers.telemetry.signals) == 1


def test_deletions_of_items_have_a_quota_of_their_own() -> None:
    """They count in both: ten deletions a minute of twenty calls. A deletion that is rejected takes no token."""
    workers = Workers(20, [0.0, 0.0], deletes=10)
    done = [workers.call(i % 2, 0.0, 0.0, "DELETE") for i in range(12)]
    assert done.count(None) == 9, "one token is reserved for later calls"
    assert sum(workers.call(i % 2, 0.0, 0.0, "POST") is None for i in range(20)) == 10
    refused = Workers(20, [0.0], deletes=10)
    while refused.call(0, 0.0, 0.0, "POST") is None:
        pass
    assert refused.call(0, 0.0, 0.0, "DELETE") is not None
    (platform, _, _, deletes) = refused.limiters[0].statuses()
    assert (platform.bucket, platform.used) == (Bucket.PLATFORM, 19)
    assert (deletes.bucket, deletes.used) == (Bucket.DELETES, 1), "the share is claimed, and its token can be used"


def test_deletions_without_a_quota_of_their_own_count_in_the_common_one() -> None:
    """With the setting at 0 a deletion takes one token."""
    workers = Workers(20, [0.0], deletes=0)
    assert [workers.call(0, 0.0, 0.0, "DELETE") for _ in range(20)].count(None) == 19
    assert [status.bucket for status in workers.limiters[0].statuses()] == ["platform", "jobs", "operations"]


def _fail(*_: Any) -> Any:
    raise StorageUnavailableError("table storage, write 'rates': no answer")


def test_storage_outage_leaves_each_worker_a_fair_part_until_it_ends(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four workers share 80 calls; without storage each has 20. That is logged once by each, and again when the storage
    responds. Calls that a worker made alone then count for all."""
    workers = Workers(80, [0.0] * 4)
    for index in range(4):
        assert workers.call(index, 0.0, 0.0) is None
        assert workers.call(index, 0.0, 0.0) is None
        workers.advance(1)
    for index in range(4):  # every worker has seen all of the others
        workers.limiters[index].statuses()
    with monkeypatch.context() as patch:
        patch.setattr(workers.store, "read", _fail)
        patch.setattr(workers.store, "write", _fail)
        for index in range(4):
            while workers.call(index, 0.0, 0.0) is None:
                workers.advance(0.01)
        assert 4 * 17 <= len(workers.arrivals) <= 80
        (status, *_) = workers.limiters[0].statuses()
        assert (status.limit, status.is_shared) == (20, False)
    assert len([r for r in caplog.records if "the storage of the rate fails" in r.message]) == 4
    workers.advance(RETRY_SECONDS + 1)
    for index in range(4):
        assert workers.call(index, 0.0, 0.0) is not None or len(workers.arrivals) <= 80
    (status, *_) = workers.limiters[0].statuses()
    assert status.is_shared
    assert len([r for r in caplog.records if "shared by all workers again" in r.message]) == 4
    windows = Windows(80)
    assert all(windows.count(at) for at in sorted(workers.arrivals))
    workers.advance(60)
    assert workers.call(0, 0.0, 0.0) is None


def test_clock_that_is_wrong_by_minutes_is_corrected_by_the_clock_of_storage() -> None:
    """Otherwise a worker whose clock is ahead would take tokens that have not returned."""
    workers = Workers(1, [0.0, 300.0])
    assert workers.call(0, 0.0, 0.0) is None
    workers.advance(1)
    workers.limiters[0].statuses()
    workers.advance(1)
    workers.call(0, 0.0, 0.0)
    assert workers.call(1, 0.0, 0.0) is None, "without a known offset its clock counts"
    corrected = Workers(1, [0.0, 300.0])

    class OfSecond(RacingRates):
        def clock(self) -> ClockOffset | None:
            return ClockOffset(-300.4, -299.8, START)

    assert corrected.call(0, 0.0, 0.0) is None
    second = OfSecond()
    second._rows = corrected.store._rows  # pyright: ignore[reportPrivateUsage] - the same table, another machine
    limiter = RateLimiter(
        corrected.policy, lambda: datetime.fromtimestamp(corrected.time + 300, UTC), second, holder="second"
    )
    corrected.advance(30)
    with pytest.raises(FabricTransientError):
        limiter.take("POST", ITEM)
