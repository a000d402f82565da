"""Readiness in each state that docs/health.md names, caused for real: the public answer, and the operators' answer."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from azure.data.tables import TableClient, UpdateMode

from tests import command_line
from tests.e2e.conftest import Running, finish, make_stack
from tests.e2e.test_faults import submit
from tests.e2e.test_submission import lakehouse, manifest
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

ESSENTIAL = {"storage", "fabric_identity", "fabric_endpoint"}
FRESH_SECONDS = 0.5


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """Start one stack, which goes through every state in turn. A round stays fresh for half a second."""
    stack = make_stack(
        has_storage=True, environment={"HEALTH_CACHE_SECONDS": str(FRESH_SECONDS), "BREAKER_OPEN_SECONDS": "20"}
    )
    try:
        yield Running(stack.up())
    finally:
        finish(stack)


def ready(running: Running) -> tuple[int, dict[str, Any]]:
    """Return the public answer: the status code, and a word for each check."""
    code, body = running.http("/api/health/ready")
    reported = json.loads(body)
    for checks in reported["checks"].values():
        assert [set(check) for check in checks] == [{"status"}], "a word each, and nothing else"
    assert "127.0.0.1" not in body
    assert (code == 503) == (reported["status"] == "fail")
    return code, {
        "whole": reported["status"],
        **{name: checks[0]["status"] for name, checks in reported["checks"].items()},
    }


def details(running: Running) -> dict[str, Any]:
    """Return the operators' answer, by check and component."""
    _, body = running.http("/api/health", key=running.stack.function_key)
    assert "AccountKey" not in body
    return {
        f"{name}/{entry.get('componentId', '')}": entry
        for name, entries in json.loads(body)["checks"].items()
        for entry in entries
    }


def health_cli(running: Running, key: str) -> command_line.Done:
    """Run the health command over HTTP."""
    return command_line.run("health", "--url", running.stack.functions_url, environment={"FUNCTION_KEY": key})


def test_healthy_app_passes_and_a_thousand_requests_are_few_rounds(running: Running) -> None:
    """The answer is 200 with `pass`; details need the key; simultaneous requests share a round, as the calls to Fabric
    show."""
    eventually(lambda: ready(running)[1]["whole"] == "pass" and "sweep:age/" in details(running))
    code, reported = ready(running)
    assert (code, set(reported.values())) == (200, {"pass"})
    assert set(reported) >= ESSENTIAL | {"queues", "breakers", "sweep", "poison"}
    assert running.http("/api/health")[0] == 401
    eventually(lambda: details(running)["queues:depth/deployments"]["observedValue"] == 0)
    assert health_cli(running, running.stack.function_key).returncode == 0
    assert health_cli(running, "wrong").returncode == 4
    assert running.cli("health").returncode == 0
    before, began = len(probes(running)), time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        codes = list(pool.map(lambda _: running.http("/api/health/ready")[0], range(1_000)))
    rounds = 1 + (time.monotonic() - began) / FRESH_SECONDS
    assert set(codes) == {200}
    assert 1 <= len(probes(running)) - before <= rounds, "one round as long as it is fresh"


def probes(running: Running) -> list[dict[str, Any]]:
    """Return the calls of the health checks to Fabric, one a round."""
    return [
        c
        for c in running.fabric("calls")
        if c["method"] == "GET" and c["path"] == "/v1/workspaces" and c["status"] == 401
    ]


