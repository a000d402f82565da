"""Verbs in the whole system: approvals, holding for a time, resuming while Fabric continues an operation."""

import copy
from datetime import timedelta
from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.flags import ALL_ON, FeatureFlags
from shared.domain.policy import EnginePolicy
from shared.domain.states import DeploymentState, StepState
from shared.saga.command.verbs import Verb
from tests.simulation.laws import encoded
from tests.simulation.test_laws import BAD, MEDALLION, WHOLE, WS, check_laws, failing
from tests.simulation.world import World


def gated(**fields: Any) -> dict[str, Any]:
    """Return the medallion with a notebook that waits for an approval."""
    manifest = copy.deepcopy(MEDALLION)
    gate = {"id": "gate", "kind": "approval", "needs": ["bronze"], "with": {"message": "Continue?"}, **fields}
    manifest["steps"].append(gate)
    notebook = next(s for s in manifest["steps"] if s["id"] == "nb")
    notebook["needs"] = ["gate"]
    return manifest


def step(world: World, step_id: str) -> Any:
    return next(s.record for s in world.journal.steps("d") if s.record.step_id == step_id)


def until(world: World, seconds: float) -> None:
    """Let this much time pass."""
    end = world.clock.now() + timedelta(seconds=seconds)
    while world.clock.now() < end:
        if not world.step():
            world.pass_time()


def faults(world: World, *rules: dict[str, Any]) -> None:
    """Set the faults that Fabric has from now on."""
    assert control.handle(world.model, "POST", "/_sim/faults", {}, encoded(list(rules)))[0] == 200


def test_approval_waits_for_hours_and_acts_within_a_second() -> None:
    """Lost messages and a lost orchestration do not end the waiting; the approval ends it at once. Half a day is
    hundreds of leases, sweeps and watchdogs; no time of the app between that and the timeout changes anything."""
    world = World()
    world.submit(gated(timeout="6d"))
    until(world, 6 * 3600)
    world.queue.waiting.clear()
    until(world, 6 * 3600)
    world.lose_orchestration("d")
    until(world, 3600)
    assert world.names() == {"sales": ["bronze", "gold", "silver"]}
    assert world.ask(Verb.APPROVE, step="gate").accepted
    request = world.clock.now()
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert world.clock.now() - request < timedelta(seconds=2)
    assert world.names() == WHOLE


def test_approval_makes_no_call_while_it_waits() -> None:
    """Fabric gets no call for it, however long it takes, and the queue hardly a message."""
    world = World()
    world.submit(gated(timeout="6d"))
    until(world, 600)
    calls, deliveries = len(world.model.calls), step(world, "gate").deliveries
    until(world, 86400)
    assert len(world.model.calls) == calls
    assert step(world, "gate").deliveries - deliveries <= 25


@pytest.mark.parametrize(("default", "end"), [("reject", "compensated"), ("approve", "succeeded")])
def test_approval_that_nobody_answers_takes_its_default(default: str, end: str) -> None:
    """The default counts when the time is over, and not before."""
    world = World()
    world.submit(gated(timeout="2h", **{"with": {"message": "Continue?", "default": default}}))
    until(world, 7100)
    assert step(world, "gate").state is StepState.PENDING
    until(world, 200)
    assert world.state().value == end
    check_rolled_back_or_whole(world)


def check_rolled_back_or_whole(world: World) -> None:
    """Check that all resources exist or none does."""
    assert world.names() == (WHOLE if world.state() is DeploymentState.SUCCEEDED else {})


