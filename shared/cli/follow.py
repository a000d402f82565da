"""Follow a deployment to its end, and the exit codes that a pipeline sees."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.domain.errors import NotFoundError, StorageAuthError, StorageUnavailableError
from shared.domain.forgotten import ForgottenError
from shared.domain.ports import JournalReads
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState

SUCCEEDED = 0
ROLLED_BACK = 1
BAD_REQUEST = 2
NOT_ROLLED_BACK = 3
NOT_AUTHORISED = 4
UNAVAILABLE = 5
CANCELLED = 8
TIMED_OUT = 9

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
"""How long an id may be unknown: its message may still be in the queue."""
QUIET_SECONDS = 2.0
"""How long an id may be unknown before a message says so."""
OUTAGE_SECONDS = 600.0
"""How long storage may fail after it has responded once: the deployment waits for it too."""


def _never(header: DeploymentRecord) -> bool:
    return False


@dataclass(frozen=True)
class FollowOptions:
    """The final state to wait for, and the limits of waiting.

    `resume_command` is the command line that continues following. `goal` is the final state that was asked for; its
    exit code is SUCCEEDED. `is_passing` returns True for a final state that the deployment is about to leave, because a
    command was just sent. After a command was sent (`is_sent`) the exit code is never BAD_REQUEST, which promises that
    nothing was done. With `expected_hash`, a deployment of the same id with another manifest is a conflict.
    """

    timeout_seconds: float | None
    resume_command: str
    expected_hash: str | None = None
    is_sent: bool = False
    unknown_seconds: float = UNKNOWN_SECONDS
    is_passing: Callable[[DeploymentRecord], bool] = _never
    goal: DeploymentState = DeploymentState.SUCCEEDED


def follow(
    journal: JournalReads,
    deployment_id: str,
    output: Output,
    options: FollowOptions,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Follow a deployment until it ends, is stuck or held, or the timeout is over. Return the exit code.

    Raises StorageUnavailableError if storage does not respond to the first read, or fails for OUTAGE_SECONDS.
    """
    follower = _Follower(journal, deployment_id, output, options)
    while (code := follower.look()) is None:
        sleep(POLL_SECONDS)
    return code


class _Follower:
    """The state between two looks at one deployment."""

    def __init__(self, journal: JournalReads, deployment_id: str, output: Output, options: FollowOptions) -> None:
        self._journal, self._id, self._output, self._options = journal, deployment_id, output, options
        self._began = time.monotonic()
        self._responded_at: float | None = None
        self._is_outage_reported = self._is_unknown_reported = False
        self._header: DeploymentRecord | None = None
        self._steps: list[StepRecord] = []

    def look(self) -> int | None:
        """Read the deployment once and print what changed. Return the exit code, or None if following continues."""
        elapsed = time.monotonic() - self._began
        self._read()
        code = self._unknown(elapsed) if self._header is None else self._found(self._header)
        timeout = self._options.timeout_seconds
        return self._timed_out(timeout) if code is None and timeout is not None and elapsed > timeout else code

    def _read(self) -> None:
        """Read header and steps; during an outage of storage, keep those of the last read."""
        try:
            self._header, self._steps = _look(self._journal, self._id)
            self._responded_at, self._is_outage_reported = time.monotonic(), False
        except StorageUnavailableError as error:
            is_refused = isinstance(error, StorageAuthError)
            if is_refused or self._responded_at is None or time.monotonic() - self._responded_at > OUTAGE_SECONDS:
                raise
            if not self._is_outage_reported:
                self._output.event("waiting", f"storage does not respond, still trying: {error}", message=str(error))
            self._is_outage_reported = True

    def _unknown(self, elapsed: float) -> int | None:
        timeout, limit = self._options.timeout_seconds, self._options.unknown_seconds
        limit = limit if timeout is None else min(limit, timeout)
        if elapsed > limit:
            text = (
                f"there is no deployment '{self._id}', or the app does not read the queue: check the id with `list`, "
                "and the app with `health`"
            )
            self._output.close()
            self._output.event("error", f"error: {text}", deployment_id=self._id, error="not_found", message=text)
            return TIMED_OUT if self._options.is_sent or self._options.expected_hash is not None else BAD_REQUEST
        if elapsed > QUIET_SECONDS and not self._is_unknown_reported:
            text = f"no deployment '{self._id}' yet; its message may still be in the queue: waiting for {limit:g} s"
            self._output.event("waiting", text, deployment_id=self._id, message=text)
            self._is_unknown_reported = True
        return None

    def _found(self, header: DeploymentRecord) -> int | None:
        options = self._options
        if options.expected_hash is not None and header.manifest_hash != options.expected_hash:
            return conflict(header, self._output)
        if header.forgotten_at is not None:
            return forgotten(header, self._output, options.goal)
        if header.state in _FOLLOW_UNTIL and not header.may_compensate and not options.is_passing(header):
            code = exit_code(header.state, options.goal)
            self._output.ended(header, self._steps, code)
            return code
        self._output.progress(header, self._steps)
        return None

    def _timed_out(self, timeout_seconds: float) -> int:
        text = f"the deployment continues after {timeout_seconds:g} s; follow it with: {self._options.resume_command}"
        self._output.close()
        if self._header is not None:
            self._output.left(self._header, self._steps)
        self._output.event("timeout", text, deployment_id=self._id, message=text)
        return TIMED_OUT


def exit_code(state: DeploymentState, goal: DeploymentState) -> int:
    """Return the exit code of a final state.

    Every final state other than the goal is a failure, even `succeeded`: the deployment succeeded before the command to
    roll it back arrived, so all its resources remain.
    """
    if state is goal:
        return SUCCEEDED
    return NOT_ROLLED_BACK if state is DeploymentState.SUCCEEDED else EXIT_CODES[state]


def forgotten(header: DeploymentRecord, output: Output, goal: DeploymentState = DeploymentState.SUCCEEDED) -> int:
    """Report a deployment past its retention from what remains of its header. Return the exit code of its end."""
    output.close()
    text = str(ForgottenError(header))
    output.event("forgotten", text, message=text, deployment_id=header.deployment_id, state=header.state.value)
    return exit_code(header.state, goal)


def conflict(header: DeploymentRecord, output: Output) -> int:
    """Report that the id belongs to another manifest. Return the exit code."""
    text = (
        f"the id '{header.deployment_id}' already belongs to another manifest "
        f"({clean(header.name)}, {header.state.value}): nothing was started; "
        "choose another id, or submit the same manifest"
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
