"""The approval, a step that a person decides: its kind, how its row shows that it waits, and its outputs.

A waiting row is still `pending`, because nothing is done in Fabric and no call can be in flight, and its start is
written. The engine, the command line and the page share these functions.
"""

from shared.domain.json import JsonObject
from shared.domain.records import StepRecord
from shared.domain.states import StepState

APPROVAL = "approval"
"""The word under `kind:`."""

SEPARATION = "separationOfDuties"
"""The field that keeps the requester of a deployment from approving it."""

ON_TIMEOUT = "default"
"""The approver, if the timeout is over and the manifest says `default: approve`."""


def waits_for_person(step: StepRecord) -> bool:
    """Return True if an approval has started and is neither approved nor refused."""
    return step.kind == APPROVAL and step.state is StepState.PENDING and step.started_at is not None


def question(spec: JsonObject) -> JsonObject:
    """Return the question, its approvers, and whether the requester may be one."""
    return {name: spec[name] for name in ("message", "approvers", SEPARATION) if name in spec}


def approved(requested_by: str, reason: str) -> JsonObject:
    """Return the outputs of an approval."""
    return {"approvedBy": requested_by, "reason": reason}
