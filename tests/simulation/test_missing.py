"""A resource that a step names and nobody has made: a plan reports it, and a deployment fails soon with what to do."""

import copy
from datetime import timedelta
from typing import Any

import pytest

from local.fabric_simulator import control
from local.fabric_simulator.connections import Connections
from shared.domain.manifest import compile_manifest
from shared.domain.records import StepRecord
from shared.domain.states import DeploymentState, StepState
from shared.saga.dry_run.changes import dry_run
from shared.saga.dry_run.result import Action, StepChange
from shared.steps import KINDS, STEPS
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.fault_table import BRANCH, CONNECTIONS, SIGN_IN, put_connections
from tests.simulation.world import World

GONE = "00000000-0000-0000-0000-0000000000ee"
LAKE = "00000000-0000-0000-0000-0000000000b2"
MODEL = {
    "id": "00000000-0000-0000-0000-0000000000b3",
    "type": "SemanticModel",
    "displayName": "model",
    "definition": {"parts": [{"path": "model.bim", "payload": "U3FsLkRhdGFiYXNlKCJzZXJ2ZXIiLCAiZGF0YWJhc2UiKQ=="}]},
}
SOON = timedelta(seconds=25)
"""Well below the 90 seconds for which other errors are retried."""
LINK = {"workspaceId": WORKSPACE, "itemId": LAKE, "path": "Files", "name": "link"}
INSIDE = {"oneLake": {"workspaceId": WORKSPACE, "itemId": LAKE, "path": "Tables/orders"}}
OUTSIDE = {"adlsGen2": {"location": "https://a.dfs.core.windows.net", "subpath": "/c", "connectionId": GONE}}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "connection of a branch": ("git_connection", {"workspaceId": WORKSPACE, **BRANCH, "connectionId": GONE}),
    "connection of a model": (
        "connection_binding",
        {"workspaceId": WORKSPACE, "itemId": MODEL["id"], "connectionId": GONE},
    ),
    "connection of a shortcut": ("shortcut", {**LINK, "target": OUTSIDE}),
    "item of a shortcut": (
        "shortcut",
        {**LINK, "target": {"oneLake": {"workspaceId": WORKSPACE, "itemId": GONE, "path": "Files"}}},
    ),
}


