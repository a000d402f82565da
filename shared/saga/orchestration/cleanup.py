"""The steps that run when all others have ended, also after a failure (`when: always`), and before the rollback.

One runs if everything that it refers to has succeeded; that another step which it merely needs has failed is no
obstacle. None runs after a cancel, which starts nothing, and none while a deployment is held, because a person wants to
see everything as it is (ADR 37).
"""

from collections.abc import Sequence

from shared.domain.actors import ENGINE
from shared.domain.messages import Direction, StepMessage
from shared.domain.ports import Change, Versioned
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import OnFailure, Origin, StepState
from shared.saga.step.delivery import Services

_MAY_SUCCEED = frozenset({StepState.SUCCEEDED, StepState.INTENT, StepState.SUBMITTED})


def holds(record: DeploymentRecord, steps: Sequence[StepRecord]) -> bool:
    """Return True if a failed step holds its deployment."""
    if record.is_abort_requested:
        return False
    return any(step.state is StepState.FAILED and step.on_failure is OnFailure.HOLD for step in steps)


def candidates(services: Services, record: DeploymentRecord, steps: Sequence[Versioned[StepRecord]]) -> set[int]:
    """Return the ordinals of the steps of a failed deployment that still run, or that may once nothing is in flight:
    what they refer to has succeeded or is on its way."""
    rows = [step.record for step in steps]
    if record.is_abort_requested or record.origin is Origin.SCRIPT or holds(record, rows):
        return set()
    states = {row.ordinal: row.state for row in rows}
    return {
        row.ordinal
        for row in rows
        if row.is_always
        and row.state is StepState.PENDING
        and all(states[o] in _MAY_SUCCEED for o in services.payloads.load(row.refers_to).values())
    }


def free(services: Services, step: Versioned[StepRecord]) -> None:
    """Let a step start, and send its message. Raises ConflictError.

    Several run one after the other, in the order of the manifest: the next one is freed when this one has settled.
    """
    after, reason = step.record.replace(freed_at=services.clock.now()), "runs although another step has failed"
    services.journal.write_step(Change(step, after, ENGINE, reason))
    services.queue.send(StepMessage(after.deployment_id, after.ordinal, Direction.FORWARD))
