"""Kind `connection_binding`: the connection that a data source of a semantic model uses."""

from shared.domain.errors import FabricTransientError, InvalidInputError, Problem
from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.steps import needed
from shared.steps.kind import Call, Snapshot
from shared.steps.missing import Missing
from shared.steps.recall import Recall
from shared.steps.setting import SettingKind

_UNBOUND, _IMPLICIT = "None", "Automatic"
"""How a source is bound that has no connection: not at all, or by the implicit one of models that use single sign-on.
Source: published OpenAPI, ConnectivityType."""
_DATA_LAKE = "AzureDataLakeStorage"
_SHOWN = 5


class ConnectionBindingKind(SettingKind):
    """Bind the data source that a connection is for; compensation binds it to the earlier connection, or to none.

    Fabric binds a source only to a connection of the same type and path, so the connection names the source.
    """

    name = "connection_binding"
    about = "The connection that a data source of a semantic model uses."
    type = "ConnectionBinding"
    keys = ("workspaceId", "itemId", "connectionId")
    outputs = frozenset({"id", "workspaceId", "connectionId"})

    def check_values(self, spec: Fields) -> None:
        spec.guid("itemId", required=True, words=Words("The semantic model.", "${{ steps.model.outputs.id }}"))
        spec.guid("connectionId", required=True, words=Words("The connection.", "3f0d1c9e-52a4-4a35-9d4e-7f2f4f6a1c01"))

    def prepare(self, fabric: Fabric, spec: JsonObject, recall: Recall) -> JsonObject:
        """Return the spec with the connection's type, path and connectivity. Raises FabricError."""
        shown = fabric.get(f"/connections/{spec['connectionId']}")
        details = as_object(shown.get("connectionDetails")) or {}
        path = str(details.get("path") or "")
        if details.get("type") == _DATA_LAKE:  # shown without the slash that the binding must have (fabric-cicd)
            path = f"{path.rstrip('/')}/"
        source = {"type": details.get("type"), "path": path}
        return {**spec, "source": source, "connectivityType": shown.get("connectivityType")}

    def missing(self, fabric: Fabric, spec: JsonObject) -> Missing | None:
        return needed.connection(fabric, spec)

    def owner(self, spec: JsonObject) -> str:
        return spec["itemId"]

    def read(self, fabric: Fabric, spec: JsonObject) -> tuple[str, JsonObject]:
        """Search the data source of the connection's type and path. Raises InvalidInputError if there is none."""
        path, wanted = f"/workspaces/{spec['workspaceId']}/items/{spec['itemId']}/connections", spec["source"]
        seen: list[str] = []
        for row in fabric.list(path):
            details = as_object(row.get("connectionDetails")) or {}
            shown = str(details.get("path") or "")
            if details.get("type") == wanted["type"] and shown.rstrip("/") == wanted["path"].rstrip("/"):
                bound = row.get("id") or ""
                return str(wanted["path"]), {"connectionId": bound, "connectivityType": row.get("connectivityType")}
            seen.append(f"{details.get('type')} {details.get('path')}")
        message = (
            f"is a connection for {wanted['type']} {wanted['path']}, which is not a data source of the item. It has: "
            f"{', '.join(seen[:_SHOWN]) or 'none'}"
        )
        raise InvalidInputError([Problem("$.with.connectionId", message)])

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Raise FabricTransientError if Fabric does not show to which connection the source is bound: it could not be
        restored."""
        image = found.image if found is not None else {"connectionId": "", "connectivityType": _UNBOUND}
        if not image["connectionId"] and image["connectivityType"] not in (_UNBOUND, _IMPLICIT):
            what = f"{spec['source']['type']} {spec['source']['path']}"
            raise FabricTransientError(f"Fabric's response names no connection of {what}", call="GET connections")

    def wanted(self, spec: JsonObject) -> JsonObject:
        return {"connectionId": spec["connectionId"]}

    def set(self, spec: JsonObject, values: JsonObject) -> list[Call]:
        """Return bindConnection, which without an id removes the binding, or makes it the implicit one."""
        binding: JsonObject = {"connectionDetails": spec.get("source", {})}
        kind = values.get("connectivityType") if "connectivityType" in values else spec.get("connectivityType")
        if values["connectionId"]:
            binding["id"] = values["connectionId"]
        elif kind != _IMPLICIT:
            kind = _UNBOUND
        if kind:
            binding["connectivityType"] = kind
        path = f"/workspaces/{spec['workspaceId']}/semanticModels/{spec['itemId']}/bindConnection"
        return [Call("POST", path, "connection", {"connectionBinding": binding})]

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        return {**super().verify(fabric, spec, resource, intent), "connectionId": spec["connectionId"]}

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """Return None also if the item has no such source any more: somebody changed its definition since."""
        try:
            return super().locate(fabric, spec, resource)
        except InvalidInputError:
            return None

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return the call that binds the source as before; none if somebody has bound it otherwise since."""
        before = intent.before or {}
        is_ours = not self.changes(spec, found)
        return self.set(spec, before) if is_ours and self.changes(spec, Snapshot(found.resource, before)) else []
