"""Companions: items that Fabric adds to an item are deleted with it, and an item of another actor never is."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from local.fabric_simulator import companions, control
from local.fabric_simulator.http import Reply, Request
from local.fabric_simulator.store import Item
from shared.domain.policy import EnginePolicy
from shared.domain.states import DeploymentState, IntentAction, StepState
from shared.saga.audit import verify
from shared.saga.command.verbs import Verb
from shared.saga.step import operations
from tests.simulation.companions import before_create
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.laws import encoded
from tests.simulation.world import World

FLOW = {"id": "flow", "type": "Dataflow", "displayName": "orders"}
TWIN = {"id": "twin", "type": "DigitalTwinBuilder", "displayName": "plant"}
HOUSE = {"id": "house", "type": "Eventhouse", "displayName": "telemetry"}


def manifest(*items: dict[str, Any], fails: bool = True) -> dict[str, Any]:
    """Return a manifest of a workspace with items and a last step that cannot succeed."""
    steps: list[dict[str, Any]] = [{"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}}]
    for item in items:
        spec = {"workspaceId": WORKSPACE, **{k: v for k, v in item.items() if k not in ("id", "needs")}}
        steps.append({"id": item["id"], "kind": "item", "needs": item.get("needs", []), "with": spec})
    if fails:
        spec = {"workspaceId": WORKSPACE, "type": "Crystal", "displayName": "ball"}
        steps.append({"id": "ball", "kind": "item", "needs": [i["id"] for i in items], "with": spec})
    return {"name": "m", "steps": steps}


def adopted(world: World, *items: dict[str, Any]) -> str:
    """Create another actor's workspace with these items, and return its id."""
    role = own_role()
    row = {"displayName": "sales", "roleAssignments": [role], "items": list(items)}
    return control.seed(world.model, {"workspaces": [row]})["workspaces"][0]["id"]


def item(world: World, name: str) -> Item:
    """Return an item as Fabric has it, by the beginning of its name."""
    workspaces = world.model.store.workspaces.values()
    return next(i for w in workspaces for i in w.standing() if i.name.startswith(name))


def delete_item(world: World, removed: Item) -> None:
    """Delete an item of a workspace that has no other item, as another actor does."""
    place = next(iter(world.model.store.workspaces.values()))
    del place.items[removed.id]
    companions.take_along(place, removed)


def reasons(world: World, step: int) -> str:
    """Return the reasons that the audit has for a step, as one text."""
    subject = f"step_{step:05d}"
    return " / ".join(e.reason for e in world.journal.audit("d") if e.subject == subject and e.reason)


@pytest.mark.parametrize("each", [FLOW, TWIN, HOUSE], ids=lambda i: i["type"])
@pytest.mark.parametrize("late", [0.0, 40.0])
def test_companions_are_deleted_with_our_workspace(each: dict[str, Any], late: float) -> None:
    """The workspace is deleted with what Fabric had added to it, whether that is visible already or not."""
    world = World()
    world.model.settings.companion_seconds = late
    world.submit(manifest(each))
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {}
    if not late and each is not HOUSE:  # The database of an eventhouse is deleted at once.
        assert "with it what Fabric had added beside items of this deployment: " in reasons(world, 0)
        assert {"Dataflow": "Warehouse 'StagingWarehouse", "DigitalTwinBuilder": "Lakehouse 'plantdtdm'"}[
            each["type"]
        ] in reasons(world, 0)


@pytest.mark.parametrize("each", [FLOW, TWIN, HOUSE], ids=lambda i: i["type"])
@pytest.mark.parametrize("late", [0.0, 25.0])
def test_companions_are_deleted_from_an_existing_workspace(each: dict[str, Any], late: float) -> None:
    """A companion that outlives its item in an adopted workspace is deleted too: the workspace is as it was."""
    world = World()
    world.model.settings.companion_seconds = late
    adopted(world, {"type": "Notebook", "displayName": "theirs"})
    world.submit(manifest(each))
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {"sales": ["theirs"]}
    if each is FLOW:
        assert "with it what Fabric had added beside items of this deployment: " in reasons(world, 1)


