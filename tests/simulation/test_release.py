"""Release: a person gives up what a stuck deployment cannot compensate. It ends, names what remains, and frees its
target."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from local.fabric_simulator import control
from shared.domain.errors import LimitError
from shared.domain.flags import FeatureFlags
from shared.domain.messages import Direction, StepMessage
from shared.domain.policy import EnginePolicy
from shared.domain.ports import Change, Versioned
from shared.domain.records import Claim, StepRecord
from shared.domain.states import DeploymentState, StepState
from shared.saga.audit import verify
from shared.saga.command import release
from shared.saga.command.verbs import Verb, allowed_verbs
from shared.saga.step import execution
from shared.steps.marker import with_marker
from tests.simulation.edges import WORKSPACE
from tests.simulation.laws import violations
from tests.simulation.other_actors import OtherActors
from tests.simulation.test_laws import MEDALLION, check_laws, failing
from tests.simulation.test_repository import definitions, manifest
from tests.simulation.test_repository_schedules import content
from tests.simulation.test_verbs import step, until
from tests.simulation.world import World

pytestmark = pytest.mark.law(1)


def stuck() -> tuple[World, OtherActors]:
    """Run a deployment whose workspace contains another actor's item that is never removed."""
    world = World()
    other_actors = OtherActors(world, world.chance)
    world.submit(MEDALLION)
    world.run()
    workspace = next(iter(world.model.store.workspaces.values()))
    made = control.seed(
        world.model, {"workspaces": [{"id": workspace.id, "items": [{"type": "Report", "displayName": "theirs"}]}]}
    )
    other_actors.remember_item(workspace, workspace.items[made["workspaces"][0]["items"][0]])
    world.ask(Verb.RETIRE)
    until(world, 3600)
    assert world.state() is DeploymentState.STUCK
    return world, other_actors


def held_target(world: World, deployment_id: str) -> bool:
    return world.locks.acquire(world.journal.header("d").record.target, deployment_id, world.clock.now(), 1).holder == (
        deployment_id
    )


def rows(world: World) -> list[StepRecord]:
    return [s.record for s in world.journal.steps("d")]


def check_proof(world: World) -> None:
    """Check that the audit proves the deployment."""
    assert verify.verify(verify.read(world.journal, "d")).differences == ()


def test_release_ends_a_deployment_that_can_never_be_compensated() -> None:
    """The deployment ends `failed`. Its error names what remains and why, the next deployment of the target runs, the
    sweeper does not restart the released one, and the audit has the requester and the reason."""
    world, other_actors = stuck()
    world.submit(failing(), "next")
    until(world, 600)
    assert world.state("next") is DeploymentState.ACCEPTED
    answer = world.ask(Verb.RELEASE)
    assert (answer.accepted, answer.state) == (True, DeploymentState.STUCK)
    until(world, 5)
    header = world.journal.header("d").record
    assert header.state is DeploymentState.FAILED
    assert header.error is not None
    workspace = step(world, "ws").resource
    named = f"1 step is not rolled back: step ws: Workspace 'sales' ({workspace.id}) stands"
    assert header.error.message.startswith(f"released by tester: a test; {named}")
    assert "did not create: Report 'theirs'" in header.error.message
    assert "by hand" in header.error.remedy
    until(world, 600)
    assert world.state("next") is not DeploymentState.ACCEPTED
    calls = len(world.model.calls)
    assert "d" not in {*(swept := world.sweep()).stuck, *swept.restarted, *swept.orphans}
    is_next_under_way = world.state("next") is not DeploymentState.COMPENSATED
    assert is_next_under_way or {c["method"] for c in world.model.calls[calls:]} <= {"GET"}  # an orphan check
    assert any("release requested by tester: a test" in e.reason for e in world.journal.audit("d"))
    assert world.run("next") == [DeploymentState.COMPENSATED]
    assert violations(world, other_actors, ["d", "next"]) == []


def test_release_allows_compensate_and_refuses_resume() -> None:
    """A rollback that has begun is never resumed. The rest may be rolled back when nothing blocks it any more."""
    world, other_actors = stuck()
    world.ask(Verb.RELEASE)
    assert world.run() == [DeploymentState.FAILED]
    assert allowed_verbs(world.journal.header("d").record) == [Verb.COMPENSATE]
    refused = world.ask(Verb.RESUME)
    assert (refused.accepted, world.state()) == (False, DeploymentState.FAILED)
    assert "rolled back in part" in refused.message
    other_actors.remove_blocking_items()
    assert world.ask(Verb.COMPENSATE).state is DeploymentState.COMPENSATING
    assert world.run() == [DeploymentState.COMPENSATED]
    check_laws(world)
    check_proof(world)


