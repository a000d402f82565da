"""The step kind that a person decides: its name, and how its row tells that it waits.

A row that waits is still `pending` (nothing is done at Fabric, so nothing can be in flight) and has its start
written. What it answers with once decided is here too, so that the engine, the command line and the page agree.
"""

from shared.domain.json import JsonObject
from shared.domain.records import StepRecord
from shared.domain.states import StepState

APPROVAL = "approval"
"""The word under `kind:`."""

ON_TIMEOUT = "default"
"""Who approved where the time was over and the manifest says `default: approve`."""


def waits_for_person(step: StepRecord) -> bool:
    """Whether it was begun and is neither approved nor refused."""
    return step.kind == APPROVAL and step.state is StepState.PENDING and step.started_at is not None


def question(spec: JsonObject) -> JsonObject:
    """What is asked, and of whom."""
    return {name: spec[name] for name in ("message", "approvers") if name in spec}


def approved(requested_by: str, reason: str) -> JsonObject:
    """The outputs of an approval."""
    return {"approvedBy": requested_by, "reason": reason}
