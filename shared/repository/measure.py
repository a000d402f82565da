"""Tell text from binary files while they are read in pieces."""

import codecs
import hashlib
from collections.abc import Callable
from typing import cast

import filetype  # pyright: ignore[reportMissingTypeStubs] - the package has no types

MAX_TEXT_BYTES = 32 * 1024 * 1024
"""Bytes of a text part. It is in memory as a whole when it is rendered."""
_HEAD = 8192
"""Bytes in which a binary file is recognised, by its signature or by a NUL (as Git does)."""


class Measure:
    """The size and hash of a file, and whether it is text: UTF-8 that has no signature of a binary format."""

    def __init__(self) -> None:
        self.size, self._digest, self._head, self.line = 0, hashlib.sha256(), b"", 1
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_utf8 = True

    def add(self, piece: bytes) -> None:
        self._head += piece[: _HEAD - len(self._head)]
        self.size += len(piece)
        self._digest.update(piece)
        if self._is_utf8:
            self._decode(piece, is_last=False)

    def _decode(self, piece: bytes, *, is_last: bool) -> None:
        try:
            self._decoder.decode(piece, is_last)
            self.line += piece.count(b"\n")
        except UnicodeDecodeError as error:
            self._is_utf8 = False
            self.line += piece.count(b"\n", 0, max(0, error.start))

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def verdict(self) -> tuple[bool, str]:
        """Return whether the file is text, and what is wrong with it (empty: nothing).

        fabric-cicd sends a file that is neither of a known binary format nor UTF-8 as an empty part. Here it is binary
        if it contains a NUL, as Git decides, and else a problem.
        """
        if self._is_utf8:
            self._decode(b"", is_last=True)
        mime = _mime(self._head)
        if mime.startswith(("application/", "image/")):
            return False, ""
        if not self._is_utf8:
            is_binary = bool(mime) or b"\0" in self._head
            return False, "" if is_binary else "is text, but not in UTF-8; save it as UTF-8"
        if self.size > MAX_TEXT_BYTES:
            return True, f"is text of {self.size} bytes; at most {MAX_TEXT_BYTES} can be rendered"
        return True, ""


def _mime(head: bytes) -> str:
    """Return the MIME type that fabric-cicd finds in the same bytes with the same library; empty if it finds none."""
    guess = cast(Callable[[bytes], object], filetype.guess_mime)  # pyright: ignore[reportUnknownMemberType] - no types
    found = guess(head) if head else None
    return found if isinstance(found, str) else ""
