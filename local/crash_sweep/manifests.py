"""The manifests of the sweep, and what each deployment must leave in Fabric. Each kill uses a new deployment id."""

import base64
import json
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from local.crash_sweep.names import ids_in
from local.paths import ROOT
from shared.adapters.fabric.credentials import SIMULATOR_IDENTITY
from shared.cli.pack import packed
from shared.cli.stored import StoredFiles
from shared.domain.states import DeploymentState
from shared.domain.text import parse

EXAMPLES = ROOT / "examples"
NAMES = ("medallion", "failing", "restoring", "companions", "repository")
"""Two of the examples, and three that this module defines. `restoring` updates existing resources and must restore all
of them. `companions` creates items to which Fabric adds others, and must leave neither; a job runs always. `repository`
deploys a repository to a workspace that contains two of its items."""
_TARGET = "sweep-target"
_UNKNOWN_TYPE = "CrystalBall"
_READER = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c04"
_ITEMS = (
    *("sales.Lakehouse", "Load orders.Notebook", "Load customers.Notebook", "Join.Notebook", "Nightly.DataPipeline"),
    *("spark.Environment", "names.VariableLibrary", "Sales.SemanticModel", "Sales.Report"),
    *("clicks.Eventstream", "alarm.Reflex"),
)
"""The items of the example's repository that are deployed."""
_PAYLOAD_LINES = 600
"""Enough lines to make a definition too large for a row, so that spec and before-image are stored as blobs."""


@dataclass(frozen=True)
class Manifest:
    """A manifest, packed as the command line packs it.

    `end` is the state in which its deployment must end; `present` is the workspace that exists before it starts;
    `files` are those of its repository.
    """

    name: str
    content: Any
    end: DeploymentState
    present: dict[str, Any] | None = None
    files: StoredFiles = field(default_factory=StoredFiles)

    @classmethod
    def load(cls, name: str) -> "Manifest":
        if name == "restoring":
            return cls(name, _restoring(), DeploymentState.COMPENSATED, _present())
        if name == "companions":
            return cls(name, _companions(), DeploymentState.COMPENSATED)
        if name == "repository":
            files = StoredFiles()
            content = packed(_repository(), EXAMPLES / "repository", stored=files)
            return cls(name, content, DeploymentState.COMPENSATED, _present_in_repository(), files)
        end = DeploymentState.SUCCEEDED if name == "medallion" else DeploymentState.COMPENSATED
        return cls(name, packed(parse((EXAMPLES / f"{name}.yaml").read_text()), EXAMPLES), end)

    def submission(self, deployment_id: str) -> str:
        """Return the message to submit. Target and workspace have the deployment's id, so that kills share nothing."""
        text = json.dumps(self.content).replace(self.content["target"], deployment_id)
        return json.dumps({"deployment_id": deployment_id, "manifest": json.loads(text), "requested_by": "crash sweep"})

    def seed(self, deployment_id: str) -> list[dict[str, Any]]:
        """Return the workspaces that must exist before the deployment starts."""
        return [{**self.present, "displayName": deployment_id}] if self.present is not None else []

    def commits(self, deployment_id: str) -> list[dict[str, Any]]:
        """Return the commits to the branch of the deployment's workspace, which has the first; the update brings the
        others."""
        if self.present is None:
            return []
        names = {"organizationName": "contoso", "projectName": "sales", "repositoryName": deployment_id}
        details = {"gitProviderType": "AzureDevOps", **names, "branchName": "main", "directoryName": "/"}
        return [{"gitProviderDetails": details, "files": files} for files in _COMMITS]

    @property
    def items(self) -> list[str]:
        """The names of the items that the deployment creates; a rollback deletes them again."""
        present = {(row["type"], row["displayName"]) for row in (self.present or {}).get("items", [])}
        rows = [row for row in self._repository.get("items", []) if (row["type"], row["displayName"]) not in present]
        return sorted(
            [
                *(row["displayName"] for row in rows),
                *(
                    s["with"]["displayName"]
                    for s in self.content["steps"]
                    if s["kind"] == "lakehouse" or (s["kind"] == "item" and _is_created(s["with"]))
                ),
            ]
        )

    @property
    def _repository(self) -> dict[str, Any]:
        """The packed repository; empty if the manifest has none."""
        found = [s["with"] for s in self.content["steps"] if s["kind"] == "repository"]
        return found[0] if found else {}

    @property
    def roles(self) -> list[str]:
        """The ids of the principals to which the deployment assigns a role."""
        lists = [s["with"]["csv"] for s in self.content["steps"] if s["kind"] == "principals"]
        return sorted(principal for text in lists for principal in ids_in(text))

    @property
    def creations(self) -> Counter[str]:
        """The number of creating calls by the last word of their path; each call must take effect exactly once."""
        if self.present is not None:
            folders = self._repository.get("folders", [])
            return Counter({"items": len(self.items), **({"folders": len(folders)} if folders else {})})
        kinds = Counter(s["kind"] for s in self.content["steps"] if s["kind"] != "item" or _is_created(s["with"]))
        made = {"lakehouses": kinds["lakehouse"], "items": kinds["item"], "roleAssignments": len(self.roles)}
        return Counter({"workspaces": 1, **made})


