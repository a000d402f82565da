"""Failures of Fabric, storage or the host: the state is clear, retries follow the design, and no deployment is lost."""

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from azure.data.tables import TableClient, UpdateMode

from tests.e2e.conftest import Running, finish, make_stack
from tests.e2e.test_submission import item, lakehouse, manifest, viewer
from tests.waiting import eventually

_OUTAGE_SECONDS = 15

pytestmark = [pytest.mark.e2e, pytest.mark.law(3)]


def submit(running: Running, deployment_id: str, content: dict[str, Any]) -> None:
    """Put a submission on the queue."""
    running.put("deployments", json.dumps({"deployment_id": deployment_id, "manifest": content}).encode())


@pytest.fixture
def fabric(shared_stack: Running) -> Any:
    """Return the shared stack, and remove its faults afterwards."""
    yield shared_stack
    shared_stack.fabric("faults", [])


def test_throttled_call_is_repeated_at_the_time_that_fabric_named(fabric: Running) -> None:
    """After a 429 with `Retry-After: 3`, no call comes earlier, and no failed attempt is counted."""
    answer = {"status": 429, "headers": {"Retry-After": "3"}, "body": {"errorCode": "RequestBlocked", "message": "x"}}
    rule = {"match": {"method": "POST", "path": ".*/lakehouses"}, "when": {"times": 2}, "action": answer}
    fabric.fabric("faults", [rule])
    submit(fabric, "throttled", manifest("throttled", lakehouse("bronze")))
    ended = fabric.ended("throttled")
    assert ended["exit_code"] == 0
    tries = [c for c in fabric.fabric("calls") if c["method"] == "POST" and c["path"].endswith("/lakehouses")][-3:]
    assert [c["status"] for c in tries] == [429, 429, 201]
    gaps = [b["at"] - a["at"] for a, b in itertools.pairwise(tries)]
    assert min(gaps) >= 3.0
    assert next(s for s in ended["steps"] if s["step_id"] == "bronze").get("attempt", 0) == 0


def test_expired_token_is_renewed_and_the_call_sent_again(fabric: Running) -> None:
    answer = {"status": 401, "body": {"errorCode": "TokenExpired", "message": "x"}}
    fabric.fabric("faults", [{"match": {"method": "POST"}, "when": {"times": 1}, "action": answer}])
    submit(fabric, "renewed", manifest("renewed"))
    assert fabric.ended("renewed")["exit_code"] == 0


@pytest.mark.parametrize(("status", "code"), [(401, "Unauthorized"), (403, "InsufficientPrivileges")])
def test_refused_identity_is_a_clear_failure(fabric: Running, status: int, code: str) -> None:
    """After a lasting 401 or 403 the step fails with Fabric's code and the right to grant; applied steps are rolled
    back."""
    answer = {"status": status, "body": {"errorCode": code, "message": "not permitted", "requestId": "r-1"}}
    fabric.fabric("faults", [{"match": {"method": "POST", "path": ".*/lakehouses"}, "action": answer}])
    name = f"refused-{status}"
    submit(fabric, name, manifest(name, lakehouse("bronze")))
    ended = fabric.ended(name)
    assert ended["exit_code"] == 1
    error = ended["deployment"]["error"]
    assert (error["status"], error["error_code"], error["request_id"]) == (status, code, "r-1")
    assert "rant" in error["remedy"] or "role" in error["remedy"]
    assert name not in fabric.names()


@pytest.mark.parametrize("reset", ["before", "after"])
def test_lost_answers_of_every_create_duplicate_nothing(fabric: Running, reset: str) -> None:
    """The connection breaks at the first try of every mutating call; each resource is created once."""
    paths = (".*/workspaces", ".*/lakehouses", ".*/roleAssignments", ".*/items")
    rules = [{"match": {"method": "POST", "path": p}, "when": {"nth": [1]}, "action": {"reset": reset}} for p in paths]
    fabric.fabric("faults", rules)
    name = f"lost-{reset}"
    submit(fabric, name, manifest(name, lakehouse("bronze"), viewer(), item("nb", "Notebook")))
    assert fabric.ended(name)["exit_code"] == 0
    workspaces = [w for w in fabric.fabric("state")["workspaces"] if w["displayName"] == name]
    assert [sorted(i["displayName"] for i in w["items"]) for w in workspaces] == [["bronze", "nb"]]
    assert len(workspaces[0]["roleAssignments"]) == 2


