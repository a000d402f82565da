"""The files of a repository that go to storage beside a manifest: each once, named by its hash, in pieces."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from shared.domain.ports import Blobs

_PARALLEL = 8
"""Files that are sent at a time."""


@dataclass(frozen=True)
class _File:
    size: int
    pieces: Callable[[], Iterable[bytes]]


@dataclass
class StoredFiles:
    """The files by their SHA-256. A file is opened only when it is sent or read."""

    files: dict[str, _File] = field(default_factory=dict[str, _File])
    made: dict[str, object] = field(default_factory=dict[str, object])
    """Results of packing files that are noted here, by all that they depend on, so that each is made once."""

    def add(self, digest: str, size: int, pieces: Callable[[], Iterable[bytes]]) -> None:
        """Note a file; `pieces` opens it."""
        self.files.setdefault(digest, _File(size, pieces))

    def add_content(self, content: bytes) -> str:
        """Note a content and return its digest."""
        digest = hashlib.sha256(content).hexdigest()

        def pieces() -> Iterator[bytes]:
            yield content

        self.add(digest, len(content), pieces)
        return digest

    def read(self, digest: str) -> bytes:
        """Return a content. Raises KeyError."""
        return b"".join(self.files[digest].pieces())

    def send(self, blobs: Blobs) -> int:
        """Store what is missing, and return the number of bytes that were sent. Raises StorageUnavailableError."""
        missing = blobs.missing(list(self.files))

        def send_one(digest: str) -> int:
            file = self.files[digest]
            blobs.put_pieces(digest, file.size, file.pieces())
            return file.size

        with ThreadPoolExecutor(_PARALLEL) as pool:
            return sum(pool.map(send_one, missing))
