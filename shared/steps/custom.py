"""Kind `custom`: something that a script did outside Fabric and said how to undo, by a function of its own.

A function cannot be written into the journal, so nobody but the living script can undo it. Not for manifests.
"""

import logging
from collections.abc import Callable

from shared.domain.errors import FabricRefusedError
from shared.domain.fields import Fields
from shared.domain.json import JsonObject
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.records import Intent, Resource
from shared.steps.companions import Found, Makers
from shared.steps.kind import Call, GuardError, Snapshot

log = logging.getLogger(__name__)


class CustomKind:
    """Only `locate` says anything: that the one who could undo it is gone. Whoever has the function overrides it."""

    name = "custom"
    if_exists = "fail"
    outputs = frozenset[str]()
    keys = ()

    def check(self, spec: Fields) -> None:
        """`with`: description."""
        spec.text("description", required=True, maximum=1000)

    def expand(self, spec: JsonObject) -> None:
        """A plain kind."""
        return

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """Nothing that Fabric shows."""
        return None

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """None."""
        return []

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Allow every update: compensation needs nothing of it."""

    def capture(
        self, fabric: Fabric, spec: JsonObject, found: Snapshot, captured: JsonObject | None
    ) -> JsonObject | OperationStarted:
        """Nothing."""
        return found.image

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """No call."""
        return []

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        """Raises FabricRefusedError: Fabric creates nothing of the kind."""
        raise FabricRefusedError("nothing that Fabric creates", call=self.name)

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """Nothing of it could be found."""
        return False

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Nothing to read back."""
        return {}

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """Raises GuardError: it stands, as far as anybody knows, and it takes a person to undo it."""
        raise GuardError(
            f"'{resource.name}' was to be undone by a function of the script, which was lost with it. Undo it by hand."
        )

    def guard(self, fabric: Fabric, resource: Resource, makers: Makers) -> list[Found]:
        """Nothing hangs on it."""
        return []

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """No call."""
        return []


class ScriptsOwnKind(CustomKind):
    """The kind `custom` while the script lives and has its functions."""

    def __init__(self, compensations: dict[str, Callable[[], object]]) -> None:
        self._compensations = compensations

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """Undo it, by the script's own function; afterwards nothing is there. Raises FabricRefusedError where that
        raised, so that it is tried again and reported as any other undo."""
        compensate = self._compensations.get(resource.id)
        if compensate is None:
            return super().locate(fabric, spec, resource)
        try:
            compensate()
        except Exception as error:
            log.exception("the undo of '%s' raised", resource.name)
            raise FabricRefusedError(f"its undo raised {type(error).__name__}", call=f"undo {resource.id}") from None
        return None