def test_companions_that_appear_later_are_deleted_by_the_sweeper() -> None:
    """Companions that become visible long after the deployment has ended are deleted as orphans, and the audit names
    them."""
    world = World()
    world.model.settings.companion_seconds = 600.0
    adopted(world)
    world.submit(manifest(FLOW))
    assert world.run() == [DeploymentState.COMPENSATED]
    world.clock.advance(world.policy.orphan_grace_seconds + 1)
    world.sweep()
    assert world.names() == {"sales": []}
    notes = [e.reason for e in world.journal.audit("d") if e.subject.startswith("orphan")]
    assert len(notes) == 2
    assert all("was added by Fabric to what was created by step flow" in note for note in notes)


STRANGE = {
    "of a dataflow created at another time": ("Lakehouse", "StagingLakehouseForDataflows_20200101000000"),
    "named after nothing of ours": ("Lakehouse", "officedtdm"),
    "with digits that are not a time": ("Warehouse", "StagingWarehouseForDataflows_99999999999999"),
    "there before its like was made": ("Lakehouse", "plantdtdm"),
    "of another type": ("Notebook", "plantdtdm"),
}


@pytest.mark.parametrize("is_ours", [True, False], ids=["workspace of ours", "workspace that was there"])
@pytest.mark.parametrize("strange", STRANGE)
def test_companions_of_other_actors_stay(strange: str, is_ours: bool) -> None:
    """An item that only looks like a companion is another actor's: our workspace stays while the item is in it."""
    world = World()
    item_type, name = STRANGE[strange]
    row = {"type": item_type, "displayName": name}
    if is_ours:
        world.submit(manifest(FLOW, TWIN))
        while not world.model.store.workspaces:
            assert world.step() or world.pass_time() is None
        place = next(iter(world.model.store.workspaces))
        control.seed(world.model, {"workspaces": [{"id": place, "items": [row]}]})
    else:
        adopted(world, row)
        world.submit(manifest(FLOW, TWIN))
    foreign = item(world, name)
    world.run(hours=2.0)
    assert world.state() is (DeploymentState.STUCK if is_ours else DeploymentState.COMPENSATED)
    assert world.model.store.workspaces[next(iter(world.model.store.workspaces))].items[foreign.id] is foreign
    if is_ours:
        error = world.journal.step("d", 0)[1].record.compensation_error
        assert error is not None
        assert f"{item_type} '{name}'" in error.message
    else:
        assert world.names() == {"sales": [name]}


@pytest.mark.parametrize("change", [{"description": "mine"}, {"folder_id": "f"}, {"name": "renamed"}])
@pytest.mark.parametrize("each", [FLOW, TWIN], ids=lambda i: i["type"])
def test_companions_that_another_actor_changed_stay(each: dict[str, Any], change: dict[str, str]) -> None:
    """A companion that got a description, a folder or another name is another actor's, and its workspace stays."""
    world = World()
    world.submit(manifest(each, fails=False))
    assert world.run() == [DeploymentState.SUCCEEDED]
    touched = item(world, {"Dataflow": "StagingLakehouse", "DigitalTwinBuilder": "plantdtdm"}[each["type"]])
    for name, value in change.items():
        setattr(touched, name, value)
    world.ask(Verb.RETIRE)
    world.run(hours=2.0)
    assert world.state() is DeploymentState.STUCK
    assert touched.name in world.names()["sales"]
    error = world.journal.step("d", 0)[1].record.compensation_error
    assert error is not None
    assert f"Lakehouse '{touched.name}'" in error.message
    delete_item(world, touched)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {}


def test_companions_replaced_by_hand_stay() -> None:
    """Another actor deleted a twin's lakehouse and created one with the same name: its id is not the recorded one."""
    world = World()
    world.submit(manifest(TWIN, fails=False))
    assert world.run() == [DeploymentState.SUCCEEDED]
    place = next(iter(world.model.store.workspaces.values()))
    delete_item(world, item(world, "plantdtdm"))
    row = {"type": "Lakehouse", "displayName": "plantdtdm"}
    control.seed(world.model, {"workspaces": [{"id": place.id, "items": [row]}]})
    world.ask(Verb.RETIRE)
    world.run(hours=2.0)
    assert world.state() is DeploymentState.STUCK
    assert world.names() == {"sales": ["plantdtdm"]}


