"""Check what must be in Fabric, the journal and the audit at the end, whatever crashed.

Each function yields its violations, one sentence each.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from local.crash_sweep.manifests import Manifest
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DeploymentState, StepState
from shared.domain.transitions import DEPLOYMENT_TRANSITIONS, STEP_TRANSITIONS
from shared.steps.git_update import GitUpdateKind

_DEPLOYMENT = "deployment"
_COLLECTIONS = frozenset({"workspaces", "lakehouses", "items", "warehouses", "shortcuts", "folders", "roleAssignments"})
_START = "/jobs/RunNotebook/instances"
_MAY_RECUR = frozenset({StepState.INTENT, StepState.SUBMITTED, StepState.COMPENSATION_FAILED})
"""Moves between these states are attempts and may recur; every other move of a row happens once."""


def journal(manifest: Manifest, header: DeploymentRecord, steps: Sequence[StepRecord]) -> Iterator[str]:
    """Check the final state of the header and of every step."""
    if header.state is not manifest.end:
        yield f"the deployment is {header.state}, not {manifest.end}"
    if len(steps) != header.step_count:
        yield f"the journal has {len(steps)} steps of {header.step_count}"
    is_success = manifest.end is DeploymentState.SUCCEEDED
    allowed = {StepState.SUCCEEDED} if is_success else {StepState.COMPENSATED, StepState.SKIPPED}
    for step in steps:
        if step.state not in allowed:
            yield f"step {step.step_id} is {step.state}"
        if step.claim is not None:
            yield f"step {step.step_id} is still claimed"
        if step.is_always and step.state is StepState.SKIPPED:
            yield f"step {step.step_id} runs always, and did not begin"
        if is_success and step.resource is None:
            yield f"step {step.step_id} has no resource in the journal"


def fabric(
    manifest: Manifest,
    deployment_id: str,
    before: dict[str, Any],
    after: dict[str, Any],
    calls: Sequence[dict[str, Any]],
    steps: Sequence[StepRecord],
) -> Iterator[str]:
    """Check that Fabric contains exactly the manifest's resources, or what was there before.

    Each resource must have been created once and be in the journal, and foreign resources must be unchanged.
    """
    known = {s.resource.id.lower() for s in steps if s.resource is not None} | _made_by_updates(steps)
    own, foreign = _parted(after["workspaces"], deployment_id)
    own_before, foreign_before = _parted(before["workspaces"], deployment_id)
    if foreign != foreign_before:
        yield "a workspace that does not belong to the deployment was changed"
    yield from _deletions(before["deleted"], after["deleted"], known)
    if manifest.end is DeploymentState.SUCCEEDED:
        yield from _present(manifest, own, known)
        deleted = [row["displayName"] for row in after["deleted"][len(before["deleted"]) :]]
        if deleted:
            yield f"a deployment that succeeded deleted {deleted}"
    elif _comparable(own) != _comparable(own_before):
        yield f"the workspace is not as it was before: {_comparable(own)[:1000]}"
    yield from _calls(manifest, calls)


def _made_by_updates(steps: Sequence[StepRecord]) -> set[str]:
    """Return the ids of the items that an update from Git created, as its intent names them before they are deleted."""
    found = [s.intent.made or {} for s in steps if s.kind == GitUpdateKind.name and s.intent is not None]
    return {str(each).lower() for made in found for each in made.get("created", [])}


def _parted(rows: list[dict[str, Any]], deployment_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the deployment's workspace, which has its id as the name, and the other workspaces."""
    own = [row for row in rows if row["displayName"] == deployment_id]
    return own, [row for row in rows if row["displayName"] != deployment_id]


def _deletions(before: list[dict[str, Any]], after: list[dict[str, Any]], known: set[str]) -> Iterator[str]:
    if after[: len(before)] != before:
        yield "the record of earlier deletions changed"
    for row in after[len(before) :]:
        if row["id"].lower() not in known:
            yield f"{row['type']} {row['displayName']} was deleted, but is not in the journal"


