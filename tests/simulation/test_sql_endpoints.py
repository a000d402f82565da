"""The refresh of a SQL endpoint: after the tables are there, and before what needs them."""

from typing import Any

import pytest

from local.fabric_simulator import control
from local.fabric_simulator.sql_endpoints import Tables
from local.fabric_simulator.store import SQL_ENDPOINT
from shared.domain.states import DeploymentState, StepState
from tests.simulation import repositories
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.world import World

_IN = {"workspaceId": WORKSPACE}
_LAKE = "${{ steps.lake.outputs.id }}"
WS = {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}}


def manifest(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"name": "m", "target": "T", "steps": [WS, *steps]}


def lake_with_table(**more: Any) -> list[dict[str, Any]]:
    """Return the steps of a lakehouse with a table, and of the refresh of its endpoint."""
    target = {"oneLake": {**_IN, "itemId": _LAKE, "path": "Tables"}}
    link = {**_IN, "itemId": _LAKE, "path": "Tables", "name": "orders", "target": target}
    return [
        {"id": "lake", "kind": "lakehouse", "with": {**_IN, "displayName": "lake"}},
        {"id": "orders", "kind": "shortcut", "with": link},
        {
            "id": "tables",
            "kind": "sql_endpoint_refresh",
            "needs": ["orders"],
            "with": {**_IN, "itemId": _LAKE, **more},
        },
    ]


def tables(world: World) -> Tables:
    """Return what the only SQL endpoint shows."""
    places = world.model.store.workspaces.values()
    return next(i for w in places for i in w.items.values() if i.type == SQL_ENDPOINT).part(Tables)


def refreshes(world: World) -> list[dict[str, Any]]:
    return [call for call in world.model.calls if call["path"].endswith("/refreshMetadata")]


def broken() -> World:
    """Return a world with a lakehouse whose table cannot be refreshed."""
    world = World(4)
    world.submit(manifest(*lake_with_table()[:2]))
    world.run()
    tables(world).broken["orders"] = "the log of the table is damaged"
    return world


def outputs(world: World, deployment: str = "d") -> dict[str, Any]:
    return {s.record.step_id: s.record.outputs or {} for s in world.journal.steps(deployment)}


def test_endpoint_shows_the_tables_that_a_deployment_made() -> None:
    """The step waits until Fabric has provisioned the endpoint, and names it."""
    world = World(4)
    world.submit(manifest(*lake_with_table()))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert tables(world).shown == ["orders"]
    endpoint = next(i for w in world.model.store.workspaces.values() for i in w.items.values() if i.maker_id)
    assert outputs(world)["tables"]["sqlEndpointId"] == endpoint.id
    assert outputs(world)["tables"]["sqlEndpointConnectionString"]


def test_table_that_cannot_be_refreshed_fails_the_step_after_some_tries() -> None:
    world = broken()
    world.submit(manifest(*lake_with_table()), "e")
    assert world.run("e") == [DeploymentState.COMPENSATED]
    error = next(s.record.error for s in world.journal.steps("e") if s.record.step_id == "tables")
    assert error is not None
    assert "'orders' (the log of the table is damaged)" in error.message
    assert "allowTableErrors" in error.message
    assert len(refreshes(world)) > 1


def test_table_that_cannot_be_refreshed_is_tolerated_on_request() -> None:
    world = broken()
    world.submit(manifest(*lake_with_table(allowTableErrors=True)), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    assert len(refreshes(world)) == 1


def test_item_without_an_endpoint_is_refused() -> None:
    """The step names the types that have one, and waits for nothing."""
    world = World(4)
    refresh = {**_IN, "itemId": "${{ steps.house.outputs.id }}"}
    house = {"id": "house", "kind": "warehouse", "with": {**_IN, "displayName": "house"}}
    world.submit(manifest(house, {"id": "tables", "kind": "sql_endpoint_refresh", "with": refresh}))
    assert world.run() == [DeploymentState.COMPENSATED]
    failed = [s.record for s in world.journal.steps("d") if s.record.state is StepState.COMPENSATED and s.record.error]
    assert ["'house' is a Warehouse" in row.error.message for row in failed if row.error] == [True]


@pytest.mark.parametrize("fails", [False, True])
def test_endpoints_of_a_repository_are_refreshed_after_their_shortcuts(fails: bool) -> None:
    """Each lakehouse has its refresh; a rollback has nothing to restore in the endpoint."""
    world = World(4)
    control.seed(world.model, {"workspaces": [{"displayName": "sales", "roleAssignments": [own_role()]}]})
    items = [
        repositories.lakehouse(world.blobs, "lake", {"new": "raw"}),
        repositories.lakehouse(world.blobs, "raw", {}),
    ]
    ball = {"id": "ball", "kind": "item", "needs": ["content"], "with": {**_IN, "type": "X", "displayName": "ball"}}
    steps = [repositories.step(WORKSPACE, items, refreshSqlEndpoints=True), *([ball] if fails else [])]
    world.submit(manifest(*steps))
    assert world.run() == [DeploymentState.COMPENSATED if fails else DeploymentState.SUCCEEDED]
    paths = [call["path"] for call in world.model.calls if call["method"] == "POST"]
    ends = [path.rsplit("/", 1)[1] for path in paths if path.endswith(("/shortcuts", "/refreshMetadata"))]
    assert sorted(ends) == ["refreshMetadata", "refreshMetadata", "shortcuts"]
    found = {s.record.step_id: s.record for s in world.journal.steps("d")}
    by_ordinal = {row.ordinal: step_id for step_id, row in found.items()}
    needs = {by_ordinal[each] for each in found["content/Lakehouse/lake/sql-endpoint"].needs}
    assert "content/Lakehouse/lake/shortcut/Files/new" in needs
