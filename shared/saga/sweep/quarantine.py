"""Deletes what a deployment has put into quarantine, when it has succeeded and the time for it has come.

A deletion cannot be compensated, so it is not a step: it begins when nothing of the deployment can fail any more. The
header says first that it begins, and from then on the deployment cannot be rolled back. Before each deletion there is
an entry in the audit. What Fabric refuses to delete stays in quarantine, and is tried again in growing pauses.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.actors import SWEEPER
from shared.domain.errors import FabricError, FabricNotFoundError
from shared.domain.json import JsonObject
from shared.domain.ports import Change, Versioned
from shared.domain.records import AuditEntry, DeploymentRecord, Resource, StepRecord
from shared.saga.step.delivery import Services
from shared.saga.sweep.left_beside import LeftBeside, has_companions_that_stay
from shared.steps import eventhouse
from shared.steps.orphans import OrphansKind, candidates_in, deletable, deleted_from, listed_for, may_delete
from shared.steps.parents import delete_item, is_workspace_gone

log = logging.getLogger(__name__)

_MIN_PAUSE = timedelta(minutes=5)


@dataclass(frozen=True)
class _Quarantined:
    """An item in quarantine that may be deleted, and the step that put it there.

    `is_gone` is True if the item is deleted already and only its companions may be left.
    """

    step: StepRecord
    resource: Resource
    identity: str
    is_gone: bool = False


def delete_quarantined(services: Services, header: Versioned[DeploymentRecord], hold: Callable[[], None]) -> list[str]:
    """Delete the items, and return their ids.

    `hold` runs before each call and raises ConflictError if the target is no longer held. Safe to repeat. Raises
    FabricError, after it deleted the others and wrote when to try again.
    """
    now, record = services.clock.now(), header.record
    found = list(_quarantined(services, record.deployment_id))
    there = [each for each in found if not each.is_gone]
    if there and record.deleted_since is None:
        reason = f"deletes {len(there)} item(s) in quarantine: the deployment cannot be rolled back any more"
        header = services.journal.write_header(Change(header, record.replace(deleted_since=now), SWEEPER, reason))
    refused: FabricError | None = None
    beside = LeftBeside(services, header.record)
    for each in found:
        try:
            _delete(services, header.record, each, beside, hold)
        except FabricError as error:
            refused = refused or error
    record = header.record
    if refused is not None:
        due = now + max(_MIN_PAUSE, now - (record.deleted_since or now))
        reason = f"not all of the quarantine is deleted, tried again at {due:%Y-%m-%d %H:%M:%S} UTC: {refused}"
        services.journal.write_header(Change(header, record.replace(due_at=due), SWEEPER, reason[:1000]))
        raise refused
    due = (record.finished_at or now) + timedelta(seconds=services.policy.retention_seconds)
    services.journal.write_header(Change(header, record.replace(deletes_at=None, due_at=due), SWEEPER, ""))
    return [each.resource.id for each in there]


def _quarantined(services: Services, deployment_id: str) -> Iterator[_Quarantined]:
    """Yield what is in quarantine now, and what was deleted and may have left companions. An eventhouse is left to a
    person: it may contain databases of others."""
    for row in (each.record for each in services.journal.steps(deployment_id)):
        if row.kind != OrphansKind.name:
            continue
        spec = services.payloads.load(row.spec)
        try:
            listed = listed_for(services.fabric, spec)
        except FabricNotFoundError:
            if not is_workspace_gone(services.fabric, spec["workspaceId"]):
                raise
            continue
        present: dict[str, JsonObject] = {each["id"]: each for each in candidates_in(spec, listed)}
        for each in deletable(spec, present):
            shown = present[each["id"]]
            if shown["type"] != eventhouse.TYPE:
                resource = Resource(shown["type"], shown["id"], shown["displayName"], spec["workspaceId"])
                yield _Quarantined(row, resource, each["identity"])
        for each in deleted_from(spec, listed):
            if has_companions_that_stay(each["type"]) and may_delete(spec, each["type"], each["name"]):
                resource = Resource(each["type"], each["id"], each["name"], spec["workspaceId"])
                yield _Quarantined(row, resource, each["identity"], is_gone=True)


def _delete(
    services: Services, record: DeploymentRecord, each: _Quarantined, left: LeftBeside, hold: Callable[[], None]
) -> None:
    """Delete an item with the companions that would stay. Companions that are left after an interruption are found
    again by the next sweep, because the item counts as gone then."""
    resource = each.resource
    beside = left.find(resource)
    if each.is_gone and not beside.going:
        return
    verb = "was deleted before" if each.is_gone else "is deleted"
    reason = f"quarantine is over: {resource.type} '{resource.name}' ({resource.id}) {verb}{beside}"
    state, deployment_id = record.state.value, record.deployment_id
    subject = f"orphan_{each.step.ordinal:05d}"
    entry = AuditEntry(services.clock.now(), subject, state, state, SWEEPER, reason, each.step.sequence)
    services.journal.note(deployment_id, entry)
    for going in ([] if each.is_gone else [resource]) + [found.resource for found in beside.going]:
        hold()
        delete_item(services.fabric, going)
    if services.deployed is not None:
        services.deployed.remove(resource.parent_id or "", [each.identity])
    log.warning("deployment %s: %s", deployment_id, reason)
