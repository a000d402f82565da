"""A whole repository is all or nothing: one call of one step is refused permanently, and everything is as it was."""

import random
from itertools import groupby

import pytest

from shared.repository.item_types import ITEM_TYPES
from tests.conftest import seed_of
from tests.simulation import repository_sweep as sweep
from tests.simulation.refusing_world import How, Refusal, RefusingWorld, differences, held

pytestmark = pytest.mark.law(1)
SAMPLE = 12
"""Refusals for each deployment in the gate; the command makes all of them."""


@pytest.mark.parametrize("phase", sweep.PHASES)
def test_refused_step_of_a_whole_repository_leaves_what_was_there(phase: str) -> None:
    """A sample of steps, each refused in one of its calls: the deployment ends compensated, and nothing differs."""
    chance = random.Random(seed_of("SEED", 14))
    by_step = [list(each) for _, each in groupby(sweep.points(phase), lambda point: point.refusal.step_id)]
    wrong = {
        str(p): found
        for p in map(chance.choice, chance.sample(by_step, SAMPLE))
        if not (found := sweep.run(p)).is_restored
    }
    assert wrong == {}


@pytest.mark.hunt
@pytest.mark.parametrize("phase", sweep.PHASES)
def test_every_refusal_of_a_whole_repository_leaves_what_was_there(phase: str) -> None:
    assert {str(p): found for p in sweep.points(phase) if not (found := sweep.run(p)).is_restored} == {}


def test_sweep_covers_all_types_and_each_step() -> None:
    """Every type is created and changed, there are two-step items, and only a step without a call is not refused."""
    for phase in sweep.PHASES:
        steps = [step_id.split("/") for step_id in sweep.undisturbed(phase)]
        written = {p.refusal.step_id for p in sweep.points(phase) if p.refusal.how is How.WRITE}
        assert {step[1] for step in steps if len(step) > 2} >= ITEM_TYPES
        assert {step_id.split("/")[1] for step_id in written if step_id.count("/") > 1} >= ITEM_TYPES
        assert sum(step[-1] == "definition" for step in steps) >= 2
        silent = {step_id for step_id, calls in sweep.undisturbed(phase).items() if not calls}
        assert {p.refusal.step_id for p in sweep.points(phase)} | silent == set(sweep.undisturbed(phase))


def test_sweep_notices_what_is_not_restored() -> None:
    """Each kind of difference is found: changed content, an item that is left, one that is gone."""
    world = RefusingWorld()
    before = held(world, world.workspace)
    assert world.deploy(1, "it") == "succeeded"
    after = held(world, world.workspace)
    assert {line.rpartition(" ")[2] for line in differences(before, after)} == {"left", "differs"}
    assert f"{next(k for k in after if k.startswith('Lakehouse Bronze') and k.endswith('description'))} is left" in (
        differences(before, after)
    )
    world.workspace.items.pop(world.item("Notebook", "theirs").id)
    assert any(line.endswith("id is gone") for line in differences(before, held(world, world.workspace)))
    world.refusal = Refusal("ws", 0, How.READ)
    assert world.deploy(2, "refused") == "compensated"
    assert world.refused > 0
