"""The conditions that must hold at the end of every run, whatever happened in it. Each violation is a sentence."""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from local.fabric_simulator.folders import Folders
from local.fabric_simulator.jobs import Jobs
from local.fabric_simulator.store import SQL_ENDPOINT
from shared.domain import transitions
from shared.domain.approval import APPROVAL, ON_TIMEOUT
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import (
    DEPLOYMENT_ENDED,
    FORWARD_SETTLED,
    STEP_SETTLED,
    DeploymentState,
    IntentAction,
    StepState,
)
from shared.saga.audit import verify
from shared.steps.definition_parts import same_definition
from shared.steps.marker import has_marker, without_marker
from shared.steps.orphans import OrphansKind
from tests.simulation import in_doubt, news
from tests.simulation.edges import IDENTITY
from tests.simulation.other_actors import OtherActors
from tests.simulation.world import World

KEPT = (DeploymentState.SUCCEEDED, DeploymentState.FAILED)
"""The final states in which the applied steps stay applied."""
_NOTHING_LEFT = (StepState.COMPENSATED, StepState.SKIPPED)
_CONFLICTS = (
    "ItemDisplayNameAlreadyInUse",
    "WorkspaceNameAlreadyExists",
    "PrincipalAlreadyHasWorkspaceRolePermissions",
)


def encoded(value: Any) -> bytes:
    """Return the value as JSON in bytes."""
    return json.dumps(value).encode()


def violations(world: World, other_actors: OtherActors, ids: list[str]) -> list[str]:
    """Check all laws in one world, and return the violations."""
    found = [*_liveness(world, ids)]
    if found:
        return found
    rows = {d: [s.record for s in world.journal.steps(d)] for d in ids}
    return [
        *_nothing_of_others_deleted(world, other_actors),
        *_everything_present_is_accounted_for(world, other_actors, ids, rows),
        *_everything_applied_is_there(world, other_actors, ids, rows),
        *_others_are_as_they_were(world, other_actors, ids, rows),
        *_history_is_lawful(world),
        *_failures_have_reasons(world, other_actors),
        *_one_deployment_at_a_time(world, ids),
        *news.violations(world.news, ids),
        *_nothing_is_compensated_unrequested_without_rollback(world, ids),
        *_approvals_have_a_person(world, rows),
        *(f"{d} {each}" for d in ids for each in verify.verify(verify.read(world.journal, d)).differences),
    ]


def _liveness(world: World, ids: list[str]) -> Iterable[str]:
    for d in ids:
        if world.state(d) not in DEPLOYMENT_ENDED:
            stuck = [
                (s.record.step_id, s.record.state.value, s.record.compensation_error)
                for s in world.journal.steps(d)
                if s.record.state not in (StepState.COMPENSATED, StepState.SKIPPED)
            ]
            yield f"{d} is {world.state(d).value} long after the last fault: {stuck}"


def _nothing_of_others_deleted(world: World, other_actors: OtherActors) -> Iterable[str]:
    for removed in world.model.store.deleted:
        if removed["id"] in other_actors.things:
            yield f"a resource of another actor was deleted: {removed}"


def _everything_present_is_accounted_for(
    world: World, other_actors: OtherActors, ids: list[str], rows: dict[str, list[StepRecord]]
) -> Iterable[str]:
    kept = [r for d in ids if world.state(d) in KEPT for r in rows[d]]
    known = {r.resource.id for r in kept if r.resource is not None}
    # With rollback off, the journal has the intent of what a failed step may have left. The resources of steps that a
    # release gave up are recognised by their marker too.
    released = {d for d in ids if world.journal.header(d).record.is_released}
    left = [
        r
        for r in kept
        if r.intent is not None
        and (
            (r.deployment_id in released and r.state not in _NOTHING_LEFT)
            or (r.resource is None and r.state is StepState.FAILED)
        )
    ]
    markers = {r.intent.marker for r in left if r.intent is not None}
    known |= {r.spec["principalId"] for r in left if r.kind == "role_assignment"}
    now = world.clock.now().timestamp()
    for workspace in world.model.store.workspaces.values():
        if any(has_marker(workspace.description, m) for m in markers):
            known.add(workspace.id)
        known |= {i.id for i in workspace.items.values() if any(has_marker(i.description, m) for m in markers)}
        if workspace.id not in known and workspace.id not in other_actors.things:
            yield f"workspace {workspace.name} ({workspace.id}) exists, and no deployment accounts for it"
        if workspace.id in other_actors.compared:
            continue
        for item in workspace.items.values():  # A companion comes after the item that Fabric added it to.
            foreign = item.maker_id in other_actors.things and item.type == SQL_ENDPOINT
            if item.maker_id in known or foreign or in_doubt.may_be_foreign(world, item, workspace, other_actors, rows):
                known.add(item.id)
            if item.visible_at <= now and item.id not in known and item.id not in other_actors.things:
                yield f"{item.type} {item.name} ({item.id}) exists, and no deployment accounts for it"
        for folder in workspace.part(Folders).by_id.values():
            if folder.id not in known and not any(row.kind == "folder" for row in left):
                yield f"folder {folder.name} ({folder.id}) exists, and no deployment accounts for it"
        foreign = other_actors.things.get(workspace.id, {}).get("roles", {})
        for principal in workspace.roles:
            if principal not in known and principal not in foreign and principal != IDENTITY:
                yield f"role of {principal} on {workspace.name} exists, and no deployment accounts for it"


