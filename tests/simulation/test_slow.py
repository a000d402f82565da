"""A Fabric that is slow, that never ends an operation, or that asks to wait: deployments still end, within their
deadlines."""

import copy
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.policy import EnginePolicy
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from shared.saga.command.verbs import Verb
from shared.saga.step.operations import MAX_UNSEEN
from tests.simulation.bugs import compensated_before_a_late_call
from tests.simulation.edges import IDENTITY, Crash, Network
from tests.simulation.other_actors import OWN_DEFINITION
from tests.simulation.test_laws import MEDALLION, check_laws, failing
from tests.simulation.world import World

POLICY = EnginePolicy()
PERSON = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c05"


@pytest.mark.parametrize("pace", [POLICY.step_lease_seconds * times for times in (0.3, 1, 3, 10)])
@pytest.mark.parametrize(("manifest", "end"), [(MEDALLION, D.SUCCEEDED), (failing(), D.COMPENSATED)])
def test_progress_does_not_depend_on_fabrics_speed(manifest: dict[str, Any], end: D, pace: float) -> None:
    """With calls up to ten leases long the deployment succeeds. If no delivery takes longer than the host allows, each
    step is done once, by the delivery that began it."""
    world = World(7, pace=pace)
    patient = copy.deepcopy(manifest)
    for step in patient["steps"]:
        step["timeout"] = "6h"
    world.submit(patient)
    assert world.run(hours=6.0) == [end]
    check_laws(world)
    if pace <= POLICY.step_lease_seconds:
        assert len([c for c in world.model.calls if c["method"] == "POST"]) == 7
    assert world.occurred["heartbeat"] or pace < POLICY.step_lease_seconds


def test_looks_that_outlast_the_lease_are_not_repeated() -> None:
    """Three looks take 0.9 s each and the lease 2 s: the delivery that looked sends the deletion of the workspace."""
    world = World(1, EnginePolicy(step_lease_seconds=2.0), pace=0.0)
    world.submit(failing())
    world.pace = 1.8
    assert world.run(hours=1.0) == [D.COMPENSATED]
    deletions = [c for c in world.model.calls if c["method"] == "DELETE"]
    assert len(deletions) == len({c["path"] for c in deletions})


def slow_item(world: World, deployment_id: str = "d") -> None:
    """Submit a manifest of a workspace and a notebook whose creation is an operation."""
    workspace, nb = MEDALLION["steps"][0], MEDALLION["steps"][5]
    manifest = {"name": "m", "steps": [workspace, {**nb, "needs": [], "timeout": "2m"}]}
    world.submit(manifest, deployment_id)


def others_workspace(world: World, *items: dict[str, Any]) -> Any:
    """Create a workspace of another actor with these items."""
    role = {"id": IDENTITY, "type": "ServicePrincipal", "role": "Admin"}
    row = {"displayName": "sales", "roleAssignments": [role], "items": list(items)}
    return control.seed(world.model, {"workspaces": [row]})["workspaces"][0]


def show_everything(world: World) -> None:
    """Make visible what operations are still creating."""
    for workspace in world.model.store.workspaces.values():
        for item in workspace.items.values():
            item.visible_at = world.clock.now().timestamp()


NEVER = {"match": {"method": "POST", "path": ".*/items"}, "when": {"times": 1}, "action": {"operation": "never"}}


def test_operation_that_never_ends_does_not_delay_compensation_of_a_visible_item() -> None:
    """The item has the marker, so it is deleted, whatever the operation reports."""
    world = World(1)
    world.model.faults.replace([NEVER])
    slow_item(world)
    while not world.model.store.operations:
        assert world.step() or world.pass_time() is None
    show_everything(world)
    started = world.clock.now()
    assert world.run(hours=2.0) == [D.COMPENSATED]
    assert world.names() == {}
    assert world.clock.now() - started < timedelta(minutes=5)


