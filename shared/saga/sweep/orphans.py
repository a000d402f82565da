"""Orphans: what a call that was still under way when its deployment was put back may have made afterwards.

The journal says what each step was about to create, and under which marker. Only a thing that bears that marker is
taken for an orphan; the same name alone proves nothing. A role assignment carries no marker: none is deleted here.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from shared.domain.actors import SWEEPER
from shared.domain.errors import ConflictError, FabricNotFoundError
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, IntentAction
from shared.domain.states import DeploymentState as D
from shared.domain.telemetry import Event
from shared.saga.step import companions
from shared.saga.step.delivery import Services
from shared.steps.kind import Snapshot

log = logging.getLogger(__name__)


_GONE = (D.COMPENSATED, D.CANCELLED, D.REJECTED)
"""Nothing stands of a deployment in one of these."""


@dataclass(frozen=True)
class Orphan:
    """A resource that a step of a deployment made, and that nobody accounts for; or what Fabric added beside it."""

    step: StepRecord
    found: Snapshot
    why: str = "bears the marker of"


def find_orphans(services: Services, header: DeploymentRecord) -> list[Orphan]:
    """Look for each thing that was to be created; the last one first, so that a container comes after its contents.

    The caller holds the target. What a later deployment at the same target has taken up is its own by now; while one is
    at work there, which may be about to, ConflictError is raised.
    """
    rows = [s.record for s in services.journal.steps(header.deployment_id)]
    taken = _adopted_ids(services, header)
    by_id = {row.step_id: row for row in rows}
    made = [
        (row, snapshot) for row in reversed(rows) if (snapshot := _made(services, row, uncertain=False)) is not None
    ]
    until = header.finished_at  # a call under way when it was put back landed soon after
    unknown = [row.replace(resource=found.resource, finished_at=until) for row, found in made if row.resource is None]
    left = companions.left_behind(services, companions.makers_among([*rows, *unknown]))
    found = [
        Orphan(by_id[c.step_id], Snapshot(c.resource, {}), "was added by Fabric to what was created by")
        for c in left
        if c.resource.id not in taken
    ]
    return found + [Orphan(row, snapshot) for row, snapshot in made if snapshot.resource.id not in taken]


def _made(services: Services, row: StepRecord, *, uncertain: bool) -> Snapshot | None:
    """What a step created, looked for in Fabric; `uncertain` as `StepKind.recognises` says. Raises FabricError."""
    if row.intent is None or row.intent.action is not IntentAction.CREATE or row.kind in services.elsewhere:
        return None
    kind, spec = services.kinds[row.kind], services.payloads.load(row.spec)
    try:
        found = kind.find(services.fabric, spec)
    except FabricNotFoundError:
        return None  # its workspace is gone, and it with that
    return found if found is not None and kind.recognises(spec, row.intent, found, uncertain) else None


def _adopted_ids(services: Services, header: DeploymentRecord) -> set[str]:
    """Ids of what other deployments at that target account for: whatever they did not put back."""
    others = [other for other in _others(services, header) if other.state not in _GONE]
    for other in others:
        if _is_active(other) and other.state is not D.STUCK:  # a stuck one adopts nothing any more
            raise ConflictError(f"deployment {other.deployment_id} is at work at that target")
    rows = [s.record for other in others for s in services.journal.steps(other.deployment_id)]
    return {row.resource.id for row in rows if row.resource is not None}


def blocking_reason(services: Services, header: DeploymentRecord) -> str | None:
    """What keeps a deployment from being taken up again, in a sentence's words. The caller holds the target, so that no
    further one begins there meanwhile.

    One is at work there whose lease is over, for nobody gave a sign of life for long: its journal stands, and the
    sweeper starts it again. Or a later one adopted or changed what this one made: to undo this one would take it away.
    Raises FabricError where there is a later one, and what a lost call of this one's made cannot be looked for.
    """
    later: list[DeploymentRecord] = []
    for other in _others(services, header):
        if other.state in (*_GONE, D.ACCEPTED):
            continue
        if _is_active(other):
            return f"its target is free when deployment {other.deployment_id} has ended"
        if (other.started_at or other.accepted_at) >= (header.started_at or header.accepted_at):
            later.append(other)
    own = _all_created(services, header) if later else set[str]()
    for other in later:
        rows = (s.record for s in services.journal.steps(other.deployment_id))
        if any(row.resource is not None and row.resource.id in own for row in rows):
            return f"deployment {other.deployment_id} uses resources of this one and must be rolled back first"
    return None


def _all_created(services: Services, header: DeploymentRecord) -> set[str]:
    """Ids of what a deployment created or changed, as its journal knows or, if an answer was lost, Fabric shows; and of
    what Fabric added beside it."""
    rows = [s.record for s in services.journal.steps(header.deployment_id)]
    ids = {found.resource.id for found in companions.standing(services, companions.makers_among(rows))}
    for row in rows:
        made = row.resource
        if made is None:
            found = _made(services, row, uncertain=row.ambiguous)
            made = found.resource if found is not None else None
        if made is not None and row.intent is not None and row.intent.action is not IntentAction.ADOPT:
            ids.add(made.id)
    return ids


def _others(services: Services, header: DeploymentRecord) -> list[DeploymentRecord]:
    """The other deployments at its target; the open ones as their headers say, for the list may lag behind those."""
    fresh = {other.deployment_id: other for other in services.journal.deployments(header.target, open_only=True)}
    listed = services.journal.deployments(header.target)
    return [fresh.get(o.deployment_id, o) for o in listed if o.deployment_id != header.deployment_id]


def _is_active(other: DeploymentRecord) -> bool:
    return other.state not in DEPLOYMENT_ENDED | {D.ACCEPTED}


def delete_orphan(services: Services, header: DeploymentRecord, orphan: Orphan, hold: Callable[[], None]) -> None:
    """Delete it, the audit first. `hold` proves before each call that the target is still held, and raises
    ConflictError if it is not. Raises FabricError, and GuardError if something of others lives inside."""
    row, resource = orphan.step, orphan.found.resource
    kind, spec = services.kinds[row.kind], services.payloads.load(row.spec)
    going = kind.guard(services.fabric, resource, partial(companions.makers, services, header.deployment_id))
    reason = (
        f"orphan: {resource.type} '{resource.name}' ({resource.id}) {orphan.why} step {row.step_id}: deleted"
        f"{companions.with_it(going)}"
    )
    state = header.state.value
    entry = AuditEntry(services.clock.now(), f"orphan_{row.ordinal:05d}", state, state, SWEEPER, reason, row.sequence)
    services.journal.note(header.deployment_id, entry)
    assert row.intent is not None  # noqa: S101 - find_orphans gave it
    with suppress(FabricNotFoundError):  # another run was quicker
        for call in kind.compensate(spec, row.intent, orphan.found):
            hold()
            services.fabric.send(call.method, call.path, call.body, call.query)
    services.telemetry.event(Event.ORPHAN_DELETED, about(orphan))
    log.warning("deployment %s: %s", header.deployment_id, reason)


def about(orphan: Orphan) -> dict[str, str]:
    """What telemetry says of it."""
    row, resource = orphan.step, orphan.found.resource
    return {
        "deployment_id": row.deployment_id,
        "step_id": row.step_id,
        "kind": row.kind,
        "resource_type": resource.type,
        "resource_id": resource.id,
    }
