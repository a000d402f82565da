"""A fixed sample of the crash sweep: `make crash-sweep` kills the host at every boundary, this at some of them."""

import shutil
import subprocess
import sys

import pytest

from local.paths import ROOT
from tests.conftest import require, seed_of

pytestmark = [pytest.mark.e2e, pytest.mark.law(1, 2, 3, 6)]


@pytest.mark.parametrize("topology", ["single", pytest.param("flex", marks=pytest.mark.hunt)])
def test_crash_sweep_of_a_few_boundaries_finds_no_violation(topology: str) -> None:
    """The host is killed at twelve boundaries, spread over six deployments; each deployment ends as it must."""
    require(shutil.which("npm") is not None, "the embedded stack needs Node.js and npm")
    seed = str(seed_of("CRASH_SEED", 770196))
    options = ["--sample", "2", "--seed", seed, "--jobs", "1", "--one-stack", "--rounds", "1", "--no-slow"]
    command = [sys.executable, "-m", "local.crash_sweep", "--topology", topology, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, f"the sweep found a violation, or could not run:\n{done.stdout[-4000:]}\n{done.stderr}"
    assert done.stdout.count(": killed, ok") >= 6, "hardly any of the boundaries came up"