@pytest.mark.law(2)
@pytest.mark.parametrize("description", ["", "mine now"], ids=["untouched", "one of them touched"])
def test_companions_that_may_be_another_actors_stay(description: str) -> None:
    """Another actor's dataflow was created in the same seconds: nobody can tell whose staging items are whose. That one
    of them was touched says nothing about the other (seed 4103623)."""
    world = World()
    place = adopted(world)
    world.submit(manifest(FLOW, fails=False))
    assert world.run() == [DeploymentState.SUCCEEDED]
    foreign = item(world, "StagingLakehouse")
    foreign.description = description
    row = {"type": "Lakehouse", "displayName": f"{foreign.name[:-1]}{(int(foreign.name[-1]) + 1) % 10}"}
    control.seed(world.model, {"workspaces": [{"id": place, "items": [row]}]})
    world.ask(Verb.RETIRE)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {"sales": sorted([foreign.name, row["displayName"]])}


@pytest.mark.law(2)
@pytest.mark.parametrize("is_alone", [True, False], ids=["nobody else's", "another actor's too"])
def test_companions_of_a_dataflow_that_is_found_hours_later(is_alone: bool) -> None:
    """Its create got no answer, and a person resumed the step hours later (seed 9100192). If another actor created a
    dataflow in the meantime, nobody can tell whose staging items are whose: they stay, and the audit names them."""
    once = EnginePolicy().forward.once()
    world = World(policy=replace(EnginePolicy(), forward=once))
    place = adopted(world)
    rule = {"match": {"method": "POST", "path": ".*/items"}, "when": {"times": 1}, "action": {"reset": "after"}}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    world.submit({**manifest(FLOW, fails=False), "onFailure": "hold"})
    world.run(hours=1.0)
    assert world.state() is DeploymentState.HELD
    world.pass_hours(7)
    if not is_alone:
        create = {"type": "Dataflow", "displayName": "theirs"}
        world.fabric.send("POST", f"/workspaces/{place}/items", create)
    world.pass_hours(1)
    staging = [i for i in world.model.store.workspaces[place].standing() if i.name.startswith("Staging")]
    assert world.ask(Verb.RESUME).accepted
    assert world.run() == [DeploymentState.SUCCEEDED]
    world.ask(Verb.RETIRE)
    assert world.run() == [DeploymentState.COMPENSATED]
    left = {i.id for i in world.model.store.workspaces[place].standing() if i.name.startswith("Staging")}
    assert left == (set() if is_alone else {i.id for i in staging})
    assert all(i.id in reasons(world, 1) for i in staging)
    assert ("kept, because nothing proves" in reasons(world, 1)) != is_alone
    assert len(staging) == (2 if is_alone else 4)


def test_companions_of_our_two_dataflows_are_all_deleted() -> None:
    """Created in the same second, the dataflows have two pairs of staging items between them, and both are ours."""
    world = World()
    adopted(world)
    other = {"id": "flow2", "type": "Dataflow", "displayName": "returns"}
    world.submit(manifest(FLOW, other))
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {"sales": []}


def test_companions_of_a_dataflow_whose_answer_was_lost_are_deleted() -> None:
    """The dataflow is found by its marker and deleted. Its companions are found through it, although the step never saw
    its id."""
    world = World(policy=replace(EnginePolicy(), forward=EnginePolicy().forward.once()))
    rule = {"match": {"method": "POST", "path": ".*/items"}, "action": {"reset": "after"}}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    adopted(world)
    world.submit(manifest(FLOW))
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {"sales": []}


