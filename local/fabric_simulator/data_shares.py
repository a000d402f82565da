"""External data shares of an item. Nobody accepts an invitation here.

Source: recordings of microsoft/fabric-cli; the published OpenAPI for the limits. Assumed: the refusals, and that a
revoked share stays in the list. The paths were full addresses until 2025; the recipient has had a type since then.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import ID, ITEM, Route, item_of
from local.fabric_simulator.store import Item, Workspace, stamp
from local.fabric_simulator.world import Body, World, list_field, object_field

_DAYS, _DAY_SECONDS = 90, 86_400.0
_MOST_PATHS = 100
_PATH = re.compile("(?:Files|Tables)/.+")
_MEMBERS = {"User": ("userPrincipalName",), "ServicePrincipal": ("principalId", "tenantId")}


@dataclass
class DataShares:
    """The shares of an item, by id."""

    by_id: dict[str, Body] = field(default_factory=lambda: dict[str, Body]())


def _invalid(message: str) -> ApiError:
    return ApiError(400, "InvalidInput", message, synthetic=True)


def _recipient(body: Body) -> Body:
    """Return the recipient as it is shown; names of members may be in any case (recorded). Raises ApiError 400."""
    given = {name.lower(): value for name, value in object_field(body, "recipient").items()}
    kind = given.get("type") or "User"
    if kind not in _MEMBERS or not all(isinstance(given.get(name.lower()), str) for name in _MEMBERS[kind]):
        raise _invalid("The recipient field is not valid.")
    names = dict.fromkeys([*_MEMBERS[kind], "tenantId"])
    return {"type": kind, **{name: given[name.lower()] for name in names if given.get(name.lower())}}


def _shares(world: World, workspace_id: str, item_id: str) -> tuple[Workspace, Item, dict[str, Body]]:
    workspace, item = item_of(world, workspace_id, item_id)
    return workspace, item, item.part(DataShares).by_id


def list_(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer GET externalDataShares of an item."""
    return world.page(list(_shares(world, workspace_id, item_id)[2].values()), request.query, request.path)


def create(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST externalDataShares: 201, with an invitation. The Location is the recorded one, which nobody reads."""
    workspace, item, held = _shares(world, workspace_id, item_id)
    body = request.json()
    paths: list[Any] = list_field(body, "paths")
    if not 1 <= len(paths) <= _MOST_PATHS or not all(isinstance(p, str) and _PATH.fullmatch(p) for p in paths):
        raise _invalid("Each of the paths must begin with Files/ or Tables/.")
    share_id = world.store.new_id()
    held[share_id] = {
        "id": share_id,
        "paths": paths,
        "creatorPrincipal": {"id": world.identity, "type": world.store.principals.get(world.identity, "User")},
        "recipient": _recipient(body),
        "status": "Pending",
        "expirationTimeUtc": stamp(world.clock() + _DAYS * _DAY_SECONDS),
        "workspaceId": workspace.id,
        "itemId": item.id,
        "invitationUrl": f"https://app.fabric.microsoft.com/externaldatasharing/accept?id={share_id}",
    }
    root = f"{world.api_url()}/v1.0/workspaces/{workspace.id}/artifacts/{item.id}"
    return Answer(201, held[share_id], {"Location": f"{root}/security/roles/{share_id}"})


def _find(held: dict[str, Body], share_id: str) -> Body:
    if share_id.lower() not in held:
        raise ApiError(404, "EntityNotFound", "The requested external data share was not found.", synthetic=True)
    return held[share_id.lower()]


def get(world: World, request: Request, workspace_id: str, item_id: str, share_id: str) -> Answer:
    """Answer GET of a share."""
    return Answer(200, _find(_shares(world, workspace_id, item_id)[2], share_id))


def revoke(world: World, request: Request, workspace_id: str, item_id: str, share_id: str) -> Answer:
    """Answer POST revoke of a share: 200 and an empty body."""
    share = _find(_shares(world, workspace_id, item_id)[2], share_id)
    share["status"] = "Revoked"
    for name in ("invitationUrl", "expirationTimeUtc"):
        share.pop(name, None)
    return Answer(200, empty=True)


def delete(world: World, request: Request, workspace_id: str, item_id: str, share_id: str) -> Answer:
    """Answer DELETE of a share: 200 and an empty body."""
    held = _shares(world, workspace_id, item_id)[2]
    del held[_find(held, share_id)["id"]]
    return Answer(200, empty=True)


_ROOT = f"{ITEM}/externalDataShares"
ROUTES = [
    Route("GET", _ROOT, list_),
    Route("POST", _ROOT, create),
    Route("GET", f"{_ROOT}/{ID}", get),
    Route("POST", f"{_ROOT}/{ID}/revoke", revoke),
    Route("DELETE", f"{_ROOT}/{ID}", delete, synthetic=True),
]
