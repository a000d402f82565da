"""A deployment whose rows have the maximum size ends like any other; so does one with a row that cannot be written."""

from typing import Any

import pytest

from shared.adapters.storage import journal_rows as rows
from shared.adapters.storage.clients import STRING_CHARACTERS
from shared.domain.messages import Direction, StepMessage
from shared.domain.row_limits import STEP_SHARES, fitted
from shared.domain.states import DeploymentState, StepState
from shared.saga.command.verbs import Verb
from shared.saga.step import execution
from tests.simulation.test_laws import MEDALLION, check_laws
from tests.simulation.world import World

COUNT = 456


def naming_all() -> dict[str, Any]:
    """Return a manifest of workspaces with ids of 60 characters and an item whose text names all of them."""
    ids = [f"workspace_{i:03d}_".ljust(60, "x") for i in range(COUNT)]
    steps: list[dict[str, Any]] = [
        {"id": name, "kind": "workspace", "with": {"displayName": f"sales {i}"}} for i, name in enumerate(ids)
    ]
    text = "\n".join(f"${{{{ steps.{name}.outputs.id }}}}" for name in ids)
    spec = {
        "workspaceId": f"${{{{ steps.{ids[0]}.outputs.id }}}}",
        "type": "Notebook",
        "displayName": "all",
        "definition": {"parts": [{"path": "notebook-content.py", "text": text}]},
    }
    return {"name": "many", "steps": [*steps, {"id": "all", "kind": "item", "with": spec}]}


@pytest.mark.parametrize("fails", [False, True])
def test_step_that_references_every_other_step_ends(fails: bool) -> None:
    """It succeeds with every reference resolved; if Fabric refuses the item, all 456 workspaces are deleted. The
    journal in memory limits its rows as Azure does."""
    world = World()
    if fails:
        refused = {"status": 400, "body": {"errorCode": "InvalidInput", "message": "\N{GRINNING FACE}" * 1_000}}
        world.model.faults.replace([{"match": {"method": "POST", "path": ".*/(items|notebooks)"}, "action": refused}])
    world.submit(naming_all())
    assert world.run(hours=3.0) == [DeploymentState.COMPENSATED if fails else DeploymentState.SUCCEEDED]
    assert len(world.names()) == (0 if fails else COUNT)
    assert sum(map(len, world.names().values())) == (0 if fails else 1)
    for row in world.journal.steps("d"):
        assert fitted(row.record) == row.record
        assert len(rows.step_entity(row.record)["record"]) <= STRING_CHARACTERS


def test_row_without_room_for_fabrics_answer_fails_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step's error says so, and the deployment is rolled back: the created resource is found by its marker."""
    world = World()
    world.submit(MEDALLION)
    monkeypatch.setitem(STEP_SHARES, "outputs", 60)
    assert world.run() == [DeploymentState.COMPENSATED]
    check_laws(world)
    step = world.journal.steps("d")[0].record
    assert step.error is not None
    assert "its row cannot take what was to be written: 'outputs' of step 'ws' takes " in step.error.message
    assert world.journal.header("d").record.error is not None


def test_row_that_cannot_be_written_during_rollback_leaves_a_stuck_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployment is visible as stuck, with an error. As soon as the row can be written, another try frees the
    target."""
    world = World()
    world.submit(MEDALLION)
    world.run()
    with monkeypatch.context() as patch:
        patch.setitem(STEP_SHARES, "claim", 4)
        world.ask(Verb.RETIRE)
        world.run(hours=1.0)
        assert world.state() is DeploymentState.STUCK
        left = [s.record for s in world.journal.steps("d") if s.record.state is StepState.COMPENSATION_FAILED]
        assert left
        assert all("'claim' of step" in s.compensation_error.message for s in left if s.compensation_error)
        assert world.sweep().stuck == ["d"]
    world.ask(Verb.COMPENSATE)
    assert world.run() == [DeploymentState.COMPENSATED]
    check_laws(world)


def test_message_that_no_delivery_can_handle_leaves_a_stuck_deployment() -> None:
    """This also holds before compensation of the step has begun: the deployment used to stay `compensating` forever,
    with its target locked. Another try ends it."""
    world = World()
    world.submit(MEDALLION)
    world.run()
    world.ask(Verb.RETIRE)
    message = StepMessage("d", 0, Direction.BACKWARD)
    settled = execution.poisoned_step(world.services, message, "every delivery failed")
    assert settled is not None
    assert settled.state is StepState.COMPENSATION_FAILED
    assert [e.after for e in world.journal.audit("d") if e.actor == "poison-queue"] == [
        "compensating",
        "compensation_failed",
    ]
    assert execution.poisoned_step(world.services, message, "once more") == settled
    assert world.run() == [DeploymentState.COMPENSATED]
    check_laws(world)
