"""The state that every handler receives: the contents, the time, the settings and the caller."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlencode

from local.fabric_simulator.durations import operation_seconds
from local.fabric_simulator.http import Answer, ApiError
from local.fabric_simulator.settings import SimulatorSettings
from local.fabric_simulator.store import Operation, Store, Workspace

Body = dict[str, Any]


@dataclass
class World:
    """The state and its rules; `identity` and `fault` belong to the request being handled."""

    store: Store
    clock: Callable[[], float]
    settings: SimulatorSettings
    time_scale: float
    is_realistic: bool
    operations_url: Callable[[], str]
    api_url: Callable[[], str]
    identity: str = ""
    fault: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())

    def scaled(self, seconds: float) -> float:
        """Return server seconds in the time scale of this run."""
        return seconds / self.time_scale

    def workspace(self, workspace_id: str) -> Workspace:
        """Return a workspace in which the caller has a role. Raises ApiError 404 for every other one."""
        found = self.store.workspaces.get(workspace_id.lower())
        if found is None or self.identity not in found.roles:
            raise ApiError(404, "WorkspaceNotFound", "The requested workspace was not found.")
        self.check_capacity(found)
        return found

    def check_capacity(self, workspace: Workspace) -> None:
        """Raise ApiError as `paused_capacity` says; real tenants have answered in each of these ways."""
        mode = self.settings.paused_capacity
        if mode == "404":
            raise ApiError(404, "WorkspaceNotFound", "The requested workspace was not found.", synthetic=True)
        if mode == "500":
            raise ApiError(500, "InternalServerError", "An unexpected error occurred.", synthetic=True)
        if mode:
            raise ApiError(400, "CapacityNotActive", "The capacity is not active.", synthetic=True)

    def region(self, capacity_id: str) -> str:
        """Return the region of a capacity; one that was not seeded is in West Europe."""
        return str(self.store.capacities.get(capacity_id, {}).get("region") or "West Europe")

    def needs_admin(self, workspace: Workspace) -> None:
        """Raise ApiError 403 unless the caller is an admin of the workspace."""
        if workspace.roles[self.identity]["role"] != "Admin":
            raise ApiError(403, "InsufficientPrivileges", "The caller does not have sufficient permissions.")

    def needs_contributor(self, workspace: Workspace) -> None:
        """Raise ApiError 403 if the caller may only read the workspace."""
        if workspace.roles[self.identity]["role"] == "Viewer":
            raise ApiError(403, "InsufficientPrivileges", "The caller does not have sufficient permissions.")

    def begin(self, kind: str, result: Body | None, *, retry_after: int = 20) -> tuple[Answer, Operation]:
        """Start a long-running operation; answer 202 with the body `null` and a Location on another host or port."""
        now = self.clock()
        seconds = operation_seconds(kind, self.store.chance) if self.is_realistic else 0.0
        over: float | None = now + self.scaled(seconds)
        error = None
        if self.fault.get("operation") == "never":
            over = None
        elif self.fault.get("operation") == "fail":
            error = self.fault.get("error") or {
                "errorCode": "UnknownError", "message": "The operation failed.", "isRetriable": False,
            }  # fmt: skip
        operation = Operation(self.store.new_id(), kind, now, over, result, error, retry_after)
        self.store.operations[operation.id] = operation
        headers = {
            "Location": f"{self.operations_url()}/v1/operations/{operation.id}",
            "x-ms-operation-id": operation.id,
            "Retry-After": str(retry_after),
        }
        return Answer(202, None, headers), operation

    def page(self, rows: list[Body], query: dict[str, str], path: str) -> Answer:
        """Answer one page of a list, with the token for the next. Raises ApiError 400."""
        token = query.get("continuationToken", "0")
        if not re.fullmatch("[0-9]{1,9}", token):
            raise ApiError(400, "InvalidParameter", "The continuation token is not valid.")
        start, size = int(token), max(1, self.settings.page_size)
        body: Body = {"value": rows[start : start + size]}
        if start + size < len(rows):
            body["continuationToken"] = str(start + size)
            following = urlencode({**query, "continuationToken": str(start + size)})
            body["continuationUri"] = f"{self.api_url()}{path}?{following}"
        return Answer(200, body)


def text_field(body: Body, name: str, maximum: int, *, required: bool = False) -> str:
    """Return a string member, empty if it is missing. Raises ApiError 400."""
    value = body.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value.strip()):
        raise ApiError(400, "InvalidInput", f"The {name} field is required." if required else f"{name} is not valid.")
    if len(value) > maximum:
        raise ApiError(400, "InvalidInput", f"The field {name} must be a string with a maximum length of {maximum}.")
    return value


def object_field(body: Body, name: str) -> Body:
    """Return a member that is an object; an empty one if it is missing or something else."""
    value: Any = body.get(name)
    return cast(Body, value) if isinstance(value, dict) else {}


def list_field(body: Body, name: str) -> list[Any]:
    """Return a member that is a list; an empty one if it is missing or something else."""
    value: Any = body.get(name)
    return list(cast(list[Any], value)) if isinstance(value, list) else []


def rows_field(body: Body, name: str) -> list[Body]:
    """Return the objects in a member that is a list; an empty list if it is missing or something else."""
    return [cast(Body, row) for row in list_field(body, name) if isinstance(row, dict)]