@pytest.mark.parametrize("hold", [False, True])
def test_rollback_does_not_wait_for_an_approval(hold: bool) -> None:
    """Another step fails while an approval waits: the approval is skipped at once; after hold and resume it is
    requested again."""
    world = World()
    manifest = gated(timeout="6d")
    manifest["steps"].append({**BAD, "needs": ["silver"]})
    if hold:
        manifest["onFailure"] = "hold"
    world.submit(manifest)
    until(world, 60)
    assert step(world, "gate").state is StepState.SKIPPED
    assert world.state() is (DeploymentState.HELD if hold else DeploymentState.COMPENSATED)
    if hold:
        world.ask(Verb.RESUME)
        until(world, 60)
        assert world.state() is DeploymentState.HELD  # The other step fails again.
        assert step(world, "gate").state is StepState.SKIPPED
        world.ask(Verb.COMPENSATE)
        until(world, 60)
    assert world.state() is DeploymentState.COMPENSATED
    assert world.names() == {}


@pytest.mark.parametrize("rollback", [True, False])
def test_hold_for_a_time_ends_by_itself(rollback: bool) -> None:
    """With `keepFor` the deployment is held until then and rolled back by the sweeper, whatever the flag, because the
    manifest says so."""
    world = World(policy=EnginePolicy().under(FeatureFlags(rollback=rollback, retry_logic=True)))
    world.submit({**failing(), "onFailure": "hold", "keepFor": "2h"})
    until(world, 7000)
    assert world.state() is DeploymentState.HELD
    until(world, 900)
    assert world.state() is DeploymentState.COMPENSATED
    assert world.names() == {}
    assert any("its time is up: keepFor 7200 s" in e.reason for e in world.journal.audit("d"))


def test_resume_waits_for_an_operation_in_progress() -> None:
    """A step ran out of time while its operation went on. After the resume, the operation is read first, and nothing is
    created twice."""
    world = World()
    faults(world, {"match": {"method": "POST", "path": ".*/items"}, "action": {"operation": "never"}})
    manifest: dict[str, Any] = {**copy.deepcopy(MEDALLION), "onFailure": "hold"}
    next(s for s in manifest["steps"] if s["id"] == "nb")["timeout"] = "2m"
    world.submit(manifest)
    until(world, 300)
    assert (world.state(), step(world, "nb").state) == (DeploymentState.HELD, StepState.FAILED)
    assert world.ask(Verb.RESUME).accepted
    until(world, 60)
    assert (world.state(), step(world, "nb").state) == (DeploymentState.RUNNING, StepState.INTENT)
    for operation in world.model.store.operations.values():
        operation.over_at = operation.over_at or world.clock.now().timestamp()
    for workspace in world.model.store.workspaces.values():
        for item in workspace.items.values():
            item.visible_at = min(item.visible_at, world.clock.now().timestamp())
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert len([c for c in world.model.calls if c["method"] == "POST" and c["path"].endswith("/items")]) == 1
    check_laws(world)


def test_resume_after_the_cause_is_fixed_starts_at_the_failed_step() -> None:
    """Succeeded steps are not repeated; the failed step has all its attempts again."""
    world = World()
    refused = {"status": 403, "body": {"errorCode": "InsufficientPrivileges", "message": "x"}}
    faults(world, {"match": {"method": "POST", "path": ".*/items"}, "action": refused})
    world.submit({**copy.deepcopy(MEDALLION), "onFailure": "hold"})
    until(world, 600)
    assert world.state() is DeploymentState.HELD
    faults(world)
    made = [s.record.resource for s in world.journal.steps("d") if s.record.step_id != "nb"]
    world.ask(Verb.RESUME)
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert [s.record.resource for s in world.journal.steps("d") if s.record.step_id != "nb"] == made
    check_laws(world)


