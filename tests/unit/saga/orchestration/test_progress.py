"""The orchestrator's decisions over random graphs: nothing too early, everything once, backward in reverse."""

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.messages import Direction
from shared.domain.states import BACKWARD_SETTLED, FORWARD_SETTLED, DeploymentState, StepState
from shared.saga.orchestration.progress import Progress, from_journal, in_flight
from tests.fakes import START
from tests.unit.saga.fixture import SagaFixture, row

S = StepState


@st.composite
def graphs(draw: st.DrawFn) -> list[list[int]]:
    """Draw a random acyclic graph whose ordinals are in no particular order."""
    size = draw(st.integers(1, 25))
    order = draw(st.permutations(range(size)))
    needs: list[list[int]] = [[] for _ in range(size)]
    for position, step in enumerate(order):
        earlier = st.lists(st.sampled_from(order[:position]), unique=True, max_size=4) if position else st.just([])
        needs[step] = draw(earlier)
    return needs


def travelled(progress: Progress) -> Progress:
    """Return the progress as it is after continuing as new."""
    return Progress.from_json(json.loads(json.dumps(progress.to_json())))


@given(needs=graphs(), seed=st.integers(0, 2**32), renew=st.booleans())
def test_progress_forward_sends_everything_once_and_nothing_early(
    needs: list[list[int]], seed: int, renew: bool
) -> None:
    """In whatever order the events come, a step is sent exactly once, after all its needs."""
    chance = random.Random(seed)
    progress = Progress(needs, [S.PENDING] * len(needs))
    sent: list[int] = []
    done: set[int] = set()
    while ready := progress.take_ready() or sorted(progress.sent):
        new = [i for i in ready if i not in sent]
        assert all(set(needs[i]) <= done for i in new)
        sent += new
        step = chance.choice(sorted(progress.sent))
        progress.on_settled(step, S.SUCCEEDED)
        progress.on_settled(step, S.SUCCEEDED)
        done.add(step)
        progress = travelled(progress) if renew else progress
    assert sorted(sent) == list(range(len(needs)))
    assert progress.is_quiet
    assert progress.take_ready() == []


def _needing(needs: list[list[int]], step: int) -> set[int]:
    """Return the steps that need a step, directly or through others."""
    direct = {other for other, wanted in enumerate(needs) if step in wanted}
    return direct.union(*(_needing(needs, other) for other in direct))


@given(needs=graphs(), seed=st.integers(0, 2**32), renew=st.booleans())
def test_progress_backward_is_the_reverse(needs: list[list[int]], seed: int, renew: bool) -> None:
    """A step is compensated only after every step that needed it, also if the one between them is over already: it
    changed nothing, or was never begun."""
    chance = random.Random(seed)
    states = [chance.choice([S.SUCCEEDED, S.SUCCEEDED, S.FAILED, S.SKIPPED, S.COMPENSATED]) for _ in needs]
    expected = [i for i, state in enumerate(states) if state not in (S.SKIPPED, S.COMPENSATED)]
    progress = Progress(needs, list(states), Direction.BACKWARD)
    compensated: list[int] = []
    while ready := progress.take_ready() or sorted(progress.sent):
        assert set(ready) <= set(expected)
        for i in progress.sent:
            assert _needing(needs, i) & set(expected) <= set(compensated)
        step = chance.choice(sorted(progress.sent))
        progress.on_settled(step, S.COMPENSATED)
        progress.on_settled(step, S.COMPENSATED)
        compensated.append(step)
        progress = travelled(progress) if renew else progress
    assert sorted(compensated) == expected


@given(needs=graphs(), seed=st.integers(0, 2**32))
def test_progress_starts_nothing_after_a_failure(needs: list[list[int]], seed: int) -> None:
    """Only steps that were sent are waited for."""
    chance = random.Random(seed)
    progress = Progress(needs, [S.PENDING] * len(needs))
    progress.take_ready()
    progress.on_settled(chance.choice(sorted(progress.sent)), S.FAILED)
    assert progress.rolling_back
    while progress.sent:
        assert progress.take_ready() == []
        progress.on_settled(chance.choice(sorted(progress.sent)), chance.choice([S.SUCCEEDED, S.FAILED, S.SKIPPED]))
    assert travelled(progress).take_ready() == []


@given(needs=graphs(), seed=st.integers(0, 2**32), direction=st.sampled_from(Direction))
def test_progress_is_the_same_after_json(needs: list[list[int]], seed: int, direction: Direction) -> None:
    """Progress that passed through JSON makes the same decisions."""
    chance = random.Random(seed)
    progress = Progress(needs, [chance.choice(list(S)) for _ in needs], direction, chance.random() < 0.5)
    progress.sent = {i for i in range(len(needs)) if chance.random() < 0.3}
    repeated = travelled(progress)
    assert repeated.to_json() == progress.to_json()
    assert repeated.take_ready() == progress.take_ready()


@given(state=st.sampled_from(StepState), direction=st.sampled_from(Direction), ordinal=st.integers(-3, 5))
def test_progress_ignores_events_that_do_not_concern_it(state: StepState, direction: Direction, ordinal: int) -> None:
    """An event of the other direction, of a state that is not settled, or of an unknown step changes nothing."""
    progress = Progress([[], [0]], [S.SUCCEEDED, S.SUCCEEDED], direction)
    before = progress.to_json()
    progress.on_settled(ordinal, state)
    concerns = state in (FORWARD_SETTLED if direction is Direction.FORWARD else BACKWARD_SETTLED)
    if not concerns or ordinal not in (0, 1):
        assert progress.to_json() == before
    else:
        assert progress.states[ordinal] is state


def test_progress_failed_compensation_keeps_the_steps_it_needs() -> None:
    """A step is not compensated while a step that needs it could not be."""
    progress = Progress([[], [0]], [S.SUCCEEDED, S.SUCCEEDED], Direction.BACKWARD)
    assert progress.take_ready() == [1]
    progress.on_settled(1, S.COMPENSATION_FAILED)
    assert progress.take_ready() == []
    assert progress.is_quiet


def test_progress_from_the_journal_counts_steps_in_flight_as_sent() -> None:
    """A started step is waited for and not sent again; a failed one begins the rollback."""
    saga = SagaFixture()
    rows = [row(0, S.SUCCEEDED), row(1, S.INTENT), row(2, S.PENDING, started_at=START), row(3, S.PENDING)]
    saga.deployment(DeploymentState.RUNNING, *rows)
    steps = saga.journal.steps("d")
    progress = from_journal(steps, Direction.FORWARD, rolling_back=False)
    assert (progress.sent, progress.rolling_back) == ({1, 2}, False)
    assert progress.take_ready() == []
    saga.change(1, state=S.FAILED)
    assert from_journal(saga.journal.steps("d"), Direction.FORWARD, rolling_back=False).rolling_back
    assert from_journal(steps, Direction.FORWARD, rolling_back=True).rolling_back
    moving = [row(0, S.COMPENSATING), row(1, S.INTENT), row(2, S.SUBMITTED)]
    assert in_flight(moving, Direction.BACKWARD) == [0]
    assert in_flight(moving, Direction.FORWARD) == [1, 2]


def test_progress_of_a_thousand_steps_is_small() -> None:
    """The orchestration's input needs only a few bytes for each step."""
    progress = Progress([[i - 1] if i else [] for i in range(1000)], [S.COMPENSATION_FAILED] * 1000)
    progress.sent = set(range(1000))
    assert len(json.dumps(progress.to_json())) < 45_000