def begun_for_ever(world: World) -> None:
    """Submit a notebook in another actor's workspace, and run until Fabric creates it by an operation that never ends.
    If the workspace were ours, deleting it would delete everything in it."""
    world.model.faults.replace([NEVER])
    others_workspace(world)
    slow_item(world)
    while not world.model.store.operations:
        assert world.step() or world.pass_time() is None


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_operation_that_never_ends_and_shows_no_item_delays_compensation_by_its_usual_bound(is_cancelled: bool) -> None:
    """A cancel ends the step at once, and so does its timeout. The deployment ends when the operation has run longer
    than any that was recorded. The item that it creates in the end is found by its marker and deleted by the sweeper.
    """
    world = World(1)
    begun_for_ever(world)
    started = world.clock.now()
    if is_cancelled:
        world.cancel("d")
    assert world.run(hours=2.0) == [D.CANCELLED if is_cancelled else D.COMPENSATED]
    assert MAX_UNSEEN <= world.clock.now() - started < MAX_UNSEEN + timedelta(minutes=1)
    for operation in world.model.store.operations.values():
        operation.over_at = world.clock.now().timestamp()
    show_everything(world)
    assert world.names() == {"sales": ["clean"]}
    for _ in range(6):
        world.clock.advance(3600)
        world.sweep()
    assert world.names() == {"sales": []}


@pytest.mark.law(1)
@pytest.mark.parametrize("rollback", [True, False])
def test_cancel_ends_a_step_whose_operation_runs(rollback: bool) -> None:
    """The step fails within a round of the watchdog, although its operation goes on and its timeout is 2 minutes away.
    With rollback on, the compensation finds the item that the operation made; with rollback off, the row names it."""
    world = World(1, replace(POLICY, rollback=rollback))
    begun_for_ever(world)
    started = world.clock.now()
    world.cancel("d")
    while world.journal.step("d", 1)[1].record.state is not S.FAILED:
        assert world.step() or world.pass_time() is None
    assert world.clock.now() - started < timedelta(seconds=5)
    step = world.journal.step("d", 1)[1].record
    assert step.operation is not None
    assert step.error is not None
    assert f"abandoned while it waited: Fabric's operation {step.operation.id} still runs" in step.error.message
    for operation in world.model.store.operations.values():
        operation.over_at = world.clock.now().timestamp()
    show_everything(world)
    assert world.run(hours=1.0) == [D.CANCELLED if rollback else D.FAILED]
    assert world.names() == {"sales": [] if rollback else ["clean"]}
    assert world.clock.now() - started < timedelta(minutes=2)


def test_cancel_ends_a_step_whose_update_runs_and_its_before_image_is_restored() -> None:
    """The compensation waits for the operation that replaces the definition, because that could overwrite what is
    restored."""
    world = World(1)
    never = {"match": {"method": "POST", "path": ".*/updateDefinition"}, "when": {"times": 1}}
    world.model.faults.replace([{**never, "action": {"operation": "never"}}])
    book = {"type": "Notebook", "displayName": "clean", "definition": OWN_DEFINITION}
    made = others_workspace(world, book)
    step = copy.deepcopy(MEDALLION["steps"][5])
    step["with"]["ifExists"] = "update"
    world.submit({"name": "m", "steps": [MEDALLION["steps"][0], {**step, "needs": []}]})
    while not any(o.kind == "updateDefinition" for o in world.model.store.operations.values()):
        assert world.step() or world.pass_time() is None
    world.cancel("d")
    world.run(hours=0.2)
    assert world.journal.step("d", 1)[1].record.state is S.COMPENSATING
    for operation in world.model.store.operations.values():
        operation.over_at = world.clock.now().timestamp()
    assert world.run(hours=1.0) == [D.CANCELLED]
    item = world.model.store.workspaces[made["id"]].items[made["items"][0]]
    assert (item.definition or {})["parts"] == OWN_DEFINITION["parts"]


