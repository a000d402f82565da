"""Reads back the definition that a step has written, so that the next deployment can tell drift from what Fabric
rewrites (steps/item_notes.py).

    verified ── outputs, with the time ── look ─┬─ shown: its digest is noted ───────────── succeeded
                                                └─ not shown, or too late: nothing is noted ┘

The step is verified before, so what goes wrong here never fails it. It waits with its outputs already in the row.
"""

import logging
from datetime import datetime, timedelta

from shared.domain.errors import FabricError, InvalidInputError
from shared.domain.json import JsonObject
from shared.domain.records import Intent
from shared.domain.row_limits import STEP_SHARES, encoded
from shared.domain.states import StepState
from shared.saga.read_backs import read_backs_of
from shared.saga.step import specs
from shared.saga.step.delivery import CLOCK_SKEW, Delivery
from shared.saga.step.outcome import Attempt, Reschedule, Settle
from shared.steps.kind import Snapshot

log = logging.getLogger(__name__)

PATIENCE = timedelta(minutes=2)
"""How long a definition is waited for, from when the step was verified."""
_VERIFIED = "verifiedAt"
"""The member of outputs that says since when only the definition is still to be read back."""
_FIRST_SECONDS = 3.0
_AGAIN_SECONDS = 5.0


def noted(d: Delivery, spec: JsonObject, opened: JsonObject, found: Snapshot) -> JsonObject:
    """Return the spec of a step that changes nothing with what reading the definition has shown."""
    seen = d.kind.shown_digest(opened, found)
    return {**spec, "seen": seen} if seen else spec


def reason_of_update(d: Delivery, opened: JsonObject, found: Snapshot) -> str:
    """Return for the audit why a resource is updated; `found` has the before-image."""
    drift = d.kind.drift(opened, found)
    return "there: its before-image is kept, update it" if drift is None else drift.reason


def ended(d: Delivery, spec: JsonObject, intent: Intent, end: Settle) -> Attempt:
    """Return the end of a verified step; or its wait for the definition, with what it ends with in the row, if the kind
    reads it back."""
    if d.header.is_abort_requested or not d.kind.reads_back(spec, intent):
        return end
    if not d.kind.reads_back(specs.opened(d, spec), intent):
        return end
    waiting: JsonObject = {**(end.changes.get("outputs") or {}), _VERIFIED: d.services.clock.now().isoformat()}
    if not _has_room(waiting):
        return end
    return Reschedule(_FIRST_SECONDS, "verified; its definition is read back", {**end.changes, "outputs": waiting})


def is_awaited(d: Delivery) -> bool:
    """Return True if the step is verified and only its definition is still to be read back."""
    return d.step.state in (StepState.INTENT, StepState.SUBMITTED) and _VERIFIED in (d.step.outputs or {})


def go_on(d: Delivery, reason: str) -> Attempt:
    """Read the definition back if Fabric shows it now, and settle the step with what its row has or with `reason`. A
    deployment that is aborted waits for nothing."""
    outputs = {name: value for name, value in (d.step.outputs or {}).items() if name != _VERIFIED}
    verified_at = datetime.fromisoformat((d.step.outputs or {})[_VERIFIED])
    left = (verified_at + PATIENCE - d.now).total_seconds()
    found = _shown(d, verified_at + CLOCK_SKEW) if left > 0 and not d.header.is_abort_requested else ""
    if isinstance(found, float):
        return Reschedule(min(found, left))  # a Retry-After may name an hour
    _forget(d)
    if found:
        noted = {**outputs, "seen": found}
        outputs = noted if _has_room(noted) else outputs
    return Settle(StepState.SUCCEEDED, d.step.done or reason, {"outputs": outputs, "error": None})


def _shown(d: Delivery, later_than: datetime) -> str | float:
    """Return a digest of the definition that Fabric shows, empty if it shows none; or when to look again (seconds)."""
    resource, fabric = d.step.resource, d.services.fabric
    if resource is None or resource.parent_id is None:
        return ""
    try:
        back = read_backs_of(fabric, d.services.clock.now)
        found = back.definition(fabric, resource.parent_id, resource.id.lower(), later_than)
        if isinstance(found, float):
            return found
        if found is None:
            return ""
        spec, before = specs.opened(d, specs.read(d)), specs.intent_of(d).before
        return d.kind.shown_digest(spec, Snapshot(resource, {"definition": found}), before)
    except FabricError as error:
        return error.retry_after_seconds or _AGAIN_SECONDS
    except InvalidInputError as error:
        log.warning("step %s of %s: %s", d.step.step_id, d.step.deployment_id, error)
        return ""


def _forget(d: Delivery) -> None:
    resource, services = d.step.resource, d.services
    if resource is not None and resource.parent_id is not None:
        read_backs_of(services.fabric, services.clock.now).forget(resource.parent_id, resource.id.lower())


def _has_room(outputs: JsonObject) -> bool:
    return len(encoded(outputs)) <= STEP_SHARES["outputs"]
