"""`plan` as CI runs it: against the simulator over HTTP, without storage; its output and exit codes."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.color import ColorSystem

from shared.cli import plan as planning
from shared.cli.render.output import LineOutput, LiveOutput
from shared.saga.dry_run.result import Action, DryRun, StepChange
from tests import command_line
from tests.simulator.test_server import Running

WS = "${{ steps.ws.outputs.id }}"
LAKE = {"workspaceId": WS, "displayName": "bronze", "description": "raw", "ifExists": "update"}
MANIFEST: dict[str, Any] = {
    "name": "sales",
    "steps": [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}},
        {"id": "bronze", "kind": "lakehouse", "with": LAKE},
    ],
}
IDENTITY = {"id": "00000000-0000-0000-0000-00000000c1c1", "type": "ServicePrincipal", "role": "Admin"}


@pytest.fixture(scope="module")
def fabric() -> Iterator[Running]:
    """Start a simulated Fabric as a separate process."""
    running = Running()
    yield running
    running.stop()


@pytest.fixture
def tenant(fabric: Running) -> Running:
    """Return the simulator, emptied."""
    fabric.call("POST", "/_sim/reset", {})
    return fabric


def plan(fabric: Running | None, manifest: Any, *options: str, **environment: str) -> command_line.Done:
    """Run one plan to its end."""
    address = f"http://127.0.0.1:{fabric.port}" if fabric else "http://127.0.0.1:1"
    operations = f"127.0.0.1:{fabric.operations_port}" if fabric else ""
    given = {
        "PATH": os.environ["PATH"],
        "FABRIC_API_BASE_URL": address,
        "FABRIC_OPERATION_HOSTS": operations,
        "FABRIC_CREDENTIAL": "simulator",
        **environment,
    }
    text = manifest if isinstance(manifest, str) else yaml.safe_dump(manifest)
    return command_line.run("plan", "-", *options, environment=given, text=text)


def seeded(fabric: Running, description: str) -> None:
    """Create the workspace and its lakehouse."""
    items = [{"type": "Lakehouse", "displayName": "bronze", "description": description}]
    row = {"displayName": "sales", "roleAssignments": [IDENTITY], "items": items}
    fabric.call("POST", "/_sim/seed", {"workspaces": [row]})


def test_plan_prints_a_line_for_each_step_and_the_sum(tenant: Running) -> None:
    """The layout is what users of Terraform expect, without colour in a pipe."""
    shown = plan(tenant, MANIFEST)
    assert shown.returncode == 0, shown.stderr
    assert "  + ws      workspace 'sales': create; absent" in shown.stdout
    assert "  + bronze  lakehouse 'bronze': create; known after apply: workspaceId" in shown.stdout
    assert "Plan: 2 to create, 0 to update, 0 unchanged, 0 to adopt, 0 blocked." in shown.stdout
    assert "\x1b" not in shown.stdout
    seeded(tenant, "else")
    shown = plan(tenant, MANIFEST)
    assert "  > ws      workspace 'sales': adopt; there: used as it is" in shown.stdout
    assert "  ~ bronze  lakehouse 'bronze': update (description); there, and differs" in shown.stdout
    nothing = plan(tenant, {**MANIFEST, "steps": MANIFEST["steps"][:1]}).stdout
    assert nothing.endswith("\nNo changes: 0 to create, 0 to update, 0 unchanged, 1 to adopt, 0 blocked.\n")


def test_drift_has_a_line_with_its_files_and_a_place_in_the_sum() -> None:
    """Its lines come with --diff, like those of an update, and it counts as a change."""
    reason = "changed in Fabric since it was deployed"
    row = StepChange("c/load", "repository_item", Action.DRIFT, "load", ("definition",), reason)
    row = replace(row, files=("notebook-content.py changed",), lines=("-x = 2", "+x = 1"), restorable="exact")
    found = DryRun("m", "T", (row,))
    line, *lines, total = planning.shown(found, is_with_lines=True)
    assert line == (
        "  ~ c/load  repository_item 'load': drift (definition: notebook-content.py changed), restorable: exact; "
        "changed in Fabric since it was deployed"
    )
    assert lines == ["      -x = 2", "      +x = 1"]
    assert total.endswith("0 to update, 1 drifted, 0 unchanged, 0 to adopt, 0 blocked.")
    assert DryRun.from_json(found.to_json()) == found
    assert found.changes == 1


@pytest.mark.parametrize(
    ("description", "if_exists", "plain", "detailed"),
    [(None, "update", 0, 2), ("else", "update", 0, 2), ("raw", "update", 0, 0), ("raw", "fail", 1, 1)],
)
def test_plan_exit_codes(tenant: Running, description: str | None, if_exists: str, plain: int, detailed: int) -> None:
    """On request 0 without changes and 2 with changes; always 1 if a step is blocked."""
    if description is not None:
        seeded(tenant, description)
    steps = [MANIFEST["steps"][0], {**MANIFEST["steps"][1], "with": {**LAKE, "ifExists": if_exists}}]
    manifest = {**MANIFEST, "steps": steps}
    assert plan(tenant, manifest).returncode == plain
    assert plan(tenant, manifest, "--detailed-exitcode").returncode == detailed
    mutating = [c for c in tenant.call("GET", "/_sim/calls")[1] if c["method"] != "GET"]
    assert mutating == []


def test_plan_as_json_is_one_object(tenant: Running) -> None:
    seeded(tenant, "else")
    [line] = plan(tenant, MANIFEST, "--json").stdout.splitlines()
    text = json.loads(line)
    assert (text["event"], text["changes"]) == ("plan", 1)
    assert [(s["id"], s["action"], s["fields"]) for s in text["steps"]] == [
        ("ws", "adopt", []),
        ("bronze", "update", ["description"]),
    ]


@pytest.mark.parametrize(("options", "code"), [((), 2), (("--detailed-exitcode",), 1)])
def test_plan_of_a_bad_manifest_or_setting_never_looks_like_changes(options: tuple[str, ...], code: int) -> None:
    """A bad request is 2, but 1 if 2 was requested to mean changes."""
    bad = plan(None, "name: x", *options)
    assert (bad.returncode, "$.steps" in bad.stdout) == (code, True)
    assert plan(None, MANIFEST, *options, FABRIC_CREDENTIAL="guess").returncode == code
    assert plan(None, MANIFEST, *options, "--url", "ftp://app.example").returncode == code


def test_plan_without_fabric_or_identity_has_the_usual_codes(tenant: Running) -> None:
    """5 if Fabric does not respond, 4 if nobody is signed in or Fabric does not know the identity."""
    assert plan(None, MANIFEST).returncode == 5
    done = plan(tenant, MANIFEST, FABRIC_CREDENTIAL="service_principal", AZURE_CLIENT_SECRET="hush-hush")
    assert (done.returncode, "AZURE_TENANT_ID" in done.stdout) == (4, True)
    assert "hush" not in done.stdout + done.stderr


def test_plan_of_a_folder_reads_below_the_root_and_names_the_excluded_files(tenant: Running, tmp_path: Path) -> None:
    """The plan reads the same files as a submission."""
    folder = tmp_path / "Load.DataPipeline"
    folder.mkdir()
    (folder / ".platform").write_text(json.dumps({"metadata": {"type": "DataPipeline", "displayName": "Load"}}))
    for name in (".schedules", "Thumbs.db"):
        (folder / name).write_text('{"schedules": []}')
    load = {"id": "load", "kind": "item", "with": {"workspaceId": WS, "folder": str(folder)}}
    manifest = {"name": "sales", "steps": [MANIFEST["steps"][0], load]}
    refused = plan(tenant, manifest, "--json")
    assert (refused.returncode, "leads out of the folder" in refused.stdout) == (2, True)
    done = plan(tenant, manifest, "--json", "--root", str(tmp_path))
    left, found = (json.loads(line) for line in done.stdout.splitlines())
    assert (done.returncode, left["event"], left["files"]) == (0, "left_out", ["Thumbs.db"])
    assert [(s["id"], s["action"]) for s in found["steps"]] == [("ws", "create"), ("load", "create")]


def test_plan_is_coloured_only_on_a_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The first sign of a line decides its colour."""
    with (tmp_path / "out").open("w+") as stream:
        LineOutput(stream).event("change", "  + ws")
        terminal = LiveOutput(stream)
        terminal._console._force_terminal = True
        terminal._console._color_system = ColorSystem.STANDARD
        terminal.event("change", "  + ws")
        stream.seek(0)
        plain, coloured = stream.read().splitlines()
    assert plain == "  + ws"
    assert "\x1b[32m" in coloured
