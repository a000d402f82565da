"""A rehearsal of the tenant's tests: the simulator takes the tenant's place, with a sign-in at the simulated Entra,
and only settings differ."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.key_vault.entra import Client
from local.key_vault.server import KeyVaultServer
from tests.conftest import ROOT
from tests.real_fabric.conftest import NEEDED
from tests.simulator.test_server import Running as Simulator
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.e2e
CLIENT_ID, SECRET = "5a9a0000-0000-4000-8000-00000000c0de", "secret-of-the-rehearsal"
CAPACITY = "00000000-0000-0000-0000-000000000009"


def lane(folder: Path, *arguments: str, **settings: str) -> str:
    """Return what pytest prints of the tenant's tests, in an environment that names only this tenant."""
    given = {k: v for k, v in os.environ.items() if k not in (*NEEDED, "TEST_PRINCIPALS_FILE")}
    command = [sys.executable, "-m", "pytest", "tests/real_fabric/test_scenarios.py", "-m", "real_fabric", "-rs"]
    own = ["-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={folder / 'lane'}"]
    done = subprocess.run(
        [*command, *own, *arguments],
        cwd=ROOT,
        env={**given, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_tenant_tests_need_only_settings(tmp_path: Path) -> None:
    """The service principal creates a medallion with the principals of a file; it is held, read back and rolled
    back."""
    simulator = Simulator()
    try:
        simulator.call("POST", "/_sim/seed", {"capacities": [{"id": CAPACITY}]})
        simulator.call("POST", "/_sim/settings", {"require_capacity": True})
        with KeyVaultServer(tmp_path / "entra") as entra:
            entra.entra.clients[CLIENT_ID] = Client([SECRET], [])
            printed = lane(
                tmp_path,
                "-k",
                "held_for_inspection or breaker",
                AZURE_CLIENT_ID=CLIENT_ID,
                AZURE_CLIENT_SECRET=SECRET,
                AZURE_TENANT_ID="tenant",
                AZURE_AUTHORITY_HOST=entra.url,
                REQUESTS_CA_BUNDLE=str(entra.ca_file),
                FABRIC_CAPACITY_ID=CAPACITY,
                TEST_PRINCIPALS_FILE=str(ROOT / "examples" / "principals.csv"),
                FABRIC_API_BASE_URL=f"http://127.0.0.1:{simulator.port}",
                FABRIC_OPERATION_HOSTS=f"127.0.0.1:{simulator.operations_port}",
            )
        assert "1 passed, 1 skipped" in printed
        assert "a tenant cannot be made to fail" in printed
        assert SECRET not in printed
        assert simulator.call("GET", "/_sim/state")[1]["workspaces"] == []
        calls = simulator.call("GET", "/_sim/calls")[1]
        assert [c["path"] for c in calls if c["method"] == "DELETE"]
        made = [c["path"].rsplit("/", 1)[-1] for c in calls if c["method"] == "POST" and c["effect"]]
        assert sorted(made) == [*["lakehouses"] * 3, *["roleAssignments"] * 3, "workspaces"]
    finally:
        simulator.stop()


def test_tenant_tests_are_skipped_with_the_missing_variable_as_reason(tmp_path: Path) -> None:
    """One variable is missing: no test runs, and the reason names it."""
    given = dict.fromkeys(NEEDED, "x")
    printed = lane(tmp_path, **{k: v for k, v in given.items() if k != "FABRIC_CAPACITY_ID"})
    assert "5 skipped" in printed
    assert "no tenant to test against: FABRIC_CAPACITY_ID not set (docs/real-tenant.md)" in printed
