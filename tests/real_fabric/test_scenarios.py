"""The four scenarios, on the simulator and on a tenant, each read back from Fabric and rolled back afterwards."""

import json
import re
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.domain.json import JsonObject, as_object
from shared.domain.principals import parse_principals
from shared.domain.states import DeploymentState, StepState
from shared.saga.command.verbs import Verb
from tests.real_fabric.conftest import Place, Scenario, Standing
from tests.waiting import eventually

LAYERS = {("Lakehouse", name) for name in ("bronze", "silver", "gold")}
AREA = re.compile(r"/v1/workspaces/[^/]+/(items|lakehouses)(/.*)?")
"""The calls that the breaker `items` protects."""


def of(*names: str) -> pytest.MarkDecorator:
    """Parametrize a test with the manifest that it deploys."""
    return pytest.mark.parametrize("scenario", names, indirect=True)


def read_back(scenario: Scenario) -> Standing:
    """Return the state in Fabric, and check that the workspace is as the manifest says."""
    found = scenario.standing()
    assert found is not None
    wanted: dict[str, Any] = scenario.manifest["steps"][0]["with"]
    assert found.workspace["capacityId"].lower() == scenario.place.capacity.lower()
    assert found.workspace.get("description", "").startswith(wanted.get("description", ""))
    return found


def lakehouses(found: Standing) -> set[tuple[str, str]]:
    """Return the lakehouses by name, without their companions (SQL endpoints)."""
    return {key for key in found.items if key[0] == "Lakehouse"}


def expected_roles(file: Path) -> dict[str, str]:
    """Return the roles by principal, as the file says."""
    return {p.principal_id.lower(): p.role for p in parse_principals(file.read_text(), "principals", [])}


@of("workspace")
def test_workspace(scenario: Scenario) -> None:
    """The workspace exists on its capacity, with its description and nothing in it. Retired, it is deleted."""
    scenario.submit(0)
    found = read_back(scenario)
    assert found.items == {}
    assert list(found.roles.values()) == ["Admin"], "its creator, and nobody else"
    scenario.ask(Verb.RETIRE)
    assert scenario.standing() is None


@of("workspace_lakehouse")
def test_workspace_and_lakehouse(scenario: Scenario) -> None:
    """The lakehouse exists, and its SQL endpoint answers. Retired, both are deleted."""
    scenario.submit(0)
    found = read_back(scenario)
    assert lakehouses(found) == {("Lakehouse", "landing")}
    item = found.items["Lakehouse", "landing"]
    shown = scenario.place.client().get(f"/workspaces/{found.workspace['id']}/lakehouses/{item['id']}")
    properties: JsonObject = as_object(shown.get("properties")) or {}
    assert (as_object(properties.get("sqlEndpointProperties")) or {})["provisioningStatus"] == "Success"
    scenario.ask(Verb.RETIRE)
    assert scenario.standing() is None


def check_medallion(scenario: Scenario) -> None:
    """Check every layer and every role, as Fabric shows them."""
    found = read_back(scenario)
    assert lakehouses(found) == LAYERS
    assert scenario.place.principals is not None
    wanted = expected_roles(scenario.place.principals)
    assert wanted.items() <= found.roles.items()
    assert len(found.roles.keys() - wanted.keys()) <= 1, "its creator, and nobody else"


@of("medallion")
def test_medallion_stays_for_inspection_and_is_rolled_back(scenario: Scenario) -> None:
    """It succeeds and can be inspected until its time is up or a person retires it."""
    scenario.submit(0)
    check_medallion(scenario)
    header, _ = scenario.place.row(scenario.workspace)
    assert header.state is DeploymentState.SUCCEEDED
    assert header.expires_after_seconds == 86400
    scenario.ask(Verb.RETIRE)
    assert scenario.standing() is None


@of("medallion")
def test_medallion_that_fails_is_held_for_inspection_and_is_rolled_back(scenario: Scenario) -> None:
    """Its last step cannot succeed: the deployment is held, everything before that step can be inspected, and a
    person ends it."""
    spec = {"workspaceId": "${{ steps.workspace.outputs.id }}", "type": "CrystalBall", "displayName": "forecast"}
    needs = [s["id"] for s in scenario.manifest["steps"]]
    scenario.manifest["steps"].append({"id": "forecast", "kind": "item", "needs": needs, "with": spec})
    printed = scenario.submit(3)
    assert "InvalidItemType" in printed
    check_medallion(scenario)
    header, _ = scenario.place.row(scenario.workspace)
    assert header.state is DeploymentState.HELD
    assert header.keep_for_seconds == 7200
    scenario.ask(Verb.COMPENSATE)
    assert scenario.standing() is None


@of("breaker")
def test_breaker_opens_holds_calls_back_and_recovers(scenario: Scenario) -> None:
    """Fabric fails in one area: after a few failures no call reaches that area until a probe may. Fabric recovers:
    the breaker closes, and the deployment ends as if nothing had happened. It runs only if Fabric can be made to
    fail."""
    place = scenario.place
    if place.is_tenant:
        pytest.skip("a tenant cannot be made to fail; the breaker is tested with the simulator")
    failing = {"status": 503, "body": {"errorCode": "ServiceUnavailable", "message": "failing on request"}}
    place.fabric("faults", [{"match": {"path": AREA.pattern}, "action": failing}])
    try:
        scenario.write()
        place.cli("submit", str(scenario.file), "--id", scenario.workspace, check=0)
        eventually(lambda: breaker(place)["state"] == "open")
        shown = breaker(place)
        # Workers use their copy of the record for BREAKER_CACHE_SECONDS; calls that were in progress may still arrive.
        began = datetime.fromisoformat(shown["opened_at"]) + timedelta(seconds=1.5)
        until = datetime.fromisoformat(shown["retry_at"])
        assert until - began > timedelta(seconds=4)
        eventually(lambda: time.time() > until.timestamp() - 0.5)
        failures_seen = [c["at"] for c in place.fabric("calls") if AREA.fullmatch(c["path"])]
        assert [at for at in failures_seen if began.timestamp() <= at < until.timestamp()] == []
        faults = [c for c in place.fabric("calls") if c["status"] == 503]
        assert 5 <= len([c for c in faults if c["at"] < began.timestamp()]) <= 5 + 8, (
            "the limit, and the calls in progress"
        )
        _, steps = place.row(scenario.workspace)
        waiting = [s for s in steps if s.kind == "lakehouse"]
        assert {s.state for s in waiting} <= {StepState.PENDING, StepState.INTENT}
        assert sum(s.deliveries for s in waiting) > sum(s.attempt for s in waiting), (
            "rescheduled, and no attempt counted"
        )
    finally:
        place.fabric("faults", [])
    assert place.ended(scenario.workspace)["exit_code"] == 0
    assert breaker(place)["state"] == "closed"
    assert len(lakehouses(read_back(scenario))) == 8


def breaker(place: Place) -> dict[str, Any]:
    """Return the breaker as the app reports it over HTTP."""
    code, body = place.http("/api/breakers", key=place.stack.function_key)
    assert code == 200
    return next(b for b in json.loads(body)["items"] if b["name"] == "items")
