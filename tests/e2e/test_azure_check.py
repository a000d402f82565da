"""`make azure-check`, rehearsed: the same code against the real app on the embedded host, and a stand-in for Azure."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from local import ingestion
from local.azure_check import stand_in
from local.azure_check.outcome import Outcome, Verdict
from local.azure_check.rehearsal import api_of, environment_of, settings_with_telemetry
from local.azure_check.run import Wish, run
from local.azure_check.stand_in import AzureStandIn
from shared.adapters.fabric.credentials import SIMULATOR_IDENTITY
from tests.e2e.conftest import Running, finish, make_stack
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, AzureStandIn]]:
    """Start a stack with telemetry, and the stand-in for Azure beside it."""
    with ExitStack() as at_end:
        received, port = at_end.enter_context(ingestion.serving())
        folder: Path = tmp_path_factory.mktemp("telemetry")
        stack = make_stack(environment=settings_with_telemetry(port, folder))
        at_end.callback(finish, stack)
        running = Running(stack.up())
        yield running, at_end.enter_context(stand_in.serving(stack.function_key, received))


def check(rehearsed: tuple[Running, AzureStandIn], **wish: str) -> dict[str, Outcome]:
    """Run the check and return its outcomes by name."""
    running, azure = rehearsed
    shown: list[Outcome] = []
    wished = Wish("azure-check", deployment_seconds=PATIENCE_SECONDS, telemetry_seconds=PATIENCE_SECONDS, **wish)
    found = run(api_of(azure), environment_of(running.stack), wished, shown.append)
    assert shown == found
    assert running.stack.function_key not in "".join(each.line() for each in found)
    return {outcome.name: outcome for outcome in found}


def test_azure_check_holds_and_leaves_nothing_behind(rehearsed: tuple[Running, AzureStandIn]) -> None:
    """Every check holds; Fabric has no workspace afterwards, and received one create and one delete."""
    running, _ = rehearsed
    found = check(rehearsed)
    assert {name: each.text for name, each in found.items() if each.verdict is not Verdict.HELD} == {}
    assert list(found) == [
        *("app", "rights", "closed", "alerts", "key", "health", "deployment", "clean-up", "telemetry"),
    ]
    state = running.fabric("state")
    assert state["workspaces"] == []
    assert [each["displayName"].startswith("saga-check-") for each in state["deleted"]] == [True]


def test_azure_check_rolls_back_a_deployment_that_failed(rehearsed: tuple[Running, AzureStandIn]) -> None:
    """Fabric refuses the workspace after the plan has said that it can be created: the check fails with the reason, and
    says that nothing is left."""
    running, _ = rehearsed
    refusal = {"status": 400, "body": {"errorCode": "InvalidInput", "message": "The workspace name is reserved."}}
    running.fabric("faults", [{"match": {"method": "POST", "path": "/v1/workspaces"}, "action": refusal}])
    try:
        found = check(rehearsed)
    finally:
        running.fabric("faults", [])
    assert found["deployment"].verdict is Verdict.FAILED
    assert "is compensated" in found["deployment"].text
    assert "The workspace name is reserved." in found["deployment"].text
    assert found["clean-up"].verdict is Verdict.HELD
    assert running.fabric("state")["workspaces"] == []


@pytest.mark.parametrize("is_visible", [True, False])
def test_azure_check_touches_no_workspace_that_exists(
    rehearsed: tuple[Running, AzureStandIn], *, is_visible: bool
) -> None:
    """A name that is taken fails: before anything is sent if the app's identity sees the workspace, else when Fabric
    refuses the name. The workspace is still there."""
    running, _ = rehearsed
    roles = [{"id": SIMULATOR_IDENTITY, "type": "ServicePrincipal", "role": "Admin"}] if is_visible else []
    running.fabric("seed", {"workspaces": [{"displayName": "somebody's", "roleAssignments": roles}]})
    try:
        found = check(rehearsed, workspace="somebody's")
        assert found["deployment"].verdict is Verdict.FAILED
        assert ("exists already" if is_visible else "already exists") in found["deployment"].text
        if is_visible:
            assert found["clean-up"].text == "nothing was deployed"
            assert found["telemetry"].verdict is Verdict.SKIPPED
        assert [each["displayName"] for each in running.fabric("state")["workspaces"]] == ["somebody's"]
    finally:
        running.fabric("reset", {})
