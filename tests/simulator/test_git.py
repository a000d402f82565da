"""Git integration in the simulator: real object ids, both sides' changes, conflicts, and one operation at a time."""

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.fabric_simulator.git_objects import Branch
from tests.simulator.plays import GITHUB, connect_git, definition, git_connection
from tests.simulator.tenant import Tenant, code_of

ONE = "11111111-0000-4000-8000-000000000001"


def files(name: str, logical_id: str, text: str) -> dict[str, str | None]:
    """Return the files of a notebook as git integration writes them."""
    platform = {
        "metadata": {"type": "Notebook", "displayName": name},
        "config": {"version": "2.0", "logicalId": logical_id},
    }
    root = f"fabric/code/{name}.Notebook"
    return {f"{root}/.platform": json.dumps(platform), f"{root}/notebook-content.py": text}


def push(t: Tenant, changed: dict[str, str | None]) -> dict[str, Any]:
    """Commit to the branch as another person would; return its head and files."""
    status, body = t.control("POST", "git", {"gitProviderDetails": GITHUB, "files": changed})
    assert status == 200, body
    return body


@pytest.fixture
def t() -> Tenant:
    """Return a tenant in which nothing takes time, with an empty branch."""
    tenant = Tenant()
    push(tenant, {"fabric/README.md": "sales"})
    return tenant


def synced(t: Tenant, text: str = "x = 1\n") -> tuple[str, str]:
    """Return a workspace whose only notebook came from the branch, and the path of its git calls."""
    push(t, files("one", ONE, text))
    workspace = t.workspace()
    root = connect_git(t, workspace, git_connection(t))
    begun = t.follow(t.call("POST", f"{root}/initializeConnection", {"initializationStrategy": "PreferRemote"}))
    assert begun["requiredAction"] == "UpdateFromGit"
    t.follow(t.call("POST", f"{root}/updateFromGit", {"remoteCommitHash": begun["remoteCommitHash"]}))
    return workspace, root


def changed(t: Tenant, root: str) -> list[tuple[str, str | None, str | None, str]]:
    """Return name, both sides' changes and the conflict of each changed item."""
    rows = t.follow(t.call("GET", f"{root}/status"))["changes"]
    return [
        (r["itemMetadata"]["displayName"], r.get("workspaceChange"), r.get("remoteChange"), r["conflictType"])
        for r in rows
    ]


def edit(t: Tenant, workspace: str, text: str) -> None:
    """Change the notebook's content in the workspace."""
    item = t.get(f"/v1/workspaces/{workspace}/items")["value"][0]["id"]
    body = {"definition": definition(notebook__content_py=text)}
    reply = t.call("POST", f"/v1/workspaces/{workspace}/items/{item}/updateDefinition", body)
    assert reply.status == 202, reply
    t.follow(reply)


def content(t: Tenant) -> str:
    """Return the notebook's content in the branch."""
    return push(t, {})["files"]["fabric/code/one.Notebook/notebook-content.py"]


