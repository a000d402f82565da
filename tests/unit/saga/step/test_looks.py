"""The lists that the deliveries of a process share."""

import gc
import weakref

from shared.saga.step.looks import shared_by
from tests.fakes import FakeClock
from tests.simulation.world import World


def test_lists_are_shared_by_the_deliveries_of_one_client_and_end_with_it() -> None:
    """A process that replaces its client keeps neither the old one nor its lists."""
    now = FakeClock().now
    one, other = World(1).services.fabric, World(2).services.fabric
    assert shared_by(one, now) is shared_by(one, now) is not shared_by(other, now)
    lists = weakref.ref(shared_by(one, now))
    del one
    gc.collect()
    assert lists() is None
