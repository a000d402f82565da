"""Target locks whose release wakes the next deployment in line, so that nothing has to ask while it waits.

    A ends ─ release ─> the lock is free ─ the journal: who is next? B ─ event ─> B asks for its target, and starts

The event comes after the release, so the woken deployment finds the lock free. Everything between may fail or be
repeated. If the process dies there, the engine runs the activity again, which releases again. If the event is lost, B
waits for its own timer (activities.py). If it is repeated or wrong, B looks at the journal once more.
"""

import json
import logging
from collections.abc import Callable
from datetime import datetime

from shared.domain.deployment_ids import is_deployment_id
from shared.domain.errors import SagaError
from shared.domain.json import JsonObject
from shared.domain.messages import TARGET_EVENT
from shared.domain.ports import Journal, Lock, Locks, Orchestrations

log = logging.getLogger(__name__)

_WAKE = "wake"

Wake = Callable[[str], object]
"""Wakes the orchestration of a deployment. Raises SagaError if that is not possible."""


def by_event(locks: Locks, journal: Journal, orchestrations: Orchestrations) -> "WakingLocks":
    """Return locks that wake the next deployment by an event to its orchestration."""
    return WakingLocks(locks, journal, lambda following: orchestrations.raise_event(following, TARGET_EVENT, {}))


def by_message(locks: Locks, journal: Journal, submit: Callable[[str], object]) -> "WakingLocks":
    """Return the locks of a process without the durable engine, such as a script: it sends a message to the app, which
    wakes the next deployment."""
    return WakingLocks(locks, journal, lambda following: submit(wake_message(following)))


class WakingLocks:
    """Implements the port `Locks` around other locks."""

    def __init__(self, locks: Locks, journal: Journal, wake: Wake) -> None:
        self._locks, self._journal, self._wake = locks, journal, wake

    def acquire(self, target: str, holder: str, now: datetime, lease_seconds: float) -> Lock:
        """Take, keep or renew the lease."""
        return self._locks.acquire(target, holder, now, lease_seconds)

    def release(self, target: str, holder: str) -> None:
        """Release the lease, and wake the next deployment at the target. A failure to wake it is logged only, because
        the lock is free and the deployment asks again by itself."""
        self._locks.release(target, holder)
        try:
            following = next_in_line(self._journal, target, holder)
            if following is not None:
                self._wake(following)
                log.info("deployment %s left its target '%s': %s is woken", holder, target, following)
        except SagaError as error:
            log.warning("deployment %s left its target '%s', and the next was not woken: %s", holder, target, error)


def next_in_line(journal: Journal, target: str, leaving: str) -> str | None:
    """Return the first deployment at a target that has not ended, by order of arrival, other than the one that leaves;
    None if nobody waits. Raises StorageUnavailableError."""
    waiting = journal.deployments(target, open_only=True, oldest_first=True)
    return next((each.deployment_id for each in waiting if each.deployment_id != leaving), None)


def wake_message(deployment_id: str) -> str:
    """Return the message on the queue `deployments` by which a process without the durable engine wakes another."""
    return json.dumps({_WAKE: deployment_id})


def read_wake(message: JsonObject | None) -> str | None:
    """Return the deployment that a message wakes; None if the message is of another kind."""
    if message is None or message.keys() != {_WAKE} or not is_deployment_id(message[_WAKE]):
        return None
    return message[_WAKE]
