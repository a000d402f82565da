"""Companions are deleted with the items of a deployment to which Fabric added them (steps/companions.py recognises
them).

In a workspace that the deployment created, they are deleted with the workspace. In any other workspace, and in a
folder, which Fabric deletes only if it is empty, the step that created the maker deletes the companions that outlive
it, after the time in which Fabric shows all of them. The step that created a folder deletes those in it that appeared
later. The sweeper finds the others, and those that a dead process left (orphans.py).
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.domain.actors import ENGINE
from shared.domain.errors import FabricError, FabricNotFoundError, FabricRefusedError, FabricTransientError
from shared.domain.json import JsonObject
from shared.domain.ports import Change, Fabric
from shared.domain.records import Intent, Operation, Resource, StepRecord
from shared.domain.states import IntentAction, StepState
from shared.saga.step import operations
from shared.saga.step.delivery import Delivery, Services
from shared.saga.step.outcome import Attempt, Reschedule, Settle
from shared.steps.companion_types import COMPANIONS, Companion, named_by_maker, named_in
from shared.steps.companions import proven, seen, unproven
from shared.steps.makers import Found, Maker, OwnItems, maker_of, possible_maker_of
from shared.steps.parents import delete_item, is_workspace_gone
from shared.steps.staging import doubted

log = logging.getLogger(__name__)

MAX_READ = timedelta(minutes=1)
"""How long one operation that reads a definition is waited for. Recorded ones took 0.4 s."""
_NAMED = 10
"""Companions that an audit entry names; the others it counts."""


def own_items(services: Services, deployment_id: str) -> OwnItems:
    """Return the items that a deployment created."""
    rows = [s.record for s in services.journal.steps(deployment_id)]
    return _own(services, rows)


def _own(services: Services, rows: Sequence[StepRecord]) -> OwnItems:
    makers, now = makers_among(services, rows), services.clock.now()
    ids = frozenset(row.resource.id for row in rows if _is_created(row) and row.resource)
    unsure = (row for row in rows if row.ambiguous and row.resource is None)
    possible = [m for row in unsure if (m := possible_maker_of(row, services.payloads.load(row.spec), now)) is not None]
    return OwnItems(makers, ids, [maker for maker in makers if maker.companions_shown_at <= now], possible)


def _is_created(row: StepRecord) -> bool:
    return row.resource is not None and row.intent is not None and row.intent.action is IntentAction.CREATE


def makers_among(services: Services, rows: Iterable[StepRecord]) -> list[Maker]:
    """Return the items that these steps created and to which Fabric adds companions."""
    return [maker for row in rows if (maker := _maker_of(services, row)) is not None]


def _maker_of(services: Services, row: StepRecord) -> Maker | None:
    if row.resource is None or row.resource.type not in COMPANIONS:
        return None
    return maker_of(row, services.payloads.load(row.spec))


def standing(services: Services, makers: Iterable[Maker]) -> list[Found]:
    """Return the companions of these makers that Fabric shows now, in any workspace. Raises FabricError."""
    makers = list(makers)
    found: list[Found] = []
    for workspace_id in {m.resource.parent_id for m in makers if m.resource.parent_id}:
        if rows := _items(services.fabric, workspace_id):
            found += proven(services.fabric, makers, rows, workspace_id)
    return found


def _items(fabric: Fabric, workspace_id: str) -> list[JsonObject]:
    """Return the items of a workspace; none if it is gone, and they with it. Raises FabricError."""
    try:
        return list(fabric.list(f"/workspaces/{workspace_id}/items"))
    except FabricNotFoundError:
        if is_workspace_gone(fabric, workspace_id):
            return []
        raise


def left_behind(services: Services, makers: Iterable[Maker]) -> list[Found]:
    """Return the companions that still exist although their makers are deleted. Raises FabricError.

    Skip a maker whose companions may not all be shown yet, because somebody else's item could be taken for one."""
    now = services.clock.now()
    settled = [maker for maker in makers if _is_outlived(maker) and maker.companions_shown_at <= now]
    return [found for found in standing(services, settled) if found.outlives]


def _is_outlived(maker: Maker) -> bool:
    return any(companion.outlives for companion in COMPANIONS[maker.resource.type])