def _everything_applied_is_there(
    world: World, other_actors: OtherActors, ids: list[str], rows: dict[str, list[StepRecord]]
) -> Iterable[str]:
    stored: dict[str, Any] = dict.fromkeys(_orphans_to_delete(world, ids, rows))
    for workspace in world.model.store.workspaces.values():
        stored[workspace.id] = workspace
        stored |= workspace.items
        stored |= workspace.part(Folders).by_id
        for item in workspace.items.values():
            stored |= item.part(Jobs).by_id
    for d in ids:
        if world.state(d) is not DeploymentState.SUCCEEDED:
            continue
        for row in rows[d]:
            if row.state is StepState.SUCCEEDED and row.kind == APPROVAL:
                continue
            if row.state is not StepState.SUCCEEDED or row.resource is None:
                yield f"{d} succeeded, and its step {row.step_id} is {row.state.value}"
            elif row.kind == OrphansKind.name:
                continue
            elif row.resource.type == "RoleAssignment":
                roles = stored[row.resource.parent_id].roles if row.resource.parent_id in stored else {}
                if row.resource.id not in roles:
                    yield f"{d} succeeded, and the role of {row.resource.id} is not there"
            elif row.resource.id.partition("/")[2] and row.resource.parent_id in stored:
                continue  # a setting, which tests/simulation/settings_in_schedule.py compares
            elif row.resource.id not in stored and row.resource.id not in other_actors.removed_ids:
                yield f"{d} succeeded, and {row.resource.type} {row.resource.name} is not there"


def _orphans_to_delete(world: World, ids: list[str], rows: dict[str, list[StepRecord]]) -> Iterable[str]:
    """Yield the items that a deployment which succeeded may have deleted, because its repository does not have them."""
    for d in ids:
        if world.journal.header(d).record.deleted_since is None:
            continue
        for row in rows[d]:
            if row.kind == OrphansKind.name:
                yield from (each["id"] for each in world.services.payloads.load(row.spec)["candidates"])


def _others_are_as_they_were(
    world: World, other_actors: OtherActors, ids: list[str], rows: dict[str, list[StepRecord]]
) -> Iterable[str]:
    """Check that the resources of others are unchanged, unless a deployment that succeeded was asked to change them."""
    changed = {
        r.resource.id
        for d in ids
        if world.state(d) in KEPT
        for r in rows[d]
        if r.resource is not None and r.intent is not None and r.intent.action is IntentAction.UPDATE
    }
    workspaces = world.model.store.workspaces
    for thing_id, was in other_actors.things.items():
        if thing_id in other_actors.removed_ids or thing_id in changed:
            continue
        if "roles" in was:
            now: Any = workspaces.get(thing_id)
            if now is not None:
                for principal, role in was["roles"].items():
                    if principal not in changed and now.roles.get(principal) != role:
                        yield f"the role of {principal} was {role} and is {now.roles.get(principal)}"
        else:
            now = workspaces[was["in"]].items.get(thing_id) if was["in"] in workspaces else None
            if now is not None and not same_definition(now.definition or {}, was["definition"] or {}):
                yield f"the definition of {now.name} is not as it was"
        if now is None:
            yield f"{thing_id} of another actor is gone"
        elif without_marker(now.description) != was["description"]:
            yield f"the description of {now.name} was {was['description']!r} and is {now.description!r}"


def _history_is_lawful(world: World) -> Iterable[str]:
    """Check that every move is legal and starts from the recorded state, that a step begins only when its needs are
    met, and that nothing which needs it, directly or through others, is left when its compensation begins."""
    states: dict[tuple[str, int], StepState] = {}
    headers: dict[str, DeploymentState] = {}
    needs: dict[str, dict[int, set[int]]] = {}
    for before, after in world.journal.history:
        if isinstance(after, DeploymentRecord):
            assert isinstance(before, DeploymentRecord)
            original = headers.get(after.deployment_id, DeploymentState.ACCEPTED)
            if original is not before.state or (before.state, after.state) not in transitions.DEPLOYMENT_TRANSITIONS:
                yield f"{after.deployment_id} was {original.value}, moved {before.state.value} -> {after.state.value}"
            if before.labels != after.labels:
                yield f"{after.deployment_id} had the labels {before.labels} and has {after.labels}"
            headers[after.deployment_id] = after.state
            continue
        assert isinstance(before, StepRecord)
        key = (after.deployment_id, after.ordinal)
        original = states.get(key, StepState.PENDING)
        if original is not before.state or (before.state, after.state) not in transitions.STEP_TRANSITIONS:
            yield f"{key} was {original.value} and moved {before.state.value} -> {after.state.value}"
        if before.started_at is None and after.started_at is not None:
            ended = FORWARD_SETTLED if after.freed_at is not None else {StepState.SUCCEEDED}
            unmet = [n for n in after.needed if states.get((after.deployment_id, n)) not in ended]
            if unmet:
                yield f"{key} began before its needs {unmet} had succeeded"
        if before.state is not StepState.COMPENSATING and after.state is StepState.COMPENSATING:
            if key[0] not in needs:
                needs[key[0]] = {row.record.ordinal: set(row.record.needed) for row in world.journal.steps(key[0])}
            others = _dependents(needs[key[0]], after.ordinal)
            needing = [n for n in sorted(others) if states.get((key[0], n)) not in _NOTHING_LEFT]
            if needing:
                yield f"{key} was being compensated before {needing}, which need it"
        states[key] = after.state


