"""The simulator against recorded traffic: a fixed part of `make truth`, and that its comparison can fail."""

import copy
import json
from typing import Any

import pytest

from tests.conftest import reference
from tests.simulator.comparison import Comparison, Ids
from tests.simulator.recordings import Conversation, conversations
from tests.simulator.replay import Replay
from tests.simulator.report import Report

MOST_CONTRADICTIONS = 0.005
"""The share of replayed exchanges that may contradict the recording in substance; `KNOWN` in report.py says why."""
MOST_WITH_OWN_TIMES = 0.008
"""The same if the simulator draws these times. Fabric's own vary: even the best fixed time contradicts 0.54 %."""
PART = 5
"""Of the conversations, the gate replays one in five."""
MIN_EXCHANGES = 2150
"""The least number of exchanges in that part that are replayed: a route that is no longer served lowers it."""


def recorded() -> list[Conversation]:
    """Return all recorded conversations, or skip without them."""
    return conversations(reference("fabric_traffic") / "all_conversations.jsonl.xz")


def test_traffic_is_answered_as_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    """Replayed in order, with nothing seeded after a workspace's first list, every answer is the recorded one, both
    ways, except for the kinds that are tolerated with a reason."""
    report = Report()
    for conversation in recorded()[::PART]:
        report.add(conversation)
    with capsys.disabled():
        print("\n" + "\n".join(report.lines(tolerated=False)))
    assert report.share("contradict") <= MOST_CONTRADICTIONS
    assert report.replayed >= MIN_EXCHANGES


def test_traffic_is_answered_as_recorded_with_the_simulators_own_times() -> None:
    """Few answers more contradict if the simulator draws when it first shows what Fabric adds to a new item."""
    report = Report(own_times=True)
    for conversation in recorded()[::PART]:
        report.add(conversation)
    assert report.share("contradict") <= MOST_WITH_OWN_TIMES


def compared(recorded: Any, simulated: Any) -> list[str]:
    """Return the kinds of difference between two values."""
    comparison = Comparison(Ids())
    comparison.compare(recorded, simulated)
    return [difference.kind for difference in comparison.found]


ROW = {"id": "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01", "type": "Notebook", "displayName": "n"}
OTHER_ID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c02"


@pytest.mark.parametrize(
    ("theirs", "ours", "kinds"),
    [
        ({"a": 1}, {"a": 2}, ["$.a: value"]),
        ({"a": "x"}, {"a": "y"}, ["$.a: value"]),
        ({"a": "x"}, {}, ["$.a: absent"]),
        ({}, {"a": "x"}, ["$.a: extra"]),
        ({"a": None}, {"a": 1}, ["$.a: number for null"]),
        ({"a": []}, {}, ["$.a: absent, empty"]),
        ([None, "x"], ["x", None], []),
        ([None], [], ["$[]: row absent"]),
        ({"value": [ROW]}, {"value": []}, ["$.value[Notebook]: row absent"]),
        ({"value": []}, {"value": [ROW]}, ["$.value[Notebook]: row extra"]),
        ({"value": [ROW]}, {"value": [ROW, {**ROW, "id": OTHER_ID}]}, ["$.value[Notebook]: row extra"]),
        ([ROW], [{**ROW, "type": "Report"}], ["$[Notebook]: row absent", "$[Report]: row extra"]),
        ({"a": ROW["id"], "b": ROW["id"]}, {"a": ROW["id"], "b": OTHER_ID}, ["$.b: another id"]),
        ({"a": "2026-01-01T00:00:00Z"}, {"a": "2026-01-01T00:00:00"}, ["$.a: format of a time"]),
        ([{"path": "a", "payload": "eA=="}], [{"path": "a", "payload": "eQ=="}], ["$[a]: content"]),
    ],
)  # fmt: skip
def test_traffic_comparison_reports_each_difference(theirs: Any, ours: Any, kinds: list[str]) -> None:
    """It looks both ways, and at values, rows and ids; equal values have no difference."""
    assert compared(theirs, ours) == kinds
    assert compared(theirs, theirs) == compared(ours, ours) == []


@pytest.mark.parametrize("change", ["status", "row", "companion", "operation"])
def test_traffic_replay_notices_a_changed_recording(change: str) -> None:
    """A conversation that agrees no longer does once its recording says something else."""
    wanted = "test_mkdir_item_success[Eventhouse].yaml"
    found = next(c["exchanges"] for c in recorded() if c["name"].endswith(wanted))
    assert contradictions(found) == []
    changed = copy.deepcopy(found)
    creates = next(i for i, e in enumerate(changed) if e["method"] == "POST" and e["path"].endswith("eventhouses"))
    lists = [e for e in changed[creates:] if e["method"] == "GET" and e["path"].endswith("/items")]
    if change == "status":
        changed[creates]["status"] = 202
    elif change == "row":
        lists[0]["response"]["value"].append({**lists[0]["response"]["value"][0], "id": OTHER_ID, "displayName": "x"})
    elif change == "companion":
        rows = lists[0]["response"]["value"]
        lists[0]["response"]["value"] = [row for row in rows if row["type"] != "KQLDatabase"]
    else:
        changed[creates]["headers"] = {**changed[creates]["headers"], "x-ms-operation-id": OTHER_ID}
    assert contradictions(changed) != []


def contradictions(exchanges: list[dict[str, Any]]) -> list[str]:
    """Return the contradictions of a conversation."""
    report = Report()
    report.add({"name": "n", "exchanges": exchanges})
    return list(report.kinds.get("contradict", {}))


def test_traffic_replay_seeds_nothing_after_the_first_list() -> None:
    """An item that no call created and that only a second list shows is a contradiction."""
    found = next(c["exchanges"] for c in recorded() if c["name"].endswith("test_mkdir_item_success[Eventhouse].yaml"))
    changed = json.loads(json.dumps(found))
    lists = [e for e in changed if e["method"] == "GET" and e["path"].endswith("/items")]
    for later in lists[1:]:
        workspace = later["path"].split("/")[3]
        later["response"]["value"].append({**ROW, "description": "", "workspaceId": workspace})
    assert any("row absent" in kind for kind in contradictions(changed))
    replay = Replay(changed)
    while replay.next < len(changed):
        replay.play()
    assert ROW["id"] not in replay.ids.here
