"""Decide a step that waits for a person: approve or refuse it."""

from shared.domain.access import decision_refusal
from shared.domain.approval import APPROVAL, SEPARATION, approved, waits_for_person
from shared.domain.messages import STEP_EVENT
from shared.domain.ports import Change
from shared.domain.records import RecordedError, StepRecord
from shared.domain.row_limits import fitted
from shared.domain.states import StepState
from shared.saga.command.attempt import Attempt, CommandResult
from shared.saga.command.verbs import Verb, allowed_verbs


def decide(attempt: Attempt) -> CommandResult:
    """Write the decision to the step and tell the orchestration; or return why the caller may not decide, or the step
    does not wait. Raises ConflictError if the step changed since it was read."""
    command, record = attempt.command, attempt.record
    wanted = StepState.SUCCEEDED if command.verb is Verb.APPROVE else StepState.FAILED
    done = "approved" if wanted is StepState.SUCCEEDED else "refused"
    rows = attempt.services.journal.steps(command.deployment_id)
    row = next((r for r in rows if r.record.step_id == command.step), None)
    if row is None or row.record.kind != APPROVAL:
        waiting = [r.record.step_id for r in rows if waits_for_person(r.record)]
        hint = f"; steps that wait: {', '.join(waiting[:10])}" if waiting else ""
        return CommandResult(record.state, False, f"the deployment has no approval '{command.step[:64]}'{hint}")
    step = row.record
    if refusal := _decision_refusal(attempt, step):
        return CommandResult(record.state, False, refusal, is_forbidden=True)
    if step.state is wanted:
        _raise_step_event(attempt, step)
        attempt.note(f"nothing to do: step {step.step_id} is {done} already")
        return CommandResult(record.state, True, f"step {step.step_id} is {done} already")
    if command.verb not in allowed_verbs(record, [step]):
        message = f"step {step.step_id} does not wait for a person: it is {step.state.value}, its deployment "
        return CommandResult(record.state, False, message + record.state.value)
    reason = f"{done} by {attempt.who}" + (f": {command.reason}" if command.reason else "")
    after = step.replace(state=wanted, finished_at=attempt.services.clock.now(), claim=None, wait_until=None)
    if wanted is StepState.SUCCEEDED:
        after = after.replace(outputs=approved(attempt.who, command.reason), error=None)
    else:
        after = after.replace(error=RecordedError(reason, "Resolve it with the refuser, then submit again or resume."))
    attempt.services.journal.write_step(Change(row, fitted(after), attempt.who, reason))
    _raise_step_event(attempt, after)
    return CommandResult(record.state, True, f"step {step.step_id} is {done}")


def _decision_refusal(attempt: Attempt, step: StepRecord) -> str:
    """Return why the caller may not decide a step, where sign-in is configured. To refuse needs no second person."""
    if not attempt.services.policy.access.signs_in:
        return ""
    spec = attempt.services.payloads.load(step.spec)
    is_separate = bool(spec.get(SEPARATION)) and attempt.command.verb is Verb.APPROVE
    requester = attempt.record.requester_id if is_separate else None
    return decision_refusal(attempt.command.caller, spec.get("approvers") or [], separate_from=requester)


def _raise_step_event(attempt: Attempt, step: StepRecord) -> None:
    payload = {"ordinal": step.ordinal, "state": step.state.value}
    attempt.orchestrations.raise_event(step.deployment_id, STEP_EVENT, payload)
