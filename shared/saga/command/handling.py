"""Carries out commands, whether they come from the queue, over HTTP or from the sweeper (verbs.py declares the verbs).

Each command is one conditional write of the header or of one step, with requester and reason in the audit, followed by
an event to the orchestration, which does the rest. So each command is safe to repeat, and after a crash that follows
the write the sweeper starts the orchestration again.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from shared.domain.access import decision_refusal
from shared.domain.approval import APPROVAL, SEPARATION, approved, waits_for_person
from shared.domain.errors import ConflictError, FabricError, NotFoundError, SagaError
from shared.domain.messages import COMMAND_EVENT, STEP_EVENT
from shared.domain.ports import Change, Lock, Locks, Orchestrations, Versioned
from shared.domain.records import AuditEntry, DeploymentChanges, DeploymentRecord, RecordedError, StepRecord
from shared.domain.row_limits import fitted
from shared.domain.states import DEPLOYMENT_ENDED, StepState
from shared.domain.states import DeploymentState as D
from shared.saga.command import release
from shared.saga.command.commands import Command
from shared.saga.command.verbs import VERBS, Verb, allowed_verbs, possible_verbs, reason_required
from shared.saga.orchestration.ends import deployment_error
from shared.saga.step.delivery import Services
from shared.saga.sweep.orphans import blocking_reason

log = logging.getLogger(__name__)

_RACES = 10


@dataclass(frozen=True)
class CommandResult:
    """Describe the outcome of a command: the state after it, whether it is accepted or was already in effect, and a
    message for the requester. With `is_forbidden`, this caller may not give it, whatever the state."""

    state: D
    accepted: bool
    message: str
    is_forbidden: bool = False


def handle(services: Services, locks: Locks, orchestrations: Orchestrations, request: Command) -> CommandResult:
    """Carry out a command, or return why it is not possible.

    Raises NotFoundError; StorageUnavailableError, after which the command may be repeated; SagaError if the header
    changed between read and write too often.
    """
    action = ACTIONS[request.verb]
    for _ in range(_RACES):
        header = services.journal.header(request.deployment_id)
        attempt = _Context(services, locks, orchestrations, request, header)
        try:
            answer = action.answer_unchanged(attempt) or _carry_out(attempt, action)
        except ConflictError:
            continue
        if not answer.accepted:
            attempt.note(f"not accepted: {answer.message}")
        log.info("deployment %s: %s: %s", request.deployment_id, request.why, answer.message)
        return answer
    raise SagaError(f"the header of {request.deployment_id} changes too often at present: repeat the command")


def give_up(services: Services, request: Command, reason: str) -> None:
    """Record that a command failed, if its deployment exists. Raises StorageUnavailableError."""
    with suppress(NotFoundError):
        state = services.journal.header(request.deployment_id).record.state.value
        now, why = services.clock.now(), f"{request.why}: not done: {reason}"
        entry = AuditEntry(now, "deployment", state, state, request.requested_by, why[:1000], 0)
        services.journal.note(request.deployment_id, entry)


@dataclass(frozen=True)
class _Context:
    """One attempt at a command, from the header as just read."""

    services: Services
    locks: Locks
    orchestrations: Orchestrations
    command: Command
    header: Versioned[DeploymentRecord]

    @property
    def record(self) -> DeploymentRecord:
        return self.header.record

    @property
    def who(self) -> str:
        return self.command.requested_by

    def write(self, changes: DeploymentChanges) -> None:
        after = fitted(self.record.replace(**changes))
        self.services.journal.write_header(Change(self.header, after, self.who, self.command.why))

    def note(self, outcome: str) -> None:
        """Record in the audit a command that changed no state: somebody requested it."""
        state = self.record.state.value
        reason = f"{self.command.why}: {outcome}"[:1000]
        now = self.services.clock.now()
        entry = AuditEntry(now, "deployment", state, state, self.who, reason, self.record.sequence)
        self.services.journal.note(self.command.deployment_id, entry)

    def wake(self) -> None:
        """Start the orchestration unless it runs, and make it read the journal now. Repeating this does no harm."""
        deployment_id = self.command.deployment_id
        self.orchestrations.start(deployment_id)
        self.orchestrations.raise_event(deployment_id, COMMAND_EVENT, {"command": self.command.verb.value})

    def accept(self, state: D, message: str) -> CommandResult:
        return CommandResult(state, True, message)

    def no_op(self, message: str) -> CommandResult:
        """Answer a repeated command. The first handler may have died before it woke the orchestration."""
        self.note(f"nothing to do: {message}")
        is_moving = self.record.may_compensate or self.record.is_being_released
        if is_moving or self.record.state not in DEPLOYMENT_ENDED | {D.STUCK}:
            self.wake()
        return CommandResult(self.record.state, True, message)

    def reject(self, reason: str = "") -> CommandResult:
        """Answer that the verb is not possible now, for `reason` or because of the deployment's state."""
        verb, state = self.command.verb.value, self.record.state
        reason = reason or f"the deployment is {state.value}"
        allowed = ", ".join(each.value for each in allowed_verbs(self.record)) or "no verb"
        return CommandResult(state, False, f"{verb} is not possible: {reason}; possible now: {allowed}")


