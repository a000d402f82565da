"""Starts, stops and shows the replication of a mirrored database. No table is ever replicated here.

Source: recordings of microsoft/fabric-cli. Assumed: the state `Starting`, the refusals, and that starting and stopping
take ten seconds (recorded: stopping longer than three seconds, both at most 35).
"""

from dataclasses import dataclass

from local.fabric_simulator import companions
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import ID, WORKSPACE, Route, item_of
from local.fabric_simulator.store import SQL_ENDPOINT, Item, Workspace
from local.fabric_simulator.world import World

_CHANGE_SECONDS = 10.0


@dataclass
class Mirroring:
    """The last request (`Running` or `Stopped`; empty before the first), and when it has taken effect."""

    wanted: str = ""
    from_: float = 0.0


def _database(world: World, workspace_id: str, item_id: str) -> tuple[Workspace, Item]:
    return item_of(world, workspace_id, item_id, "MirroredDatabase")


def _status(world: World, workspace: Workspace, item: Item) -> str:
    mirroring = item.part(Mirroring)
    if mirroring.wanted:
        ongoing = {"Running": "Starting", "Stopped": "Stopping"}[mirroring.wanted]
        return mirroring.wanted if mirroring.from_ <= world.clock() else ongoing
    endpoint = companions.of(workspace, item, SQL_ENDPOINT)
    return "Initialized" if endpoint is None or endpoint.visible_at <= world.clock() else "Initializing"


def status(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST getMirroringStatus."""
    return Answer(200, {"status": _status(world, *_database(world, workspace_id, item_id))})


def tables(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST getTablesMirroringStatus."""
    _database(world, workspace_id, item_id)
    return Answer(200, {"continuationToken": None, "continuationUri": None, "data": []})


def _change(world: World, workspace_id: str, item_id: str, wanted: str) -> Answer:
    workspace, item = _database(world, workspace_id, item_id)
    if _status(world, workspace, item) == "Initializing":
        message = "The mirrored database is being initialized."
        raise ApiError(400, "MirroringNotInitialized", message, retriable=True, synthetic=True)
    mirroring = item.part(Mirroring)
    if mirroring.wanted != wanted:
        mirroring.wanted = wanted
        mirroring.from_ = world.clock() + (world.scaled(_CHANGE_SECONDS) if world.is_realistic else 0.0)
    return Answer(200, empty=True)


def start(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST startMirroring: 200 and an empty body."""
    return _change(world, workspace_id, item_id, "Running")


def stop(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST stopMirroring: 200 and an empty body."""
    return _change(world, workspace_id, item_id, "Stopped")


_ROOT = f"{WORKSPACE}/mirroredDatabases/{ID}"
ROUTES = [
    Route("POST", f"{_ROOT}/getMirroringStatus", status),
    Route("POST", f"{_ROOT}/getTablesMirroringStatus", tables),
    Route("POST", f"{_ROOT}/startMirroring", start),
    Route("POST", f"{_ROOT}/stopMirroring", stop),
]
