"""Fifty deployments at once on the real host, while every fifth call to Fabric goes wrong."""

import json
from typing import Any

import pytest

from shared.domain.states import DeploymentState
from tests.e2e.conftest import Running, eventually
from tests.e2e.test_submission import item, lakehouse, manifest

pytestmark = pytest.mark.e2e
COUNT = 50
LAWFUL = {DeploymentState.SUCCEEDED.value, DeploymentState.COMPENSATED.value}
FAULTS: list[dict[str, Any]] = [
    {"reset": "before"},
    {"reset": "after"},
    {"status": 503, "body": {"errorCode": "ServiceUnavailable", "message": "x"}},
    {"status": 429, "headers": {"Retry-After": "1"}, "body": {"errorCode": "RequestBlocked", "message": "x"}},
]


def test_many_deployments_under_faults_end_lawfully_and_agree_with_fabric(quick_stack: Running) -> None:
    """All end; what stands in Fabric is what the journals of the succeeded ones say, to the last resource."""
    rules = [{"when": {"probability": 0.05}, "action": action} for action in FAULTS]
    quick_stack.fabric("faults", rules)
    for i in range(COUNT):
        steps = [lakehouse("bronze"), item("nb", "Notebook", "bronze")]
        steps += [item("ball", "Crystal", "nb")] if i % 5 == 0 else []
        body = {"deployment_id": f"many-{i}", "manifest": manifest(f"many-{i}", *steps)}
        quick_stack.put("deployments", json.dumps(body).encode())

    def listed() -> dict[str, str]:
        lines = quick_stack.cli("list", "--json", "--limit", "1000", check=0).stdout.splitlines()
        return {row["deployment_id"]: row["state"] for row in map(json.loads, lines)}

    eventually(lambda: sum(state in LAWFUL for state in listed().values()) == COUNT, 240)
    assert sum(rule["struck"] for rule in quick_stack.fabric("faults")) > COUNT
    quick_stack.fabric("faults", [])
    states = listed()
    assert all(states[f"many-{i}"] == "compensated" for i in range(0, COUNT, 5))
    known: set[str] = set()
    for deployment_id, state in states.items():
        if state == "succeeded":
            known |= {s["resource"]["id"] for s in quick_stack.ended(deployment_id)["steps"]}
    workspaces = quick_stack.fabric("state")["workspaces"]
    standing = {w["id"] for w in workspaces} | {i["id"] for w in workspaces for i in w["items"]}
    assert standing == known
