"""Resume: the failed and skipped steps are made ready again, then the request is removed from the header.

The command only records the request. The orchestration makes the steps ready when it holds the target lock. Until the
request is removed the deployment still counts as rolling back, so no step starts. The rows are read before the header:
while `resume_requested_by` is set, no worker has completed the resume, and completing it rewrites all these rows. So a
delayed activity that wakes later loses its conditional writes, and cannot overwrite newer states.
"""

from shared.domain.messages import Direction, StepMessage
from shared.domain.ports import Change
from shared.domain.records import StepRecord
from shared.domain.states import DeploymentState, IntentAction, StepState
from shared.saga.step.delivery import Services

_NOT_DONE = frozenset({StepState.FAILED, StepState.SKIPPED, StepState.PENDING})


def make_steps_ready(services: Services, deployment_id: str) -> None:
    """Make the steps of a resumed deployment ready, if its header asks for it; safe to repeat. Raises ConflictError if
    another writer was first: then the caller calls it again."""
    steps = services.journal.steps(deployment_id)
    header = services.journal.header(deployment_id)
    requester = header.record.resume_requested_by
    if requester is None or header.record.state is not DeploymentState.RUNNING:
        return
    changes = [
        Change(s, ready(s.record), requester, "" if s.record.state is StepState.PENDING else "resumed")
        for s in steps
        if s.record.state in _NOT_DONE
    ]
    if changes:
        services.journal.write_steps(changes)
    after = header.record.replace(error=None, resume_requested_by=None)
    services.journal.write_header(Change(header, after, requester, "its steps are ready again"))
    for change in changes:
        if change.after.state is StepState.INTENT:  # counts as under way already; a lost message is the watchdog's
            services.queue.send(StepMessage(deployment_id, change.after.ordinal, Direction.FORWARD))


def ready(row: StepRecord) -> StepRecord:
    """Return the row ready for delivery, with all its attempts and its whole timeout.

    The intent, the resource and the operation of a step that had started stay in the journal, and are looked for first.
    The calls of an update are sent again: Fabric had accepted them, and what they began may have failed.
    A step that had not started begins as if for the first time. So does one that ran although another step had failed,
    because it runs when all others have ended; if its run may go on, it is looked for first all the same.
    """
    started = row.state is StepState.FAILED and row.intent is not None and row.intent.action is not IntentAction.ADOPT
    if row.freed_at is not None and not row.ambiguous:
        started = False
    fresh = row.replace(
        state=StepState.INTENT if started else StepState.PENDING,
        attempt=0,
        deliveries=0,
        claim=None,
        error=None,
        outputs=None,
        calls_done=0,
        wait_until=None,
        deadline_at=None,
        finished_at=None,
        freed_at=None,
    )
    if started:
        return fresh.replace(ambiguous=row.ambiguous or row.operation is not None)
    return fresh.replace(started_at=None, intent=None, resource=None, operation=None, ambiguous=False)
