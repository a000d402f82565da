"""What a person may ask of a deployment, whichever way it comes: by queue message, over HTTP, from the sweeper.

    cancel      accepted, running, held -> put back, ends `cancelled` (with rollback off: stopped, ends `failed`)
    compensate  held, failed -> put back, ends `compensated`; stuck -> another try now
    resume      held, failed -> goes on from the failed steps
    retire      succeeded -> put back as a whole, ends `compensated`
    release     stuck -> what could not be compensated is given up, ends `failed`; `compensate` may try again later
    approve     a step of kind approval that waits -> succeeded
    refuse      a step of kind approval that waits -> failed

Each is one conditional write of the header or of one step, with who and why in the audit, and a word to the
orchestration, which does the rest. So each is safe to repeat, and a crash after the write is mended by the sweeper.
"""

import difflib
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from shared.domain.approval import APPROVAL, approved, waits_for_person
from shared.domain.errors import ConflictError, FabricError, InvalidInputError, NotFoundError, Problem, SagaError
from shared.domain.fields import child, suggestion, type_name
from shared.domain.json import JsonObject
from shared.domain.manifest import DEPLOYMENT_ID
from shared.domain.messages import COMMAND_EVENT, STEP_EVENT
from shared.domain.ports import Change, Lock, Locks, Orchestrations, Versioned
from shared.domain.records import AuditEntry, DeploymentChanges, DeploymentRecord, RecordedError, StepRecord
from shared.domain.row_limits import REASON_CHARACTERS, fitted, fitting, person
from shared.domain.states import DEPLOYMENT_ENDED, StepState
from shared.domain.states import DeploymentState as D
from shared.saga.command import release
from shared.saga.command.verbs import Verb, allowed_verbs
from shared.saga.orchestration.ends import deployment_error
from shared.saga.step.delivery import Services
from shared.saga.step.execution import is_rolling_back
from shared.saga.submission.acceptance import opened
from shared.saga.sweep.orphans import blocking_reason

log = logging.getLogger(__name__)

_RACES = 10
_MAX_FIELDS = 10
"""In a message that may be a command whose fields are misspelt."""
_MAX_NAME, _MAX_REASON = 256, 500
_MAX_MESSAGE = 16_000
"""Bytes: names and a reason of the longest, each character beyond ASCII escaped, fit."""


@dataclass(frozen=True)
class Command:
    """Who asks for what, and why; `step` is the id of the step that approve and refuse are about.

    `requested_by` is what the caller says of itself: whoever may write to the queue, or has the function key, may ask.
    """

    verb: Verb
    deployment_id: str
    requested_by: str
    reason: str = ""
    step: str = ""

    @property
    def why(self) -> str:
        """For the audit."""
        what = f"{self.verb.value} requested by {self.requested_by}"
        return f"{what}: {self.reason}" if self.reason else what


@dataclass(frozen=True)
class CommandResult:
    """The state after the command, whether it is granted (or was already), and a sentence for who asked."""

    state: D
    accepted: bool
    message: str


def read(content: bytes) -> Command | None:
    """Return the command that a message holds, whatever bytes it is; None if it is a submission.

    Raises InvalidInputError for a message that is meant as a command and cannot be read as one.
    """
    data = opened(content)
    problem = misread(data)
    if problem is not None:
        raise InvalidInputError([problem])
    if data is None or "command" not in data:
        return None
    deployment_id = data.get("deployment_id")
    if not isinstance(deployment_id, str) or not DEPLOYMENT_ID.fullmatch(deployment_id):
        raise InvalidInputError(
            [Problem("$.deployment_id", "is required: the id of the deployment, as it was submitted")]
        )
    if len(content) > _MAX_MESSAGE:
        raise InvalidInputError([Problem("$", f"a command has at most {_MAX_MESSAGE} bytes, not {len(content)}")])
    verb = Verb(data["command"])
    return command(verb, deployment_id, data.get("requested_by"), data.get("reason"), data.get("step"))


