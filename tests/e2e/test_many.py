"""Many deployments at once on the real host, while every fifth call to Fabric fails."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shared import settings
from shared.adapters.fabric.credentials import SIMULATOR_IDENTITY
from shared.bootstrap import command_line
from shared.domain.states import DeploymentState
from tests.e2e.conftest import Running, finish, make_stack
from tests.e2e.test_submission import item, lakehouse, manifest, viewer
from tests.waiting import eventually

pytestmark = pytest.mark.e2e
STRIKES = list(range(16, 100_000, 16))
"""The numbers of the calls that a rule injects its fault into: with four rules, a little more than a fifth of all
calls."""
LAWFUL = {DeploymentState.SUCCEEDED.value, DeploymentState.COMPENSATED.value}
FAULTS: list[dict[str, Any]] = [
    {"reset": "before"},
    {"reset": "after"},
    {"status": 503, "body": {"errorCode": "ServiceUnavailable", "message": "x"}},
    {"status": 429, "headers": {"Retry-After": "1"}, "body": {"errorCode": "RequestBlocked", "message": "x"}},
]


@pytest.fixture
def shared_slow_stack(topology: str) -> Iterator[Running]:
    """Start a stack with slow watchdogs: a watchdog for each deployment every two seconds would take a third of the
    processor."""
    stack = make_stack(topology=topology, environment={"WATCHDOG_SECONDS": "10", "SWEEP_SCHEDULE": "*/20 * * * * *"})
    try:
        yield Running(stack.up())
    finally:
        finish(stack)


@pytest.mark.parametrize(
    ("topology", "count"),
    [
        ("single", 10),
        pytest.param("single", 50, marks=pytest.mark.hunt),
        pytest.param("flex", 50, marks=pytest.mark.hunt),
    ],
)
def test_many_deployments_under_faults_end_lawfully_and_agree_with_fabric(
    shared_slow_stack: Running, count: int
) -> None:
    """All deployments end, and Fabric has exactly the resources of the succeeded ones' journals."""
    rules = [{"when": {"nth": STRIKES}, "action": action} for action in FAULTS]
    shared_slow_stack.fabric("faults", rules)
    for i in range(count):
        steps = [lakehouse("bronze"), item("nb", "Notebook", "bronze"), viewer()]
        steps += [item("ball", "Crystal", "nb")] if i % 5 == 0 else []
        body = {"deployment_id": f"many-{i}", "manifest": manifest(f"many-{i}", *steps)}
        shared_slow_stack.put("deployments", json.dumps(body).encode())

    journal = command_line.storage(
        settings.load({"AzureWebJobsStorage": shared_slow_stack.stack.connection_string})
    ).journal

    def listed() -> dict[str, str]:
        return {header.deployment_id: header.state.value for header in journal.deployments()}

    eventually(lambda: sum(state in LAWFUL for state in listed().values()) == count, pause=1.0)
    calls, injected = (
        shared_slow_stack.fabric("calls"),
        sum(rule["injected"] for rule in shared_slow_stack.fabric("faults")),
    )
    assert len(calls) > 10 * count
    assert injected > len(calls) // 5
    shared_slow_stack.fabric("faults", [])
    states = listed()
    assert all(states[f"many-{i}"] == "compensated" for i in range(0, count, 5))
    succeeded = [deployment_id for deployment_id, state in states.items() if state == "succeeded"]
    resources = [s.record.resource for deployment_id in succeeded for s in journal.steps(deployment_id)]
    known = {(r.parent_id or "", r.id) for r in resources if r is not None}
    stored: set[tuple[str, str]] = set()
    for workspace in shared_slow_stack.fabric("state")["workspaces"]:
        stored.add(("", workspace["id"]))
        inside = [row["id"] for row in (*workspace["items"], *workspace["roleAssignments"])]
        stored |= {(workspace["id"], each) for each in inside if each != SIMULATOR_IDENTITY}
    assert stored == known
    assert len(known) == 4 * len(succeeded)
