"""The room in memory for the content of items: who gets it, and who comes back later."""

import pytest

from shared.saga.content_budget import ContentBudget, Holder, NoRoomError
from tests.fakes import FakeClock


def holders(budget: ContentBudget, clock: FakeClock, *names: str) -> list[Holder]:
    return [budget.holder(name, clock.now) for name in names]


def refused(holder: Holder, size: int) -> float:
    """Return in how many seconds a refused holder comes back."""
    with pytest.raises(NoRoomError) as error:
        holder.take(size)
    return error.value.seconds


def test_room_is_never_given_twice_and_is_given_back() -> None:
    budget, clock = ContentBudget(100), FakeClock()
    a, b = holders(budget, clock, "a", "b")
    a.take(60)
    assert refused(b, 60) == 2.0
    a.take(40)
    assert budget.held == 100
    a.release()
    b.take(60)
    b.release()
    assert budget.held == 0


def test_content_larger_than_all_room_is_handled_alone() -> None:
    budget, clock = ContentBudget(100), FakeClock()
    a, b = holders(budget, clock, "a", "b")
    b.take(1)
    refused(a, 500)
    b.release()
    a.take(500)
    refused(b, 1)
    a.release()
    b.take(1)


def test_small_contents_do_not_keep_a_large_one_waiting() -> None:
    """They are before the first in the line only if there is room for both."""
    budget, clock = ContentBudget(100), FakeClock()
    large, a, b, c = holders(budget, clock, "large", "a", "b", "c")
    a.take(30)
    refused(large, 80)
    refused(b, 20)
    a.release()
    b.take(20)
    refused(c, 10)
    large.take(80)


def test_step_that_does_not_come_back_keeps_no_room() -> None:
    budget, clock = ContentBudget(100), FakeClock()
    gone, a, b = holders(budget, clock, "gone", "a", "b")
    a.take(1)
    refused(gone, 100)
    refused(b, 50)
    clock.advance(121.0)
    b.take(50)


def test_those_at_the_end_of_the_line_come_back_later() -> None:
    """A thousand steps that ask every two seconds would be more work than the steps."""
    budget, clock = ContentBudget(100), FakeClock()
    first, *others = holders(budget, clock, *(f"s{number}" for number in range(1_000)))
    first.take(100)
    waits = [refused(holder, 10) for holder in others]
    assert (waits[0], waits[100], waits[-1]) == (2.0, 12.0, 30.0)
    assert waits == sorted(waits)


def test_what_is_in_memory_already_counts_and_is_not_refused() -> None:
    """The size of a before-image is not known before Fabric returns it."""
    budget, clock = ContentBudget(100), FakeClock()
    a, b = holders(budget, clock, "a", "b")
    a.take(80)
    a.add(80)
    assert budget.held == 160
    refused(b, 1)
    a.release()
    assert budget.held == 0
