"""Orphans: resources that a late call created after its step was compensated.

The journal records what each step was about to create, and with which marker. Only a resource with that marker is an
orphan; the same name alone proves nothing. A role assignment has no marker, so no role assignment is deleted here.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from shared.domain.actors import SWEEPER
from shared.domain.errors import ConflictError, FabricNotFoundError, FabricRefusedError, FabricTransientError
from shared.domain.ports import Change, Versioned
from shared.domain.records import AuditEntry, DeploymentRecord, Operation, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, IntentAction, StepState
from shared.domain.states import DeploymentState as D
from shared.domain.telemetry import Event
from shared.saga.step import companions
from shared.saga.step.delivery import Services
from shared.steps.kind import Snapshot
from shared.steps.parents import unless_gone

log = logging.getLogger(__name__)


_GONE = (D.COMPENSATED, D.CANCELLED, D.REJECTED)
"""In these states a deployment has no resources."""


MAY_HAVE_ORPHANS = (D.COMPENSATED, D.CANCELLED, D.FAILED)
"""In these states a deployment may have been rolled back, at least in part."""


@dataclass(frozen=True)
class Orphan:
    """A resource that a step created and no deployment accounts for, or a companion that Fabric added to it."""

    step: StepRecord
    found: Snapshot
    why: str = "has the marker of"


def awaits_orphan_check(header: DeploymentRecord) -> bool:
    """Return True if the sweeper has yet to look for orphans of a deployment that was rolled back, or released when a
    part of it was."""
    is_over = header.state in (D.COMPENSATED, D.CANCELLED) or (header.state is D.FAILED and header.is_released)
    return is_over and header.orphan_checked_at is None


def find_orphans(
    services: Services, header: DeploymentRecord, concerns: Callable[[StepRecord], bool] = lambda _: True
) -> list[Orphan]:
    """Look for each resource that a step was about to create, in reverse order: a container comes after its contents.
    Steps that a release gave up have no orphans: the error of the deployment names their resources.

    The caller holds the target. A resource that a later deployment at the same target adopted is not an orphan. Raises
    ConflictError while another deployment is active at the target, because it may be about to adopt one; FabricError.
    """
    rows = [s.record for s in _compensated(services, header) if concerns(s.record)]
    taken = adopted_ids(services, header)
    by_id = {row.step_id: row for row in rows}
    made = [
        (row, snapshot) for row in reversed(rows) if (snapshot := _made(services, row, uncertain=False)) is not None
    ]
    until = header.finished_at  # a late call landed soon after the rollback
    unknown = [row.replace(resource=found.resource, finished_at=until) for row, found in made if row.resource is None]
    left = companions.left_behind(services, companions.makers_among(services, [*rows, *unknown]))
    found = [
        Orphan(by_id[c.step_id], Snapshot(c.resource, {}), "was added by Fabric to what was created by")
        for c in left
        if c.resource.id not in taken
    ]
    return found + [Orphan(row, snapshot) for row, snapshot in made if snapshot.resource.id not in taken]


def prove_companions(
    services: Services, header: DeploymentRecord, concerns: Callable[[StepRecord], bool] = lambda _: True
) -> None:
    """Write which companions the definitions of a deployment's orphans name, before the orphans are deleted and their
    definitions with them. The caller holds the target.

    Raises ConflictError while Fabric reads a definition, which the next sweep looks at again; FabricError.
    """
    for versioned in _compensated(services, header):
        row = versioned.record
        if row.intent is None or row.intent.beside is None or not concerns(row):
            continue
        item_type = services.payloads.load(row.spec).get("type") or ""
        if companions.unread(item_type, row.intent) is None:
            continue
        found = _made(services, row, uncertain=False)
        if found is None:
            continue
        resource, now = found.resource, services.clock.now()
        try:
            read = companions.read(services.fabric, resource, row.operation, now)
        except FabricTransientError as error:
            if error.is_outcome:  # requested again by the next sweep
                reason = f"its orphan '{resource.name}' ({resource.id}): {error}"
                services.journal.write_step(Change(versioned, row.replace(operation=None), SWEEPER, reason))
            raise
        except FabricRefusedError:
            read = {}
        if isinstance(read, Operation):
            waits = f"Fabric reads the definition of its orphan '{resource.name}' ({resource.id})"
            services.journal.write_step(Change(versioned, row.replace(operation=read), SWEEPER, waits))
            raise ConflictError(f"step {row.step_id}: {waits}")
        intent = companions.with_names(row.intent, item_type, read)
        after = row.replace(intent=intent, operation=None, resource=resource)
        named = ", ".join(f"{name} {item_id}" for name, item_id in read.items()) or "nothing"
        reason = f"its orphan '{resource.name}' ({resource.id}) names {named} as added by Fabric"
        services.journal.write_step(Change(versioned, after, SWEEPER, reason))


def _compensated(services: Services, header: DeploymentRecord) -> list[Versioned[StepRecord]]:
    return [s for s in services.journal.steps(header.deployment_id) if s.record.state is StepState.COMPENSATED]


def _made(services: Services, row: StepRecord, *, uncertain: bool) -> Snapshot | None:
    """Look for the resource that a step created; `uncertain` as in `StepKind.recognises`. Raises FabricError."""
    if row.intent is None or row.intent.action is not IntentAction.CREATE or row.kind in services.elsewhere:
        return None
    kind, spec = services.kinds[row.kind], services.payloads.load(row.spec)
    look = partial(kind.find, services.fabric, spec)
    found = unless_gone(look, services.fabric, spec, row.resource)
    return found if found is not None and kind.recognises(spec, row.intent, found, uncertain) else None


def adopted_ids(
    services: Services, header: DeploymentRecord, ids_of: Callable[[str], Iterable[str]] | None = None
) -> set[str]:
    """Return the ids of the resources that other deployments at the target account for. `ids_of` returns those of one
    deployment, by default from its journal. Raises ConflictError while one of them is active."""
    others = [other for other in _others(services, header) if other.state not in _GONE]
    for other in others:
        if _is_active(other) and other.state is not D.STUCK:  # a stuck one adopts nothing any more
            raise ConflictError(f"deployment {other.deployment_id} is active at that target")

    def read(deployment_id: str) -> Iterable[str]:
        return resource_ids(s.record for s in services.journal.steps(deployment_id))

    return {resource_id for other in others for resource_id in (ids_of or read)(other.deployment_id)}


def resource_ids(rows: Iterable[StepRecord]) -> frozenset[str]:
    """Return the ids of the resources that these steps name."""
    return frozenset(row.resource.id for row in rows if row.resource is not None)


def blocking_reason(services: Services, header: DeploymentRecord) -> str | None:
    """Return why a deployment cannot be reopened, as a clause; None if it can. The caller holds the target.

    Another deployment may be active although its lease expired, because nothing renewed it for long: the sweeper will
    restart it. Or a later deployment adopted or changed a resource of this one, which a rollback would remove.
    Raises FabricError if there is a later deployment and the resources of this one's lost calls cannot be looked for.
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
    """Return the ids of the resources that a deployment created or changed, from its journal or, if an answer was lost,
    from Fabric; and of their companions."""
    rows = [s.record for s in services.journal.steps(header.deployment_id)]
    ids = {found.resource.id for found in companions.standing(services, companions.makers_among(services, rows))}
    for row in rows:
        made = row.resource
        if made is None:
            found = _made(services, row, uncertain=row.ambiguous)
            made = found.resource if found is not None else None
        if made is not None and row.intent is not None and row.intent.action is not IntentAction.ADOPT:
            ids.add(made.id)
    return ids