def misread(data: JsonObject | None) -> Problem | None:
    """Return what is wrong with the field `command` of a message or a body; None if there is none, or nothing is."""
    found = next((name for name in data or {} if _is_command(name, data or {})), None)
    if found is None or data is None:
        return None
    if found != "command":
        return Problem(child("$", found), "is not a known field. Did you mean 'command'?")
    word = data[found]
    if isinstance(word, str) and word in set(Verb):
        return None
    near = suggestion(word.strip().lower(), list(Verb)) if isinstance(word, str) else ""
    text = f"'{word[:64]}'" if isinstance(word, str) else type_name(word)
    return Problem("$.command", f"{text} is not a command.{near} Known: {', '.join(Verb)}")


def _is_command(name: str, data: JsonObject) -> bool:
    """Whether a field is `command` in any spelling; a name that is only like it, in what has no manifest beside it."""
    plain = name[:64].strip().casefold()
    if plain == "command":
        return True
    has_manifest = any(each == "steps" or each.startswith("manifest") for each in data)
    if has_manifest or len(data) > _MAX_FIELDS:
        return False
    return len(difflib.get_close_matches(plain, ["command"], cutoff=0.8)) > 0


def command(
    verb: Verb, deployment_id: str, requested_by: object = "", reason: object = "", step: object = ""
) -> Command:
    """A command from whatever a caller sent in its fields: cut to what a row holds, and never without a who."""
    why = fitting(str(reason or "")[:_MAX_REASON], REASON_CHARACTERS)
    return Command(verb, deployment_id, person(str(requested_by or "somebody")), why, str(step or "")[:_MAX_NAME])


def handle(services: Services, locks: Locks, orchestrations: Orchestrations, request: Command) -> CommandResult:
    """Do what is asked, or say why not. Raises NotFoundError, and StorageUnavailableError: then repeat it."""
    act = _ACTS[request.verb]
    for _ in range(_RACES):
        header = services.journal.header(request.deployment_id)
        attempt = _Context(services, locks, orchestrations, request, header)
        try:
            answer = act(attempt)
        except ConflictError:
            continue
        if not answer.accepted:
            attempt.note(f"not granted: {answer.message}")
        log.info("deployment %s: %s: %s", request.deployment_id, request.why, answer.message)
        return answer
    raise SagaError(f"the header of {request.deployment_id} is written too often at once")


def give_up(services: Services, request: Command, reason: str) -> None:
    """Note that a command came to nothing, if there is such a deployment. Raises StorageUnavailableError."""
    with suppress(NotFoundError):
        state = services.journal.header(request.deployment_id).record.state.value
        now, why = services.clock.now(), f"{request.why}: not done: {reason}"
        entry = AuditEntry(now, "deployment", state, state, request.requested_by, why[:1000], 0)
        services.journal.note(request.deployment_id, entry)


@dataclass(frozen=True)
class _Context:
    """One try at one command, from the header as just read."""

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
        """What moved nothing is in the audit too: somebody wanted it."""
        state = self.record.state.value
        reason = f"{self.command.why}: {outcome}"[:1000]
        now = self.services.clock.now()
        entry = AuditEntry(now, "deployment", state, state, self.who, reason, self.record.sequence)
        self.services.journal.note(self.command.deployment_id, entry)

    def wake(self) -> None:
        """Whatever the orchestration is at: it runs, and looks at the journal now. Repeating it does no harm."""
        deployment_id = self.command.deployment_id
        self.orchestrations.start(deployment_id)
        self.orchestrations.raise_event(deployment_id, COMMAND_EVENT, {"command": self.command.verb.value})

    def accept(self, state: D, message: str) -> CommandResult:
        return CommandResult(state, True, message)

    def no_op(self, message: str) -> CommandResult:
        """Asked before. Who asked first may have died before it told the orchestration."""
        self.note(f"nothing to do: {message}")
        is_moving = self.record.may_compensate or self.record.is_being_released
        if is_moving or self.record.state not in DEPLOYMENT_ENDED | {D.STUCK}:
            self.wake()
        return CommandResult(self.record.state, True, message)

    def reject(self) -> CommandResult:
        state = self.record.state
        allowed = [verb.value for verb in allowed_verbs(self.record)]
        instead = f"; what may be asked now: {', '.join(allowed)}" if allowed else "; nothing may be asked of it now"
        message = f"{self.command.verb.value} is not possible: the deployment is {state.value}{instead}"
        return CommandResult(state, False, message)