@pytest.mark.law(1)
def test_item_that_an_operation_shows_late_does_not_keep_its_own_workspace_for_ever() -> None:
    """The item appears after its step counted as compensated and before the workspace is deleted (seed 66). The guard
    keeps the workspace for it; the sweeper knows its marker and deletes it, and the next try deletes the workspace."""
    world = World(1)
    world.model.faults.replace([NEVER])
    slow_item(world)
    while not world.model.store.operations:
        assert world.step() or world.pass_time() is None
    world.cancel("d")
    while world.journal.step("d", 1)[1].record.state is not S.COMPENSATED:
        assert world.step() or world.pass_time() is None
    show_everything(world)
    world.run(hours=0.05)
    assert world.state() is D.STUCK
    assert world.run(hours=1.0) == [D.CANCELLED]
    assert world.names() == {}
    check_laws(world)


def leave_call_in_flight(world: World, monkeypatch: pytest.MonkeyPatch, method: str, seconds: float) -> None:
    """Let Fabric receive the first call of that method, let its process die, and let the call take effect after
    `seconds`."""
    exchange, left = Network.exchange, list[str]()

    def dying(self: Network, asked: str, url: str, *rest: Any) -> Any:
        if asked == method and not left:
            left.append(url)
            due = world.clock.now() + timedelta(seconds=seconds)
            world.late_calls.append((due, lambda: exchange(self, asked, url, *rest)))
            raise Crash("on its way")
        return exchange(self, asked, url, *rest)

    monkeypatch.setattr(Network, "exchange", dying)


@pytest.mark.parametrize("is_waited_for", [True, False])
def test_change_whose_call_outlives_its_process_is_compensated_after_its_effect(
    monkeypatch: pytest.MonkeyPatch, is_waited_for: bool
) -> None:
    """The old role is restored when the call that changes it must have taken effect. Without that wait
    (`late_call_until`), the change comes after its compensation and stays."""
    world = World(1, EnginePolicy(watchdog_seconds=1.0))
    workspace = world.model.store.workspaces[others_workspace(world)["id"]]
    workspace.roles[PERSON] = {"id": PERSON, "type": "User", "role": "Viewer"}
    leave_call_in_flight(world, monkeypatch, "PATCH", POLICY.late_call_seconds - 1)
    with nullcontext() if is_waited_for else compensated_before_a_late_call():
        change_role_and_cancel(world)
    assert workspace.roles[PERSON]["role"] == ("Viewer" if is_waited_for else "Member")


def change_role_and_cancel(world: World) -> None:
    """Cancel the deployment while its only change is in flight, and wait until it has ended."""
    spec = {"workspaceId": "${{ steps.ws.outputs.id }}", "principalId": PERSON, "principalType": "User"}
    step = {"id": "role", "kind": "role_assignment", "with": {**spec, "role": "Member"}}
    world.submit({"name": "m", "steps": [MEDALLION["steps"][0], step]})
    while not world.late_calls:
        assert world.step() or world.pass_time() is None
    world.cancel("d")
    assert world.run(hours=2.0, sweeping=False) == [D.CANCELLED]
    world.pass_time()


def test_deployment_that_is_stuck_behind_anothers_late_item_is_freed_by_the_sweeper() -> None:
    """The stuck deployment holds the target, so the orphan check of the other deployment runs while it does; otherwise
    both would wait forever."""
    world = World(1)
    world.submit({"name": "m", "steps": [MEDALLION["steps"][0]]}, "first")
    assert world.run("first") == [D.SUCCEEDED]
    world.model.faults.replace([NEVER])
    slow_item(world, "second")
    assert world.run("second", hours=2.0) == [D.COMPENSATED]
    show_everything(world)
    world.ask(Verb.RETIRE, "first")
    while world.state("first") is not D.STUCK:
        assert world.step() or world.pass_time() is None
    assert world.run("first", hours=3.0) == [D.COMPENSATED]
    assert world.names() == {}
    assert world.locks.acquire("m", "another", world.clock.now(), 1.0).holder == "another"


