"""A workspace in the simulator that is connected with a branch and behind its head."""

import json
from collections.abc import Mapping
from typing import Any

from local.fabric_simulator import control
from local.fabric_simulator.http import Request
from local.fabric_simulator.model import FabricModel
from local.fabric_simulator.schedules import Schedule, Schedules
from local.fabric_simulator.store import Item
from shared.domain.json import canonical
from tests.simulation.edges import FixedToken
from tests.simulation.laws import encoded
from tests.simulation.repositories import configuration

CHANGED, RENAMED, GONE, NEW, LAKE, LOAD, CLEAN, PAST = (f"{i}1111111-0000-4000-8000-000000000001" for i in range(1, 9))
"""Logical ids of the items in the branch."""
PERSON = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c99"
"""The owner of the schedules that are made by hand."""


def files(
    item_type: str, name: str, logical_id: str, text: str, *, folder: str = "", description: str = ""
) -> dict[str, str | None]:
    """Return the files of an item as Git integration writes them."""
    metadata = {"type": item_type, "displayName": name, **({"description": description} if description else {})}
    platform = {"metadata": metadata, "config": {"version": "2.0", "logicalId": logical_id}}
    root = f"{folder}{name}.{item_type}"
    part = {
        "Notebook": "notebook-content.py",
        "Lakehouse": "lakehouse.metadata.json",
        "DataPipeline": "pipeline-content.json",
    }[item_type]
    return {f"{root}/.platform": json.dumps(platform), f"{root}/{part}": text}


def scheduled(given: dict[str, str | None], times: Mapping[str, bool]) -> dict[str, str | None]:
    """Return the files of an item with its schedules: for each time, whether it is on."""
    root = next(iter(given)).removesuffix("/.platform")
    rows = [{"enabled": on, "jobType": "Execute", "configuration": configuration(time)} for time, on in times.items()]
    return {**given, f"{root}/.schedules": json.dumps({"schedules": rows})}


def pipeline(name: str, logical_id: str, number: int) -> dict[str, str | None]:
    """Return the files of a pipeline, whose content differs by its number."""
    return files("DataPipeline", name, logical_id, json.dumps({"properties": {"concurrency": number}}))


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


PLANNED = {
    **scheduled(pipeline("load", LOAD, 1), {"04:00": True, "06:00": False}),
    **pipeline("clean", CLEAN, 1),
    **scheduled(pipeline("past", PAST, 1), {"05:00": True}),
}
"""Pipelines with schedules, as the workspace knows the branch."""
REPLANNED = {
    **scheduled(pipeline("load", LOAD, 2), {"07:00": True}),
    **scheduled(pipeline("clean", CLEAN, 2), {"08:00": True}),
    **without(scheduled(pipeline("past", PAST, 1), {})),
}
"""The changes of the branch's head: schedules that replace others, the first of an item, and an item that is gone."""


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


def put_by_hand(
    item: Item, time: str, *, enabled: bool = True, owner: str = PERSON, job_type: str = "Pipeline", **more: Any
) -> None:
    """Make a schedule of an item as somebody else, not from its definition."""
    schedule_id = f"{len(item.part(Schedules).by_id):08x}-{time.replace(':', '')}-4000-8000-{item.id[-12:]}"
    shown: dict[str, Any] = {"id": schedule_id, "enabled": enabled, "configuration": configuration(time), **more}
    shown["owner"] = {"id": owner, "type": "User"}
    item.part(Schedules).by_id[schedule_id] = Schedule(job_type, shown)


def put_replanned(
    model: FabricModel,
    workspace_id: str,
    branch: dict[str, Any],
    others: tuple[dict[str, str | None], dict[str, str | None]] = ({}, {}),
) -> None:
    """Connect a workspace with pipelines, to which people have added schedules, and whose branch changes afterwards.
    `others` are more files of the branch before and after."""
    push(model, branch, {**PLANNED, **others[0]}, workspace_id)
    for item in model.store.workspaces[workspace_id].items.values():
        if item.type == "DataPipeline":
            for row in item.part(Schedules).by_id.values():  # the one that the branch lists as off is on now
                row.shown["enabled"] = True
            data = {**model.settings.schedule_data_added, "parameters": {"day": 1}}
            put_by_hand(item, "23:00", enabled=item.name != "clean", executionData=data)
    push(model, branch, {**REPLANNED, **others[1]})


def plans(items: Any) -> list[tuple[str, str, bool, str]]:
    """Return the name of its item, the time, whether it is on, and the data of each schedule of these items."""
    found = [(item.name, row.shown) for item in items for row in item.part(Schedules).by_id.values()]
    return sorted(
        (name, str(row["configuration"]["times"]), bool(row["enabled"]), canonical(row.get("executionData") or {}))
        for name, row in found
    )
