"""Answers of Fabric that differ from its documentation, in the middle of a deployment: it still ends lawfully."""

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from local.fabric_simulator import control
from local.fabric_simulator.http import Reply, Request
from shared.domain.json import JsonObject
from shared.domain.records import Resource
from shared.domain.states import DeploymentState
from shared.saga.command.verbs import Verb
from shared.steps.workspace import WorkspaceKind
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.laws import violations
from tests.simulation.other_actors import OtherActors
from tests.simulation.world import World

PRINCIPAL = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"
WS = WORKSPACE
PARTS = [{"path": "notebook-content.py", "text": "x = 1"}]
MANIFEST: dict[str, Any] = {
    "name": "odd",
    "steps": [
        {
            "id": "ws",
            "kind": "workspace",
            "with": {"displayName": "sales", "description": "ours", "ifExists": "update"},
        },
        {
            "id": "lake",
            "kind": "lakehouse",
            "with": {"workspaceId": WS, "displayName": "bronze", "description": "ours", "waitForSqlEndpoint": True},
        },
        {
            "id": "nb",
            "kind": "item",
            "with": {
                "workspaceId": WS,
                "type": "Notebook",
                "displayName": "clean",
                "description": "ours",
                "definition": {"parts": PARTS},
                "ifExists": "update",
            },
        },
        {
            "id": "role",
            "kind": "role_assignment",
            "with": {"workspaceId": WS, "principalId": PRINCIPAL, "principalType": "User", "role": "Viewer"},
        },
        {
            "id": "bad",
            "kind": "item",
            "needs": ["lake", "nb", "role"],
            "with": {"workspaceId": WS, "type": "CrystalBall", "displayName": "x"},
        },
    ],
}
"""A manifest whose last step cannot succeed."""
CREATING = ("id", "displayName", "type", "role", "value", "status")
UPDATING = (*CREATING, "definition", "payload")
"""Fields that the answers of a deployment contain."""


class Odd:
    """A wrapper around the simulator that sets one field of one answer to null: in the object, in its rows, and in
    nested objects."""

    def __init__(self, world: World, field: str, nth: int) -> None:
        self._handle: Callable[[Request], Reply] = world.model.handle
        self._field, self._nth = field, nth
        self.seen = 0
        world.model.handle = self.handle

    def handle(self, request: Request) -> Reply:
        """Return the simulator's answer, changed if it is the chosen one."""
        reply = self._handle(request)
        body: Any = json.loads(reply.body) if reply.body and reply.status < 300 else None
        if not _holds(body, self._field):
            return reply
        self.seen += 1
        if self.seen != self._nth:
            return reply
        return replace(reply, body=json.dumps(_nulled(body, self._field)).encode())


def _holds(body: Any, field: str) -> bool:
    if isinstance(body, list):
        return any(_holds(each, field) for each in cast(list[Any], body))
    members = cast(dict[str, Any], body) if isinstance(body, dict) else {}
    return field in members or any(_holds(each, field) for each in members.values())


def _nulled(body: Any, field: str) -> Any:
    if isinstance(body, list):
        return [_nulled(each, field) for each in cast(list[Any], body)]
    members = cast(dict[str, Any], body) if isinstance(body, dict) else None
    if members is None:
        return body
    return {name: None if name == field else _nulled(value, field) for name, value in members.items()}


def _there() -> tuple[World, OtherActors]:
    """Return a world in which all but the lakehouse exists."""
    world = World()
    other_actors = OtherActors(world, random.Random(1))
    roles = [own_role()]
    roles.append({"id": PRINCIPAL, "type": "User", "role": "Contributor"})
    definition = {"parts": [{"path": "notebook-content.py", "payload": "b2xk", "payloadType": "InlineBase64"}]}
    item = {"type": "Notebook", "displayName": "clean", "description": "own", "definition": definition}
    row = {"displayName": "sales", "description": "own words\n", "roleAssignments": roles, "items": [item]}
    control.seed(world.model, {"workspaces": [row]})
    other_actors.remember(next(iter(world.model.store.workspaces)))
    return world, other_actors