@pytest.mark.parametrize("retriable", [True, False])
def test_failed_operation_of_a_compensation_is_sent_again(retriable: bool) -> None:
    """The call is sent again, whatever the code, because the before-image is not restored yet."""
    world = World(1)
    old = {"parts": [{"path": "notebook-content.py", "payload": "b2xk", "payloadType": "InlineBase64"}]}
    made = others_workspace(world, {"type": "Notebook", "displayName": "clean", "definition": old})
    manifest = failing()
    nb: dict[str, Any] = manifest["steps"][5]
    manifest["steps"] = [manifest["steps"][0], {**nb, "needs": []}, manifest["steps"][6]]
    manifest["steps"][1]["with"] = {**nb["with"], "ifExists": "update"}
    manifest["steps"][2]["needs"] = ["nb"]
    code = "UnknownError" if retriable else "CorruptedPayload"
    fails = {"operation": "fail", "error": {"errorCode": code, "message": "no"}}
    match = {"method": "POST", "path": ".*/updateDefinition"}
    world.model.faults.replace([{"match": match, "when": {"nth": 2}, "action": fails}])
    world.submit(manifest)
    assert world.run(hours=3.0) == [D.COMPENSATED]
    sent = [c for c in world.model.calls if c["path"].endswith("/updateDefinition")]
    assert len(sent) == 3
    definition: Any = world.model.store.workspaces[made["id"]].items[made["items"][0]].definition
    assert definition["parts"][0]["payload"] == "b2xk"


PATIENCE = {"status": 429, "body": {"errorCode": "RequestBlocked"}, "headers": {"Retry-After": "3600"}}


def waiting(timeout: str, method: str) -> World:
    """Create a world in which Fabric asks the first step to wait for an hour, at its first look or at its create."""
    world = World(1)
    world.model.faults.replace([{"match": {"method": method}, "when": {"nth": 1}, "action": PATIENCE}])
    step: dict[str, Any] = {"id": "ws", "kind": "workspace", "timeout": timeout, "with": {"displayName": "sales"}}
    world.submit({"name": "m", "steps": [step]})
    while world.journal.steps("d")[0].record.wait_until is None:
        assert world.step() or world.pass_time() is None
    return world


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_step_that_must_wait_beyond_its_deadline_fails(method: str) -> None:
    """The step cannot succeed before the wait is over, so it does not wait."""
    world = waiting("15s", method)
    started = world.clock.now()
    assert world.run(hours=1.0) == [D.COMPENSATED]
    assert world.clock.now() - started < timedelta(minutes=2)
    error = world.journal.header("d").record.error
    assert error is not None
    assert "timeout of 15 s" in error.message


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_cancel_ends_a_wait_that_fabric_asked_for(method: str) -> None:
    """The deployment ends within a round of the watchdog, and without another call to the area that asked to wait."""
    world = waiting("2h", method)
    calls = len(world.model.calls)
    started = world.clock.now()
    world.cancel("d")
    assert world.run(hours=1.5) == [D.CANCELLED]
    assert world.clock.now() - started < timedelta(seconds=2 * POLICY.watchdog_seconds)
    assert not [c for c in world.model.calls[calls:] if c["method"] == "POST"]
    assert {s.record.state for s in world.journal.steps("d")} <= {S.COMPENSATED, S.SKIPPED}


def test_compensation_asks_again_before_the_time_that_fabric_asked_to_wait_for() -> None:
    """Fabric answers the deletion with 429 and an hour. The next attempt comes after COMPENSATION_MAX_SECONDS, because
    until then the target is held for nothing."""
    world = World(1)
    world.submit(failing())
    world.model.faults.replace([{"match": {"method": "DELETE"}, "when": {"nth": 1}, "action": PATIENCE}])
    started = world.clock.now()
    assert world.run(hours=2.0) == [D.COMPENSATED]
    waited = world.clock.now() - started
    assert (
        timedelta(seconds=POLICY.backward.max_seconds) <= waited < timedelta(seconds=POLICY.backward.max_seconds + 120)
    )
    assert world.names() == {}
