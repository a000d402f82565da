"""The token buckets of this process: the decisions of shared/domain/rate.py with a clock and a lock."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from shared.domain import fabric_paths, rate
from shared.domain.errors import FabricTransientError
from shared.domain.rate import Bucket, RatePolicy, RateRecord, Urgency, Wait

_REMEMBERED_PATHS = 2_000


class Grant:
    """A token that was taken. Exactly one of `ended` and `unused` must be called."""

    def __init__(self, limiter: "RateLimiter", bucket: Bucket, urgency: Urgency) -> None:
        self._limiter, self._bucket, self._urgency = limiter, bucket, urgency

    def ended(self) -> None:
        """Record that the call has ended, with any result."""
        self._limiter.change(self._bucket, lambda r, now: rate.ended(r, self._urgency, now))

    def unused(self) -> None:
        """Return the token: the call was not made."""
        self._limiter.change(self._bucket, lambda r, now: rate.unused(r, self._urgency))

    def throttled(self, seconds: float) -> None:
        """Stop all calls of this process in this bucket for so many seconds, because Fabric answered 429."""
        policy = self._limiter.policy
        self._limiter.change(self._bucket, lambda r, now: rate.throttled(r, seconds, now, policy))


class RateLimiter:
    """Thread-safe; never waits. One for each principal, because each has a quota of its own."""

    def __init__(self, policy: RatePolicy, now: Callable[[], datetime]) -> None:
        self.policy = policy
        self._now = now
        self._lock = threading.Lock()
        self._records: dict[Bucket, RateRecord] = {each: rate.full(policy) for each in Bucket}
        self._asked: OrderedDict[str, None] = OrderedDict()

    def take(self, method: str, path: str) -> Grant:
        """Return a token for a call. Raises FabricTransientError with the time to come back, which does not count as an
        attempt."""
        bucket = fabric_paths.bucket(path)
        with self._lock:
            urgency = fabric_paths.urgency(method, path, method == "GET" and path in self._asked)
            now = self._now().timestamp()
            self._records[bucket], answer = rate.take(self._records[bucket], urgency, now, self.policy)
            if not isinstance(answer, Wait):
                self._remember(method, path)
                return Grant(self, bucket, urgency)
        raise FabricTransientError(
            f"the calls that this process may make in a minute ({bucket}) are used up: not called",
            call=f"{method} {path}",
            retry_after_seconds=answer.seconds,
            counts_as_attempt=False,
        )

    def share(self, bucket: Bucket) -> int:
        """Return how many tokens a bucket has in total at present."""
        return int(self._records[bucket].share)

    def change(self, bucket: Bucket, how: Callable[[RateRecord, float], RateRecord]) -> None:
        """Replace a bucket's record by what `how` returns; for Grant."""
        with self._lock:
            self._records[bucket] = how(self._records[bucket], self._now().timestamp())

    def _remember(self, method: str, path: str) -> None:
        if method == "GET":
            self._asked[path] = None
            if len(self._asked) > _REMEMBERED_PATHS:
                self._asked.popitem(last=False)
