"""Finds an environment and reads its files, for all routes of environments."""

from typing import Any, cast

import yaml

from local.fabric_simulator import publishing
from local.fabric_simulator.http import ApiError
from local.fabric_simulator.route import item_of
from local.fabric_simulator.store import Item, Workspace
from local.fabric_simulator.world import Body, World


def environment(world: World, workspace_id: str, item_id: str, *, change: bool = False) -> tuple[Workspace, Item]:
    """Return a workspace and an environment in it, whose publish has ended if its time is over. Raises ApiError."""
    workspace, item = item_of(world, workspace_id, item_id, "Environment")
    if change:
        world.needs_contributor(workspace)
    publishing.settled(item, world.clock())
    return workspace, item


def read_yaml(data: bytes) -> Body:
    """Return the object in a YAML file; an empty one if it contains something else. Raises ApiError 400."""
    try:
        value: Any = yaml.safe_load(data)
    except yaml.YAMLError:
        raise invalid("The file is not valid YAML.") from None
    return cast(Body, value) if isinstance(value, dict) else {}


def invalid(message: str) -> ApiError:
    """Return the refusal of a library or of Spark compute."""
    return ApiError(400, "EnvironmentValidationFailed", message)
