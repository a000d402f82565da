"""Following a deployment to its end, and what the end is to a pipeline: the exit code."""

import time
from collections.abc import Callable

from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.domain.errors import ForgottenError, NotFoundError, StorageAuthError, StorageUnavailableError
from shared.domain.ports import JournalReads
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState

SUCCEEDED, ROLLED_BACK, BAD_REQUEST, NOT_ROLLED_BACK, NOT_AUTHORISED, UNAVAILABLE, CANCELLED, TIMED_OUT = (
    0,
    1,
    2,
    3,
    4,
    5,
    8,
    9,
)

EXIT_CODES: dict[DeploymentState, int] = {
    DeploymentState.SUCCEEDED: SUCCEEDED,
    DeploymentState.COMPENSATED: ROLLED_BACK,
    DeploymentState.REJECTED: BAD_REQUEST,
    DeploymentState.STUCK: NOT_ROLLED_BACK,
    DeploymentState.HELD: NOT_ROLLED_BACK,
    DeploymentState.FAILED: NOT_ROLLED_BACK,
    DeploymentState.CANCELLED: CANCELLED,
}
_FOLLOW_UNTIL = DEPLOYMENT_ENDED | {DeploymentState.STUCK, DeploymentState.HELD}
POLL_SECONDS = 0.5
UNKNOWN_SECONDS = 60.0
"""How long an id may be unknown: its message may still stand in the queue."""
QUIET_SECONDS = 2.0
"""How long an id may be unknown before that is said."""
OUTAGE_SECONDS = 600.0
"""How long storage that answered before may be away: the deployment waits for it, too."""


def follow(
    journal: JournalReads,
    deployment_id: str,
    output: Output,
    *,
    timeout_seconds: float | None,
    resume_command: str,
    expected_hash: str | None = None,
    is_sent: bool = False,
    unknown_seconds: float = UNKNOWN_SECONDS,
    is_passing: Callable[[DeploymentRecord], bool] = lambda header: False,
    goal: DeploymentState = DeploymentState.SUCCEEDED,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Follow until it ends, is stuck or held, or `timeout_seconds` are over; the exit code. `resume_command` is the
    command that takes it up again.

    `is_passing` says of an end that it is none: a command to leave it was just sent. `goal` is the end that was asked
    for, whose exit code is SUCCEEDED.
    `is_sent` is True after a command was sent: BAD_REQUEST, which says that nothing was done, is then not returned.
    With `expected_hash`, a deployment of that id with another manifest is a conflict: BAD_REQUEST at once.
    Raises StorageUnavailableError where storage does not answer the first time, or is away for OUTAGE_SECONDS.
    """
    began = time.monotonic()
    answered, is_told, is_missed = None, False, False
    header, steps = None, list[StepRecord]()
    while True:
        waited = time.monotonic() - began
        try:
            header, steps = _look(journal, deployment_id)
            answered, is_told = time.monotonic(), False
        except StorageUnavailableError as error:
            refused = isinstance(error, StorageAuthError)
            if refused or answered is None or time.monotonic() - answered > OUTAGE_SECONDS:
                raise
            if not is_told:
                output.event("waiting", f"storage does not answer, still trying: {error}", message=str(error))
            is_told = True
        if header is None:
            maximum = unknown_seconds if timeout_seconds is None else min(unknown_seconds, timeout_seconds)
            if waited > maximum:
                text = f"there is no deployment '{deployment_id}', or nothing takes messages from the queue"
                output.close()
                output.event("error", f"error: {text}", deployment_id=deployment_id, error="not_found", message=text)
                return TIMED_OUT if is_sent or expected_hash is not None else BAD_REQUEST
            if waited > QUIET_SECONDS and not is_missed:
                text = (
                    f"no deployment '{deployment_id}' yet; it may still stand in the queue: waiting for {maximum:g} s"
                )
                output.event("waiting", text, deployment_id=deployment_id, message=text)
                is_missed = True
        elif expected_hash is not None and header.manifest_hash != expected_hash:
            return conflict(header, output)
        elif header.forgotten_at is not None:
            return forgotten(header, output, goal)
        else:
            if header.state in _FOLLOW_UNTIL and not header.may_compensate and not is_passing(header):
                # The deployment succeeded before a command to roll it back arrived: everything stands.
                code = SUCCEEDED if header.state is goal else EXIT_CODES[header.state] or NOT_ROLLED_BACK
                output.ended(header, steps, code)
                return code
            output.progress(header, steps)
        if timeout_seconds is not None and waited > timeout_seconds:
            text = f"still going on after {timeout_seconds:g} s; go on with: {resume_command}"
            output.close()
            if header is not None:
                output.left(header, steps)
            output.event("timeout", text, deployment_id=deployment_id, message=text)
            return TIMED_OUT
        sleep(POLL_SECONDS)


def forgotten(header: DeploymentRecord, output: Output, goal: DeploymentState = DeploymentState.SUCCEEDED) -> int:
    """Say that a deployment is past its retention, by what stays of its header; the exit code is that of its end."""
    output.close()
    text = str(ForgottenError(header))
    message = {"deployment_id": header.deployment_id, "state": header.state.value}
    output.event("forgotten", text, message=text, **message)
    return SUCCEEDED if header.state is goal else EXIT_CODES[header.state] or NOT_ROLLED_BACK


def conflict(header: DeploymentRecord, output: Output) -> int:
    """An id was sent that is another manifest's: say so; the exit code."""
    text = (
        f"the id '{header.deployment_id}' belongs to another manifest already "
        f"({clean(header.name)}, {header.state.value}): nothing was started; "
        "choose another id, or submit that same manifest"
    )
    output.close()
    output.event("error", f"error: {text}", deployment_id=header.deployment_id, error="conflict", message=text)
    return BAD_REQUEST


def _look(journal: JournalReads, deployment_id: str) -> tuple[DeploymentRecord | None, list[StepRecord]]:
    try:
        header = journal.header(deployment_id).record
    except ForgottenError as error:
        return error.record, []
    except NotFoundError:
        return None, []
    return header, [s.record for s in journal.steps(deployment_id)]
