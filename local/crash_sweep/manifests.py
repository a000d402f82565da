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
NAMES = ("medallion", "failing", "restoring", "settings", "companions", "repository")
"""Two of the examples, and four that this module defines. `restoring` updates existing resources and must restore all
of them. `settings` changes the settings of a workspace and of what is in it, and connects it to Git. `companions`
creates items to which Fabric adds others, and must leave neither; a job runs always. `repository` deploys a repository
to a workspace that contains two of its items."""
_TARGET = "sweep-target"
_UNKNOWN_TYPE = "CrystalBall"
_READER = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c04"
_CAPACITIES = ("0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c10", "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c11")
_DOMAIN, _TAG = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c12", "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c13"
_DATABASE, _SIGN_IN = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c14", "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c15"
_BRANCH = {
    "gitProviderType": "AzureDevOps",
    "organizationName": "contoso",
    "projectName": "sales",
    "repositoryName": _TARGET,
    "branchName": "main",
    "directoryName": "/",
}
_OWNER = [{"id": SIMULATOR_IDENTITY, "type": "ServicePrincipal", "role": "Owner"}]
TENANT: dict[str, Any] = {
    "capacities": [{"id": each} for each in _CAPACITIES],
    "domains": [{"id": _DOMAIN, "displayName": "sales"}],
    "tags": [{"id": _TAG, "displayName": "checked"}],
    "connections": [
        {
            "id": _DATABASE,
            "displayName": "database",
            "connectivityType": "ShareableCloud",
            "connectionDetails": {"type": "SQL", "path": "server;database"},
            "roleAssignments": _OWNER,
        },
        {
            "id": _SIGN_IN,
            "displayName": "git",
            "connectivityType": "ShareableCloud",
            "connectionDetails": {"type": "AzureDevOpsSourceControl"},
            "roleAssignments": _OWNER,
        },
    ],
}
"""The contents of the tenant beside workspaces."""
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
    `files` are those of its repository. `branch` has the commits of a branch, by path; with `is_connected` the
    workspace is connected to it, and has the first commit.
    """

    name: str
    content: Any
    end: DeploymentState
    present: dict[str, Any] | None = None
    files: StoredFiles = field(default_factory=StoredFiles)
    branch: tuple[dict[str, str | None], ...] = ()
    is_connected: bool = False

    @classmethod
    def load(cls, name: str) -> "Manifest":
        if name == "restoring":
            end, present = DeploymentState.COMPENSATED, _present()
            return cls(name, _restoring(), end, present, branch=_COMMITS, is_connected=True)
        if name == "settings":
            return cls(name, _settings(), DeploymentState.COMPENSATED, _present_with_settings(), branch=({},))
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
        """Return the commits to the branch of the deployment, in order."""
        details = {**_BRANCH, "repositoryName": deployment_id}
        return [{"gitProviderDetails": details, "files": files} for files in self.branch]

    @property
    def items(self) -> list[str]:
        """The names of the lakehouses and items that the deployment creates; a rollback deletes them again."""
        return sorted(name for kind in ("lakehouse", "item") for name in self._created(kind))

    def _created(self, kind: str) -> list[str]:
        """Return the names of what the steps of a kind create, those of a repository among its items."""
        known = {(row["type"], row["displayName"]) for row in (self.present or {}).get("items", [])}
        rows = [s["with"] for s in self.content["steps"] if s["kind"] == kind]
        rows += self._repository.get("items", []) if kind == "item" else []
        wanted = [(row.get("type", kind.title()), row.get("displayName", "")) for row in rows]
        return [name for item_type, name in wanted if item_type != _UNKNOWN_TYPE and (item_type, name) not in known]

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
        kinds = {"lakehouses": "lakehouse", "items": "item", "warehouses": "warehouse", "shortcuts": "shortcut"}
        made = Counter({word: len(self._created(kind)) for word, kind in kinds.items()})
        made["folders"] = len(self._created("folder")) + len(self._repository.get("folders", []))
        made["workspaces"] = 0 if self.present is not None else 1
        made["roleAssignments"] = len(self.roles)
        return +made  # without what is not created


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


def _present_with_settings() -> dict[str, Any]:
    """Return a workspace with a capacity, a lakehouse, and a semantic model that no connection is bound to."""
    model = {"type": "SemanticModel", "displayName": "model", "description": "", "definition": _model()}
    roles = [{"id": SIMULATOR_IDENTITY, "type": "ServicePrincipal", "role": "Admin"}]
    items = [model, {"type": "Lakehouse", "displayName": "lake", "description": ""}]
    return {"description": "Was there", "capacityId": _CAPACITIES[0], "items": items, "roleAssignments": roles}


def _settings() -> dict[str, Any]:
    """Return a manifest that changes what a workspace and its items are set to, and creates what only Fabric makes of
    itself: a folder, a warehouse, a shortcut, a connection to Git. Then it fails."""
    place = {"workspaceId": "${{ steps.workspace.outputs.id }}"}
    lake = {**place, "itemId": "${{ steps.lake.outputs.id }}"}
    model = {**place, "type": "SemanticModel", "displayName": "model", "definition": _model(), "ifExists": "adopt"}
    link = {**lake, "path": "Files", "name": "link", "target": {"oneLake": {**lake, "path": "Tables"}}}
    steps = [
        {"id": "workspace", "kind": "workspace", "with": {"displayName": _TARGET, "ifExists": "adopt"}},
        {"id": "capacity", "kind": "capacity_assignment", "with": {**place, "capacityId": _CAPACITIES[1]}},
        {"id": "domain", "kind": "domain_assignment", "with": {**place, "domainId": _DOMAIN}},
        {
            "id": "spark",
            "kind": "spark_settings",
            "with": {**place, "settings": {"job": {"sessionTimeoutInMinutes": 45}}},
        },
        {"id": "tags", "kind": "tags", "with": {**place, "tags": [_TAG]}},
        {"id": "raw", "kind": "folder", "with": {**place, "displayName": "Raw"}},
        {"id": "lake", "kind": "lakehouse", "with": {**place, "displayName": "lake"}},
        {"id": "link", "kind": "shortcut", "with": link},
        {"id": "house", "kind": "warehouse", "with": {**place, "displayName": "house"}},
        {"id": "model", "kind": "item", "with": model},
        {
            "id": "bound",
            "kind": "connection_binding",
            "with": {**place, "itemId": "${{ steps.model.outputs.id }}", "connectionId": _DATABASE},
        },
        {
            "id": "git",
            "kind": "git_connection",
            "needs": ["house", "bound", "link", "raw"],
            "with": {**place, **_BRANCH, "connectionId": _SIGN_IN, "initializationStrategy": "PreferWorkspace"},
        },
        _failing(["capacity", "domain", "spark", "tags", "git"]),
    ]
    return {"name": "settings", "target": _TARGET, "steps": steps}


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


def _spark(cores: int) -> dict[str, Any]:
    return {"parts": [_part("Setting/Sparkcompute.yml", f"driver_cores: {cores}\n")]}


def _model() -> dict[str, Any]:
    """Return a semantic model whose one source is that of the connection to a database."""
    parts = [
        _part("definition.pbism", '{"version": "4.2", "settings": {}}'),
        _part("definition/model.tmdl", "model Model"),
        _part("definition/expressions.tmdl", 'expression Source = Sql.Database("server", "database")'),
    ]
    return {"parts": parts}


def _part(path: str, text: str) -> dict[str, str]:
    return {"path": path, "payload": base64.b64encode(text.encode()).decode(), "payloadType": "InlineBase64"}


def _definition(word: str) -> dict[str, Any]:
    text = "".join(f"# {word} {line}\n" for line in range(_PAYLOAD_LINES))
    return {"parts": [_part("notebook-content.py", text)]}
