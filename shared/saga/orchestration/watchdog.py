"""Decide which steps get another message from the watchdog, and when it runs next. Pure: from rows and the time."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from shared.domain.policy import EnginePolicy
from shared.domain.records import StepRecord
from shared.domain.states import StepState
from shared.saga.orchestration.progress import Progress
from shared.saga.step.execution import may_be_abandoned

_MISSED_SECONDS = 10.0
"""Seconds by which a scheduled delivery may be late before its message counts as lost."""
LONG_QUEUE = 50
"""From so many steps on that have not begun, the queue is longer than what one instance handles at a time."""
_ROWS_A_SECOND = 50
"""Rows that the watchdog reads in a second at most, on average: reading thousands costs as much as handling steps."""
NOT_YET_COMPENSATED = frozenset({StepState.SUCCEEDED, StepState.FAILED, StepState.COMPENSATION_FAILED})
_MOVING = frozenset({StepState.INTENT, StepState.SUBMITTED, StepState.COMPENSATING})

Rows = Mapping[int, StepRecord]
"""Rows of a deployment by ordinal: all of them, or those of the steps in flight."""


def due_since(rows: Rows, progress: Progress, now: datetime) -> dict[int, float]:
    """Return since when the message of each step in flight is due that a worker could have: when it was sent, or the
    time to which its last delivery put it off. In seconds since 1970.

    A step that a worker holds has none, nor has one whose delivery is due later. A holder that died had the message."""
    found: dict[int, float] = {}
    for i in progress.sent:
        row, sent_at = rows[i], progress.sent_at.get(i, 0.0)
        if row.wait_until is not None and row.wait_until > now:
            continue
        if row.claim is None or row.claim.expires_at < min(now, datetime.fromtimestamp(sent_at, UTC)):
            found[i] = max(sent_at, row.wait_until.timestamp() if row.wait_until is not None else 0.0)
    return found


def in_line(due: Mapping[int, float], now: datetime, head: datetime | None, policy: EnginePolicy) -> set[int]:
    """Return the steps whose message, which is `due` since then, is still in the queue behind its first one, which was
    due at `head`, or was taken by a worker that has not come to it.

    The queue serves its messages by the time at which they are due. So while its first message is older than that of a
    step, this one cannot be taken for lost. A worker takes many messages at once, and if the queue is late, so is it:
    as late as the queue, and at most a round, because its hand is never that full."""
    if head is None:
        return set()
    in_hand = timedelta(seconds=min((now - head).total_seconds(), policy.watchdog_seconds))
    reached = (head - in_hand).timestamp()
    return {i for i, at in due.items() if reached < at}


def queue_moves(rows: Rows, fresh: Progress, known: Progress) -> bool:
    """Return True if many steps have not begun, and one has since the last round: then their messages wait for their
    turn. Messages that are lost are sent again when the queue has been emptied, or nothing moves any more."""
    waiting = {i for i in fresh.sent if not has_begun(rows[i])}
    return len(waiting) >= LONG_QUEUE and not waiting.issuperset(known.unanswered or known.sent)


def lost(
    rows: Rows,
    progress: Progress,
    now: datetime,
    *,
    is_abort_requested: bool,
    moves: bool = False,
    waiting: Collection[int] = (),
) -> list[int]:
    """Return the ordinals of the steps that were sent and whose message is lost, as far as their rows show.

    If a person cancelled (`is_abort_requested`), those that wait to try again or for Fabric are among them: a delivery
    ends that wait. If the queue moves, none is among them that has not begun; nor is one of those `waiting` in line.
    """
    return [
        i
        for i in sorted(progress.sent)
        if i not in waiting
        and not (moves and not has_begun(rows[i]) and not progress.rolling_back)
        and _is_lost(rows[i], progress, now, is_abort_requested=is_abort_requested)
    ]


def _is_lost(row: StepRecord, progress: Progress, now: datetime, *, is_abort_requested: bool) -> bool:
    if row.claim is not None and row.claim.expires_at > now:
        return False
    if is_abort_requested and may_be_abandoned(row):
        return True
    if progress.rolling_back and row.state is StepState.PENDING and row.freed_at is None:
        return True  # it waits to look again, and nothing new is begun any more
    if row.wait_until is not None:
        return now > row.wait_until + timedelta(seconds=_MISSED_SECONDS)
    rounds = progress.unanswered.get(row.ordinal, 0)
    return rounds & (rounds - 1) == 0


def has_begun(row: StepRecord) -> bool:
    """Return True if a delivery has left a trace in the row: then the row shows when that delivery is late."""
    return row.claim is not None or row.wait_until is not None or row.state in _MOVING


def next_round(
    rows: Rows,
    progress: Progress,
    now: datetime,
    policy: EnginePolicy,
    waiting: Collection[int] = (),
    head: datetime | None = None,
) -> float:
    """Return in how many seconds the watchdog comes again.

    It comes when the first claim ends that nobody renews, because a dead worker is noticed then. If a message may be
    lost, it comes after `watchdog_seconds`. If every step in flight waits for a person, or for a delivery at a time
    that Fabric named, it comes after `watchdog_max_seconds`. If it stands in line (`waiting`), it comes after as long
    as the queue is late, because a message that is sent again would wait so long too. With thousands of rows it does
    not come more often than after `watchdog_seconds`."""
    in_flight = {*progress.sent, *(i for i, row in rows.items() if row.claim is not None)}
    late = (now - head).total_seconds() if head is not None else 0.0
    in_turn = max(policy.watchdog_seconds, min(late, policy.watchdog_max_seconds))
    rounds = [in_turn if i in waiting else _seconds_to_look(rows[i], now, policy) for i in in_flight]
    least = min(policy.watchdog_seconds, len(rows) / _ROWS_A_SECOND)
    return max(least, min(rounds, default=policy.watchdog_seconds))


def _seconds_to_look(row: StepRecord, now: datetime, policy: EnginePolicy) -> float:
    """Return in how many seconds a row can show that its delivery is late."""
    often = policy.watchdog_seconds
    if row.claim is not None:
        left = (row.claim.expires_at - now).total_seconds()
        return min(often, left + 1.0) if left > 0 else often
    if row.wait_until is None:
        return often
    left = (row.wait_until - now).total_seconds() + _MISSED_SECONDS + 1.0
    return max(often, min(left, policy.watchdog_max_seconds))
