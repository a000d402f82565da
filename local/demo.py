"""`make demo`: run deployments that succeed and some that are rolled back. Exits 0 only if all ended as expected."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from local import azurite
from local.client import fetch
from local.paths import HOME, ROOT
from local.stack import Stack, StackError, from_environment

EXAMPLES = ROOT / "examples"
_REPOSITORY_ITEMS = 12
"""Items of examples/repository; the simulator's state does not list SQL endpoints as items."""


def main() -> int:
    began = time.monotonic()
    stack = from_environment(os.environ.get("STACK") or f"demo-{secrets.token_hex(3)}")
    print_heading(f"starting Azurite, the Fabric simulator (profile {stack.profile}) and the functions host")
    print("the first start installs Azurite from npm, which takes a minute", flush=True)
    try:
        with contextlib.ExitStack() as at_end:
            at_end.callback(stack.down)
            azurite.ensure_installed(HOME)
            stack.up()
            verdicts = [
                deploy(stack, "medallion.yaml", 0, "one workspace, three lakehouses in parallel, three principals"),
                deploy(stack, "failing.yaml", 1, "the same, but Fabric refuses the last step: all is rolled back"),
                deploy(
                    stack, "repository/sales.yaml", 0, "a repository in Git's format, in the order of its references"
                ),
                change_repository(stack),
                proof(stack),
            ]
    except (StackError, azurite.AzuriteError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    took = f"{time.monotonic() - began:.0f} s"
    passed = all(verdicts)
    print_heading(
        f"all deployments ended as expected, after {took}" if passed else f"FAILED: not as expected (after {took})"
    )
    return 0 if passed else 1


def print_heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


def deploy(stack: Stack, name: str, expected: int, what: str) -> bool:
    """Submit an example with the command line and follow it. Return True if it exits with the expected code."""
    print_heading(f"submit examples/{name}: {what}")
    return submit(stack, EXAMPLES / name, expected)


def change_repository(stack: Stack) -> bool:
    """Deploy the repository again with one line changed and a step that Fabric refuses. Return True if it is rolled
    back and every definition is as before."""
    print_heading("one line of a notebook changed, and a step that Fabric refuses: the notebook is restored")
    folder = stack.folder / "repository"
    shutil.copytree(EXAMPLES / "repository" / "workspace", folder / "workspace", dirs_exist_ok=True)
    notebook = folder / "workspace" / "Transform" / "Join.Notebook" / "notebook-content.py"
    notebook.write_text(notebook.read_text().replace('"sales"', '"sales_by_customer"'))
    spec = {"workspaceId": "${{ steps.workspace.outputs.id }}", "type": "CrystalBall", "displayName": "forecast"}
    refused = {"id": "forecast", "kind": "item", "needs": ["content"], "with": spec}
    manifest: dict[str, Any] = yaml.safe_load((EXAMPLES / "repository" / "sales.yaml").read_text())
    file = folder / "changed.json"
    file.write_text(json.dumps({**manifest, "steps": [*manifest["steps"], refused]}))
    before = _definitions(stack)
    return submit(stack, file, 1) and _definitions(stack) == before


def _definitions(stack: Stack) -> dict[str, Any]:
    """Return the definitions of all items in Fabric, without the part that Fabric writes itself."""
    state: dict[str, Any] = fetch(f"{stack.fabric_url}/_sim/state")
    found: dict[str, Any] = {}
    for workspace in state["workspaces"]:
        for item in workspace["items"]:
            definition: dict[str, Any] = item.get("definition") or {}
            parts: list[dict[str, str]] = definition.get("parts", [])
            found[item["id"]] = {part["path"]: part["payload"] for part in parts if part["path"] != ".platform"}
    return found


def submit(stack: Stack, file: Path, expected: int) -> bool:
    """Submit a manifest and follow it. Return True if the command line exits with the expected code."""
    command = [sys.executable, "-m", "shared.cli", "submit", str(file), "--wait", "--timeout", "2m"]
    environment = {**os.environ, "AzureWebJobsStorage": stack.connection_string}
    code = subprocess.run([*command, "--id", file.stem], cwd=ROOT, env=environment, check=False)
    print(f"exit code {code.returncode}, expected {expected}", flush=True)
    return code.returncode == expected


def proof(stack: Stack) -> bool:
    """Save what Fabric contains and both audits. Return True if Fabric contains the first deployment's items only."""
    folder = stack.folder / "proof"
    folder.mkdir(exist_ok=True)
    state: dict[str, Any] = fetch(f"{stack.fabric_url}/_sim/state")
    (folder / "fabric-state.json").write_text(json.dumps(state, indent=2))
    (folder / "fabric-calls.json").write_text(json.dumps(fetch(f"{stack.fabric_url}/_sim/calls"), indent=1))
    environment = {**os.environ, "AzureWebJobsStorage": stack.connection_string}
    for name in ("medallion", "failing"):
        command = [sys.executable, "-m", "shared.cli", "audit", name]
        text = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
        (folder / f"{name}-audit.txt").write_text(text)
    print_heading("the proof: what Fabric contains now, and what the journal recorded")
    for workspace in state["workspaces"]:
        items = ", ".join(sorted(f"{i['type']} {i['displayName']}" for i in workspace["items"]))
        roles = len(workspace["roleAssignments"])
        print(f"in Fabric: workspace {workspace['displayName']} with {items}, and {roles} roles")
    print(f"rolled back, so deleted again: {', '.join(d['displayName'] for d in state['deleted'])}, and the roles")
    place = folder.relative_to(ROOT)
    print(f"Fabric's contents, and every call it received:       {place}/fabric-state.json, fabric-calls.json")
    print(f"every change of state, with requester and reason:   {place}/medallion-audit.txt, failing-audit.txt")
    found = {w["displayName"]: sorted(i["displayName"] for i in w["items"]) for w in state["workspaces"]}
    repository = found.pop("contoso-sales-repository", [])
    return found == {"contoso-sales-dev": ["bronze", "gold", "silver"]} and len(repository) == _REPOSITORY_ITEMS


if __name__ == "__main__":
    sys.exit(main())
