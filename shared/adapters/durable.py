"""The durable engine, through the client that a durable-client binding passes to a function.

Each invocation has a client of its own, so the adapter lives as long as one invocation. gRPC's errors end here.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import grpc

from shared.adapters.causes import log_cause
from shared.domain.errors import StorageUnavailableError
from shared.domain.json import JsonObject

log = logging.getLogger(__name__)

ORCHESTRATOR = "run_deployment"
"""The orchestrator function's name; it is persisted in running instances, so it is never renamed."""

_LIVE = frozenset({"RUNNING", "PENDING", "SUSPENDED", "CONTINUED_AS_NEW"})
_NOT_POSSIBLE = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION})
"""The instance is missing, or its state does not allow the call."""


class DurableClient(Protocol):
    """The methods of durabletask's TaskHubGrpcClient that are used."""

    def schedule_new_orchestration(
        self, orchestrator: str, *, input: Any = None, instance_id: str | None = None
    ) -> str:
        """Start an instance."""
        ...

    def terminate_orchestration(self, instance_id: str, *, output: Any = None, recursive: bool = True) -> None:
        """Ask the engine to end an instance at its next turn."""
        ...

    def raise_orchestration_event(self, instance_id: str, event_name: str, *, data: Any = None) -> None:
        """Send an event to an instance."""
        ...

    def get_orchestration_state(self, instance_id: str, *, fetch_payloads: bool = True) -> Any:
        """Return the state, or None if the instance does not exist."""
        ...

    def purge_orchestration(self, instance_id: str, recursive: bool = True) -> Any:
        """Delete an ended instance."""
        ...


class DurableOrchestrations:
    """Implements the port `Orchestrations`."""

    def __init__(self, client: DurableClient, ended: Callable[[str], None] = lambda _: None) -> None:
        """`ended` is called after each call that changes something, with the reason if it failed, else with an empty
        text."""
        self._client, self._ended = client, ended

    def start(self, deployment_id: str) -> None:
        """Start the instance unless it runs; an ended instance of the same id is deleted first."""
        try:
            state = self._client.get_orchestration_state(deployment_id, fetch_payloads=False)
            if _is_live(state):
                return
            if state is not None:
                self._client.purge_orchestration(deployment_id)
            self._client.schedule_new_orchestration(
                ORCHESTRATOR, input={"deployment_id": deployment_id}, instance_id=deployment_id
            )
        except grpc.RpcError as error:
            if _code(error) is grpc.StatusCode.ALREADY_EXISTS:
                return
            raise self._unavailable(error) from None
        self._ended("")

    def raise_event(self, deployment_id: str, name: str, payload: JsonObject) -> None:
        """Send an event. A missing instance is not an error, because its successor reads the journal."""
        try:
            self._client.raise_orchestration_event(deployment_id, name, data=payload)
        except grpc.RpcError as error:
            if _code(error) in _NOT_POSSIBLE:
                log.info("event %s for %s: no running orchestration", name, deployment_id)
                return
            raise self._unavailable(error) from None
        self._ended("")

    def running_since(self, deployment_id: str) -> datetime | None:
        """Return when the instance was created if it has not ended, else None."""
        try:
            state = self._client.get_orchestration_state(deployment_id, fetch_payloads=False)
        except grpc.RpcError as error:
            raise self._unavailable(error) from None
        if not _is_live(state):
            return None
        created: datetime = state.created_at  # the library returns UTC without its zone
        return created if created.tzinfo is not None else created.replace(tzinfo=UTC)

    def abandon(self, deployment_id: str) -> None:
        """Terminate the instance and delete its history.

        Termination takes effect at the instance's next turn, which an instance that hangs may never have. Azure Storage
        then still deletes its history, after which the message of the termination meets no instance. Other backends
        delete ended instances only; there the sweeper abandons it again until the termination took effect.
        """
        for change in (
            lambda: self._client.terminate_orchestration(deployment_id, output="no progress", recursive=False),
            lambda: self._client.purge_orchestration(deployment_id),
        ):
            try:
                change()
            except grpc.RpcError as error:
                if _code(error) not in _NOT_POSSIBLE:
                    raise self._unavailable(error) from None
                log.info("orchestration %s: not possible in its state (%s)", deployment_id, _code(error))
        self._ended("")

    def forget(self, deployment_id: str) -> None:
        """Delete the instance's history unless it still runs."""
        try:
            state = self._client.get_orchestration_state(deployment_id, fetch_payloads=False)
            if state is not None and not _is_live(state):
                self._client.purge_orchestration(deployment_id)
        except grpc.RpcError as error:
            if _code(error) is not grpc.StatusCode.NOT_FOUND:
                raise self._unavailable(error) from None

    def _unavailable(self, error: grpc.RpcError) -> StorageUnavailableError:
        code = _code(error)
        text = f"the durable engine does not answer ({code.name if code else 'no status'})"
        self._ended(text)
        return log_cause(StorageUnavailableError(text), error)


def _is_live(state: Any) -> bool:
    return state is not None and state.runtime_status.name in _LIVE


def _code(error: grpc.RpcError) -> grpc.StatusCode | None:
    code = getattr(error, "code", None)
    return code() if callable(code) else None  # type: ignore[return-value]
