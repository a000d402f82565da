"""What Fabric shows of the last publish of an environment.

An environment that has never been published shows a publish all the same, which begins and ends at the same instant,
that of its creation; the begin and the end of a real one differ. Source: recorded traffic, seven answers of the first
and two of the second sort. The published OpenAPI says that the details may be absent, which no recording shows: that
counts as never published, too, because otherwise such an environment could never be deployed.

Nothing in the API reverses a publish.
"""

from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric


def image_of(shown: JsonObject) -> JsonObject:
    """Return the state, the version and the fact of the last publish, as Fabric shows an environment."""
    details = as_object((as_object(shown.get("properties")) or {}).get("publishDetails")) or {}
    began, ended = details.get("startTime"), details.get("endTime")
    has_begun = bool(details.get("targetVersion")) and not (began and began == ended)
    return {"state": details.get("state"), "version": str(details.get("targetVersion") or ""), "isPublished": has_begun}


def read(fabric: Fabric, workspace_id: str, environment_id: str) -> JsonObject:
    """Return `image_of` an environment. Raises FabricError."""
    return image_of(fabric.get(f"/workspaces/{workspace_id}/environments/{environment_id}"))


def is_new(before: JsonObject, now: JsonObject) -> bool:
    """Return True if a publish began between two images. An image that an earlier version of this app stored may have
    no version: then this is not known, and counts as True."""
    return "version" not in before or before["version"] != now.get("version")


def first_publish_stays(before: JsonObject, now: JsonObject, name: str) -> str:
    """Return, as the end of an audit reason, that the first publish of an environment stays; empty if it was published
    before, or is not published now."""
    if before.get("isPublished") is not False or not now.get("isPublished"):
        return ""
    reason = "Fabric has no call that reverses a publish"
    return f"; environment '{name}' had never been published, and stays published: {reason}"
