"""The rate limit of one process as a pure state machine: a bucket of tokens for each of Fabric's quotas, and which
calls go first. shared/domain/rate_window.py is the same for all workers together.

Fabric counts the calls of a principal in three buckets, each in fixed windows of a minute whose starts are not visible.
A token therefore returns one window after its call *ended*. For all windows, and all
durations of calls, no window of Fabric then has more calls than the bucket has tokens. Only a 429 shows when a window
ends: with its Retry-After. The tokens of calls that ended before that return then.

`now` is in seconds of a monotonic clock.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

MAX_WAIT_SECONDS = 300.0
"""The longest wait that `take` returns; a caller that must wait longer asks again after it."""
MIN_SHARE = 0.1
"""The smallest part of the setting to which 429s lower a limit."""
ROUNDING_SECONDS = 1.0
"""Retry-After is in whole seconds, so Fabric's window may end so much later. A 429 in this time is one more of the same
burst: it delays, and does not lower the limit once more."""
GROWTH = 0.1
"""The part of the setting by which a limit grows in each quiet window."""


class Bucket(StrEnum):
    """Fabric's quotas: three of each identity, and a narrower one for one endpoint, whose calls count in both. The
    names are persisted: add, never rename."""

    PLATFORM = "platform"
    JOBS = "jobs"
    OPERATIONS = "operations"
    DELETES = "deletes"
    """Deletions of items."""


class Urgency(StrEnum):
    """Which calls go first when tokens are scarce."""

    FIRST = "first"
    """Other work waits for it: a call that changes something, its verification, the result of an operation."""
    LATER = "later"
    """It can wait: a look before a step starts, a poll."""


@dataclass(frozen=True)
class RatePolicy:
    """How many calls are made in a window of `window_seconds`.

    `per_minute` holds for each of the three quotas of an identity, `deletes_per_minute` for deletions of items; 0 means
    no limit. Both are a twentieth below Fabric's documented 500 and 200, for other programs of the identity
    ("Throttling in Microsoft Fabric", learn.microsoft.com/rest/api/fabric/articles/throttling; "Delete Item" in the
    reference of the API).

    A worker uses the tokens of a share within `use_seconds`. Fabric counts a call at most `call_seconds` after it was
    sent: a call takes at most 5 s to connect and 30 s for an answer (shared/adapters/fabric/transport.py). The clocks
    of two workers differ by at most `skew_seconds`, after their correction by the clock of storage.
    """

    per_minute: int = 475
    deletes_per_minute: int = 190
    window_seconds: float = 60.0
    use_seconds: float = 15.0
    call_seconds: float = 45.0
    skew_seconds: float = 1.0

    def of(self, bucket: Bucket) -> "RatePolicy":
        """Return the policy of one bucket: `per_minute` is then the bucket's own number."""
        return replace(self, per_minute=self.deletes_per_minute) if bucket is Bucket.DELETES else self


@dataclass(frozen=True)
class RateRecord:
    """One bucket of one process.

    `share` is its number of tokens while it is alone: fewer after each 429, which means that another program uses
    the same identity, and more with each quiet window. `under_way` counts the calls that have a token and have not
    ended, and `ended` has the times when the other calls of the last window ended, both by urgency. `promised` has the
    times that refused callers were given.
    """

    share: float
    under_way: tuple[int, int] = (0, 0)
    ended: tuple[tuple[float, bool], ...] = ()
    blocked_until: float = 0.0
    grown_at: float = 0.0
    promised: tuple[float, ...] = ()


@dataclass(frozen=True)
class Granted:
    """The call may be sent; report its end with `ended` or `unused`."""


@dataclass(frozen=True)
class Wait:
    """The call must not be sent; ask again after so many seconds."""

    seconds: float


def full(policy: RatePolicy) -> RateRecord:
    """Return a bucket with all of its tokens."""
    return RateRecord(float(policy.per_minute))


