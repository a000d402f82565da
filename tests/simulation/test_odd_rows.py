"""Lists whose first row names nothing, as long as Fabric is asked: they prove no absence, so all is restored."""

import pytest

from shared.domain.states import DeploymentState
from tests.simulation.fault_table import outcome
from tests.simulation.odd_fields import Place, run_always_with, run_plain

pytestmark = pytest.mark.law(1)
ITEMS, FOLDERS = "GET /v1/workspaces/*/items", "GET /v1/workspaces/*/folders"
ROWS: list[Place] = [("value",), ("value", 0), ("value", 0, "id")]
"""The rows as a whole, the first row, and the id of the first row; each becomes null."""


@pytest.mark.parametrize("place", ROWS)
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("folder, created", FOLDERS),
        ("shortcut, created", ITEMS),
        ("shortcut, changed", ITEMS),
        ("items of a repository, created", ITEMS),
        ("items of a repository, updated", ITEMS),
        ("Git, updated", ITEMS),
    ],
)
def test_row_without_an_id_does_not_leave_what_a_deployment_did(name: str, call: str, place: Place) -> None:
    """A row without an id may be the one that is looked for: its own route is asked, or nothing is changed at all."""
    world = run_always_with(name, call, place, None)
    assert world.state() is DeploymentState.COMPENSATED
    assert outcome(world).fabric == outcome(run_plain(name)).fabric


@pytest.mark.parametrize("place", [("value",), ("value", 0), ("value", 0, "name"), ("value", 0, "path")])
@pytest.mark.parametrize("name", ["shortcut, created", "shortcut, changed"])
def test_row_of_a_shortcut_that_names_none_does_not_leave_it(name: str, place: Place) -> None:
    """It may be the one that is looked for: it counted as deleted, and stayed."""
    world = run_always_with(name, "GET /v1/workspaces/*/items/*/shortcuts", place, None)
    assert world.state() is DeploymentState.COMPENSATED
    assert outcome(world).fabric == outcome(run_plain(name)).fabric


@pytest.mark.parametrize("place", [("value", 0), ("value", 0, "id")])
def test_row_of_a_folder_without_an_id_does_not_end_a_rollback_of_an_update_from_git(place: Place) -> None:
    """The folders of the update are not told from others, so they must not count as restored."""
    assert run_always_with("Git, updated", FOLDERS, place, None).state() is DeploymentState.STUCK


@pytest.mark.parametrize(
    "place",
    [
        ("changes", 0, "itemMetadata", "itemIdentifier"),
        ("changes", 0, "itemMetadata", "itemIdentifier", "objectId"),
        ("changes", 0, "remoteChange"),
    ],
)
def test_change_from_git_whose_item_is_not_clear_is_not_applied(place: Place) -> None:
    """It counted as an added item, or as no change: the update changed it, and nothing restored it."""
    world = run_always_with("Git, updated", "GET /v1/operations/*/result", place, None)
    assert world.state() is DeploymentState.COMPENSATED
    assert outcome(world).fabric == outcome(run_plain("Git, updated")).fabric


def test_item_without_a_name_is_not_changed_from_git() -> None:
    """It is known by its id, and its name could not be restored."""
    world = run_always_with("Git, updated", ITEMS, ("value", 0, "displayName"), None)
    assert world.state() is DeploymentState.COMPENSATED
    assert outcome(world).fabric == outcome(run_plain("Git, updated")).fabric