def remember(d: Delivery, resource: Resource, intent: Intent) -> Reschedule | None:
    """Stage which companions Fabric names of an item that was just created; Reschedule while it reads the definition.

    A definition that cannot be read does not fail the step: it is read again before the item is deleted. Raises
    FabricError.
    """
    if intent.action is not IntentAction.CREATE or intent.beside is None:
        return None
    if unread(resource.type, intent) is not None:
        try:
            names = _read(d, resource)
        except FabricError as error:
            log.warning("step %s of %s: %s", d.step.step_id, d.step.deployment_id, error)
            names = {}
        if isinstance(names, Reschedule):
            return names
        intent = replace(intent, made={**(intent.made or {}), **names})
        d.stage({"intent": intent, "operation": None})
    made = {**seen(d.fabric, resource, intent.beside or {}), **(intent.made or {})}
    d.stage({"intent": replace(intent, made=made)})
    return None


def prove(d: Delivery, resource: Resource) -> Reschedule | None:
    """Write which companion the definition of an item names, before the item is deleted and its definition with it;
    Reschedule while Fabric reads it.

    A companion is not proven if Fabric refuses to return the definition, or does not return it within `MAX_OPERATION`.
    Raises FabricError.
    """
    intent = d.step.intent
    if intent is None or unread(resource.type, intent) is None:
        return None
    began = d.step.compensation_started_at or d.now
    try:
        names = _read(d, resource)
    except (FabricRefusedError, FabricTransientError) as error:
        if error.is_outcome:
            d.stage({"operation": None})  # it failed, which cannot change: the next attempt asks again
        if isinstance(error, FabricTransientError) and d.now - began < operations.MAX_OPERATION:
            raise
        names = {}
    if isinstance(names, Reschedule):
        return names
    d.write({"intent": with_names(intent, resource.type, names), "operation": None})
    return None


def unread(item_type: str, intent: Intent) -> Companion | None:
    """Return the companion that the definition of an item names, if that is still to be read."""
    companion = named_by_maker(item_type)
    if companion is None or intent.beside is None or companion.type in (*intent.beside, *(intent.made or {})):
        return None
    return companion


def with_names(intent: Intent, item_type: str, names: JsonObject) -> Intent:
    """Return the intent with what a definition names, which is not read again; empty if it names nothing."""
    companion = named_by_maker(item_type)
    none = {companion.type: ""} if companion is not None else {}
    return replace(intent, made={**none, **(intent.made or {}), **names})


def _read(d: Delivery, resource: Resource) -> JsonObject | Reschedule:
    names = read(d.fabric, resource, d.step.operation, d.services.clock.now())
    if isinstance(names, Operation):
        return Reschedule(operations.next_look(d, names), changes={"operation": names})
    return names


def read(fabric: Fabric, resource: Resource, reading: Operation | None, now: datetime) -> JsonObject | Operation:
    """Return the id, by type, of the companion that the definition of an item names, or the operation that reads it.

    Raises FabricError; an operation that takes longer than `MAX_READ` counts as failed.
    """
    companion = named_by_maker(resource.type)
    found = operations.definition(fabric, resource, reading, now)
    if isinstance(found, Operation):
        if now - found.started_at >= MAX_READ:
            call = f"operation {found.id} ({found.kind})"
            raise FabricTransientError("the definition is not shown in time", call=call, is_outcome=True)
        return found
    item_id = named_in(found, companion) if companion is not None else ""
    return {companion.type: item_id} if companion is not None and item_id else {}


def origin(d: Delivery, resource: Resource) -> str:
    """Return, as the end of a message, that Fabric added a resource itself; empty if it did not. Raises FabricError."""
    own = [m for m in own_items(d.services, d.step.deployment_id).makers if m.resource.parent_id == resource.parent_id]
    for found in standing(d.services, own):
        if found.resource.id == resource.id:
            return f": Fabric adds it by itself to what step {found.step_id} creates. Leave ifExists out to adopt it"
    return ""


