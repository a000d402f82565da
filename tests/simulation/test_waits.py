"""The waits that a step records, so that a timeline can tell waiting from work."""

from datetime import datetime, timedelta
from itertools import pairwise

from shared.domain.records import StepRecord
from shared.domain.states import DeploymentState
from shared.saga.step.delivery import MAX_WAITS
from tests.simulation.world import World

MANIFEST = {"name": "m", "target": "t", "steps": [{"id": "ws", "kind": "workspace", "with": {"displayName": "w"}}]}


def throttled(world: World, times: int, seconds: int) -> StepRecord:
    """Return the workspace's step after its first calls were answered with 429, this many times."""
    answer = {"status": 429, "headers": {"Retry-After": str(seconds)}}
    world.model.faults.replace([{"match": {"path": ".*/workspaces"}, "when": {"times": times}, "action": answer}])
    world.submit(MANIFEST)
    assert world.run() == [DeploymentState.SUCCEEDED]
    return world.journal.steps("d")[0].record


def spans(step: StepRecord) -> list[tuple[datetime, datetime]]:
    """Return the waits as points in time."""
    return [(datetime.fromisoformat(w["since"]), datetime.fromisoformat(w["until"])) for w in step.waits or ()]


def test_waits_are_as_long_as_fabric_asked_and_within_the_step() -> None:
    """Three throttled calls are three waits of the requested length, one after the other, within the step's time."""
    step = throttled(World(), 3, 20)
    waits = spans(step)
    assert len(waits) == 3
    assert all(until - since >= timedelta(seconds=20) for since, until in waits)
    assert step.started_at is not None
    assert step.finished_at is not None
    assert step.started_at <= waits[0][0]
    assert all(before[1] <= after[0] for before, after in pairwise(waits))
    assert waits[-1][1] <= step.finished_at


def test_waits_are_none_if_nothing_waited() -> None:
    """The step needed one delivery only."""
    assert throttled(World(), 0, 1).waits is None


def test_waits_that_are_kept_are_the_latest() -> None:
    """A step that was compensated a hundred times keeps the latest waits, so that its row stays small."""
    step = throttled(World(), 100, 5)
    assert len(step.waits or ()) == MAX_WAITS
    assert step.finished_at is not None
    assert step.finished_at - spans(step)[-1][1] < timedelta(seconds=30)
