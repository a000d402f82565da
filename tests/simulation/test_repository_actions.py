"""What is done with items of a repository when they have their definitions, and how it is compensated."""

import pytest

from local.fabric_simulator import publishing
from shared.domain.states import DeploymentState
from tests.simulation import repositories
from tests.simulation.edges import WORKSPACE
from tests.simulation.test_repository import BALL, manifest
from tests.simulation.world import World


def content(world: World, cores: int, value_set: str) -> dict[str, object]:
    """Return a repository of an environment and a variable library."""
    blobs = world.blobs
    return repositories.step(
        WORKSPACE,
        [
            repositories.item(blobs, "Environment", "spark", f"driver_cores: {cores}\n"),
            repositories.item(blobs, "VariableLibrary", "names", "{}", valueSet=value_set),
        ],
    )


def published(world: World) -> tuple[str, str]:
    """Return what the environment has published, and the active value set."""
    items = {i.name: i for w in world.model.store.workspaces.values() for i in w.standing()}
    parts = publishing.settled(items["spark"], world.clock.now().timestamp()).published
    return parts["Setting/Sparkcompute.yml"].decode(), items["names"].value_set


@pytest.mark.law(1)
def test_environment_is_published_and_value_set_chosen_and_both_are_restored() -> None:
    """After a failed second deployment, the first one's settings are published again and its value set is active."""
    world = World(3)
    world.submit(manifest(content(world, 4, "PROD")))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert published(world) == ("driver_cores: 4\n", "PROD")
    world.submit(manifest(content(world, 8, "Default value set"), BALL), "e")
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert published(world) == ("driver_cores: 4\n", "PROD")
    world.submit(manifest(content(world, 8, "Default value set")), "f")
    assert world.run("f") == [DeploymentState.SUCCEEDED]
    assert published(world) == ("driver_cores: 8\n", "Default value set")


def test_unchanged_environment_is_not_published_again() -> None:
    """A publish takes minutes."""
    world = World(3)
    world.submit(manifest(content(world, 4, "PROD")))
    world.run()
    calls = len(world.model.calls)
    world.submit(manifest(content(world, 4, "PROD")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    assert [c["path"] for c in world.model.calls[calls:] if c["method"] != "GET"] == []
