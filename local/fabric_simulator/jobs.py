"""Jobs of items: run on demand, instances, cancel.

Source: recordings of microsoft/fabric-cli for running, reading and cancelling, and for some durations; the published
OpenAPI for the rest. Assumed: which job types an item has, and which of them do not run twice at once.
A fault rule with `operation: fail` or `never` lets a job fail or never end. So does the code of a notebook, in which
`raise` at the beginning of a line fails, and `while True` never ends; its exit value is the argument of
`notebook.exit("...")`.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator.durations import operation_seconds
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.parts import text_of
from local.fabric_simulator.route import ID, WORKSPACE, Route, item_of
from local.fabric_simulator.store import Item, stamp
from local.fabric_simulator.world import Body, World

_TYPES: dict[str, dict[str, str]] = {
    "Notebook": {"runnotebook": "RunNotebook", "execute": "RunNotebook"},
    "DataPipeline": {"pipeline": "Pipeline", "execute": "Pipeline"},
    "SparkJobDefinition": {"sparkjob": "sparkjob", "execute": "sparkjob"},
    "Lakehouse": {
        "tablemaintenance": "TableMaintenance",
        "refreshmaterializedlakeviews": "RefreshMaterializedLakeViews",
    },
    "Dataflow": {"refresh": "Refresh", "execute": "Execute", "applychanges": "ApplyChanges"},
    "SemanticModel": {"refresh": "Refresh"},
    "CopyJob": {"execute": "Execute"},
    "DataBuildToolJob": {"execute": "Execute"},
    "ApacheAirflowJob": {"execute": "Execute"},
}
"""The job types of each item type, in lower case, with the name that an instance shows."""
_ONE_AT_A_TIME = frozenset({"Refresh", "TableMaintenance", "RefreshMaterializedLakeViews"})
_QUEUED_SECONDS = 2.0
_EXIT = re.compile(r"notebook\.exit\(\s*f?[\"']([^\"']*)[\"']")
_RAISES = re.compile(r"^raise\b", re.MULTILINE)
_FAILURE: Body = {"errorCode": "JobInstanceStatusFailed", "message": "The job failed."}


@dataclass
class Job:
    """An instance: when it began, when it ends (None: never), how, and with which exit value."""

    id: str
    job_type: str
    began_at: float
    over_at: float | None
    outcome: str = "Completed"
    failure: Body | None = None
    exit_value: str | None = None
    activity_id: str = ""
    request: Body = field(default_factory=lambda: Body())

    def status(self, now: float, queued: float) -> str:
        """Return the status at a time; for the first `queued` seconds it has not started."""
        if self.over_at is not None and self.over_at <= now:
            return self.outcome
        return "NotStarted" if now < self.began_at + queued else "InProgress"


@dataclass
class Jobs:
    """The instances of one item, by id, in the order in which they began."""

    by_id: dict[str, Job] = field(default_factory=lambda: dict[str, Job]())


def _queued(world: World) -> float:
    return world.scaled(_QUEUED_SECONDS) if world.is_realistic else 0.0


def _shown(world: World, item: Item, job: Job, *, in_full: bool = False) -> Body:
    status = job.status(world.clock(), _queued(world))
    ended = status in ("Completed", "Failed", "Deduped") and job.over_at is not None
    body: Body = {
        "id": job.id,
        "itemId": item.id,
        "jobType": job.job_type,
        "invokeType": "Manual",
        "status": status,
        "failureReason": job.failure if status == "Failed" else None,
        "rootActivityId": job.activity_id,
        "startTimeUtc": stamp(job.began_at),
        "endTimeUtc": stamp(job.over_at) if ended and job.over_at is not None else None,
    }
    if in_full:
        properties: Body = {"compute": "Spark", "computeDetails": {}}
        if status == "Completed" and job.exit_value is not None:
            properties["exitValue"] = job.exit_value
        body["properties"] = properties
    return body


def _new(world: World, item: Item, job_type: str) -> Job:
    """Return an instance whose end is drawn from recorded durations, or set by a fault rule."""
    now = world.clock()
    seconds = operation_seconds(f"job {job_type}", world.store.chance) if world.is_realistic else 0.0
    code = text_of(item) if item.type == "Notebook" else ""
    exits: list[str] = _EXIT.findall(code)
    job = Job(world.store.new_id(), job_type, now, now + world.scaled(seconds), activity_id=world.store.new_id())
    job.exit_value = exits[-1] if exits else None
    if world.fault.get("operation") == "never" or "while True" in code:
        job.over_at = None
    elif world.fault.get("operation") == "fail" or _RAISES.search(code):
        job.outcome, job.failure = "Failed", {"requestId": job.activity_id, **(world.fault.get("error") or _FAILURE)}
    return job


def run(world: World, request: Request, workspace_id: str, item_id: str, job_type: str = "") -> Answer:
    """Answer POST of a job instance: 202, with the instance's path and without an operation."""
    workspace, item = item_of(world, workspace_id, item_id)
    world.needs_contributor(workspace)
    wanted = job_type or request.query.get("jobType", "")
    name = _TYPES.get(item.type, {}).get(wanted.lower())
    if name is None:
        raise ApiError(400, "InvalidJobType", f"The job type {wanted[:60]} is not valid for the item.")
    job, jobs = _new(world, item, name), item.part(Jobs).by_id
    job.request = request.json() if request.body else {}
    running = any(j.job_type == name and j.status(world.clock(), 0.0) == "InProgress" for j in jobs.values())
    if name in _ONE_AT_A_TIME and running:
        job.outcome, job.over_at, job.failure = "Deduped", world.clock(), None
    jobs[job.id] = job
    return _accepted(world, workspace.id, item, job)


