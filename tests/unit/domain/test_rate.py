"""The token buckets: never above Fabric's windows under any traffic; no caller starves; refusals are obeyed."""

import heapq

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain.fabric_paths import buckets, urgency
from shared.domain.rate import (
    MAX_WAIT_SECONDS,
    Bucket,
    Granted,
    RatePolicy,
    RateRecord,
    Urgency,
    Wait,
    ended,
    full,
    take,
    throttled,
    unused,
)

CALLS = st.lists(st.tuples(st.floats(0, 8), st.floats(0, 30), st.booleans()), min_size=1, max_size=120)


class Windows:
    """Fabric's side: fixed windows that begin with a call, as the simulator counts them."""

    def __init__(self, limit: int) -> None:
        self.limit, self.began, self.used = limit, -1e9, 0

    def count(self, at: float) -> bool:
        """Return True if a call that arrives now is within the quota."""
        if at - self.began >= 60:
            self.began, self.used = at, 0
        self.used += 1
        return self.used <= self.limit


@settings(max_examples=200, deadline=None)
@given(limit=st.integers(1, 12), calls=CALLS, arrives=st.floats(0, 1))
@example(limit=1, calls=[(0.0, 10.0, True), *[(8.0, 0.0, True)] * 9], arrives=1.0)
def test_bucket_never_exceeds_any_window(limit: int, calls: list[tuple[float, float, bool]], arrives: float) -> None:
    """Calls may start at any time and take any time, and Fabric may count each at any moment of it: none exceeds the
    quota."""
    policy = RatePolicy(limit)
    record, now = full(policy), 0.0
    endings: list[tuple[float, Urgency]] = []
    arrivals: list[float] = []
    for pause, takes, is_first in calls:
        now += pause
        while endings and endings[0][0] <= now:
            at, which = heapq.heappop(endings)
            record = ended(record, which, at)
        which = Urgency.FIRST if is_first else Urgency.LATER
        record, answer = take(record, which, now, policy)
        if isinstance(answer, Granted):
            arrivals.append(now + takes * arrives)
            heapq.heappush(endings, (now + takes, which))
        else:
            assert 0 < answer.seconds <= MAX_WAIT_SECONDS
    windows = Windows(limit)
    assert all(windows.count(at) for at in sorted(arrivals))


@settings(max_examples=100, deadline=None)
@given(limit=st.integers(1, 30), crowd=st.lists(st.booleans(), min_size=1, max_size=80))
def test_bucket_serves_every_caller_that_returns_when_asked(limit: int, crowd: list[bool]) -> None:
    """Many callers at once wait as asked, and all are served about as fast as the limit allows."""
    policy = RatePolicy(limit)
    record, now, refusals = full(policy), 0.0, 0
    waiting = [(0.0, i, Urgency.FIRST if is_first else Urgency.LATER) for i, is_first in enumerate(crowd)]
    heapq.heapify(waiting)
    while waiting:
        now, i, which = heapq.heappop(waiting)
        record, answer = take(record, which, now, policy)
        if isinstance(answer, Wait):
            refusals += 1
            heapq.heappush(waiting, (now + answer.seconds, i, which))
        else:
            record = ended(record, which, now)
    assert now <= 60 * (2 * len(crowd) / limit + 1)
    assert refusals <= len(crowd) * (now / 60 + 1)


@pytest.mark.parametrize(("greedy", "modest"), [(Urgency.FIRST, Urgency.LATER), (Urgency.LATER, Urgency.FIRST)])
def test_bucket_keeps_some_tokens_for_each_urgency(greedy: Urgency, modest: Urgency) -> None:
    """However often one kind of call asks, the other gets a token within a window: polls do not take the last tokens,
    and urgent calls do not starve them."""
    policy = RatePolicy(40)
    record, served = full(policy), 0
    for second in range(600):
        for _ in range(10):
            record, answer = take(record, greedy, second, policy)
            if isinstance(answer, Granted):
                record = ended(record, greedy, second)
        if second % 60 == 59:
            record, answer = take(record, modest, second, policy)
            assert isinstance(answer, Granted)
            record = ended(record, modest, second)
            served += 1
    assert served == 10


def test_bucket_polls_leave_the_reserved_tokens() -> None:
    """Of 180 tokens polls alone take 162, which leaves 18 for mutating calls."""
    policy = RatePolicy(180)
    record = full(policy)
    assert [_take_all(record, Urgency.LATER, policy)[1], _take_all(record, Urgency.FIRST, policy)[1]] == [162, 171]
    record, _ = _take_all(record, Urgency.LATER, policy)
    assert _take_all(record, Urgency.FIRST, policy)[1] == 18


def _take_all(record: RateRecord, which: Urgency, policy: RatePolicy) -> tuple[RateRecord, int]:
    """Take all available tokens at once."""
    count = 0
    while True:
        record, answer = take(record, which, 0.0, policy)
        if isinstance(answer, Wait):
            return record, count
        count += 1


