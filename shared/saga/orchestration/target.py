"""How a deployment acquires the lock of its target, in order of arrival, and what it does while it cannot.

A deployment that leaves its target wakes the next in line (waking_locks.py). The waits here are the safety net for a
wake-up that is lost: they grow with the deployment's age, so that an hour of waiting costs a few looks at the journal.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from shared.domain.ports import Locks, Versioned
from shared.domain.records import DeploymentChanges, DeploymentRecord, RecordedError
from shared.domain.states import Concurrency, DeploymentState
from shared.saga.orchestration.ends import end_fields
from shared.saga.orchestration.header import write
from shared.saga.orchestration.views import Ended, Wait
from shared.saga.step.delivery import Services

log = logging.getLogger(__name__)


def take(services: Services, locks: Locks, header: Versioned[DeploymentRecord]) -> Ended | Wait | None:
    """Move ACCEPTED to RUNNING if the target is free, and return None; else return what the orchestrator does next."""
    record, now = header.record, services.clock.now()
    earlier = None if record.cancel_requested_by else _goes_first(services, record)
    goes_on_or_ends = earlier is None or record.concurrency is Concurrency.REJECT
    if goes_on_or_ends and len(services.journal.steps(record.deployment_id)) < record.step_count:
        return _await_rows(services, locks, header)  # an end binds all its rows, so none may come after it
    if record.cancel_requested_by:
        return _cancel(services, locks, header)
    free_at: datetime | None = None
    if earlier is None:
        lock = locks.acquire(record.target, record.deployment_id, now, services.policy.target_lease_seconds)
        if lock.holder == record.deployment_id:
            now = services.clock.now()  # asking for the target may have taken its time
            changes: DeploymentChanges = {"started_at": now, "heartbeat_at": now, "lock_fence": lock.fence}
            write(services, header, "holds its target", {"state": DeploymentState.RUNNING, **changes})
            return None
        earlier, free_at = lock.holder, lock.expires_at
    if record.concurrency is Concurrency.REJECT:
        error = RecordedError(
            f"the target '{record.target}' is held by deployment {earlier}",
            "Wait until that one has ended, or set concurrency to queue.",
        )
        return _end(services, locks, header, DeploymentState.REJECTED, error.message, error)
    return _wait(services, record, earlier, free_at)


def keep(services: Services, locks: Locks, record: DeploymentRecord) -> Wait | None:
    """Renew the lease of the target lock and return None; or, if another deployment holds it, return how long to wait:
    no step may be dispatched."""
    lock = locks.acquire(
        record.target, record.deployment_id, services.clock.now(), services.policy.target_lease_seconds
    )
    if lock.holder == record.deployment_id:
        return None
    log.error("deployment %s waits: %s holds its target", record.deployment_id, lock.holder)
    return _wait(services, record, lock.holder, lock.expires_at)


def _wait(services: Services, record: DeploymentRecord, holder: str, free_at: datetime | None) -> Wait:
    """Return a wait that doubles the deployment's age, within the policy's bounds; it ends with the lease of a lock
    whose holder does not renew it (`free_at`)."""
    policy, now = services.policy, services.clock.now()
    seconds = min(policy.target_retry_max_seconds, (now - record.accepted_at).total_seconds())
    if free_at is not None:
        seconds = min(seconds, (free_at - now).total_seconds())
    return Wait(max(policy.target_retry_seconds, seconds), holder)


def _await_rows(services: Services, locks: Locks, header: Versioned[DeploymentRecord]) -> Ended | Wait:
    """Wait for the missing step rows of a deployment whose accept was interrupted, or reject it.

    The submission's message returns and writes them. When it can no longer return, the deployment is rejected, because
    the target must not wait for ever."""
    record, policy = header.record, services.policy
    if services.clock.now() - record.accepted_at < timedelta(seconds=policy.orphan_grace_seconds):
        return Wait(policy.watchdog_seconds, record.deployment_id)
    if record.cancel_requested_by:
        return _cancel(services, locks, header)
    error = RecordedError(
        f"it was accepted in part: the journal does not hold all of its {record.step_count} steps",
        "Nothing was begun. Look for the exception in the app's log, and submit again under a new id.",
    )
    return _end(services, locks, header, DeploymentState.REJECTED, error.message, error)


def _cancel(services: Services, locks: Locks, header: Versioned[DeploymentRecord]) -> Ended:
    return _end(services, locks, header, DeploymentState.CANCELLED, "cancelled before it began")


def _end(
    services: Services,
    locks: Locks,
    header: Versioned[DeploymentRecord],
    state: DeploymentState,
    reason: str,
    error: RecordedError | None = None,
) -> Ended:
    """End a deployment that did nothing. It may have been the next in line, so the one behind it is woken."""
    record = header.record
    write(services, header, reason, {"state": state, "error": error, **end_fields(services, record, state)})
    locks.release(record.target, record.deployment_id)
    return Ended(state)


def begun(services: Services, record: DeploymentRecord) -> DeploymentRecord | None:
    """Return another deployment that has begun at the target and not ended, or None.

    It has the target even if its lease is over: the lease is renewed by processes that may die several times in a row,
    the journal is not.
    """
    return next((other for other in _others(services, record) if other.state is not DeploymentState.ACCEPTED), None)


def _goes_first(services: Services, record: DeploymentRecord) -> str | None:
    """Return the deployment that has the target, or that arrived earlier, because targets are served in order of
    arrival; or None."""
    own = (record.accepted_at, record.deployment_id)
    for other in _others(services, record):
        if other.state is not DeploymentState.ACCEPTED or (other.accepted_at, other.deployment_id) < own:
            return other.deployment_id
    return None


def _others(services: Services, record: DeploymentRecord) -> Iterator[DeploymentRecord]:
    """Yield the other open deployments of the target, the oldest first."""
    for other in services.journal.deployments(record.target, open_only=True, oldest_first=True):
        if other.deployment_id != record.deployment_id:
            yield other