def settle(d: Delivery, reason: str) -> Attempt:
    """Settle the compensation of a step when what it created is gone and what Fabric added beside that is gone too.
    Raises FabricError."""
    maker, intent = _maker_of(d.services, d.step), d.step.intent
    if maker is None or intent is None or not _is_outlived(maker):
        return _settled(reason)
    rows = [s.record for s in d.services.journal.steps(d.step.deployment_id)]
    if _is_own_workspace(rows, maker.resource.parent_id) and not maker.folder_id:
        return _settled(reason)
    remaining = (maker.companions_shown_at - d.services.clock.now()).total_seconds()
    if remaining > 0:
        return Reschedule(remaining, f"{reason}; waits for what Fabric adds beside it, to delete that too")
    own, place = _own(d.services, rows), maker.resource.parent_id or ""
    makers = _makers_to_look_for(maker, own.makers)
    removed = left_behind(d.services, makers)
    shown = _items(d.fabric, place)
    kept, doubts = unproven(makers, shown, place, removed), doubted(own, shown, place)
    delete(d, removed)
    if maker.step_id in doubts:
        d.stage({"intent": _with_doubt(intent, _types(doubts[maker.step_id]))})
    return _settled(reason + with_it(removed) + with_kept(kept))


def delete(d: Delivery, companions: Iterable[Found]) -> None:
    """Delete those companions that nothing else takes along; safe to repeat. Raises FabricError, and ConflictError if
    the delivery no longer holds the step."""
    for companion in companions:
        if companion.outlives:
            d.prove_claim()
            delete_item(d.fabric, companion.resource)


def doubt(d: Delivery, doubts: Mapping[str, Sequence[Resource]]) -> None:
    """Write into the rows of makers of which items nobody can tell any more if they belong to them. It is written
    before a person reads that these items stand in the way: what the person leaves of them may be somebody else's.

    Raises ConflictError if a row has moved since it was read.
    """
    if not doubts:
        return
    for versioned in d.services.journal.steps(d.step.deployment_id):
        row = versioned.record
        if row.intent is None or row.state is not StepState.COMPENSATED:
            continue
        new = [each for each in doubts.get(row.step_id, ()) if each.type not in (row.intent.made or {})]
        if new:
            after = row.replace(intent=_with_doubt(row.intent, _types(new)))
            reason = with_kept(new).removeprefix("; ")
            d.services.journal.write_step(Change(versioned, after, ENGINE, reason))


def _types(resources: Iterable[Resource]) -> list[str]:
    return sorted({each.type for each in resources})


def _with_doubt(intent: Intent, types: Iterable[str]) -> Intent:
    return replace(intent, made={**(intent.made or {}), **dict.fromkeys(types, "")})


def _makers_to_look_for(maker: Maker, makers: Iterable[Maker]) -> list[Maker]:
    """Return the maker and those makers in its workspace whose companions only all of them together can prove."""
    place, item_type = maker.resource.parent_id, maker.resource.type
    if not any(companion.is_stamped for companion in COMPANIONS[item_type]):
        return [maker]
    return [m for m in makers if m.resource.parent_id == place and m.resource.type == item_type]


def _settled(reason: str) -> Settle:
    return Settle(StepState.COMPENSATED, reason, {"operation": None, "compensation_error": None})


def _is_own_workspace(rows: Iterable[StepRecord], workspace_id: str | None) -> bool:
    """Return True if the deployment created the workspace: it is deleted with all that is in it."""
    for row in rows:
        if row.resource is not None and row.resource.id == workspace_id and row.resource.type == "Workspace":
            return row.intent is not None and row.intent.action is IntentAction.CREATE
    return False


def with_kept(kept: Iterable[Resource]) -> str:
    """Return, as the end of an audit reason, the items that stay because nothing proves that Fabric added them."""
    names = [f"{each.type} '{each.name}' ({each.id})" for each in kept]
    if not names:
        return ""
    return f"; kept, because nothing proves that Fabric added it for this deployment: {_listed(names)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def with_it(companions: Iterable[Found]) -> str:
    """Return, as the end of an audit reason, the companions that are deleted with a resource."""
    names = [str(companion) for companion in companions if companion.resource.type != "SQLEndpoint"]
    if not names:
        return ""
    return f"; with it what Fabric had added beside items of this deployment: {_listed(names)}"
