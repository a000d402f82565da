"""The tables of legal moves, followed from every state."""

import pytest

from local import diagrams
from shared.domain import transitions
from shared.domain.errors import IllegalTransitionError
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState, StepState


def reachable(table: dict, start: object) -> set:
    """Return every state that the moves lead to."""
    found, todo = {start}, [start]
    while todo:
        at = todo.pop()
        for before, after in table:
            if before == at and after not in found:
                found.add(after)
                todo.append(after)
    return found


def test_transitions_lead_every_step_state_to_a_lawful_end() -> None:
    """Wherever a crash leaves a step, it can still become succeeded, compensated or skipped."""
    ends = {StepState.SUCCEEDED, StepState.COMPENSATED, StepState.SKIPPED}
    for state in StepState:
        assert reachable(transitions.STEP_TRANSITIONS, state) & ends, state


def test_transitions_lead_every_deployment_state_to_an_end() -> None:
    """Every deployment can end. An ended one stays as it is, except for a success that is rolled back and a failure
    that a person resumes."""
    for state in DeploymentState:
        found = reachable(transitions.DEPLOYMENT_TRANSITIONS, state)
        assert found & DEPLOYMENT_ENDED, state
        if state in DEPLOYMENT_ENDED - {DeploymentState.SUCCEEDED, DeploymentState.FAILED}:
            assert found == {state}
    left = {after for before, after in transitions.DEPLOYMENT_TRANSITIONS if before is DeploymentState.SUCCEEDED}
    assert left == {DeploymentState.SUCCEEDED, DeploymentState.COMPENSATING}


def test_transitions_reach_every_state() -> None:
    assert reachable(transitions.STEP_TRANSITIONS, StepState.PENDING) == set(StepState)
    assert reachable(transitions.DEPLOYMENT_TRANSITIONS, DeploymentState.ACCEPTED) == set(DeploymentState)


def test_transitions_never_start_a_settled_effect_again() -> None:
    """A compensated step stays compensated, a skipped one can at most start, and a succeeded one is only compensated,
    or left as it is when a person releases its deployment."""
    for after in StepState:
        if after is not StepState.COMPENSATED:
            with pytest.raises(IllegalTransitionError):
                transitions.check_step(StepState.COMPENSATED, after)
        if after is not StepState.PENDING:
            with pytest.raises(IllegalTransitionError):
                transitions.check_step(StepState.SKIPPED, after)
    allowed = {after for before, after in transitions.STEP_TRANSITIONS if before is StepState.SUCCEEDED}
    assert allowed == {StepState.COMPENSATING, StepState.COMPENSATED, StepState.SUCCEEDED}


def test_transitions_in_the_docs_are_up_to_date() -> None:
    assert diagrams.FILE.read_text() == diagrams.document(), "run: make diagrams"
