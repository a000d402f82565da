"""Room in memory for the content of items that is used up at random, whatever a step needs: other deliveries of the
process have taken it."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from shared.saga.content_budget import ContentBudget, Holder, NoRoomError


class ScarceRoom(ContentBudget):
    """The room of a process that refuses so often (0 to 1)."""

    def __init__(self, seed: int, occurred: Counter[str]) -> None:
        super().__init__()
        self._chance, self._occurred = random.Random(f"{seed}/room"), occurred
        self._rate = self._chance.choice([0.0, 0.0, 0.2])

    def holder(self, name: str, now: Callable[[], datetime]) -> Holder:
        return _Refused(self, name, now)

    def refuse(self) -> None:
        """Raise NoRoomError at random."""
        if self._chance.random() < self._rate:
            self._occurred["no room"] += 1
            raise NoRoomError(self._chance.choice([2.0, 30.0]))


class _Refused(Holder):
    def __init__(self, room: ScarceRoom, name: str, now: Callable[[], datetime]) -> None:
        super().__init__(room, name, now)
        self._room = room

    def take(self, size: int) -> None:
        self._room.refuse()
        super().take(size)
