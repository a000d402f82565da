"""The durable engine's client, and what its calls report about the engine for health."""

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from shared.adapters.durable import DurableOrchestrations
from shared.domain.errors import StorageUnavailableError
from shared.saga.health.checks import ENGINE_FAILURE_SECONDS, EngineCalls
from shared.saga.health.monitor import Status


class Refused(grpc.RpcError):
    """The error that gRPC raises when the engine's store is full."""

    def __init__(self, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> None:
        super().__init__()
        self._code = code

    def code(self) -> grpc.StatusCode:
        """Return the status code, as gRPC's own error does."""
        return self._code


class Client:
    """An engine that answers reads, and refuses changes while `error` is set."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.state: Any = None
        self.terminated: list[str] = []

    def get_orchestration_state(self, instance_id: str, *, fetch_payloads: bool = True) -> Any:
        """Return the state, always."""
        return self.state

    def _change(self) -> None:
        if self.error is not None:
            raise self.error

    def schedule_new_orchestration(self, orchestrator: str, *, input: Any = None, instance_id: Any = None) -> str:
        self._change()
        return str(instance_id)

    def raise_orchestration_event(self, instance_id: str, event_name: str, *, data: Any = None) -> None:
        self._change()

    def terminate_orchestration(self, instance_id: str, *, output: Any = None, recursive: bool = True) -> None:
        self._change()
        self.terminated.append(instance_id)

    def purge_orchestration(self, instance_id: str, recursive: bool = True) -> None:
        self._change()


CALLS: dict[str, Callable[[DurableOrchestrations], object]] = {
    "start": lambda engine: engine.start("d"),
    "raise_event": lambda engine: engine.raise_event("d", "step_settled", {}),
    "forget": lambda engine: engine.forget("d"),
    "abandon": lambda engine: engine.abandon("d"),
}


@pytest.mark.parametrize("name", CALLS)
def test_engine_that_refuses_a_change_is_a_warning_until_one_succeeds(name: str) -> None:
    """A successful read proves nothing, because a full store can still be read. A failure counts for a while."""
    client, seconds = Client(), [0.0]
    calls = EngineCalls(lambda: seconds[0])
    engine = DurableOrchestrations(client, calls.ended)
    client.state = SimpleNamespace(runtime_status=SimpleNamespace(name="COMPLETED"))
    assert calls.finding().status is Status.PASS
    client.error = Refused()
    with pytest.raises(StorageUnavailableError):
        CALLS[name](engine)
    assert engine.running_since("d") is None
    finding = calls.finding()
    assert finding.status is Status.WARN
    assert "the durable engine does not answer (UNKNOWN)" in finding.output
    seconds[0] = ENGINE_FAILURE_SECONDS + 1
    assert calls.finding().status is Status.PASS
    seconds[0] = 1.0
    assert calls.finding().status is Status.WARN
    client.error = None
    engine.raise_event("d", "step_settled", {})
    assert calls.finding().status is Status.PASS


@pytest.mark.parametrize("code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION])
def test_engine_that_does_not_know_the_instance_is_healthy(code: grpc.StatusCode) -> None:
    """An event for an ended orchestration is answered like any other."""
    client, calls = Client(), EngineCalls()
    client.error = Refused(code)
    DurableOrchestrations(client, calls.ended).raise_event("d", "step_settled", {})
    assert calls.finding().status is Status.PASS


@pytest.mark.parametrize("status", ["RUNNING", "PENDING", "SUSPENDED", "CONTINUED_AS_NEW"])
@pytest.mark.parametrize("zone", [None, UTC])
def test_engine_says_since_when_an_orchestration_runs(status: str, zone: tzinfo | None) -> None:
    """The library's time is UTC and may lack its zone; an instance that only waits for the engine counts as running."""
    client = Client()
    created = datetime(2026, 1, 1, 12, 0, tzinfo=zone)
    client.state = SimpleNamespace(runtime_status=SimpleNamespace(name=status), created_at=created)
    assert DurableOrchestrations(client).running_since("d") == datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION])
def test_engine_abandons_what_it_can(code: grpc.StatusCode) -> None:
    """It is not an error if the instance has ended in the meantime, or if the backend does not delete a running one."""
    client = Client()
    DurableOrchestrations(client).abandon("d")
    assert client.terminated == ["d"]
    client.error = Refused(code)
    DurableOrchestrations(client).abandon("d")