def test_release_may_be_requested_repeatedly() -> None:
    """Each end is proved by what existed at that time, although no time passes between the ends."""
    world, other_actors = stuck()
    for _ in range(3):
        assert world.ask(Verb.RELEASE).accepted
        assert world.run() == [DeploymentState.FAILED]
        check_proof(world)
        assert world.ask(Verb.RELEASE).message == "it is released already"
        assert world.ask(Verb.COMPENSATE).accepted
        world.run(hours=0.2)
        assert world.state() is DeploymentState.STUCK
    other_actors.remove_blocking_items()
    assert world.run() == [DeploymentState.COMPENSATED]
    assert violations(world, other_actors, ["d"]) == []


def test_release_is_refused_without_a_reason_and_if_nothing_is_stuck() -> None:
    """Nothing is given up by mistake."""
    world = World()
    world.submit(MEDALLION)
    assert "release is not possible: the deployment is accepted" in world.ask(Verb.RELEASE).message
    world, _ = stuck()
    world.inbox.append((world.clock.now(), "d", b'{"command": "release", "deployment_id": "d"}'))
    until(world, 60)
    assert world.state() is DeploymentState.STUCK
    assert any("release needs a reason" in e.reason for e in world.journal.audit("d"))


def test_release_waits_for_a_try_in_progress() -> None:
    """A delivery is calling Fabric when a person releases: the end comes after it, and no try begins before."""
    world, other_actors = stuck()
    other_actors.remove_blocking_items()
    requested: list[Any] = []
    original = world.model.handle

    def handle(request: Any) -> Any:
        if request.method == "DELETE" and not requested:
            requested.append(world.ask(Verb.RELEASE))
            until(world, 3)
            assert world.state() is DeploymentState.STUCK
            assert not held_target(world, "other")
            assert not world.ask(Verb.COMPENSATE).accepted
        return original(request)

    world.model.handle = handle
    world.ask(Verb.COMPENSATE)
    assert world.run() == [DeploymentState.COMPENSATED]  # That try compensated all that was left.
    assert requested[0].accepted
    assert not world.journal.header("d").record.is_released
    check_laws(world)
    check_proof(world)


def test_released_deployment_has_its_own_error_again_when_it_is_rolled_back() -> None:
    """Also if the failed step reports what its rollback made again: the schedules, which Fabric deletes with each
    definition."""
    world = World(3)
    world.model.update_settings({"schedules_need_their_part": True})
    world.submit(manifest(content(world, "{}", {"06:00": True})))
    assert world.run() == [DeploymentState.SUCCEEDED]
    changed = content(world, "[]", {"06:00": True})
    items: Any = changed["with"]
    items["items"][0]["description"] = "new"
    refused = {"status": 400, "body": {"errorCode": "InvalidInput", "message": "no"}}
    rules = [
        {"match": {"method": "PATCH", "path": ".*/items/[^/]+"}, "when": {"nth": 1}, "action": refused},
        {"match": {"method": "DELETE", "path": ".*/items/[^/]+"}, "action": {"status": 403}},
    ]
    assert control.handle(world.model, "POST", "/_sim/faults", {}, json.dumps(rules).encode())[0] == 200
    lake = {"id": "lake", "kind": "lakehouse", "with": {"workspaceId": WORKSPACE, "displayName": "lake"}}
    world.submit(manifest(lake, {**changed, "needs": ["lake"]}), "e")
    until(world, 3600)
    assert world.state("e") is DeploymentState.STUCK
    failed = next(s.record for s in world.journal.steps("e") if s.record.error is not None)
    assert "renewed" in (failed.outputs or {})
    assert world.ask(Verb.RELEASE, "e").accepted
    assert world.run("e") == [DeploymentState.FAILED]
    assert control.handle(world.model, "POST", "/_sim/faults", {}, b"[]")[0] == 200
    assert world.ask(Verb.COMPENSATE, "e").accepted
    assert world.run("e") == [DeploymentState.COMPENSATED]
    error = world.journal.header("e").record.error
    assert error is not None
    assert error.message.startswith(f"step {failed.step_id}: ")


