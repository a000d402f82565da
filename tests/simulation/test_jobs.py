"""Jobs: a smoke test decides how a deployment ends, no run is left behind, and a lost answer starts nothing twice."""

from datetime import timedelta
from typing import Any

import pytest

from local.fabric_simulator.jobs import Job, Jobs
from local.fabric_simulator.store import Item
from shared.domain.flags import FeatureFlags
from shared.domain.manifest import compile_manifest
from shared.domain.policy import EnginePolicy
from shared.domain.records import StepRecord
from shared.domain.states import DeploymentState, StepState
from shared.saga.command.verbs import Verb
from shared.saga.dry_run.changes import dry_run
from shared.saga.dry_run.result import Action
from shared.steps import KINDS, STEPS
from tests.simulation.edges import WORKSPACE
from tests.simulation.laws import encoded
from tests.simulation.world import World

PASSES, FAILS, ENDLESS = 'notebook.exit("ok")', "raise ValueError", "while True: pass"
START = {"method": "POST", "path": ".*/jobs/RunNotebook/instances"}


def manifest(code: str, *more: dict[str, Any], timeout: str = "30m", **spec: Any) -> dict[str, Any]:
    """Return a manifest of a workspace, a notebook with this code, and a job that runs it."""
    part = {"path": "notebook-content.py", "text": code}
    book = {"workspaceId": WORKSPACE, "type": "Notebook", "displayName": "test", "definition": {"parts": [part]}}
    run = {"workspaceId": WORKSPACE, "itemId": "${{ steps.book.outputs.id }}", "jobType": "RunNotebook"}
    return {
        "name": "m",
        "steps": [
            {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}},
            {"id": "book", "kind": "item", "with": book},
            {"id": "smoke", "kind": "job", "timeout": timeout, "with": {**run, **spec}},
            *more,
        ],
    }


def runs(world: World) -> list[Job]:
    """Return every run that Fabric had, also those of items that were deleted since."""
    workspaces = world.model.store.workspaces.values()
    return [job for w in workspaces for i in w.items.values() for job in i.part(Jobs).by_id.values()]


def starts(world: World) -> int:
    """Return how many starts of a job took effect."""
    return sum(c["effect"] and c["path"].endswith("/RunNotebook/instances") for c in world.model.calls)


def step(world: World, step_id: str = "smoke") -> StepRecord:
    return next(s.record for s in world.journal.steps("d") if s.record.step_id == step_id)


def fault(world: World, match: dict[str, Any], **action: Any) -> None:
    """Let Fabric answer the first matching call so."""
    world.model.faults.replace([{"match": match, "when": {"times": 1}, "action": action}])


def test_job_that_completes_gives_its_exit_value() -> None:
    """The parameters arrive with their types, and the exit value is an output."""
    world = World()
    world.submit(manifest(PASSES, parameters={"rows": 3, "who": "${{ steps.ws.outputs.displayName }}"}))
    assert world.run() == [DeploymentState.SUCCEEDED]
    [run] = runs(world)
    assert step(world).outputs == {"id": run.id, "status": "Completed", "exitValue": "ok"}
    sent = {"rows": {"value": 3, "type": "int"}, "who": {"value": "sales", "type": "string"}}
    assert run.request == {"executionData": {"parameters": sent}}


@pytest.mark.parametrize(
    ("code", "spec", "message"),
    [
        (FAILS, {}, "job RunNotebook of 'test' ended as Failed: The job failed."),
        (PASSES, {"expectExitValue": "passed"}, "returned 'ok', not 'passed'"),
        (ENDLESS, {}, "the step's timeout of 300 s was over"),
    ],
    ids=["fails", "another exit value", "never ends"],
)
@pytest.mark.law(1)
def test_deployment_whose_smoke_test_fails_is_rolled_back(code: str, spec: dict[str, Any], message: str) -> None:
    """The job's failure rolls everything back; a job that takes too long is cancelled in Fabric first."""
    world = World()
    world.submit(manifest(code, timeout="5m", **spec))
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {}
    error = step(world).error
    assert error is not None
    assert message in error.message
    cancelled = [c for c in world.model.calls if c["path"].endswith("/cancel")]
    assert len(cancelled) == (code is ENDLESS)
    assert starts(world) == 1


