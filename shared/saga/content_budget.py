"""The content of items that the deliveries of one process have in memory: how many bytes, and how many at most.

A worker handles some fifty deliveries at a time, and an item may have tens of MB. A delivery takes room for the content
of its step before it reads it, and gives it back when it ends. If the room is used up, the delivery ends and comes back
later: it has sent nothing in the meantime and holds no claim.

Counted are the bytes of files as they are stored. In memory an item takes several times as much for a moment: as text,
in base64, and as the body of a call. A content that is larger than all room is handled alone.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.errors import SagaError
from shared.domain.policy import EnginePolicy

MIB = 1024 * 1024
_AWAY = timedelta(minutes=2)
"""A delivery that was refused and has not come back for so long loses its place in the line."""
_FIRST_SECONDS, _EACH_SECONDS, _MOST_SECONDS = 2.0, 0.1, 30.0
"""When a refused delivery comes back: later for each one that is before it."""


class NoRoomError(SagaError):
    """The room is used up, so the content of a step cannot be read now. `seconds` is when it is worth asking again."""

    def __init__(self, seconds: float) -> None:
        super().__init__("no room in memory for the content of the step")
        self.seconds = seconds


@dataclass
class _Waiting:
    """A step that found no room: how much it needs, and when it asked last."""

    size: int
    seen_at: datetime


class ContentBudget:
    """The room of one process. Thread-safe; no method waits.

    A step that finds no room gets a place in a line. Others are before the first in the line only if there is room for
    both, and a holder that has some room already is never refused for its sake.
    """

    def __init__(self, limit: int = EnginePolicy().content_memory_mib * MIB) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._held = 0
        self._line: dict[str, _Waiting] = {}

    @property
    def held(self) -> int:
        """Return the bytes that are taken now."""
        return self._held

    def holder(self, name: str, now: Callable[[], datetime]) -> "Holder":
        """Return who takes room for the step of this name."""
        return Holder(self, name, now)

    def take(self, holder: "Holder", size: int) -> None:
        """Give the holder so much more room. Raises NoRoomError."""
        with self._lock:
            now, wanted = holder.now(), min(holder.size + size, self.limit)
            self._line = {name: each for name, each in self._line.items() if each.seen_at + _AWAY > now}
            others = self._held - holder.size
            if not self._fits(holder, wanted, others):
                waiting = self._line.setdefault(holder.name, _Waiting(wanted, now))
                waiting.size, waiting.seen_at = wanted, now
                before = list(self._line).index(holder.name)
                raise NoRoomError(min(_FIRST_SECONDS + _EACH_SECONDS * before, _MOST_SECONDS))
            self._line.pop(holder.name, None)
            self._add(holder, size)

    def add(self, holder: "Holder", size: int) -> None:
        """Count what is in memory already."""
        with self._lock:
            self._add(holder, size)

    def _add(self, holder: "Holder", size: int) -> None:
        holder.size += size
        self._held += size

    def _fits(self, holder: "Holder", wanted: int, others: int) -> bool:
        first = next(iter(self._line), holder.name)
        kept = 0 if first == holder.name or holder.size else self._line[first].size
        return others + wanted + kept <= self.limit


class Holder:
    """The room that one delivery has taken."""

    def __init__(self, budget: ContentBudget, name: str, now: Callable[[], datetime]) -> None:
        self._budget, self.name, self.now = budget, name, now
        self.size = 0

    def take(self, size: int) -> None:
        """Take room for a content before it is read. Raises NoRoomError."""
        if size:
            self._budget.take(self, size)

    def add(self, size: int) -> None:
        """Count a content whose size was not known before it was read."""
        self._budget.add(self, size)

    def release(self) -> None:
        """Give all room back."""
        self._budget.add(self, -self.size)