def test_what_a_released_deployment_has_restored_is_sent_again() -> None:
    """Its notes do not hold any more: the next deployment must not take the restored items for unchanged."""
    world = World(3)
    world.submit(manifest(content(world, "{}", None)))
    assert world.run() == [DeploymentState.SUCCEEDED]
    lake = {"id": "lake", "kind": "lakehouse", "with": {"workspaceId": WORKSPACE, "displayName": "lake"}}
    newer = manifest(lake, {**content(world, "[]", None), "needs": ["lake"]})
    world.submit(newer, "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    sent = definitions(world)
    rule = {"match": {"method": "DELETE", "path": ".*/items/[^/]+"}, "action": {"status": 403}}
    assert control.handle(world.model, "POST", "/_sim/faults", {}, json.dumps([rule]).encode())[0] == 200
    assert world.ask(Verb.RETIRE, "e").accepted
    until(world, 3600)
    assert world.state("e") is DeploymentState.STUCK
    assert definitions(world) != sent
    assert world.ask(Verb.RELEASE, "e").accepted
    assert world.run("e") == [DeploymentState.FAILED]
    world.submit(newer, "f")
    assert world.run("f") == [DeploymentState.SUCCEEDED]
    assert definitions(world) == sent


@pytest.mark.parametrize("ended", ["released", "rollback is off"])
def test_what_a_failed_deployment_has_left_is_replaced_although_its_content_was_sent_before(ended: str) -> None:
    """The repository goes back to the earlier content, which a note names: the items have that of the failed one."""
    world = World(3, EnginePolicy().under(FeatureFlags(rollback=ended == "released")))
    old = manifest(content(world, "{}", None))
    world.submit(old)
    assert world.run() == [DeploymentState.SUCCEEDED]
    sent = definitions(world)
    newer = content(world, "[]", None)
    ball: dict[str, Any] = {"id": "ball", "kind": "item", "needs": ["content"]}
    ball["with"] = {"workspaceId": WORKSPACE, "type": "Crystal", "displayName": "ball"}
    rule = {
        "match": {"method": "POST", "path": ".*/updateDefinition"},
        "when": {"nth": list(range(3, 200))},
        "action": {"status": 403},
    }
    assert control.handle(world.model, "POST", "/_sim/faults", {}, json.dumps([rule]).encode())[0] == 200
    world.submit(manifest(newer, ball), "e")
    until(world, 3600)
    if ended == "released":
        assert world.state("e") is DeploymentState.STUCK
        assert world.ask(Verb.RELEASE, "e").accepted
        world.run("e")
    assert world.state("e") is DeploymentState.FAILED
    assert definitions(world) != sent
    assert control.handle(world.model, "POST", "/_sim/faults", {}, b"[]")[0] == 200
    world.submit(old, "f")
    assert world.run("f") == [DeploymentState.SUCCEEDED]
    assert definitions(world) == sent


@pytest.mark.parametrize("acts", [True, False])
def test_release_waits_until_a_dead_holder_can_no_longer_act(acts: bool) -> None:
    """The holder's lease must expire, and a call that it had sent must have taken effect."""
    world, _ = stuck()
    policy = EnginePolicy()
    row = next(s for s in world.journal.steps("d") if s.record.state is StepState.COMPENSATION_FAILED)
    ends = world.clock.now() + timedelta(seconds=policy.step_lease_seconds)
    claim = Claim("dead", ends, row.record.fence + 1, acts)
    started = row.record.replace(state=StepState.COMPENSATING, claim=claim, fence=claim.fence)
    late = world.journal.write_step(Change(row, started, "engine", "compensate it"))
    assert world.ask(Verb.RELEASE).accepted
    while world.state() is not DeploymentState.FAILED:
        assert world.clock.now() < ends + timedelta(seconds=policy.late_call_seconds + policy.step_lease_seconds)
        until(world, 1)
    assert world.clock.now() >= (policy.late_call_until(ends) if acts else ends)
    done = started.replace(state=StepState.COMPENSATED, claim=None)
    with pytest.raises(Exception, match="moved since it was read"):
        world.journal.write_step(Change(late, done, "engine", "deleted"))
    assert held_target(world, "other")
    check_proof(world)


def test_release_makes_late_messages_do_nothing() -> None:
    """A delivery that read the header before the release loses its row; a later delivery makes no call."""
    world, other_actors = stuck()
    world.ask(Verb.COMPENSATE)
    header, row = world.journal.step("d", 0)
    assert header.record.may_compensate
    world.ask(Verb.RELEASE)
    assert world.run() == [DeploymentState.FAILED]
    other_actors.remove_blocking_items()
    before, calls = rows(world), len(world.model.calls)
    assert execution.execute_step(world.services, StepMessage("d", 0, Direction.BACKWARD)) is None
    assert execution.poisoned_step(world.services, StepMessage("d", 0, Direction.BACKWARD), "x") is not None

    class Late:
        """The journal as an overtaken delivery read it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(world.journal, name)

        def step(self, _: str, __: int) -> tuple[Any, Versioned[StepRecord]]:
            return header, row

    late: Any = Late()
    services = replace(world.services, journal=late)
    assert execution.execute_step(services, StepMessage("d", 0, Direction.BACKWARD)) is None
    assert (rows(world), len(world.model.calls)) == (before, calls)
    check_proof(world)


def test_release_works_though_a_row_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """That row stays unchanged, the others and the header are written, and the audit proves it. `compensate` works when
    the row can be written again."""
    world, other_actors = stuck()
    write = world.journal._write

    def refuse(changes: Any) -> Any:
        if any(change.after.ordinal == 0 for change in changes):
            refused.append(len(changes))
            raise LimitError("the row takes too many characters")
        return write(changes)

    refused: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(world.journal, "_write", refuse)
        row = rows(world)[0]
        assert world.ask(Verb.RELEASE).accepted
        until(world, 60)
        assert world.state() is DeploymentState.FAILED
        assert rows(world)[0] == row
        assert len(refused) == 2, "all at once, then each alone"
        assert held_target(world, "other")
        check_proof(world)
    world.locks.release(world.journal.header("d").record.target, "other")
    other_actors.remove_blocking_items()
    until(world, 60)
    assert world.ask(Verb.COMPENSATE).accepted
    assert world.run() == [DeploymentState.COMPENSATED]
    check_laws(world)
    check_proof(world)


@pytest.mark.parametrize("lost", ["orchestration", "event"])
def test_release_survives_a_crash_after_its_write(lost: str) -> None:
    """The process dies before it raised the event to the orchestration, or the event is lost: the sweeper ends the
    deployment."""
    world, _ = stuck()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(world), "start", lambda *_: None)
        patch.setattr(type(world), "raise_event", lambda *_: None)
        world.ask(Verb.RELEASE)
    if lost == "orchestration":
        world.lose_orchestration("d")
    assert world.run(hours=0.5) == [DeploymentState.FAILED]
    check_proof(world)


def test_release_is_guarded_by_a_later_deployment() -> None:
    """A later deployment adopted what was left, so the released deployment is not rolled back."""
    world, _ = stuck()
    world.ask(Verb.RELEASE)
    world.run()
    world.submit(MEDALLION, "later")
    assert world.run("later") == [DeploymentState.SUCCEEDED]
    answer = world.ask(Verb.COMPENSATE)
    assert (answer.accepted, world.state()) == (False, DeploymentState.FAILED)
    assert "deployment later uses resources of this one" in answer.message


def test_release_that_was_tampered_with_is_noticed() -> None:
    """An end by release that was never written, and a step that moved after the release, differ from the proof."""
    world, _ = stuck()
    world.ask(Verb.RELEASE)
    world.run()
    _, row = world.journal.step("d", 0)
    world.journal.write_step(Change(row, row.record.replace(state=StepState.COMPENSATING), "engine", "compensate it"))
    text = [str(d) for d in verify.verify(verify.read(world.journal, "d")).differences]
    assert any("which the final states of its steps contradict" in each for each in text)


def test_release_is_proved_though_two_end_it_at_once() -> None:
    """Durable engines may run an activity twice: the second run writes no row after the first has read what its end
    binds."""
    world, _ = stuck()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(world), "start", lambda *_: None)
        patch.setattr(type(world), "raise_event", lambda *_: None)
        world.ask(Verb.RELEASE)
    header = world.journal.header("d")

    class Overtaken:
        """The journal of a run that is held up after all its rows are written, while another run does the same."""

        def __getattr__(self, name: str) -> Any:
            return getattr(world.journal, name)

        def write_header(self, change: Any) -> Any:
            written = rows(world)
            other: Any = Ended()
            release.settle(replace(world.services, journal=other), world.locks, header)
            assert rows(world) == written
            return world.journal.write_header(change)

    class Ended(Overtaken):
        """The journal of the other run, which is overtaken in turn."""

        def write_header(self, change: Any) -> Any:
            return None

    first: Any = Overtaken()
    release.settle(replace(world.services, journal=first), world.locks, header)
    assert world.state() is DeploymentState.FAILED
    check_proof(world)


def test_release_is_followed_by_a_search_for_what_late_calls_of_compensated_steps_created() -> None:
    """Another actor's item keeps the workspace. A second lakehouse of a compensated step shows after the release: the
    sweeper deletes it by its marker, and leaves alone what the release gave up."""
    world, other_actors = stuck()
    world.ask(Verb.RELEASE)
    assert world.run() == [DeploymentState.FAILED]
    workspace = step(world, "ws").resource
    late = next(s.record for s in world.journal.steps("d") if s.record.kind == "lakehouse")
    assert late.intent is not None
    assert late.state is StepState.COMPENSATED
    row = {
        "type": "Lakehouse",
        "displayName": late.spec["displayName"],
        "description": with_marker("", late.intent.marker),
    }
    control.seed(world.model, {"workspaces": [{"id": workspace.id, "items": [row]}]})
    assert row["displayName"] in world.names()["sales"]
    world.clock.advance(world.policy.orphan_grace_seconds + 1)
    assert world.sweep().orphans
    assert row["displayName"] not in world.names()["sales"]
    assert violations(world, other_actors, ["d"]) == []
    other_actors.remove_blocking_items()
    world.ask(Verb.COMPENSATE)
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.journal.header("d").record.orphan_checked_at is None
    assert world.names() == {}
