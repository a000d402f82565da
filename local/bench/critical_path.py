"""The time that Fabric alone needs: the longest chain of dependent steps, with one round trip for each call."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from shared.domain.ports import Versioned
from shared.domain.records import StepRecord

type Call = dict[str, Any]
"""A call in the simulator's log: method, path, query, status, seconds, the time `at` which it began."""


def forward_seconds(
    steps: Sequence[Versioned[StepRecord]], calls: Sequence[Call], state: dict[str, Any], trip: float
) -> float:
    """Return the duration of the longest chain of dependent steps, counting only Fabric's time for the necessary calls.

    The necessary calls of a step are the look if it has one, the creation (if asynchronous, its operation), and the
    read that verifies it: of the resource itself, or of the list that its look reads. If the step waits for a SQL
    endpoint, the time until the endpoint exists replaces the creation. The reads of sibling steps of one list cannot
    be distinguished, so each counts as their mean. A step that Fabric refused counts with the refused call.
    """
    created = {c["names"]: c for c in calls if c["method"] == "POST" and c["names"]}
    reads = defaultdict[str, list[float]](list)
    looked: dict[str, float] = {}
    for call in calls:
        if call["method"] == "GET":
            reads[call["path"]].append(call["seconds"])
            looked.setdefault(call["path"], call["at"])
    endpoints = {i["id"]: i["endpointSeconds"] or 0.0 for w in state["workspaces"] for i in w["items"]}
    refused = sum(c["seconds"] + trip for c in calls if c["status"] >= 400)
    ends: dict[int, float] = {}
    for step in (s.record for s in steps):
        own = refused
        if step.resource is not None:
            create = created[step.resource.id]
            work = create["seconds"]
            if step.spec.get("waitForSqlEndpoint"):
                work = max(work, endpoints[step.resource.id])
            listed = create["path"] if reads[create["path"]] else create["path"].replace("/lakehouses", "/items")
            verifies = [s for path, found in reads.items() if path.endswith(step.resource.id) for s in found]
            mean = statistics.mean(reads[listed]) if reads[listed] else 0.0
            has_looked = looked.get(listed, create["at"]) < create["at"]
            own = work + (mean + trip if has_looked else 0.0) + (verifies[-1] if verifies else mean) + 2 * trip
        ends[step.ordinal] = own + max((ends[n] for n in step.needed), default=0.0)
    return max(ends.values())


def backward_seconds(steps: Sequence[Versioned[StepRecord]], calls: Sequence[Call], trip: float) -> float:
    """Return the same for the compensation, from its calls alone.

    The necessary calls of a step are the look, the reads of what a container still contains, and the deletion.
    """
    ends: dict[int, float] = {}
    for step in sorted((s.record for s in steps), key=lambda s: -s.ordinal):
        after = max((ends[other.record.ordinal] for other in steps if step.ordinal in other.record.needs), default=0.0)
        own = _deletion_seconds(step, calls, trip) if step.resource is not None else 0.0
        ends[step.ordinal] = own + after
    return max(ends.values())


def _deletion_seconds(step: StepRecord, calls: Sequence[Call], trip: float) -> float:
    resource = step.resource
    assert resource is not None  # noqa: S101 - the caller has looked
    deletions = [c for c in calls if c["method"] == "DELETE"]
    own = next(c for c in deletions if c["path"].endswith(f"/{resource.id}"))
    inside = [c["at"] for c in deletions if f"/{resource.id}/" in c["path"]]
    reads = [c for c in calls if c["method"] == "GET" and max(inside, default=0.0) < c["at"] < own["at"]]
    looks = [c["seconds"] for c in reads if c["path"] == own["path"].rpartition("/")[0]]
    guards = [c for c in reads if c["path"] == own["path"] or c["path"].startswith(own["path"] + "/")]
    return own["seconds"] + statistics.mean(looks) + sum(c["seconds"] for c in guards) + (2 + len(guards)) * trip
