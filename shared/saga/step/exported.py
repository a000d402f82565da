"""Reads one item from an export of many (exports.py), if its step probably changes nothing."""

from shared.domain.json import JsonObject
from shared.saga.exports import exports_of
from shared.saga.step import giving_up
from shared.saga.step.delivery import Delivery
from shared.saga.step.outcome import Reschedule
from shared.steps.items import items_path
from shared.steps.kind import Snapshot


def look(d: Delivery, spec: JsonObject, found: Snapshot) -> Snapshot | Reschedule | None:
    """Return the item with its definition; Reschedule while it is exported; None if the step reads it by itself.

    Raises FabricTransientError if Fabric throttles.
    """
    workspace_id, item_id = found.resource.parent_id, found.resource.id.lower()
    if workspace_id is None or d.step.operation is not None or not d.kind.is_probably_as_asked(spec, found):
        return None
    since, services = d.header.started_at or d.now, d.services
    shown = {str(row.get("id", "")).lower() for row in d.fabric.list(items_path(spec))}
    ids = [each for each in d.recall.ids(workspace_id, since) if each in shown]
    definition = exports_of(services.fabric, services.clock.now).definition(
        services.fabric, workspace_id, item_id, ids, since
    )
    if isinstance(definition, float):
        return Reschedule(definition, changes=giving_up.started(d))
    return None if definition is None else Snapshot(found.resource, {**found.image, "definition": definition})
