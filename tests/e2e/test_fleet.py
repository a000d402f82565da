"""A matrix of workspaces with the real app: one deployment a row, followed in one table, with one exit code."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Running

pytestmark = pytest.mark.e2e
MANIFEST = {
    "name": "fleet",
    "target": "fleet-${{ inputs.region }}",
    "inputs": {"region": {}, "type": {"default": "Notebook"}},
    "steps": [
        {"id": "workspace", "kind": "workspace", "with": {"displayName": "fleet-${{ inputs.region }}"}},
        {
            "id": "item",
            "kind": "item",
            "with": {
                "workspaceId": "${{ steps.workspace.outputs.id }}",
                "type": "${{ inputs.type }}",
                "displayName": "first",
            },
        },
    ],
}


def test_fleet_of_three_workspaces(shared_stack: Running, tmp_path: Path) -> None:
    """A row that fails is rolled back and does not disturb the others; the same command again follows the same
    deployments; and all of them can be rolled back by their label."""
    manifest, matrix = tmp_path / "fleet.json", tmp_path / "workspaces.csv"
    manifest.write_text(json.dumps(MANIFEST))
    matrix.write_text("id,region,type\nnorth,north,\neast,east,CrystalBall\nsouth,south,Notebook\n")
    given = ("submit", str(manifest), "--matrix", str(matrix), "--id", "fleet")
    done = shared_stack.cli(*given, "--wait", "--timeout", "5m", check=1)
    rows = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[-3:]}
    assert rows == {"fleet-north": "succeeded", "fleet-east": "compensated", "fleet-south": "succeeded"}
    assert {"fleet-north", "fleet-south"} <= set(shared_stack.names())
    assert "fleet-east" not in shared_stack.names()
    again = shared_stack.cli(*given, "--wait", "--json", check=1)
    assert json.loads(again.stdout.splitlines()[-1])["row"].endswith("workspaces.csv:4")
    listed = shared_stack.cli("list", "--label", "matrix=fleet", "--json", check=0).stdout.splitlines()
    assert len(listed) == 3
    shared_stack.cli("retire", "--label", "matrix=fleet", "--wait", check=0)
    assert not {name for name in shared_stack.names() if name.startswith("fleet-")}
