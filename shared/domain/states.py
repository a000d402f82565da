"""The states of a deployment and of a step, and the other words in rows. They are persisted: add, never rename."""

from enum import StrEnum


class StepState(StrEnum):
    """The state of a step; the legal moves are in transitions.py."""

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
    """The state of a deployment; the legal moves are in transitions.py."""

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


class IntentAction(StrEnum):
    """What a step is about to do with its resource."""

    CREATE = "create"
    UPDATE = "update"
    ADOPT = "adopt"


class OperationPurpose(StrEnum):
    """What waits for a long-running operation: a before-image, the forward action or the compensating action."""

    CAPTURE = "capture"
    APPLY = "apply"
    COMPENSATE = "compensate"


class OperationState(StrEnum):
    """The state of a long-running operation, as the client reads it from Fabric's words."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Origin(StrEnum):
    """The source of a deployment's steps. The engine only compensates a script's steps; the script applies them."""

    MANIFEST = "manifest"
    SCRIPT = "script"


class Concurrency(StrEnum):
    """What a deployment does if its target is locked: wait in a queue, or be rejected."""

    QUEUE = "queue"
    REJECT = "reject"


class OnFailure(StrEnum):
    """What happens when a step fails: its deployment is rolled back, or held for inspection."""

    ROLLBACK = "rollback"
    HOLD = "hold"


FORWARD_SETTLED = frozenset({StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED})
"""A forward action in one of these needs no further delivery."""

BACKWARD_SETTLED = frozenset({StepState.COMPENSATED, StepState.COMPENSATION_FAILED, StepState.SKIPPED})
"""A compensation in one of these needs no further delivery (the sweeper may start it again)."""

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
