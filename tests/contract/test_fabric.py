"""The contract of the port Fabric in the simulation: the model called in process answers the client as the simulator
does over HTTP, faults included."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.fabric_simulator import control
from local.fabric_simulator.model import FabricModel
from shared.adapters.fabric.client import FabricClient
from shared.adapters.fabric.transport import RequestsTransport
from shared.domain.errors import (
    FabricAmbiguousError,
    FabricConflictError,
    FabricError,
    FabricNotFoundError,
    FabricTransientError,
)
from shared.domain.ports import Fabric, OperationStarted
from tests.fakes import FakeClock
from tests.simulation.edges import FixedToken, ModelTransport
from tests.simulation.laws import encoded
from tests.simulation.schedules import FAULTS
from tests.simulator.test_server import Running

NOTEBOOK = {"displayName": "book", "type": "Notebook", "definition": {"parts": []}}
PART = {"path": "notebook-content.py", "payload": "b2xk", "payloadType": "InlineBase64"}


class Tenant:
    """A Fabric and the control of its simulator."""

    def __init__(self, fabric: Fabric, ask: Callable[[str, str, Any], Any]) -> None:
        self.fabric, self._ask = fabric, ask

    def state(self) -> Any:
        """Return the present content."""
        return self._ask("GET", "state", None)

    def faults(self, *rules: dict[str, Any]) -> None:
        """Replace the faults."""
        self._ask("POST", "faults", list(rules))

    def workspace(self, name: str = "sales") -> str:
        """Create a workspace and return its id."""
        body = self.fabric.send("POST", "/workspaces", {"displayName": name}).body
        assert body is not None
        return body["id"]


def in_process() -> Tenant:
    """Return the model, called directly."""
    clock = FakeClock()
    model = FabricModel(lambda: clock.now().timestamp(), seed=1)
    transport = ModelTransport(model, clock)

    def ask(method: str, word: str, body: Any) -> Any:
        status, answer = control.handle(model, method, f"/_sim/{word}", {}, b"" if body is None else encoded(body))
        assert status == 200, answer
        return answer

    return Tenant(FabricClient("http://127.0.0.1", FixedToken(), transport, sleep=clock.advance), ask)


@contextmanager
def over_http() -> Generator[Tenant]:
    """Start the simulator as a process, and call it through the transport of production."""
    running = Running()
    hosts = frozenset({f"127.0.0.1:{running.operations_port}"})
    url = f"http://127.0.0.1:{running.port}"
    fabric = FabricClient(url, FixedToken(), RequestsTransport(), operation_hosts=hosts, sleep=lambda _: None)

    def ask(method: str, word: str, body: Any) -> Any:
        status, answer = running.call(method, f"/_sim/{word}", body)
        assert status == 200, answer
        return answer

    try:
        yield Tenant(fabric, ask)
    finally:
        running.stop()


@pytest.fixture(scope="module")
def process() -> Iterator[Tenant]:
    """Start one process for the tests of this module."""
    with over_http() as tenant:
        yield tenant


@pytest.fixture(params=["memory", "http"])
def tenant(request: pytest.FixtureRequest) -> Tenant:
    """Return the port Fabric in each of the two variants in turn."""
    if request.param == "memory":
        return in_process()
    found: Tenant = request.getfixturevalue("process")
    found._ask("POST", "reset", {"seed": 1})
    return found


def test_fabric_keeps_a_resource_until_it_is_deleted(tenant: Tenant) -> None:
    fabric, workspace = tenant.fabric, tenant.workspace()
    assert fabric.get(f"/workspaces/{workspace}")["displayName"] == "sales"
    fabric.send("PATCH", f"/workspaces/{workspace}", {"description": "words"})
    assert [(w["id"], w["description"]) for w in fabric.list("/workspaces")] == [(workspace, "words")]
    assert fabric.send("DELETE", f"/workspaces/{workspace}").operation is None
    with pytest.raises(FabricNotFoundError):
        fabric.get(f"/workspaces/{workspace}")
    assert [row["id"] for row in tenant.state()["deleted"]] == [workspace]


def test_fabric_name_that_is_taken_is_a_conflict(tenant: Tenant) -> None:
    """Names are compared without case."""
    tenant.workspace()
    with pytest.raises(FabricConflictError) as caught:
        tenant.workspace("SALES")
    assert caught.value.error_code == "WorkspaceNameAlreadyExists"
    assert len(tenant.state()["workspaces"]) == 1


def _submitted(tenant: Tenant) -> OperationStarted:
    path = f"/workspaces/{tenant.workspace()}/items"
    started = tenant.fabric.send("POST", path, {**NOTEBOOK, "definition": {"parts": [PART]}}).operation
    assert started is not None
    return started


def test_fabric_long_running_operation_is_polled_and_has_a_result(tenant: Tenant) -> None:
    """Fabric accepts with an id and an address; the operation succeeds, and its result is the created item."""
    started = _submitted(tenant)
    status = tenant.fabric.poll(started.id, started.location)
    assert (status.state, status.has_result) == ("succeeded", True)
    made = tenant.fabric.result(started.id, started.location)
    assert made is not None
    assert [i["id"] for w in tenant.state()["workspaces"] for i in w["items"]] == [made["id"]]


@pytest.mark.parametrize(("fault", "state"), [("operation fails", "failed"), ("operation for ever", "running")])
def test_fabric_long_running_operation_fails_or_never_ends_on_request(tenant: Tenant, fault: str, state: str) -> None:
    """Fabric accepts the call all the same."""
    tenant.faults({"action": FAULTS[fault]})
    started = _submitted(tenant)
    assert tenant.fabric.poll(started.id, started.location).state == state


ANSWERS: dict[str, tuple[type[FabricError], int]] = {
    "answer lost": (FabricAmbiguousError, 1),
    "reset before": (FabricAmbiguousError, 0),
    "503": (FabricAmbiguousError, 0),
    "500 after the effect": (FabricAmbiguousError, 1),
    "429": (FabricTransientError, 0),
}
"""The error that the client raises for each fault on a create, and the number of workspaces afterwards."""


@pytest.mark.parametrize("fault", ANSWERS)
def test_fabric_fault_on_a_create_has_its_error_and_its_effect(tenant: Tenant, fault: str) -> None:
    """Every fault that the schedules inject into a call: the type of the error, its Retry-After, and what exists
    afterwards."""
    kind, stored = ANSWERS[fault]
    tenant.faults({"match": {"method": "POST"}, "when": {"times": 1}, "action": FAULTS[fault]})
    with pytest.raises(FabricError) as caught:
        tenant.workspace()
    assert type(caught.value) is kind
    assert caught.value.retry_after_seconds == (7.0 if fault == "429" else None)
    assert len(tenant.state()["workspaces"]) == stored


def test_fabric_faults_of_the_schedules_are_all_listed_here() -> None:
    assert FAULTS.keys() == {*ANSWERS, "operation fails", "operation for ever"}


def test_fabric_reads_are_retried_after_transient_faults(tenant: Tenant) -> None:
    """One call survives two faults in a row."""
    workspace = tenant.workspace()
    tenant.faults({"match": {"method": "GET"}, "when": {"times": 2}, "action": FAULTS["reset before"]})
    assert tenant.fabric.get(f"/workspaces/{workspace}")["id"] == workspace
