"""The simulator against recorded traffic: the same status, the headers that a client acts on, the same JSON shape."""

import re
from collections import Counter
from typing import Any

import pytest

from tests.conftest import reference
from tests.simulator.replay import OPERATION, Exchange, Replay, is_served, read

KNOWN_DIFFERENCES = {
    # A label that the recording tenant's own policy put on items; the simulator has no labels.
    r".*: \$\.value\[\]\.sensitivityLabel: absent",
    # An always empty list that appeared in the last weeks of the recordings and is in no published definition.
    r".*: \$(\.value\[\])?\.attributes: absent",
    # Only workspaces with an identity have it, and provisionIdentity is not served.
    r"GET /v1/workspaces/\{id\} 200: \$\.workspaceIdentity: absent",
    # The result of provisionIdentity, which is not served.
    r"GET /v1/operations/\{id\}/result 200: \$\.(applicationId|servicePrincipalId): absent",
    # The recorder replaced a random name in the body, and not in the header.
    r"POST /v1/workspaces/\{id\}/items/\{id\}/shortcuts 201: Location: \S+ for \S+/fabcli[a-z0-9]{10}",
}
"""The parts of a recorded answer that the simulator does not return, and why."""

MIN_EXCHANGES, MIN_PAIRS = 199, 94
"""The least numbers of recorded exchanges that are replayed, and of pairs of route and status without any
difference, known or not."""
MIN_STEPS, MIN_CONVERSATIONS = 1004, 80
"""The least numbers of steps of recorded conversations that are replayed, and of conversations with such steps."""


def exchanges() -> list[Exchange]:
    """Return all recorded exchanges, or none without the recordings (the tests then skip)."""
    return read(reference("fabric_traffic") / "exchanges.jsonl")


def unknown(exchange: Exchange, differences: list[str]) -> list[str]:
    """Return the differences that are not known."""
    named = [f"{exchange['route']} {exchange['status']}: {d}" for d in differences]
    return [n for n in named if not any(re.fullmatch(known, n) for known in KNOWN_DIFFERENCES)]


def played(exchange: Exchange) -> list[str]:
    """Return how the simulator's answer differs, with the exchange replayed alone."""
    replay = Replay([exchange])
    operation = OPERATION.fullmatch(exchange["path"])
    if operation:
        replay.begin(operation[1], with_result=exchange["status"] == 200)
    assert replay.prepare(exchange)
    return replay.play(exchange)


def test_traffic_exchanges_are_answered_as_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    """Every recorded exchange of a served route, success or refusal, gets the same status, headers and shape."""
    recorded = exchanges()
    served = [e for e in recorded if is_served(e["route"])]
    wrong: list[str] = []
    alike: Counter[tuple[str, int]] = Counter()
    for exchange in served:
        differences = played(exchange)
        wrong += unknown(exchange, differences)
        if not differences:
            alike[(exchange["route"], exchange["status"])] += 1
    pairs = {(e["route"], e["status"]) for e in recorded}
    with capsys.disabled():
        print(
            f"\nexchanges: {len(served)} of {len(recorded)} are of served routes, {alike.total()} of them without"
            f" any difference; route+status pairs: {len(alike)} of {len(pairs)}"
        )
    assert wrong == [], "\n".join(map(str, wrong))
    assert len(served) >= MIN_EXCHANGES
    assert len(alike) >= MIN_PAIRS


def test_traffic_conversations_are_answered_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Each recorded conversation runs against one tenant: later steps see what a step creates or removes."""
    wrong: list[str] = []
    steps = conversations = begun_elsewhere = 0
    recorded: list[dict[str, Any]] = read(reference("fabric_traffic") / "conversations.jsonl")
    for conversation in recorded:
        replay = Replay(conversation["exchanges"])
        before = steps
        for exchange in conversation["exchanges"]:
            if not is_served(exchange["route"]):
                continue
            if not replay.prepare(exchange):
                begun_elsewhere += 1  # The operation was begun by a call to a route that is not served.
                continue
            steps += 1
            wrong += [f"{conversation['name']} {d}" for d in unknown(exchange, replay.play(exchange))]
        conversations += steps > before
    total = sum(len(c["exchanges"]) for c in recorded)
    with capsys.disabled():
        print(
            f"\nconversations: {steps} of {total} steps in {conversations} of {len(recorded)};"
            f" {begun_elsewhere} polls of operations that began on routes that are not served"
        )
    assert wrong == [], "\n".join(map(str, wrong))
    assert steps >= MIN_STEPS
    assert conversations >= MIN_CONVERSATIONS


def test_traffic_comparison_reports_each_difference() -> None:
    """The comparison can fail: it names a wrong status, a dropped header or member, and another type."""
    exchange = next(e for e in exchanges() if e["route"] == "POST /v1/workspaces/{id}/notebooks")
    assert played(exchange) == []
    headers: dict[str, str] = exchange["headers"]
    assert "status 202 for 201" in played({**exchange, "status": 201})[0]
    assert played({**exchange, "headers": {**headers, "retry-after": "30"}}) == ["Retry-After: 20 for 30"]
    without = {k: v for k, v in headers.items() if k != "location"}
    assert played({**exchange, "headers": without})[0].startswith("Location: http://operations.example/v1/operations/")
    here = headers["location"].replace("https://", "https://api.fabric.microsoft.com/").replace("wabi", "x/wabi")
    assert played({**exchange, "headers": {**headers, "location": here}})[0].startswith("Location: ")
    read_back = next(e for e in exchanges() if e["route"] == "GET /v1/workspaces/{id}/notebooks/{id}")
    more = {**read_back["response"], "colour": "red", "workspaceId": 7}
    assert played({**read_back, "response": more}) == ["$.workspaceId: id for number", "$.colour: absent"]
