"""The rate limit of every call: tokens of Fabric's quotas, shared by all workers through storage (ADR 24)."""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from shared.adapters.fabric.rate_bucket import RateBucket, RateOutage, RateStatus
from shared.domain import fabric_paths
from shared.domain.errors import FabricTransientError
from shared.domain.ports import RateStore, Telemetry
from shared.domain.rate import Bucket, RatePolicy, Urgency, Wait
from shared.domain.telemetry import NoTelemetry

_REMEMBERED_PATHS = 2_000


class Grant:
    """The tokens of one call. Exactly one of `ended` and `unused` must be called."""

    def __init__(self, urgency: Urgency) -> None:
        self._urgency = urgency
        self._tokens: list[tuple[RateBucket, float]] = []

    def add(self, bucket: RateBucket, use_by: float) -> None:
        """Add a token of a bucket; for RateLimiter."""
        self._tokens.append((bucket, use_by))

    def ended(self) -> None:
        """Record that the call has ended, with any result."""
        for bucket, _ in self._tokens:
            bucket.ended(self._urgency)

    def unused(self) -> None:
        """Return the tokens: the call was not made."""
        for bucket, use_by in self._tokens:
            bucket.unused(self._urgency, use_by)

    def throttled(self, seconds: float) -> None:
        """Stop all calls in the call's narrowest quota for so many seconds, because Fabric answered 429. If a wider one
        is used up too, the next call of that one says so."""
        for bucket, _ in self._tokens[:1]:
            bucket.throttled(seconds)


class RateLimiter:
    """Thread-safe; never sleeps. One for each identity, because each has quotas of its own. Without a store, the quotas
    are this process's own."""

    def __init__(
        self,
        policy: RatePolicy,
        now: Callable[[], datetime],
        store: RateStore | None = None,
        telemetry: Telemetry | None = None,
        holder: str | None = None,
    ) -> None:
        outage, holder = RateOutage(now), holder or uuid.uuid4().hex[:12]
        self._buckets = {
            each: RateBucket(each, policy.of(each), now, store, outage, holder, telemetry or NoTelemetry())
            for each in Bucket
            if policy.of(each).per_minute
        }
        self._lock = threading.Lock()
        self._asked: OrderedDict[str, None] = OrderedDict()

    def take(self, method: str, path: str) -> Grant:
        """Return the tokens for a call. Raises FabricTransientError with the time to come back, which does not count as
        an attempt."""
        with self._lock:
            urgency = fabric_paths.urgency(method, path, method == "GET" and path in self._asked)
        grant = Grant(urgency)
        for each in fabric_paths.buckets(method, path):
            bucket = self._buckets.get(each)
            if bucket is None:
                continue
            answer = bucket.take(urgency)
            if isinstance(answer, Wait):
                grant.unused()
                raise FabricTransientError(
                    f"the calls that the app may make in a minute ({each}) are used up: not called",
                    call=f"{method} {path}",
                    retry_after_seconds=answer.seconds,
                    counts_as_attempt=False,
                )
            grant.add(bucket, answer)
        self._remember(method, path)
        return grant

    def share(self, bucket: Bucket) -> int:
        """Return how many tokens a bucket has in total at present."""
        return self._buckets[bucket].status().limit

    def statuses(self) -> list[RateStatus]:
        """Return the present rate in each limited quota. Never raises StorageUnavailableError."""
        return [bucket.status() for bucket in self._buckets.values()]

    def _remember(self, method: str, path: str) -> None:
        if method != "GET":
            return
        with self._lock:
            self._asked[path] = None
            if len(self._asked) > _REMEMBERED_PATHS:
                self._asked.popitem(last=False)
