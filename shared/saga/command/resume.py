"""Going on where a step failed: the rows that stand in the way are made ready again, then the header forgets why.

The command only notes the wish; the orchestration does this, once it holds the target. Until the wish is cleared the
deployment still counts as turning back, so nothing new is begun meanwhile. The rows are read before the header is:
as long as the header has the wish, nobody has finished, and whoever finishes writes every one of these rows. So an
activity that was held up and wakes later loses its conditional writes instead of undoing what happened since.
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
    """The row as it has to stand to be delivered again, with all its attempts and its whole time.

    What had been begun stays in the journal and is looked for first: its intent, its resource, and the operation that
    Fabric may still be at. What had not begins as if for the first time.
    """
    started = row.state is StepState.FAILED and row.intent is not None and row.intent.action is not IntentAction.ADOPT
    fresh = row.replace(
        state=StepState.INTENT if started else StepState.PENDING,
        attempt=0,
        deliveries=0,
        claim=None,
        error=None,
        outputs=None,
        wait_until=None,
        deadline_at=None,
        finished_at=None,
    )
    if started:
        return fresh.replace(ambiguous=row.ambiguous or row.operation is not None)
    return fresh.replace(started_at=None, intent=None, resource=None, operation=None, calls_done=0, ambiguous=False)
