"""The schedules of an item's jobs: the calls to Fabric that read them and switch them off and on.

Source: published OpenAPI (job scheduler); recordings of microsoft/fabric-cli.
"""

from collections.abc import Iterable

from shared.domain.json import JsonObject
from shared.domain.ports import Fabric
from shared.steps.kind import Call

JOBS: dict[str, str] = {
    "Notebook": "RunNotebook",
    "DataPipeline": "Pipeline",
    "SparkJobDefinition": "sparkjob",
    "Dataflow": "Refresh",
    "CopyJob": "Execute",
}
"""The type of the job that a schedule of such an item starts."""


def of_item(fabric: Fabric, workspace_id: str, item_id: str, item_type: str) -> list[JsonObject]:
    """Return what must be known of each schedule of an item to switch it off and on. Raises FabricError."""
    job = JOBS.get(item_type)
    if job is None:
        return []
    rows = fabric.list(_path(workspace_id, item_id, job))
    return [{name: row[name] for name in ("id", "enabled", "configuration") if name in row} for row in rows]


def switched(
    workspace_id: str, item_id: str, item_type: str, schedules: Iterable[JsonObject], *, is_on: bool
) -> list[Call]:
    """Return the calls that switch the schedules off that were on, or on again."""
    return [
        Call(
            "PATCH",
            f"{_path(workspace_id, item_id, JOBS[item_type])}/{each['id']}",
            "schedule",
            {"enabled": is_on, "configuration": each["configuration"]},
        )
        for each in schedules
        if each.get("enabled") is True and "configuration" in each
    ]


def _path(workspace_id: str, item_id: str, job: str) -> str:
    return f"/workspaces/{workspace_id}/items/{item_id}/jobs/{job}/schedules"
