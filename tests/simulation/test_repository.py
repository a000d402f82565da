"""A repository deployed by the whole system in memory: order of references, cycles, changed-only, roll back."""

import base64
import json
from collections import Counter
from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.manifest import compile_manifest
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.domain.states import DeploymentState, StepState
from shared.saga.dry_run.changes import dry_run
from shared.saga.dry_run.result import Action
from shared.saga.step.looks import KnownFabric
from shared.steps import KINDS, STEPS
from shared.steps.kind import VerificationError
from shared.steps.repository_item import RepositoryItemKind
from tests.simulation import repositories
from tests.simulation.edges import WORKSPACE
from tests.simulation.laws import encoded
from tests.simulation.world import World

WS = {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}}
BALL = {
    "id": "ball",
    "kind": "item",
    "needs": ["content"],
    "with": {"workspaceId": WORKSPACE, "type": "CrystalBall", "displayName": "ball"},
}


NEEDS = {
    "removed-schedules": ["ws"],
    "Notebook/load": ["removed-schedules"],
    "Notebook/clean_sales": ["removed-schedules"],
    "Reflex/alarm": ["ws"],
    "DataPipeline/run": ["removed-schedules", "Notebook/load"],
    "Eventstream/stream": ["Reflex/alarm"],
    "Reflex/alarm/definition": ["Reflex/alarm", "Eventstream/stream"],
}


def manifest(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"name": "m", "target": "T", "steps": [WS, *steps]}


def definitions(world: World) -> dict[str, str]:
    """Return the text of each item's own part, by name."""
    found: dict[str, str] = {}
    for workspace in world.model.store.workspaces.values():
        for each in workspace.standing():
            for part in (each.definition or {}).get("parts", []):
                if part["path"] != ".platform":
                    found[each.name] = base64.b64decode(part["payload"]).decode()
    return found


def ids(world: World) -> dict[str, str]:
    return {i.name: i.id for w in world.model.store.workspaces.values() for i in w.standing()}


def content(world: World, text: str = "x = 1") -> dict[str, Any]:
    """Return a repository of two notebooks, a pipeline that runs one of them, and a cycle of a stream and a reflex."""
    blobs = world.blobs
    return repositories.step(
        WORKSPACE,
        [
            repositories.item(blobs, "DataPipeline", "run", "{}", ("Notebook/load",)),
            repositories.item(blobs, "Notebook", "load", text),
            repositories.item(blobs, "Notebook", "clean sales", "y = 1", description="words"),
            repositories.item(blobs, "Eventstream", "stream", "{}", ("Reflex/alarm",)),
            repositories.item(blobs, "Reflex", "alarm", "{}", ("Eventstream/stream",)),
        ],
        shells=("Reflex/alarm",),
    )


