"""Git of a workspace outside a deployment: what its status says, and what a commit sends."""

from typing import Any

import pytest

from local.fabric_simulator import control
from local.fabric_simulator.git_sync import GitLink
from shared.domain.errors import FabricAmbiguousError, FabricConflictError, FabricRefusedError, InvalidInputError
from shared.saga.git_workspace import GitWorkspace
from shared.scripting.git import FabricGit
from tests.simulation.fault_table import BRANCH, SIGN_IN, put_connections
from tests.simulation.git_branches import CHANGED, NEXT, OLD, files, push
from tests.simulation.laws import encoded
from tests.unit.steps.tenant import Tenant


def connected(*, is_behind: bool = False) -> tuple[Tenant, GitWorkspace]:
    """Return a tenant with a workspace that is connected with a branch, and Git of that workspace."""
    tenant = Tenant()
    place = tenant.workspace()
    push(tenant.model, BRANCH, OLD, place)
    if is_behind:
        push(tenant.model, BRANCH, NEXT)
    return tenant, GitWorkspace(tenant.fabric, place, clock=tenant.clock, sleep=tenant.clock.advance)


def edited(tenant: Tenant, git: GitWorkspace, *names: str) -> None:
    """Describe these items in another way, which Git shows as a change."""
    for name in names:
        item = tenant.item(git.workspace_id, name)
        tenant.fabric.send(
            "PATCH", f"/workspaces/{git.workspace_id}/items/{item.id}", {"description": f"{name}, edited"}
        )


def in_branch(tenant: Tenant) -> dict[str, str]:
    """Return the files of the branch's head."""
    given = {"gitProviderDetails": BRANCH, "files": {}}
    return control.handle(tenant.model, "POST", "/_sim/git", {}, encoded(given))[1]["files"]


