"""Verbs end to end: command line, queue, host and storage, with a simulated Fabric."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from local.ingestion import SILENT, Ingestion, connection_string, serving
from local.stack import APPLICATION
from shared.domain.flags import FeatureFlags
from shared.domain.telemetry import Event
from tests.e2e.conftest import Running, finish, make_stack
from tests.e2e.test_submission import item, lakehouse, manifest, written
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.e2e
REFUSES = {"status": 403, "body": {"errorCode": "InsufficientPrivileges", "message": "not yet"}}


def notebook_is_refused(running: Running) -> None:
    """Let Fabric refuse notebooks, as for a missing permission, until the faults are removed."""
    running.fabric("faults", [{"match": {"path": ".*/items", "method": "POST"}, "action": REFUSES}])


def approval(step_id: str, **fields: Any) -> dict[str, Any]:
    """Return a step that waits for an approval."""
    spec = {"message": f"Continue with {step_id}?", "approvers": ["data platform"], **fields.pop("with", {})}
    return {"id": step_id, "kind": "approval", "needs": ["ws"], "with": spec, **fields}


def waits(running: Running, deployment_id: str) -> bool:
    """Return True if an approval waits."""
    return "waits for approval" in running.cli("status", deployment_id).stdout


def audit(running: Running, deployment_id: str) -> str:
    """Return the audit: every move, with requester and reason."""
    return running.cli("audit", deployment_id).stdout


def test_resume_after_the_cause_is_fixed_succeeds(shared_stack: Running, tmp_path: Path) -> None:
    """Held: exit code 3, and everything is kept. Resumed after the fault is removed, it continues there, and creates
    nothing twice."""
    notebook_is_refused(shared_stack)
    content = manifest("fixed", lakehouse("bronze"), item("nb", "Notebook", "bronze"), onFailure="hold")
    file = written(tmp_path, content)
    shared_stack.cli("submit", file, "--id", "fixed", "--wait", "--timeout", PATIENCE, check=3)
    assert shared_stack.names()["fixed"] == ["bronze"]
    shared_stack.fabric("faults", [])
    made = len(shared_stack.posts("/v1/workspaces"))
    arguments = ("--requested-by", "an operator", "--reason", "role granted", "--wait", "--timeout", PATIENCE)
    shared_stack.cli("resume", "fixed", *arguments, check=0)
    assert shared_stack.names()["fixed"] == ["bronze", "nb"]
    assert len(shared_stack.posts("/v1/workspaces")) == made
    assert "an operator: resume requested by an operator: role granted" in audit(shared_stack, "fixed")
    refused = shared_stack.cli("resume", "fixed", check=2)
    assert "has already ended: succeeded; resume is not possible; possible now: retire" in refused.stdout


def test_compensate_rolls_back_a_held_deployment(shared_stack: Running, tmp_path: Path) -> None:
    """The end is the one that the person asked for, so the exit code is 0."""
    content = manifest("enough", lakehouse("bronze"), item("ball", "Crystal", "bronze"), onFailure="hold")
    shared_stack.cli("submit", written(tmp_path, content), "--id", "enough", "--wait", "--timeout", PATIENCE, check=3)
    shared_stack.cli("compensate", "enough", "--requested-by", "an operator", "--wait", "--timeout", PATIENCE, check=0)
    assert "enough" not in shared_stack.names()
    assert "compensating" in audit(shared_stack, "enough")


def test_retire_rolls_back_a_succeeded_deployment(shared_stack: Running, tmp_path: Path) -> None:
    file = written(tmp_path, manifest("retired", lakehouse("bronze")))
    shared_stack.cli("submit", file, "--id", "retired", "--wait", "--timeout", PATIENCE, check=0)
    shared_stack.cli("retire", "retired", "--requested-by", "an operator", "--wait", "--timeout", PATIENCE, check=0)
    assert "retired" not in shared_stack.names()
    assert "an operator: retire requested by an operator" in audit(shared_stack, "retired")


@pytest.fixture(scope="module")
def unwatched() -> Iterator[Running]:
    """Start a stack whose timers are so long that only events move a deployment in a test."""
    seldom = ("WATCHDOG_SECONDS", "WATCHDOG_MAX_SECONDS", "TARGET_RETRY_SECONDS", "TARGET_RETRY_MAX_SECONDS")
    stack = make_stack(environment=dict.fromkeys(seldom, "3600"))
    try:
        yield Running(stack.up())
    finally:
        finish(stack)


def test_step_waits_for_its_approval_and_starts_at_once_after_it(unwatched: Running) -> None:
    """The step that needs the approval does not begin before it, and is done after it long before the watchdog
    looks."""
    book = {**lakehouse("bronze"), "needs": ["gate"]}
    body = {"deployment_id": "approved", "manifest": manifest("approved", approval("gate"), book)}
    unwatched.put("deployments", json.dumps(body).encode())
    eventually(lambda: waits(unwatched, "approved"))
    assert unwatched.names()["approved"] == []
    unwatched.cli("approve", "approved", "nothing", check=2)
    unwatched.cli("approve", "approved", "gate", "--requested-by", "anna", "--reason", "reviewed", check=0)
    eventually(lambda: unwatched.names()["approved"] == ["bronze"], pause=0.05)
    assert unwatched.ended("approved")["exit_code"] == 0
    assert "anna: approved by anna: reviewed" in audit(unwatched, "approved")


def test_deployment_that_waits_for_its_target_is_woken_when_it_is_free(unwatched: Running) -> None:
    """Three deployments at one target: each that leaves wakes the next in line, which would ask again in an hour."""
    ids = ["first", "second", "third"]
    for each in ids:
        content = manifest(each, *([approval("gate")] if each == "first" else []), target="shared")
        unwatched.put("deployments", json.dumps({"deployment_id": each, "manifest": content}).encode())
        shown = "waits for approval" if each == "first" else "accepted"
        eventually(lambda each=each, shown=shown: shown in unwatched.cli("status", each).stdout)
    unwatched.cli("approve", "first", "gate", "--requested-by", "anna", check=0)
    for each in ids:
        assert unwatched.ended(each)["exit_code"] == 0
    assert sorted(unwatched.names().keys() & set(ids)) == sorted(ids)


def test_approval_that_is_refused_rolls_everything_back(shared_stack: Running) -> None:
    """The deployment fails at that step, and its error has who refused and why."""
    body = {"deployment_id": "refused", "manifest": manifest("refused", approval("gate"), lakehouse("silver"))}
    shared_stack.put("deployments", json.dumps(body).encode())
    eventually(lambda: waits(shared_stack, "refused"))
    arguments = ("--refuse", "--requested-by", "bert", "--reason", "not on a Friday", "--wait", "--timeout", PATIENCE)
    done = shared_stack.cli("approve", "refused", "gate", *arguments, check=1)
    assert "refused by bert: not on a Friday" in done.stdout
    assert "refused" not in shared_stack.names()


def test_approval_that_nobody_answers_is_decided_by_its_default(shared_stack: Running) -> None:
    """After the timeout, `approve` continues; `reject`, which is the default, rolls the deployment back."""
    for name, default, code in (("silent-yes", {"default": "approve"}, 0), ("silent-no", {}, 1)):
        body = {"deployment_id": name, "manifest": manifest(name, approval("gate", timeout="2s", **{"with": default}))}
        shared_stack.put("deployments", json.dumps(body).encode())
        assert shared_stack.ended(name)["exit_code"] == code
        assert (name in shared_stack.names()) == (code == 0)


FLAGS = [FeatureFlags.variable(field.name) for field in fields(FeatureFlags)]
PAIRS = ["0000000", "1100101", "0101010", "1111011", "1010110", "0011101"]
"""On or off, in the order of the flags: every two flags meet in all four ways."""
WHOLE = ["bronze", "gold", "silver"]


def test_flags_are_covered_in_pairs() -> None:
    """The runs below notice any two flags that do not work together."""
    for i, j in itertools.combinations(range(len(FLAGS)), 2):
        assert {(row[i], row[j]) for row in PAIRS} == set(itertools.product("01", repeat=2))


@pytest.fixture(scope="module")
def flagged() -> Iterator[tuple[Running, Ingestion]]:
    """Start a stack whose host restarts with other flags. It signs in with a secret, and sends telemetry to the
    simulated ingestion endpoint if it is on."""
    with serving() as (ingestion, port):
        environment = {
            "AZURE_CLIENT_SECRET": "of the environment",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": connection_string(port),
            **dict.fromkeys(SILENT, "true"),
        }
        stack = make_stack(has_vault=True, environment=environment)
        try:
            running = Running(stack.up())
            running.vault("secrets", {"name": "azure-client-secret", "value": "of the vault"})
            yield running, ingestion
        finally:
            finish(stack)


@pytest.mark.parametrize("values", PAIRS)
def test_flags_decide_how_the_medallion_ends(flagged: tuple[Running, Ingestion], values: str) -> None:
    """The example succeeds. The example with a failing last step runs beside it: it is rolled back (exit code 1),
    or, with rollback off, kept (exit code 3) and rolled back on request. The ingestion endpoint accepts nothing
    before all that is over. The flags also decide where the secret comes from, whether telemetry is sent, and what
    health checks."""
    running, ingestion = flagged
    flags = {name: value == "1" for name, value in zip(FLAGS, values, strict=True)}
    has_vault, has_rollback, reports, asks = (
        flags[FeatureFlags.variable(name)] for name in ("azure_keyvault", "rollback", "telemetry", "health_checks")
    )
    stack = running.stack
    stack.kill_host()
    stack.environment = {**stack.environment, **{name: str(is_on).lower() for name, is_on in flags.items()}}
    running.fabric("reset", {})
    running.vault("clients", {APPLICATION: {"secrets": ["of the vault" if has_vault else "of the environment"]}})
    request = len(running.vault("calls"))
    ingestion.hold()
    before = ingestion.requests
    stack.start_host()
    healthy, failing = f"healthy-{values}", f"failing-{values}"
    running.cli("submit", "examples/failing.yaml", "--id", failing, check=0)
    running.cli("submit", "examples/medallion.yaml", "--id", healthy, "--wait", "--timeout", PATIENCE, check=0)
    followed = running.cli("follow", failing, "--timeout", PATIENCE, check=1 if has_rollback else 3)
    assert ("NOTHING is rolled back" in followed.stdout) == (not has_rollback)
    if not has_rollback:
        assert running.names() == {"contoso-sales-dev": WHOLE, "contoso-sales-test": WHOLE}
        running.cli("compensate", failing, "--wait", "--timeout", PATIENCE, check=0)
    assert running.names() == {"contoso-sales-dev": WHOLE}

    ingestion.release()
    secrets = [
        path for _, path, _ in running.vault("calls")[request:] if path.startswith("/secrets/azure-client-secret")
    ]
    assert bool(secrets) == has_vault
    assert ("checks" in json.loads(running.http("/api/health/ready")[1])) == asks
    if reports:
        eventually(lambda: finished(ingestion) >= {healthy, failing})
    assert reports or ingestion.requests == before


def finished(ingestion: Ingestion) -> set[str]:
    """Return the deployments whose end was emitted."""
    reported = [e["data"]["baseData"] for e in ingestion.of_kind("EventData")]
    return {e["properties"]["deployment_id"] for e in reported if e["name"] == Event.DEPLOYMENT_FINISHED}
