"""Jobs whose runs Fabric shows in an unusual way: unknown states, nulls, and exit values of any type and length."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from local.fabric_simulator.http import Reply, Request
from shared.domain.states import DeploymentState, StepState
from shared.steps.job import EXIT_LIMIT
from tests.simulation.test_jobs import ENDLESS, PASSES, START, manifest, runs, starts, step
from tests.simulation.world import World

LOST = {"match": START, "when": {"times": 1}, "action": {"reset": "after"}}


def showing(change: Callable[[dict[str, Any]], dict[str, Any]], part: str = "/jobs/instances") -> World:
    """Return a world in which Fabric shows each run with a change; synthetic, no recording has such a run."""
    world = World()
    handle = world.model.handle

    def odd(request: Request) -> Reply:
        reply = handle(request)
        if request.method != "GET" or part not in request.path or reply.status >= 300:
            return reply
        body = json.loads(reply.body)
        changed = {**body, "value": [change(row) for row in body["value"]]} if "value" in body else change(body)
        return replace(reply, body=json.dumps(changed).encode())

    world.model.handle = odd
    return world


ENDED = "it has ended (Fabric shows Paused), and a run that has ended cannot be compensated"


@pytest.mark.parametrize(("code", "reason"), [(PASSES, ENDED), (ENDLESS, "its run is cancelled")])
def test_run_in_a_state_that_is_not_known_does_not_leave_the_deployment_stuck(code: str, reason: str) -> None:
    """It counts as running until the timeout; then Fabric cancels it, or refuses that because it has ended."""
    world = showing(lambda row: row if row["status"] == "Cancelled" else {**row, "status": "Paused"})
    world.submit(manifest(code, timeout="5m"))
    assert world.run() == [DeploymentState.COMPENSATED]
    assert step(world).state is StepState.COMPENSATED
    told = [e.reason for e in world.journal.audit("d") if e.subject == "step_00002" and e.after == "compensated"]
    assert told == [reason]
    assert world.names() == {}


def test_state_counts_whatever_its_case() -> None:
    world = showing(lambda row: {**row, "status": row["status"].upper()})
    world.submit(manifest(PASSES))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert (step(world).outputs or {})["status"] == "Completed"


@pytest.mark.parametrize("field", ["invokeType", "jobType", "startTimeUtc"])
def test_run_whose_start_got_no_answer_is_found_although_a_field_is_null(field: str) -> None:
    world = showing(lambda row: {**row, field: None})
    world.model.faults.replace([LOST])
    world.submit(manifest(PASSES))
    assert world.run() == [DeploymentState.SUCCEEDED]
    [run] = runs(world)
    assert (step(world).outputs or {})["id"] == run.id
    assert starts(world) == 1


@pytest.mark.parametrize(
    ("value", "kept"),
    [(0, "0"), (False, "false"), ({"rows": 1}, '{"rows": 1}'), (None, ""), ("x" * 2_000, "x" * EXIT_LIMIT)],
)
def test_exit_value_is_a_text_whatever_its_type(value: Any, kept: str) -> None:
    world = showing(lambda row: {**row, "properties": {"exitValue": value}}, "/execute/instances")
    world.submit(manifest(PASSES, expectExitValue=kept) if value in (0, False) else manifest(PASSES))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert (step(world).outputs or {})["exitValue"] == kept


@pytest.mark.parametrize("character", ["é", "値", "😀", '"', "\x00"])
def test_long_exit_value_in_any_script_does_not_fail_a_job_that_has_passed(character: str) -> None:
    """A character beyond ASCII takes up to twelve in the row: the value is cut to the room that there is."""
    value = character * EXIT_LIMIT
    world = showing(lambda row: {**row, "properties": {"exitValue": value}}, "/execute/instances")
    world.submit(manifest(PASSES, expectExitValue=value) if character != "\x00" else manifest(PASSES))
    assert world.run() == [DeploymentState.SUCCEEDED]
    kept = (step(world).outputs or {})["exitValue"]
    assert len(kept) >= 280
    assert value.startswith(kept)


def test_exit_value_is_expected_of_a_notebook_only() -> None:
    """Any other job could not pass: it is refused before it runs."""
    world = World()
    made = manifest(PASSES, expectExitValue="ok", jobType="Pipeline")
    made["steps"][1]["with"] |= {"type": "DataPipeline"}
    del made["steps"][1]["with"]["definition"]
    world.submit(made)
    assert world.run() == [DeploymentState.COMPENSATED]
    error = step(world).error
    assert error is not None
    assert "only notebooks return an exit value, and the item is a DataPipeline" in error.message
    assert runs(world) == []


@pytest.mark.parametrize("status", [400, 403, 404])
@pytest.mark.parametrize("spec", [{}, {"expectExitValue": "ok"}])
def test_exit_value_that_fabric_does_not_give_fails_only_a_step_that_expects_one(
    status: int, spec: dict[str, Any]
) -> None:
    """The route is in beta. The error is Fabric's, not that the notebook returned nothing."""
    world = World()
    match = {"method": "GET", "path": ".*/execute/instances/.*"}
    body = {"errorCode": "Unknown", "message": "not for this principal"}
    world.model.faults.replace([{"match": match, "action": {"status": status, "body": body}}])
    world.submit(manifest(PASSES, **spec))
    assert world.run() == [DeploymentState.COMPENSATED if spec else DeploymentState.SUCCEEDED]
    error = step(world).error
    assert (error is not None and "not for this principal" in error.message) == bool(spec)
    assert starts(world) == 1