def test_step_whose_every_delivery_fails_is_recorded_and_rolled_back(fabric: Running) -> None:
    """The row has a kind that this program does not know: the poison queue records the failure, and the deployment
    is rolled back."""
    fabric.fabric("faults", [{"match": {"method": "POST", "path": ".*/workspaces"}, "action": {"delay_seconds": 3}}])
    submit(fabric, "poisoned", manifest("poisoned", lakehouse("bronze")))
    eventually(lambda: "poisoned" in fabric.names())
    with TableClient.from_connection_string(fabric.stack.connection_string, "journal") as table:
        row = table.get_entity("poisoned", "step_00001")
        record = json.loads(row["record"])
        record["kind"] = "gone"
        row["record"] = json.dumps(record)
        table.update_entity(row, mode=UpdateMode.REPLACE)
    ended = fabric.ended("poisoned")
    assert ended["exit_code"] == 1
    assert "every delivery of this step ended in an unexpected error" in ended["deployment"]["error"]["message"]
    assert "poisoned" not in fabric.names()


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Running]:
    """Start a stack whose parts the tests stop one after the other; each test leaves all of them running."""
    stack = make_stack(has_storage=True)
    try:
        yield Running(stack.up())
    finally:
        finish(stack)


@pytest.fixture
def harmed(own_stack: Running) -> Running:
    """Return that stack with an empty Fabric."""
    own_stack.fabric("reset", {})
    own_stack.fabric("faults", [])
    return own_stack


def test_deployment_waits_until_fabric_is_back(harmed: Running) -> None:
    """Nobody answers at its address: the deployment waits, and continues when Fabric is back."""
    harmed.stack.kill("fabric")
    submit(harmed, "patient", manifest("patient", lakehouse("bronze")))
    eventually(lambda: "no connection" in harmed.cli("status", "patient", "--json").stdout)
    harmed.stack.start_fabric()
    assert harmed.ended("patient")["exit_code"] == 0
    assert harmed.names() == {"patient": ["bronze"]}


def test_deployment_survives_an_outage_of_the_storage(harmed: Running) -> None:
    """Azurite stops during calls and returns after three leases, which is longer than all retries of the storage
    SDK. In the meantime the readiness check fails; then the deployment ends."""
    rule = {"match": {"method": "POST", "path": ".*/workspaces"}, "action": {"delay_seconds": 2}}
    harmed.fabric("faults", [rule])
    submit(harmed, "outage", manifest("outage", lakehouse("bronze"), lakehouse("silver")))
    eventually(lambda: "outage" in harmed.names())
    harmed.stack.stop_azurite()
    eventually(lambda: harmed.http("/api/health/ready")[0] == 503)
    assert harmed.http("/api/health/live")[0] == 200
    time.sleep(_OUTAGE_SECONDS)
    harmed.stack.start_azurite()
    assert harmed.ended("outage")["exit_code"] == 0
    assert harmed.names() == {"outage": ["bronze", "silver"]}
    assert len(harmed.posts("/v1/workspaces")) == 1


def test_task_hub_deleted_during_a_run_is_rebuilt_from_the_journal(harmed: Running) -> None:
    """The orchestration and its history are deleted: the sweeper restarts it, and finished steps answer at once."""
    rule = {"match": {"method": "POST", "path": ".*/workspaces"}, "action": {"delay_seconds": 2}}
    harmed.fabric("faults", [rule])
    submit(harmed, "wiped", manifest("wiped", lakehouse("bronze")))
    eventually(lambda: "wiped" in harmed.names())
    harmed.stack.kill_host()
    for file in harmed.stack.folder.glob("engine.sqlite*"):
        file.unlink()
    harmed.stack.start_host()
    assert harmed.ended("wiped")["exit_code"] == 0
    assert harmed.names() == {"wiped": ["bronze"]}
    assert len(harmed.posts("/v1/workspaces")) == 1
