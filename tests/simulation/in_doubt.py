"""Staging items of which nobody can tell whose they are, so that the product keeps them and names them in the audit
(ADR 17). laws.py asks for them."""

from collections.abc import Mapping, Sequence

from local.fabric_simulator.store import Item, Workspace
from shared.domain.records import StepRecord
from shared.domain.states import IntentAction
from tests.simulation.other_actors import OtherActors
from tests.simulation.world import World

_NEAR = 3600.0
"""How many seconds may lie between two creations that cannot be told apart: more than any step of a schedule takes
from its start to its end."""

Rows = Mapping[str, Sequence[StepRecord]]
"""The rows of each deployment, by its id."""


def may_be_foreign(world: World, item: Item, workspace: Workspace, other_actors: OtherActors, rows: Rows) -> bool:
    """Return True for staging items of which nobody can tell whose they are: another actor's dataflow was created
    within an hour. Or the audit of the step names what it kept, and one of these is true:

    - another actor's dataflow was created while the step was under way;
    - another deployment created one within an hour that stays (seed 11003595);
    - another deployment created one within an hour, and kept its staging items in the same doubt (seed 12000116).
    """
    if not item.name.startswith("Staging"):
        return False
    made = [i.created_at for i in workspace.items.values() if i.id in other_actors.things and i.type == "Dataflow"]
    if any(_is_near(item, at) for at in made):
        return True
    makers = [row for d in rows for row in rows[d] if row.resource is not None and row.resource.id == item.maker_id]
    staying = [i for i in workspace.items.values() if i.type == "Dataflow" and i.id != item.maker_id]
    is_beside = any(_is_near(item, i.created_at) for i in staying)
    is_beside = is_beside or any(_was_under_way(row, at) for row in makers for at in made)
    is_beside = is_beside or _is_another_kept_beside(world, item, workspace, rows)
    return is_beside and any(_is_named_as_kept(world, row, item) for row in makers)


def _is_near(item: Item, at: float) -> bool:
    return abs(at - item.created_at) < _NEAR


def _is_another_kept_beside(world: World, item: Item, workspace: Workspace, rows: Rows) -> bool:
    """Return True if an item of the same type stands that another deployment kept beside its own dataflow: the first
    of the two that was rolled back could not tell the pairs apart, and its doubt lasts, so the second one cannot
    either. Two dataflows of one deployment are no reason: all of their staging items are its own."""
    owner = _creator(rows, item)
    for other in workspace.items.values():
        if other.type != item.type or not other.name.startswith("Staging") or not _is_near(item, other.created_at):
            continue
        row = _creator(rows, other)
        if owner is None or row is None or row.deployment_id == owner.deployment_id:
            continue
        if _is_named_as_kept(world, row, other):
            return True
    return False


def _creator(rows: Rows, item: Item) -> StepRecord | None:
    """Return the row of the step that created the dataflow of a staging item."""
    for row in (row for d in rows for row in rows[d]):
        is_created = row.intent is not None and row.intent.action is IntentAction.CREATE
        if is_created and row.resource is not None and row.resource.id == item.maker_id:
            return row
    return None


def _was_under_way(row: StepRecord, at: float) -> bool:
    """Return True if a step was under way at a time: a step that a person resumes is, from its first start."""
    return (
        row.started_at is not None
        and row.finished_at is not None
        and row.started_at.timestamp() <= at <= row.finished_at.timestamp()
    )


def _is_named_as_kept(world: World, row: StepRecord, item: Item) -> bool:
    reasons = (e.reason for e in world.journal.audit(row.deployment_id) if e.subject == f"step_{row.ordinal:05d}")
    return any("kept, because nothing proves" in reason and item.id in reason for reason in reasons)