def test_repository_is_deployed_in_the_order_of_its_references() -> None:
    """Each logical id is replaced by the id of the item; a cycle is cut into a shell and its definition."""
    world = World(1)
    world.submit(manifest(content(world)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    found, known = definitions(world), ids(world)
    assert json.loads(found["run"]) == ["{}", known["load"]]
    assert json.loads(found["stream"]) == ["{}", known["alarm"]]
    assert json.loads(found["alarm"]) == ["{}", known["stream"]]
    rows = [s.record for s in world.journal.steps("d")]
    rows_by_name = {row.step_id.removeprefix("content/"): row.ordinal for row in rows}
    assert {row.step_id: row.needs for row in rows if row.step_id != "ws"} == {
        f"content/{name}": tuple(sorted(rows_by_name[other] for other in needs)) for name, needs in NEEDS.items()
    }


def test_repository_that_did_not_change_is_not_sent_again() -> None:
    """Only the changed notebook and what names it by a new id are sent; the rest costs a share of one list."""
    world = World(1)
    world.submit(manifest(content(world)))
    world.run()
    calls = len(world.model.calls)
    world.submit(manifest(content(world, "x = 2")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    sent = [c for c in world.model.calls[calls:] if c["method"] != "GET"]
    assert [c["path"].rsplit("/", 1)[1] for c in sent] == ["getDefinition", "updateDefinition"]
    assert definitions(world)["load"] == "x = 2"


def test_repository_is_rolled_back_to_what_it_was() -> None:
    """After a failed second deployment, each definition, name and description is as the first one left it."""
    world = World(1)
    world.submit(manifest(content(world)))
    world.run()
    before = definitions(world)
    notes = world.deployed.of_workspace(next(iter(world.model.store.workspaces)))
    world.submit(manifest(content(world, "x = 2"), BALL), "e")
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert definitions(world) == before
    assert world.deployed.of_workspace(next(iter(world.model.store.workspaces))) == notes


@pytest.mark.law(1)
@pytest.mark.parametrize("action", [{"status": 503, "body": {"errorCode": "ServiceUnavailable"}}, {"reset": "after"}])
def test_workspace_is_deleted_only_after_all_that_is_in_it(action: dict[str, Any]) -> None:
    """The items need the workspace only through the search for orphans, which finds none: that step changed nothing, so
    it is over before the first item is deleted. The workspace still waits for the items."""
    world = World(1)
    rule = {"match": {"method": "DELETE", "path": ".*/items/.*"}, "when": {"times": 3}, "action": action}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    repository = content(world)
    repository["with"]["orphans"] = "quarantine"
    world.submit(manifest(repository, BALL))
    assert world.run(hours=1) == [DeploymentState.COMPENSATED]
    first, *others = [s.record for s in world.journal.steps("d")]
    began = first.compensation_started_at
    assert began is not None
    over = [row.compensation_finished_at for row in others if row.compensation_finished_at is not None]
    assert max(over) <= began
    assert world.model.store.deleted[-1]["type"] == "Workspace"


def test_repository_whose_first_deployment_fails_leaves_nothing() -> None:
    world = World(1)
    world.submit(manifest(content(world), BALL))
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.model.store.workspaces == {}
    assert {s.record.state for s in world.journal.steps("d")} == {StepState.COMPENSATED}


def test_renamed_item_keeps_its_id() -> None:
    """It is recognised by its logical id; a rollback gives it its old name back."""
    world = World(1)
    blobs = world.blobs
    first = repositories.item(blobs, "Notebook", "load", "x = 1")
    world.submit(manifest(repositories.step(WORKSPACE, [first])))
    world.run()
    old = ids(world)["load"]
    renamed = {**repositories.item(blobs, "Notebook", "load sales", "x = 1"), "logicalId": first["logicalId"]}
    world.submit(manifest(repositories.step(WORKSPACE, [renamed]), BALL), "e")
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert ids(world) == {"load": old}
    world.submit(manifest(repositories.step(WORKSPACE, [renamed])), "f")
    assert world.run("f") == [DeploymentState.SUCCEEDED]
    assert ids(world) == {"load sales": old}


@pytest.mark.parametrize("seed", range(16))
def test_repository_under_crashes_ends_as_without_them(seed: int) -> None:
    world = World(seed, crash_rate=0.05, overtake_rate=0.03)
    world.submit(manifest(content(world), *([BALL] if seed % 2 else [])))
    [end] = world.run()
    if seed % 2:
        assert (end, world.model.store.workspaces) == (DeploymentState.COMPENSATED, {})
    else:
        assert end is DeploymentState.SUCCEEDED
        assert len(ids(world)) == 5
        assert json.loads(definitions(world)["run"]) == ["{}", ids(world)["load"]]


def test_operation_that_is_over_is_not_polled_again_because_a_list_is_refused() -> None:
    """The row remembers that it is over; only the list that shows its item is asked for again."""
    world = World(1)
    refused = {"status": 429, "headers": {"Retry-After": "5"}}
    rule = {"match": {"method": "GET", "path": ".*/items"}, "when": {"nth": [2, 3]}, "action": refused}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, json.dumps([rule]).encode())[0] == 200
    world.submit(manifest(content(world)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    polls = Counter(c["path"] for c in world.model.calls if c["path"].startswith("/v1/operations/"))
    assert sum(c["status"] == 429 for c in world.model.calls) == 2
    assert set(polls.values()) == {1}


def notebooks(world: World, count: int) -> dict[str, Any]:
    rows = [repositories.item(world.blobs, "Notebook", f"n{number}", f"x = {number}") for number in range(count)]
    return repositories.step(WORKSPACE, rows)


def tampered(world: World, name: str, text: str) -> None:
    """Change the text of an item as a person would."""
    items = [i for w in world.model.store.workspaces.values() for i in w.standing() if i.name == name]
    part = next(p for p in (items[0].definition or {})["parts"] if p["path"] != ".platform")
    part["payload"] = base64.b64encode(text.encode()).decode()


def checked(world: World, count: int) -> Counter[str]:
    """Deploy the notebooks, then again with `unchanged: check`; return the calls of the second deployment."""
    world.submit(manifest(notebooks(world, count)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    tampered(world, "n7", "by = 'hand'")
    before = len(world.model.calls)
    again = notebooks(world, count)
    again["with"]["unchanged"] = "check"
    world.submit(manifest(again), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    assert definitions(world)["n7"] == "x = 7"
    calls = world.model.calls[before:]
    return Counter(c["path"].rsplit("/", 1)[1] for c in calls if c["method"] == "POST")


def test_unchanged_items_are_checked_by_one_export_for_many() -> None:
    """Only the one that a person changed is read by itself, for its before-image. It is read back by another export."""
    world = World(1, pace=0.1)
    assert checked(world, 60) == {"bulkExportDefinitions": 3, "getDefinition": 1, "updateDefinition": 1}
    assert len([c for c in world.model.calls if "/operations/" in c["path"]]) < 60 + 20


@pytest.mark.parametrize("served", [True, False])
def test_plan_reads_the_definitions_of_a_repository_by_few_calls(served: bool) -> None:
    """It compares what is there although nothing is known of earlier deployments, and names what a person changed."""
    world = World(1)
    world.submit(manifest(notebooks(world, 60)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    tampered(world, "n7", "by = 'hand'")
    refused = {"match": {"method": "POST", "path": ".*/bulkExportDefinitions"}, "action": {"status": 403}}
    control.handle(world.model, "POST", "/_sim/faults", {}, json.dumps([] if served else [refused]).encode())
    graph, before = compile_manifest(manifest(notebooks(world, 60)), KINDS), len(world.model.calls)
    options: Any = {"clock": world.clock, "sleep": world.clock.advance, "read": world.blobs.get}
    found = dry_run(world.fabric, STEPS, graph, **options)
    assert [step.name for step in found.steps if step.action is Action.UPDATE] == ["n7"]
    assert next(step for step in found.steps if step.name == "n7").files == ("notebook-content.py changed",)
    calls = len(world.model.calls) - before
    assert (calls < 20) if served else (calls > 180)


def test_plan_of_a_large_repository_reads_each_export_while_it_is_in_memory() -> None:
    """Six groups of items take six exports, although only four of them are kept at a time."""
    world, count = World(1), 300
    world.submit(manifest(notebooks(world, count)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    graph, before = compile_manifest(manifest(notebooks(world, count)), KINDS), len(world.model.calls)
    options: Any = {"clock": world.clock, "sleep": world.clock.advance, "read": world.blobs.get}
    assert dry_run(world.fabric, STEPS, graph, **options).changes == 0
    sent = Counter(c["path"].rsplit("/", 1)[1] for c in world.model.calls[before:] if c["method"] == "POST")
    assert sent == {"bulkExportDefinitions": 6}


@pytest.mark.parametrize("status", [400, 403, 404, 503])
def test_unchanged_items_are_read_one_by_one_where_fabric_serves_no_export(status: int) -> None:
    world = World(1, pace=0.1)
    rule = {"match": {"method": "POST", "path": ".*/bulkExportDefinitions"}, "action": {"status": status}}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, json.dumps([rule]).encode())[0] == 200
    sent = checked(world, 12)
    assert (sent["getDefinition"], sent["updateDefinition"], sent["bulkExportDefinitions"]) == (12, 1, 2)


def test_export_that_fails_or_never_ends_is_given_up() -> None:
    for fault in ({"operation": "fail"}, {"operation": "never"}):
        world = World(1, pace=0.1)
        rule = {"match": {"method": "POST", "path": ".*/bulkExportDefinitions"}, "action": fault}
        assert control.handle(world.model, "POST", "/_sim/faults", {}, json.dumps([rule]).encode())[0] == 200
        assert checked(world, 12)["getDefinition"] == 12


@pytest.mark.parametrize("seed", range(6))
def test_checked_repository_under_crashes_ends_as_without_them(seed: int) -> None:
    checked(World(seed, crash_rate=0.01, overtake_rate=0.02, workers=2, pace=0.1), 9)


def lists_of_items(world: World) -> int:
    return sum(c["method"] == "GET" and c["path"].endswith("/items") for c in world.model.calls)


def test_items_are_verified_by_a_list_that_was_requested_for_another_since_they_were_created() -> None:
    """One delivery after the other finds its operation over: the first asks for a list, and it answers for the rest."""
    world = World(1, pace=0.2)
    world.submit(manifest(notebooks(world, 60)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert lists_of_items(world) < 20


@pytest.mark.parametrize("seed", range(4))
def test_list_that_shows_an_item_before_its_operation_failed_proves_nothing(seed: int) -> None:
    """Fabric shows an item while it still writes its definition, and then fails: the deployment is rolled back."""
    world = World(seed)
    rule = {
        "match": {"method": "POST", "path": ".*/items"},
        "when": {"nth": 30},
        "action": {"operation": "fail", "error": {"errorCode": "CorruptedPayload", "message": "no"}},
    }
    assert control.handle(world.model, "POST", "/_sim/faults", {}, json.dumps([rule]).encode())[0] == 200
    world.submit(manifest(notebooks(world, 40)))
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.model.store.workspaces == {}


def test_item_that_an_earlier_list_shows_otherwise_is_looked_at_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fabric may show an item before it is in its folder; then the list after the end of its operation counts."""
    verify, earlier = RepositoryItemKind.verify, list[str]()

    def verified(kind: RepositoryItemKind, fabric: Fabric, spec: Any, resource: Resource, intent: Intent) -> Any:
        if isinstance(fabric, KnownFabric):
            earlier.append(resource.id)
            raise VerificationError("Fabric shows another folder")
        return verify(kind, fabric, spec, resource, intent)

    monkeypatch.setattr(RepositoryItemKind, "verify", verified)
    world = World(1, pace=0.2)
    world.submit(manifest(notebooks(world, 60)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert earlier
