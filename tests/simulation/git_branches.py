"""A workspace in the simulator that is connected with a branch and behind its head."""

import json
from typing import Any

from local.fabric_simulator import control
from local.fabric_simulator.http import Request
from local.fabric_simulator.model import FabricModel
from tests.simulation.edges import FixedToken
from tests.simulation.laws import encoded

CHANGED, RENAMED, GONE, NEW, LAKE = (f"{i}1111111-0000-4000-8000-000000000001" for i in range(1, 6))
"""Logical ids of the items in the branch."""


def files(
    item_type: str, name: str, logical_id: str, text: str, *, folder: str = "", description: str = ""
) -> dict[str, str | None]:
    """Return the files of an item as Git integration writes them."""
    metadata = {"type": item_type, "displayName": name, **({"description": description} if description else {})}
    platform = {"metadata": metadata, "config": {"version": "2.0", "logicalId": logical_id}}
    root = f"{folder}{name}.{item_type}"
    part = {"Notebook": "notebook-content.py", "Lakehouse": "lakehouse.metadata.json"}[item_type]
    return {f"{root}/.platform": json.dumps(platform), f"{root}/{part}": text}


def without(given: dict[str, str | None]) -> dict[str, str | None]:
    """Return the deletion of these files."""
    return dict.fromkeys(given)


OLD = {
    **files("Notebook", "changed", CHANGED, "x = 1", description="old"),
    **files("Notebook", "renamed", RENAMED, "y = 1"),
    **files("Notebook", "gone", GONE, "z = 1", description="kept"),
}
"""The branch as the workspace knows it."""
NEXT = {
    **files("Notebook", "changed", CHANGED, "x = 2", description="new"),
    **without(files("Notebook", "renamed", RENAMED, "y = 1")),
    **files("Notebook", "other", RENAMED, "y = 1", folder="Raw/"),
    **without(files("Notebook", "gone", GONE, "z = 1")),
    **files("Notebook", "new", NEW, "n = 1", folder="Raw/Deep/"),
}
"""The changes of the branch's head: one item of each kind of change."""


def push(model: FabricModel, branch: dict[str, Any], changed: dict[str, str | None], workspace_id: str = "") -> str:
    """Commit to the branch as another person would, and connect a workspace that is named; return the head."""
    given = {"gitProviderDetails": {**branch, "directoryName": "/"}, "files": changed, "workspaceId": workspace_id}
    status, body = control.handle(model, "POST", "/_sim/git", {}, encoded(given))
    assert status == 200, body
    return body["head"]


def send(model: FabricModel, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Make a call as the deployer's identity, without a fault; return its body or the result of its operation."""
    headers = {"authorization": f"Bearer {FixedToken().token()}"}
    reply = model.handle(Request(method, path, {}, headers, encoded(body) if body is not None else b""))
    assert reply.status < 300, reply.body
    if reply.status != 202:
        return json.loads(reply.body) if reply.body else None
    return model.store.operations[reply.headers["x-ms-operation-id"]].result


def put_behind(model: FabricModel, workspace_id: str, branch: dict[str, Any]) -> None:
    """Connect a workspace with the items of the branch, which somebody changes afterwards."""
    push(model, branch, OLD, workspace_id)
    push(model, branch, NEXT)
