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
    """The action that a step is about to apply to its resource."""

    CREATE = "create"
    UPDATE = "update"
    ADOPT = "adopt"


class OperationPurpose(StrEnum):
    """The part of a step that waits for an operation: its before-image, its forward or its compensating action, or a
    resource that the compensation creates again and of which a look shows whether it is there."""

    CAPTURE = "capture"
    APPLY = "apply"
    COMPENSATE = "compensate"
    RECREATE = "recreate"


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
    """The reaction to a locked target: the deployment waits in a queue, or is rejected."""

    QUEUE = "queue"
    REJECT = "reject"


class OnFailure(StrEnum):
    """The reaction to a failed step: the deployment is rolled back, or held for inspection."""

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
"""Nothing more happens by itself. `stuck` is not among them, because the sweeper keeps trying. A person may still
resume or roll back a `failed` deployment, and retire a `succeeded` one."""

STEP_SETTLED = frozenset({StepState.SUCCEEDED, StepState.FAILED, StepState.COMPENSATION_FAILED})
"""A step stays in one of these until its deployment is rolled back or a person asks for another attempt: no delivery
writes it without moving it, and each write of it is audited."""
