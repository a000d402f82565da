"""Every transient fault at every call of every kind: each run ends as a run without faults."""

import pytest

from shared.steps import STEPS
from tests.simulation.fault_table import FAULTS, SCENARIOS, Scenario, injections, kinds, undisturbed

pytestmark = pytest.mark.law(3)


@pytest.mark.parametrize("every_twin", [False, pytest.param(True, marks=pytest.mark.hunt)], ids=["in turn", "all"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "is rolled back"])
def test_fault_at_any_call_changes_nothing(scenario: Scenario, fails: bool, every_twin: bool) -> None:
    """The state, the contents of Fabric, and how often each resource was created are those of a run without faults."""
    found = [
        (fault, call)
        for fault in FAULTS
        for call, is_good in injections(scenario, fails, fault, every_twin=every_twin)
        if not is_good
    ]
    assert found == []


def test_fault_table_covers_operations() -> None:
    """Some call of some scenario begins an operation that can fail."""
    assert any(True for s in SCENARIOS for _ in injections(s, False, "operation fails"))


def test_fault_table_covers_every_call() -> None:
    """The table covers every kind that calls Fabric, and every call that a kind makes, forward and backward."""
    without = sorted(STEPS.keys() - kinds())
    assert not without, f"tests/simulation/fault_table.py: add scenarios of {without}"
    calls = {(c.method, c.pattern) for s in SCENARIOS for c in undisturbed(s.name, True)[1]}
    found = {f"{method} {path.removeprefix('/v1/').replace('[^/]+', '*')}" for method, path in calls}
    known = {
        *("GET workspaces", "POST workspaces"),
        *("GET workspaces/*", "PATCH workspaces/*", "DELETE workspaces/*"),
        *("GET capacities", "POST workspaces/*/assignToCapacity", "POST workspaces/*/unassignFromCapacity"),
        *("GET workspaces/*/items", "POST workspaces/*/items"),
        *("GET workspaces/*/items/*", "PATCH workspaces/*/items/*", "DELETE workspaces/*/items/*"),
        *("POST workspaces/*/items/*/getDefinition", "POST workspaces/*/items/*/updateDefinition"),
        *("POST workspaces/*/lakehouses", "GET workspaces/*/lakehouses/*"),
        "POST workspaces/*/sqlEndpoints/*/refreshMetadata",
        *("POST workspaces/*/warehouses", "GET workspaces/*/warehouses/*"),
        *("GET workspaces/*/roleAssignments", "POST workspaces/*/roleAssignments"),
        "GET workspaces/*/roleAssignments/*",
        *("PATCH workspaces/*/roleAssignments/*", "DELETE workspaces/*/roleAssignments/*"),
        *("GET workspaces/*/folders", "POST workspaces/*/folders", "DELETE workspaces/*/folders/*"),
        *("POST workspaces/*/items/*/move", "POST workspaces/*/items/bulkExportDefinitions"),
        *("GET workspaces/*/git/connection", "POST workspaces/*/git/connect", "POST workspaces/*/git/disconnect"),
        *("POST workspaces/*/git/initializeConnection", "GET workspaces/*/git/status"),
        "POST workspaces/*/git/updateFromGit",
        *("GET connections/*", "GET workspaces/*/items/*/connections"),
        "POST workspaces/*/semanticModels/*/bindConnection",
        *("GET workspaces/*/items/*/shortcuts", "POST workspaces/*/items/*/shortcuts"),
        "POST workspaces/*/items/*/shortcuts/bulkCreate",
        *(f"DELETE workspaces/*/items/*/shortcuts/Files/{name}" for name in ("link", "new", "gone")),
        *("POST workspaces/*/assignToDomain", "POST workspaces/*/unassignFromDomain"),
        *("GET workspaces/*/spark/settings", "PATCH workspaces/*/spark/settings"),
        *("POST workspaces/*/unapplyTags", "POST workspaces/*/applyTags"),
        *("POST workspaces/*/items/*/unapplyTags", "POST workspaces/*/items/*/applyTags"),
        *("POST workspaces/*/items/*/jobs/RunNotebook/instances", "GET workspaces/*/items/*/jobs/instances"),
        *("GET workspaces/*/items/*/jobs/instances/*", "POST workspaces/*/items/*/jobs/instances/*/cancel"),
        *("GET workspaces/*/notebooks/*/jobs/execute/instances/*", "GET workspaces/*/digitalTwinBuilderFlows/*"),
        *("GET workspaces/*/environments/*", "POST workspaces/*/environments/*/staging/publish"),
        *("GET workspaces/*/variableLibraries/*", "PATCH workspaces/*/variableLibraries/*"),
        *("GET operations/*", "GET operations/*/result"),
        "GET workspaces/*/items/*/jobs/RunNotebook/schedules",
        *(f"{method} workspaces/*/items/*/jobs/Pipeline/schedules" for method in ("GET", "POST")),
        *(f"{method} workspaces/*/items/*/jobs/Pipeline/schedules/*" for method in ("PATCH", "DELETE")),
    }
    assert not found - known, f"check that a kind makes these calls, and add them to the list: {sorted(found - known)}"
    assert not known - found, f"no scenario makes these calls any more: {sorted(known - found)}"