def manifest(kind: str, spec: dict[str, Any], *before: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest with one step of interest, `it`, in a workspace that exists."""
    it: dict[str, Any] = {"id": "it", "kind": kind, "with": copy.deepcopy(spec)}
    it |= {"needs": [step["id"] for step in before]}
    workspace = {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}}
    return {"name": "m", "steps": [workspace, *before, it]}


def tenant(*items: dict[str, Any]) -> World:
    """Return a tenant with a workspace that has a lakehouse and these items, and with connections for other things."""
    made = World()
    lake = {"id": LAKE, "type": "Lakehouse", "displayName": "lake"}
    row = {"displayName": "sales", "roleAssignments": [own_role()], "items": [lake, *copy.deepcopy(items)]}
    control.seed(made.model, {"workspaces": [row]})
    put_connections(made.model, is_bound=False)
    return made


def row_of(made: World, step_id: str = "it") -> StepRecord:
    """Return the row of a step, or of the first of those that it expands to."""
    rows = [row.record for row in made.journal.steps("d")]
    return next(row for row in rows if row.step_id.partition("/")[0] == step_id)


def planned(made: World, data: dict[str, Any]) -> StepChange:
    """Return what a plan says of the step of interest."""
    graph = compile_manifest(data, KINDS)
    found = dry_run(made.fabric, STEPS, graph, clock=made.clock, sleep=lambda _: None, parallel=1)
    return next(step for step in found.steps if step.id.partition("/")[0] == "it")


@pytest.mark.parametrize("case", CASES)
def test_plan_blocks_a_step_that_names_something_missing(case: str) -> None:
    change = planned(tenant(MODEL), manifest(*CASES[case]))
    assert change.action is Action.BLOCKED
    assert GONE in change.reason
    assert "What to do: " in change.reason
    assert "submit again" in change.reason


@pytest.mark.parametrize("case", CASES)
def test_deployment_that_names_something_missing_fails_soon_and_says_what_to_do(case: str) -> None:
    made = tenant(MODEL)
    made.submit(manifest(*CASES[case]))
    assert made.run() == [DeploymentState.COMPENSATED]
    row = row_of(made)
    assert row.started_at is not None
    assert row.finished_at is not None
    assert row.finished_at - row.started_at < SOON
    assert row.error is not None
    assert GONE in row.error.message
    assert "give the identity a role" in row.error.remedy


@pytest.mark.parametrize("case", ["connection of a branch", "connection of a model"])
def test_connection_that_a_directory_shows_late_is_used(case: str) -> None:
    """Somebody made it a moment before the deployment."""
    kind, spec = CASES[case]
    made = tenant(*([MODEL] if kind == "connection_binding" else []))
    known = made.model.store.part(Connections).by_id
    wanted = SIGN_IN if kind == "git_connection" else CONNECTIONS[1]
    late = known.pop(wanted)
    made.submit(manifest(kind, {**spec, "connectionId": wanted}))
    while not made.journal.steps("d") or row_of(made).attempt < 2:
        if not made.step():
            made.pass_time()
    known[wanted] = late
    assert made.run() == [DeploymentState.SUCCEEDED]


def test_item_of_this_deployment_that_fabric_does_not_show_yet_is_waited_for() -> None:
    """An earlier step has made it, so it appears by itself: the lists lag for a minute."""
    made = tenant()
    first = {"id": "lake", "kind": "lakehouse", "with": {"workspaceId": WORKSPACE, "displayName": "new"}}
    place = {"workspaceId": WORKSPACE, "itemId": "${{ steps.lake.outputs.id }}", "path": "Files"}
    made.submit(manifest("shortcut", {**LINK, "target": {"oneLake": place}}, first))
    while not made.journal.steps("d") or row_of(made, "lake").state is not StepState.SUCCEEDED:
        if not made.step():
            made.pass_time()
    workspace = next(iter(made.model.store.workspaces.values()))
    item = next(item for item in workspace.items.values() if item.name == "new")
    shown_at = made.clock.now() + timedelta(seconds=40)
    item.visible_at = shown_at.timestamp()
    assert made.run() == [DeploymentState.SUCCEEDED]
    finished_at = row_of(made).finished_at
    assert finished_at is not None
    assert finished_at >= shown_at


def test_path_that_an_item_does_not_have_is_refused_with_what_to_do() -> None:
    """Only OneLake knows the paths, so a plan cannot say it."""
    made = tenant()
    data = manifest("shortcut", {**LINK, "target": INSIDE})
    assert planned(made, data).action is Action.CREATE
    made.submit(data)
    assert made.run() == [DeploymentState.COMPENSATED]
    error = row_of(made).error
    assert error is not None
    assert "'Tables/orders'" in error.remedy
    assert "let this step need that job" in error.remedy


def test_plan_only_remarks_what_a_job_before_the_step_may_make() -> None:
    made = tenant()
    run = {"workspaceId": WORKSPACE, "itemId": LAKE, "jobType": "TableMaintenance"}
    change = planned(made, manifest(*CASES["connection of a shortcut"], {"id": "job", "kind": "job", "with": run}))
    assert change.action is Action.CREATE
    assert GONE in change.reason


def test_plan_asks_for_all_connections_with_one_list() -> None:
    """A hundred shortcuts must not cost a hundred calls."""
    made = tenant()
    target = {"adlsGen2": {**OUTSIDE["adlsGen2"], "connectionId": CONNECTIONS[0]}}
    links = [{"id": f"l{n}", "kind": "shortcut", "with": {**LINK, "name": f"l{n}", "target": target}} for n in range(5)]
    data = {"name": "m", "steps": [{"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}}, *links]}
    found = dry_run(
        made.fabric, STEPS, compile_manifest(data, KINDS), clock=made.clock, sleep=lambda _: None, parallel=1
    )
    assert [step.action for step in found.steps[1:]] == [Action.CREATE] * 5
    assert [call["path"] for call in made.model.calls if "connections" in call["path"]] == ["/v1/connections"]
