"""The base of the kinds that set something of a workspace or of an item that exists already.

Such a step is always an update with a before-image. Nothing is created, so nothing has to be recognised; a setting that
somebody else has changed since is left as it is.
"""

from shared.domain.fields import Fields
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps.kind import WORKSPACE_ID, Call, Snapshot, VerificationError
from shared.steps.rows import located
from shared.steps.updating_kind import UpdatingKind


class SettingKind(UpdatingKind):
    """A kind whose resource is a setting: a few values, of which the step sets some."""

    outputs = frozenset({"id", "workspaceId"})
    keys = ("workspaceId",)
    name: str
    type: str
    """The type of the resource in the journal."""

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        self.check_values(spec)

    def check_values(self, spec: Fields) -> None:
        """Note every problem of the values to set."""
        raise NotImplementedError

    def read(self, fabric: Fabric, spec: JsonObject) -> tuple[str, JsonObject]:
        """Return the name of what has the setting, and its present values. Raises FabricError."""
        raise NotImplementedError

    def wanted(self, spec: JsonObject) -> JsonObject:
        """Return the values that the step sets."""
        raise NotImplementedError

    def set(self, spec: JsonObject, values: JsonObject) -> list[Call]:
        """Return the idempotent calls that set these values."""
        raise NotImplementedError

    def owner(self, spec: JsonObject) -> str:
        """Return the id of what has the setting."""
        return spec["workspaceId"]

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        name, image = self.read(fabric, spec)
        return Snapshot(Resource(self.type, f"{self.owner(spec)}/{self.name}", name, spec["workspaceId"]), image)

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        return [name for name, value in self.wanted(spec).items() if not contains(found.image.get(name), value)]

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        return self.set(spec, self.wanted(spec))

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        return Resource(self.type, f"{self.owner(spec)}/{self.name}", "", spec["workspaceId"])

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Read the setting back, unless nothing was changed."""
        found = self.find(fabric, spec)
        wrong = self.changes(spec, found) if found is not None and intent.action is not IntentAction.ADOPT else []
        if wrong:
            raise VerificationError(
                f"'{resource.name}' ({self.owner(spec)}): Fabric shows another {' and '.join(wrong)}"
            )
        return {"id": self.owner(spec), "workspaceId": spec["workspaceId"]}

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """Search what has the setting in the lists first, because a 404 alone could be a paused capacity. With it, the
        setting is gone."""
        place, owner = resource.parent_id or "", self.owner(spec)
        if located(fabric, "/workspaces", None, place) is None:
            return None
        if owner != spec["workspaceId"] and located(fabric, f"/workspaces/{place}/items", None, owner) is None:
            return None
        return self.find(fabric, spec)

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return the calls that restore the values which the step changed and nobody has changed since."""
        before, wanted = intent.before or {}, self.wanted(spec)
        old = {
            name: projected(before.get(name), value)
            for name, value in wanted.items()
            if not contains(before.get(name), value) and contains(found.image.get(name), value)
        }
        return self.set(spec, old) if old else []


def contains(shown: object, wanted: object) -> bool:
    """Return True if a value has everything that is wanted of it. Members that are not wanted may have any value."""
    members = as_object(wanted)
    if members is None:
        if isinstance(shown, str) and isinstance(wanted, str):
            return shown.lower() == wanted.lower()
        return shown == wanted
    held = as_object(shown)
    return held is not None and all(contains(held.get(name), value) for name, value in members.items())


def projected(shown: object, wanted: object) -> object:
    """Return the part of a value that has the members of another one."""
    members, held = as_object(wanted), as_object(shown)
    if members is None or held is None:
        return shown
    return {name: projected(held[name], value) for name, value in members.items() if name in held}
