"""Companions are deleted with the items of a deployment to which Fabric added them (steps/companions.py recognises
them).

In a workspace that the deployment created, they are deleted with the workspace. In any other workspace, the step that
created the maker deletes the companions that outlive it, after the time in which Fabric shows all of them. The sweeper
finds companions that appear later, or that a dead process left (orphans.py).
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from shared.domain.errors import FabricNotFoundError
from shared.domain.records import Intent, Resource, StepRecord
from shared.domain.states import IntentAction, StepState
from shared.saga.step.delivery import Delivery, Services
from shared.saga.step.outcome import Attempt, Reschedule, Settle
from shared.steps.companions import COMPANIONS, Found, Maker, maker_of, proven, seen
from shared.steps.items import item_path

_NAMED = 10
"""Companions that an audit entry names; the others it counts."""


def makers(services: Services, deployment_id: str) -> list[Maker]:
    """Return the items that a deployment created and to which Fabric adds companions."""
    return makers_among(s.record for s in services.journal.steps(deployment_id))


def makers_among(rows: Iterable[StepRecord]) -> list[Maker]:
    """Return the items that these steps created and to which Fabric adds companions."""
    return [maker for row in rows if (maker := maker_of(row)) is not None]


def standing(services: Services, makers: Iterable[Maker]) -> list[Found]:
    """Return the companions of these makers that Fabric shows now, in any workspace. Raises FabricError."""
    makers = list(makers)
    found: list[Found] = []
    for workspace_id in {m.resource.parent_id for m in makers if m.resource.parent_id}:
        with suppress(FabricNotFoundError):  # the workspace is gone, and they with it
            rows = list(services.fabric.list(f"/workspaces/{workspace_id}/items"))
            found += proven(makers, rows, workspace_id)
    return found


def left_behind(services: Services, makers: Iterable[Maker]) -> list[Found]:
    """Return the companions that still exist although their makers are deleted. Raises FabricError.

    Skip a maker whose companions may not all be shown yet, because somebody else's item could be taken for one."""
    now = services.clock.now()
    settled = [maker for maker in makers if _is_outlived(maker) and maker.companions_shown_at <= now]
    return [found for found in standing(services, settled) if found.outlives]


def _is_outlived(maker: Maker) -> bool:
    return any(companion.outlives for companion in COMPANIONS[maker.resource.type])


def remember(d: Delivery, resource: Resource, intent: Intent) -> None:
    """Stage the companions that exist beside an item that was just created. Raises FabricError."""
    if intent.action is IntentAction.CREATE and intent.beside is not None:
        rows = list(d.fabric.list(f"/workspaces/{resource.parent_id}/items"))
        d.stage({"intent": replace(intent, made=seen(resource, intent.beside, rows))})


def origin(d: Delivery, resource: Resource) -> str:
    """Return, as the end of a message, that Fabric added a resource itself; empty if it did not. Raises FabricError."""
    own = [m for m in makers(d.services, d.step.deployment_id) if m.resource.parent_id == resource.parent_id]
    for found in standing(d.services, own):
        if found.resource.id == resource.id:
            return f": Fabric adds it by itself to what step {found.step_id} creates. Leave ifExists out to adopt it"
    return ""


def settle(d: Delivery, reason: str) -> Attempt:
    """Settle the compensation of a step when what it created is gone and what Fabric added beside that is gone too.
    Raises FabricError."""
    maker = maker_of(d.step)
    if maker is None or not _is_outlived(maker):
        return _settled(reason)
    rows = [s.record for s in d.services.journal.steps(d.step.deployment_id)]
    if _is_own_workspace(rows, maker.resource.parent_id):
        return _settled(reason)
    remaining = (maker.companions_shown_at - d.services.clock.now()).total_seconds()
    if remaining > 0:
        return Reschedule(remaining, f"{reason}; waits for what Fabric adds beside it, to delete that too")
    removed = left_behind(d.services, _makers_to_look_for(maker, makers_among(rows)))
    _write_down(d, maker, removed)
    for companion in removed:
        d.prove_claim()
        with suppress(FabricNotFoundError):
            d.fabric.send("DELETE", item_path(companion.resource))
    return _settled(reason + with_it(removed))


def _makers_to_look_for(maker: Maker, makers: Iterable[Maker]) -> list[Maker]:
    """Return the maker and those makers in its workspace whose companions only all of them together can prove."""
    place, item_type = maker.resource.parent_id, maker.resource.type
    if not any(companion.is_stamped for companion in COMPANIONS[item_type]):
        return [maker]
    return [m for m in makers if m.resource.parent_id == place and m.resource.type == item_type]


def _write_down(d: Delivery, maker: Maker, removed: Iterable[Found]) -> None:
    """Write which companions named after the maker are about to be deleted, before the first call.

    By now each of them is shown. So whatever has such a name later is a stranger's, and the sweeper must leave it.
    """
    intent = d.step.intent
    if intent is None or intent.beside is None:
        return
    found = {f.resource.type: f.resource.id for f in removed if f.step_id == maker.step_id}
    named = [c.type for c in COMPANIONS[maker.resource.type] if c.outlives and not c.is_stamped]
    made = {item_type: found.get(item_type, "") for item_type in named} | (intent.made or {})
    if made != intent.made:
        d.write({"intent": replace(intent, made=made)})


def _settled(reason: str) -> Settle:
    return Settle(StepState.COMPENSATED, reason, {"operation": None, "compensation_error": None})


def _is_own_workspace(rows: Iterable[StepRecord], workspace_id: str | None) -> bool:
    """True if the workspace is one that the deployment created: it is deleted with all that is in it."""
    for row in rows:
        if row.resource is not None and row.resource.id == workspace_id and row.resource.type == "Workspace":
            return row.intent is not None and row.intent.action is IntentAction.CREATE
    return False


def with_it(companions: Iterable[Found]) -> str:
    """Return, as the end of an audit reason, the companions that are deleted with a resource."""
    names = [str(companion) for companion in companions if companion.resource.type != "SQLEndpoint"]
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"; with it what Fabric had added beside items of this deployment: {', '.join(names[:_NAMED])}{more}"