def take(record: RateRecord, urgency: Urgency, now: float, policy: RatePolicy) -> tuple[RateRecord, Granted | Wait]:
    """Return a token or a wait. Each refused caller gets the time of a different token."""
    record = aged(record, now, policy)
    if now < record.blocked_until:
        return record, Wait(record.blocked_until - now)
    is_first = urgency is Urgency.FIRST
    used = [record.under_way[0], record.under_way[1]]
    for _, was_first in record.ended:
        used[0 if was_first else 1] += 1
    tokens = int(record.share)
    lacking = 1 + reserved(tokens, used, is_first) - (tokens - sum(used))
    if lacking <= 0:
        return begun(record, urgency), Granted()
    wait = _wait(record, lacking, now, policy)
    return replace(record, promised=(*record.promised, now + wait)), Wait(wait)


def reserved(tokens: int, used: list[int], is_first: bool) -> int:
    """Return the unused reserved tokens of the other urgency.

    A tenth of all tokens is reserved for FIRST, and a twentieth for LATER, so that LATER does not starve.
    """
    if tokens < 4:
        return 0
    return max(0, max(1, tokens // 20) - used[1]) if is_first else max(0, max(1, tokens // 10) - used[0])


def _wait(record: RateRecord, lacking: int, now: float, policy: RatePolicy) -> float:
    """Return the seconds until the first token that is not promised. Calls under way count as ending now."""
    back = sorted(at + policy.window_seconds for at, _ in record.ended)
    back += [now + policy.window_seconds] * sum(record.under_way)
    if not back:
        return policy.window_seconds
    rounds, place = divmod(lacking - 1 + len(record.promised), len(back))
    return min(MAX_WAIT_SECONDS, back[place] + rounds * policy.window_seconds - now)


def begun(record: RateRecord, urgency: Urgency) -> RateRecord:
    """Return the record after a call got a token, of this bucket or of a share of all workers' window."""
    first, later = record.under_way
    is_first = urgency is Urgency.FIRST
    return replace(record, under_way=(first + is_first, later + (not is_first)))


def ended(record: RateRecord, urgency: Urgency, now: float) -> RateRecord:
    """Return the record after a call ended, in whatever way. Its token returns one window from now."""
    returned = unused(record, urgency)
    return replace(returned, ended=(*record.ended, (now, urgency is Urgency.FIRST)))


def unused(record: RateRecord, urgency: Urgency) -> RateRecord:
    """Return the record after a call was not sent. Its token is available at once."""
    first, later = record.under_way
    is_first = urgency is Urgency.FIRST
    return replace(record, under_way=(first - is_first, later - (not is_first)))


def throttled(record: RateRecord, seconds: float, now: float, policy: RatePolicy) -> RateRecord:
    """Return the record after a 429: no call is sent for `seconds`.

    Of several responses to one burst, only the first halves the share.
    """
    until = max(record.blocked_until, now + seconds)
    if record.blocked_until and now < record.blocked_until + ROUNDING_SECONDS:
        return replace(record, blocked_until=until, grown_at=until)
    share = max(1.0, policy.per_minute * MIN_SHARE, record.share / 2)
    return replace(record, blocked_until=until, grown_at=until, share=min(share, record.share))


def aged(record: RateRecord, now: float, policy: RatePolicy) -> RateRecord:
    """Return the record at `now`: without returned tokens and past promises, its share grown by 10 % a quiet window."""
    since = now - policy.window_seconds
    if 0 < record.blocked_until <= now:  # with the Retry-After, Fabric's window ended: no earlier call counts
        since = max(since, record.blocked_until)
    kept = record.ended
    if kept and min(kept)[0] <= since:
        kept = tuple(each for each in kept if each[0] > since)
    promised = tuple(at for at in record.promised if at > now) if record.promised else ()
    share, grown_at = record.share, record.grown_at
    if share < policy.per_minute and now - grown_at >= policy.window_seconds:
        windows = int((now - grown_at) / policy.window_seconds)
        share = min(float(policy.per_minute), share + windows * GROWTH * policy.per_minute)
        grown_at += windows * policy.window_seconds
    return replace(record, ended=kept, promised=promised, share=share, grown_at=grown_at)