def test_bucket_gives_each_caller_a_different_time() -> None:
    """Tokens that return one by one are announced one by one, so that not all callers come back for the same token."""
    policy = RatePolicy(3)
    record = full(policy)
    for at in (0.0, 10.0, 20.0):
        record, _ = take(record, Urgency.FIRST, at, policy)
        record = ended(record, Urgency.FIRST, at)
    waits: list[float] = []
    for _ in range(5):
        record, answer = take(record, Urgency.FIRST, 20.0, policy)
        assert isinstance(answer, Wait)
        waits.append(answer.seconds)
    assert waits == [40.0, 50.0, 60.0, 100.0, 110.0]


def test_bucket_token_that_was_not_used_is_available_at_once() -> None:
    """A call that the breaker rejected costs no token."""
    policy = RatePolicy(1)
    record, _ = take(full(policy), Urgency.LATER, 0.0, policy)
    assert isinstance(take(record, Urgency.FIRST, 0.0, policy)[1], Wait)
    assert isinstance(take(unused(record, Urgency.LATER), Urgency.FIRST, 0.0, policy)[1], Granted)


def test_bucket_is_empty_until_the_retry_after_and_its_share_adapts() -> None:
    """A 429 blocks exactly until its Retry-After; one burst halves the share once; quiet minutes restore it."""
    policy = RatePolicy(100)
    record = throttled(full(policy), 30.0, 0.0, policy)
    record = throttled(record, 29.0, 1.0, policy)
    assert record.share == 50
    record, answer = take(record, Urgency.FIRST, 10.0, policy)
    assert answer == Wait(20.0)
    record, answer = take(record, Urgency.FIRST, 30.0, policy)
    assert isinstance(answer, Granted)
    record, _ = take(record, Urgency.FIRST, 91.0, policy)
    assert record.share == 60
    record, _ = take(record, Urgency.FIRST, 1000.0, policy)
    assert record.share == 100
    for i in range(20):
        record = throttled(record, 1.0, 2000.0 + 2 * i, policy)
    assert record.share == 10


def test_bucket_is_full_when_the_retry_after_is_over() -> None:
    """A 429 shows when Fabric's window ends. Without one, a token returns a minute after its call."""
    policy = RatePolicy(4)
    record = full(policy)
    for _ in range(2):
        record, _ = take(record, Urgency.FIRST, 10.0, policy)
        record = ended(record, Urgency.FIRST, 11.0)
    record = throttled(record, 20.0, 12.0, policy)
    assert record.share == 2
    for _ in range(2):
        record, answer = take(record, Urgency.FIRST, 32.0, policy)
        assert isinstance(answer, Granted)


def test_bucket_that_is_refused_again_as_soon_as_the_retry_after_is_over_keeps_its_share() -> None:
    """Retry-After is in whole seconds, so the calls that obey it may come a moment before Fabric's window ends."""
    policy = RatePolicy(100)
    record = throttled(full(policy), 30.0, 10.0, policy)
    assert throttled(record, 1.0, 40.5, policy).share == record.share == 50
    assert throttled(record, 1.0, 42.0, policy).share == 25


@pytest.mark.parametrize(
    ("method", "path", "is_repeated", "expected"),
    [
        ("POST", "/workspaces/1/items", False, ((Bucket.PLATFORM,), Urgency.FIRST)),
        ("GET", "/workspaces/1/items", False, ((Bucket.PLATFORM,), Urgency.LATER)),
        ("GET", "/workspaces/1/items/2", False, ((Bucket.PLATFORM,), Urgency.FIRST)),
        ("GET", "/workspaces/1/lakehouses/2", True, ((Bucket.PLATFORM,), Urgency.LATER)),
        ("GET", "/operations/1", False, ((Bucket.OPERATIONS,), Urgency.LATER)),
        ("GET", "/operations/1/result", False, ((Bucket.OPERATIONS,), Urgency.FIRST)),
        ("POST", "/workspaces/1/items/2/jobs/instances", False, ((Bucket.JOBS,), Urgency.FIRST)),
        ("DELETE", "/workspaces/1/items/2", False, ((Bucket.DELETES, Bucket.PLATFORM), Urgency.FIRST)),
        ("DELETE", "/workspaces/1/lakehouses/2", False, ((Bucket.DELETES, Bucket.PLATFORM), Urgency.FIRST)),
        ("DELETE", "/workspaces/1/roleAssignments/2", False, ((Bucket.PLATFORM,), Urgency.FIRST)),
        ("DELETE", "/workspaces/1", False, ((Bucket.PLATFORM,), Urgency.FIRST)),
    ],
)
def test_call_has_a_bucket_and_an_urgency(
    method: str, path: str, is_repeated: bool, expected: tuple[tuple[Bucket, ...], Urgency]
) -> None:
    """They depend only on method and path."""
    assert (buckets(method, path), urgency(method, path, is_repeated)) == expected
