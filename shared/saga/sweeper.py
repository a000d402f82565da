"""The sweeper: nobody watches, and nothing is forgotten. Bounded per run, safe to run twice at once.

It goes over every deployment that has not ended and sees to it that something is moving it: an orchestration that
is gone (task hub lost, host killed, accept cut short) is started again from the journal, and a stuck deployment's
compensation is tried again.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.errors import SagaError
from shared.domain.ports import Clock, Journal, Locks, Orchestrations
from shared.domain.records import DeploymentRecord
from shared.domain.states import DeploymentState

log = logging.getLogger(__name__)

MOST_RESTARTS = 50
"""Orchestrations started in one run; what is left over waits for the next."""


@dataclass(frozen=True)
class Swept:
    """What one run found and did."""

    seen: int
    restarted: tuple[str, ...]
    failed: tuple[str, ...]


def sweep(
    journal: Journal,
    locks: Locks,
    orchestrations: Orchestrations,
    clock: Clock,
    grace_seconds: float,
    target_lease_seconds: float,
) -> Swept:
    """One run. One deployment's trouble does not keep the others from being looked at."""
    now = clock.now()
    seen, restarted, failed = 0, list[str](), list[str]()
    for record in journal.deployments(open_only=True):
        seen += 1
        if now - record.accepted_at < timedelta(seconds=grace_seconds):
            continue
        try:
            if record.state is DeploymentState.HELD:
                locks.acquire(record.target, record.deployment_id, now, target_lease_seconds)
            elif _needs_a_start(record, orchestrations):
                orchestrations.start(record.deployment_id)
                restarted.append(record.deployment_id)
                log.warning("deployment %s (%s) had no orchestration: restarted", record.deployment_id, record.state)
        except SagaError as error:
            failed.append(record.deployment_id)
            log.warning("deployment %s could not be restarted: %s", record.deployment_id, error)
        if len(restarted) + len(failed) >= MOST_RESTARTS:
            break
    return Swept(seen, tuple(restarted), tuple(failed))


def _needs_a_start(record: DeploymentRecord, orchestrations: Orchestrations) -> bool:
    return not orchestrations.is_running(record.deployment_id)