def _retry_after(world: World) -> str:
    return str(max(1, round(world.scaled(world.settings.job_retry_seconds))))


def _accepted(world: World, workspace_id: str, item: Item, job: Job) -> Answer:
    at = f"/v1/workspaces/{workspace_id}/items/{item.id}/jobs/instances/{job.id}"
    return Answer(202, headers={"Location": f"{world.api_url()}{at}", "Retry-After": _retry_after(world)}, empty=True)


def _job(item: Item, job_id: str) -> Job:
    found = item.part(Jobs).by_id.get(job_id.lower())
    if found is None:
        raise ApiError(404, "EntityNotFound", "The requested job instance was not found.", synthetic=True)
    return found


def list_(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer GET jobs/instances: the newest first."""
    _, item = item_of(world, workspace_id, item_id)
    rows = [_shown(world, item, job) for job in reversed(item.part(Jobs).by_id.values())]
    return world.page(rows, request.query, request.path)


def get(world: World, request: Request, workspace_id: str, item_id: str, job_id: str) -> Answer:
    """Answer GET of an instance."""
    _, item = item_of(world, workspace_id, item_id)
    return Answer(200, _shown(world, item, _job(item, job_id)))


def get_notebook_job(world: World, request: Request, workspace_id: str, item_id: str, job_id: str) -> Answer:
    """Answer GET of an instance of a notebook's job, with its exit value."""
    _, item = item_of(world, workspace_id, item_id, "Notebook")
    return Answer(200, _shown(world, item, _job(item, job_id), in_full=True))


def cancel(world: World, request: Request, workspace_id: str, item_id: str, job_id: str) -> Answer:
    """Answer POST cancel: 202; the instance is cancelled at once."""
    workspace, item = item_of(world, workspace_id, item_id)
    world.needs_contributor(workspace)
    job = _job(item, job_id)
    if job.over_at is not None and job.over_at <= world.clock():
        raise ApiError(400, "JobAlreadyCompleted", "The job instance has already ended.")
    job.outcome, job.over_at, job.failure = "Cancelled", world.clock(), None
    return _accepted(world, workspace.id, item, job)


def state(item: Item) -> list[dict[str, Any]]:
    """Return the instances for the control API."""
    return [
        {
            "id": j.id,
            "jobType": j.job_type,
            "beganAt": j.began_at,
            "overAt": j.over_at,
            "outcome": j.outcome,
            "request": j.request,
        }
        for j in item.part(Jobs).by_id.values()
    ]


_ONE = f"{WORKSPACE}/(?:items|[a-z]+)/{ID}/jobs"
ROUTES = [
    Route("POST", f"{_ONE}/instances", run),
    Route("GET", f"{_ONE}/instances", list_, synthetic=True),
    Route("GET", f"{_ONE}/instances/{ID}", get),
    Route("POST", f"{_ONE}/instances/{ID}/cancel", cancel),
    Route("POST", f"{_ONE}/([^/]+)/instances", run, synthetic=True),
    Route("GET", f"{WORKSPACE}/notebooks/{ID}/jobs/execute/instances/{ID}", get_notebook_job, synthetic=True),
    Route("GET", f"{_ONE}/[^/]+/instances", list_, synthetic=True),
    Route("GET", f"{_ONE}/[^/]+/instances/{ID}", get, synthetic=True),
]
