"""Fabric's quota, kept from our side: a bucket of tokens a principal and kind of call, and who goes first.

Fabric counts calls a principal in three buckets, each in fixed windows of a minute whose beginnings we do not see.
A token of ours therefore comes back one window after its call *ended*: whatever the windows, and however long a call
was under way, no window of Fabric's then holds more calls than the bucket has tokens.

`now` is seconds of any clock that does not go back.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

MAX_WAIT_SECONDS = 300.0
"""Who would have to wait longer is told this, and told again when it comes back."""
_MIN_SHARE = 0.1
_GROWTH = 0.1


class Bucket(StrEnum):
    """Fabric's three quotas."""

    PLATFORM = "platform"
    JOBS = "jobs"
    OPERATIONS = "operations"


class Urgency(StrEnum):
    """Who goes first when tokens are scarce."""

    FIRST = "first"
    """Unblocks: a mutating call, its verification, the result of an operation."""
    LATER = "later"
    """Can wait: a look before something is begun, a poll."""


@dataclass(frozen=True)
class RatePolicy:
    """`per_minute` tokens a window; 0: there is no limit. Below Fabric's 200, for other programs of the principal."""

    per_minute: int = 180
    window_seconds: float = 60.0


@dataclass(frozen=True)
class RateRecord:
    """One bucket of one process. `share` is how many tokens it has now: less after each time that Fabric refused a
    call all the same (another process uses the same principal), and more with each quiet window.

    `under_way` counts calls that have a token and have not ended; `ended` is when the others of the last window
    ended; each by urgency. `promised` is when those that were refused have been told to come back.
    """

    share: float
    under_way: tuple[int, int] = (0, 0)
    ended: tuple[tuple[float, bool], ...] = ()
    blocked_until: float = 0.0
    grown_at: float = 0.0
    promised: tuple[float, ...] = ()


@dataclass(frozen=True)
class Granted:
    """Call, and say when it has ended."""


@dataclass(frozen=True)
class Wait:
    """Do not call; come back after so many seconds."""

    seconds: float


def full(policy: RatePolicy) -> RateRecord:
    """A bucket that nothing was taken from."""
    return RateRecord(float(policy.per_minute))


def take(record: RateRecord, urgency: Urgency, now: float, policy: RatePolicy) -> tuple[RateRecord, Granted | Wait]:
    """A token, or when to come back: each that is refused is told the time of a token of its own."""
    record = _aged(record, now, policy)
    if now < record.blocked_until:
        return record, Wait(record.blocked_until - now)
    is_first = urgency is Urgency.FIRST
    used = [record.under_way[0], record.under_way[1]]
    for _, was_first in record.ended:
        used[0 if was_first else 1] += 1
    tokens = int(record.share)
    lacking = 1 + _reserved(tokens, used, is_first) - (tokens - sum(used))
    if lacking <= 0:
        first, later = record.under_way
        return replace(record, under_way=(first + is_first, later + (not is_first))), Granted()
    wait = _wait(record, lacking, now, policy)
    return replace(record, promised=(*record.promised, now + wait)), Wait(wait)


def _reserved(tokens: int, used: list[int], is_first: bool) -> int:
    """Tokens that the other urgency has not used yet of those that are its own: a tenth of all for FIRST, which
    polls may not take, and a twentieth for LATER, so that it does not starve."""
    if tokens < 4:
        return 0
    return max(0, max(1, tokens // 20) - used[1]) if is_first else max(0, max(1, tokens // 10) - used[0])


def _wait(record: RateRecord, lacking: int, now: float, policy: RatePolicy) -> float:
    """When the token comes back that nobody else was told of; a call that is under way is taken to end now."""
    back = sorted(at + policy.window_seconds for at, _ in record.ended)
    back += [now + policy.window_seconds] * sum(record.under_way)
    if not back:
        return policy.window_seconds
    rounds, place = divmod(lacking - 1 + len(record.promised), len(back))
    return min(MAX_WAIT_SECONDS, back[place] + rounds * policy.window_seconds - now)


def ended(record: RateRecord, urgency: Urgency, now: float) -> RateRecord:
    """The call is over, however it went: its token comes back one window from now."""
    returned = unused(record, urgency)
    return replace(returned, ended=(*record.ended, (now, urgency is Urgency.FIRST)))


def unused(record: RateRecord, urgency: Urgency) -> RateRecord:
    """The call was not made: its token is there at once."""
    first, later = record.under_way
    is_first = urgency is Urgency.FIRST
    return replace(record, under_way=(first - is_first, later - (not is_first)))


def throttled(record: RateRecord, seconds: float, now: float, policy: RatePolicy) -> RateRecord:
    """Fabric answered 429: nobody calls for `seconds`. Of several answers to one burst only the first halves the
    share."""
    until = max(record.blocked_until, now + seconds)
    if now < record.blocked_until:
        return replace(record, blocked_until=until, grown_at=until)
    share = max(1.0, policy.per_minute * _MIN_SHARE, record.share / 2)
    return replace(record, blocked_until=until, grown_at=until, share=min(share, record.share))


def _aged(record: RateRecord, now: float, policy: RatePolicy) -> RateRecord:
    """Tokens that are back, promises that are due, and a share that grows by a tenth of the whole a quiet window."""
    since = now - policy.window_seconds
    kept = record.ended
    if kept and min(kept)[0] <= since:
        kept = tuple(each for each in kept if each[0] > since)
    promised = tuple(at for at in record.promised if at > now) if record.promised else ()
    share, grown_at = record.share, record.grown_at
    if share < policy.per_minute and now - grown_at >= policy.window_seconds:
        windows = int((now - grown_at) / policy.window_seconds)
        share = min(float(policy.per_minute), share + windows * _GROWTH * policy.per_minute)
        grown_at += windows * policy.window_seconds
    return replace(record, ended=kept, promised=promised, share=share, grown_at=grown_at)
