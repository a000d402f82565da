"""The states of a deployment and of a step. Names are persisted: add, never rename."""

from enum import StrEnum


class StepState(StrEnum):
    """Where one step stands; the legal moves are in transitions.py."""

    PENDING = "pending"
    INTENT = "intent"
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    COMPENSATION_FAILED = "compensation_failed"
    SKIPPED = "skipped"


class DeploymentState(StrEnum):
    """Where a deployment stands; the legal moves are in transitions.py."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    STUCK = "stuck"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    HELD = "held"
    FAILED = "failed"


FORWARD_SETTLED = frozenset({StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED})
"""A forward action in one of these needs no further delivery."""

BACKWARD_SETTLED = frozenset({StepState.COMPENSATED, StepState.COMPENSATION_FAILED, StepState.SKIPPED})
"""A compensation in one of these needs no further delivery (the sweeper may begin it again)."""

IN_FLIGHT = frozenset({StepState.INTENT, StepState.SUBMITTED, StepState.COMPENSATING})
"""A call to Fabric may be under way, or its answer lost."""

DEPLOYMENT_ENDED = frozenset(
    {
        DeploymentState.SUCCEEDED,
        DeploymentState.COMPENSATED,
        DeploymentState.REJECTED,
        DeploymentState.CANCELLED,
        DeploymentState.FAILED,
    }
)
"""Nothing more will happen by itself. `stuck` is not among them: the sweeper is still on it. A person may still have
a `failed` one resumed or put back, and a `succeeded` one retired."""

STEP_SETTLED = frozenset({StepState.SUCCEEDED, StepState.FAILED, StepState.COMPENSATION_FAILED})
"""A step stays in one of these until a deployment turns back, or a person has it tried again: no delivery writes it
without moving it, and each write of it is audited."""