@pytest.mark.parametrize(("policy", "state"), [("adopt", StepState.SUCCEEDED), ("fail", StepState.FAILED)])
def test_companions_may_be_steps_of_the_manifest(policy: str, state: StepState) -> None:
    """A database with the eventhouse's name exists when its step starts: it is adopted, or the step
    fails, and its error names the step that it belongs to."""
    database = {"id": "db", "type": "KQLDatabase", "displayName": "telemetry", "needs": ["house"], "ifExists": policy}
    payload = {"databaseType": "ReadWrite", "parentEventhouseItemId": "${{ steps.house.outputs.id }}"}
    world = World()
    world.submit(manifest(HOUSE, {**database, "creationPayload": payload}, fails=False))
    world.run()
    step = world.journal.step("d", 2)[1].record
    if state is StepState.SUCCEEDED:
        assert world.names() == {"sales": ["telemetry", "telemetry"]}
        assert step.intent is not None
        assert step.intent.action is IntentAction.ADOPT
    else:
        assert step.error is not None
        assert "Fabric adds it by itself to what step house creates" in step.error.message
        assert world.names() == {}


def test_companion_that_a_later_deployment_uses_blocks_the_rollback() -> None:
    """Retiring the eventhouse would delete its database, which another deployment has adopted."""
    world = World()
    adopted(world)
    world.submit(manifest(HOUSE, fails=False))
    assert world.run() == [DeploymentState.SUCCEEDED]
    world.clock.advance(60)
    world.submit(manifest({"id": "db", "type": "KQLDatabase", "displayName": "telemetry"}, fails=False), "later")
    assert world.run("later") == [DeploymentState.SUCCEEDED]
    answer = world.ask(Verb.RETIRE)

    assert "later uses resources of this one" in answer.message


@pytest.mark.law(2)
@pytest.mark.parametrize("is_ours", [True, False], ids=["workspace of ours", "workspace that was there"])
def test_companion_whose_name_another_actor_took_after_the_look_stays(is_ours: bool) -> None:
    """Another actor created `plantdtdm` between our look and our create (seed 3002859): the definition of our digital
    twin builder does not name that lakehouse. It stays, and the audit names it; or it blocks our workspace."""
    world = World()
    row = {"type": "Lakehouse", "displayName": "plantdtdm"}

    def take_name(path: str, item_type: str, name: str) -> None:
        if item_type == "DigitalTwinBuilder":
            control.seed(world.model, {"workspaces": [{"id": path.split("/")[3], "items": [row]}]})

    before_create(world, take_name)
    if not is_ours:
        adopted(world)
    world.submit(manifest(TWIN))
    world.run(hours=2.0)
    foreign = item(world, "plantdtdm")
    if is_ours:
        assert world.state() is DeploymentState.STUCK
        delete_item(world, foreign)
        assert world.run() == [DeploymentState.COMPENSATED]
        assert world.names() == {}
    else:
        assert world.state() is DeploymentState.COMPENSATED
        assert world.names() == {"sales": ["plantdtdm"]}
        kept = "kept, because nothing proves that Fabric added it for this deployment: Lakehouse 'plantdtdm'"
        assert f"{kept} ({foreign.id})" in reasons(world, 1)


UNREADABLE = {
    "refused": {"status": 400, "body": {"errorCode": "OperationNotSupportedForItem", "message": "x"}},
    "fails": {"operation": "fail"},
    "never ends": {"operation": "never"},
}


def definitions_are_unreadable(world: World, how: str) -> None:
    """Let no definition be read from now on."""
    rule = {"match": {"method": "POST", "path": ".*/getDefinition"}, "action": UNREADABLE[how]}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200