@pytest.mark.parametrize(
    ("code", "state", "message"),
    [(PASSES, DeploymentState.SUCCEEDED, ""), (FAILS, DeploymentState.COMPENSATED, "ended as Failed: The job failed.")],
    ids=["passes", "fails"],
)
def test_job_that_has_ended_before_the_first_look_is_not_out_of_time(
    code: str, state: DeploymentState, message: str
) -> None:
    """Fabric asks for a first look after a minute, and the timeout of a smoke test may be shorter. The look at its end
    shows how the run ended."""
    world = World()
    world.submit(manifest(code, timeout="50s"))
    assert world.run() == [state]
    error = step(world).error
    assert message in (error.message if error else "")


@pytest.mark.parametrize("flag", ["rollback off", "hold"])
def test_job_that_never_ends_is_cancelled_although_nothing_is_rolled_back(flag: str) -> None:
    """No run is left behind by a step that stopped waiting for it."""
    flags = FeatureFlags(rollback=flag != "rollback off")
    world = World(1, EnginePolicy().under(flags))
    world.submit({**manifest(ENDLESS, timeout="5m"), "onFailure": "hold" if flag == "hold" else "rollback"})
    world.run(hours=1.0)
    assert world.state() in (DeploymentState.FAILED, DeploymentState.HELD)
    assert [run.outcome for run in runs(world)] == ["Cancelled"]


def test_cancelled_deployment_cancels_its_running_job() -> None:
    """The rollback begins after the run has ended."""
    world = World()
    world.submit(manifest(ENDLESS, timeout="1d"))
    world.run(hours=0.5)
    assert step(world).state is StepState.SUBMITTED
    world.cancel("d")
    assert world.run(hours=0.2) == [DeploymentState.CANCELLED]
    assert world.names() == {}


def test_running_job_is_cancelled_if_another_step_fails() -> None:
    """The rollback does not wait for a job of a day."""
    ball = {"workspaceId": WORKSPACE, "type": "Crystal", "displayName": "ball"}
    world = World()
    world.submit(manifest(ENDLESS, {"id": "ball", "kind": "item", "needs": ["book"], "with": ball}, timeout="1d"))
    assert world.run(hours=0.5) == [DeploymentState.COMPENSATED]


def test_job_that_cannot_be_cancelled_now_is_cancelled_later() -> None:
    """A refused cancellation is tried again by the compensation."""
    world = World()
    world.submit(manifest(ENDLESS, timeout="5m"))
    world.model.faults.replace(
        [{"match": {"path": ".*/cancel"}, "when": {"times": 3}, "action": {"status": 500, "body": {}}}]
    )
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {}


def without_rollback(*, retries: bool = True) -> World:
    """Return a world that rolls nothing back unless a person asks for it."""
    return World(1, EnginePolicy().under(FeatureFlags(rollback=False, retry_logic=retries)))


def until_started(world: World) -> None:
    """Let time pass until a start of the job took effect."""
    while not starts(world):
        if not world.step():
            world.pass_time()


def notebook(world: World) -> Item:
    return next(i for w in world.model.store.workspaces.values() for i in w.items.values() if i.name == "test")


@pytest.mark.law(3)
def test_run_whose_start_got_no_answer_is_cancelled_although_nothing_is_rolled_back() -> None:
    """A person cancels before the step has looked for it: it is looked for, cancelled and named."""
    world = without_rollback()
    fault(world, START, reset="after")
    world.submit(manifest(ENDLESS, timeout="1d"))
    until_started(world)
    assert step(world).resource is None
    world.cancel("d")
    assert world.run(hours=1.0) == [DeploymentState.FAILED]
    [run] = runs(world)
    found = step(world).resource
    assert found is not None
    assert (run.outcome, found.id) == ("Cancelled", run.id)


@pytest.mark.law(3)
def test_run_that_appears_after_the_cancel_is_cancelled_although_nothing_is_rolled_back() -> None:
    """Its start may still take effect, so the step waits until that time is over."""
    world = without_rollback()
    fault(world, START, reset="before")
    world.submit(manifest(ENDLESS, timeout="1d"))
    while step(world).state is not StepState.INTENT:
        assert world.step() or world.pass_time() is None
    world.cancel("d")
    world.run(hours=5 / 3600)
    late = Job("11111111-1111-4111-8111-111111111111", "RunNotebook", world.clock.now().timestamp(), None)
    notebook(world).part(Jobs).by_id[late.id] = late
    assert world.run(hours=1.0) == [DeploymentState.FAILED]
    assert late.outcome == "Cancelled"


