"""Jobs that run always: after a failure, before the rollback, and not when a person has stopped the deployment."""

import copy
from typing import Any

import pytest

from shared.domain.errors import InvalidInputError
from shared.domain.flags import FeatureFlags
from shared.domain.manifest import compile_manifest
from shared.domain.messages import Direction, StepMessage
from shared.domain.policy import EnginePolicy
from shared.domain.states import DeploymentState, StepState
from shared.saga.command.verbs import Verb
from shared.steps import KINDS
from tests.simulation.edges import WORKSPACE
from tests.simulation.test_jobs import ENDLESS, FAILS, PASSES, manifest, runs, starts, step
from tests.simulation.world import World

BALL: dict[str, Any] = {
    "id": "ball",
    "kind": "item",
    "needs": ["book"],
    "with": {"workspaceId": WORKSPACE, "type": "Crystal", "displayName": "ball"},
}


def cleanup(code: str, *more: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a manifest with a job that runs always, and another step that cannot succeed."""
    return {**manifest(code, copy.deepcopy(BALL), *more, when="always"), **changes}


def refused(policy: EnginePolicy | None = None, code: str = PASSES, **changes: Any) -> World:
    """Return a world with a deployment whose lakehouse Fabric refuses until the faults are removed."""
    world = World(1, policy)
    body = {"errorCode": "InsufficientPrivileges", "message": "x"}
    match = {"method": "POST", "path": ".*/lakehouses"}
    world.model.faults.replace([{"match": match, "action": {"status": 403, "body": body}}])
    lake = {"workspaceId": WORKSPACE, "displayName": "lake"}
    late = {"id": "lake", "kind": "lakehouse", "needs": ["book"], "with": lake}
    world.submit({**manifest(code, late, when="always"), **changes})
    return world


def reasons(world: World) -> list[str]:
    """Return what the audit says, in order."""
    return [entry.reason for entry in world.journal.audit("d")]


def test_job_that_runs_always_runs_after_a_failure_and_before_the_rollback() -> None:
    """Its notebook is there while it runs; then everything is rolled back."""
    world = World()
    world.submit(cleanup(PASSES))
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {}
    assert starts(world) == 1
    assert (step(world).outputs or {})["exitValue"] == "ok"
    told = reasons(world)
    assert told.index("runs although another step has failed") < told.index("a step failed")


def test_several_run_one_after_the_other_also_after_a_failure() -> None:
    """In the order of the manifest, as after a success; the second one runs although the first one fails."""
    world = World()
    made = cleanup(FAILS)
    made["steps"].append({**copy.deepcopy(made["steps"][2]), "id": "second"})
    world.submit(made)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert starts(world) == 2
    first, second = (step(world, step_id) for step_id in ("smoke", "second"))
    assert first.finished_at is not None
    assert second.freed_at is not None
    assert second.freed_at >= first.finished_at


def test_job_that_runs_always_runs_last_in_a_success() -> None:
    """It needs every other step, whatever the order of the manifest."""
    world = World()
    folder = {"id": "folder", "kind": "folder", "with": {"workspaceId": WORKSPACE, "displayName": "f"}}
    graph = compile_manifest(manifest(PASSES, folder, when="always"), KINDS)
    needs = {each.step_id: set(each.needs) for each in graph.steps}
    assert needs["smoke"] >= {"ws", "book", "folder"}
    world.submit(manifest(PASSES, folder, when="always"))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert starts(world) == 1


def test_failure_of_the_cleanup_does_not_hide_the_first_one() -> None:
    world = World()
    world.submit(cleanup(FAILS))
    assert world.run() == [DeploymentState.COMPENSATED]
    error = world.journal.header("d").record.error
    assert error is not None
    assert error.message.startswith("step ball: ")
    assert (starts(world), world.names()) == (1, {})


def test_cleanup_that_never_ends_is_cancelled_at_its_timeout() -> None:
    world = World()
    made = cleanup(ENDLESS)
    made["steps"][2]["timeout"] = "5m"
    world.submit(made)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert [c["path"].endswith("/cancel") for c in world.model.calls].count(True) == 1
    assert world.names() == {}


@pytest.mark.parametrize("outcome", ["succeed", "fail"])
def test_cleanup_waits_for_the_item_that_is_being_created_when_another_step_fails(outcome: str) -> None:
    """The notebook was on its way, so nobody knew yet whether the job could run (seed 10000509)."""
    world = World()
    folder = {"id": "folder", "kind": "folder", "with": {"workspaceId": WORKSPACE, "displayName": "f"}}
    made = cleanup(PASSES, folder)
    made["steps"][3]["needs"] = ["folder"]
    if outcome == "fail":
        rule = {"match": {"method": "POST", "path": ".*/items"}, "when": {"nth": 1}, "action": {"operation": "fail"}}
        world.model.faults.replace([rule])
    world.submit(made)
    assert world.run() == [DeploymentState.COMPENSATED]
    book = [e for e in world.journal.audit("d") if e.subject == "step_00001"]
    ball = next(e for e in world.journal.audit("d") if "Crystal" in e.reason)
    assert book[1].after == StepState.SUBMITTED
    assert book[1].at <= ball.at <= book[2].at
    ran = outcome == "succeed"
    assert (starts(world), step(world).state) == (int(ran), StepState.COMPENSATED if ran else StepState.SKIPPED)


def test_cleanup_whose_item_was_not_created_is_skipped() -> None:
    """The steps that it refers to must have succeeded."""
    world = World()
    made = cleanup(PASSES)
    made["steps"][1]["with"] |= {"type": "Crystal"}
    made["steps"][3]["needs"] = []
    world.submit(made)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert (step(world).state, starts(world)) == (StepState.SKIPPED, 0)


def test_cleanup_runs_with_rollback_off() -> None:
    world = World(1, EnginePolicy().under(FeatureFlags(rollback=False)))
    world.submit(cleanup(PASSES))
    assert world.run() == [DeploymentState.FAILED]
    assert [run.outcome for run in runs(world)] == ["Completed"]


def test_cancelled_deployment_starts_no_cleanup() -> None:
    """A person stopped it: nothing starts any more."""
    world = World()
    slow = {"id": "slow", "kind": "approval", "needs": ["book"], "timeout": "1h", "with": {"message": "?"}}
    world.submit(manifest(PASSES, slow, when="always"))
    world.run(hours=0.1)
    world.ask(Verb.CANCEL)
    assert world.run() == [DeploymentState.CANCELLED]
    assert (step(world).state, starts(world)) == (StepState.SKIPPED, 0)


def test_cancel_stops_a_cleanup_that_runs() -> None:
    world = World()
    world.submit(cleanup(ENDLESS))
    world.run(hours=0.2)
    assert step(world).state is StepState.SUBMITTED
    world.ask(Verb.CANCEL)
    assert world.run() == [DeploymentState.CANCELLED]
    assert world.names() == {}


def test_held_deployment_runs_it_after_the_resume() -> None:
    """Everything stays for inspection, however often the failed step fails again. When it has succeeded the job runs,
    once."""
    world = refused(onFailure="hold")
    for _ in range(2):
        world.run(hours=1.0)
        assert (world.state(), step(world).state, starts(world)) == (DeploymentState.HELD, StepState.SKIPPED, 0)
        assert world.ask(Verb.RESUME).accepted
    world.model.faults.replace([])
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert (step(world).state, starts(world)) == (StepState.SUCCEEDED, 1)
    assert "runs although another step has failed" not in reasons(world)
    made = [c["path"].rsplit("/", 1)[-1] for c in world.model.calls if c["method"] == "POST" and c["effect"]]
    assert made[-2:] == ["lakehouses", "instances"]


def test_held_deployment_that_is_rolled_back_starts_no_cleanup() -> None:
    """A person asked for the rollback: nothing starts any more."""
    world = refused(onFailure="hold")
    world.run(hours=1.0)
    assert world.state() is DeploymentState.HELD
    world.ask(Verb.COMPENSATE)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert (step(world).state, starts(world), world.names()) == (StepState.SKIPPED, 0, {})


def test_cleanup_that_failed_runs_again_after_the_resume() -> None:
    """It is the step that holds the deployment: each resume starts one run."""
    world = World()
    world.submit({**manifest(FAILS, when="always"), "onFailure": "hold"})
    for expected in (1, 2):
        world.run(hours=1.0)
        assert (world.state(), starts(world)) == (DeploymentState.HELD, expected)
        assert world.ask(Verb.RESUME).accepted
    assert [run.outcome for run in runs(world)] == ["Failed", "Failed"]


def test_cleanup_that_succeeded_before_the_resume_does_not_run_again() -> None:
    """With rollback off it runs at the failure; the resume begins at the step that failed."""
    world = refused(EnginePolicy().under(FeatureFlags(rollback=False, retry_logic=True)))
    assert world.run() == [DeploymentState.FAILED]
    assert (step(world).state, starts(world)) == (StepState.SUCCEEDED, 1)
    world.model.faults.replace([])
    assert world.ask(Verb.RESUME).accepted
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert starts(world) == 1


def test_cleanup_that_failed_before_the_resume_runs_again_when_the_others_have_ended() -> None:
    """With rollback off both had failed. The clean-up must not remove what the resumed step still uses."""
    world = refused(EnginePolicy().under(FeatureFlags(rollback=False, retry_logic=True)), FAILS)
    assert world.run() == [DeploymentState.FAILED]
    assert (step(world).state, starts(world)) == (StepState.FAILED, 1)
    world.model.faults.replace([])
    assert world.ask(Verb.RESUME).accepted
    assert world.run() == [DeploymentState.FAILED]
    made = [c["path"].rsplit("/", 1)[-1] for c in world.model.calls if c["method"] == "POST" and c["effect"]]
    assert made[-3:] == ["instances", "lakehouses", "instances"]


def test_cleanup_is_not_begun_by_a_message_from_before_the_resume() -> None:
    """The message of the first run comes again while the step that had failed is applied."""
    world = refused(EnginePolicy().under(FeatureFlags(rollback=False, retry_logic=True)), FAILS)
    assert world.run() == [DeploymentState.FAILED]
    world.model.faults.replace([])
    assert world.ask(Verb.RESUME).accepted
    while step(world).state is not StepState.PENDING or world.journal.header("d").record.resume_requested_by:
        assert world.step()
    world.ready.insert(0, StepMessage("d", step(world).ordinal, Direction.FORWARD))
    assert world.run() == [DeploymentState.FAILED]
    made = [c["path"].rsplit("/", 1)[-1] for c in world.model.calls if c["method"] == "POST" and c["effect"]]
    assert made[-3:] == ["instances", "lakehouses", "instances"]


def test_step_cannot_need_a_job_that_runs_always() -> None:
    after = {
        "id": "after",
        "kind": "folder",
        "needs": ["smoke"],
        "with": {"workspaceId": WORKSPACE, "displayName": "f"},
    }
    with pytest.raises(InvalidInputError, match="'smoke' runs when all other steps have ended"):
        compile_manifest(manifest(PASSES, after, when="always"), KINDS)
