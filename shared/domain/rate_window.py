"""One of Fabric's quotas as all workers share it: a pure state machine over one record.

A worker claims a share, which is a fortieth of the tokens, by one conditional write, and makes its calls from it. With
every write it replaces its own part of the record: the tokens that it still has, its calls under way, and when its
other calls of the last window ended. A token therefore returns, for all workers, one window after its call ended
(shared/domain/rate.py says why that keeps the quota). If a worker dies, its last part is what others know of it, and
its tokens return one window after the last moment at which it can have used them.

Times are seconds since 1970 of clocks that agree within `skew_seconds`.
"""

import math
from collections import Counter
from dataclasses import dataclass, replace

from shared.domain.errors import UnknownVersionError
from shared.domain.json import JsonObject
from shared.domain.rate import (
    GROWTH,
    MAX_WAIT_SECONDS,
    MIN_SHARE,
    ROUNDING_SECONDS,
    Bucket,
    RatePolicy,
    RateRecord,
    Urgency,
    Wait,
    reserved,
)

SCHEMA_VERSION = 1
SLOT_SECONDS = 0.5
"""Calls that ended within such a slot are one entry, and count as ending at its end."""
_SHARES = 40
_MOST_SLOTS = 1_000
"""Entries that a record has at most, so that it fits into a property of a row; beyond, the slots become longer."""


@dataclass(frozen=True)
class Share:
    """Tokens that a worker may use until `use_by`, by urgency (first, later)."""

    first: int
    later: int
    use_by: float


@dataclass(frozen=True)
class Spent:
    """Calls that ended in the slot that ends at `at`, by urgency."""

    at: float
    first: int
    later: int


@dataclass(frozen=True)
class Part:
    """The last report of one worker about itself."""

    holder: str
    shares: tuple[Share, ...] = ()
    spent: tuple[Spent, ...] = ()