def faults(tenant: Tenant, action: dict[str, Any]) -> None:
    """Inject a fault into the first commit."""
    rule = {"match": {"method": "POST", "path": ".*commitToGit"}, "when": {"nth": 1}, "action": action}
    assert control.handle(tenant.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200


def commits(tenant: Tenant) -> int:
    """Return how many commits were sent."""
    return sum(call["path"].endswith("commitToGit") for call in tenant.model.calls)


def test_status_names_the_changes_of_both_sides() -> None:
    tenant, git = connected(is_behind=True)
    edited(tenant, git, "changed")
    shown = git.status()
    rows = {change.key: (change.in_workspace, change.in_branch, change.is_conflict) for change in shown.changes}
    assert rows["changed.Notebook"] == ("Modified", "Modified", True)
    assert rows["gone.Notebook"] == ("", "Deleted", False)
    assert rows["new.Notebook"] == ("", "Added", False)
    assert shown.workspace_head != shown.branch_head


def test_commit_takes_all_changes_and_returns_the_new_head() -> None:
    tenant, git = connected()
    edited(tenant, git, "changed", "renamed")
    made = git.commit("Describe")
    assert made == git.status().branch_head == git.status().workspace_head
    assert git.status().changes == ()
    texts = "".join(in_branch(tenant).values())
    assert "changed, edited" in texts
    assert "renamed, edited" in texts


def test_commit_of_one_item_leaves_the_others() -> None:
    tenant, git = connected()
    edited(tenant, git, "changed", "renamed")
    git.commit("One", ["Changed.notebook"])
    assert [change.key for change in git.status().changes] == ["renamed.Notebook"]
    with pytest.raises(InvalidInputError, match="has not changed in the workspace; changed: renamed"):
        git.commit("Again", ["changed.Notebook"])


def test_commit_of_an_item_that_was_created_again_takes_both_changes() -> None:
    """Git shows the deletion of the old item and the new one under one name."""
    tenant, git = connected()
    old = tenant.item(git.workspace_id, "changed")
    path = f"/workspaces/{git.workspace_id}/items"
    tenant.fabric.send("DELETE", f"{path}/{old.id}")
    tenant.fabric.send("POST", path, {"type": "Notebook", "displayName": "changed"})
    assert [change.key for change in git.status().changes] == ["changed.Notebook"] * 2
    assert git.commit("Again", items=["changed.Notebook"])
    assert git.status().changes == ()


def test_commit_of_nothing_sends_nothing() -> None:
    tenant, git = connected()
    assert git.commit("Nothing") == ""
    assert commits(tenant) == 0


def test_commit_of_a_workspace_that_is_behind_is_refused() -> None:
    """The branch has changes, so the workspace has to be updated first."""
    tenant, git = connected(is_behind=True)
    edited(tenant, git, "renamed")
    with pytest.raises(FabricConflictError, match="update the workspace from Git first"):
        git.commit("Too early")
    assert commits(tenant) == 0


def test_commit_after_the_head_has_moved_is_refused_by_fabric() -> None:
    """A person has confirmed what they saw, and no other state is committed."""
    tenant, git = connected()
    edited(tenant, git, "changed")
    seen = git.status()
    git.commit("Somebody else's")
    edited(tenant, git, "renamed")
    with pytest.raises(FabricRefusedError, match="WorkspaceHeadMismatch"):
        git.commit("Mine", status=seen)


def test_commit_whose_response_was_lost_is_found_and_sent_once() -> None:
    tenant, git = connected()
    edited(tenant, git, "changed")
    faults(tenant, {"reset": "after"})
    assert git.commit("Lost") == git.status().branch_head
    assert (commits(tenant), git.status().changes) == (1, ())


def test_commit_that_did_not_arrive_is_not_known_to_be_made() -> None:
    """It is not sent a second time: a commit is irreversible."""
    tenant, git = connected()
    edited(tenant, git, "changed")
    faults(tenant, {"reset": "before"})
    with pytest.raises(FabricAmbiguousError):
        git.commit("Lost")
    assert commits(tenant) == 1
    assert [change.key for change in git.status().changes] == ["changed.Notebook"]


def test_commit_whose_operation_fails_is_refused() -> None:
    tenant, git = connected()
    edited(tenant, git, "changed")
    faults(tenant, {"operation": "fail"})
    with pytest.raises(FabricRefusedError, match="commitToGit"):
        git.commit("Fails")
    assert [change.key for change in git.status().changes] == ["changed.Notebook"]


def test_workspace_that_is_not_connected_is_refused() -> None:
    tenant = Tenant()
    git = GitWorkspace(tenant.fabric, tenant.workspace(), clock=tenant.clock, sleep=tenant.clock.advance)
    with pytest.raises(FabricRefusedError, match="WorkspaceNotConnectedToGit"):
        git.status()


FIELDS = {**BRANCH, "connectionId": SIGN_IN}


def unconnected(*items: str) -> tuple[Tenant, GitWorkspace]:
    """Return a tenant with a branch and a workspace that is not connected, and Git of that workspace."""
    tenant = Tenant()
    rows = [{"type": "Notebook", "displayName": name} for name in items]
    place = tenant.workspace(items=rows)
    put_connections(tenant.model, is_bound=False)
    push(tenant.model, BRANCH, OLD)
    return tenant, GitWorkspace(tenant.fabric, place, clock=tenant.clock, sleep=tenant.clock.advance)


def link(tenant: Tenant, git: GitWorkspace) -> Any:
    """Return the connection of the workspace as the simulator stores it."""
    return tenant.stored(git.workspace_id).part(GitLink).link


def posts(tenant: Tenant) -> list[str]:
    """Return the last word of each call about Git that took effect."""
    calls = [call for call in tenant.model.calls if call["method"] == "POST" and call["effect"]]
    return [call["path"].rsplit("/", 1)[-1] for call in calls if "/git/" in call["path"]]


def test_connect_and_disconnect_are_done_once() -> None:
    """Repeated, they change nothing."""
    tenant, git = unconnected()
    assert (git.connect(FIELDS), git.connect(FIELDS)) == (True, False)
    assert link(tenant, git).is_initialized
    assert git.status().branch_head
    assert (git.disconnect(), git.disconnect()) == (True, False)
    assert link(tenant, git) is None
    assert posts(tenant) == ["connect", "initializeConnection", "disconnect"]


def test_connect_of_another_branch_is_refused() -> None:
    """Nobody is disconnected."""
    tenant, git = unconnected()
    git.connect(FIELDS)
    with pytest.raises(FabricConflictError, match="connected with another branchName: disconnect it first"):
        git.connect({**FIELDS, "branchName": "other"})
    assert link(tenant, git).details["branchName"] == "main"


def test_connect_that_cannot_be_initialised_is_disconnected() -> None:
    """Both sides have items, and the strategy does not say which count."""
    tenant, git = unconnected("own")
    with pytest.raises(FabricRefusedError, match="MissingInitializationPolicy"):
        git.connect(FIELDS)
    assert (posts(tenant), link(tenant, git)) == (["connect", "disconnect"], None)
    assert git.connect({**FIELDS, "initializationStrategy": "PreferRemote"})


@pytest.mark.parametrize("call", ["connect", "initializeConnection", "disconnect"])
def test_call_whose_response_was_lost_is_found_and_sent_once(call: str) -> None:
    tenant, git = unconnected()
    rule = {"match": {"method": "POST", "path": f".*/git/{call}"}, "when": {"nth": 1}, "action": {"reset": "after"}}
    assert control.handle(tenant.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    assert git.connect(FIELDS)
    assert git.disconnect()
    assert posts(tenant) == ["connect", "initializeConnection", "disconnect"]


def test_connect_that_somebody_else_was_before_is_refused() -> None:
    """The response was lost, and the workspace is connected with another branch: nobody is disconnected."""
    tenant, git = unconnected()
    rule = {"match": {"method": "POST", "path": ".*/git/connect"}, "when": {"nth": 1}, "action": {"reset": "before"}}
    assert control.handle(tenant.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    other = {**BRANCH, "branchName": "other"}

    def sleep(seconds: float) -> None:
        tenant.clock.advance(seconds)
        if link(tenant, git) is None:
            push(tenant.model, other, OLD, git.workspace_id)

    slow = GitWorkspace(tenant.fabric, git.workspace_id, clock=tenant.clock, sleep=sleep)
    with pytest.raises(FabricConflictError, match="connected with another branchName"):
        slow.connect(FIELDS)
    assert link(tenant, git).details["branchName"] == "other"


def test_connect_that_did_not_arrive_is_not_known_to_be_made() -> None:
    tenant, git = unconnected()
    rule = {"match": {"method": "POST", "path": ".*/git/connect"}, "action": {"reset": "before"}}
    assert control.handle(tenant.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    with pytest.raises(FabricAmbiguousError):
        git.connect(FIELDS)
    assert link(tenant, git) is None


def test_connect_checks_its_fields_before_the_call() -> None:
    tenant, git = unconnected()
    with pytest.raises(InvalidInputError) as caught:
        git.connect({"gitProviderType": "GitHub", "branch": "main"})
    text = str(caught.value)
    assert "connection.ownerName: is required with GitHub" in text
    assert "connection.branch" in text
    assert posts(tenant) == []


def test_bad_input_is_a_problem() -> None:
    tenant, git = connected()
    with pytest.raises(InvalidInputError, match="workspace: must be the id"):
        GitWorkspace(tenant.fabric, "sales", clock=tenant.clock)
    with pytest.raises(InvalidInputError, match="comment: has 301 characters"):
        git.commit("x" * 301)


def test_scripts_have_the_same() -> None:
    """FabricGit with a client of the script's own."""
    tenant, git = connected()
    edited(tenant, git, "changed")
    scripted = FabricGit(git.workspace_id, fabric=tenant.fabric, sleep=tenant.clock.advance)
    assert [change.key for change in scripted.status().changes] == ["changed.Notebook"]
    assert scripted.commit("Script") == git.status().workspace_head
    assert CHANGED in "".join(in_branch(tenant).values())
    assert files("Notebook", "changed", CHANGED, "").keys() <= in_branch(tenant).keys()
    put_connections(tenant.model, is_bound=False)
    assert (scripted.disconnect(), scripted.connect({**FIELDS, "initializationStrategy": "PreferRemote"})) == (
        True,
        True,
    )
