"""Share reads, so that many followers of one deployment cost the reads of one, and checking a tag is cheap.

A tag represents the sequence numbers of the rows of a response. Every write of a row raises its number, so different
responses have different tags, and checking a tag reads only the numbers.
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
"""The number of responses that are kept, the most recently requested ones."""
MAX_KEPT_BYTES = 32 * 1024 * 1024
"""The bytes of all of them together. The steps of a repository of 1,000 items take 1.4 MB, their audit 2.2 MB."""
MAX_LAG_SECONDS = 1.0
LAG_OF_100_ROWS_SECONDS = 0.1
"""The age of data that a follower may get, for each 100 rows, up to the maximum."""


def tag_of(sequences: Sequences) -> str:
    """Return the tag of a response of this app version to rows with these sequence numbers."""
    text = json.dumps([VERSION, sorted(sequences.items())])
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


@dataclass
class _Kept:
    """The tag of one subject, read at `began`, and the last response with its own tag."""

    reading: threading.Lock = field(default_factory=threading.Lock)
    began: float = float("-inf")
    lag_seconds: float = 0.0
    tag: str = ""
    answer_tag: str = ""
    answer: bytes = b""

    def update(self, sequences: Sequences, began: float) -> None:
        """Store the rows' sequence numbers, which were read at `began` or later."""
        self.tag, self.began = tag_of(sequences), began
        self.lag_seconds = min(MAX_LAG_SECONDS, len(sequences) // 100 * LAG_OF_100_ROWS_SECONDS)


class Watching:
    """Shares reads between threads: one caller reads a subject, and concurrent callers share the result."""

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
        """Return the tag and the response, which is None if the caller `has` that tag.

        `read` returns the response and the sequence numbers of its rows, or None for the numbers: then the tag is ''.
        The response was read after this call began. With `has`, the caller follows the subject, and the response may
        have been read up to a second before. Raises what `sequences` and `read` raise.
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
            found = kept.answer_tag, kept.answer
        self._drop_beyond_bytes(name)
        return found

    def _read(self, kept: _Kept, read: Callable[[], tuple[Sequences | None, bytes]]) -> None:
        began = self._now()
        sequences_read, kept.answer = read()
        if sequences_read is not None:
            kept.update(sequences_read, began)
        kept.answer_tag = kept.tag if sequences_read is not None else ""

    def forget(self, name: str) -> None:
        """Drop the data of a subject that was just changed."""
        with self._lock:
            self._kept.pop(name, None)

    def _drop_beyond_bytes(self, name: str) -> None:
        """Drop the responses that were requested longest ago, and that of `name` last, until the others fit."""
        with self._lock:
            kept = sum(len(each.answer) for each in self._kept.values())
            for oldest in [each for each in self._kept if each != name]:
                if kept <= MAX_KEPT_BYTES:
                    return
                kept -= len(self._kept.pop(oldest).answer)
            if kept > MAX_KEPT_BYTES:
                self._kept.pop(name, None)

    def _of(self, name: str) -> _Kept:
        with self._lock:
            kept = self._kept[name] = self._kept.pop(name, None) or _Kept()
            if len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            return kept
