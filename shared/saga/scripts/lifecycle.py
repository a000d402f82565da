"""Deployments whose steps a script applies itself: the same journal and compensations, driven by another process.

    accepted ─ target acquired ─> running ─ commit ─────────────────────────────────> succeeded
                                     ├─ rollback, exception: the script compensates ─┬──> compensated
                                     └─ no heartbeat: the sweeper's run compensates ─┘    or stuck; the sweeper goes on

A row is added for each resource: `succeeded` once the resource exists, `intent` while the script is about to create it.
A row that stays in `intent` is never applied (execution.py): its resource is looked for by its marker and deleted.
"""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta

from shared import tracing
from shared.domain.actors import SWEEPER
from shared.domain.errors import ConflictError, RolledBackError, SagaError, TransactionError
from shared.domain.json import content_hash
from shared.domain.messages import Direction, StepMessage
from shared.domain.policy import EnginePolicy
from shared.domain.ports import Change, Clock, Locks
from shared.domain.records import DeploymentRecord, RecordedError
from shared.domain.row_limits import fitted, person
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState, Origin
from shared.domain.trace import of_deployment, root
from shared.saga.orchestration import activities
from shared.saga.orchestration.progress import Progress
from shared.saga.orchestration.views import Run, Wait
from shared.saga.scripts.script_journal import ScriptJournal, is_forward, rollback_reason
from shared.saga.step import execution
from shared.saga.step.delivery import Services

log = logging.getLogger(__name__)

_HEARTBEATS_PER_LEASE = 4
_LOOK_AGAIN_SECONDS = 1.0


def has_live_script(record: DeploymentRecord, now: datetime, policy: EnginePolicy) -> bool:
    """Return True if a heartbeat, as a rule from the script, was written within the lease."""
    return now < (record.heartbeat_at or record.accepted_at) + timedelta(seconds=policy.script_lease_seconds)


def fail_stale_script(services: Services, deployment_id: str) -> None:
    """Start the rollback of a deployment whose script sends no heartbeat; leave every other deployment as it is.

    Raises ConflictError if the deployment moved in the meantime: then its script, or another worker, is alive.
    """
    header = services.journal.header(deployment_id)
    record, now = header.record, services.clock.now()
    if record.origin is not Origin.SCRIPT or not is_forward(record) or has_live_script(record, now, services.policy):
        return
    seen_at = record.heartbeat_at or record.accepted_at
    error = RecordedError(
        f"the script sent no heartbeat since {seen_at:%Y-%m-%d %H:%M:%S} UTC",
        "No action is needed in Fabric: what it created is rolled back. The script's own output says why it ended.",
    )
    after = record.replace(compensate_requested_by=SWEEPER, error=error)
    services.journal.write_header(Change(header, after, SWEEPER, f"{error.message}: rolled back"))


def create(services: Services, deployment_id: str, name: str, target: str, requested_by: str) -> ScriptJournal:
    """Write the header, in this thread's span. Raises TransactionError if another deployment has the id."""
    now = services.clock.now()
    header = DeploymentRecord(
        deployment_id=deployment_id,
        name=name,
        target=target,
        state=DeploymentState.ACCEPTED,
        manifest_hash=content_hash([Origin.SCRIPT, deployment_id, services.new_id()]),
        accepted_at=now,
        origin=Origin.SCRIPT,
        requested_by=person(requested_by),
        traceparent=(tracing.current() or root(deployment_id, now)).traceparent,
        heartbeat_at=now,
    )
    if services.journal.create(fitted(header), [], "started by a script").manifest_hash != header.manifest_hash:
        raise TransactionError(f"the id '{deployment_id}' belongs to another deployment: choose a different id")
    return ScriptJournal(services, deployment_id, of_deployment(deployment_id, now, header.traceparent))


def operation(journal: ScriptJournal) -> AbstractContextManager[None]:
    """Make what the script does in the block part of its deployment's trace, for telemetry and for Fabric."""
    return tracing.operation(journal.services.telemetry, "transaction", journal.span)