def _run(field: str, nth: int, *, is_there: bool) -> tuple[World, OtherActors, Odd]:
    """Run a deployment that creates or updates everything and then fails."""
    if is_there:
        world, other_actors = _there()
    else:
        world = World()
        other_actors = OtherActors(world, random.Random(1))
    odd = Odd(world, field, nth)
    world.submit(MANIFEST)
    world.run()
    return world, other_actors, odd


@pytest.mark.parametrize(("field", "is_there"), [*((f, False) for f in CREATING), *((f, True) for f in UPDATING)])
def test_odd_answer_is_survived_at_every_call(field: str, is_there: bool) -> None:
    """Each answer that has the field has it null once: created resources are deleted, changed ones are restored, no row
    is unreadable, and no delivery ends in an unexpected error."""
    nth, seen = 1, 1
    while nth <= seen:
        world, other_actors, odd = _run(field, nth, is_there=is_there)
        assert violations(world, other_actors, ["d"]) == [], f"{field} is null in answer {nth}"
        assert world.state() is DeploymentState.COMPENSATED
        nth, seen = nth + 1, odd.seen
    assert seen >= 1


ODD_ROWS: list[Any] = [
    None,
    {"id": "11111111-1111-4111-8111-111111111111", "displayName": None, "type": "Workspace"},
    {"id": None, "displayName": "sales", "type": "Workspace"},
    {"id": {"x": 1}, "displayName": 7, "type": None},
]


@pytest.mark.parametrize("row", ODD_ROWS)
def test_odd_row_of_a_list_fails_no_step(row: Any) -> None:
    """Another actor's row without a name or an id is in every list of workspaces, forever, and no step fails."""
    world = World()
    handle = world.model.handle

    def beside(request: Request) -> Reply:
        reply = handle(request)
        if request.method != "GET" or request.path != "/v1/workspaces":
            return reply
        page = json.loads(reply.body)
        return replace(reply, body=json.dumps({**page, "value": [row, *page["value"]]}).encode())

    world.model.handle = beside
    world.submit({**MANIFEST, "steps": MANIFEST["steps"][:-1]})
    assert world.run() == [DeploymentState.SUCCEEDED]
    world.ask(Verb.RETIRE)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {}


CREATED: list[tuple[str, dict[str, Any]]] = [
    ("/v1/workspaces", {"displayName": None}),
    ("/v1/workspaces", {"id": None}),
    ("/v1/workspaces", {}),
    ("/v1/workspaces/[^/]+/lakehouses", {"type": None, "displayName": None}),
    ("/v1/workspaces/[^/]+/lakehouses", {"id": 7}),
    ("/v1/workspaces/[^/]+/roleAssignments", {"id": None, "role": None}),
]


@pytest.mark.parametrize("is_wanted", [True, False])
@pytest.mark.parametrize(("path", "change"), CREATED)
def test_odd_answer_to_a_create_yields_the_requested_resource(
    path: str, change: dict[str, Any], is_wanted: bool
) -> None:
    """If Fabric returns no name, the requested name counts. If it returns no id, the resource is looked for by its name
    and marker: it is neither forgotten nor created twice."""
    world = World()
    handle = world.model.handle
    injected: list[str] = []

    def odd(request: Request) -> Reply:
        reply = handle(request)
        if request.method != "POST" or injected or not re.fullmatch(path, request.path):
            return reply
        injected.append(request.path)
        body = {**json.loads(reply.body), **change} if change else None
        return replace(reply, body=json.dumps(body).encode())

    world.model.handle = odd
    steps = MANIFEST["steps"]
    world.submit({**MANIFEST, "steps": steps[:-1] if is_wanted else steps})
    ends = world.run()
    assert injected
    posts = [c for c in world.model.calls if c["method"] == "POST" and re.fullmatch(path, c["path"]) and c["effect"]]
    assert len(posts) == 1
    if is_wanted:
        assert ends == [DeploymentState.SUCCEEDED]
        names = {
            s.record.step_id: (s.record.resource.name, s.record.outputs)
            for s in world.journal.steps("d")
            if s.record.resource
        }
        assert (names["ws"][0], names["lake"][0]) == ("sales", "bronze")
        assert all(isinstance(value, str) for _, outputs in names.values() for value in (outputs or {}).values())
    else:
        assert ends == [DeploymentState.COMPENSATED]
        assert world.names() == {}


