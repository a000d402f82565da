"""A repository whose deployment dies at any boundary ends as the one that never died."""

import pytest

from tests.conftest import seed_of
from tests.simulation import crash_everywhere as crashes
from tests.simulation.refusing_world import differences

pytestmark = pytest.mark.law(1, 3, 6)
EVERY = 40
"""The gate lets the process die at one boundary in so many; the command, and `make hunt`, at each."""


def _wrong(end: str, every: int, first: int = 1) -> tuple[int, dict[str, tuple[str, ...]]]:
    """Return the number of crashes, and what was wrong after each by its boundary."""
    found = list(crashes.sweep(end, every, first))
    return sum(bool(each.died) for _, each in found), {
        f"{n} {each.died}": each.wrong for n, each in found if each.wrong
    }


@pytest.mark.parametrize("end", crashes.ENDS)
def test_repository_survives_a_crash_at_a_sample_of_boundaries(end: str) -> None:
    boundaries, _ = crashes.undisturbed(end)
    made, wrong = _wrong(end, EVERY, 1 + seed_of("SEED", 14) % EVERY)
    assert wrong == {}
    assert made >= boundaries // EVERY


@pytest.mark.hunt
@pytest.mark.parametrize("end", crashes.ENDS)
def test_repository_survives_a_crash_at_every_boundary(end: str) -> None:
    made, wrong = _wrong(end, 1)
    assert wrong == {}
    assert made == crashes.undisturbed(end)[0]


def test_boundaries_have_all_that_a_repository_does() -> None:
    """The deployment creates and updates, publishes an environment, activates a value set, and cuts a cycle apart."""
    world, before = crashes.run("succeeds")
    steps = {row.record.step_id: row.record for row in world.journal.steps("it")}
    acts = {step_id: row.intent.action.value for step_id, row in steps.items() if row.intent}
    assert acts["content/Notebook/Load_orders"] == acts["content/Environment/spark"] == "update"
    assert acts["content/Lakehouse/sales"] == acts["content/Report/Sales"] == "create"
    assert {"content/Environment/spark/publish", "content/VariableLibrary/names/value-set"} <= acts.keys()
    assert "content/Reflex/alarm/definition" in acts
    assert differences(before, crashes.undisturbed("rolled back")[1]) == []