def _cancel(context: _Context) -> CommandResult:
    record = context.record
    if record.cancel_requested_by:
        return context.no_op(f"{record.cancel_requested_by} cancelled it already")
    if record.state not in (D.ACCEPTED, D.RUNNING, D.HELD):
        return context.reject()
    # What is held runs again in order to turn back: what is in flight settles first, as in any other.
    state = D.RUNNING if record.state is D.HELD else record.state
    context.write({"state": state, "cancel_requested_by": context.who, "held_until": None})
    context.wake()
    if context.services.policy.rollback or record.state is D.ACCEPTED:
        return context.accept(state, "it is being put back")
    return context.accept(state, "it stops; rollback is off, so nothing is undone")


def _compensate(context: _Context) -> CommandResult:
    record = context.record
    if record.is_being_released:
        message = "compensate is not possible: it is released, and ends when nothing of it is under way: ask again then"
        return CommandResult(D.STUCK, False, message)
    if record.state is D.FAILED and record.is_released:
        return _try_again(context)
    if record.state is D.STUCK and not record.may_compensate:
        # The try counts as begun, so whoever follows it waits for its end.
        context.write({"compensate_requested_by": context.who, "retry_began_at": context.services.clock.now()})
        context.wake()
        return context.accept(D.STUCK, "what could not be put back is tried again now")
    if record.state is D.COMPENSATED:
        return context.no_op("it is put back")
    if record.may_compensate or record.compensate_requested_by:
        return context.no_op("it is being put back already")
    if record.state not in (D.HELD, D.FAILED):
        return context.reject()
    return _reopen(context, "it is being put back", {"compensate_requested_by": context.who})


def _resume(context: _Context) -> CommandResult:
    record = context.record
    if record.resume_requested_by or (record.state in (D.ACCEPTED, D.RUNNING) and not is_rolling_back(record)):
        return context.no_op("it goes on already")
    if record.state is D.FAILED and record.is_released:
        message = "resume is not possible: it is rolled back in part, and was released; what may be asked now: "
        return CommandResult(D.FAILED, False, message + Verb.COMPENSATE.value)
    if record.state not in (D.HELD, D.FAILED):
        return context.reject()
    requested_changes: DeploymentChanges = {
        "resume_requested_by": context.who,
        "cancel_requested_by": None,
        "compensate_requested_by": None,
    }
    return _reopen(context, "it goes on from where it failed", requested_changes)


def _try_again(context: _Context) -> CommandResult:
    """Roll a released deployment back further. Its error was the release; now it is again why it failed."""
    rows = [row.record for row in context.services.journal.steps(context.command.deployment_id)]
    errors = (deployment_error(row) for row in rows if row.outputs is None)
    requested_changes: DeploymentChanges = {
        "compensate_requested_by": context.who,
        "release_write": 0,
        "error": next(filter(None, errors), None),
    }
    return _reopen(context, "what was not put back is tried again", {"state": D.COMPENSATING, **requested_changes})


def _release(context: _Context) -> CommandResult:
    record = context.record
    if record.is_released and record.state in (D.STUCK, D.FAILED):
        return context.no_op("it is released already")
    if record.state is not D.STUCK:
        return context.reject()
    if not context.command.reason:
        return CommandResult(D.STUCK, False, "release needs a reason: say why what stands may stay as it is")
    context.write(release.release_fields(record, context.who, context.command.reason))
    context.wake()
    return context.accept(D.STUCK, "it ends as failed when nothing of it is under way, and its target is free then")