type _Answer = CommandResult | None


@dataclass(frozen=True)
class _Action:
    """How a verb is carried out: `answer_unchanged` returns an answer if nothing must be written, else None; then
    `write` changes the deployment if its state allows the verb."""

    answer_unchanged: Callable[[_Context], _Answer]
    write: Callable[[_Context], CommandResult]


def _carry_out(context: _Context, action: _Action) -> CommandResult:
    verb = context.command.verb
    if not VERBS[verb].is_for_step and verb not in possible_verbs(context.record):
        return context.reject()
    if VERBS[verb].reason and not context.command.reason:
        return CommandResult(context.record.state, False, reason_required(verb))
    return action.write(context)


def _is_cancelled(context: _Context) -> _Answer:
    requester = context.record.cancel_requested_by
    return context.no_op(f"{requester} cancelled it already") if requester else None


def _cancel(context: _Context) -> CommandResult:
    record = context.record
    # A held deployment runs again in order to be rolled back: like in any other, steps in flight settle first.
    state = D.RUNNING if record.state is D.HELD else record.state
    context.write({"state": state, "cancel_requested_by": context.who, "held_until": None})
    context.wake()
    if context.services.policy.rollback or record.state is D.ACCEPTED:
        return context.accept(state, "it is being rolled back")
    return context.accept(state, "it stops; rollback is off, so nothing is compensated")


def _is_compensated(context: _Context) -> _Answer:
    record = context.record
    if record.is_being_released:
        return context.reject("it is being released; repeat the command when it has ended")
    if record.state is D.FAILED and record.is_released:
        return None
    if record.state is D.COMPENSATED:
        return context.no_op("it is rolled back")
    is_retry = record.state is D.STUCK and not record.may_compensate
    if not is_retry and (record.may_compensate or record.compensate_requested_by):
        return context.no_op("it is being rolled back already")
    return None


def _compensate(context: _Context) -> CommandResult:
    record = context.record
    if record.state is D.STUCK:
        # The retry counts as started, so a caller that follows the deployment waits for its end.
        context.write({"compensate_requested_by": context.who, "retry_began_at": context.services.clock.now()})
        context.wake()
        return context.accept(D.STUCK, "what could not be compensated is tried again now")
    if record.is_released:
        return _retry_released(context)
    return _reopen(context, "it is being rolled back", {"compensate_requested_by": context.who})


def _retry_released(context: _Context) -> CommandResult:
    """Continue the rollback of a released deployment. Its error was the release; now it is the steps' error again."""
    rows = [row.record for row in context.services.journal.steps(context.command.deployment_id)]
    errors = (deployment_error(row) for row in rows if row.outputs is None)
    requested_changes: DeploymentChanges = {
        "compensate_requested_by": context.who,
        "release_write": 0,
        "error": next(filter(None, errors), None),
    }
    return _reopen(context, "what was not compensated is tried again", {"state": D.COMPENSATING, **requested_changes})


def _is_resumed(context: _Context) -> _Answer:
    record = context.record
    if record.resume_requested_by or (record.state in (D.ACCEPTED, D.RUNNING) and not record.is_rolling_back):
        return context.no_op("it is running already")
    if record.state is D.FAILED and record.is_released:
        return context.reject("it was released, so it is rolled back in part")
    return None


def _resume(context: _Context) -> CommandResult:
    requested_changes: DeploymentChanges = {
        "resume_requested_by": context.who,
        "cancel_requested_by": None,
        "compensate_requested_by": None,
    }
    return _reopen(context, "it continues from its failed steps", requested_changes)


def _is_released(context: _Context) -> _Answer:
    if context.record.is_released and context.record.state in (D.STUCK, D.FAILED):
        return context.no_op("it is released already")
    return None


def _release(context: _Context) -> CommandResult:
    context.write(release.release_fields(context.record, context.who, context.command.reason))
    context.wake()
    return context.accept(D.STUCK, "it ends failed when its steps in flight have settled; then its target is free")


def _is_retired(context: _Context) -> _Answer:
    record = context.record
    if record.state is not D.SUCCEEDED and record.retire_requested_by:
        return context.no_op(f"{record.retire_requested_by} retired it already")
    return None


def _retire(context: _Context) -> CommandResult:
    record = context.record
    requester = record.retire_requested_by or context.who
    lock, obstacle = _target(context)
    if obstacle is not None:
        if record.retire_requested_by is None:
            context.write({"retire_requested_by": requester, "due_at": context.services.clock.now()})
        return context.accept(D.SUCCEEDED, f"noted; {obstacle}, and then the sweeper rolls it back")
    opened: DeploymentChanges = {"finished_at": None, "due_at": None, "lock_fence": lock.fence}
    context.write({"state": D.COMPENSATING, "retire_requested_by": requester, **opened})
    context.wake()
    return context.accept(D.COMPENSATING, "it is being rolled back")


