"""The contract of the port DeployedItems: notes are kept by workspace and identity."""

import uuid
from dataclasses import replace

import pytest

from shared.adapters.storage import deployed_table
from shared.adapters.storage.clients import StorageClients
from shared.adapters.storage.deployed_table import TableDeployedItems
from shared.domain.ports import DeployedItem, DeployedItems
from tests.contract.harness import VARIANTS
from tests.fakes import START, MemoryDeployedItems

PLACE, OTHER = "0F3F6F0E-52a4-4a35-9d4e-7f2f4f6a1c01", "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c02"
NOTE = DeployedItem(PLACE, "Notebook/a/b#c", "1", "Notebook", "a/b#c", "5e", True, "t/content", "d1", START, seen="a7")


@pytest.fixture(params=VARIANTS)
def notes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> DeployedItems:
    """Return each implementation of the port in turn, empty."""
    if request.param == "memory":
        return MemoryDeployedItems()
    monkeypatch.setattr(deployed_table, "TABLE", f"deployed{uuid.uuid4().hex}")
    return TableDeployedItems(StorageClients(request.getfixturevalue("storage")))


def test_deployed_note_is_returned_as_it_was_written(notes: DeployedItems) -> None:
    """A name may hold any character, and the case of a workspace's id does not matter."""
    assert notes.get(PLACE, NOTE.identity) is None
    notes.put([NOTE])
    assert notes.get(PLACE.lower(), NOTE.identity) == NOTE
    assert notes.get(OTHER, NOTE.identity) is None
    assert notes.of_workspace(PLACE) == [NOTE]


def test_deployed_notes_of_many_items_are_written_at_once_and_replaced(notes: DeployedItems) -> None:
    """More than one batch holds, of two workspaces."""
    many = [replace(NOTE, identity=f"Notebook/{i}", item_id=str(i)) for i in range(150)]
    notes.put([*many, replace(NOTE, workspace_id=OTHER)])
    notes.put([replace(many[7], sent="6f", previous={"version": 1})])
    assert len(notes.of_workspace(PLACE)) == 150
    found = notes.get(PLACE, "Notebook/7")
    assert found is not None
    assert (found.sent, found.previous) == ("6f", {"version": 1})
    assert len(notes.of_workspace(OTHER)) == 1


def test_deployed_notes_are_removed_and_a_missing_one_is_no_error(notes: DeployedItems) -> None:
    notes.put([NOTE, replace(NOTE, identity="x")])
    for _ in range(2):
        notes.remove(PLACE, [NOTE.identity, "never there"])
    assert [note.identity for note in notes.of_workspace(PLACE)] == ["x"]
