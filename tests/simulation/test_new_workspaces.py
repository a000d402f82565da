"""Lakehouses in a workspace that the deployment has just created: what is not looked for, and what others do there."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.states import DeploymentState, IntentAction, StepState
from shared.saga.command.verbs import Verb
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.laws import encoded
from tests.simulation.test_laws import _put
from tests.simulation.world import World

pytestmark = pytest.mark.law(2, 3)
COUNT = 4


def _manifest(**fields: Any) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}}]
    for n in range(COUNT):
        spec = {"workspaceId": WORKSPACE, "displayName": f"lake_{n}", **fields}
        steps.append({"id": f"lake_{n}", "kind": "lakehouse", "with": spec})
    return {"name": "m", "steps": steps}


def _calls(world: World) -> list[str]:
    """Return the calls in the workspace, without the ids."""
    parts = [(call["method"], call["path"].split("/")[2:]) for call in world.model.calls]
    return [f"{method} {path[2]}{'/one' if len(path) > 3 else ''}" for method, path in parts if len(path) > 2]


def test_a_new_workspace_is_not_searched_and_its_lakehouses_share_the_lists_that_verify_them() -> None:
    world = World(pace=0.5)
    world.submit(_manifest())
    assert world.run() == [DeploymentState.SUCCEEDED]
    calls = _calls(world)
    assert calls[0] == "POST lakehouses"
    assert calls.count("POST lakehouses") == COUNT
    assert 1 <= calls.count("GET items") <= COUNT
    assert "GET lakehouses/one" not in calls


def test_a_lakehouse_that_no_list_shows_yet_is_verified_by_its_own_route() -> None:
    world = World()
    rule = {
        "match": {"method": "GET", "path": "/v1/workspaces/[^/]+/items"},
        "when": {"times": 99},
        "action": {"status": 200, "body": {"value": []}},
    }
    assert control.handle(world.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    world.submit(_manifest())
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert _calls(world).count("GET lakehouses/one") == COUNT
    assert world.names() == {"sales": [f"lake_{n}" for n in range(COUNT)]}


@pytest.mark.parametrize("field", ["enableSchemas", "waitForSqlEndpoint"])
def test_what_the_list_does_not_show_is_read_from_the_lakehouse(field: str) -> None:
    world = World()
    world.submit(_manifest(**{field: True}))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert _calls(world).count("GET lakehouses/one") >= COUNT


def test_an_adopted_workspace_is_searched_first() -> None:
    world = World()
    world.submit(_manifest())
    world.run()
    done = len(_calls(world))
    world.submit(_manifest(), "second")
    assert world.run("second") == [DeploymentState.SUCCEEDED]
    later = _calls(world)[done:]
    assert later
    assert not [call for call in later if call.startswith("POST")]
    assert world.names() == {"sales": [f"lake_{n}" for n in range(COUNT)]}


def _with_another_actor(**fields: Any) -> tuple[World, list[str]]:
    """Return a world in which the name of `lake_2` is taken before the create, and the id of the other's lakehouse."""
    world = World()
    original: Callable[[Any], Any] = world.model.handle
    put: list[str] = []

    def handle(request: Any) -> Any:
        if request.method == "POST" and request.path.endswith("/lakehouses") and not put:
            workspace = next(iter(world.model.store.workspaces.values()))
            put.append(_put(world, workspace.id, "Lakehouse", "lake_2"))
        return original(request)

    world.model.handle = handle
    world.submit(_manifest(**fields))
    return world, put


@pytest.mark.parametrize("status", [400, 409])
def test_what_others_put_into_a_new_workspace_is_adopted(status: int) -> None:
    """Another actor is there first, with the name of a step: Fabric refuses the create, and the step adopts."""
    world, _ = _with_another_actor()
    world.model.update_settings({"conflict_status": status})
    assert world.run() == [DeploymentState.SUCCEEDED]
    row = next(s.record for s in world.journal.steps("d") if s.record.step_id == "lake_2")
    assert row.intent is not None
    assert row.intent.action is IntentAction.ADOPT
    assert world.names() == {"sales": [f"lake_{n}" for n in range(COUNT)]}


def test_what_others_put_into_a_new_workspace_stays_if_the_step_may_not_adopt_it() -> None:
    """The step fails as after a look, and the rollback deletes neither the other's lakehouse nor its workspace."""
    world, put = _with_another_actor(ifExists="fail")
    assert world.run() == [DeploymentState.STUCK]
    items = [item for workspace in world.model.store.workspaces.values() for item in workspace.items.values()]
    assert [item.id for item in items if item.type == "Lakehouse"] == put