def test_git_ids_are_those_of_git(tmp_path: Path) -> None:
    """A commit has the id that git gives to the same files, parent, author, time and message."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    branch = Branch()
    at = 1_700_000_000
    states = [{"a/b.txt": b"one", "a.txt": b"two"}, {"a/b.txt": b"one", "c/d/e.txt": b"\x00"}]
    who = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", "Fabric"), ("EMAIL", "fabric@simulated.example"), ("DATE", f"{at} +0000"))
    }

    def git(*words: str) -> str:
        run = subprocess.run(
            ["git", *words],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **who},
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout.strip()

    git("init", "-q", ".")
    for state in states:
        made = branch.commit(state, "message", at)
        git("rm", "-rqf", "--ignore-unmatch", ".")
        for path, data in state.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(data)
        git("add", "-A")
        git("commit", "-q", "--cleanup=verbatim", "-m", "message")
        assert git("rev-parse", "HEAD^{tree}") == git("cat-file", "-p", "HEAD").split()[1]
        # `git commit -m` ends the message with a newline, and ours does not.
        tree, parent = git("rev-parse", "HEAD^{tree}"), [] if made.parent == "" else ["-p", made.parent]
        raw = f"tree {tree}\n" + "".join(f"parent {p}\n" for p in parent[1:])
        raw += (
            "".join(f"{w} Fabric <fabric@simulated.example> {at} +0000\n" for w in ("author", "committer"))
            + "\nmessage"
        )
        (tmp_path / "raw").write_text(raw)
        assert git("hash-object", "-t", "commit", "-w", "raw") == made.id
        (tmp_path / "raw").unlink()


def test_git_brings_the_branch_into_the_workspace(t: Tenant) -> None:
    """The items of the branch's directory are created in their folders; afterwards nothing has changed."""
    workspace, root = synced(t)
    row = t.get(f"/v1/workspaces/{workspace}/items")["value"][0]
    folders = {f["id"]: f["displayName"] for f in t.get(f"/v1/workspaces/{workspace}/folders")["value"]}
    assert (row["type"], row["displayName"], folders[row["folderId"]]) == ("Notebook", "one", "code")
    assert changed(t, root) == []


def test_git_shows_changes_of_both_sides_and_conflicts(t: Tenant) -> None:
    """An item may change here, there, or on both sides; the same for new and deleted items."""
    workspace, root = synced(t)
    edit(t, workspace, "x = 2\n")
    assert changed(t, root) == [("one", "Modified", None, "None")]
    push(t, files("one", ONE, "x = 3\n"))
    t.item(workspace, "DataPipeline", "new")
    assert sorted(changed(t, root)) == [("new", "Added", None, "None"), ("one", "Modified", "Modified", "Conflict")]


def test_git_commit_takes_all_or_the_named_items(t: Tenant) -> None:
    """A selective commit leaves the other change; a comment is kept; nothing to commit is refused."""
    workspace, root = synced(t)
    edit(t, workspace, "x = 2\n")
    other = t.item(workspace, "DataPipeline", "new")
    head = t.get(f"{root}/connection")["gitSyncDetails"]["head"]
    body = {"mode": "Selective", "items": [{"objectId": other}], "workspaceHead": head, "comment": "the pipeline"}
    t.follow(t.call("POST", f"{root}/commitToGit", body))
    assert (push(t, {})["message"], content(t)) == ("the pipeline", "x = 1\n")
    assert changed(t, root) == [("one", "Modified", None, "None")]
    assert (
        code_of(t.call("POST", f"{root}/commitToGit", {"mode": "All", "workspaceHead": head}))
        == "WorkspaceHeadMismatch"
    )
    t.follow(t.call("POST", f"{root}/commitToGit", {"mode": "All"}))
    assert "x = 2" in content(t)
    assert code_of(t.call("POST", f"{root}/commitToGit", {"mode": "All"})) == "NoChangesToCommit"


@pytest.mark.parametrize(("policy", "kept"), [("PreferRemote", "x = 3"), ("PreferWorkspace", "x = 2")])
def test_git_conflict_is_resolved_as_asked(t: Tenant, policy: str, kept: str) -> None:
    """A commit is refused while the branch is ahead, an update until a policy decides the conflict."""
    workspace, root = synced(t)
    edit(t, workspace, "x = 2\n")
    head = push(t, files("one", ONE, "x = 3\n"))["head"]
    assert code_of(t.call("POST", f"{root}/commitToGit", {"mode": "All"})) == "WorkspaceHeadMismatch"
    for wrong, code in (({}, "InvalidInput"), ({"remoteCommitHash": head}, "GitConflictsNotResolved")):
        assert code_of(t.call("POST", f"{root}/updateFromGit", wrong)) == code
    resolution = {"conflictResolutionType": "Workspace", "conflictResolutionPolicy": policy}
    t.follow(t.call("POST", f"{root}/updateFromGit", {"remoteCommitHash": head, "conflictResolution": resolution}))
    item = t.get(f"/v1/workspaces/{workspace}/items")["value"][0]["id"]
    state = json.dumps(t.model.store.workspaces[workspace].items[item].definition)
    assert base64.b64encode(f"{kept}\n".encode()).decode() in state


