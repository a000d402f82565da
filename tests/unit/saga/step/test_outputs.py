"""The outputs of steps, as the steps that refer to them read them."""

import pytest

from shared.domain.ports import Versioned
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import DeploymentState, StepState
from shared.saga.step.outputs import outputs_of
from tests.unit.saga.fixture import SagaFixture, row


@pytest.mark.parametrize(("state", "reads"), [(StepState.SUCCEEDED, 1), (StepState.SUBMITTED, 3)])
def test_outputs_are_read_once_if_they_are_final(state: StepState, reads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a step that still moves are read each time."""
    saga = SagaFixture()
    saga.deployment(DeploymentState.RUNNING, row(0, state, outputs={"id": "w"}))
    step, asked = saga.journal.step, list[int]()

    def counted(deployment_id: str, ordinal: int) -> tuple[Versioned[DeploymentRecord], Versioned[StepRecord]]:
        asked.append(ordinal)
        return step(deployment_id, ordinal)

    monkeypatch.setattr(saga.journal, "step", counted)
    assert [outputs_of(saga.journal, "d", 0) for _ in range(3)] == [{"id": "w"}] * 3
    assert len(asked) == reads


def test_outputs_of_one_journal_are_not_those_of_another() -> None:
    one, other = SagaFixture(), SagaFixture()
    one.deployment(DeploymentState.RUNNING, row(0, StepState.SUCCEEDED, outputs={"id": "w"}))
    other.deployment(DeploymentState.RUNNING, row(0, StepState.SUCCEEDED, outputs={"id": "v"}))
    assert [outputs_of(saga.journal, "d", 0)["id"] for saga in (one, other, one)] == ["w", "v", "w"]
