"""The base of the kinds whose before-image takes several reads, some of which Fabric continues as operations.

The engine asks a `GatheringKind` for three things that no other kind needs (saga/step/gathering.py):

- its before-image is read one piece at a time, because no worker waits for an operation (ADR 7);
- its update is not idempotent: after a lost response, a look shows whether it took effect, before it is sent again;
- what the update made and changed is surveyed before anything is restored, because only a read shows it.
"""

from dataclasses import dataclass

from shared.domain.json import JsonObject
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.records import Intent
from shared.steps.updating_kind import UpdatingKind


@dataclass(frozen=True)
class Gathered:
    """The result of one read: the image without its pieces, its next piece by name, and the operation whose result is
    read next, if Fabric began one. `image` is None until its first piece can be read."""

    image: JsonObject | None = None
    piece: tuple[str, JsonObject] | None = None
    is_complete: bool = False
    operation: OperationStarted | None = None
    operation_kind: str = ""


class GatheringKind(UpdatingKind):
    """A kind whose step updates many resources. Its own resource exists before the step, or the step fails.

    `pieces` is the member of its before-image that has the pieces by name. The engine stores each of them by itself:
    in its place, the before-image of an intent has a reference, and so may a member of a call's body. The engine
    replaces that when it sends the call.
    """

    pieces = ""

    def absent(self, spec: JsonObject) -> str:
        """Return why there is nothing to update, and what to do, when `find` returns None."""
        raise NotImplementedError

    def gather(
        self, fabric: Fabric, spec: JsonObject, image: JsonObject | None, count: int, answer: JsonObject | None
    ) -> Gathered:
        """Read the next piece of the before-image. `image` is what an earlier call returned, None at first, and `count`
        the number of pieces that were read since. `answer` is the result of the operation that the last call returned;
        None without one, or if it failed and its piece is read again. Raises FabricError, InvalidInputError."""
        raise NotImplementedError

    def took_effect(self, fabric: Fabric, spec: JsonObject, intent: Intent) -> bool:
        """Return True if the update of this intent has been done. Raises FabricError."""
        raise NotImplementedError

    def shown(self, fabric: Fabric, spec: JsonObject, intent: Intent) -> JsonObject:
        """Return what the update has made, immediately after it was verified. Raises FabricError."""
        raise NotImplementedError

    def survey(
        self, fabric: Fabric, spec: JsonObject, intent: Intent, answer: JsonObject | None
    ) -> JsonObject | OperationStarted:
        """Return what the update made and changed, as `Intent.made`; or the operation whose result shows it, which is
        the `answer` of the next call. The `made` of the given intent is what `shown` returned; None if the update
        was never verified. Raises FabricError, GuardError."""
        raise NotImplementedError
