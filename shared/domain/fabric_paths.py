"""The area, the quota and the urgency of a call, by its method and its path in the Fabric REST API.

Paths are `/workspaces/...`, without the version.
"""

from collections.abc import Mapping

from shared.domain.rate import Bucket, Urgency

_ROOTS = {"operations": "operations", "capacities": "capacities", "connections": "connections", "admin": "admin"}
COLLECTIONS: Mapping[str, str] = {
    "items": "items",
    "lakehouses": "items",
    "warehouses": "items",
    "semanticmodels": "items",
    "sqlendpoints": "items",
    "folders": "items",
    "roleassignments": "roles",
    "assigntocapacity": "capacities",
    "unassignfromcapacity": "capacities",
    "git": "git",
    "assigntodomain": "workspaces",
    "unassignfromdomain": "workspaces",
    "applytags": "workspaces",
    "unapplytags": "workspaces",
    "spark": "workspaces",
}
"""The area of each collection of a workspace, in lower case. A collection that is missing here counts as `items`."""
AREAS = ("workspaces", "items", "roles", "operations", "capacities", "jobs", "git", "connections", "admin", "other")
"""Every area that `area` returns; each has a circuit breaker of its own."""


def area(path: str) -> str:
    """Return the area of the Fabric API that a path belongs to."""
    parts = [part.lower() for part in path.split("?", 1)[0].split("/") if part]
    if not parts or parts[0] != "workspaces":
        return _ROOTS.get(parts[0], "other") if parts else "other"
    if len(parts) <= 2:
        return "workspaces"
    if "jobs" in parts[3:]:
        return "jobs"
    return COLLECTIONS.get(parts[2], "items")


def buckets(method: str, path: str) -> tuple[Bucket, ...]:
    """Return the quotas that a call counts against, the narrowest first."""
    if path.startswith("/operations/"):
        return (Bucket.OPERATIONS,)
    if "/jobs/" in path:
        return (Bucket.JOBS,)
    parts = [part for part in path.split("?", 1)[0].split("/") if part]
    is_item = len(parts) == 4 and COLLECTIONS.get(parts[2].lower(), "items") == "items"
    return (Bucket.DELETES, Bucket.PLATFORM) if method == "DELETE" and is_item else (Bucket.PLATFORM,)


def urgency(method: str, path: str, is_repeated: bool) -> Urgency:
    """Return the urgency of a call.

    `is_repeated`: the same GET was made before, so this one polls something that is not ready, or looks again.
    """
    if method != "GET":
        return Urgency.FIRST
    parts = [part for part in path.split("?", 1)[0].split("/") if part]
    if parts[:1] == ["operations"]:
        return Urgency.FIRST if parts[-1:] == ["result"] else Urgency.LATER
    is_one = len(parts) % 2 == 0  # /workspaces/1/items/2; the path of a list ends with the name of the collection
    return Urgency.FIRST if is_one and not is_repeated else Urgency.LATER