def _others(services: Services, header: DeploymentRecord) -> list[DeploymentRecord]:
    """Return the other deployments at its target; open ones from their headers, because the list may lag behind."""
    fresh = {other.deployment_id: other for other in services.journal.deployments(header.target, open_only=True)}
    listed = services.journal.deployments(header.target)
    return [fresh.get(o.deployment_id, o) for o in listed if o.deployment_id != header.deployment_id]


def _is_active(other: DeploymentRecord) -> bool:
    return other.state not in DEPLOYMENT_ENDED | {D.ACCEPTED}


def delete_orphan(services: Services, header: DeploymentRecord, orphan: Orphan, hold: Callable[[], None]) -> None:
    """Delete an orphan, after an entry in the audit.

    `hold` runs before each call and raises ConflictError if the target is no longer held. Raises FabricError, and
    GuardError if the orphan contains something of other owners.
    """
    row, resource = orphan.step, orphan.found.resource
    kind, spec = services.kinds[row.kind], services.payloads.load(row.spec)
    going = kind.guard(services.fabric, resource, partial(companions.own_items, services, header.deployment_id))
    reason = (
        f"orphan: {resource.type} '{resource.name}' ({resource.id}) {orphan.why} step {row.step_id}: deleted"
        f"{companions.with_it(going)}"
    )
    state = header.state.value
    entry = AuditEntry(services.clock.now(), f"orphan_{row.ordinal:05d}", state, state, SWEEPER, reason, row.sequence)
    services.journal.note(header.deployment_id, entry)
    assert row.intent is not None  # noqa: S101 - find_orphans gave it
    try:
        for call in kind.compensate(spec, row.intent, orphan.found):
            hold()
            services.fabric.send(call.method, call.path, call.body, call.query)
    except FabricNotFoundError:
        look = partial(kind.locate, services.fabric, spec, resource)
        if unless_gone(look, services.fabric, spec, resource) is not None:
            raise
        log.info("deployment %s: %s '%s' was deleted already", header.deployment_id, resource.type, resource.name)
    services.telemetry.event(Event.ORPHAN_DELETED, about(orphan))
    log.warning("deployment %s: %s", header.deployment_id, reason)


def about(orphan: Orphan) -> dict[str, str]:
    """Return the properties of an orphan for telemetry."""
    row, resource = orphan.step, orphan.found.resource
    return {
        "deployment_id": row.deployment_id,
        "step_id": row.step_id,
        "kind": row.kind,
        "resource_type": resource.type,
        "resource_id": resource.id,
    }
