"""The kinds of what is done with an item of a repository after it has its definition. `repository` expands to them.

Each sets something of an item that exists, so it is always an update with a before-image.
"""

from collections.abc import Mapping

from shared.domain.errors import FabricTransientError
from shared.domain.fields import Fields
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.steps import published
from shared.steps.details import Details
from shared.steps.kind import Call, NotYetError, Snapshot, VerificationError
from shared.steps.restorable import Restorable
from shared.steps.rows import located
from shared.steps.updating_kind import UpdatingKind

DEFAULT_VALUE_SET = "Default value set"
"""The value set that every variable library has. Source: fabric-docs, variable libraries."""
_PUBLISHED = "Success"
_PUBLISHING = frozenset({"Running", "Waiting", "Cancelling"})


class _OfItem(UpdatingKind):
    """Base of the kinds that set something of one item, whose id an earlier step gives."""

    keys = ("workspaceId", "itemId")
    outputs = frozenset({"id", "workspaceId"})
    type = ""
    collection = ""

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True)
        spec.guid("itemId", required=True)
        spec.raw("displayName")
        self.check_more(spec)

    def check_more(self, spec: Fields) -> None:
        """Read the fields of the kind itself."""

    def image(self, shown: JsonObject) -> JsonObject:
        """Return what the step may change, from the item as Fabric shows it. Raises FabricTransientError."""
        raise NotImplementedError

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        shown = fabric.get(self.path(spec["workspaceId"], spec["itemId"]))
        return self._snapshot(shown, spec["workspaceId"], spec["itemId"])

    def _snapshot(self, shown: JsonObject, workspace_id: str, item_id: str) -> Snapshot:
        name = shown.get("displayName", item_id)
        return Snapshot(Resource(self.type, item_id, name, workspace_id), self.image({**shown, "id": item_id}))

    def path(self, workspace_id: str, item_id: str) -> str:
        return f"/workspaces/{workspace_id}/{self.collection}/{item_id}"

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        return Resource(self.type, spec["itemId"], spec.get("displayName", ""), spec["workspaceId"])

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """Search the item in the list first, because a 404 alone could be a paused capacity."""
        if located(fabric, f"/workspaces/{resource.parent_id}/items", None, resource.id) is None:
            return None
        place = resource.parent_id or ""
        return self._snapshot(fabric.get(self.path(place, resource.id)), place, resource.id)


class ValueSetKind(_OfItem):
    """Choose the active value set of a variable library; compensation chooses the earlier one."""

    name = "value_set"
    about = "The active value set of a variable library; a step of the kind repository expands to it."
    type, collection = "VariableLibrary", "variableLibraries"

    def check_more(self, spec: Fields) -> None:
        spec.text("valueSet", required=True, refers=True)

    def image(self, shown: JsonObject) -> JsonObject:
        properties = as_object(shown.get("properties"))
        if properties is None:
            raise FabricTransientError(
                f"Fabric's response has no properties of {shown.get('id')}", call=f"GET {self.type}"
            )
        name = properties.get("activeValueSetName")
        if not isinstance(name, str | None):  # it would be restored
            raise FabricTransientError("Fabric's response has no activeValueSetName", call=f"GET {self.type}")
        return {"valueSet": name or DEFAULT_VALUE_SET}

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        return ["valueSet"] if found.image["valueSet"] != spec["valueSet"] else []

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        return [self._call(spec["workspaceId"], spec["itemId"], spec["valueSet"])]

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        found = self.find(fabric, spec)
        if found is None or self.changes(spec, found):
            raise VerificationError(f"variable library {resource.id}: Fabric shows another active value set")
        return {"id": resource.id, "workspaceId": spec["workspaceId"]}

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return the call that chooses the earlier value set; none if somebody has chosen another one since."""
        if found.image["valueSet"] != spec["valueSet"]:
            return []
        before = (intent.before or {}).get("valueSet") or DEFAULT_VALUE_SET
        return [self._call(spec["workspaceId"], found.resource.id, before)]

    def _call(self, workspace_id: str, item_id: str, name: str) -> Call:
        body: JsonObject = {"properties": {"activeValueSetName": name}}
        return Call("PATCH", self.path(workspace_id, item_id), "value set", body)


class EnvironmentPublishKind(_OfItem):
    """Publish what the definition of an environment has staged.

    Compensation does nothing: the step of the environment itself restores its definition, and publishes that.
    """

    name = "environment_publish"
    about = "The publish of an environment; a step of the kind repository expands to it."
    type, collection = "Environment", "environments"
    expected_seconds: Mapping[str, float] = {"publish Environment": 10.0}
    """Without new libraries it takes a second, with them about 355 s (fabric-cicd's recorded trace), and nobody knows
    which before; so it is looked at early."""

    def check_more(self, spec: Fields) -> None:
        for name in ("changed", "created"):
            spec.raw(name)

    def image(self, shown: JsonObject) -> JsonObject:
        return published.image_of(shown)

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Return `published` if the environment was changed by this deployment, was never published, or its last
        publish did not succeed."""
        is_published = found.image["isPublished"] and found.image["state"] == _PUBLISHED
        return [] if is_published and spec.get("changed") is False else ["published"]

    def details(self, spec: JsonObject, found: Snapshot) -> Details:
        """Return that a first publish cannot be compensated."""
        return Details(restorable="" if found.image["isPublished"] else Restorable.NO.value)

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        return [publish_call(spec["workspaceId"], spec["itemId"])]

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        found = self.find(fabric, spec)
        state = found.image["state"] if found is not None else None
        if state is None or state in _PUBLISHING:
            raise NotYetError(f"Fabric publishes environment '{resource.name}'", 30.0)
        if state != _PUBLISHED:
            raise VerificationError(f"the publish of environment '{resource.name}' ({resource.id}) ended as {state}")
        return {"id": resource.id, "workspaceId": spec["workspaceId"]}

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        return []

    def unrestored(self, spec: JsonObject, intent: Intent, found: Snapshot) -> str:
        """Return that a first publish stays; nothing of an environment that the deployment created, and deletes."""
        if spec.get("created") is True:
            return ""
        return published.first_publish_stays(intent.before or {}, found.image, found.resource.name)


def publish_call(workspace_id: str, environment_id: str) -> Call:
    """Return the call that publishes an environment, as an operation."""
    path = f"/workspaces/{workspace_id}/environments/{environment_id}/staging/publish"
    return Call("POST", path, "publish Environment", None, {"beta": "false"})
