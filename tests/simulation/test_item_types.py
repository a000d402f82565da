"""An item of each of the 31 types: created, planned, repeated, changed, restored and deleted, by its folder."""

import pytest

from shared.repository.item_types import ITEM_TYPES
from shared.steps.restorable import Restorable, of_update
from tests.simulation import item_types
from tests.simulation.type_trial import CHANGES, OK

EXCEPTIONS = {("SQLDatabase", "item"): {"plan", "again"}}
"""Outcomes that differ from the promise, by type and kind of step; `NOT_RESTORED` has the reason."""
pytestmark = pytest.mark.law(1)


@pytest.mark.parametrize("item_type", CHANGES)
def test_item_of_each_type_is_deployed_changed_and_restored(item_type: str) -> None:
    """Every outcome is as promised, except for the listed ones, and docs/item-types.md says exactly what was found."""
    for way, outcomes in item_types.measured(item_type).items():
        wrong = {name for name, found in vars(outcomes).items() if found != OK}
        assert wrong == EXCEPTIONS.get((item_type, way), set()), outcomes
    assert item_types.row(item_type) in item_types.FILE.read_text(), "run: python -m tests.simulation.item_types"


def test_item_types_are_all_in_the_page() -> None:
    """The page has each type that is deployed, and a reason for each that is not restored exactly."""
    assert list(CHANGES) == sorted(ITEM_TYPES)
    inexact = {item_type for item_type in ITEM_TYPES if of_update(item_type) is not Restorable.EXACT}
    assert item_types.NOT_RESTORED.keys() == inexact
    text = item_types.FILE.read_text()
    assert all(item_types.reason(item_type) in text for item_type in ITEM_TYPES)