@dataclass(frozen=True)
class SharedWindow:
    """One quota of one principal, as it is persisted in one row.

    `limit` is the present number of tokens a window of all workers together: fewer after a 429, more with each quiet
    window. Until `blocked_until` no worker calls.
    """

    bucket: Bucket
    limit: float
    parts: tuple[Part, ...] = ()
    blocked_until: float = 0.0
    grown_at: float = 0.0

    def to_json(self) -> JsonObject:
        """Return the record as it is stored: rows of numbers, because there are many."""
        parts = {
            part.holder: {
                "shares": [[each.first, each.later, round(each.use_by, 3)] for each in part.shares],
                "spent": [[each.at, each.first, each.later] for each in part.spent],
            }
            for part in self.parts
        }
        return {
            "schema_version": SCHEMA_VERSION,
            "bucket": self.bucket.value,
            "limit": self.limit,
            "blocked_until": self.blocked_until,
            "grown_at": self.grown_at,
            "parts": parts,
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> "SharedWindow":
        """Read a stored record. Raises UnknownVersionError; KeyError, TypeError or ValueError if it is not one."""
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise UnknownVersionError(
                f"a record of the rate has version {version!r}; this program knows {SCHEMA_VERSION}"
            )
        parts = tuple(
            Part(
                str(holder),
                tuple(Share(int(first), int(later), float(use_by)) for first, later, use_by in part["shares"]),
                tuple(Spent(float(at), int(first), int(later)) for at, first, later in part["spent"]),
            )
            for holder, part in data["parts"].items()
        )
        return cls(
            Bucket(data["bucket"]), float(data["limit"]), parts, float(data["blocked_until"]), float(data["grown_at"])
        )


def unclaimed(bucket: Bucket, policy: RatePolicy) -> SharedWindow:
    """Return a window of which no worker has claimed anything."""
    return SharedWindow(bucket, float(policy.per_minute))


def claim(
    window: SharedWindow, own: Part, urgency: Urgency, now: float, policy: RatePolicy, promised: int = 0
) -> tuple[SharedWindow, Share | Wait]:
    """Return the window with the worker's part replaced by `own` and, if there are tokens, a new share of it; or the
    wait for a token. `promised` is how many of the worker's callers wait for a token already."""
    window = reported(window, own, now, policy)
    if now < window.blocked_until:
        return window, Wait(window.blocked_until - now)
    is_first, tokens, taken = urgency is Urgency.FIRST, int(window.limit), used(window)
    free = tokens - sum(taken) - reserved(tokens, taken, is_first)
    if free <= 0:
        return window, Wait(_wait(window, promised - free, now, policy))
    count = min(free, max(1, tokens // _SHARES))
    share = Share(count if is_first else 0, 0 if is_first else count, now + policy.use_seconds)
    parts = (replace(p, shares=(*p.shares, share)) if p.holder == own.holder else p for p in window.parts)
    return replace(window, parts=tuple(parts)), share


def used(window: SharedWindow) -> list[int]:
    """Return how many tokens are out, by urgency."""
    shares = [share for part in window.parts for share in part.shares]
    spent = [each for part in window.parts for each in part.spent]
    return [
        sum(each.first for each in shares) + sum(each.first for each in spent),
        sum(each.later for each in shares) + sum(each.later for each in spent),
    ]


def part_of(holder: str, hand: tuple[Share, ...], record: RateRecord, now: float) -> Part:
    """Return what a worker reports of itself: its tokens in hand, and the calls of its own record. A call under way was
    sent, so its token counts as used by now."""
    first, later = record.under_way
    under_way = (Share(first, later, now),) if first or later else ()
    return Part(holder, (*hand, *under_way), _slots(record.ended, SLOT_SECONDS))


def reported(window: SharedWindow, own: Part, now: float, policy: RatePolicy) -> SharedWindow:
    """Return the window at `now`, with the worker's part replaced. A slot that the worker has forgotten, because it is
    older than a window by the worker's clock, stays until its tokens have returned by every clock."""
    window = aged(window, now, policy)
    before = next((part for part in window.parts if part.holder == own.holder), Part(own.holder))
    since = now - policy.window_seconds
    over = window.blocked_until if window.blocked_until <= now else 0.0
    spent = [each for each in before.spent if each.at <= since]
    spent += [each for each in own.spent if each.at > max(since, over)]
    others = [part for part in window.parts if part.holder != own.holder]
    new = replace(own, spent=tuple(spent))
    return replace(window, parts=(*others, _shortened(new, sum(len(part.spent) for part in others))))


def aged(window: SharedWindow, now: float, policy: RatePolicy) -> SharedWindow:
    """Return the window at `now`: without tokens that have returned, its limit grown by 10 % a quiet window."""
    back = policy.window_seconds + policy.skew_seconds
    over = window.blocked_until  # Fabric's window ended then, and with it all calls before
    parts = [
        replace(
            part,
            shares=tuple(s for s in part.shares if s.use_by + policy.call_seconds + back > now),
            spent=tuple(s for s in part.spent if s.at + back > now and not (s.at <= over <= now)),
        )
        for part in window.parts
    ]
    limit, grown_at = window.limit, window.grown_at
    if limit > policy.per_minute:  # the setting was lowered
        limit = float(policy.per_minute)
    if limit < policy.per_minute and now - grown_at >= policy.window_seconds:
        windows = int((now - grown_at) / policy.window_seconds)
        limit = min(float(policy.per_minute), limit + windows * GROWTH * policy.per_minute)
        grown_at += windows * policy.window_seconds
    kept = tuple(part for part in parts if part.shares or part.spent)
    return replace(window, parts=kept, limit=limit, grown_at=grown_at)


def throttled(window: SharedWindow, seconds: float, now: float, policy: RatePolicy) -> SharedWindow:
    """Return the window after a 429: no worker calls for `seconds`, and the limit is halved. Of several responses to
    one burst, only the first halves it. The same object means that there is nothing to write."""
    until = max(window.blocked_until, now + seconds)
    if window.blocked_until and now < window.blocked_until + ROUNDING_SECONDS:
        # A write for less than a second would not be worth it.
        return replace(window, blocked_until=until, grown_at=until) if until >= window.blocked_until + 1 else window
    limit = min(window.limit, max(1.0, policy.per_minute * MIN_SHARE, window.limit / 2))
    return replace(window, blocked_until=until, grown_at=until, limit=limit)


def fair_part(window: SharedWindow, policy: RatePolicy) -> int:
    """Return the tokens of one worker if all workers of the record must continue without it."""
    return max(1, int(min(window.limit, policy.per_minute) / max(1, len(window.parts))))


def _wait(window: SharedWindow, place: int, now: float, policy: RatePolicy) -> float:
    """Return the seconds until the token with that place among the returning ones. A token that may still be used
    counts as used now; the worker that held an older one may have died."""
    after, back = policy.window_seconds + policy.skew_seconds, list[float]()
    for part in window.parts:
        for each in part.spent:
            back += [each.at + after] * (each.first + each.later)
        for share in part.shares:
            at = now if share.use_by >= now else share.use_by + policy.call_seconds
            back += [at + after] * (share.first + share.later)
    if not back:
        return policy.window_seconds
    back.sort()
    rounds, index = divmod(place, len(back))
    return min(MAX_WAIT_SECONDS, max(0.001, back[index] + rounds * policy.window_seconds - now))


def _slots(ended: tuple[tuple[float, bool], ...], seconds: float) -> tuple[Spent, ...]:
    counts = Counter((math.ceil(at / seconds) * seconds, is_first) for at, is_first in ended)
    return tuple(Spent(at, counts[at, True], counts[at, False]) for at in sorted({at for at, _ in counts}))


def _shortened(part: Part, others: int) -> Part:
    """Return the part with fewer, longer slots if the record would have too many."""
    seconds = SLOT_SECONDS
    while len(part.spent) + others > _MOST_SLOTS and len(part.spent) > 1:
        seconds *= 2
        ended = [(s.at, True) for s in part.spent for _ in range(s.first)]
        ended += [(s.at, False) for s in part.spent for _ in range(s.later)]
        part = replace(part, spent=_slots(tuple(ended), seconds))
    return part
