"""The tables of legal moves, walked."""

import pytest

from local import diagrams
from shared.domain import transitions
from shared.domain.errors import IllegalTransitionError
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState, StepState


def reachable(table: dict, start: object) -> set:
    """Every state that moves lead to."""
    found, todo = {start}, [start]
    while todo:
        at = todo.pop()
        for before, after in table:
            if before == at and after not in found:
                found.add(after)
                todo.append(after)
    return found


def test_transitions_every_step_state_has_a_way_to_a_lawful_end() -> None:
    """From wherever a crash leaves a step, it can still become succeeded, compensated or skipped."""
    ends = {StepState.SUCCEEDED, StepState.COMPENSATED, StepState.SKIPPED}
    for state in StepState:
        assert reachable(transitions.STEP_TRANSITIONS, state) & ends, state


def test_transitions_every_deployment_state_has_a_way_to_an_end() -> None:
    """No deployment is without a way out; ended ones stay as they are, but for a success
    that is put back and a failure that a person takes up again."""
    for state in DeploymentState:
        found = reachable(transitions.DEPLOYMENT_TRANSITIONS, state)
        assert found & DEPLOYMENT_ENDED, state
        if state in DEPLOYMENT_ENDED - {DeploymentState.SUCCEEDED, DeploymentState.FAILED}:
            assert found == {state}
    left = {after for before, after in transitions.DEPLOYMENT_TRANSITIONS if before is DeploymentState.SUCCEEDED}
    assert left == {DeploymentState.SUCCEEDED, DeploymentState.COMPENSATING}


def test_transitions_every_state_can_be_reached() -> None:
    """No state is there for nothing."""
    assert reachable(transitions.STEP_TRANSITIONS, StepState.PENDING) == set(StepState)
    assert reachable(transitions.DEPLOYMENT_TRANSITIONS, DeploymentState.ACCEPTED) == set(DeploymentState)


def test_transitions_settled_effects_are_never_begun_again() -> None:
    """What is put back moves no more, what is skipped is at most begun, and success only turns into
    compensation, or is left as it is when a person releases its deployment."""
    for after in StepState:
        with pytest.raises(IllegalTransitionError):
            transitions.check_step(StepState.COMPENSATED, after)
        if after is not StepState.PENDING:
            with pytest.raises(IllegalTransitionError):
                transitions.check_step(StepState.SKIPPED, after)
    allowed = {after for before, after in transitions.STEP_TRANSITIONS if before is StepState.SUCCEEDED}
    assert allowed == {StepState.COMPENSATING, StepState.COMPENSATED, StepState.SUCCEEDED}


def test_transitions_are_drawn_in_the_docs_as_they_are() -> None:
    """docs/states.md is what `make diagrams` would write."""
    assert diagrams.FILE.read_text() == diagrams.document(), "run: make diagrams"