def _in_git(name: str, number: int, text: str | None, *, folder: str = "") -> dict[str, str | None]:
    """Return the files of a notebook in a branch; without a text, their deletion."""
    config = {"version": "2.0", "logicalId": f"{number}1111111-0000-4000-8000-000000000001"}
    platform = json.dumps({"metadata": {"type": "Notebook", "displayName": name}, "config": config})
    root = f"{folder}{name}.Notebook"
    return {f"{root}/.platform": platform if text else None, f"{root}/notebook-content.py": text}


_COMMITS = (
    _in_git("tracked", 1, "x = 1") | _in_git("renamed", 2, "y = 1"),
    _in_git("tracked", 1, "x = 2")
    | _in_git("renamed", 2, None)
    | _in_git("other", 2, "y = 2", folder="Raw/")
    | _in_git("added", 3, "z = 1", folder="Raw/"),
)
"""The branch of the workspace that exists: its items, and what somebody changes in them afterwards."""


def new_id() -> str:
    """Return a deployment id that no other run has."""
    return f"sweep-{secrets.token_hex(4)}"


def _present() -> dict[str, Any]:
    old = {"type": "Notebook", "displayName": "present", "description": "Old", "definition": _definition("old")}
    compute: dict[str, Any] = {
        "type": "Environment",
        "displayName": "compute",
        "description": "",
        "definition": _spark(8),
    }
    compute["isPublished"] = True
    roles = [
        {"id": SIMULATOR_IDENTITY, "type": "ServicePrincipal", "role": "Admin"},
        {"id": _READER, "type": "Group", "role": "Viewer"},
    ]
    return {"description": "Was there", "items": [old, compute], "roleAssignments": roles}


def _restoring() -> dict[str, Any]:
    """Return a manifest that updates a notebook, an environment, a role and the items of a Git branch, creates a
    notebook and runs it, and then fails."""
    place = {"workspaceId": "${{ steps.workspace.outputs.id }}"}
    notebook = {**place, "type": "Notebook", "description": "New", "definition": _definition("new")}
    role = {**place, "principalId": _READER, "principalType": "Group", "role": "Contributor"}
    run = {**place, "itemId": "${{ steps.fresh.outputs.id }}", "jobType": "RunNotebook"}
    compute = {**place, "displayName": "compute", "sparkCompute": {"driver_cores": 4}, "ifExists": "update"}
    steps = [
        {"id": "workspace", "kind": "workspace", "with": {"displayName": _TARGET, "ifExists": "adopt"}},
        {"id": "present", "kind": "item", "with": {**notebook, "displayName": "present", "ifExists": "update"}},
        {"id": "fresh", "kind": "item", "with": {**notebook, "displayName": "fresh"}},
        {"id": "reader", "kind": "role_assignment", "with": {**role, "ifExists": "update"}},
        {"id": "test", "kind": "job", "with": run},
        {"id": "compute", "kind": "environment", "with": compute},
        {"id": "branch", "kind": "git_update", "with": place},
        _failing(["present", "test", "reader", "compute", "branch"]),
    ]
    return {"name": "restoring", "target": _TARGET, "steps": steps}