@pytest.mark.parametrize("how", UNREADABLE)
def test_companion_of_an_unreadable_maker_stays_and_nothing_waits_for_it_for_ever(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step succeeds. Its compensation ends too, at once or after `MAX_OPERATION`, and the audit names what was
    kept."""
    monkeypatch.setattr(operations, "MAX_OPERATION", timedelta(hours=3))  # in place of a day of polls
    world = World()
    adopted(world)
    definitions_are_unreadable(world, how)
    world.submit(manifest(TWIN, fails=False))
    assert world.run() == [DeploymentState.SUCCEEDED]
    world.ask(Verb.RETIRE)
    assert world.run(hours=6.0) == [DeploymentState.COMPENSATED]
    assert world.names() == {"sales": ["plantdtdm"]}
    assert "kept, because nothing proves that Fabric added it for this deployment: Lakehouse" in reasons(world, 1)


@pytest.mark.parametrize("how", ["fails", "never ends"])
def test_companion_of_a_maker_that_is_readable_again_is_deleted(how: str) -> None:
    """While the definition cannot be read, the rollback is stuck; then it goes on, and nothing is left."""
    world = World()
    adopted(world)
    definitions_are_unreadable(world, how)
    world.submit(manifest(TWIN, fails=False))
    assert world.run() == [DeploymentState.SUCCEEDED]
    world.ask(Verb.RETIRE)
    world.run(hours=3.0)
    assert world.state() is DeploymentState.STUCK
    world.model.faults.replace([])
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {"sales": []}


def test_companion_whose_reading_failed_once_is_read_again_without_retries() -> None:
    """With one attempt each, the failed operation is not polled again by the next try (seed 4012437)."""
    world = World(policy=replace(EnginePolicy(), backward=EnginePolicy().backward.once()))
    adopted(world)
    definitions_are_unreadable(world, "refused")
    world.submit(manifest(TWIN, fails=False))
    assert world.run() == [DeploymentState.SUCCEEDED]
    definitions_are_unreadable(world, "fails")
    world.ask(Verb.RETIRE)
    world.run(hours=0.2)
    assert world.state() is DeploymentState.STUCK
    world.model.faults.replace([])
    assert world.run(hours=3.0) == [DeploymentState.COMPENSATED]
    assert world.names() == {"sales": []}


def test_companion_of_a_maker_created_by_a_late_call_is_deleted() -> None:
    """The sweeper reads the definition of the orphan first, which Fabric does as an operation, over two sweeps."""
    world = World(policy=replace(EnginePolicy(), forward=EnginePolicy().forward.once()))
    adopted(world)
    handle = world.model.handle
    late: list[Request] = []

    def lost(request: Request) -> Reply:
        if request.method == "POST" and request.path.endswith("/items") and b"DigitalTwinB" in (request.body or b""):
            late.append(request)
            return replace(handle(replace(request, method="GET")), reset=True)
        return handle(request)

    world.model.handle = lost
    world.submit(manifest(TWIN))
    assert world.run() == [DeploymentState.COMPENSATED]
    world.model.handle = handle
    handle(late[0])
    assert world.names() == {"sales": ["plant", "plantOnDemand", "plantdtdm"]}
    world.clock.advance(world.policy.orphan_grace_seconds + 1)
    world.sweep()
    assert world.names() == {"sales": ["plant", "plantOnDemand", "plantdtdm"]}
    world.clock.advance(5)
    world.sweep()
    assert world.names() == {"sales": []}
    assert verify.verify(verify.read(world.journal, "d")).differences == ()


def in_eventhouse(world: World, name: str) -> Item:
    """Create another actor's database in our eventhouse."""
    place = next(iter(world.model.store.workspaces))
    payload = {"databaseType": "ReadWrite", "parentEventhouseItemId": item(world, "telemetry").id}
    row = {"type": "KQLDatabase", "displayName": name, "creationPayload": payload}
    made = control.seed(world.model, {"workspaces": [{"id": place, "items": [row]}]})
    return world.model.store.workspaces[place].items[made["workspaces"][0]["items"][0]]


@pytest.mark.law(2)
@pytest.mark.parametrize("is_ours", [True, False], ids=["workspace of ours", "workspace that was there"])
def test_database_of_another_actor_in_our_eventhouse_stays(is_ours: bool) -> None:
    """Fabric would delete the database with the eventhouse, so the eventhouse stays until somebody removes it."""
    world = World()
    if not is_ours:
        adopted(world)
    world.submit(manifest(HOUSE, fails=False))
    assert world.run() == [DeploymentState.SUCCEEDED]
    foreign = in_eventhouse(world, "theirs")
    world.ask(Verb.RETIRE)
    world.run(hours=2.0)
    assert world.state() is DeploymentState.STUCK
    assert world.names() == {"sales": ["telemetry", "telemetry", "theirs"]}
    error = world.journal.step("d", 1)[1].record.compensation_error
    assert error is not None
    assert "eventhouse 'telemetry'" in error.message
    assert "databases that it did not create: 'theirs'" in error.message
    delete_item(world, foreign)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == ({} if is_ours else {"sales": []})