def _dependents(needs: dict[int, set[int]], ordinal: int) -> set[int]:
    """Return the ordinals of the steps that need a step, directly or through others."""
    found, left = set[int](), [ordinal]
    while left:
        of = left.pop()
        new = {other for other, wanted in needs.items() if of in wanted} - found
        found |= new
        left += new
    return found


def _failures_have_reasons(world: World, other_actors: OtherActors) -> Iterable[str]:
    """Check that no step fails on a resource that it created itself.

    Other actors may hold a name. So may an operation that failed, or one that did not end and whose id was lost with
    its process.
    """
    if other_actors.things or any(o.error for o in world.model.store.operations.values()):
        return
    if world.occurred["operation for ever"] or world.policy.forward.max_attempts == 1:
        return
    for _, after in world.journal.history:
        if not isinstance(after, StepRecord) or after.state is not StepState.FAILED or after.error is None:
            continue
        if after.error.error_code in _CONFLICTS:
            yield f"{after.deployment_id} {after.step_id} failed on a conflict with nobody: {after.error.message}"


def _one_deployment_at_a_time(world: World, ids: list[str]) -> Iterable[str]:
    """Check that one deployment at a time holds a target. A deployment that is reopened must acquire it again."""
    spans: list[tuple[Any, Any, str]] = []
    for d in ids:
        begin = None
        for move in (e for e in world.journal.audit(d) if e.subject == "deployment" and e.before != e.after):
            if begin is None and move.after in ("running", "compensating"):
                begin = move.at
            elif begin is not None and move.after in DEPLOYMENT_ENDED:
                spans.append((begin, move.at, d))
                begin = None
    spans.sort()
    for (_, end, first), (begin, _, second) in pairwise(spans):
        if begin < end:
            yield f"{second} began at {begin} while {first} held the target until {end}"


def _nothing_is_compensated_unrequested_without_rollback(world: World, ids: list[str]) -> Iterable[str]:
    """Check that `failed` is the end only if rollback is off or a person released a stuck deployment, and that with
    rollback off nothing is compensated without a request."""
    for d in ids:
        header = world.journal.header(d).record
        if header.state is DeploymentState.FAILED and header.is_released:
            yield from _release_has_a_person(world, header)
        elif world.policy.rollback and header.state is DeploymentState.FAILED:
            yield f"{d} failed and was not rolled back, although rollback is on and nobody released it"
    for _, after in world.journal.history:
        if world.policy.rollback or not isinstance(after, DeploymentRecord):
            continue
        request = after.compensate_requested_by or after.retire_requested_by
        if after.state is DeploymentState.COMPENSATING and not request:
            yield f"{after.deployment_id} is being rolled back, although rollback is off and nobody asked"


def _release_has_a_person(world: World, header: DeploymentRecord) -> Iterable[str]:
    """Check that a person released the deployment, that no step is in progress, and that the header's error names what
    is left."""
    d = header.deployment_id
    if not any(e.reason.startswith("release requested by") for e in world.journal.audit(d)):
        yield f"{d} was released, and nobody asked"
    left = [s.record for s in world.journal.steps(d) if s.record.state not in _NOTHING_LEFT]
    if not left or header.error is None:
        yield f"{d} was released: its error is {header.error}, its steps are {left}"
    for step in left:
        if step.state not in STEP_SETTLED or step.claim is not None or step.wait_until is not None:
            yield f"{d} was released, and its step {step.step_id} is still {step.state.value}"
        if header.error is not None and len(left) <= 12 and f"step {step.step_id}: " not in header.error.message:
            yield f"{d} was released, and {header.error.message!r} does not name {step.step_id}"


def _approvals_have_a_person(world: World, rows: dict[str, list[StepRecord]]) -> Iterable[str]:
    """Check that every approval comes from a person, or from the manifest's default if nobody answered."""
    for d, steps in rows.items():
        text = {e.actor for e in world.journal.audit(d) if e.reason.startswith("approved by")}
        for step in steps:
            if step.kind != APPROVAL or step.outputs is None:
                continue
            by = step.outputs["approvedBy"]
            if by not in text and not (by == ON_TIMEOUT and step.spec["default"] == "approve"):
                yield f"{d} {step.step_id} was approved by {by}, and that person did not"
