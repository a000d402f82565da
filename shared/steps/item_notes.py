"""Compare what earlier deployments noted about an item of a repository with what Fabric shows of it.

Two digests are noted: of what was sent, and of what Fabric showed after it. So a definition that Fabric has only
rewritten does not count as changed, and a change in Fabric is distinguished from a change in the repository.
"""

import base64
from enum import StrEnum

from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.records import Resource
from shared.repository import normalise
from shared.steps.details import Drift
from shared.steps.kind import Snapshot

CHANGED_LATER = frozenset({"Environment", "Reflex"})
"""Types whose definition changes after their step: publishing changes it, and a stream that names the item does."""
_DRIFTED = "changed in Fabric since it was deployed; the content of the repository replaces that"
_PERHAPS_DRIFTED = (
    "not as it was deployed: it was changed in Fabric since then, or Fabric has rewritten it (it was not read back); "
    "the content of the repository replaces that"
)
_BOTH_CHANGED = (
    "changed in the repository, and in Fabric since it was deployed; the update replaces what was changed there"
)


class Unchanged(StrEnum):
    """The treatment of an item that was deployed with the same content before."""

    SKIP = "skip"
    CHECK = "check"
    REDEPLOY = "redeploy"


def known(spec: JsonObject) -> JsonObject:
    """Return what an earlier deployment noted about the item."""
    return as_object(spec.get("known")) or {}


def is_noted(spec: JsonObject, found: Snapshot) -> bool:
    """Return True if an earlier deployment deployed this item, and not only one of its name that was deleted since."""
    return known(spec).get("id", "").lower() == found.resource.id.lower()


def was_sent(spec: JsonObject, found: Snapshot) -> bool:
    """Return True if an earlier deployment sent exactly this content to exactly this item."""
    return "sent" in spec and known(spec).get("sent") == spec["sent"] and is_noted(spec, found)


def is_as_sent(spec: JsonObject, found: Snapshot) -> bool:
    """Return True if an earlier deployment sent exactly this content to exactly this item, and that is enough."""
    return spec["unchanged"] == Unchanged.SKIP and was_sent(spec, found)


def is_own(spec: JsonObject, resource: Resource) -> bool:
    """Return True if an earlier deployment created this item, and not only one of its name that was deleted since."""
    note = known(spec)
    return bool(note.get("isOwn")) and note.get("id", "").lower() == resource.id.lower()


def has_new_name(spec: JsonObject) -> bool:
    """Return True if no earlier deployment deployed the item, or the last one did under another name."""
    return known(spec).get("name") != spec["displayName"]


def parts(definition: JsonObject) -> dict[str, bytes]:
    """Return the content of each part by its path."""
    return {part["path"]: base64.b64decode(part["payload"]) for part in as_list(definition.get("parts")) or []}


def differences(spec: JsonObject, present: JsonObject) -> tuple[normalise.PartChange, ...]:
    """Return the parts that an update would change, apart from what Fabric rewrites by itself."""
    return normalise.changes(spec["type"], parts(spec["definition"]), parts(present))


def has_other_content(spec: JsonObject, found: Snapshot, present: JsonObject) -> bool:
    """Return True if an item has another definition than the one asked for, and than what Fabric made of that."""
    if not differences(spec, present):
        return False
    seen = known(spec).get("seen")
    return not seen or not was_sent(spec, found) or seen != _digest(spec, present)


def seen_before(spec: JsonObject, found: Snapshot) -> str:
    """Return the digest that this step has read, or that an earlier deployment has noted of the same content."""
    return spec.get("seen") or (known(spec).get("seen") or "" if was_sent(spec, found) else "")


def drift_of(spec: JsonObject, found: Snapshot, changed: list[str]) -> Drift | None:
    """Return the drift among the changes: a difference although the repository has the content that was sent last, or
    a definition that is not the one which Fabric showed after it. None if no change is drift."""
    present, seen = as_object(found.image.get("definition")), known(spec).get("seen") or ""
    has_other = present is not None and "definition" in changed and has_other_content(spec, found, present)
    if was_sent(spec, found) and (has_other or {"displayName", "description"} & {*changed}):
        remark = _DRIFTED if seen or not has_other else _PERHAPS_DRIFTED
        return Drift(remark, is_all="folder" not in changed)
    if is_noted(spec, found) and has_other and seen and seen != seen_of(spec, found):
        return Drift(_BOTH_CHANGED, is_all=False)
    return None


def seen_of(spec: JsonObject, found: Snapshot) -> str:
    """Return a digest of the definition that Fabric shows, without parts that it has added. It is empty for a type
    whose definition other steps change afterwards."""
    present = as_object(found.image.get("definition"))
    if present is None or "definition" not in spec or spec["type"] in CHANGED_LATER:
        return ""
    return _digest(spec, present)


def _digest(spec: JsonObject, present: JsonObject) -> str:
    return normalise.digest(spec["type"], parts(present), parts(spec["definition"]))