def test_git_deletes_what_the_branch_no_longer_has(t: Tenant) -> None:
    """An item whose folder was deleted in the branch is deleted in the workspace by the next update."""
    workspace, root = synced(t)
    head = push(t, dict.fromkeys(files("one", ONE, "")))["head"]
    assert changed(t, root) == [("one", None, "Deleted", "None")]
    t.follow(t.call("POST", f"{root}/updateFromGit", {"remoteCommitHash": head}))
    assert t.get(f"/v1/workspaces/{workspace}/items")["value"] == []


def test_git_connection_is_checked(t: Tenant) -> None:
    """A missing branch or folder, missing credentials, a second connection and calls without one are refused."""
    workspace = t.workspace()
    root = f"/v1/workspaces/{workspace}/git"
    credentials = {"source": "ConfiguredConnection", "connectionId": git_connection(t)}
    for details, given, code in (
        ({**GITHUB, "branchName": "none"}, credentials, "GitProviderResourceNotFound"),
        ({**GITHUB, "directoryName": "Fabric"}, credentials, "GitProviderResourceNotFound"),
        ({**GITHUB, "ownerName": ""}, credentials, "InvalidInput"),
        (GITHUB, {"source": "Automatic"}, "PrincipalTypeNotSupported"),
        (GITHUB, {**credentials, "connectionId": ONE}, "ConnectionNotFound"),
    ):
        reply = t.call("POST", f"{root}/connect", {"gitProviderDetails": details, "myGitCredentials": given})
        assert code_of(reply) == code
        assert reply.headers["x-sim-synthetic"] == "true"
    for method, word in (
        ("GET", "status"),
        ("POST", "commitToGit"),
        ("POST", "disconnect"),
        ("GET", "myGitCredentials"),
    ):
        assert code_of(t.call(method, f"{root}/{word}", {})) == "WorkspaceNotConnectedToGit"
    connect_git(t, workspace, credentials["connectionId"])
    again = t.call("POST", f"{root}/connect", {"gitProviderDetails": GITHUB, "myGitCredentials": credentials})
    assert code_of(again) == "WorkspaceAlreadyConnectedToGit"


def test_git_needs_a_strategy_if_both_sides_have_content(t: Tenant) -> None:
    """Without a strategy the connection is not initialised; an item of the same name is not overwritten unasked."""
    push(t, files("one", ONE, "x"))
    workspace = t.workspace()
    t.item(workspace, "Notebook", "one")
    root = connect_git(t, workspace, git_connection(t))
    assert code_of(t.call("POST", f"{root}/initializeConnection", {})) == "MissingInitializationPolicy"
    begun = t.follow(t.call("POST", f"{root}/initializeConnection", {"initializationStrategy": "PreferRemote"}))
    body: dict[str, Any] = {"remoteCommitHash": begun["remoteCommitHash"]}
    assert code_of(t.call("POST", f"{root}/updateFromGit", body)) == "PotentialDuplicateDisplayNameAndType"
    t.follow(t.call("POST", f"{root}/updateFromGit", {**body, "options": {"allowOverrideItems": True}}))
    assert len(t.get(f"/v1/workspaces/{workspace}/items")["value"]) == 1


def test_git_runs_one_operation_at_a_time(t: Tenant) -> None:
    """While an update runs, another one is refused; a failed one changes nothing."""
    workspace, root = synced(t)
    edit(t, workspace, "x = 2\n")
    t.fault({"operation": "fail"}, path=".*/commitToGit")
    t.call("POST", f"{root}/commitToGit", {"mode": "All"})
    assert content(t) == "x = 1\n"
    t.fault({"operation": "never"}, path=".*/commitToGit")
    t.call("POST", f"{root}/commitToGit", {"mode": "All"})
    t.model.faults.replace([])
    assert code_of(t.call("POST", f"{root}/commitToGit", {"mode": "All"})) == "WorkspacePreviousOperationInProgress"
