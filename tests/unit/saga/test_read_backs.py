"""Definitions that were just written, read back together by the deliveries of a process."""

from typing import Any

from shared.saga.exports import TOGETHER
from shared.saga.read_backs import ReadBacks
from tests.fakes import FakeClock
from tests.unit.saga.test_exports import WORKSPACE, Tenant, ids, whole


def test_process_has_few_exports_in_memory_at_a_time() -> None:
    """The others wait, however long the exports take, and each definition is read once."""
    clock, fabric = FakeClock(), Tenant(whole)
    tenant: Any = fabric
    backs, since, left = ReadBacks(clock.now), clock.now(), set(ids(6 * TOGETHER))
    fabric.running = True
    for _ in range(20):
        clock.advance(1.0)
        for item in sorted(left):
            assert isinstance(backs.definition(tenant, WORKSPACE, item, since), float)
        assert len(fabric.asked) == 4
    fabric.running = False
    for _ in range(60):
        clock.advance(1.0)
        left -= {each for each in left if isinstance(backs.definition(tenant, WORKSPACE, each, since), dict)}
    assert left == set()
    assert sum(map(len, fabric.asked)) == 6 * TOGETHER
    assert max(map(len, fabric.asked)) == TOGETHER
