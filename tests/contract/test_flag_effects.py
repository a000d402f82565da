"""The effects of each feature flag outside the app, which bootstrap composes with the flag and without it.

The app runs against Azurite, Fabric's simulator over HTTP and the local ingestion endpoint.
"""

import contextlib
import json
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient

from local.ingestion import SILENT, Ingestion, connection_string, serving
from shared import bootstrap, health, settings, telemetry, tracing
from shared.adapters.breaker.circuit_breakers import BreakerOpenError
from shared.adapters.telemetry.buffered import BufferedTelemetry
from shared.bootstrap import App
from shared.domain.breaker import BreakerState
from shared.domain.errors import FabricTransientError
from shared.domain.flags import FeatureFlags
from shared.domain.telemetry import PROPERTIES, Event, NoTelemetry
from shared.scripting.resilience import get_all_circuit_breakers, get_circuit_breaker, reset_circuit_breaker
from shared.scripting.transaction import DeploymentTransaction, ResourceType
from tests.contract.test_telemetry import EXPORTERS
from tests.simulator.test_server import Running as Simulator
from tests.unit.scripting.test_resilience import answered
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.azurite
AREA, PATH = "capacities", "/capacities"
"""An area of Fabric that no other test calls: all tests share one storage, and so the breakers."""
FAILING = {"status": 503, "body": {"errorCode": "ServiceUnavailable", "message": "failing on request"}}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """Start Fabric as a separate process."""
    running = Simulator()
    yield running
    running.stop()


def compose(storage: str, simulator: Simulator, flag: str, is_on: bool, **more: str) -> App:
    """Compose the app with one flag as given, and all others off."""
    environment = {
        "AzureWebJobsStorage": storage,
        "FABRIC_API_BASE_URL": f"http://127.0.0.1:{simulator.port}",
        "FABRIC_CREDENTIAL": "simulator",
        FeatureFlags.variable(flag): str(is_on).lower(),
        **more,
    }
    return bootstrap.build(settings.load(environment))


def reached(simulator: Simulator, path: str = PATH) -> list[dict[str, Any]]:
    """Return the calls to that path that Fabric received since it was last reset."""
    return [c for c in simulator.call("GET", "/_sim/calls")[1] if c["path"] == f"/v1{path}"]


def inject(simulator: Simulator, **when: Any) -> None:
    """Empty Fabric and let one path fail."""
    simulator.call("POST", "/_sim/reset", {})
    simulator.call("POST", "/_sim/faults", [{"match": {"path": f"/v1{PATH}"}, "when": when, "action": FAILING}])


@pytest.mark.parametrize("is_on", [True, False])
def test_flag_retry_logic_is_seen_in_the_number_of_calls(storage: str, simulator: Simulator, is_on: bool) -> None:
    """A read that gets one 503 is sent twice and succeeds; without the flag it is sent once and raises the error."""
    app = compose(storage, simulator, "retry_logic", is_on)
    inject(simulator, nth=1)
    with contextlib.nullcontext() if is_on else pytest.raises(FabricTransientError):
        list(app.services.fabric.list(PATH))
    assert [c["status"] for c in reached(simulator)] == ([503, 200] if is_on else [503])


@pytest.mark.parametrize("is_on", [True, False])
def test_flag_circuit_breaker_is_seen_in_the_calls_that_are_rejected(
    storage: str, simulator: Simulator, is_on: bool
) -> None:
    """Of twelve calls to a failing area five arrive, and the table has the breaker's row. Without the flag all twelve
    arrive, and the row is missing."""
    app = compose(storage, simulator, "circuit_breaker", is_on)
    inject(simulator)
    with TableClient.from_connection_string(storage, "breakers") as table:
        forget(table)
        try:
            for _ in range(12):
                with pytest.raises(FabricTransientError):
                    list(app.services.fabric.list(PATH))
            assert len(reached(simulator)) == (5 if is_on else 12)
            with contextlib.nullcontext() if is_on else pytest.raises(ResourceNotFoundError):
                assert table.get_entity("breaker", AREA)
        finally:
            forget(table)


def forget(table: TableClient) -> None:
    """Delete the breaker's row, if there is one."""
    with contextlib.suppress(ResourceNotFoundError):
        table.delete_entity("breaker", AREA)


@pytest.fixture
def ingestion_target(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Ingestion, str]]:
    """Return the ingestion endpoint and its connection string. Unsent telemetry stays in the test's folder."""
    for name in SILENT:
        monkeypatch.setenv(name, "true")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with serving() as (ingestion, port):
        yield ingestion, connection_string(port)


