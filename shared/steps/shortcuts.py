"""The calls of OneLake shortcuts: of one item, by path and name. All kinds that change shortcuts make them here.

A shortcut is deleted through these routes only: a DELETE in OneLake's file API would delete what it points to.
"""

from shared.domain.errors import FabricTransientError
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric
from shared.steps.kind import Call

ROOTS = ("Files", "Tables", "Shortcut")
"""The first segment of a shortcut's path."""
TARGETS = (
    "oneLake",
    "amazonS3",
    "adlsGen2",
    "googleCloudStorage",
    "s3Compatible",
    "dataverse",
    "azureBlobStorage",
    "oneDriveSharePoint",
)
"""The destinations of a shortcut. Source: published OpenAPI, CreatableShortcutTarget."""
_CREATE, _REPLACE = {"shortcutConflictPolicy": "Abort"}, {"shortcutConflictPolicy": "OverwriteOnly"}


def find(fabric: Fabric, workspace_id: str, item_id: str, path: str, name: str) -> JsonObject | None:
    """Return the destination of a shortcut, by type. None, after a successful list, proves its absence."""
    place = path.strip("/")
    for row in fabric.list(_collection(workspace_id, item_id), {"parentPath": place}):
        if row.get("name") == name and str(row.get("path", "")).strip("/") == place:
            target = as_object(row.get("target"))
            if target is None:
                raise FabricTransientError(f"Fabric's response has no target of {path}/{name}", call="GET shortcuts")
            return {kind: value for kind, value in target.items() if kind in TARGETS}
    return None


def put_call(
    workspace_id: str, item_id: str, path: str, name: str, target: JsonObject, *, replaces: bool = False
) -> Call:
    """Return the call that creates a shortcut, or with `replaces` gives an existing one another destination."""
    body: JsonObject = {"path": path.strip("/"), "name": name, "target": target}
    query = _REPLACE if replaces else _CREATE
    return Call("POST", _collection(workspace_id, item_id), "shortcut", body, query)


def delete_call(workspace_id: str, item_id: str, path: str, name: str) -> Call:
    """Return DELETE of a shortcut; what it points to stays."""
    return Call("DELETE", f"{_collection(workspace_id, item_id)}/{path.strip('/')}/{name}", "shortcut")


def _collection(workspace_id: str, item_id: str) -> str:
    return f"/workspaces/{workspace_id}/items/{item_id}/shortcuts"