@pytest.mark.law(3)
@pytest.mark.parametrize("flag", ["rollback off", "hold"])
def test_run_whose_start_got_no_answer_is_cancelled_when_the_time_of_its_step_is_over(flag: str) -> None:
    """Until then no look at the runs of the item was answered."""
    world = without_rollback() if flag == "rollback off" else World(1)
    lost = {"match": START, "when": {"times": 1}, "action": {"reset": "after"}}
    world.model.faults.replace([lost])
    world.submit({**manifest(ENDLESS, timeout="1m"), "onFailure": "hold" if flag == "hold" else "rollback"})
    until_started(world)
    unread = {"match": {"method": "GET", "path": ".*/jobs/instances"}, "action": {"status": 503, "body": {}}}
    world.model.faults.replace([unread])
    deadline = step(world).deadline_at
    assert deadline is not None
    while world.clock.now() < deadline - timedelta(seconds=5) and world.state() is DeploymentState.RUNNING:
        assert world.step() or world.pass_time() is None
    world.model.faults.replace([])
    world.run(hours=1.0)
    assert world.state() is (DeploymentState.HELD if flag == "hold" else DeploymentState.FAILED)
    assert [run.outcome for run in runs(world)] == ["Cancelled"]


@pytest.mark.law(3)
def test_run_whose_start_got_no_answer_is_cancelled_without_retries() -> None:
    """The step fails at the lost answer, and nothing is rolled back: the run is looked for once."""
    world = without_rollback(retries=False)
    fault(world, START, reset="after")
    world.submit(manifest(ENDLESS, timeout="1d"))
    assert world.run(hours=1.0) == [DeploymentState.FAILED]
    assert [run.outcome for run in runs(world)] == ["Cancelled"]


def test_run_that_cannot_be_looked_at_is_cancelled_although_nothing_is_rolled_back() -> None:
    """Fabric refuses the status of a run: the step fails without knowing how it ends."""
    world = without_rollback()
    refusal = {"status": 403, "body": {"errorCode": "InsufficientPrivileges", "message": "no"}}
    shown = {"match": {"method": "GET", "path": ".*/jobs/instances/.*"}, "when": {"times": 1}, "action": refusal}
    world.model.faults.replace([shown])
    world.submit(manifest(ENDLESS, timeout="1d"))
    assert world.run(hours=1.0) == [DeploymentState.FAILED]
    assert [run.outcome for run in runs(world)] == ["Cancelled"]


@pytest.mark.law(2)
def test_run_of_somebody_else_is_not_cancelled_for_a_start_that_was_refused() -> None:
    """A refusal proves that nothing was started, so a new run is not the step's."""
    world = without_rollback()
    fault(world, START, status=403, body={"errorCode": "InsufficientPrivileges", "message": "no"})
    world.submit(manifest(ENDLESS, timeout="1d"))
    handle = world.model.handle

    def with_their_run(request: Any) -> Any:
        reply = handle(request)
        if request.path.endswith("/RunNotebook/instances"):
            theirs = Job("11111111-1111-4111-8111-111111111111", "RunNotebook", world.clock.now().timestamp(), None)
            notebook(world).part(Jobs).by_id[theirs.id] = theirs
        return reply

    world.model.handle = with_their_run
    assert world.run(hours=1.0) == [DeploymentState.FAILED]
    assert [run.over_at for run in runs(world)] == [None]


@pytest.mark.law(3)
@pytest.mark.parametrize("may_run_twice", [False, True])
def test_lost_answer_is_found_and_starts_nothing_twice(may_run_twice: bool) -> None:
    """The one new run in the item's list is the step's."""
    world = World()
    fault(world, START, reset="after")
    world.submit(manifest(PASSES, mayRunTwice=may_run_twice))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert starts(world) == 1


@pytest.mark.law(3)
def test_start_that_may_not_have_arrived_is_not_repeated() -> None:
    """Without mayRunTwice the step fails, and says that it is not known whether the job ran."""
    world = World()
    fault(world, START, reset="before")
    world.submit(manifest(PASSES))
    assert world.run() == [DeploymentState.COMPENSATED]
    error = step(world).error
    assert error is not None
    assert "it is not known whether it ran" in error.message
    assert starts(world) == 0