@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_flag_telemetry_is_seen_at_the_ingestion_endpoint(
    storage: str, simulator: Simulator, ingestion_target: tuple[Ingestion, str], exporter: str, is_on: bool
) -> None:
    """Every kind of event arrives, and a call to Fabric arrives as a dependency whose span the call carried. Without
    the flag nothing is received, and the call carries no trace."""
    ingestion, target = ingestion_target
    more = {"APPLICATIONINSIGHTS_CONNECTION_STRING": target, "TELEMETRY_EXPORTER": exporter}
    app = compose(storage, simulator, "telemetry", is_on, **more)
    simulator.call("POST", "/_sim/reset", {})
    list(app.services.fabric.list(PATH))
    for name, properties in PROPERTIES.items():
        app.telemetry.event(name, dict.fromkeys(properties, "x"))
    app.telemetry.flush(30)
    (call,) = reached(simulator)
    if not is_on:
        assert isinstance(app.telemetry, NoTelemetry)
        assert (ingestion.envelopes, ingestion.requests, call["traceparent"]) == ([], 0, None)
        return
    cast(BufferedTelemetry, app.telemetry).stop(PATIENCE_SECONDS)
    arrived = [e["data"]["baseData"] for e in ingestion.of_kind("EventData")]
    assert {e["name"]: set(e["properties"]) for e in arrived} == {k: set(v) for k, v in PROPERTIES.items()}
    assert len(arrived) == len(PROPERTIES)
    (dependency,) = [e["data"]["baseData"] for e in ingestion.of_kind("RemoteDependencyData")]
    assert dependency["name"] == f"GET /v1{PATH}"
    assert dependency["id"] in call["traceparent"]


