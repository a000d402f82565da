"""The kind `git_connection`: what it expands to, and a workspace that is connected already."""

from typing import Any

import pytest

from local.fabric_simulator import control
from local.fabric_simulator.git_sync import GitLink
from shared.domain.manifest import compile_manifest
from shared.domain.records import Intent, Resource
from shared.domain.states import DeploymentState, IntentAction
from shared.steps import KINDS
from shared.steps.git_connection import GitLinkKind
from shared.steps.kind import Snapshot
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.fault_table import BRANCH, SIGN_IN, put_connections
from tests.simulation.laws import encoded
from tests.simulation.world import World
from tests.unit.steps.tenant import PERSON, problems

WITH: dict[str, Any] = {"workspaceId": WORKSPACE, **BRANCH, "connectionId": SIGN_IN}


def manifest(**changes: Any) -> dict[str, Any]:
    """Return a manifest of a workspace and its connection with a branch."""
    steps = [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}},
        {"id": "git", "kind": "git_connection", "with": {**WITH, **changes}},
    ]
    return {"name": "m", "steps": steps}


def world() -> World:
    """Return a tenant with a workspace, a branch, another branch, and the connection that signs in to both."""
    made = World()
    control.seed(made.model, {"workspaces": [{"displayName": "sales", "roleAssignments": [own_role()]}]})
    put_connections(made.model, is_bound=False)
    other = {"gitProviderDetails": {**BRANCH, "branchName": "other"}}
    assert control.handle(made.model, "POST", "/_sim/git", {}, encoded(other))[0] == 200
    return made


def link(made: World) -> Any:
    """Return the connection of the workspace as the simulator stores it."""
    return next(iter(made.model.store.workspaces.values())).part(GitLink).link


def test_connection_is_two_steps_in_order() -> None:
    """A step that needs the connection waits for its initialisation."""
    more = {"id": "after", "kind": "folder", "needs": ["git"], "with": {"workspaceId": WORKSPACE, "displayName": "f"}}
    data = manifest()
    graph = compile_manifest({**data, "steps": [*data["steps"], more]}, KINDS)
    needs = {step.step_id: set(step.needs) for step in graph.steps}
    assert needs["git/initialise"] >= {"git/connect"}
    assert needs["after"] >= {"git/initialise"}


def test_workspace_that_is_connected_with_the_branch_stays_connected() -> None:
    """A connection that was there is used, and a later rollback leaves it."""
    made = world()
    made.submit(manifest())
    assert made.run() == [DeploymentState.SUCCEEDED]
    assert link(made).is_initialized
    ball = {"workspaceId": WORKSPACE, "type": "Crystal", "displayName": "ball"}
    data = manifest()
    failing = {"id": "ball", "kind": "item", "needs": ["git"], "with": ball}
    made.submit({**data, "name": "n", "steps": [*data["steps"], failing]}, "d2")
    assert made.run("d2") == [DeploymentState.COMPENSATED]
    assert link(made).is_initialized


@pytest.mark.parametrize("field", [name for name in BRANCH if name not in ("gitProviderType", "directoryName")])
def test_names_of_a_repository_are_compared_without_case_and_those_in_it_with_case(field: str) -> None:
    """GitHub and Azure DevOps find `Contoso/Sales` as `contoso/sales`; a branch `Main` is another one than `main`."""
    held = {**BRANCH, field: BRANCH[field].upper()}
    found = Snapshot(Resource("GitConnection", "w/git", "", "w"), {"details": held})
    assert GitLinkKind().changes(WITH, found) == (["branchName"] if field == "branchName" else [])


def test_workspace_with_another_branch_is_left_alone() -> None:
    """The step fails and says what differs; nobody is disconnected."""
    made = world()
    made.submit(manifest(branchName="other"))
    assert made.run() == [DeploymentState.SUCCEEDED]
    made.submit({**manifest(), "name": "n"}, "d2")
    assert made.run("d2") == [DeploymentState.COMPENSATED]
    errors = [s.record.error for s in made.journal.steps("d2") if s.record.error is not None]
    assert "is connected to Git with another branchName; disconnect it first" in errors[0].message
    assert link(made).details["branchName"] == "other"


@pytest.mark.parametrize("changes", [{"branchName": "none"}, {"directoryName": "none"}])
def test_branch_or_folder_that_does_not_exist_fails_at_once(changes: dict[str, Any]) -> None:
    """Fabric creates neither, so the call is not repeated, and the error says what a person has to do."""
    made = world()
    made.submit(manifest(**changes))
    assert made.run() == [DeploymentState.COMPENSATED]
    [error] = [s.record.error for s in made.journal.steps("d") if s.record.error is not None]
    assert error.error_code == "GitProviderResourceNotFound"
    assert "Fabric creates none of them" in (error.remedy or "")
    assert len([c for c in made.model.calls if c["path"].endswith("git/connect")]) == 1


@pytest.mark.parametrize(
    ("changes", "where", "what"),
    [
        ({"projectName": None}, "$.projectName", "is required with AzureDevOps"),
        ({"ownerName": "contoso"}, "$.ownerName", "is only for GitHub"),
        ({"customDomainName": "contoso.ghe.com"}, "$.customDomainName", "is only for GitHub"),
        ({"branchName": None}, "$.branchName", "is required"),
        ({"gitProviderType": "GitLab"}, "$.gitProviderType", "is not one of: AzureDevOps, GitHub"),
    ],
)
def test_bad_connection_is_a_problem(changes: dict[str, Any], where: str, what: str) -> None:
    found = problems(KINDS["git_connection"], {**WITH, "workspaceId": PERSON, **changes})
    assert what in found[where]


def test_connection_to_a_domain_of_github_enterprise() -> None:
    """The domain is sent. A connection that shows another domain is another one; Fabric may show none."""
    kind, domain = GitLinkKind(), {"customDomainName": "contoso.ghe.com"}
    spec = {
        "workspaceId": PERSON,
        "gitProviderType": "GitHub",
        "ownerName": "contoso",
        "repositoryName": "sales",
        "branchName": "main",
        **domain,
    }
    assert problems(KINDS["git_connection"], spec) == {}
    [call] = kind.apply(spec, Intent(IntentAction.CREATE, ""))
    details = (call.body or {})["gitProviderDetails"]
    assert details["customDomainName"] == "contoso.ghe.com"

    def changes(shown: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
        return kind.changes(wanted, Snapshot(Resource("GitConnection", "g", "main"), {"details": shown}))

    without = {name: value for name, value in spec.items() if name not in domain}
    plain = {name: value for name, value in details.items() if name not in domain}
    assert changes(details, spec) == changes(plain, spec) == changes(plain, without) == []
    other = {**details, "customDomainName": "other.ghe.com"}
    assert changes(details, without) == changes(other, spec) == ["customDomainName"]
