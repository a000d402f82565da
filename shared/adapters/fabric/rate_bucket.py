"""One of Fabric's quotas as a worker sees it: its shares of the window of all workers, or a bucket of its own."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain import rate, rate_window
from shared.domain.errors import ConflictError, SagaError, StorageUnavailableError, UnknownVersionError
from shared.domain.ports import RateStore, Telemetry, Versioned
from shared.domain.rate import Bucket, Granted, RatePolicy, Urgency, Wait
from shared.domain.rate_window import Share, SharedWindow
from shared.domain.telemetry import Event

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""How long storage is not accessed after a failure, because each try delays a call."""
_RACES = 30
_LOST_RACES_SECONDS = 1.0
"""When to come back after other workers won that many races."""
_COPY_SECONDS = 2.0
"""How long a copy of the record is enough to reject a call; a share is always claimed from the record itself."""


@dataclass(frozen=True)
class RateStatus:
    """One quota for people and monitors: tokens a window at present and by the settings, how many are out, seconds
    until calls may be made again. `workers` share it; `is_shared` is False if this worker uses a bucket of its own."""

    bucket: Bucket
    limit: int
    per_minute: int
    used: int
    workers: int
    blocked_seconds: float
    is_shared: bool


class RateOutage:
    """Remembers whether the store of the rate responded to this process last time. Thread-safe."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._retry_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Return True if the store may be asked: it responded last time, or it is time to try again."""
        return self._retry_at is None or self._now() >= self._retry_at

    @property
    def is_known(self) -> bool:
        """Return True if the store failed last time."""
        return self._retry_at is not None

    def begins(self, error: SagaError) -> None:
        """Leave the store alone for a while. The first failure is logged."""
        if self._retry_at is None:
            log.warning("the storage of the rate fails (%s): each worker keeps to its own part of the quota", error)
        self._retry_at = self._now() + timedelta(seconds=RETRY_SECONDS)

    def ends(self) -> None:
        """Record that the store responded."""
        if self._retry_at is not None:
            self._retry_at = None
            log.warning("the rate is shared by all workers again")


