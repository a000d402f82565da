"""The assignment of a workspace to a capacity, as all kinds that change it handle it.

assignToCapacity and unassignFromCapacity are 202 without an operation. The workspace itself shows the progress, and may
show its earlier capacity until the assignment has ended. The progress may stay at InProgress (terraform-provider-fabric
#76), so only what depends on the end waits for it: a step that verifies the capacity, and the compensation of such a
step.
"""

from collections.abc import Sequence

from shared.domain.errors import (
    FabricAuthError,
    FabricNotFoundError,
    FabricRefusedError,
    FabricTransientError,
    InvalidInputError,
    Problem,
)
from shared.domain.json import JsonObject
from shared.domain.ports import Fabric
from shared.steps.kind import Call, NotYetError, VerificationError

SECONDS = 2.0
"""Usual duration of an assignment. Recorded reads right after the call already show `Completed`."""
_KIND = "capacity"
_RUNS, _FAILED = "InProgress", "Failed"


def image(shown: JsonObject) -> JsonObject:
    """Return the capacity of a workspace; with `capacityRuns` while an assignment runs that may change it."""
    runs: JsonObject = {"capacityRuns": True} if shown.get("capacityAssignmentProgress") == _RUNS else {}
    return {"capacityId": shown.get("capacityId") or "", **runs}


def check_way_back(fabric: Fabric, earlier: str, wanted: str) -> None:
    """Raise InvalidInputError if the deploying identity could not assign a workspace to its earlier capacity again
    (ADR 16). Raises FabricError.

    Fabric assigns to a capacity only for its contributors and administrators, and lists the capacities on which the
    caller is one of these (published OpenAPI, Assign Workspace To Capacity, List Capacities). The list proves something
    only if it has the wanted capacity.
    """
    if not earlier or earlier.lower() == wanted.lower():
        return
    try:
        listed = {row.get("id", "").lower() for row in fabric.list("/capacities")}
    except (FabricAuthError, FabricNotFoundError, FabricRefusedError):
        return  # the identity may not see any list of capacities
    if wanted.lower() not in listed or earlier.lower() in listed or "" in listed:
        return
    message = (
        f"would move the workspace from the capacity {earlier}, on which the deploying identity has no role, so that "
        "it could not be moved back: make the identity a contributor of that capacity first, or leave the field out"
    )
    raise InvalidInputError([Problem("$.with.capacityId", message)])


def call(workspace_id: str, capacity_id: str) -> Call:
    """Return the call that assigns a workspace to a capacity, or for an empty id to none."""
    path = f"/workspaces/{workspace_id}"
    if not capacity_id:
        return Call("POST", f"{path}/unassignFromCapacity", _KIND, is_followed=False)
    return Call("POST", f"{path}/assignToCapacity", _KIND, {"capacityId": capacity_id}, is_followed=False)


def check_assigned(shown: JsonObject, capacity_id: str) -> None:
    """Raise NotYetError while the assignment runs, VerificationError if it failed."""
    if shown.get("capacityAssignmentProgress") == _RUNS:
        raise NotYetError("the capacity is being assigned", SECONDS)
    if shown.get("capacityAssignmentProgress") == _FAILED:
        raise VerificationError(f"Fabric could not assign the capacity {capacity_id}; check that it is running")


def check_over(found: JsonObject) -> None:
    """Raise NotYetError while an assignment runs: only its end shows whether the capacity must be restored."""
    if found.get("capacityRuns"):
        raise NotYetError("the capacity is being assigned", SECONDS)


def check_restored(fabric: Fabric, workspace_id: str, calls: Sequence[Call]) -> None:
    """Raise NotYetError while the assignment runs that one of these calls has begun, and FabricTransientError if it
    failed: then the call is sent again. Raises FabricError."""
    sent = next((each for each in calls if each.operation_kind == _KIND), None)
    if sent is None:
        return
    shown = fabric.get(f"/workspaces/{workspace_id}")
    check_over(image(shown))
    if shown.get("capacityAssignmentProgress") == _FAILED:
        message = "Fabric could not assign the workspace to its earlier capacity; check that it is running"
        raise FabricTransientError(message, call=f"{sent.method} {sent.path}")