def _reopen(context: _Context, message: str, requested_changes: DeploymentChanges) -> CommandResult:
    """Move the deployment to RUNNING, or to the state in `requested_changes`.

    A held deployment still holds its target; a failed one released it and must acquire it again.
    """
    changes: DeploymentChanges = {
        "finished_at": None,
        "due_at": None,
        "held_until": None,
        "state": D.RUNNING,
        **requested_changes,
    }
    if context.record.state is D.FAILED:
        lock, obstacle = _target(context)
        if obstacle is not None:
            return CommandResult(D.FAILED, False, f"{obstacle}; repeat the command then")
        changes |= {"started_at": context.services.clock.now(), "lock_fence": lock.fence}
    context.write(changes)
    context.wake()
    return context.accept(context.record.replace(**changes).state, message)


def _target(context: _Context) -> tuple[Lock, str | None]:
    """Acquire the target of an ended deployment. Return the lock, and what must happen before the deployment may have
    the target; None if it has it now."""
    record, services, lease = context.record, context.services, context.services.policy.target_lease_seconds

    def acquire() -> Lock:
        return context.locks.acquire(record.target, record.deployment_id, services.clock.now(), lease)

    lock = acquire()
    if lock.holder != record.deployment_id:
        return lock, _held_by(lock)
    try:
        obstacle = blocking_reason(services, record)
        if obstacle is None:
            lock = acquire()  # the looks at a slow Fabric may have outlasted the lease
            if lock.holder != record.deployment_id:
                return lock, _held_by(lock)
    except FabricError as error:
        obstacle = f"a later deployment may use its resources, which cannot be checked until Fabric answers ({error})"
    if obstacle is not None:
        context.locks.release(record.target, record.deployment_id)
    return lock, obstacle


def _held_by(lock: Lock) -> str:
    return f"its target is free when deployment {lock.holder} has ended"


def _decide(context: _Context) -> CommandResult:
    command, record = context.command, context.record
    wanted = StepState.SUCCEEDED if command.verb is Verb.APPROVE else StepState.FAILED
    done = "approved" if wanted is StepState.SUCCEEDED else "refused"
    rows = context.services.journal.steps(command.deployment_id)
    row = next((r for r in rows if r.record.step_id == command.step), None)
    if row is None or row.record.kind != APPROVAL:
        waiting = [r.record.step_id for r in rows if waits_for_person(r.record)]
        hint = f"; steps that wait: {', '.join(waiting[:10])}" if waiting else ""
        return CommandResult(record.state, False, f"the deployment has no approval '{command.step[:64]}'{hint}")
    step = row.record
    if refusal := _decision_refusal(context, step):
        return CommandResult(record.state, False, refusal, is_forbidden=True)
    if step.state is wanted:
        _raise_step_event(context, step)
        context.note(f"nothing to do: step {step.step_id} is {done} already")
        return CommandResult(record.state, True, f"step {step.step_id} is {done} already")
    if command.verb not in allowed_verbs(record, [step]):
        message = f"step {step.step_id} does not wait for a person: it is {step.state.value}, its deployment "
        return CommandResult(record.state, False, message + record.state.value)
    reason = f"{done} by {context.who}" + (f": {command.reason}" if command.reason else "")
    after = step.replace(state=wanted, finished_at=context.services.clock.now(), claim=None, wait_until=None)
    if wanted is StepState.SUCCEEDED:
        after = after.replace(outputs=approved(context.who, command.reason), error=None)
    else:
        after = after.replace(error=RecordedError(reason, "Resolve it with the refuser, then submit again or resume."))
    context.services.journal.write_step(Change(row, fitted(after), context.who, reason))
    _raise_step_event(context, after)
    return CommandResult(record.state, True, f"step {step.step_id} is {done}")


def _decision_refusal(context: _Context, step: StepRecord) -> str:
    """Return why the caller may not decide a step, where sign-in is configured. To refuse needs no second person."""
    if not context.services.policy.access.signs_in:
        return ""
    spec = context.services.payloads.load(step.spec)
    is_separate = bool(spec.get(SEPARATION)) and context.command.verb is Verb.APPROVE
    requester = context.record.requester_id if is_separate else None
    return decision_refusal(context.command.caller, spec.get("approvers") or [], separate_from=requester)


def _raise_step_event(context: _Context, step: StepRecord) -> None:
    payload = {"ordinal": step.ordinal, "state": step.state.value}
    context.orchestrations.raise_event(step.deployment_id, STEP_EVENT, payload)


def _never(context: _Context) -> None:
    """Leave the answer to `_decide`, which reads the step first."""


ACTIONS: Mapping[Verb, _Action] = {
    Verb.CANCEL: _Action(_is_cancelled, _cancel),
    Verb.COMPENSATE: _Action(_is_compensated, _compensate),
    Verb.RESUME: _Action(_is_resumed, _resume),
    Verb.RETIRE: _Action(_is_retired, _retire),
    Verb.RELEASE: _Action(_is_released, _release),
    Verb.APPROVE: _Action(_never, _decide),
    Verb.REFUSE: _Action(_never, _decide),
}
"""A test compares its verbs with those of VERBS."""
