"""Every call of an area of the API, made once with success; the answers are validated by the caller's tenant."""

import json
from typing import Any

from tests.simulator.tenant import Tenant


def ok(t: Tenant, method: str, url: str, body: Any = None) -> Any:
    """Return the body of a call that succeeds."""
    reply = t.call(method, url, body)
    assert reply.status < 300, (method, url, reply)
    return json.loads(reply.body) if reply.body else None


def play_folders(t: Tenant, workspace: str) -> None:
    """Make every call for folders."""
    root = f"/v1/workspaces/{workspace}/folders"
    one = ok(t, "POST", root, {"displayName": "one"})["id"]
    two = ok(t, "POST", root, {"displayName": "two", "parentFolderId": one})["id"]
    three = ok(t, "POST", root, {"displayName": "three"})["id"]
    ok(t, "GET", root)
    ok(t, "GET", f"{root}?recursive=false&rootFolderId={one}")
    ok(t, "PATCH", f"{root}/{two}", {"displayName": "deux"})
    ok(t, "POST", f"{root}/{two}/move", {"targetFolderId": three})
    ok(t, "GET", f"{root}/{two}")
    items = [t.item(workspace, name=name) for name in ("moved", "moved too")]
    at = f"/v1/workspaces/{workspace}/items"
    ok(t, "POST", f"{at}/{items[0]}/move", {"targetFolderId": two})
    ok(t, "POST", f"{at}/bulkMove", {"items": items, "targetFolderId": one})
    assert t.call("DELETE", f"{root}/{one}").status == 400
    for item in items:
        ok(t, "DELETE", f"{at}/{item}")
    for folder in (two, one, three):
        ok(t, "DELETE", f"{root}/{folder}")


PLAYS = (play_folders,)
