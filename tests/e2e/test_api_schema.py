"""The whole API against its own document: no request gets an answer that the document does not describe."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.paths import ROOT
from shared import settings
from shared.bootstrap import command_line
from shared.domain.records import Intent, Operation, RecordedError, Resource
from shared.domain.states import DeploymentState as D
from shared.domain.states import IntentAction, OperationPurpose
from shared.domain.states import StepState as S
from tests.conftest import seed_of
from tests.contract.harness import a_header, a_step
from tests.e2e.conftest import Running, finish, make_stack
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.e2e
CONFIG = Path(__file__).parent / "schemathesis.toml"
EXAMPLES = 24 if os.environ.get("HYPOTHESIS_PROFILE") == "hunt" else 3
"""Random cases for each operation and mode, besides those that schemathesis derives from each boundary of the
schemas."""


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """Start a stack with a deployment in every state, without a sweeper that would move them on."""
    stack = make_stack(environment={"SWEEP_SCHEDULE": "0 0 0 1 1 *"})
    try:
        running = Running(stack.up())
        seed(running)
        yield running
    finally:
        finish(stack)


def seed(running: Running) -> None:
    """Store one deployment of each state, with every optional field in one of its steps."""
    loaded = settings.load({"AzureWebJobsStorage": running.stack.connection_string})
    journal = command_line.storage(loaded).journal
    now = datetime.now(UTC)
    error = RecordedError("Fabric said no", "Ask for a role.", "POST /workspaces", 403, "InsufficientPrivileges", "r-1")
    for state in D:
        name = f"one-{state}"
        header = a_header(name, accepted_at=now, started_at=now, state=state, step_count=2, error=error)
        whole = a_step(
            name,
            0,
            state=S.SUCCEEDED,
            intent=Intent(IntentAction.UPDATE, "m", {"description": "as it was"}, "id-0"),
            operation=Operation("o-1", OperationPurpose.APPLY, "item", now),
            resource=Resource("Lakehouse", "id-1", "bronze", "w-1"),
            outputs={"id": "id-1"},
            error=error,
            compensation_error=error,
            deadline_at=now + timedelta(hours=1),
        )
        journal.create(header, [whole, a_step(name, 1, needs=(0,))], "seeded")


def test_api_gives_no_answer_that_its_document_does_not_describe(running: Running, tmp_path: Path) -> None:
    """All checks of schemathesis run over every operation, with data that fit the schemas and data that do not: no
    server error and no undocumented answer."""
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG), "run"),
        f"{running.stack.functions_url}/api/openapi.json",
        *("--checks", "all"),
        *("--header", f"x-functions-key: {running.stack.function_key}"),
        *("--max-examples", str(EXAMPLES), "--continue-on-failure", "--no-color"),
        *("--seed", str(seed_of("SEED", 1))),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # Where schemathesis.toml finds its hooks.
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS, cwd=tmp_path, env=environment
    )
    report = done.stdout[-8_000:]
    assert done.returncode == 0, report
    assert re.search(r"Selected: (\d+)/\1\n\s+Tested: \1\n", report), report
    log = (running.stack.folder / "functions.log").read_text()
    assert "failed (" not in log, "an answer of 500 is a fault of the app"
