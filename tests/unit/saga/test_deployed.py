"""The notes on deployed items that the steps of a plan share."""

from collections import Counter

from shared.domain.ports import DeployedItem
from shared.saga import deployed
from tests.fakes import START, FakeClock, MemoryDeployedItems

WORKSPACES = ("0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01", "1f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01")


class CountedItems(MemoryDeployedItems):
    """Notes that count how often each workspace is read; a read takes a second."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.reads, self._clock = Counter[str](), clock

    def get(self, workspace_id: str, identity: str) -> DeployedItem | None:
        raise AssertionError(f"{identity} was read alone")

    def of_workspace(self, workspace_id: str) -> list[DeployedItem]:
        self.reads[workspace_id] += 1
        self._clock.advance(1)
        return super().of_workspace(workspace_id)


def _note(workspace_id: str, number: int) -> DeployedItem:
    name = f"n{number}"
    return DeployedItem(workspace_id, name, f"id-{name}", "Notebook", name, "", True, "T/content", "d", START)


def test_a_plan_reads_the_notes_of_each_workspace_once() -> None:
    """Also if its steps are about two workspaces in turn, and whatever it asks."""
    clock = FakeClock()
    notes = CountedItems(clock)
    notes.put([_note(place, number) for place in WORKSPACES for number in range(30)])
    recalled = deployed.noted(notes, "T", clock)
    clock.advance(1)
    for number in range(30):
        for place in WORKSPACES:
            found = recalled.of_item(place, f"n{number}", f"Notebook/n{number}")
            assert found is not None
            assert found["id"] == f"id-n{number}"
            assert [each["id"] for each in recalled.named(place, f"Notebook/N{number}")] == [f"id-n{number}"]
    assert notes.reads == dict.fromkeys(WORKSPACES, 1)


def test_a_later_plan_reads_the_notes_again() -> None:
    """A note that was written after the plan before is not missed."""
    clock = FakeClock()
    notes = CountedItems(clock)
    assert deployed.noted(notes, "T", clock).named(WORKSPACES[0], "Notebook/n1") == []
    clock.advance(1)
    notes.put([_note(WORKSPACES[0], 1)])
    assert deployed.noted(notes, "T", clock).named(WORKSPACES[0], "Notebook/n1") != []
