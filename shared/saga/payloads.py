"""JSON values of any size: small ones inline, large ones in a blob that is named by its content."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from shared.domain.errors import InvalidInputError, NotFoundError, Problem
from shared.domain.json import JsonObject, canonical
from shared.domain.ports import Blobs
from shared.domain.row_limits import APART, PAYLOAD_CHARACTERS

INLINE_CHARACTERS = PAYLOAD_CHARACTERS
"""The longest payload that stays in its row."""
_REFERENCE = "$blob"


@dataclass(frozen=True)
class Payloads:
    """Stores and loads payloads. A stored payload is immutable and named by its content, so repeating is harmless."""

    blobs: Blobs

    def store(self, value: JsonObject) -> JsonObject:
        """Return the value itself, or a reference to the blob that contains it: if it is large, or has the member
        `APART`."""
        text = canonical(value)
        if APART in value:
            return self._put(text)
        # A row is ASCII: a character beyond it takes up to twelve there.
        if len(text) <= INLINE_CHARACTERS and len(json.dumps(value, separators=(",", ":"))) <= INLINE_CHARACTERS:
            return value
        return self._put(text)

    def store_apart(self, value: JsonObject) -> JsonObject:
        """Store the value in a blob, however small it is, and return the reference."""
        return self._put(canonical(value))

    def _put(self, text: str) -> JsonObject:
        return {_REFERENCE: self.blobs.put(text.encode("utf-8", "surrogatepass"))}

    def read(self, digest: str) -> bytes:
        """Return a payload that the command line stored. Raises InvalidInputError if it is missing or was changed."""
        try:
            return self.blobs.get(digest)
        except NotFoundError:
            message = "is not in storage: the command line stores the files before it submits; submit again"
            raise InvalidInputError([Problem("$.with", f"the file with the SHA-256 {digest} {message}")]) from None

    def load(self, value: JsonObject, room: Callable[[int], None] | None = None) -> JsonObject:
        """Return the value that was given to `store`; `room` as in `Blobs.get`."""
        digest = value.get(_REFERENCE)
        if not isinstance(digest, str) or len(value) != 1:
            return value
        return json.loads(self.blobs.get(digest, room).decode("utf-8", "surrogatepass"))