def test_record_that_could_not_be_read_fails_only_its_step() -> None:
    """The planted kind takes a null for a name. The row is not written, the step fails, and the resource that it
    created is found by its marker and deleted."""

    class Careless(WorkspaceKind):
        def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
            return Resource("Workspace", answer["id"], None)  # pyright: ignore[reportArgumentType] - planted

    world = World()
    world.services = replace(world.services, kinds={**world.services.kinds, "workspace": Careless()})
    world.submit(MANIFEST)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {}
    error = world.journal.steps("d")[0].record.error
    assert error is not None
    assert "its field 'name'" in error.message


STRANGE = "22222222-2222-4222-8222-222222222222"


@pytest.mark.parametrize("path", ["/v1/workspaces", "/v1/workspaces/[^/]+/lakehouses", "/v1/workspaces/[^/]+/items"])
def test_answer_to_a_create_that_names_another_id_leaves_nothing_behind(path: str) -> None:
    """No resource has the id that Fabric returned: the step fails, and the created resource is deleted by its name and
    marker."""
    world = World()
    handle = world.model.handle
    injected: list[str] = []

    def odd(request: Request) -> Reply:
        reply = handle(request)
        if request.method != "POST" or injected or not re.fullmatch(path, request.path):
            return reply
        injected.append(request.path)
        return replace(reply, status=201, headers={}, body=json.dumps({"id": STRANGE, "displayName": None}).encode())

    world.model.handle = odd
    world.submit({**MANIFEST, "steps": MANIFEST["steps"][:-1]})
    assert world.run() == [DeploymentState.COMPENSATED]
    assert injected
    assert world.names() == {}


def _changing(world: World, change: Callable[[Any], Any]) -> None:
    """Change the body of every answer."""
    handle = world.model.handle

    def odd(request: Request) -> Reply:
        reply = handle(request)
        body: Any = json.loads(reply.body) if reply.body and reply.status < 300 else None
        return reply if body is None else replace(reply, body=json.dumps(change(body)).encode())

    world.model.handle = odd


@pytest.mark.parametrize(
    "field", [{}, {"payloadType": None}, {"payloadType": 7}, {"payloadType": "Url"}, {"payload": "?"}]
)
def test_odd_part_of_a_definition_never_becomes_a_before_image(field: dict[str, Any]) -> None:
    """Fabric requires a type of payload and has one: a part without it is restored with it. A part of another type, or
    without content, could not be restored, so nothing is changed."""

    def changed(body: Any) -> Any:
        if "definition" not in body:
            return body
        parts = [{n: v for n, v in part.items() if n != "payloadType"} | field for part in body["definition"]["parts"]]
        return {**body, "definition": {**body["definition"], "parts": parts}}

    world, others = _there()
    _changing(world, changed)
    world.submit(MANIFEST)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert violations(world, others, ["d"]) == []
    updates = [c for c in world.model.calls if c["path"].endswith("/updateDefinition")]
    assert len(updates) == (0 if field in ({"payloadType": "Url"}, {"payload": "?"}) else 2)


@pytest.mark.parametrize("item_type", ["x", "notebook"])
def test_odd_type_in_an_answer_leaves_nothing_behind(item_type: str) -> None:
    """The item is looked for under the type that was asked for, so that it is found and deleted."""
    world = World()
    _changing(world, lambda body: {**body, "type": item_type} if {"id", "displayName"} <= body.keys() else body)
    world.submit(MANIFEST)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {}
