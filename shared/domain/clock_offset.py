"""How far this machine's clock is from the clock of a shared service, as an interval that each answer narrows.

An answer names the service's time in whole seconds (`Date`, RFC 9110, 6.6.1), and the answer itself takes time. So one
answer leaves a second of doubt; answers at different moments of a second leave less.
"""

from dataclasses import dataclass

KEPT_SECONDS = 600.0
"""After this time a new interval begins, because clocks drift and are set."""


@dataclass(frozen=True)
class ClockOffset:
    """The service's time minus this machine's is at least `low` and at most `high`, in seconds; `since` is this
    machine's time of the first answer that counts."""

    low: float
    high: float
    since: float

    @property
    def correction(self) -> float:
        """Return the smallest correction of this machine's clock that agrees with the answers; usually 0."""
        return min(max(0.0, self.low), self.high)


def narrowed(known: ClockOffset | None, date: float, sent_at: float, answered_at: float) -> ClockOffset:
    """Return the interval after an answer. `date` is the service's time, cut to whole seconds; the other two are this
    machine's time before and after the exchange."""
    new = ClockOffset(date - answered_at, date + 1.0 - sent_at, answered_at)
    if known is None or not 0.0 <= answered_at - known.since < KEPT_SECONDS:
        return new
    low, high = max(known.low, new.low), min(known.high, new.high)
    # An empty interval means that one of the two clocks was set: only the newest answer counts.
    return ClockOffset(low, high, known.since) if low <= high else new