def take_target(
    journal: ScriptJournal, locks: Locks, wait_seconds: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Wait for the target, in order of arrival.

    Raises TransactionError if the target is not free within `wait_seconds`, and RolledBackError if a person cancelled
    the deployment in the meantime.
    """
    until = journal.now() + timedelta(seconds=wait_seconds)
    while True:
        view = activities.begin(journal.services, locks, journal.deployment_id, by_script=True)
        if isinstance(view, Run) and is_forward(journal.record):
            return
        if not isinstance(view, Wait):
            raise RolledBackError(rollback_reason(journal.record))
        if journal.now() >= until:
            journal.end(DeploymentState.CANCELLED, "its target was not free in time")
            raise TransactionError(f"deployment {view.holder} holds the target of {journal.deployment_id}")
        sleep(_pause(view, journal.services.policy))


def _pause(view: Wait, policy: EnginePolicy) -> float:
    """Return how long a script waits before it asks again, in seconds. It asks often, because no event reaches it."""
    return min(view.seconds, policy.target_retry_seconds)


class ScriptHeartbeat(threading.Thread):
    """Sends heartbeats from a thread of its own, until the process ends or the transaction is closed."""

    def __init__(self, journal: ScriptJournal, locks: Locks) -> None:
        super().__init__(name=f"heartbeat of {journal.deployment_id}", daemon=True)
        self._journal, self._locks, self._over = journal, locks, threading.Event()

    def stop(self) -> None:
        """Send no further heartbeat."""
        self._over.set()

    def run(self) -> None:
        """Send several heartbeats in each lease."""
        while not self._over.wait(self._journal.services.policy.script_lease_seconds / _HEARTBEATS_PER_LEASE):
            try:
                self._beat()
            except ConflictError:
                continue
            except SagaError as error:
                log.warning("%s could not send a heartbeat: %s", self._journal.deployment_id, error)

    def _beat(self) -> None:
        record = self._journal.heartbeat()
        if record.state in DEPLOYMENT_ENDED:
            self.stop()
        elif record.state is not DeploymentState.ACCEPTED:
            lease = self._journal.services.policy.target_lease_seconds
            self._locks.acquire(record.target, record.deployment_id, self._journal.now(), lease)


def roll_back(
    services: Services,
    locks: Locks,
    deployment_id: str,
    *,
    budget_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> DeploymentRecord:
    """Compensate all steps in this process, in reverse order, as the orchestration would; return the present header.

    A step that is not compensated when `budget_seconds` are over, or that is out of attempts, is left to the sweeper.
    Raises StorageUnavailableError; a compensation that could not be written is done again.
    """
    queue = _LocalQueue(services.clock)
    local = replace(services, queue=queue)
    until = services.clock.now() + timedelta(seconds=budget_seconds)
    view = activities.begin(local, locks, deployment_id, by_script=True)
    while isinstance(view, Run | Wait) and services.clock.now() < until:
        if isinstance(view, Wait):
            sleep(_pause(view, services.policy))
            view = activities.begin(local, locks, deployment_id, by_script=True)
            continue
        progress = view.progress
        if progress.direction is Direction.FORWARD:
            for ordinal in progress.sent:
                execution.execute_step(local, StepMessage(deployment_id, ordinal, Direction.FORWARD))
            view = activities.begin_compensation(local, locks, deployment_id)
        else:
            if not _compensate(local, queue, deployment_id, progress, until, sleep):
                break
            view = activities.finish(local, locks, deployment_id)
        if isinstance(view, Run) and view.progress.direction is progress.direction and progress.sent:
            sleep(_LOOK_AGAIN_SECONDS)  # another worker holds the steps
    return services.journal.header(deployment_id).record


def _compensate(
    services: Services,
    queue: "_LocalQueue",
    deployment_id: str,
    progress: Progress,
    until: datetime,
    sleep: Callable[[float], None],
) -> bool:
    """Deliver each compensation until it settled or another worker holds it; False if the time was over first."""
    started = set(progress.sent)
    while True:
        for ordinal in sorted({*started, *progress.take_ready()}, reverse=True):
            queue.send(StepMessage(deployment_id, ordinal, Direction.BACKWARD))
        started = set[int]()
        message = queue.take(until, sleep)
        if message is None:
            return not queue.waiting
        settled = execution.execute_step(services, message)
        if settled is not None:
            progress.on_settled(settled.ordinal, settled.state)


class _LocalQueue:
    """The port StepQueue in one process: messages come in the order of their due time, then of sending."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._count = clock, itertools.count()
        self.waiting: list[tuple[datetime, int, StepMessage]] = []

    def send(self, message: StepMessage, delay_seconds: float = 0.0) -> None:
        due = self._clock.now() + timedelta(seconds=delay_seconds)
        heapq.heappush(self.waiting, (due, next(self._count), message))

    def send_all(self, messages: Sequence[StepMessage]) -> None:
        for message in messages:
            self.send(message)

    def oldest_due(self) -> datetime | None:
        return None  # nothing watches it: the one process that sends also takes

    def take(self, until: datetime, sleep: Callable[[float], None]) -> StepMessage | None:
        """Wait for the next message and return it; None if no message is due before `until`."""
        if not self.waiting or self.waiting[0][0] > until:
            return None
        due, _, message = heapq.heappop(self.waiting)
        sleep(max(0.0, (due - self._clock.now()).total_seconds()))
        return message
