"""The lock whose release wakes the next in line: whom it wakes, in which order, and what a failure costs."""

from collections.abc import Callable

import pytest

from shared.domain.errors import StorageUnavailableError
from shared.domain.json import JsonObject
from shared.domain.messages import TARGET_EVENT
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState
from shared.saga.waking_locks import WakingLocks, by_event, by_message, read_wake, wake_message
from tests.fakes import START
from tests.unit.saga.fixture import SagaFixture


def line(*waiting: str) -> SagaFixture:
    """Return a target that an ended deployment still holds, and deployments that wait behind it, in that order."""
    saga = SagaFixture()
    saga.deployment(D.SUCCEEDED, deployment_id="first")
    saga.locks.acquire("target", "first", START, 900)
    for deployment_id in waiting:
        saga.clock.advance(1)
        saga.deployment(D.ACCEPTED, StepState.PENDING, deployment_id=deployment_id)
    return saga


def test_release_wakes_the_one_that_arrived_first() -> None:
    """One event, after the lock is free, to the first in line; deployments at other targets are not concerned."""
    saga = line("z", "a")
    saga.deployment(D.ACCEPTED, deployment_id="elsewhere", target="other", accepted_at=START)
    holders = list[str]()

    def wake(deployment_id: str) -> None:
        holders.append(saga.locks.acquire("target", deployment_id, saga.clock.now(), 900).holder)

    WakingLocks(saga.locks, saga.journal, wake).release("target", "first")
    assert holders == ["z"]


@pytest.mark.parametrize("waiting", [[], ["b"]])
def test_release_by_event_raises_it_once(waiting: list[str]) -> None:
    """Also when it is repeated, as an activity that is run again does."""
    saga = line(*waiting)
    locks = by_event(saga.locks, saga.journal, saga.orchestrations)
    for _ in range(2):
        locks.release("target", "first")
    assert saga.orchestrations.received == [(each, TARGET_EVENT, "None") for each in waiting for _ in range(2)]


def test_release_skips_the_one_that_leaves() -> None:
    """A deployment that is still open may release a target that it only looked at."""
    saga = line("b", "c")
    locks = by_event(saga.locks, saga.journal, saga.orchestrations)
    locks.release("target", "b")
    assert [who for who, *_ in saga.orchestrations.received] == ["c"]


def test_release_that_wakes_nobody_frees_the_lock_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The deployment that waits asks again by itself, so the one that leaves ends as if nothing had happened."""
    saga = line("b")

    def down(deployment_id: str) -> None:
        raise StorageUnavailableError("the durable engine does not answer")

    WakingLocks(saga.locks, saga.journal, down).release("target", "first")
    assert saga.locks.acquire("target", "b", saga.clock.now(), 900).holder == "b"
    assert "the next was not woken: the durable engine does not answer" in caplog.text


def test_release_by_a_script_sends_a_message_that_names_the_next() -> None:
    """The script's process has no durable engine."""
    saga, sent = line("b"), list[str]()
    by_message(saga.locks, saga.journal, sent.append).release("target", "first")
    assert sent == [wake_message("b")]


@pytest.mark.parametrize(
    "message",
    [None, {}, {"wake": 7}, {"wake": "a/b"}, {"wake": "d", "name": "m"}, {"command": "cancel"}],
)
def test_wake_message_is_not_mistaken(message: JsonObject | None) -> None:
    """Anything else on that queue is a command or a submission."""
    assert read_wake(message) is None
    assert read_wake({"wake": "d"}) == "d"


LEAVE: dict[str, Callable[[WakingLocks], object]] = {
    "acquire": lambda locks: locks.acquire("target", "first", START, 1.0),
}


@pytest.mark.parametrize("name", LEAVE)
def test_other_calls_wake_nobody(name: str) -> None:
    """A renewal changes nothing for those who wait."""
    saga = line("b")
    LEAVE[name](by_event(saga.locks, saga.journal, saga.orchestrations))
    assert saga.orchestrations.received == []
