"""One attempt at a command: the header as it was just read, what may be done with it, and the answer."""

from dataclasses import dataclass

from shared.domain.messages import COMMAND_EVENT
from shared.domain.ports import Change, Locks, Orchestrations, Versioned
from shared.domain.records import AuditEntry, DeploymentChanges, DeploymentRecord
from shared.domain.row_limits import fitted
from shared.domain.states import DEPLOYMENT_ENDED
from shared.domain.states import DeploymentState as D
from shared.saga.command.commands import Command
from shared.saga.command.verbs import allowed_verbs
from shared.saga.step.delivery import Services


@dataclass(frozen=True)
class CommandResult:
    """Describe the outcome of a command: the state after it, whether it is accepted or was already in effect, and a
    message for the requester. With `is_forbidden`, this caller may not give it, whatever the state."""

    state: D
    accepted: bool
    message: str
    is_forbidden: bool = False


@dataclass(frozen=True)
class Attempt:
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
