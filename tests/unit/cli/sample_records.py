"""Headers and steps that the command line shows."""

from datetime import timedelta
from typing import Any

from shared.domain.records import DeploymentRecord, Intent, RecordedError, StepRecord
from shared.domain.states import DeploymentState, IntentAction, StepState
from tests.fakes import START

HOSTILE = "a\x1b[31mred\x1b]0;title\x07\r\nb\u202egnp\u2066\u200b\x00\x9b2J" + "x" * 5000
"""ANSI escapes, a title sequence, line ends, bidi and zero-width marks, NUL, an 8-bit CSI, and 5,000 characters."""
FORBIDDEN = ("\x1b", "\x07", "\r", "\x00", "\x9b", "\u202e", "\u2066", "\u200b")


def header(state: DeploymentState = DeploymentState.RUNNING, **changes: Any) -> DeploymentRecord:
    record = DeploymentRecord("d", "sales", "contoso", state, "hash", START, step_count=2)
    return record.replace(**changes)


def step(ordinal: int, state: StepState, **changes: Any) -> StepRecord:
    """Return a step that took a second."""
    record = StepRecord("d", ordinal, f"s{ordinal}", "workspace", {}, (), {}, 60.0, state=state)
    if state is not StepState.PENDING:
        record = record.replace(started_at=START, finished_at=START + timedelta(seconds=1 + ordinal))
    return record.replace(**changes)


def error(message: str = "Fabric said no") -> RecordedError:
    """Return an error as the journal records it."""
    return RecordedError(message, "Ask for a role.", "POST /workspaces", 403, "InsufficientPrivileges", "r-1")


def failed_steps() -> list[StepRecord]:
    """Return a compensated step, a failed one, one that could not be compensated, and an adopted one."""
    compensated = {"compensation_started_at": START, "compensation_finished_at": START + timedelta(seconds=3)}
    return [
        step(0, StepState.COMPENSATED, **compensated),
        step(1, StepState.FAILED, error=error()),
        step(2, StepState.COMPENSATION_FAILED, compensation_error=error("it is locked"), **compensated),
        step(3, StepState.SUCCEEDED, intent=Intent(IntentAction.ADOPT, "m")),
    ]