@pytest.mark.parametrize("rollback", [True, False])
@pytest.mark.parametrize(
    "answer",
    [
        {"status": 429, "headers": {"Retry-After": "60"}},
        {"status": 503, "effect": "before"},
        {"status": 503, "effect": "after", "headers": {"Retry-After": "60"}},
    ],
    ids=["throttled", "down", "done nevertheless"],
)
def test_cancel_ends_the_retries(answer: dict[str, Any], rollback: bool) -> None:
    """Fabric asks a step to wait, each time that it tries. After the cancel it does not try again. The notebook of
    an earlier try is rolled back; with rollback off it stays, and a resume adopts it."""
    world = World(policy=EnginePolicy().under(FeatureFlags(rollback=rollback, retry_logic=True)))
    faults(world, {"match": {"method": "POST", "path": ".*/items"}, "action": answer})
    world.submit(MEDALLION)
    while step(world, "nb").error is None:
        until(world, 1)
    assert step(world, "nb").state is StepState.INTENT
    assert world.ask(Verb.CANCEL).accepted
    request = [c for c in world.model.calls if c["path"].endswith("/items") and c["method"] == "POST"]
    until(world, 180)
    assert [c for c in world.model.calls if c["path"].endswith("/items") and c["method"] == "POST"] == request
    assert step(world, "nb").error.message.startswith("abandoned while it waited for another attempt; last: ")
    assert world.state() is (DeploymentState.CANCELLED if rollback else DeploymentState.FAILED)
    if rollback:
        assert world.names() == {}
    else:
        faults(world)
        assert world.ask(Verb.RESUME).accepted
        assert world.run() == [DeploymentState.SUCCEEDED]
        assert world.names() == WHOLE
    check_laws(world)


def test_resource_of_a_lost_call_is_not_deleted_while_a_later_deployment_uses_it() -> None:
    """The id was lost with the answer, so the journal does not have it; a later deployment adopted the resource. As
    long as that deployment exists, and while Fabric fails, the first is not rolled back."""
    world = World(policy=EnginePolicy().under(FeatureFlags(rollback=False)))
    lost = {"status": 500, "body": {"errorCode": "UnknownError", "message": "x"}, "effect": "after"}
    faults(world, {"match": {"method": "POST", "path": "/v1/workspaces"}, "action": lost})
    world.submit(MEDALLION)
    assert world.run() == [DeploymentState.FAILED]
    assert (step(world, "ws").resource, step(world, "ws").ambiguous) == (None, True)
    faults(world)
    world.submit(failing(), "later")
    assert world.run("later") == [DeploymentState.FAILED]
    before = world.names()
    assert "deployment later uses resources of this one" in world.ask(Verb.COMPENSATE).message
    faults(world, {"match": {}, "action": {"status": 503}})
    assert "cannot be checked until Fabric answers" in world.ask(Verb.COMPENSATE).message
    faults(world)
    assert (world.state(), world.names()) == (DeploymentState.FAILED, before)
    for each in ("later", "d"):
        assert world.ask(Verb.COMPENSATE, each).accepted
        assert world.run(each) == [DeploymentState.COMPENSATED]
    assert world.names() == {}


def test_retire_while_the_target_is_locked_is_done_by_the_sweeper() -> None:
    """The active deployment ends first. It uses resources of the retired one, so it has to be rolled back before."""
    world = World()
    world.submit(MEDALLION)
    world.run()
    lake = {"id": "x", "kind": "lakehouse", "needs": ["gate"], "with": {"workspaceId": WS, "displayName": "x"}}
    ask = {"id": "gate", "kind": "approval", "timeout": "6d", "with": {"message": "?"}}
    world.submit({"name": "medallion", "steps": [MEDALLION["steps"][0], ask, lake]}, "second")
    until(world, 60)
    answer = world.ask(Verb.RETIRE)
    assert (answer.accepted, answer.state) == (True, DeploymentState.SUCCEEDED)
    world.ask(Verb.APPROVE, "second", "gate")
    assert world.run("second") == [DeploymentState.SUCCEEDED]
    until(world, 900)
    assert world.state() is DeploymentState.SUCCEEDED
    assert world.names() == {"sales": [*WHOLE["sales"], "x"]}
    assert world.ask(Verb.RETIRE, "second").state is DeploymentState.COMPENSATING
    until(world, 900)
    assert (world.state("second"), world.state()) == (DeploymentState.COMPENSATED, DeploymentState.COMPENSATED)
    assert world.names() == {}


def test_policy_under_all_flags_is_the_policy() -> None:
    """With all flags on, the policy is what the settings say."""
    assert EnginePolicy().under(ALL_ON) == EnginePolicy()
