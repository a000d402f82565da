"""The activities: every read and write of the journal, the lock and the queue that the orchestrator needs.

Each is safe to repeat, because durable engines run activities at least once. Each returns a small JSON object, and its
field `next` names what the orchestrator does next: run, wait, hold, ended.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta

from shared.domain.actors import ENGINE, ORCHESTRATOR
from shared.domain.approval import waits_for_person
from shared.domain.errors import ConflictError, SagaError
from shared.domain.json import JsonObject
from shared.domain.messages import Direction, StepMessage
from shared.domain.ports import Change, Locks, Versioned
from shared.domain.records import DeploymentChanges, DeploymentRecord, RecordedError, StepRecord
from shared.domain.row_limits import fitted
from shared.domain.states import DEPLOYMENT_ENDED, Concurrency, DeploymentState, OnFailure, Origin, StepState
from shared.saga.command import release
from shared.saga.command.resume import make_steps_ready
from shared.saga.orchestration import watchdog
from shared.saga.orchestration.ends import (
    changed_nothing,
    deployment_error,
    end_fields,
    final_state,
    is_owned_by_script,
)
from shared.saga.orchestration.progress import Progress, from_journal, in_flight
from shared.saga.step.delivery import Services

log = logging.getLogger(__name__)

_RACES = 10
"""Conditional writes of the header that may be lost in a row before the activity fails and is run again."""
_SHORT_WAIT_SECONDS = 1.0


def begin(services: Services, locks: Locks, deployment_id: str, *, by_script: bool = False) -> JsonObject:
    """Acquire the target lock and move the deployment to a state in which its steps can run, whatever state a crash
    left.

    The deployment of a script goes forward by its script alone (`by_script`: the script is the caller).
    """
    for _ in range(_RACES):
        header = services.journal.header(deployment_id)
        record = header.record
        if record.state in DEPLOYMENT_ENDED:
            _release(locks, record)
            return {"next": "ended", "state": record.state.value}
        if record.state is DeploymentState.HELD:
            _keep_target(services, locks, record)
            return {"next": "hold"}
        if is_owned_by_script(record) and not by_script:
            return {"next": "hold"}
        try:
            if record.is_being_released:
                return release.settle(services, locks, header)
            if record.state is DeploymentState.ACCEPTED:
                waiting = _take_target(services, locks, header)
                if waiting is not None:
                    return waiting
            else:
                earlier = _keep_target(services, locks, record)
                if earlier is not None:
                    return {"next": "wait", "seconds": services.policy.target_retry_seconds, "holder": earlier}
                if record.state is DeploymentState.STUCK and not record.may_compensate:
                    _write(services, header, "another try", {"retry_began_at": services.clock.now()})
            if record.resume_requested_by:
                make_steps_ready(services, deployment_id)
        except ConflictError:
            continue
        return _view(services, deployment_id, retry_failed=True)
    raise SagaError(f"the header of {deployment_id} is written too often at once")


def _take_target(services: Services, locks: Locks, header: Versioned[DeploymentRecord]) -> JsonObject | None:
    """Move ACCEPTED to RUNNING if the target is free, and return None; else return what the orchestrator does next."""
    record, now = header.record, services.clock.now()
    earlier = None if record.cancel_requested_by else _earlier_open_deployment(services, record)
    goes_on_or_ends = earlier is None or record.concurrency is Concurrency.REJECT
    if goes_on_or_ends and len(services.journal.steps(record.deployment_id)) < record.step_count:
        return _await_rows(services, header)  # an end binds all its rows, so none may come after it
    if record.cancel_requested_by:
        return _cancelled(services, header)
    if earlier is None:
        lock = locks.acquire(record.target, record.deployment_id, now, services.policy.target_lease_seconds)
        if lock.holder == record.deployment_id:
            now = services.clock.now()  # asking for the target may have taken its time
            changes: DeploymentChanges = {"started_at": now, "heartbeat_at": now, "lock_fence": lock.fence}
            _write(services, header, "holds its target", {"state": DeploymentState.RUNNING, **changes})
            return None
        earlier = lock.holder
    if record.concurrency is Concurrency.REJECT:
        error = RecordedError(
            f"the target '{record.target}' is held by deployment {earlier}",
            "Wait until that one has ended, or set concurrency to queue.",
        )
        ending = end_fields(services, record, DeploymentState.REJECTED)
        _write(services, header, error.message, {"state": DeploymentState.REJECTED, "error": error, **ending})
        return {"next": "ended", "state": DeploymentState.REJECTED.value}
    return {"next": "wait", "seconds": services.policy.target_retry_seconds, "holder": earlier}


def _cancelled(services: Services, header: Versioned[DeploymentRecord]) -> JsonObject:
    ending = end_fields(services, header.record, DeploymentState.CANCELLED)
    _write(services, header, "cancelled before it began", {"state": DeploymentState.CANCELLED, **ending})
    return {"next": "ended", "state": DeploymentState.CANCELLED.value}


def _await_rows(services: Services, header: Versioned[DeploymentRecord]) -> JsonObject:
    """Wait for the missing step rows of a deployment whose accept was interrupted, or reject it.

    The submission's message returns and writes them. When it can no longer return, the deployment is rejected, because
    the target must not wait for ever."""
    record, policy = header.record, services.policy
    if services.clock.now() - record.accepted_at < timedelta(seconds=policy.orphan_grace_seconds):
        return {"next": "wait", "seconds": policy.watchdog_seconds, "holder": record.deployment_id}
    if record.cancel_requested_by:
        return _cancelled(services, header)
    error = RecordedError(
        f"it was accepted in part: the journal does not hold all of its {record.step_count} steps",
        "Nothing was begun. Look for the exception in the app's log, and submit again under a new id.",
    )
    ending = end_fields(services, record, DeploymentState.REJECTED)
    _write(services, header, error.message, {"state": DeploymentState.REJECTED, "error": error, **ending})
    return {"next": "ended", "state": DeploymentState.REJECTED.value}


def _earlier_open_deployment(services: Services, record: DeploymentRecord) -> str | None:
    """Return an earlier deployment that has not ended, because targets are served in order of arrival; or None."""
    own = (record.accepted_at, record.deployment_id)
    for other in services.journal.deployments(record.target, open_only=True):
        if other.deployment_id != record.deployment_id and (other.accepted_at, other.deployment_id) < own:
            return other.deployment_id
    return None


def _keep_target(services: Services, locks: Locks, record: DeploymentRecord) -> str | None:
    """Renew the lease of the target lock and return None; or return its holder, and then no step may be dispatched."""
    lock = locks.acquire(
        record.target, record.deployment_id, services.clock.now(), services.policy.target_lease_seconds
    )
    if lock.holder != record.deployment_id:
        log.error("deployment %s waits: %s holds its target", record.deployment_id, lock.holder)
        return lock.holder
    return None


def _release(locks: Locks, record: DeploymentRecord) -> None:
    locks.release(record.target, record.deployment_id)


def dispatch(services: Services, deployment_id: str, ordinals: Sequence[int], direction: Direction) -> None:
    """Send one message for each step."""
    services.queue.send_all([StepMessage(deployment_id, ordinal, direction) for ordinal in ordinals])


def record_failure(services: Services, deployment_id: str) -> JsonObject:
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
            _write(services, header, f"step {failed.step_id} failed", {"error": error})
            break
        except ConflictError:
            continue
    return _view(services, deployment_id)


def begin_compensation(services: Services, locks: Locks, deployment_id: str) -> JsonObject:
    """Move RUNNING to COMPENSATING (to HELD, or to FAILED if rollback is off), once nothing is in flight.

    The order matters. The header says already that the deployment is rolled back, so no delivery that reads it starts
    a step; then every row that is still pending is skipped, by conditional writes that a delivery which read the
    header earlier would make fail; only when neither pending nor moving rows are left does the header move.
    """
    for _ in range(_RACES):
        header = services.journal.header(deployment_id)
        record = header.record
        if record.state is not DeploymentState.RUNNING:
            return _view(services, deployment_id)
        if not record.is_rolling_back:
            view = record_failure(services, deployment_id)
            if view["next"] == "run" and not view["progress"]["rolling_back"]:
                return view  # asked twice, and resumed in between: no step stands failed any more
            continue
        try:
            if record.resume_requested_by:
                make_steps_ready(services, deployment_id)
                return _view(services, deployment_id)
            _skip_pending(services, services.journal.steps(deployment_id))
            steps = services.journal.steps(deployment_id)
            if in_flight((s.record for s in steps), Direction.FORWARD):
                return _view(services, deployment_id)
            if _holds(record, steps):
                _hold(services, header)
                return {"next": "hold"}
            if not (services.policy.rollback or record.compensate_requested_by or record.origin is Origin.SCRIPT):
                _fail(services, locks, header)
                return {"next": "ended", "state": DeploymentState.FAILED.value}
            _write(services, header, _rollback_cause(record), {"state": DeploymentState.COMPENSATING})
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


def _holds(record: DeploymentRecord, steps: Sequence[Versioned[StepRecord]]) -> bool:
    if record.is_abort_requested:
        return False
    return any(s.record.state is StepState.FAILED and s.record.on_failure is OnFailure.HOLD for s in steps)


def _hold(services: Services, header: Versioned[DeploymentRecord]) -> None:
    """Hold the deployment: nothing is rolled back and the target stays locked, until a person decides or its time is
    up."""
    keep = header.record.keep_for_seconds
    until = services.clock.now() + timedelta(seconds=keep) if keep else None
    reason = f"a step failed; held for a person{f' until {until:%Y-%m-%d %H:%M:%S} UTC' if until else ''}"
    _write(services, header, reason, {"state": DeploymentState.HELD, "held_until": until})


def _fail(services: Services, locks: Locks, header: Versioned[DeploymentRecord]) -> None:
    """End the deployment as failed because rollback is off: nothing is rolled back, and the target is free."""
    record = header.record
    error = record.error or RecordedError(
        f"cancelled by {record.cancel_requested_by}", "What was applied stays. Resume the deployment, or roll it back."
    )
    ending = end_fields(services, record, DeploymentState.FAILED)
    reason = f"rollback is off, so nothing is rolled back: {_rollback_cause(record)}"
    _write(services, header, reason, {"state": DeploymentState.FAILED, "error": error, **ending})
    _release(locks, record)


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


def reconcile(services: Services, locks: Locks, deployment_id: str, progress: Progress) -> JsonObject:
    """Do the watchdog's work: a heartbeat, the lease renewed, and a new message for every step whose message is lost.

    A step counts as lost when its lease is over and the delivery it waits for is late. One that has not begun at
    all may simply stand in a long queue: it gets another message in the rounds 1, 2, 4, 8 ... after it was sent only.
    """
    header = services.journal.header(deployment_id)
    record = header.record
    if record.state in DEPLOYMENT_ENDED or record.state is DeploymentState.HELD:
        return _view(services, deployment_id)
    holder = _keep_target(services, locks, record)
    if holder is not None:
        return {"next": "wait", "seconds": services.policy.target_retry_seconds, "holder": holder}
    now = services.clock.now()
    try:
        _write(services, header, "", {"heartbeat_at": now})
    except ConflictError:
        log.info("the header of %s moved during its heartbeat", deployment_id)
    view = _view(services, deployment_id)
    if view["next"] != "run":
        return view
    fresh = Progress.from_json(view["progress"])
    rows = [s.record for s in services.journal.steps(deployment_id)]
    if fresh.direction is progress.direction:
        waiting = {StepState.PENDING} if fresh.direction is Direction.FORWARD else watchdog.NOT_YET_COMPENSATED
        fresh.sent |= {
            i
            for i in progress.sent
            if rows[i].state in waiting and not (fresh.rolling_back and waits_for_person(rows[i]))
        }
        for i, known in enumerate(progress.states):  # a script may have added rows that nobody here knew of
            if rows[i].state is StepState.COMPENSATION_FAILED:  # failed in this try, or still to be tried in it
                fresh.states[i] = known
    is_off = fresh.direction is Direction.FORWARD and record.is_abort_requested
    fresh.unanswered = {i: progress.unanswered.get(i, 0) + 1 for i in fresh.sent if not watchdog.has_begun(rows[i])}
    lost = watchdog.lost(rows, fresh, now, is_abort_requested=is_off)
    if lost:
        dispatch(services, deployment_id, lost, fresh.direction)
        log.warning("deployment %s: %d step(s) delivered again", deployment_id, len(lost))
    next_round = watchdog.next_round(rows, now, view["watchdog"])
    return {**view, "progress": fresh.to_json(), "watchdog": next_round}


def finish(services: Services, locks: Locks, deployment_id: str) -> JsonObject:
    """Write the final state that the journal proves, and release the target lock. Return a view if it has not ended."""
    for _ in range(_RACES):
        header = services.journal.header(deployment_id)
        record = header.record
        if record.state in DEPLOYMENT_ENDED:
            _release(locks, record)
            return {"next": "ended", "state": record.state.value}
        if record.state is DeploymentState.STUCK and not record.may_compensate:
            return _view(services, deployment_id)
        end = final_state(record, [s.record for s in services.journal.steps(deployment_id)])
        if end is None:
            return _view(services, deployment_id)
        state, reason = end
        try:
            _write(services, header, reason, {"state": state, **end_fields(services, record, state)})
        except ConflictError:
            continue
        if state is not DeploymentState.STUCK:
            _release(locks, record)
        return {"next": "ended", "state": state.value}
    raise SagaError(f"the header of {deployment_id} is written too often at once")


def _write(
    services: Services, header: Versioned[DeploymentRecord], reason: str, changes: DeploymentChanges
) -> Versioned[DeploymentRecord]:
    after = fitted(header.record.replace(**changes))
    return services.journal.write_header(Change(header, after, ORCHESTRATOR, reason))


def _view(services: Services, deployment_id: str, *, retry_failed: bool = False) -> JsonObject:
    """Return the orchestrator's view, fresh from the journal. With `retry_failed`, failed compensations are tried
    again."""
    record = services.journal.header(deployment_id).record
    is_left_stuck = record.state is DeploymentState.STUCK and not (record.may_compensate or record.is_released)
    if record.state in DEPLOYMENT_ENDED or is_left_stuck:
        return {"next": "ended", "state": record.state.value}
    if record.state is DeploymentState.HELD:
        return {"next": "hold"}
    if record.is_being_released:
        return {"next": "wait", "seconds": _SHORT_WAIT_SECONDS, "holder": deployment_id}
    steps = services.journal.steps(deployment_id)
    direction = Direction.FORWARD if record.state is DeploymentState.RUNNING else Direction.BACKWARD
    progress = from_journal(steps, direction, record.is_rolling_back)
    if retry_failed:
        failed = StepState.COMPENSATION_FAILED
        progress.states = [StepState.FAILED if state is failed else state for state in progress.states]
    return {"next": "run", "progress": progress.to_json(), "watchdog": services.policy.watchdog_seconds}
