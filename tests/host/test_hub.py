"""The task hub that hosts share, and how its queues are polled."""

import json
import time
from pathlib import Path

import pytest

from local.functions_host.hub_config import HubConfig, Polling
from local.functions_host.task_hub import START, WORK_ITEMS, HubMessage, LeaseLostError, Stored, TaskHub, control_queue
from local.paths import ROOT


@pytest.fixture
def hub(tmp_path: Path) -> TaskHub:
    return TaskHub(tmp_path / "hub.sqlite", 4)


def message(instance_id: str, kind: str = START, visible_at: float = 0.0) -> HubMessage:
    return HubMessage(WORK_ITEMS, instance_id, kind, b"x", visible_at)


def test_hub_polls_grow_to_the_configured_interval_and_begin_again() -> None:
    """An idle queue is polled after 50, 100, 200 ms and so on; after a message or a wake-up the pauses begin at 50 ms
    again."""
    polling = Polling(0.05, 1.0)
    waits: list[float] = []
    for _ in range(7):
        polling.polled(100.0, found=False)
        waits.append(round(polling.due - 100.0, 3))
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    polling.polled(100.0, found=True)
    assert polling.due == 100.0
    polling.polled(100.0, found=False)
    polling.polled(100.0, found=False)
    assert polling.due > 100.05
    polling.wake()
    assert polling.due == 0.0


def test_hub_config_is_that_of_host_json_and_else_the_extensions() -> None:
    """The values are those of the app's host.json, and otherwise the defaults of the real extension."""
    section = json.loads((ROOT / "host.json").read_text())["extensions"]["durableTask"]
    found = HubConfig.of(section, 30.0)
    assert (found.longest_poll_seconds, found.control_seconds, found.work_item_seconds) == (0.5, 60.0, 60.0)
    assert (found.partitions, found.activities) == (2, 16)
    plain = HubConfig.of({}, 30.0)
    assert (plain.longest_poll_seconds, plain.control_seconds, plain.work_item_seconds) == (30.0, 300.0, 300.0)


def test_hub_taken_message_is_invisible_for_its_time(hub: TaskHub) -> None:
    """It comes again afterwards, or at once if its taker returns it; a later message is not visible yet."""
    hub.send(message("a"))
    hub.send(message("later", visible_at=time.time() + 3600))
    (taken,) = hub.take(WORK_ITEMS, 32, 3600.0)
    assert (taken.instance_id, taken.body) == ("a", b"x")
    assert hub.take(WORK_ITEMS, 32, 3600.0) == []
    hub.hide([taken.number], 0.0)
    (repeated,) = hub.take(WORK_ITEMS, 32, 0.0)
    assert repeated.number == taken.number
    hub.delete(taken.number)
    assert hub.take(WORK_ITEMS, 32, 0.0) == []


def test_hub_two_processes_take_no_message_twice(tmp_path: Path) -> None:
    """Each opens the file for itself."""
    one, two = (TaskHub(tmp_path / "hub.sqlite", 4) for _ in range(2))
    for number in range(10):
        one.send(message(f"i{number}"))
    taken = [*one.take(WORK_ITEMS, 6, 60.0), *two.take(WORK_ITEMS, 6, 60.0), *one.take(WORK_ITEMS, 6, 60.0)]
    assert sorted(each.instance_id for each in taken) == [f"i{number}" for number in range(10)]


def test_hub_instance_starts_once(hub: TaskHub) -> None:
    """No second start has an effect while the first message waits or while the instance lives; an ended one is started
    again."""
    owner = "o"
    hub.lease(owner, 60.0)
    queue = hub.control_queue_of("i")
    first = HubMessage(queue, "i", START, b"1")
    assert hub.start(first)
    assert not hub.start(first)
    (taken,) = hub.take(queue, 32, 60.0)
    hub.checkpoint(owner, Stored("i", True, "{}", b"live"), [taken.number], [])
    assert not hub.start(first)
    assert not hub.purge("i")
    hub.checkpoint(owner, Stored("i", False, "{}", b"ended"), [], [])
    assert hub.start(first)
    assert hub.starting("i") == b"1"
    assert hub.purge("i")
    assert hub.instance("i") is None


def test_hub_host_that_lost_its_partition_stores_nothing(hub: TaskHub) -> None:
    """Its turn and the messages that it sent are discarded together."""
    assert hub.lease("one", 0.0) == {0, 1, 2, 3}
    time.sleep(0.01)
    assert hub.lease("two", 60.0) == {0, 1, 2, 3}
    assert hub.lease("one", 60.0) == frozenset()
    with pytest.raises(LeaseLostError):
        hub.checkpoint("one", Stored("i", True, "{}", b"x"), [], [message("i")])
    assert (hub.instance("i"), hub.take(WORK_ITEMS, 32, 0.0)) == (None, [])
    hub.release("two")
    assert hub.lease("one", 60.0) == {0, 1, 2, 3}
    assert control_queue(hub.partition_of("i")) == hub.control_queue_of("i")


def test_hub_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """The message says what to do; the app's journal has everything that matters."""
    (tmp_path / "hub.sqlite").write_bytes(b"junk" * 1000)
    with pytest.raises(RuntimeError, match="delete it and start again"):
        TaskHub(tmp_path / "hub.sqlite", 4)
