"""A workspace or an item that somebody else deletes: what was in it is gone too, and its steps are compensated."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.states import DeploymentState
from shared.saga.command.verbs import Verb
from tests.simulation.fault_table import SCENARIOS, Outcome, Scenario, outcome, prepared, run, undisturbed
from tests.simulation.test_paused_capacity import paused
from tests.simulation.world import World

pytestmark = pytest.mark.law(1)

Loss = Callable[[World], None]


def workspaces_deleted(world: World) -> None:
    """Delete every workspace, as another actor does."""
    world.model.store.workspaces.clear()


def items_deleted(world: World) -> None:
    """Delete every item, as another actor does."""
    for workspace in world.model.store.workspaces.values():
        workspace.items.clear()


LOSSES = pytest.mark.parametrize("lose", [workspaces_deleted, items_deleted], ids=["workspace", "items"])
EACH = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)


@EACH
@LOSSES
def test_step_whose_parent_is_gone_is_compensated(scenario: Scenario, lose: Loss) -> None:
    """The deployment has succeeded; before it is rolled back, somebody deletes what its steps are in."""
    _, world = run(scenario, fails=False)
    lose(world)
    if world.state() is DeploymentState.SUCCEEDED:
        assert world.ask(Verb.RETIRE).accepted
    assert world.run(hours=4.0) == [DeploymentState.COMPENSATED], world.log[-5:]


def test_audit_says_why_there_was_nothing_to_compensate() -> None:
    """A deployer without a role sees as little as after a deletion, so a person must be able to find such steps."""
    _, world = run(next(s for s in SCENARIOS if s.name == "lakehouse, created"), fails=False)
    workspaces_deleted(world)
    assert world.ask(Verb.RETIRE).accepted
    assert world.run(hours=4.0) == [DeploymentState.COMPENSATED]
    reasons = [e.reason for e in world.journal.audit("d") if e.subject == "step_00001" and e.after == "compensated"]
    assert len(reasons) == 1
    assert "what it was in is not shown any more" in reasons[0]


@EACH
@LOSSES
def test_step_whose_parent_goes_with_its_first_call_is_compensated(scenario: Scenario, lose: Loss) -> None:
    """The answer to its first call is lost and somebody deletes what it is in: no resource of it is known."""
    world = prepared(scenario, fails=True)
    handle, done = world.model.handle, list[str]()

    def losing(request: Any) -> Any:
        reply = handle(request)
        if not done and request.method != "GET" and request.path.count("/") > 3 and "efinition" not in request.path:
            done.append(request.path)
            lose(world)
            return replace(reply, reset=True)
        return reply

    world.model.handle = losing
    assert world.run(hours=10.0) == [DeploymentState.COMPENSATED], world.log[-5:]


@EACH
def test_paused_capacity_hides_nothing_from_a_rollback(scenario: Scenario) -> None:
    """A paused capacity answers 404 to everything in a workspace. A rollback waits until it runs again, and then
    leaves what it leaves without that."""
    expected: Outcome = undisturbed(scenario.name, True)[0]
    _, world = run(scenario, fails=False)
    paused(world, True)
    if world.state() is DeploymentState.SUCCEEDED:
        assert world.ask(Verb.RETIRE).accepted
    world.run(hours=2.0)
    paused(world, False)
    assert world.run(hours=4.0) == [DeploymentState.COMPENSATED], world.log[-5:]
    assert outcome(world).fabric == expected.fabric
