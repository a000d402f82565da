"""The legal moves, as tables. A store refuses every move that is not a row here.

A move from a state to itself is a delivery that learned something (an attempt counted, an operation polled, a
claim taken) without settling; it is legal wherever a delivery can happen.
"""

from shared.domain.errors import IllegalTransitionError
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S

STEP_TRANSITIONS: dict[tuple[S, S], str] = {
    (
        S.PENDING,
        S.PENDING,
    ): "waits: Fabric could not be asked, a before-image is being fetched, or a person has yet to approve",
    (S.PENDING, S.INTENT): "looked, or its workspace is new; the intent is written before the call",
    (
        S.PENDING,
        S.SUCCEEDED,
    ): "looked; the resource exists as requested and is adopted; or a person approved",
    (
        S.PENDING,
        S.FAILED,
    ): "refused by Fabric or by a person, forbidden, or out of time before any call",
    (S.PENDING, S.SKIPPED): "not started when the rollback began",
    (S.INTENT, S.INTENT): "the call is tried again after a look, or waits for its next attempt",
    (S.INTENT, S.SUBMITTED): "Fabric accepted it as a long-running operation",
    (S.INTENT, S.SUCCEEDED): "applied and verified",
    (S.INTENT, S.FAILED): "refused, out of attempts or time, or abandoned before the next attempt",
    (S.SUBMITTED, S.SUBMITTED): "the operation is polled",
    (S.SUBMITTED, S.INTENT): "the operation failed in a way that may be tried again, after a look",
    (S.SUBMITTED, S.SUCCEEDED): "the operation succeeded, and its effect is verified",
    (S.SUBMITTED, S.FAILED): "the operation failed, or is out of time",
    (S.SUCCEEDED, S.COMPENSATING): "the deployment is rolled back",
    (S.FAILED, S.COMPENSATING): "the deployment is rolled back; what the failed step created is looked for",
    (S.FAILED, S.PENDING): "resumed by a person; it had not started, or it runs when all others have ended",
    (S.FAILED, S.INTENT): "resumed by a person; what it created is looked for first",
    (S.SKIPPED, S.PENDING): "resumed by a person; it starts after all",
    (S.SUCCEEDED, S.COMPENSATED): "it was adopted, so it is left alone",
    (S.FAILED, S.COMPENSATED): "it had not started, so there is nothing to compensate",
    (S.COMPENSATING, S.COMPENSATING): "the compensation is tried again, or waits for its next attempt",
    (S.COMPENSATING, S.COMPENSATED): "compensated, or there was nothing to compensate",
    (S.COMPENSATED, S.COMPENSATED): "an orphan of it was found; the sweeper notes what Fabric had added to that",
    (S.COMPENSATING, S.COMPENSATION_FAILED): "out of attempts; an alert is raised",
    (S.COMPENSATION_FAILED, S.COMPENSATING): "the sweeper or a person tries again",
    (S.COMPENSATION_FAILED, S.COMPENSATION_FAILED): "a person released the deployment; the step stays as it is",
    (S.SUCCEEDED, S.SUCCEEDED): "a person released the deployment before the step was compensated; it stays as it is",
    (S.FAILED, S.FAILED): "a person released the deployment before the step was compensated; it stays as it is",
}

DEPLOYMENT_TRANSITIONS: dict[tuple[D, D], str] = {
    (D.ACCEPTED, D.ACCEPTED): "waits for its target",
    (D.ACCEPTED, D.RUNNING): "holds its target; steps are dispatched",
    (D.ACCEPTED, D.REJECTED): "its target is held by another and it asked not to queue; or it was accepted in part",
    (D.ACCEPTED, D.CANCELLED): "cancelled before anything was done",
    (D.RUNNING, D.RUNNING): "a heartbeat, or a request to cancel",
    (D.RUNNING, D.SUCCEEDED): "every step is applied and verified",
    (D.RUNNING, D.COMPENSATING): "a step failed, or it was cancelled",
    (D.RUNNING, D.HELD): "a step failed and the manifest says to hold",
    (D.RUNNING, D.FAILED): "a step failed, or it was cancelled, and rollback is off: nothing is rolled back",
    (D.FAILED, D.RUNNING): "a person resumed it or asked for its rollback; holds its target again",
    (D.HELD, D.RUNNING): "a person resumed it or asked for its rollback; or its time is up (keepFor)",
    (D.COMPENSATING, D.COMPENSATING): "a heartbeat",
    (D.COMPENSATING, D.COMPENSATED): "everything is rolled back",
    (D.COMPENSATING, D.CANCELLED): "everything is rolled back, because a person asked",
    (D.COMPENSATING, D.STUCK): "a compensation is out of attempts; alert, and the sweeper stays on it",
    (D.STUCK, D.STUCK): "the sweeper or a person tries again; it stays visible as stuck",
    (D.STUCK, D.COMPENSATED): "another try compensated the rest",
    (D.STUCK, D.CANCELLED): "another try compensated the rest, because a person asked",
    (D.STUCK, D.FAILED): "a person released it: what could not be compensated stays as it is",
    (D.FAILED, D.FAILED): "released, and checked for orphans of late calls",
    (D.FAILED, D.COMPENSATING): "released before, and a person has the rest tried again; holds its target again",
    (D.COMPENSATED, D.COMPENSATED): "checked for orphans of late calls",
    (D.CANCELLED, D.CANCELLED): "checked for orphans of late calls",
    (D.SUCCEEDED, D.SUCCEEDED): "a request is noted; its target is not free",
    (D.SUCCEEDED, D.COMPENSATING): "its time is up (expiresAfter), or a person retires it",
}


def check_step(before: S, after: S) -> None:
    """Raise IllegalTransitionError unless a step may move so."""
    if (before, after) not in STEP_TRANSITIONS:
        raise IllegalTransitionError("step", before, after)


def check_deployment(before: D, after: D) -> None:
    """Raise IllegalTransitionError unless a deployment may move so."""
    if (before, after) not in DEPLOYMENT_TRANSITIONS:
        raise IllegalTransitionError("deployment", before, after)
