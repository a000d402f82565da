"""Payloads: container `payloads`, each blob named by the SHA-256 of its content."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from shared.adapters.storage.clients import StorageClients, ensure, mapped
from shared.domain.errors import InvalidInputError, NotFoundError, Problem
from shared.domain.json import SHA256

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

CONTAINER = "payloads"


_PARALLEL = 16
"""Requests at a time for which blobs are missing."""


class BlobStore:
    """Implements the port `Blobs`. Blobs never change, so small ones that were read recently stay in memory."""

    _KEPT = 64
    _KEPT_BYTES = 256 * 1024

    def __init__(self, clients: StorageClients) -> None:
        self._clients = clients
        self._is_there = False
        self._recent: dict[str, bytes] = {}
        self._lock = threading.Lock()

    @cached_property
    def _container(self) -> "ContainerClient":
        return self._clients.blobs.get_container_client(CONTAINER)

    def put(self, content: bytes) -> str:
        """Store the content and return its SHA-256 in hex; storing it twice has no effect."""
        digest = hashlib.sha256(content).hexdigest()
        with mapped("blob", "write"):
            self._ensure()
            with suppress(ResourceExistsError):
                self._container.upload_blob(digest, content, overwrite=False)
        return digest

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Return those of the digests under which nothing is stored; each costs one request, several at a time."""
        wanted = [digest for digest in dict.fromkeys(digests) if _checked(digest)]
        with mapped("blob", "read"):
            self._ensure()
            with ThreadPoolExecutor(_PARALLEL) as pool:
                found = list(pool.map(self._exists, wanted))
        return [digest for digest, is_stored in zip(wanted, found, strict=True) if not is_stored]

    def _exists(self, digest: str) -> bool:
        return self._container.get_blob_client(digest).exists()

    def put_pieces(self, digest: str, size: int, pieces: Iterable[bytes]) -> None:
        """Store a content in blocks; it becomes visible when all of it has arrived."""
        _checked(digest)
        with mapped("blob", "write"):
            self._ensure()
            with suppress(ResourceExistsError):
                self._container.upload_blob(digest, iter(pieces), length=size, overwrite=False)

    def get(self, digest: str, room: Callable[[int], None] | None = None) -> bytes:
        """Return the content; `room` as in the port.

        Raises NotFoundError, and InvalidInputError if the digest is not valid or does not match.
        """
        _checked(digest)
        kept = self._recent.get(digest)
        if kept is not None:
            return kept
        with mapped("blob", "read"):
            try:
                download = self._container.download_blob(digest)  # at most FIRST_BYTES of it
                if room is not None:
                    room(download.size)
                content = download.readall()
            except ResourceNotFoundError:
                raise NotFoundError(f"there is no payload {digest[:12]}...") from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise InvalidInputError(
                [Problem("$", f"payload {digest[:12]}... was changed: its content has another hash")]
            )
        if len(content) <= self._KEPT_BYTES:
            with self._lock:
                if len(self._recent) >= self._KEPT:
                    self._recent.pop(next(iter(self._recent)))
                self._recent[digest] = content
        return content

    def _ensure(self) -> None:
        if not self._is_there:
            ensure(self._container.create_container)
            self._is_there = True


def _checked(digest: str) -> str:
    """Return the digest. Raises InvalidInputError if it is not one."""
    if not SHA256.fullmatch(digest):
        raise InvalidInputError([Problem("$", "a payload is named by 64 lower-case hex digits")])
    return digest
