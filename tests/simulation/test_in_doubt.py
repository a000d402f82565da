"""Staging items that nobody can tell apart: what the product keeps, and what the law of the schedules allows."""

import random
from typing import Any
from unittest.mock import patch

import pytest

from shared.domain.states import DeploymentState
from shared.saga.command.verbs import Verb
from shared.steps.makers import Found
from tests.simulation.laws import violations
from tests.simulation.other_actors import OtherActors
from tests.simulation.test_companions import FLOW, adopted, manifest
from tests.simulation.world import World

OTHER = {"id": "flow2", "type": "Dataflow", "displayName": "returns"}


def staging(world: World) -> set[str]:
    """Return the ids of the staging items that stand."""
    workspaces = world.model.store.workspaces.values()
    return {item.id for w in workspaces for item in w.standing() if item.name.startswith("Staging")}


def broken(world: World, *ids: str) -> list[str]:
    """Return what the laws say, for a workspace of another actor without items."""
    others = OtherActors(world, random.Random(1))
    for place in world.model.store.workspaces.values():
        others.things[place.id] = {"description": place.description, "roles": dict(place.roles)}
    return violations(world, others, list(ids))


@pytest.mark.law(2)
@pytest.mark.parametrize("gap", [1, 600], ids=["same seconds", "minutes apart"])
def test_staging_items_of_two_deployments_that_are_both_rolled_back(gap: int) -> None:
    """Two deployments created a dataflow each. If that was in the same seconds, neither can tell its pair from that of
    the other: both pairs stay, and both audits name them (seed 12000116). Minutes apart, both go."""
    world = World()
    adopted(world)
    for deployment_id, flow in (("d", FLOW), ("e", OTHER)):
        world.submit({**manifest(flow, fails=False), "target": deployment_id}, deployment_id)
        assert world.run(deployment_id) == [DeploymentState.SUCCEEDED]
        world.clock.advance(gap)
    world.clock.advance(600)
    pairs = staging(world)
    assert len(pairs) == 4
    for deployment_id in ("e", "d"):
        assert world.ask(Verb.RETIRE, deployment_id).accepted
        assert world.run(deployment_id) == [DeploymentState.COMPENSATED]
    assert staging(world) == (pairs if gap == 1 else set())
    for deployment_id in ("d", "e") if gap == 1 else ():
        told = " ".join(entry.reason for entry in world.journal.audit(deployment_id))
        assert "kept, because nothing proves" in told
        assert all(item_id in told for item_id in pairs)
    assert broken(world, "d", "e") == []


@pytest.mark.law(2)
@pytest.mark.parametrize("is_named", [True, False], ids=["named", "not named"])
def test_law_reports_staging_items_of_one_deployment_that_are_kept(is_named: bool) -> None:
    """All staging items of two dataflows of one deployment are its own: a product that keeps them breaks the law, also
    if its audit names them."""
    world = World()
    adopted(world)
    world.submit(manifest(FLOW, OTHER))

    def nothing(*_: Any) -> list[Found]:
        return []

    with patch("shared.saga.step.companions.proven", nothing):
        if is_named:
            assert world.run() == [DeploymentState.COMPENSATED]
        else:
            with patch("shared.saga.step.companions.unproven", nothing):
                assert world.run() == [DeploymentState.COMPENSATED]
    assert len(staging(world)) == 4
    assert len([each for each in broken(world, "d") if "no deployment accounts for it" in each]) >= 4
