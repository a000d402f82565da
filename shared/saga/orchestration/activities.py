"""The activities: every read and write of the journal, the lock and the queue that the orchestrator needs.

Each is safe to repeat, because durable engines run activities at least once. Each returns a view, which says what the
orchestrator does next (views.py).
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from shared.domain.actors import ENGINE
from shared.domain.approval import waits_for_person
from shared.domain.errors import ConflictError, SagaError
from shared.domain.messages import Direction, StepMessage
from shared.domain.ports import Change, Locks, Versioned
from shared.domain.records import DeploymentRecord, RecordedError, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, FORWARD_SETTLED, DeploymentState, Origin, StepState
from shared.saga import deployed
from shared.saga.command import release
from shared.saga.command.resume import make_steps_ready
from shared.saga.orchestration import cleanup, target, watchdog
from shared.saga.orchestration.ends import (
    changed_nothing,
    deployment_error,
    end_fields,
    final_state,
    is_owned_by_script,
    with_deletion,
)
from shared.saga.orchestration.header import write
from shared.saga.orchestration.progress import Progress, from_journal, in_flight
from shared.saga.orchestration.views import Ended, Hold, Run, View, Wait
from shared.saga.step.delivery import Services

log = logging.getLogger(__name__)

_RACES = 10
"""Conditional writes of the header that may be lost in a row before the activity fails and is run again."""
_SHORT_WAIT_SECONDS = 1.0


def begin(services: Services, locks: Locks, deployment_id: str, *, by_script: bool = False) -> View:
    """Acquire the target lock and move the deployment to a state in which its steps can run, whatever state a crash
    left.

    The deployment of a script goes forward by its script alone (`by_script`: the script is the caller).
    """
    for _ in range(_RACES):
        header = services.journal.header(deployment_id)
        record = header.record
        if record.state in DEPLOYMENT_ENDED:
            locks.release(record.target, deployment_id)
            return Ended(record.state)
        if record.state is DeploymentState.HELD:
            target.keep(services, locks, record)
            return Hold()
        if is_owned_by_script(record) and not by_script:
            return Hold()
        try:
            if record.is_being_released:
                return release.settle(services, locks, header)
            waits = record.state is DeploymentState.ACCEPTED
            obstacle = target.take(services, locks, header) if waits else target.keep(services, locks, record)
            if isinstance(obstacle, Wait) and not by_script:  # the sweeper sees that the orchestration lives
                write(services, header, "", {"heartbeat_at": services.clock.now()})
            if obstacle is not None:
                return obstacle
            if record.state is DeploymentState.STUCK and not record.may_compensate:
                write(services, header, "another try", {"retry_began_at": services.clock.now()})
            if record.resume_requested_by:
                make_steps_ready(services, deployment_id)
        except ConflictError:
            continue
        return _view(services, deployment_id, retry_failed=True)
    raise SagaError(f"the header of {deployment_id} is written too often at once")


def dispatch(services: Services, deployment_id: str, ordinals: Sequence[int], direction: Direction) -> float:
    """Send one message for each step, and return the time when that began, in seconds since 1970."""
    sent_at = services.clock.now().timestamp()
    services.queue.send_all([StepMessage(deployment_id, ordinal, direction) for ordinal in ordinals])
    return sent_at


def record_failure(services: Services, deployment_id: str) -> View:
    """Note in the header that a step failed, so that messages on the queue start no step. Return the fresh view."""
    for _ in range(_RACES):
        header = services.journal.header(deployment_id)
        if header.record.state is not DeploymentState.RUNNING or header.record.is_rolling_back:
            break
        failed = next(
            (
                s.record
                for s in services.journal.steps(deployment_id)
                if s.record.error is not None and s.record.state is StepState.FAILED
            ),
            None,
        )
        if failed is None:
            break
        error = deployment_error(failed)
        try:
            write(services, header, f"step {failed.step_id} failed", {"error": error})
            break
        except ConflictError:
            continue
    return _view(services, deployment_id)


def begin_compensation(services: Services, locks: Locks, deployment_id: str) -> View:
    """Move RUNNING to COMPENSATING (to HELD, or to FAILED if rollback is off), once nothing is in flight.

    The order matters. The header already says that the deployment is rolled back, so no delivery that reads it starts
    a step. Then every row that is still pending is skipped by a conditional write, which fails if a delivery that
    read the header earlier has written the row. Then those steps run that run always (cleanup.py). The header moves
    only when neither pending nor moving rows are left.
    """
    for _ in range(_RACES):
        header = services.journal.header(deployment_id)
        record = header.record
        if record.state is not DeploymentState.RUNNING:
            return _view(services, deployment_id)
        if not record.is_rolling_back:
            view = record_failure(services, deployment_id)
            if isinstance(view, Run) and not view.progress.rolling_back:
                return view  # asked twice, and resumed in between: no step stands failed any more
            continue
        try:
            if record.resume_requested_by:
                make_steps_ready(services, deployment_id)
                return _view(services, deployment_id)
            steps = services.journal.steps(deployment_id)
            always = cleanup.candidates(services, record, steps)
            _skip_pending(services, [s for s in steps if s.record.ordinal not in always])
            steps = services.journal.steps(deployment_id)
            if in_flight((s.record for s in steps), Direction.FORWARD):
                return _view(services, deployment_id)
            if always != cleanup.candidates(services, record, steps):
                continue  # what one of them refers to failed while it was in flight
            if always:
                cleanup.free(services, next(s for s in steps if s.record.ordinal == min(always)))
                return _view(services, deployment_id)
            if cleanup.holds(record, [s.record for s in steps]):
                _hold(services, header)
                return Hold()
            if not (services.policy.rollback or record.compensate_requested_by or record.origin is Origin.SCRIPT):
                _fail(services, locks, header)
                return Ended(DeploymentState.FAILED)
            write(services, header, _rollback_cause(record), {"state": DeploymentState.COMPENSATING})
            _compensate_unchanged(services, steps)
        except ConflictError:
            continue
        return _view(services, deployment_id)
    raise SagaError(f"the header of {deployment_id} is written too often at once")


def _rollback_cause(record: DeploymentRecord) -> str:
    if record.cancel_requested_by:
        return f"cancelled by {record.cancel_requested_by}"
    if record.compensate_requested_by:
        return f"{record.compensate_requested_by} asked"
    return "the script did not commit" if record.origin is Origin.SCRIPT else "a step failed"


def _hold(services: Services, header: Versioned[DeploymentRecord]) -> None:
    """Hold the deployment: nothing is rolled back and the target stays locked, until a person decides or its time is
    up."""
    keep = header.record.keep_for_seconds
    until = services.clock.now() + timedelta(seconds=keep) if keep else None
    reason = f"a step failed; held for a person{f' until {until:%Y-%m-%d %H:%M:%S} UTC' if until else ''}"
    write(services, header, reason, {"state": DeploymentState.HELD, "held_until": until})


def _fail(services: Services, locks: Locks, header: Versioned[DeploymentRecord]) -> None:
    """End the deployment as failed because rollback is off: nothing is rolled back, and the target is free."""
    record = header.record
    error = record.error or RecordedError(
        f"cancelled by {record.cancel_requested_by}", "What was applied stays. Resume the deployment, or roll it back."
    )
    ending = end_fields(services, record, DeploymentState.FAILED)
    reason = f"rollback is off, so nothing is rolled back: {_rollback_cause(record)}"
    rows = [row.record for row in services.journal.steps(record.deployment_id)]
    deployed.settle(services.deployed, record, rows, DeploymentState.FAILED)
    write(services, header, reason, {"state": DeploymentState.FAILED, "error": error, **ending})
    locks.release(record.target, record.deployment_id)


def _skip_pending(services: Services, steps: Sequence[Versioned[StepRecord]]) -> None:
    changes = [
        Change(s, s.record.replace(state=StepState.SKIPPED, claim=None, wait_until=None), ENGINE, "not begun")
        for s in steps
        if s.record.state is StepState.PENDING
    ]
    if changes:
        services.journal.write_steps(changes)


def _compensate_unchanged(services: Services, steps: Sequence[Versioned[StepRecord]]) -> None:
    """Compensate the steps that need no call, in one write. After a crash before it, each needs a delivery instead."""
    now = services.clock.now()
    changes = [
        Change(
            s,
            s.record.replace(state=StepState.COMPENSATED, compensation_finished_at=now),
            ENGINE,
            "nothing of this deployment's to compensate",
        )
        for s in steps
        if s.record.state in (StepState.SUCCEEDED, StepState.FAILED) and changed_nothing(s.record)
    ]
    if changes:
        services.journal.write_steps(changes)


def reconcile(services: Services, locks: Locks, deployment_id: str, progress: Progress) -> View:
    """Do the watchdog's work: a heartbeat, the lease renewed, and a new message for every step whose message is lost.

    A step counts as lost when its lease is over and the delivery it waits for is late. One that has not begun at
    all may simply stand in a long queue: it gets none while its message is in line or such a queue moves, and then in
    the rounds 1, 2, 4, 8 ...
    """
    header, only = _read(services, deployment_id, progress)
    record = header.record
    if only is not None and _suffices(services, record, only, progress):
        return _short_round(services, record, only, progress)
    if record.state in DEPLOYMENT_ENDED or record.state is DeploymentState.HELD:
        return _view(services, deployment_id)
    if _is_renewal_due(services, record):
        obstacle = target.keep(services, locks, record)
        if obstacle is not None:
            return obstacle
        try:
            record = write(services, header, "", {"heartbeat_at": services.clock.now()}).record
        except ConflictError:
            log.info("the header of %s moved during its heartbeat", deployment_id)
            record = services.journal.header(deployment_id).record
    steps = services.journal.steps(deployment_id)
    view = _view_of(services, record, steps)
    if not isinstance(view, Run):
        return view
    rows = {s.record.ordinal: s.record for s in steps}
    moves = _keep_sent(view.progress, progress, rows)
    return _watched(services, record, view, progress, rows, moves=moves)


def _is_renewal_due(services: Services, record: DeploymentRecord) -> bool:
    """Return True if this round sends a heartbeat and renews the lease of the target: both are as old as the last
    heartbeat."""
    renewed_at = record.heartbeat_at
    return renewed_at is None or services.clock.now() - renewed_at >= timedelta(seconds=services.policy.renewal_seconds)


def _read(
    services: Services, deployment_id: str, known: Progress
) -> tuple[Versioned[DeploymentRecord], StepRecord | None]:
    """Return the header, and the step if only one is in flight."""
    if len(known.sent) != 1:
        return services.journal.header(deployment_id), None
    header, row = services.journal.step(deployment_id, min(known.sent))
    return header, row.record


def _suffices(services: Services, record: DeploymentRecord, only: StepRecord, known: Progress) -> bool:
    """Return True if the round has nothing to renew, and nothing but the only step in flight can have moved since the
    last one: then the other rows need not be read. Every round that renews reads all rows."""
    if _is_renewal_due(services, record) or record.origin is Origin.SCRIPT or only.state in FORWARD_SETTLED:
        return False
    if record.is_rolling_back or record.resume_requested_by is not None or record.is_being_released:
        return False
    goes_forward = known.direction is Direction.FORWARD and not known.rolling_back
    return goes_forward and record.state is DeploymentState.RUNNING


def _short_round(services: Services, record: DeploymentRecord, only: StepRecord, known: Progress) -> Run:
    states = [only.state if i == only.ordinal else state for i, state in enumerate(known.states)]
    seconds = services.policy.watchdog_seconds
    view = Run(replace(known, states=states, unanswered={}), seconds, seconds)
    return _watched(services, record, view, known, {only.ordinal: only}, moves=False)


def _watched(
    services: Services, record: DeploymentRecord, view: Run, known: Progress, rows: watchdog.Rows, *, moves: bool
) -> Run:
    """Send the messages that are lost again, count the rounds of the others, and return the view with the next
    round."""
    fresh, now = view.progress, services.clock.now()
    fresh.sent_at = {i: at for i, at in known.sent_at.items() if i in fresh.sent}
    due = watchdog.due_since(rows, fresh, now)
    head = services.queue.oldest_due() if due else None
    waiting = watchdog.in_line(due, now, head, services.policy)
    for i in fresh.sent:
        if not watchdog.has_begun(rows[i]):
            fresh.unanswered[i] = known.unanswered.get(i, 0) + (0 if moves or i in waiting else 1)
    is_off = fresh.direction is Direction.FORWARD and record.is_abort_requested
    lost = watchdog.lost(rows, fresh, now, is_abort_requested=is_off, moves=moves, waiting=waiting)
    if lost:
        sent_at = dispatch(services, record.deployment_id, lost, fresh.direction)
        fresh.sent_at |= dict.fromkeys(lost, sent_at)
        log.warning("deployment %s: %d step(s) delivered again", record.deployment_id, len(lost))
    following = watchdog.next_round(rows, fresh, now, services.policy, waiting, head)
    return replace(view, round_seconds=following)


def _keep_sent(fresh: Progress, known: Progress, rows: watchdog.Rows) -> bool:
    """Add to the journal's progress what the orchestrator knows beside it: whose message is out. Return True if the
    queue moves: then no round counts."""
    if fresh.direction is known.direction:
        waiting = {StepState.PENDING} if fresh.direction is Direction.FORWARD else watchdog.NOT_YET_COMPENSATED
        fresh.sent |= {
            i for i in known.sent if rows[i].state in waiting and not (fresh.rolling_back and waits_for_person(rows[i]))
        }
        for i, state in enumerate(known.states):  # a script may have added rows that nobody here knew of
            if rows[i].state is StepState.COMPENSATION_FAILED:  # failed in this try, or still to be tried in it
                fresh.states[i] = state
    return watchdog.queue_moves(rows, fresh, known)


def finish(services: Services, locks: Locks, deployment_id: str) -> View:
    """Write the final state that the journal proves, and release the target lock. Return a view if it has not ended."""
    for _ in range(_RACES):
        header = services.journal.header(deployment_id)
        record = header.record
        if record.state in DEPLOYMENT_ENDED:
            locks.release(record.target, deployment_id)
            return Ended(record.state)
        if record.state is DeploymentState.STUCK and not record.may_compensate:
            return _view(services, deployment_id)
        rows = [s.record for s in services.journal.steps(deployment_id)]
        end = final_state(record, rows)
        if end is None:
            return _view(services, deployment_id)
        state, reason = end
        deployed.settle(services.deployed, record, rows, state)
        try:
            fields = with_deletion(services, record, rows, end_fields(services, record, state), state)
            write(services, header, reason, {"state": state, **fields})
        except ConflictError:
            continue
        if state is not DeploymentState.STUCK:
            locks.release(record.target, deployment_id)
        return Ended(state)
    raise SagaError(f"the header of {deployment_id} is written too often at once")


def _view(services: Services, deployment_id: str, *, retry_failed: bool = False) -> View:
    """Return the orchestrator's view, fresh from the journal. With `retry_failed`, failed compensations are tried
    again."""
    record = services.journal.header(deployment_id).record
    return _view_of(services, record, retry_failed=retry_failed)


def _view_of(
    services: Services,
    record: DeploymentRecord,
    steps: Sequence[Versioned[StepRecord]] | None = None,
    *,
    retry_failed: bool = False,
) -> View:
    """Return the view of a header and the rows that were read after it; without them, they are read if needed."""
    is_left_stuck = record.state is DeploymentState.STUCK and not (record.may_compensate or record.is_released)
    if record.state in DEPLOYMENT_ENDED or is_left_stuck:
        return Ended(record.state)
    if record.state is DeploymentState.HELD:
        return Hold()
    if record.is_being_released:
        return Wait(_SHORT_WAIT_SECONDS, record.deployment_id)
    steps = services.journal.steps(record.deployment_id) if steps is None else steps
    direction = Direction.FORWARD if record.state is DeploymentState.RUNNING else Direction.BACKWARD
    progress = from_journal(steps, direction, record.is_rolling_back)
    if retry_failed:
        failed = StepState.COMPENSATION_FAILED
        progress.states = [StepState.FAILED if state is failed else state for state in progress.states]
    seconds = services.policy.watchdog_seconds
    return Run(progress, seconds, seconds)
