"""The routes of the schedules of an item's jobs.

Source: recordings of microsoft/fabric-cli.
"""

from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import ID, WORKSPACE, Route, item_of
from local.fabric_simulator.schedules import Schedule, Schedules, add, checked
from local.fabric_simulator.store import Item
from local.fabric_simulator.world import World


def _item(world: World, workspace_id: str, item_id: str, *, change: bool = False) -> Item:
    workspace, item = item_of(world, workspace_id, item_id)
    if change:
        world.needs_contributor(workspace)
    return item


def _schedule(item: Item, job_type: str, schedule_id: str) -> Schedule:
    found = item.part(Schedules).by_id.get(schedule_id.lower())
    if found is None or found not in item.part(Schedules).of(job_type):
        raise ApiError(404, "ScheduleNotFound", "The requested item schedule not found")
    return found


def list_(world: World, request: Request, workspace_id: str, item_id: str, job_type: str) -> Answer:
    """Answer GET schedules of a job type."""
    rows = [s.shown for s in _item(world, workspace_id, item_id).part(Schedules).of(job_type)]
    return world.page(rows, request.query, request.path)


def create(world: World, request: Request, workspace_id: str, item_id: str, job_type: str) -> Answer:
    """Answer POST schedules: 201."""
    item = _item(world, workspace_id, item_id, change=True)
    schedule = add(world, item, job_type, checked(world, request.json()))
    location = f"{world.api_url()}{request.path.removesuffix('/')}/{schedule.shown['id']}"
    return Answer(201, schedule.shown, {"Location": location})


def get(world: World, request: Request, workspace_id: str, item_id: str, job_type: str, schedule_id: str) -> Answer:
    """Answer GET of a schedule."""
    return Answer(200, _schedule(_item(world, workspace_id, item_id), job_type, schedule_id).shown)


def change(world: World, request: Request, workspace_id: str, item_id: str, job_type: str, schedule_id: str) -> Answer:
    """Answer PATCH of a schedule: both `enabled` and `configuration` are required."""
    schedule = _schedule(_item(world, workspace_id, item_id, change=True), job_type, schedule_id)
    schedule.shown |= checked(world, request.json())
    return Answer(200, schedule.shown)


def delete(world: World, request: Request, workspace_id: str, item_id: str, job_type: str, schedule_id: str) -> Answer:
    """Answer DELETE of a schedule: 200 and an empty body."""
    item = _item(world, workspace_id, item_id, change=True)
    del item.part(Schedules).by_id[_schedule(item, job_type, schedule_id).shown["id"]]
    return Answer(200, empty=True)


_ALL = f"{WORKSPACE}/(?:items|[a-z]+)/{ID}/jobs/([^/]+)/schedules"
ROUTES = [
    Route("GET", _ALL, list_),
    Route("POST", _ALL, create),
    Route("GET", f"{_ALL}/{ID}", get),
    Route("PATCH", f"{_ALL}/{ID}", change),
    Route("DELETE", f"{_ALL}/{ID}", delete),
]