def test_a_lost_answer_is_followed_by_a_look() -> None:
    """A create whose answer is lost may have happened, so the next delivery looks before it sends again."""
    world = World()
    rule = {
        "match": {"method": "POST", "path": "/v1/workspaces/[^/]+/lakehouses"},
        "when": {"times": 1},
        "action": {"status": 503, "effect": "after"},
    }
    assert control.handle(world.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    world.submit(_manifest())
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert _calls(world).count("POST lakehouses") == COUNT
    assert world.names() == {"sales": [f"lake_{n}" for n in range(COUNT)]}


def test_a_lakehouse_of_a_workspace_that_is_not_new_is_looked_for() -> None:
    """Others have had time to put something into it, for example while a person decided."""
    world = World()
    manifest = _manifest()
    manifest["steps"].insert(
        1, {"id": "go", "kind": "approval", "needs": ["ws"], "timeout": "7d", "with": {"message": "Go on?"}}
    )
    for step in manifest["steps"][2:]:
        step["needs"] = ["go"]
    world.submit(manifest)
    world.run(hours=48)
    assert _calls(world) == []
    assert world.ask(Verb.APPROVE, step="go").accepted
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert _calls(world)[0] == "GET items"


def test_an_answer_that_names_something_else_is_noticed() -> None:
    """The list that verifies a lakehouse has lakehouses alone."""
    world = World()
    original: Callable[[Any], Any] = world.model.handle
    put: list[str] = []

    def handle(request: Any) -> Any:
        reply = original(request)
        if request.method == "POST" and request.path.endswith("/lakehouses") and reply.status == 201 and not put:
            workspace = next(iter(world.model.store.workspaces.values()))
            put.append(_put(world, workspace.id, "Notebook", "theirs"))
            reply = replace(reply, body=encoded({**json.loads(reply.body), "id": put[0]}))
        return reply

    world.model.handle = handle
    world.submit(_manifest())
    world.run(hours=1)
    rows = [step.record for step in world.journal.steps("d")]
    assert not [row for row in rows if row.state is StepState.SUCCEEDED and row.resource and row.resource.id == put[0]]


@pytest.mark.parametrize("kind", ["lakehouse", "workspace"])
def test_what_others_made_between_two_tries_is_restored(kind: str) -> None:
    """A create fails without effect. The next try finds nothing, but another actor is faster than its call. What the
    step then updates is the other's, so a rollback restores it."""
    world = World()
    original: Callable[[Any], Any] = world.model.handle
    tries: list[str] = []
    put: list[str] = []

    def handle(request: Any) -> Any:
        if request.method == "POST" and request.path.endswith(f"/{kind}s"):
            tries.append(request.path)
            if len(tries) == 2:
                put.append(_of_another(world, kind))
        return original(request)

    world.model.handle = handle
    rule = {
        "match": {"method": "POST", "path": f"/v1/.*{kind}s"},
        "when": {"times": 1},
        "action": {"status": 503, "effect": "before"},
    }
    assert control.handle(world.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    fields = {"description": "ours", "ifExists": "update"}
    steps: list[dict[str, Any]] = [{"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}}]
    if kind == "lakehouse":
        steps.append({"id": "it", "kind": kind, "with": {"workspaceId": WORKSPACE, "displayName": "lake", **fields}})
    else:
        steps[0]["with"] |= fields
    refused = {"workspaceId": WORKSPACE, "type": "CrystalBall", "displayName": "x"}
    steps.append({"id": "bad", "kind": "item", "needs": [steps[-1]["id"]], "with": refused})
    world.submit({"name": "m", "steps": steps})
    world.run(hours=0.2)
    workspaces = world.model.store.workspaces
    there = {place.id: place.description for place in workspaces.values()}
    there |= {item.id: item.description for place in workspaces.values() for item in place.items.values()}
    assert there.get(put[0]) == "theirs"


def _of_another(world: World, kind: str) -> str:
    """Let another actor make what the step of this kind is about to create, and return its id."""
    if kind == "workspace":
        place = {"displayName": "sales", "description": "theirs", "roleAssignments": [own_role()]}
        return control.seed(world.model, {"workspaces": [place]})["workspaces"][0]["id"]
    workspace = next(iter(world.model.store.workspaces.values()))
    made = _put(world, workspace.id, "Lakehouse", "lake")
    workspace.items[made].description = "theirs"
    return made
