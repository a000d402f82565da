"""Following one deployment by many costs the reading of one: what was read is shared, and its tag is cheap to find.

A tag stands for the sequence numbers of the rows that an answer is made of. Every write of a row raises its number, so
two answers that differ have two tags; and to see that a tag is still right, only the numbers are read.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shared.domain.version import VERSION

Sequences = Mapping[str, int]
"""Sequence numbers by row."""
MAX_KEPT = 32
"""Answers that are kept: those last asked for."""
MAX_LAG_SECONDS = 1.0
LAG_OF_100_ROWS_SECONDS = 0.1
"""A follower may be answered by what was read so long ago, and of larger deployments up to the longest."""


def tag_of(sequences: Sequences) -> str:
    """Return the entity tag of what this version of the app makes of rows with these sequence numbers."""
    text = json.dumps([VERSION, sorted(sequences.items())])
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


@dataclass
class _Kept:
    """What is known of one thing: its tag as of `began`, and the last answer with the tag that it has."""

    reading: threading.Lock = field(default_factory=threading.Lock)
    began: float = float("-inf")
    lag_seconds: float = 0.0
    tag: str = ""
    answer_tag: str = ""
    answer: bytes = b""

    def update(self, sequences: Sequences, began: float) -> None:
        """Take the rows' numbers, which were read at `began` or later."""
        self.tag, self.began = tag_of(sequences), began
        self.lag_seconds = min(MAX_LAG_SECONDS, len(sequences) // 100 * LAG_OF_100_ROWS_SECONDS)


class Watching:
    """Thread-safe. One caller at a time reads a thing, and those who wait for it share what was found."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def look(
        self,
        name: str,
        sequences: Callable[[], Sequences],
        read: Callable[[], tuple[Sequences | None, bytes]],
        has: Callable[[str], bool] | None = None,
    ) -> tuple[str, bytes | None]:
        """Return the tag and the answer; None in its place if the caller `has` that tag.

        `read` makes the answer, with the numbers of the rows that it is made of; None if it cannot say, and then there
        is no tag. What is returned was read after this call began. With `has`, the caller follows the thing: then it
        may have been read a little before, a second at most. Raises what `sequences` and `read` raise.
        """
        request, kept = self._now(), self._of(name)
        with kept.reading:
            is_known = kept.began >= request - (kept.lag_seconds if has else 0.0)
            if not is_known and (has or kept.answer_tag):
                began = self._now()
                kept.update(sequences(), began)
                is_known = True
            if is_known and has and has(kept.tag):
                return kept.tag, None
            if not is_known or not kept.answer_tag or kept.answer_tag != kept.tag:
                self._read(kept, read)
            return kept.answer_tag, kept.answer

    def _read(self, kept: _Kept, read: Callable[[], tuple[Sequences | None, bytes]]) -> None:
        began = self._now()
        sequences_read, kept.answer = read()
        if sequences_read is not None:
            kept.update(sequences_read, began)
        kept.answer_tag = kept.tag if sequences_read is not None else ""

    def forget(self, name: str) -> None:
        """Drop what is known of a thing that was changed here just now."""
        with self._lock:
            self._kept.pop(name, None)

    def _of(self, name: str) -> _Kept:
        with self._lock:
            kept = self._kept[name] = self._kept.pop(name, None) or _Kept()
            if len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            return kept
