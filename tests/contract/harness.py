"""What the contract suites share: records to write, a storage account whose transport can fail, races of threads."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport

from shared.adapters import storage as storage_module
from shared.adapters.storage import StorageClients
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import DeploymentState
from tests.fakes import START

VARIANTS = [pytest.param("memory"), pytest.param("azurite", marks=pytest.mark.azurite)]
"""Every port is held to its laws twice: by its in-memory twin and by the adapter on the emulator."""


class Cut(Exception):
    """The process ends here: no adapter may catch this."""


class FaultyTransport(RequestsTransport):
    """Asks `before` and `after` for every request that writes; what they raise happens in the network's place."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.before: Callable[[Any], None] = _nothing
        self.after: Callable[[Any], None] = _nothing
        self.writes = 0

    def send(self, request: Any, **options: Any) -> Any:
        """As the vendor's, with the faults around it."""
        if request.method == "GET":
            return super().send(request, **options)
        self.writes += 1
        self.before(request)
        answer = cast(Any, super().send(request, **options))
        self.after(request)
        return answer

    def lose_next_answer(self) -> None:
        """The next write is performed, and its answer does not arrive."""

        def once(_: Any) -> None:
            self.after = _nothing
            raise ServiceResponseError("the connection broke")

        self.after = once

    def cut_before_write(self, number: int) -> None:
        """The process ends before its write of that number, counted from now at 0."""
        left = iter(range(number))

        def count(_: Any) -> None:
            if next(left, None) is None:
                raise Cut

        self.before = count

    def heal(self) -> None:
        """No further faults."""
        self.before = self.after = _nothing


def _nothing(_: Any) -> None:
    return None


def faulty_clients(connection: str, monkeypatch: pytest.MonkeyPatch) -> tuple[StorageClients, FaultyTransport]:
    """The clients of an account over a transport that fails on demand."""
    transport = FaultyTransport()
    options = storage_module._options
    with monkeypatch.context() as patch:
        patch.setattr(storage_module, "_options", lambda: {**options(), "transport": transport})
        return StorageClients(connection), transport


def a_header(deployment_id: str, **changes: Any) -> DeploymentRecord:
    """A header as acceptance writes it, on a target of its own."""
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
    """A step as acceptance writes it."""
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
    """Steps 0 to count - 1."""
    return [a_step(deployment_id, i) for i in range(count)]


def at_once[T](tasks: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Every task on a thread of its own, let go together; what each returned or raised."""
    gate = threading.Barrier(len(tasks))

    def run(task: Callable[[], T]) -> T | Exception:
        gate.wait(60)
        try:
            return task()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(run, tasks))
