"""The pieces of a before-image, each stored once, when it is read.

The number of bytes that a delivery writes does not grow with what the deliveries before it have read:

    spec ─ gathered ─┬─ rest    the image without its pieces, stored once
                     ├─ last    the last pieces, each by the reference to its content
                     └─ before ─ block ─┬─ pieces    as many as a block has, each by its reference
                                        └─ before ─ block ─ ...
"""

from dataclasses import dataclass, replace
from typing import Self

from shared.domain.json import JsonObject, as_object
from shared.saga.payloads import Payloads

_BLOCK = 20
"""Pieces of a block: so many references at most are written again by each delivery."""


@dataclass(frozen=True)
class Pieces:
    """The part of a before-image that has been read. `rest` is empty until its first piece can be read.

    `last` has, by name, the references to the pieces of the block that is not full; `before` is the reference to the
    last full one.
    """

    count: int = 0
    rest: JsonObject | None = None
    last: JsonObject | None = None
    before: JsonObject | None = None

    @classmethod
    def from_json(cls, data: JsonObject | None) -> Self:
        """Return what `to_json` returned; nothing of what an earlier version of this app stored, so that it is read
        again."""
        if data is None or "rest" not in data:
            return cls()
        return cls(data["count"], data["rest"], as_object(data.get("last")), as_object(data.get("before")))

    def to_json(self) -> JsonObject:
        """Return the references, as the spec of a step keeps them."""
        if self.rest is None:
            return {}
        return {"count": self.count, "rest": self.rest, "last": self.last, "before": self.before}

    def image(self, payloads: Payloads) -> JsonObject | None:
        """Return the image without its pieces; None if nothing has been read yet."""
        return None if self.rest is None else payloads.load(self.rest)

    def begun(self, payloads: Payloads, image: JsonObject) -> Self:
        """Return these pieces with the image that they belong to, which is stored once."""
        return self if self.rest is not None else replace(self, rest=payloads.store_apart(image))

    def added(self, payloads: Payloads, name: str, piece: JsonObject) -> Self:
        """Return these pieces and one more, which is stored."""
        last = {**(self.last or {}), name: payloads.store_apart(piece)}
        if len(last) < _BLOCK:
            return replace(self, count=self.count + 1, last=last)
        block = payloads.store_apart({"pieces": last, "before": self.before})
        return replace(self, count=self.count + 1, last=None, before=block)

    def references(self, payloads: Payloads) -> JsonObject:
        """Return the references to all pieces, by name."""
        found, before = dict(self.last or {}), self.before
        while before is not None:
            block = payloads.load(before)
            found |= block["pieces"]
            before = as_object(block["before"])
        return found