def _reopen(context: _Context, message: str, requested_changes: DeploymentChanges) -> CommandResult:
    """Running again. What is held has its target still; what has failed gave it back, and needs it anew."""
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
            return CommandResult(D.FAILED, False, f"{obstacle}: ask again then")
        changes |= {"started_at": context.services.clock.now(), "lock_fence": lock.fence}
    context.write(changes)
    context.wake()
    return context.accept(context.record.replace(**changes).state, message)


def _retire(context: _Context) -> CommandResult:
    record = context.record
    if record.state is not D.SUCCEEDED:
        if record.retire_requested_by:
            return context.no_op(f"{record.retire_requested_by} retired it already")
        return context.reject()
    requester = record.retire_requested_by or context.who
    lock, obstacle = _target(context)
    if obstacle is not None:
        if record.retire_requested_by is None:
            context.write({"retire_requested_by": requester, "due_at": context.services.clock.now()})
        return context.accept(D.SUCCEEDED, f"noted; {obstacle}, and then the sweeper puts it back")
    opened: DeploymentChanges = {"finished_at": None, "due_at": None, "lock_fence": lock.fence}
    context.write({"state": D.COMPENSATING, "retire_requested_by": requester, **opened})
    context.wake()
    return context.accept(D.COMPENSATING, "it is being put back as a whole")


def _target(context: _Context) -> tuple[Lock, str | None]:
    """Take the target of what has ended; with it, what has to end first, or None: then the target is its own."""
    record, services, lease = context.record, context.services, context.services.policy.target_lease_seconds

    def acquire() -> Lock:
        return context.locks.acquire(record.target, record.deployment_id, services.clock.now(), lease)

    lock = acquire()
    if lock.holder != record.deployment_id:
        return lock, _held_by(lock)
    try:
        obstacle = blocking_reason(services, record)
        if obstacle is None:
            lock = acquire()  # looks at a slow Fabric may have outlasted the lease
            if lock.holder != record.deployment_id:
                return lock, _held_by(lock)
    except FabricError as error:
        obstacle = f"whether a later deployment builds upon it can be seen when Fabric answers again ({error})"
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
        hint = f"; it waits for: {', '.join(waiting[:10])}" if waiting else ""
        return CommandResult(record.state, False, f"there is no approval '{command.step[:64]}' in it{hint}")
    step = row.record
    if step.state is wanted:
        _raise_step_event(context, step)
        context.note(f"nothing to do: step {step.step_id} is {done} already")
        return CommandResult(record.state, True, f"step {step.step_id} is {done} already")
    if record.state is not D.RUNNING or is_rolling_back(record) or not waits_for_person(step):
        message = f"step {step.step_id} does not wait for a person: it is {step.state.value}, its deployment "
        return CommandResult(record.state, False, message + record.state.value)
    reason = f"{done} by {context.who}" + (f": {command.reason}" if command.reason else "")
    after = step.replace(state=wanted, finished_at=context.services.clock.now(), claim=None, wait_until=None)
    if wanted is StepState.SUCCEEDED:
        after = after.replace(outputs=approved(context.who, command.reason), error=None)
    else:
        after = after.replace(error=RecordedError(reason, "Settle it with who refused, then submit again or resume."))
    context.services.journal.write_step(Change(row, fitted(after), context.who, reason))
    _raise_step_event(context, after)
    return CommandResult(record.state, True, f"step {step.step_id} is {done}")


def _raise_step_event(context: _Context, step: StepRecord) -> None:
    payload = {"ordinal": step.ordinal, "state": step.state.value}
    context.orchestrations.raise_event(step.deployment_id, STEP_EVENT, payload)


_ACTS: dict[Verb, Callable[[_Context], CommandResult]] = {
    Verb.CANCEL: _cancel,
    Verb.COMPENSATE: _compensate,
    Verb.RESUME: _resume,
    Verb.RETIRE: _retire,
    Verb.RELEASE: _release,
    Verb.APPROVE: _decide,
    Verb.REFUSE: _decide,
}
