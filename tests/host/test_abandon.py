"""The adapter of the durable engine on the embedded engine: an orchestration that hangs is ended, and can be started
again."""

from collections.abc import Generator, Iterator
from typing import Any

import pytest
from durabletask.client import TaskHubGrpcClient
from durabletask.worker import TaskHubGrpcWorker

from local.functions_host.engine import Engine
from shared.adapters.durable import ORCHESTRATOR, DurableOrchestrations
from tests.waiting import eventually


def run_deployment(context: Any, state: Any) -> Generator[Any, Any]:
    """Wait for an event that never comes."""
    yield context.wait_for_external_event("never")


@pytest.fixture
def hub() -> Iterator[TaskHubGrpcClient]:
    """Start the engine with a worker that runs the orchestrator."""
    engine = Engine()
    address = engine.start()
    worker = TaskHubGrpcWorker(host_address=address)
    assert worker.add_orchestrator(run_deployment) == ORCHESTRATOR
    worker.start()
    client = TaskHubGrpcClient(host_address=address)
    yield client
    client.close()
    worker.stop()
    engine.stop(0)


@pytest.mark.parametrize("is_suspended", [False, True], ids=["waits", "is suspended"])
def test_abandoned_orchestration_ends_and_is_started_again(hub: TaskHubGrpcClient, is_suspended: bool) -> None:
    """A second abandonment is not an error, nor is one of an instance that does not exist."""
    orchestrations = DurableOrchestrations(hub)
    orchestrations.abandon("unknown")
    orchestrations.start("d")
    eventually(lambda: orchestrations.running_since("d") is not None)
    first = orchestrations.running_since("d")
    if is_suspended:
        hub.suspend_orchestration("d")
    orchestrations.abandon("d")
    eventually(lambda: orchestrations.running_since("d") is None)
    orchestrations.abandon("d")
    orchestrations.start("d")
    eventually(lambda: orchestrations.running_since("d") not in (None, first))
