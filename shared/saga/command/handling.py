"""Carries out commands, whether they come from the queue, over HTTP or from the sweeper (verbs.py declares the verbs).

Each command is one conditional write of the header or of one step, with requester and reason in the audit, followed by
an event to the orchestration, which does the rest. So each command is safe to repeat, and after a crash that follows
the write the sweeper starts the orchestration again.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from shared.domain.errors import ConflictError, FabricError, NotFoundError, SagaError
from shared.domain.ports import Lock, Locks, Orchestrations
from shared.domain.records import AuditEntry, DeploymentChanges
from shared.domain.states import DeploymentState as D
from shared.saga.command import release
from shared.saga.command.attempt import Attempt, CommandResult
from shared.saga.command.commands import Command
from shared.saga.command.deciding import decide
from shared.saga.command.verbs import VERBS, Verb, possible_verbs, reason_required
from shared.saga.orchestration.ends import deployment_error
from shared.saga.step.delivery import Services
from shared.saga.sweep.orphans import blocking_reason

log = logging.getLogger(__name__)

_RACES = 10


def handle(services: Services, locks: Locks, orchestrations: Orchestrations, request: Command) -> CommandResult:
    """Carry out a command, or return why it is not possible.

    Raises NotFoundError; StorageUnavailableError, after which the command may be repeated; SagaError if the header
    changed between read and write too often.
    """
    action = ACTIONS[request.verb]
    for _ in range(_RACES):
        header = services.journal.header(request.deployment_id)
        attempt = Attempt(services, locks, orchestrations, request, header)
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


type _Answer = CommandResult | None


@dataclass(frozen=True)
class _Action:
    """How a verb is carried out: `answer_unchanged` returns an answer if nothing must be written, else None; then
    `write` changes the deployment if its state allows the verb."""

    answer_unchanged: Callable[[Attempt], _Answer]
    write: Callable[[Attempt], CommandResult]


def _carry_out(attempt: Attempt, action: _Action) -> CommandResult:
    verb = attempt.command.verb
    if not VERBS[verb].is_for_step and verb not in possible_verbs(attempt.record):
        return attempt.reject()
    if VERBS[verb].reason and not attempt.command.reason:
        return CommandResult(attempt.record.state, False, reason_required(verb))
    return action.write(attempt)


def _is_cancelled(attempt: Attempt) -> _Answer:
    requester = attempt.record.cancel_requested_by
    return attempt.no_op(f"{requester} cancelled it already") if requester else None


def _cancel(attempt: Attempt) -> CommandResult:
    record = attempt.record
    # A held deployment runs again in order to be rolled back: like in any other, steps in flight settle first.
    state = D.RUNNING if record.state is D.HELD else record.state
    attempt.write({"state": state, "cancel_requested_by": attempt.who, "held_until": None})
    attempt.wake()
    if attempt.services.policy.rollback or record.state is D.ACCEPTED:
        return attempt.accept(state, "it is being rolled back")
    return attempt.accept(state, "it stops; rollback is off, so nothing is compensated")


def _is_compensated(attempt: Attempt) -> _Answer:
    record = attempt.record
    if record.is_being_released:
        return attempt.reject("it is being released; repeat the command when it has ended")
    if record.state is D.FAILED and record.is_released:
        return None
    if record.state is D.COMPENSATED:
        return attempt.no_op("it is rolled back")
    is_retry = record.state is D.STUCK and not record.may_compensate
    if not is_retry and (record.may_compensate or record.compensate_requested_by):
        return attempt.no_op("it is being rolled back already")
    return None


def _compensate(attempt: Attempt) -> CommandResult:
    record = attempt.record
    if record.state is D.STUCK:
        # The retry counts as started, so a caller that follows the deployment waits for its end.
        attempt.write({"compensate_requested_by": attempt.who, "retry_began_at": attempt.services.clock.now()})
        attempt.wake()
        return attempt.accept(D.STUCK, "what could not be compensated is tried again now")
    if record.is_released:
        return _retry_released(attempt)
    return _reopen(attempt, "it is being rolled back", {"compensate_requested_by": attempt.who})


def _retry_released(attempt: Attempt) -> CommandResult:
    """Continue the rollback of a released deployment. Its error was the release; now it is the steps' error again."""
    rows = [row.record for row in attempt.services.journal.steps(attempt.command.deployment_id)]
    errors = map(deployment_error, rows)
    requested_changes: DeploymentChanges = {
        "compensate_requested_by": attempt.who,
        "release_write": 0,
        "error": next(filter(None, errors), None),
    }
    return _reopen(attempt, "what was not compensated is tried again", {"state": D.COMPENSATING, **requested_changes})


