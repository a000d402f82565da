"""Every call of every kind, struck once by every fault that passes: all ends as if nothing had been."""

import pytest

from tests.simulation.fault_table import FAULTS, SCENARIOS, Scenario, calls_of, strikes


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "is put back"])
def test_fault_at_any_call_changes_nothing(scenario: Scenario, fails: bool) -> None:
    """The state, what stands in Fabric, and how often each thing was created are those of an undisturbed run."""
    found = [(fault, call) for fault in FAULTS for call, is_good in strikes(scenario, fails, fault) if not is_good]
    assert found == []


def test_fault_table_strikes_every_call() -> None:
    """Looks, creates, operations, results, verifications, undoes: none is missing from the scenarios together."""
    calls = {(method, path) for s in SCENARIOS for method, path, _ in calls_of(s, True)}
    for method in ("GET", "POST", "PATCH", "DELETE"):
        assert any(m == method for m, _ in calls)
    for word in ("/getDefinition", "/updateDefinition", "/result", "/roleAssignments", "/lakehouses", "/items"):
        assert any(word in path for _, path in calls), word