def _present(manifest: Manifest, own: Sequence[dict[str, Any]], known: set[str]) -> Iterator[str]:
    if len(own) != 1:
        yield f"there are {len(own)} workspaces instead of one"
        return
    items = sorted(i["displayName"] for i in own[0]["items"])
    if items != manifest.items:
        yield f"the items are {items} instead of {manifest.items}"
    roles = sorted(r["id"] for r in own[0]["roleAssignments"])
    if not set(manifest.roles) <= set(roles) or len(roles) != len(manifest.roles) + 1:
        yield f"the roles are {roles} instead of {manifest.roles} and the creator's"
    for resource in (own[0]["id"], *(i["id"] for i in own[0]["items"]), *manifest.roles):
        if resource.lower() not in known:
            yield f"{resource} exists, but is not in the journal"


def _comparable(workspaces: Sequence[dict[str, Any]]) -> str:
    """Return the workspaces as text, without the order of roles, the part `.platform` and the time of a publish.

    Fabric adds `.platform` to every definition that it returns. What an environment had published is published again.
    """
    shown: list[dict[str, Any]] = json.loads(json.dumps(workspaces))
    for workspace in shown:
        roles: list[dict[str, Any]] = workspace["roleAssignments"]
        workspace["roleAssignments"] = sorted(roles, key=_id)
        for item in workspace["items"]:
            definition: dict[str, Any] = item["definition"] or {}
            parts: list[dict[str, Any]] = definition.get("parts", [])
            item["definition"] = [part for part in parts if part["path"] != ".platform"]
            item["publishDetails"] = item.get("publishDetails", {}).get("state")
    return json.dumps(shown, sort_keys=True)


def _id(row: dict[str, Any]) -> str:
    return row["id"]


def _calls(manifest: Manifest, calls: Sequence[dict[str, Any]]) -> Iterator[str]:
    effective = [c for c in calls if c["effect"]]
    made = Counter(c["path"].rsplit("/", 1)[-1] for c in effective if c["method"] == "POST")
    made = Counter({word: count for word, count in made.items() if word in _COLLECTIONS})
    if made != manifest.creations:
        yield f"created {dict(made)} instead of {dict(manifest.creations)}"
    starts = sum(c["method"] == "POST" and c["path"].endswith(_START) for c in effective)
    if starts > 1:
        yield f"the job was started {starts} times"
    for (method, path), count in Counter((c["method"], c["path"]) for c in effective).items():
        if method == "DELETE" and count > 1:
            yield f"{method} {path} took effect {count} times"


def audit(entries: Sequence[AuditEntry], header: DeploymentRecord, steps: Sequence[StepRecord]) -> Iterator[str]:
    """Check that the audit's moves are legal, happen once, and lead from the start to the state in the journal."""
    ends = {f"step_{s.ordinal:05d}": s.state.value for s in steps} | {_DEPLOYMENT: header.state.value}
    for subject in sorted({e.subject for e in entries} - ends.keys()):
        yield f"{subject} is in the audit but not in the journal"
    for subject, end in ends.items():
        moves = sorted((e for e in entries if e.subject == subject and not _is_note(e)), key=lambda e: e.sequence)
        state = "" if subject == _DEPLOYMENT else StepState.PENDING.value
        seen: set[tuple[str, str]] = set()
        for i, move in enumerate(moves):
            if i and move.sequence == moves[i - 1].sequence:
                yield f"{subject}: write {move.sequence} is in the audit twice"
            if move.before != state:
                yield f"{subject}: the move from {move.before} to {move.after} starts in the state {state}"
            if not _is_legal(subject, move):
                yield f"{subject}: the move from {move.before} to {move.after} is not legal"
            pair = (move.before, move.after)
            if pair in seen and move.before != move.after and not _MAY_RECUR & set(pair):
                yield f"{subject}: moved from {move.before} to {move.after} twice"
            seen.add(pair)
            state = move.after
        if state != end:
            yield f"{subject}: the audit ends at {state}, the journal at {end}"


def _is_note(entry: AuditEntry) -> bool:
    """Return True for the entry of a repeated submission: it moves nothing and has no write number of its own."""
    return entry.actor == "accept" and entry.before == entry.after


def _is_legal(subject: str, move: AuditEntry) -> bool:
    if subject == _DEPLOYMENT:
        if not move.before:
            return move.after == DeploymentState.ACCEPTED
        return (move.before, move.after) in DEPLOYMENT_TRANSITIONS
    return (move.before, move.after) in STEP_TRANSITIONS