def test_flag_telemetry_reports_breaker_and_health_changes(
    storage: str, simulator: Simulator, ingestion_target: tuple[Ingestion, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fabric fails and recovers: envelopes report that the breaker opened, half-opened and closed, and that health
    changed because of it. The other events are checked on the real host (tests/e2e/test_telemetry.py)."""
    ingestion, target = ingestion_target
    app = compose(
        storage,
        simulator,
        "telemetry",
        True,
        APPLICATIONINSIGHTS_CONNECTION_STRING=target,
        FEATURE_USE_CIRCUIT_BREAKER="true",
        FEATURE_USE_HEALTH_CHECKS="true",
        BREAKER_OPEN_SECONDS="0.2",
        BREAKER_CACHE_SECONDS="0.01",
    )
    monkeypatch.setattr(bootstrap, "_app", app)
    inject(simulator, times=5)
    with TableClient.from_connection_string(storage, "breakers") as table:
        forget(table)
        for _ in range(5):
            with pytest.raises(FabricTransientError):
                list(app.services.fabric.list(PATH))
        health.ready()

        def is_closed() -> bool:
            with contextlib.suppress(FabricTransientError):
                list(app.services.fabric.list(PATH))
            return app.breakers.get(AREA).status().state is BreakerState.CLOSED

        eventually(is_closed)
        forget(table)
    cast(BufferedTelemetry, app.telemetry).stop(PATIENCE_SECONDS)
    arrived = [e["data"]["baseData"] for e in ingestion.of_kind("EventData")]
    turns = [e["name"] for e in arrived if e["properties"].get("breaker") == AREA]
    assert turns == [Event.BREAKER_OPENED, Event.BREAKER_HALF_OPEN, Event.BREAKER_CLOSED]
    (changed,) = [e["properties"] for e in arrived if e["name"] == Event.HEALTH_CHANGED]
    assert "breakers" in changed["checks"].split(",")


@pytest.mark.parametrize("has_outer", [True, False])
def test_transaction_of_a_script_is_one_trace(
    storage: str,
    simulator: Simulator,
    ingestion_target: tuple[Ingestion, str],
    monkeypatch: pytest.MonkeyPatch,
    has_outer: bool,
) -> None:
    """Every call of the block, forward or compensating, carries the deployment's trace, which is the enclosing trace
    if there is one. The failure is reported without its text."""
    ingestion, target = ingestion_target
    outer = "0af7651916cd43dd8448eb211c80319c"
    app = compose(storage, simulator, "telemetry", True, APPLICATIONINSIGHTS_CONNECTION_STRING=target)
    simulator.call("POST", "/_sim/reset", {})
    deployment_id = f"traced-{uuid.uuid4().hex}"
    transaction = DeploymentTransaction("script", target=deployment_id, deployment_id=deployment_id, app=app)

    def script() -> None:
        with transaction:
            with transaction.creating(ResourceType.WORKSPACE, name="sales") as pending:
                body = {"displayName": "sales", "description": pending.description()}
                pending.created((transaction.fabric.send("POST", "/workspaces", body).body or {})["id"])
            raise ValueError("hush")

    monkeypatch.setattr(bootstrap, "_app", app)
    traceparent = f"00-{outer}-b7ad6b7169203331-01"
    around = telemetry.track_operation("nightly", traceparent=traceparent) if has_outer else contextlib.nullcontext()
    with pytest.raises(ValueError, match="hush"), around:
        script()
    assert tracing.current() is None
    cast(BufferedTelemetry, app.telemetry).stop(PATIENCE_SECONDS)
    calls = simulator.call("GET", "/_sim/calls")[1]
    assert {"POST", "DELETE"} <= {call["method"] for call in calls}
    (trace_id,) = {call["traceparent"].split("-")[1] for call in calls}
    assert (trace_id == outer) == has_outer
    events = [e for e in ingestion.of_kind("EventData") if e["data"]["baseData"]["properties"].get("deployment_id")]
    assert Event.ROLLBACK_FINISHED in {e["data"]["baseData"]["name"] for e in events}
    assert {e["tags"]["ai.operation.id"] for e in events} == {trace_id}
    (failure,) = ingestion.of_kind("ExceptionData")
    assert failure["tags"]["ai.operation.id"] == trace_id
    assert "hush" not in json.dumps(ingestion.envelopes)


def test_scripts_share_the_breakers_of_the_app(
    storage: str, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A breaker that a script opens rejects the calls of every worker, and its reset lets them pass. A script's own
    breaker has its own name, and a script sees the breakers that workers wrote."""
    worker = compose(storage, simulator, "circuit_breaker", True)
    monkeypatch.setattr(bootstrap, "_app", compose(storage, simulator, "circuit_breaker", True))
    simulator.call("POST", "/_sim/reset", {})
    with TableClient.from_connection_string(storage, "breakers") as table:
        forget(table)
        get_circuit_breaker(AREA).open()
        with pytest.raises(FabricTransientError):
            list(worker.services.fabric.list(PATH))
        assert reached(simulator) == []
        assert get_all_circuit_breakers()[AREA].status().state is BreakerState.OPEN
        reset_circuit_breaker(AREA)
        list(compose(storage, simulator, "circuit_breaker", True).services.fabric.list(PATH))
        assert len(reached(simulator)) == 1
        assert get_circuit_breaker("a-script-s-own").call(lambda: 7) == 7
        assert {AREA, "a-script-s-own"} <= set(get_all_circuit_breakers())
        forget(table)


@pytest.mark.parametrize("is_on", [True, False])
def test_flag_circuit_breaker_is_seen_by_scripts_too(
    storage: str, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, is_on: bool
) -> None:
    """The same table serves errors of another library: five 503s reject the script's next call; as many 404s and the
    script's own mistakes do not. Without the flag every call is made, and no row is written."""
    monkeypatch.setattr(bootstrap, "_app", compose(storage, simulator, "circuit_breaker", is_on))
    name, made = f"script-{uuid.uuid4().hex}", list[Exception]()

    def call(error: Exception) -> None:
        made.append(error)
        raise error

    for error in [*[answered(404)] * 5, *[KeyError("a mistake")] * 5, *[answered(503)] * 6]:
        with pytest.raises((type(error), BreakerOpenError)):
            get_circuit_breaker(name).call(call, error)
    assert len(made) == (15 if is_on else 16)
    with TableClient.from_connection_string(storage, "breakers") as table:
        with contextlib.nullcontext() if is_on else pytest.raises(ResourceNotFoundError):
            assert table.get_entity("breaker", name)
        table.delete_entity("breaker", name)


@pytest.mark.parametrize("is_on", [True, False])
def test_flag_health_checks_is_seen_in_the_answer_and_in_the_calls(
    storage: str, simulator: Simulator, is_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ready` checks storage and Fabric and reports both. Without the flag nothing is checked, and `ready` and the
    details say so."""
    app = compose(storage, simulator, "health_checks", is_on)
    monkeypatch.setattr(bootstrap, "_app", app)
    simulator.call("POST", "/_sim/reset", {})
    passed, details = health.ready()
    assert passed
    assert bool(reached(simulator, "/workspaces")) == is_on
    if is_on:
        assert {"storage", "fabric_endpoint", "fabric_identity"} <= details["checks"].keys()
    else:
        assert details == health.details()[1]
        assert "checks" not in details
        assert "FEATURE_USE_HEALTH_CHECKS" in str(details["notes"])
