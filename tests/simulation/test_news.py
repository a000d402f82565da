"""News is true and complete: what the law of the schedules sees, and that it sees it."""

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest

from shared.domain.notices import UNWRITTEN_SECONDS, Notice
from shared.domain.states import DeploymentState
from shared.saga.command.verbs import Verb
from shared.saga.notify import announcing_journal, delivery
from tests.simulation import news
from tests.simulation.world import World

pytestmark = pytest.mark.law(1)


def asked(world: World, *, seconds: float = 60.0) -> None:
    """Submit a deployment that waits for an approval, and let this time pass before the approval."""
    step = {"id": "go", "kind": "approval", "timeout": "2h", "with": {"message": "Go?"}}
    world.submit({"name": "m", "steps": [step]})
    while world.journal.step("d", 0)[1].record.started_at is None:
        if not world.step():
            world.pass_time()
    world.clock.advance(seconds)
    world.news.deliver()
    assert world.ask(Verb.APPROVE, step="go").accepted
    assert world.run() == [DeploymentState.SUCCEEDED]


def told(world: World) -> list[tuple[str, bool]]:
    """Return the kind of each notice, and whether its event was sent, after the law was checked."""
    assert list(news.violations(world.news, ["d"])) == []
    return [(notice.kind.value, is_sent) for notice, is_sent, _ in world.news.handled]


def test_news_of_an_approval_and_of_the_end() -> None:
    world = World()
    asked(world)
    assert told(world) == [("approval_waiting", True), ("ended", True)]


def test_news_of_an_approval_that_was_decided_at_once_is_dropped() -> None:
    """Nobody is asked for what was decided."""
    world = World()
    asked(world, seconds=1.0)
    assert told(world) == [("approval_waiting", False), ("ended", True)]


def held_up(world: World, seconds: float) -> None:
    """Let every process be held up between the announcement of a move and its write."""
    announce = world.news.announce

    def late(notice: Notice) -> None:
        announce(notice)
        end = world.clock.now() + timedelta(seconds=seconds)
        while world.clock.now() < end:
            world.clock.advance(1.0)
            world.news.deliver()

    journal: Any = world.services.journal
    journal._announce = late


def test_news_of_a_move_that_is_written_late_is_sent() -> None:
    """The notice comes before the write several times."""
    world = World()
    held_up(world, 300.0)
    asked(world)
    assert told(world) == [("approval_waiting", True), ("ended", True)]


@pytest.mark.parametrize(
    ("planted", "seen"),
    [
        (
            patch.object(announcing_journal, "of_step", lambda *_: None),
            "no event of the move approval_waiting was sent",
        ),
        (patch.object(announcing_journal, "of_header", lambda *_: None), "no event of the move ended was sent"),
        (
            patch.object(delivery, "waits_for_person", lambda _: True),
            "the event approval_waiting was sent, and that was not so",
        ),
    ],
    ids=["no question", "no end", "a question that was decided"],
)
def test_news_that_is_missing_or_false_is_a_violation(planted: AbstractContextManager[Any], seen: str) -> None:
    world = World()
    with planted:
        asked(world, seconds=1.0 if "not so" in seen else 60.0)
        found = list(news.violations(world.news, ["d"]))
    assert any(seen in each for each in found), found


def test_news_of_a_move_that_is_given_up_too_early_is_a_violation() -> None:
    """The process may be held up as long as a function runs."""
    world = World()
    held_up(world, 300.0)
    with patch.object(delivery, "UNWRITTEN_SECONDS", 60.0):
        asked(world)
    assert len(list(news.violations(world.news, ["d"]))) == 2


def test_news_of_a_move_that_is_written_later_than_functions_run_is_not_wanted() -> None:
    """The host ends a function after five minutes (`functionTimeout`), which the simulated processes do not know."""
    world = World()
    held_up(world, UNWRITTEN_SECONDS + 60.0)
    asked(world)
    assert told(world) == [("approval_waiting", False), ("ended", False)]