def _is_resumed(attempt: Attempt) -> _Answer:
    record = attempt.record
    if record.resume_requested_by or (record.state in (D.ACCEPTED, D.RUNNING) and not record.is_rolling_back):
        return attempt.no_op("it is running already")
    if record.state is D.FAILED and record.is_released:
        return attempt.reject("it was released, so it is rolled back in part")
    return None


def _resume(attempt: Attempt) -> CommandResult:
    requested_changes: DeploymentChanges = {
        "resume_requested_by": attempt.who,
        "cancel_requested_by": None,
        "compensate_requested_by": None,
    }
    return _reopen(attempt, "it continues from its failed steps", requested_changes)


def _is_released(attempt: Attempt) -> _Answer:
    if attempt.record.is_released and attempt.record.state in (D.STUCK, D.FAILED):
        return attempt.no_op("it is released already")
    return None


def _release(attempt: Attempt) -> CommandResult:
    attempt.write(release.release_fields(attempt.record, attempt.who, attempt.command.reason))
    attempt.wake()
    return attempt.accept(D.STUCK, "it ends failed when its steps in flight have settled; then its target is free")


def _is_retired(attempt: Attempt) -> _Answer:
    record = attempt.record
    if record.state is D.SUCCEEDED and record.deleted_since is not None:
        since = f"{record.deleted_since:%Y-%m-%d %H:%M:%S} UTC"
        return attempt.reject(f"what it had put into quarantine is deleted since {since}; redeploy an earlier release")
    if record.state is not D.SUCCEEDED and record.retire_requested_by:
        return attempt.no_op(f"{record.retire_requested_by} retired it already")
    return None


def _retire(attempt: Attempt) -> CommandResult:
    record = attempt.record
    requester = record.retire_requested_by or attempt.who
    lock, obstacle = _target(attempt)
    if obstacle is not None:
        if record.retire_requested_by is None:
            attempt.write({"retire_requested_by": requester, "due_at": attempt.services.clock.now()})
        return attempt.accept(D.SUCCEEDED, f"noted; {obstacle}, and then the sweeper rolls it back")
    opened: DeploymentChanges = {"finished_at": None, "due_at": None, "lock_fence": lock.fence}
    attempt.write({"state": D.COMPENSATING, "retire_requested_by": requester, **opened})
    attempt.wake()
    return attempt.accept(D.COMPENSATING, "it is being rolled back")


def _reopen(attempt: Attempt, message: str, requested_changes: DeploymentChanges) -> CommandResult:
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
    if attempt.record.state is D.FAILED:
        lock, obstacle = _target(attempt)
        if obstacle is not None:
            return CommandResult(D.FAILED, False, f"{obstacle}; repeat the command then")
        changes |= {"started_at": attempt.services.clock.now(), "lock_fence": lock.fence}
    attempt.write(changes)
    attempt.wake()
    return attempt.accept(attempt.record.replace(**changes).state, message)


def _target(attempt: Attempt) -> tuple[Lock, str | None]:
    """Acquire the target of an ended deployment. Return the lock, and what must happen before the deployment may have
    the target; None if it has it now."""
    record, services, lease = attempt.record, attempt.services, attempt.services.policy.target_lease_seconds

    def acquire() -> Lock:
        return attempt.locks.acquire(record.target, record.deployment_id, services.clock.now(), lease)

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
        attempt.locks.release(record.target, record.deployment_id)
    return lock, obstacle


def _held_by(lock: Lock) -> str:
    return f"its target is free when deployment {lock.holder} has ended"


def _never(attempt: Attempt) -> None:
    """Leave the answer to `decide`, which reads the step first."""


ACTIONS: Mapping[Verb, _Action] = {
    Verb.CANCEL: _Action(_is_cancelled, _cancel),
    Verb.COMPENSATE: _Action(_is_compensated, _compensate),
    Verb.RESUME: _Action(_is_resumed, _resume),
    Verb.RETIRE: _Action(_is_retired, _retire),
    Verb.RELEASE: _Action(_is_released, _release),
    Verb.APPROVE: _Action(_never, decide),
    Verb.REFUSE: _Action(_never, decide),
}
"""A test compares its verbs with those of VERBS."""
