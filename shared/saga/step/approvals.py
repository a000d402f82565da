"""The deliveries of an approval, which waits for a person's decision. No worker waits.

The decision comes as a command (commands.py), which settles the row at once. Deliveries only check the timeout: one
comes when it is over, and one at least every hour, so that the watchdog notices a lost message.
"""

from datetime import timedelta

from shared.domain.approval import ON_TIMEOUT, approved
from shared.domain.json import JsonObject
from shared.domain.records import RecordedError
from shared.domain.states import StepState
from shared.saga.step.delivery import Delivery
from shared.saga.step.outcome import Attempt, Reschedule, Settle

_MAX_WAIT_SECONDS = 3600.0


def wait(d: Delivery, spec: JsonObject) -> Attempt:
    """Handle one delivery of an approval whose references are resolved."""
    deadline = d.step.deadline_at
    if deadline is not None and d.now >= deadline:
        return _time_is_over(d, spec)
    if deadline is None:
        deadline = d.now + timedelta(seconds=d.step.timeout_seconds)
        d.stage(
            {"started_at": d.now, "deadline_at": deadline, "spec": d.services.payloads.store(spec), "refers_to": {}}
        )
    reason = "" if d.step.started_at else "waits for a person"
    remaining = (deadline - d.services.clock.now()).total_seconds()
    return Reschedule(min(max(1.0, remaining), _MAX_WAIT_SECONDS), reason)


def _time_is_over(d: Delivery, spec: JsonObject) -> Settle:
    message = f"nobody approved or refused it within {d.step.timeout_seconds:g} s"
    if spec.get("default") == "approve":
        reason = f"{message}; its default is to approve"
        return Settle(StepState.SUCCEEDED, reason, {"outputs": approved(ON_TIMEOUT, message), "error": None})
    error = RecordedError(message, "Ask one of its approvers, raise the step's timeout, and submit again or resume.")
    return Settle(StepState.FAILED, message, {"error": error})