def test_start_that_may_not_have_arrived_is_repeated_if_the_manifest_allows_it() -> None:
    world = World()
    fault(world, START, reset="before")
    world.submit(manifest(PASSES, mayRunTwice=True))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert starts(world) == 1


def test_refused_start_is_repeated() -> None:
    """A 429 proves that the job did not start; its Retry-After is obeyed."""
    world = World()
    fault(world, START, status=429, headers={"Retry-After": "50"}, body={"errorCode": "TooManyRequestsForJobs"})
    world.submit(manifest(PASSES))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert starts(world) == 1


def test_run_of_somebody_else_is_not_taken_for_a_lost_one() -> None:
    """Two new runs after a lost answer: the step fails and names both, and none of them is cancelled."""
    world = World()
    world.model.faults.replace([{"match": START, "when": {"times": 1}, "action": {"reset": "after"}}])
    world.submit(manifest(ENDLESS, timeout="1h"))
    while not runs(world):
        if not world.step():
            world.pass_time()
    [item] = [i for w in world.model.store.workspaces.values() for i in w.items.values() if i.name == "test"]
    [ours] = item.part(Jobs).by_id.values()
    theirs = Job("11111111-1111-4111-8111-111111111111", "RunNotebook", ours.began_at, None)
    item.part(Jobs).by_id[theirs.id] = theirs
    world.run(hours=0.1)
    error = step(world).error
    assert error is not None
    assert ours.id in error.message
    assert theirs.id in error.message
    assert [run.outcome for run in runs(world) if run.over_at is not None] == []
    for run in (ours, theirs):
        run.over_at = world.clock.now().timestamp()
    assert world.run() == [DeploymentState.COMPENSATED]


@pytest.mark.parametrize("how", ["failed", "lost"])
def test_resume_runs_the_job_again(how: str) -> None:
    """A person who resumes asks for another run of a job that failed, or of which nobody knows."""
    world = World()
    if how == "failed":
        fault(world, START, operation="fail")
    else:
        fault(world, START, reset="before")
    world.submit({**manifest(PASSES), "onFailure": "hold"})
    world.run(hours=0.5)
    assert world.state() is DeploymentState.HELD
    world.ask(Verb.RESUME)
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert starts(world) == (2 if how == "failed" else 1)


def test_irreversible_job_runs_after_everything_else() -> None:
    """Whatever can fail comes before it, and the plan says that its effects stay."""
    lake = {"workspaceId": WORKSPACE, "displayName": "lake"}
    data = manifest(PASSES, {"id": "lake", "kind": "lakehouse", "with": lake}, effects="irreversible")
    graph = compile_manifest(data, KINDS)
    assert set(next(s for s in graph.steps if s.step_id == "smoke").needs) == {"ws", "book", "lake"}
    world = World()
    found = dry_run(world.fabric, STEPS, graph, clock=world.clock, sleep=world.clock.advance)
    planned = next(s for s in found.steps if s.id == "smoke")
    assert (planned.action, planned.restorable) == (Action.RUN, "no")
    assert "its effects cannot be compensated" in planned.reason
    world.submit(data)
    assert world.run() == [DeploymentState.SUCCEEDED]
    world.ask(Verb.RETIRE)
    world.run(hours=1.0)
    reasons = [e.reason for e in world.journal.audit("d") if e.subject == "step_00002"]
    assert any("its effects are irreversible and stay" in reason for reason in reasons)


def test_deduped_run_fails_the_step() -> None:
    """Fabric skips a run while another one of the same job is in progress; the step says so."""
    world = World()
    world.submit(manifest(PASSES))
    while not runs(world):
        if not world.step():
            world.pass_time()
    runs(world)[0].outcome = "Deduped"
    assert world.run() == [DeploymentState.COMPENSATED]
    error = step(world).error
    assert error is not None
    assert "another run of the same job was in progress" in error.message


def test_several_irreversible_jobs_keep_the_order_of_the_manifest() -> None:
    """Each comes after everything that does not need it, without a cycle."""
    data = manifest(PASSES, effects="irreversible")
    second = {**data["steps"][2], "id": "second"}
    graph = compile_manifest({**data, "steps": [*data["steps"], second]}, KINDS)
    needs = {s.step_id: set(s.needs) for s in graph.steps}
    assert needs["second"] == {"ws", "book", "smoke"}
    assert needs["smoke"] == {"ws", "book"}
    assert encoded(data)