def _companions() -> dict[str, Any]:
    """Return a manifest that creates an eventhouse, a dataflow, an environment and a lakehouse, whose SQL endpoint is
    refreshed, in a new workspace, and then fails. A notebook runs after the failure and before the rollback.

    Fabric adds a database to the eventhouse and staging items to the dataflow. The staging items stay when the dataflow
    is deleted.
    """
    place = {"workspaceId": "${{ steps.workspace.outputs.id }}"}
    queries = _part("mashup.pq", "section Section1;"), _part("queryMetadata.json", "{}")
    telemetry = {**place, "type": "Eventhouse", "displayName": "telemetry"}
    prices = {**place, "type": "Dataflow", "displayName": "prices", "definition": {"parts": list(queries)}}
    compute = {**place, "type": "Environment", "displayName": "compute", "definition": _spark(4)}
    tables = {**place, "itemId": "${{ steps.tables_of.outputs.id }}"}
    code = {"parts": [_part("notebook-content.py", "x = 1")]}
    notebook = {**place, "type": "Notebook", "displayName": "tidy", "definition": code}
    run = {**place, "itemId": "${{ steps.tidy.outputs.id }}", "jobType": "RunNotebook", "when": "always"}
    steps = [
        {"id": "workspace", "kind": "workspace", "with": {"displayName": _TARGET}},
        {"id": "telemetry", "kind": "item", "with": telemetry},
        {"id": "prices", "kind": "item", "with": prices},
        {"id": "compute", "kind": "item", "with": compute},
        {"id": "tables_of", "kind": "lakehouse", "with": {**place, "displayName": "tables_of"}},
        {"id": "refresh", "kind": "sql_endpoint_refresh", "with": tables},
        {"id": "tidy", "kind": "item", "with": notebook},
        {"id": "cleanup", "kind": "job", "with": run},
        _failing(["telemetry", "prices", "compute", "tidy", "refresh"]),
    ]
    return {"name": "companions", "target": _TARGET, "steps": steps}


def _present_in_repository() -> dict[str, Any]:
    """Return a workspace with two items of the repository, which are updated, moved to folders, and restored."""
    old = {"type": "Notebook", "displayName": "Load orders", "description": "Old", "definition": _definition("old")}
    own = {"type": "Environment", "displayName": "spark", "description": "Own", "definition": _spark(8)}
    compute: dict[str, Any] = {**own, "isPublished": True}
    roles = [{"id": SIMULATOR_IDENTITY, "type": "ServicePrincipal", "role": "Admin"}]
    return {"description": "Was there", "items": [old, compute], "roleAssignments": roles}


def _repository() -> dict[str, Any]:
    """Return a manifest that deploys items of the example's repository, and then fails.

    A report refers to its model by path, an eventstream and an activator to each other, a pipeline to a notebook; an
    environment is published, and a value set is activated.
    """
    place = {"workspaceId": "${{ steps.workspace.outputs.id }}"}
    content = {**place, "path": "workspace", "environment": "PROD", "include": list(_ITEMS)}
    steps = [
        {"id": "workspace", "kind": "workspace", "with": {"displayName": _TARGET, "ifExists": "adopt"}},
        {"id": "content", "kind": "repository", "with": content},
        _failing(["content"]),
    ]
    return {"name": "repository", "target": _TARGET, "steps": steps}


def _failing(needs: list[str]) -> dict[str, Any]:
    place = {"workspaceId": "${{ steps.workspace.outputs.id }}"}
    spec = {**place, "type": _UNKNOWN_TYPE, "displayName": "forecast"}
    return {"id": "forecast", "kind": "item", "needs": needs, "with": spec}


def _is_created(spec: dict[str, Any]) -> bool:
    """Return True if a step of kind `item` creates its item: Fabric knows its type, and it was not there before."""
    return spec["type"] != _UNKNOWN_TYPE and spec.get("ifExists") != "update"


def _spark(cores: int) -> dict[str, Any]:
    return {"parts": [_part("Setting/Sparkcompute.yml", f"driver_cores: {cores}\n")]}


def _part(path: str, text: str) -> dict[str, str]:
    return {"path": path, "payload": base64.b64encode(text.encode()).decode(), "payloadType": "InlineBase64"}


def _definition(word: str) -> dict[str, Any]:
    text = "".join(f"# {word} {line}\n" for line in range(_PAYLOAD_LINES))
    return {"parts": [_part("notebook-content.py", text)]}
