"""Helpers of the contract suites: records to write, a storage account whose transport can fail, races of threads."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport

from shared.adapters.storage import clients as storage_module
from shared.adapters.storage.clients import StorageClients
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import DeploymentState
from tests.fakes import START

VARIANTS = [pytest.param("memory"), pytest.param("azurite", marks=pytest.mark.azurite)]
"""Every port is tested twice: its in-memory twin and the adapter on the emulator."""


class Cut(Exception):
    """Stands for the end of the process: no adapter may catch this exception."""


class FaultyTransport(RequestsTransport):
    """A transport that calls `before` and `after` for every write request; an exception that they raise stands for a
    network error."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.before: Callable[[Any], None] = _nothing
        self.after: Callable[[Any], None] = _nothing
        self.requests = self.writes = 0

    def send(self, request: Any, **options: Any) -> Any:
        """Send the request as the vendor's transport does, with the faults around it."""
        self.requests += 1
        if request.method == "GET":
            return super().send(request, **options)
        self.writes += 1
        self.before(request)
        answer = cast(Any, super().send(request, **options))
        self.after(request)
        return answer

    def lose_next_answer(self) -> None:
        """Let the next write take effect and lose its response."""

        def once(_: Any) -> None:
            self.after = _nothing
            raise ServiceResponseError("the connection broke")

        self.after = once

    def cut_before_write(self, number: int) -> None:
        """End the process before the write with this number, counted from now and from 0."""
        left = iter(range(number))

        def count(_: Any) -> None:
            if next(left, None) is None:
                raise Cut

        self.before = count

    def heal(self) -> None:
        """Inject no further faults."""
        self.before = self.after = _nothing


def _nothing(_: Any) -> None:
    return None


def faulty_clients(connection: str, monkeypatch: pytest.MonkeyPatch) -> tuple[StorageClients, FaultyTransport]:
    """Return the clients of an account, and the transport below them that fails on request."""
    transport = FaultyTransport()
    options = storage_module._options
    with monkeypatch.context() as patch:
        patch.setattr(storage_module, "_options", lambda: {**options(), "transport": transport})
        return StorageClients(connection), transport


def a_header(deployment_id: str, **changes: Any) -> DeploymentRecord:
    """Return a header as acceptance writes it, with a target of its own."""
    standard: dict[str, Any] = {
        "deployment_id": deployment_id,
        "name": f"name of {deployment_id}",
        "target": f"target of {deployment_id}",
        "state": DeploymentState.ACCEPTED,
        "manifest_hash": "a" * 64,
        "accepted_at": START,
    }
    return DeploymentRecord(**{**standard, **changes})


def a_step(deployment_id: str, ordinal: int, **changes: Any) -> StepRecord:
    """Return a step as acceptance writes it."""
    standard: dict[str, Any] = {
        "deployment_id": deployment_id,
        "ordinal": ordinal,
        "step_id": f"s{ordinal}",
        "kind": "workspace",
        "spec": {"displayName": f"name {ordinal} ü"},
        "needs": (),
        "refers_to": {},
        "timeout_seconds": 60.0,
    }
    return StepRecord(**{**standard, **changes})


def some_steps(deployment_id: str, count: int) -> list[StepRecord]:
    """Return the steps 0 to `count` - 1."""
    return [a_step(deployment_id, i) for i in range(count)]


def at_once[T](tasks: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Run every task on its own thread, all released together, and return what each task returned or raised."""
    gate = threading.Barrier(len(tasks))

    def run(task: Callable[[], T]) -> T | Exception:
        gate.wait(60)
        try:
            return task()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(run, tasks))
