"""The kind `environment`: what it sends, what it publishes, and what a rollback publishes again."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from local.fabric_simulator import control, publishing
from local.fabric_simulator.store import Item
from shared.domain.manifest import compile_manifest
from shared.domain.states import DeploymentState
from shared.saga.dry_run.changes import dry_run
from shared.saga.dry_run.result import Action
from shared.steps import KINDS, STEPS
from shared.steps.environment import LIBRARIES, SPARK
from tests.simulation import repositories
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


def refuse_publishes(made: World, times: int) -> None:
    """Let Fabric refuse so many publishes finally."""
    error = {"status": 403, "body": {"errorCode": "InsufficientPrivileges", "message": "x"}}
    rule = {"match": {"method": "POST", "path": ".*staging/publish"}, "when": {"times": times}, "action": error}
    assert control.handle(made.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200


def reasons(made: World, deployment_id: str = "d") -> str:
    """Return the reasons of all compensated steps in the audit."""
    return " / ".join(e.reason for e in made.journal.audit(deployment_id) if e.after == "compensated")


def test_environment_that_was_never_published_is_published_although_it_is_as_asked() -> None:
    """Fabric shows a publish that succeeded, of the moment of its creation."""
    made = world(part(SPARK, "driver_cores: 4\n"))
    made.submit(manifest(sparkCompute={"driver_cores": 4}))
    assert made.run() == [DeploymentState.SUCCEEDED]
    assert (publishes(made), published(made)) == (1, {SPARK: {"driver_cores": 4}})


@pytest.mark.law(1)
@pytest.mark.parametrize("is_repository", [False, True])
def test_environment_that_was_never_published_is_not_published_by_a_rollback(is_repository: bool) -> None:
    """Its definition was changed and its publish refused, so nothing of it was published."""
    made = world(part(SPARK, "driver_cores: 8\n"))
    data = manifest(sparkCompute={"driver_cores": 4})
    if is_repository:
        row = repositories.item(made.blobs, "Environment", "spark", "driver_cores: 4\n")
        data["steps"][1] = repositories.step(WORKSPACE, [row])
    refuse_publishes(made, 1)
    made.submit(data)
    assert made.run() == [DeploymentState.COMPENSATED]
    assert (publishes(made), published(made)) == (1, {})
    assert yaml.safe_load(publishing.parts_of(environment(made))[SPARK]) == {"driver_cores": 8}
    assert "had never been published" not in reasons(made)


@pytest.mark.law(1)
@pytest.mark.parametrize("cores", [4, 8], ids=["changed", "as asked"])
def test_audit_says_that_a_first_publish_stays(cores: int) -> None:
    """No call of Fabric reverses it: what was staged before is published, which nobody had asked for."""
    made = world(part(SPARK, "driver_cores: 8\n"))
    made.submit(manifest(sparkCompute={"driver_cores": cores}, fails=True))
    assert made.run() == [DeploymentState.COMPENSATED]
    assert published(made) == {SPARK: {"driver_cores": 8}}
    assert "environment 'spark' had never been published, and stays published" in reasons(made)


@pytest.mark.parametrize("is_repository", [False, True])
def test_audit_says_nothing_of_the_publish_of_an_environment_that_is_deleted(is_repository: bool) -> None:
    """The rollback deletes what the deployment created, so nothing stays published."""
    made = world()
    data = manifest(sparkCompute={"driver_cores": 4}, fails=True)
    if is_repository:
        row = repositories.item(made.blobs, "Environment", "spark", "driver_cores: 4\n")
        data["steps"][1] = {**repositories.step(WORKSPACE, [row]), "id": "env"}
    made.submit(data)
    assert made.run() == [DeploymentState.COMPENSATED]
    assert (publishes(made), made.names()) == (1, {"sales": []})
    assert "had never been published" not in reasons(made)


def test_plan_says_that_a_first_publish_cannot_be_restored() -> None:
    made = world(part(SPARK, "driver_cores: 8\n"))
    graph = compile_manifest(manifest(sparkCompute={"driver_cores": 8}), KINDS)
    found = dry_run(made.services.fabric, STEPS, graph, clock=made.clock, sleep=lambda _: None)
    change = next(step for step in found.steps if step.id == "env")
    assert (change.action, change.restorable) == (Action.UPDATE, "no")


def test_environment_without_publish_details_is_deployed_and_restored() -> None:
    """The published OpenAPI allows an environment that was never published to have none."""
    made = world(part(SPARK, "driver_cores: 8\n"))
    handle = made.model.handle

    def shown(request: Any) -> Any:
        reply = handle(request)
        if "/environments/" not in request.path or publishing.settled(environment(made), 0.0).version:
            return reply
        return replace(reply, body=encoded({**json.loads(reply.body), "properties": {}}))

    made.model.handle = shown
    made.submit(manifest(sparkCompute={"driver_cores": 4}, publish=False))
    assert made.run() == [DeploymentState.SUCCEEDED]
    made.submit({**manifest(sparkCompute={"driver_cores": 16}, fails=True), "name": "again"}, "d2")
    assert made.run("d2") == [DeploymentState.COMPENSATED]
    assert published(made) == {SPARK: {"driver_cores": 4}}


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