class RateBucket:
    """Thread-safe. It never sleeps: a call without a token gets the time to come back. With `store` None, and while the
    store fails, the bucket is this process's own."""

    def __init__(
        self,
        bucket: Bucket,
        policy: RatePolicy,
        now: Callable[[], datetime],
        store: RateStore | None,
        outage: RateOutage,
        holder: str,
        telemetry: Telemetry,
    ) -> None:
        self.bucket, self.policy, self.holder = bucket, policy, holder
        self._now, self._store, self._outage, self._telemetry = now, store, outage, telemetry
        self._record = rate.full(policy)
        self._alone = policy
        self._hand: tuple[Share, ...] = ()
        self._seen: Versioned[SharedWindow] | None = None
        self._seen_at = self._written_at = 0.0
        self._has_rivals = False
        self._lock = threading.Lock()
        self._storage = threading.Lock()

    def take(self, urgency: Urgency) -> float | Wait:
        """Return a token: the time until which it may be used. Or return a wait, which no other caller of this process
        gets for the same token."""
        with self._lock:
            now = self.seconds()
            self._record = rate.aged(self._record, now, self._alone)
            if now < self._record.blocked_until:
                return Wait(self._record.blocked_until - now)
            if self._store is None or not self._outage.is_over:
                return self._from_own_bucket(urgency)
            if (use_by := self._from_hand(urgency)) is not None:
                return use_by
        return self._from_store(self._store, urgency)

    def unused(self, urgency: Urgency, use_by: float) -> None:
        """Take a token back: the call was not made. A token of a share can be used again while the share lasts."""
        with self._lock:
            self._record = rate.unused(self._record, urgency)
            if use_by <= self.seconds():
                return
            first, later = (1, 0) if urgency is Urgency.FIRST else (0, 1)
            of_same = [share for share in self._hand if share.use_by == use_by]
            merged = Share(first + sum(s.first for s in of_same), later + sum(s.later for s in of_same), use_by)
            self._hand = (*(share for share in self._hand if share.use_by != use_by), merged)

    def ended(self, urgency: Urgency) -> None:
        """Record that a call has ended, with any result."""
        with self._lock:
            self._record = rate.ended(self._record, urgency, self.seconds())

    def throttled(self, seconds: float) -> None:
        """Stop all calls in this bucket for so many seconds, because Fabric answered 429: of all workers if storage
        responds, else of this one."""
        with self._lock:
            now = self.seconds()
            is_first = now >= self._record.blocked_until
            self._record = rate.throttled(self._record, seconds, now, self._alone)
        if self._store is not None and self._outage.is_over:
            with self._storage:
                self._guarded(lambda store: self._throttle_all(store, seconds), self._store)
        elif is_first:
            self._lowered(self._record.share, seconds)

    def status(self) -> RateStatus:
        """Return the present rate, read from the store if it responds."""
        if self._store is not None and self._outage.is_over:
            with self._storage:
                self._guarded(self._read, self._store)
        with self._lock:
            now = self.seconds()
            record = rate.aged(self._record, now, self._alone)
            if self._store is None or self._outage.is_known:
                taken = sum(record.under_way) + len(record.ended)
                blocked = max(0.0, record.blocked_until - now)
                return RateStatus(self.bucket, int(record.share), self.policy.per_minute, taken, 1, blocked, False)
            window = rate_window.aged(self._window(), now, self.policy)
        return RateStatus(
            self.bucket,
            int(window.limit),
            self.policy.per_minute,
            sum(rate_window.used(window)),
            len(window.parts),
            max(0.0, window.blocked_until - now),
            is_shared=True,
        )

    def seconds(self) -> float:
        """Return the time in seconds since 1970, corrected by the clock of the store."""
        offset = self._store.clock() if self._store is not None else None
        return self._now().timestamp() + (offset.correction if offset is not None else 0.0)

    def _from_own_bucket(self, urgency: Urgency) -> float | Wait:
        self._record, answer = rate.take(self._record, urgency, self.seconds(), self._alone)
        return 0.0 if isinstance(answer, Granted) else answer

    def _from_hand(self, urgency: Urgency) -> float | None:
        """Take a token of a share in hand. A token for later calls also serves an urgent one, but not the reverse."""
        now = self.seconds()
        self._hand = tuple(s for s in self._hand if s.use_by > now and (s.first or s.later))
        for name in ("first", "later") if urgency is Urgency.FIRST else ("later",):
            for index, share in enumerate(self._hand):
                if count := getattr(share, name):
                    left = replace(share, first=count - 1) if name == "first" else replace(share, later=count - 1)
                    self._hand = (*self._hand[:index], left, *self._hand[index + 1 :])
                    self._record = rate.begun(self._record, urgency)
                    return share.use_by
        return None

    def _from_store(self, store: RateStore, urgency: Urgency) -> float | Wait:
        with self._storage:
            with self._lock:
                if (use_by := self._from_hand(urgency)) is not None:
                    return use_by  # another thread has claimed a share in the meantime
                if not self._outage.is_over:
                    return self._from_own_bucket(urgency)
            answer = self._guarded(lambda store: self._claim(store, urgency), store)
        if answer is not None:
            return answer
        with self._lock:
            return self._from_own_bucket(urgency)

    def _guarded[T](self, ask: Callable[[RateStore], T], store: RateStore) -> T | None:
        """Return what the store answers, or None if it fails: this worker is then alone, with a fair part."""
        try:
            answer = ask(store)
        except (StorageUnavailableError, UnknownVersionError) as error:
            if not self._outage.is_known:
                log.debug("the rate of '%s' is this worker's own", self.bucket)
            self._outage.begins(error)
            with self._lock:
                self._seen_at = 0.0
                self._hand = ()
                if self._seen is not None:
                    part = rate_window.fair_part(self._window(), self.policy)
                    self._alone = replace(self.policy, per_minute=part)
                    self._record = replace(self._record, share=float(part), grown_at=self.seconds())
            return None
        self._outage.ends()
        return answer

    def _claim(self, store: RateStore, urgency: Urgency) -> float | Wait:
        """Claim a share by one conditional write, and take the first token of it. The first try uses the last copy of
        the record, which is the present one unless another worker writes too; then it is read before."""
        if self._has_rivals:
            before = self._seen
            self._read(store)
            self._has_rivals = before is None or self._seen is None or before.etag != self._seen.etag
        for _ in range(_RACES):
            now, own, promised = self._own_part()
            before = self._window()
            after, answer = rate_window.claim(before, own, urgency, now, self.policy, promised)
            if isinstance(answer, Wait):
                if not 0 <= now - self._seen_at < _COPY_SECONDS:
                    self._read(store)
                    continue
                self._report(store, after, now)
                return self._promise(answer, now)
            try:
                self._keep(store.write(self._seen, after), now)
            except ConflictError:
                self._has_rivals = True
                self._read(store)
                continue
            with self._lock:
                self._written_at = now
                self._hand = (*self._hand, answer)
                if (use_by := self._from_hand(urgency)) is not None:
                    return use_by  # None: the write took longer than the share lasts
        return Wait(_LOST_RACES_SECONDS)

    def _report(self, store: RateStore, after: SharedWindow, now: float) -> None:
        """Write this worker's part without a claim, so that others do not wait for tokens that it does not hold any
        more; now and then, and only if that changes the part."""
        own = next((part for part in after.parts if part.holder == self.holder), None)
        seen = self._seen
        was = next((part for part in seen.record.parts if part.holder == self.holder), None) if seen else None
        if seen is None or was is None or own == was or now - self._written_at < _COPY_SECONDS:
            return
        self._written_at = now
        try:
            self._keep(store.write(seen, after), now)
        except ConflictError:
            self._read(store)

    def _throttle_all(self, store: RateStore, seconds: float) -> None:
        for _ in range(_RACES):
            self._read(store)
            now = self.seconds()
            before = rate_window.aged(self._window(), now, self.policy)
            after = rate_window.throttled(before, seconds, now, self.policy)
            if after is before:
                return
            try:
                self._keep(store.write(self._seen, after), now)
            except ConflictError:
                continue
            if after.limit < before.limit:
                self._lowered(after.limit, seconds)
            return

    def _own_part(self) -> tuple[float, rate_window.Part, int]:
        with self._lock:
            now = self.seconds()
            self._record = rate.aged(self._record, now, self._alone)
            hand = tuple(share for share in self._hand if share.use_by > now and (share.first or share.later))
            return now, rate_window.part_of(self.holder, hand, self._record, now), len(self._record.promised)

    def _promise(self, wait: Wait, now: float) -> Wait:
        with self._lock:
            self._record = replace(self._record, promised=(*self._record.promised, now + wait.seconds))
        return wait

    def _window(self) -> SharedWindow:
        return self._seen.record if self._seen is not None else rate_window.unclaimed(self.bucket, self.policy)

    def _read(self, store: RateStore) -> None:
        found = store.read(self.bucket)
        self._seen, self._seen_at = found, self.seconds()

    def _keep(self, written: Versioned[SharedWindow], now: float) -> None:
        self._seen, self._seen_at = written, now

    def _lowered(self, limit: float, seconds: float) -> None:
        log.warning("Fabric throttles '%s': at most %d calls a minute, none for %.0f s", self.bucket, limit, seconds)
        self._telemetry.event(
            Event.RATE_LOWERED,
            {
                "bucket": self.bucket.value,
                "limit": int(limit),
                "per_minute": self.policy.per_minute,
                "retry_after_seconds": round(seconds, 1),
                "is_shared": self._store is not None and not self._outage.is_known,
            },
        )