def test_open_breaker_is_a_warning_until_it_is_closed_by_hand(running: Running) -> None:
    """Fabric answers 503 to lakehouses until the breaker of their area opens: 200, warn, and its real state. The
    command line shows it, over storage and over HTTP, and closes it for the app."""
    answer = {"status": 503, "body": {"errorCode": "ServiceUnavailable", "message": "x"}}
    running.fabric("faults", [{"match": {"path": ".*/lakehouses"}, "action": answer}])
    submit(running, "failing", manifest("failing", *(lakehouse(f"lake{i}") for i in range(6))))
    eventually(lambda: ready(running)[1]["breakers"] == "warn")
    code, reported = ready(running)
    assert (code, reported["whole"], reported["breakers"]) == (200, "warn", "warn")
    shown = details(running)["breakers:state/items"]
    assert shown["observedValue"] in ("open", "half_open")
    assert shown["status"] == "warn"
    assert "503" in shown["output"]
    assert health_cli(running, running.stack.function_key).returncode == 1
    url, key = running.stack.functions_url, {"FUNCTION_KEY": running.stack.function_key}
    for where in ([], ["--url", url]):
        assert re.search("items +(open|half_open)", running.cli("breakers", *where, check=0, environment=key).stdout)
        running.cli("breakers", "reset", "nothing", *where, check=2, environment=key)
    running.fabric("faults", [])
    done = running.cli("breakers", "reset", "items", "--url", url, check=0, environment=key)
    assert "items            closed" in done.stdout
    assert "items            closed" in running.cli("breakers", check=0).stdout
    eventually(lambda: ready(running)[1]["breakers"] == "pass")
    running.cli("cancel", "failing")
    assert running.ended("failing")["exit_code"] in (0, 8)


def test_unavailable_fabric_is_a_failure_until_it_recovers(running: Running) -> None:
    """Nobody answers at Fabric's address: 503, and the other checks pass. Fabric returns: 200."""
    running.stack.kill("fabric")
    eventually(lambda: ready(running)[0] == 503)
    _, reported = ready(running)
    assert {name for name in ESSENTIAL if reported[name] == "fail"} == {"fabric_endpoint"}
    assert "no connection" in details(running)["fabric_endpoint/"]["output"]
    assert health_cli(running, running.stack.function_key).returncode == 3
    running.stack.start_fabric()
    eventually(lambda: ready(running)[0] == 200)


def test_unavailable_storage_is_a_failure_until_it_recovers(running: Running) -> None:
    """Azurite is stopped: 503 for storage, within the time budget; `live` still answers. Azurite returns: 200."""
    running.stack.stop_azurite()
    eventually(lambda: ready(running)[0] == 503)
    _, reported = ready(running)
    assert {name for name in ESSENTIAL if reported[name] == "fail"} == {"storage"}
    assert running.http("/api/health/live")[0] == 200
    assert running.cli("health").returncode == 3
    running.stack.start_azurite()
    eventually(lambda: ready(running)[0] == 200)


def test_poison_message_is_a_warning_although_it_is_recorded_at_once(running: Running) -> None:
    """Every delivery of a step fails: its deployment is rolled back and its poison queue is empty; health still
    warns."""
    rule = {"match": {"method": "POST", "path": ".*/workspaces"}, "action": {"delay_seconds": 3}}
    running.fabric("faults", [rule])
    submit(running, "poisoned", manifest("poisoned", lakehouse("bronze")))
    eventually(lambda: "poisoned" in running.names())
    with TableClient.from_connection_string(running.stack.connection_string, "journal") as table:
        row = table.get_entity("poisoned", "step_00001")
        row["record"] = row["record"].replace('"kind":"lakehouse"', '"kind":"gone"')
        table.update_entity(row, mode=UpdateMode.REPLACE)
    assert running.ended("poisoned")["exit_code"] == 1
    eventually(lambda: ready(running)[1]["poison"] == "warn")
    code, reported = ready(running)
    assert (code, reported["whole"]) == (200, "warn")
    shown = details(running)
    assert shown["poison:recorded/"]["observedValue"] >= 1
    assert shown["queues:depth/deployment-steps-poison"]["observedValue"] == 0


def test_journal_of_a_real_deployment_is_proven_and_a_changed_one_is_not(running: Running) -> None:
    """The command line verifies what the real host wrote, and then the same with one word changed by hand."""
    running.fabric("faults", [])
    submit(running, "proven", manifest("proven", lakehouse("bronze")))
    assert running.ended("proven")["exit_code"] == 0
    done = running.cli("verify-journal", "proven", check=0)
    assert "every move is legal" in done.stdout
    with TableClient.from_connection_string(running.stack.connection_string, "journal") as table:
        row = table.get_entity("proven", "step_00001")
        row["record"] = row["record"].replace('"kind":"lakehouse"', '"kind":"item"')
        table.update_entity(row, mode=UpdateMode.REPLACE)
    assert "step_00001" in running.cli("verify-journal", "proven", check=1).stdout
