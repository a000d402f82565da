"""The base of the kinds that create nothing: their steps update what another step has created, or what is there."""

from collections.abc import Mapping

from shared.domain.json import JsonObject
from shared.domain.records import Intent, Resource
from shared.steps.kind import IfExists, ResourceKind, Snapshot


class UpdatingKind(ResourceKind):
    """A kind whose every step is an update. Scripts track nothing of it."""

    if_exists = IfExists.UPDATE
    tracks = ""
    tracked_fields: Mapping[str, str] = {}
    idle_of_new = ""
    """Why the step changes nothing if what it would change is created by the same deployment; empty if it does."""

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        raise NotImplementedError("the step creates nothing")

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """Return False: the step creates nothing."""
        return False
