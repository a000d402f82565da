"""One field of one answer has an odd value, once, in a deployment of each kind that is rolled back: it still is."""

import random

import pytest

from shared.domain.states import DeploymentState
from tests.conftest import seed_of
from tests.simulation.fault_table import SCENARIOS
from tests.simulation.odd_fields import VALUES, Field, fields_of, run_with

pytestmark = pytest.mark.law(1)


def _wrong(name: str, field: Field, value: object) -> str:
    """Return how a run ended otherwise than it must; empty if it did not."""
    what = f"{field.call} {field.place} = {value!r}"
    try:
        state = run_with(name, field, value).state()
    except Exception as error:
        return f"{what}: {type(error).__name__}: {error}"
    return "" if state is DeploymentState.COMPENSATED else f"{what}: {state.value}"


@pytest.mark.parametrize("count", [3, pytest.param(0, marks=pytest.mark.hunt)], ids=["some", "all"])
@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
def test_odd_field_of_an_answer_does_not_stop_a_rollback(name: str, count: int) -> None:
    """No delivery ends in an unexpected error, and nothing is left behind that blocks the rollback."""
    cases = [(field, value) for field in fields_of(name) for value in VALUES]
    drawn = random.Random(f"{seed_of('ODD_SEED', 7)}/{name}").sample(cases, min(count, len(cases))) if count else cases
    assert [wrong for field, value in drawn if (wrong := _wrong(name, field, value))] == []
