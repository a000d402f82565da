"""Nothing comes between the proof that a delivery holds its step and the call that changes something in Fabric.

A worker that is held up there would change what another one has restored since.
"""

from collections import Counter
from typing import Any
from unittest.mock import patch

from shared.saga.step.delivery import Delivery
from shared.saga.step.looks import DeliveryFabric
from tests.simulation import schedules
from tests.simulation.world import World

_READS = ("/getDefinition", "/bulkExportDefinitions")
"""The ends of the paths of POSTs that change nothing."""
SEEDS = range(60)


def test_a_claim_is_proved_immediately_before_each_change() -> None:
    """In whole schedules, with every kind: no port is used between the two."""
    is_proved, wrong, changes = [False], set[str](), Counter[str]()
    prove, point, send = Delivery.prove_claim, World.point, DeliveryFabric.send

    def proving(delivery: Delivery) -> None:
        prove(delivery)
        is_proved[0] = True

    def passing(world: World, where: str) -> None:
        is_proved[0] = False
        point(world, where)

    def sending(fabric: DeliveryFabric, method: str, path: str, *more: Any) -> Any:
        if method != "GET" and not path.endswith(_READS):
            shape = "/".join(part if len(part) < 30 else "*" for part in path.split("/"))
            changes[f"{method} {shape}"] += 1
            if not is_proved[0]:
                wrong.add(f"{method} {shape}")
        return send(fabric, method, path, *more)

    with (
        patch.object(Delivery, "prove_claim", proving),
        patch.object(World, "point", passing),
        patch.object(DeliveryFabric, "send", sending),
    ):
        found = [schedules.attempt(seed) for seed in SEEDS]
    assert [report.violations for report in found if report.violations] == []
    assert wrong == set()
    assert len(changes) > 25, "the schedules have too few kinds of calls to prove anything"
