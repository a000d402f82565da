"""The restore points of warehouses. No recording shows them.

Source: the published OpenAPI. Assumed: a restore brings back the definition that the warehouse had.
"""

from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import ID, WORKSPACE, Route, item_of
from local.fabric_simulator.store import Item, Operation, stamp
from local.fabric_simulator.world import Body, World, text_field


@dataclass
class RestorePoints:
    """The restore points of one warehouse as they are shown, what the warehouse was then, and the last operations."""

    by_id: dict[str, Body] = field(default_factory=lambda: dict[str, Body]())
    definitions: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    creation: Operation | None = None
    restoration: Operation | None = None


def _of(world: World, workspace_id: str, item_id: str, *, change: bool = False) -> tuple[Item, RestorePoints]:
    workspace, item = item_of(world, workspace_id, item_id, "Warehouse")
    if change:
        world.needs_contributor(workspace)
    return item, item.part(RestorePoints)


def _one(points: RestorePoints, point_id: str) -> Body:
    if point_id not in points.by_id:
        raise ApiError(404, "RestorePointNotFound", "The requested restore point was not found.")
    return points.by_id[point_id]


def _runs(world: World, operation: Operation | None) -> bool:
    return operation is not None and (operation.over_at is None or operation.over_at > world.clock())


def list_(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer GET restorePoints."""
    return world.page(list(_of(world, workspace_id, item_id)[1].by_id.values()), request.query, request.path)


def create(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST restorePoints: an operation whose result is the restore point."""
    item, points = _of(world, workspace_id, item_id, change=True)
    if _runs(world, points.creation):
        message = "The creation of a restore point is already in progress."
        raise ApiError(409, "RestorePointCreationAlreadyInProgress", message)
    body = request.json()
    now = world.clock()
    point: Body = {
        "id": str(int(now * 1000) + len(points.by_id)),
        "displayName": text_field(body, "displayName", 128),
        "description": text_field(body, "description", 512),
        "creationMode": "UserDefined",
        "creationDetails": {
            "eventDateTime": f"{stamp(now)}Z",
            "eventInitiator": {"id": world.identity, "type": "User"},
        },
    }
    answer, points.creation = world.begin("create RestorePoint", point)
    if points.creation.error is None:
        points.by_id[point["id"]] = point
        points.definitions[point["id"]] = item.definition
    return answer


def get(world: World, request: Request, workspace_id: str, item_id: str, point_id: str) -> Answer:
    """Answer GET of a restore point."""
    return Answer(200, _one(_of(world, workspace_id, item_id)[1], point_id))


def change(world: World, request: Request, workspace_id: str, item_id: str, point_id: str) -> Answer:
    """Answer PATCH of a restore point's name and description."""
    point, body = _one(_of(world, workspace_id, item_id, change=True)[1], point_id), request.json()
    for name, maximum in (("displayName", 128), ("description", 512)):
        if name in body:
            point[name] = text_field(body, name, maximum)
    return Answer(200, point)


def delete(world: World, request: Request, workspace_id: str, item_id: str, point_id: str) -> Answer:
    """Answer DELETE of a restore point: 200 and an empty body."""
    points = _of(world, workspace_id, item_id, change=True)[1]
    del points.by_id[_one(points, point_id)["id"]]
    return Answer(200, empty=True)


def restore(world: World, request: Request, workspace_id: str, item_id: str, point_id: str) -> Answer:
    """Answer POST restore: an operation without a result."""
    item, points = _of(world, workspace_id, item_id, change=True)
    point = _one(points, point_id)
    if _runs(world, points.restoration):
        message = "The restoration of a restore point is already in progress."
        raise ApiError(409, "RestorePointRestorationAlreadyInProgress", message)
    answer, points.restoration = world.begin("restore RestorePoint", None)
    if points.restoration.error is None:
        item.definition = points.definitions[point["id"]]
    return answer


_ALL = f"{WORKSPACE}/warehouses/{ID}/restorePoints"
_ONE = f"{_ALL}/([^/]+)"
ROUTES = [
    Route("GET", _ALL, list_, synthetic=True),
    Route("POST", _ALL, create, synthetic=True),
    Route("GET", _ONE, get, synthetic=True),
    Route("PATCH", _ONE, change, synthetic=True),
    Route("DELETE", _ONE, delete, synthetic=True),
    Route("POST", f"{_ONE}/restore", restore, synthetic=True),
]
