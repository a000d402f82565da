"""Telemetry of a whole deployment, from the queue message to Fabric: the events agree with the journal and are one
trace."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.ingestion import SILENT, Ingestion, connection_string, serving
from shared import settings
from shared.bootstrap import command_line
from shared.domain.records import AuditEntry
from shared.domain.telemetry import PROPERTIES, Event
from tests.e2e.conftest import Running, finish, make_stack
from tests.e2e.test_submission import item, lakehouse, manifest, written
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.law(5)]
CANARY = "canary-7c2e91d4"
GOOD, FAILING = "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319d"
TRACE = {"good": GOOD, "bad": FAILING}


@pytest.fixture(params=["opentelemetry", "opencensus"])
def reporting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Running, Ingestion]]:
    """Start a stack that sends its telemetry to the simulated ingestion endpoint."""
    with serving() as (ingestion, port):
        environment = {
            "FEATURE_USE_TELEMETRY": "true",
            "TELEMETRY_EXPORTER": request.param,
            "APPLICATIONINSIGHTS_CONNECTION_STRING": connection_string(port),
            **dict.fromkeys(SILENT, "true"),
            "AZURE_CLIENT_SECRET": CANARY,
            "TMPDIR": str(tmp_path),
        }
        stack = make_stack(environment=environment)
        try:
            yield Running(stack.up()), ingestion
        finally:
            finish(stack)


def expected(audit: list[AuditEntry]) -> Counter[str]:
    """Return the events of the moves in the audit."""
    of_step = {"succeeded": Event.STEP_FINISHED, "failed": Event.STEP_FAILED, "compensated": Event.STEP_COMPENSATED}
    of_deployment = {
        ("", "accepted"): [Event.DEPLOYMENT_ACCEPTED],
        ("accepted", "running"): [Event.DEPLOYMENT_STARTED],
        ("running", "compensating"): [Event.ROLLBACK_STARTED],
        ("running", "succeeded"): [Event.DEPLOYMENT_FINISHED],
        ("compensating", "compensated"): [Event.ROLLBACK_FINISHED, Event.DEPLOYMENT_FINISHED],
    }
    found: Counter[str] = Counter()
    for entry in audit:
        if entry.subject == "deployment":
            found.update(of_deployment.get((entry.before, entry.after), []))
        elif entry.before != entry.after:
            found.update([of_step[entry.after]] if entry.after in of_step else [])
    started = {e.subject for e in audit if e.subject != "deployment" and e.before == "pending" and e.after != "skipped"}
    found[Event.STEP_STARTED] = len(started)
    return found


def properties(envelope: dict[str, Any]) -> dict[str, str]:
    """Return the properties of an envelope of any kind."""
    return envelope["data"]["baseData"]["properties"]


def test_deployment_emits_all_its_moves_in_one_trace_without_a_secret(
    reporting: tuple[Running, Ingestion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One deployment succeeds (its trace is from the pipeline's environment), one is rolled back (its trace is in
    the message). The events are those of the audit, everything of a deployment has its trace id, and so has every
    call to Fabric."""
    running, ingestion = reporting
    monkeypatch.setenv("TRACEPARENT", f"00-{GOOD}-b7ad6b7169203331-01")
    file = written(tmp_path, manifest("good", lakehouse("bronze")))
    running.cli("submit", file, "--id", "good", "--wait", "--timeout", PATIENCE, check=0)
    fault = {"status": 503, "body": {"errorCode": "ServiceUnavailable", "message": "x"}}
    rule = {"match": {"method": "POST", "path": ".*/lakehouses"}, "when": {"times": 1}, "action": fault}
    running.fabric("faults", [rule])
    body = manifest("bad", lakehouse("bronze"), item("ball", "Crystal", "bronze"))
    message = {"deployment_id": "bad", "manifest": body, "traceparent": f"00-{FAILING}-b7ad6b7169203331-01"}
    running.put("deployments", json.dumps(message).encode())
    assert running.ended("bad")["exit_code"] == 1

    calls = running.fabric("calls")
    loaded = settings.load({"AzureWebJobsStorage": running.stack.connection_string})
    journal = command_line.storage(loaded).journal
    audits = {name: journal.audit(name) for name in TRACE}
    secrets = [CANARY, running.stack.function_key, running.stack.master_key, "AccountKey", "Bearer ", "sim."]
    running.stack.down()

    events = ingestion.of_kind("EventData")
    for name, trace_id in TRACE.items():
        own = [e for e in ingestion.envelopes if properties(e).get("deployment_id") == name]
        assert {e["tags"]["ai.operation.id"] for e in own} == {trace_id}
        found = Counter(e["data"]["baseData"]["name"] for e in events if properties(e).get("deployment_id") == name)
        assert found - Counter({Event.RETRY: found[Event.RETRY]}) == expected(audits[name])
    assert [properties(e)["error_code"] for e in events if e["data"]["baseData"]["name"] == Event.RETRY] == [
        "ServiceUnavailable"
    ]
    for event in events:
        assert set(properties(event)) <= set(PROPERTIES[event["data"]["baseData"]["name"]])

    spans = {e["data"]["baseData"]["id"]: e for e in ingestion.of_kind("RemoteDependencyData")}
    for call in calls:
        _, trace_id, span_id, _ = call["traceparent"].split("-")
        assert trace_id in TRACE.values()
        span = spans[span_id]
        assert span["tags"]["ai.operation.id"] == trace_id
        assert span["data"]["baseData"]["resultCode"] == str(call["status"])
        assert properties(span)["request_id"] == call["request_id"]
        assert span["tags"]["ai.operation.parentId"] in spans, "a call is part of a delivery, which has a span too"
    names = {e["data"]["baseData"]["name"] for e in spans.values()}
    assert "POST /v1/workspaces/{workspaceId}/lakehouses" in names

    everything = json.dumps(ingestion.envelopes)
    assert [secret for secret in secrets if secret in everything] == []
