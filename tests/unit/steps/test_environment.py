"""The kind `environment`: what it sends, what it publishes, and what a rollback publishes again."""

import base64
from typing import Any

import pytest
import yaml

from local.fabric_simulator import control, publishing
from local.fabric_simulator.store import Item
from shared.domain.manifest import compile_manifest
from shared.domain.states import DeploymentState
from shared.steps import KINDS
from shared.steps.environment import LIBRARIES, SPARK
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.laws import encoded
from tests.simulation.world import World
from tests.unit.steps.tenant import PERSON, problems

COMPUTE: dict[str, Any] = {"workspaceId": WORKSPACE, "displayName": "spark", "ifExists": "update"}


def part(path: str, text: str) -> dict[str, str]:
    """Return a part of a definition."""
    return {"path": path, "payload": base64.b64encode(text.encode()).decode(), "payloadType": "InlineBase64"}


def manifest(*, fails: bool = False, **changes: Any) -> dict[str, Any]:
    """Return a manifest of an environment, followed by a step that cannot succeed if it `fails`."""
    steps: list[dict[str, Any]] = [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}},
        {"id": "env", "kind": "environment", "with": {**COMPUTE, **changes}},
    ]
    if fails:
        ball = {"workspaceId": WORKSPACE, "type": "Crystal", "displayName": "ball"}
        steps.append({"id": "ball", "kind": "item", "needs": ["env"], "with": ball})
    return {"name": "m", "steps": steps}


def world(*parts: dict[str, str]) -> World:
    """Return a tenant with a workspace and, if there are parts, an environment in it."""
    made = World(5)
    there = {"type": "Environment", "displayName": "spark", "description": "", "definition": {"parts": list(parts)}}
    row = {"displayName": "sales", "roleAssignments": [own_role()], "items": [there] if parts else []}
    control.seed(made.model, {"workspaces": [row]})
    return made


def environment(made: World) -> Item:
    """Return the environment as the simulator stores it."""
    [place] = made.model.store.workspaces.values()
    return next(item for item in place.items.values() if item.type == "Environment")


def published(made: World) -> dict[str, Any]:
    """Return what is published, by path, as YAML has it."""
    state = publishing.settled(environment(made), made.clock.now().timestamp())
    return {path: yaml.safe_load(data) for path, data in state.published.items()}


def publishes(made: World) -> int:
    """Return how many publishes were sent."""
    return sum(call["path"].endswith("staging/publish") for call in made.model.calls)


def test_whoever_needs_it_waits_for_the_publish() -> None:
    """The publish has the id of the step, and its outputs."""
    data = manifest()
    book = {"workspaceId": WORKSPACE, "type": "Notebook", "displayName": "${{ steps.env.outputs.id }}"}
    data["steps"].append({"id": "book", "kind": "item", "with": book})
    graph = {step.step_id: step for step in compile_manifest(data, KINDS).steps}
    assert graph["env"].kind == "environment_publish"
    assert "env/item" in graph["env"].needs
    assert "env" in graph["book"].needs


def test_environment_is_published_and_a_rollback_publishes_what_was_there() -> None:
    made = world()
    made.submit(manifest(sparkCompute={"driver_cores": 4}, publicLibraries=["pandas==2.2.3"]))
    assert made.run() == [DeploymentState.SUCCEEDED]
    first = {SPARK: {"driver_cores": 4}, LIBRARIES: {"dependencies": [{"pip": ["pandas==2.2.3"]}]}}
    assert published(made) == first
    made.submit({**manifest(sparkCompute={"driver_cores": 8}, fails=True), "name": "again"}, "d2")
    assert made.run("d2") == [DeploymentState.COMPENSATED]
    assert (published(made), publishes(made)) == (first, 3)


def test_publish_that_fails_is_rolled_back_to_what_was_published() -> None:
    made = world()
    made.submit(manifest(sparkCompute={"driver_cores": 4}))
    assert made.run() == [DeploymentState.SUCCEEDED]
    error = {"errorCode": "EnvironmentValidationFailed", "message": "x", "isRetriable": False}
    match = {"method": "POST", "path": ".*staging/publish"}
    rule = {"match": match, "when": {"nth": 1}, "action": {"operation": "fail", "error": error}}
    assert control.handle(made.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    made.submit({**manifest(sparkCompute={"driver_cores": 8}), "name": "again"}, "d2")
    assert made.run("d2") == [DeploymentState.COMPENSATED]
    assert published(made) == {SPARK: {"driver_cores": 4}}


def test_environment_that_is_as_asked_is_not_published_again() -> None:
    made = world()
    made.submit(manifest(sparkCompute={"driver_cores": 4}))
    assert made.run() == [DeploymentState.SUCCEEDED]
    made.submit({**manifest(sparkCompute={"driver_cores": 4}), "name": "again"}, "d2")
    assert made.run("d2") == [DeploymentState.SUCCEEDED]
    assert publishes(made) == 1


def test_parts_that_the_manifest_does_not_give_stay() -> None:
    made = world(part(SPARK, "driver_cores: 8\n"), part(LIBRARIES, "dependencies: []\n"))
    made.submit(manifest(publicLibraries=["polars==1.9"]))
    assert made.run() == [DeploymentState.SUCCEEDED]
    assert published(made) == {
        SPARK: {"driver_cores": 8},
        LIBRARIES: {"dependencies": [{"pip": ["polars==1.9"]}]},
    }


def test_whole_definition_replaces_everything() -> None:
    made = world(part(SPARK, "driver_cores: 8\n"), part(LIBRARIES, "dependencies: []\n"))
    made.submit(manifest(definition={"parts": [{"path": SPARK, "text": "driver_cores: 4\n"}]}))
    assert made.run() == [DeploymentState.SUCCEEDED]
    assert published(made) == {SPARK: {"driver_cores": 4}}


def test_without_a_publish_it_is_only_staged() -> None:
    """A rollback then publishes nothing either."""
    made = world(part(SPARK, "driver_cores: 8\n"))
    made.submit(manifest(sparkCompute={"driver_cores": 4}, publish=False, fails=True))
    assert made.run() == [DeploymentState.COMPENSATED]
    assert (publishes(made), published(made)) == (0, {})
    assert yaml.safe_load(publishing.parts_of(environment(made))[SPARK]) == {"driver_cores": 8}


def test_text_of_the_manifest_is_a_value() -> None:
    """Line ends and colons in a value cannot add a setting."""
    made = world()
    made.submit(manifest(sparkCompute={"driver_memory": "28g\nruntime_version: 9"}))
    assert made.run() == [DeploymentState.SUCCEEDED]
    assert published(made)[SPARK] == {"driver_memory": "28g\nruntime_version: 9"}


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"publicLibraries": ["pandas; rm"]}, "$.publicLibraries"),
        ({"publicLibraries": ["-r other.txt"]}, "$.publicLibraries"),
        ({"sparkCompute": {"a: b": 1}}, "$.sparkCompute"),
        (
            {"definition": {"parts": [{"path": SPARK, "text": ""}]}, "sparkCompute": {"driver_cores": 4}},
            "$.sparkCompute",
        ),
        ({"type": "Notebook"}, "$.type"),
        ({"displayName": None}, "$.displayName"),
        ({"publish": "yes"}, "$.publish"),
    ],
)
def test_bad_environment_is_a_problem(changes: dict[str, Any], where: str) -> None:
    assert where in problems(KINDS["environment"], {"workspaceId": PERSON, "displayName": "spark", **changes})
