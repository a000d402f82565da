"""The Fabric REST API, and the parts of its client."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from shared.domain.json import JsonObject
from shared.domain.states import OperationState


@dataclass(frozen=True)
class OperationStarted:
    """Fabric answered 202: the work continues as the long-running operation with this id."""

    id: str
    location: str | None
    retry_after_seconds: float | None


@dataclass(frozen=True)
class FabricReply:
    """A success of the Fabric REST API. `body` is None if it is missing or `null`."""

    status: int
    body: JsonObject | None
    operation: OperationStarted | None = None


@dataclass(frozen=True)
class OperationStatus:
    """How an operation stands: `running`, `succeeded` or `failed`; `has_result` says whether to ask for one. `message`
    says why it failed, or what is odd about one that runs."""

    state: OperationState
    has_result: bool
    error_code: str | None = None
    message: str | None = None
    is_retriable: bool | None = None
    request_id: str | None = None


class Fabric(Protocol):
    """The Fabric REST API. Paths start with `/workspaces/...`; every method raises FabricError's children."""

    def identity(self) -> str:
        """Return the object id that the calls are made as, in lower case; empty if that is not known."""
        ...

    def get(self, path: str, query: dict[str, str] | None = None) -> JsonObject:
        """Return one resource. After a transient error, try again within the budget of the delivery."""
        ...

    def list(self, path: str, query: dict[str, str] | None = None) -> Iterator[JsonObject]:
        """Yield all rows of all pages."""
        ...

    def send(
        self, method: str, path: str, body: JsonObject | None = None, query: dict[str, str] | None = None
    ) -> FabricReply:
        """Send one call that changes something, once. Raises FabricAmbiguousError if it may have had its effect."""
        ...

    def poll(self, operation_id: str, location: str | None) -> OperationStatus:
        """Return the status of a long-running operation."""
        ...

    def result(self, operation_id: str, location: str | None) -> JsonObject | None:
        """Return the result of a succeeded operation; None if it has no result."""
        ...


class Tokens(Protocol):
    """The source of bearer tokens."""

    def token(self) -> str:
        """Return a valid token. Raises FabricAuthError."""
        ...

    def invalidate(self, token: str) -> None:
        """Discard a token that was refused; the next call of `token` gets a new one."""
        ...


class Gate(Protocol):
    """The gate that every call passes: circuit breaker and rate limit. It may refuse a call, and never waits."""

    def through(
        self, method: str, path: str, exchange: Callable[[], tuple[int, dict[str, str], bytes]]
    ) -> tuple[int, dict[str, str], bytes]:
        """Return the response of `exchange`. If it is not sent, raise FabricTransientError, which does not count."""
        ...


class Transport(Protocol):
    """HTTP as the client needs it. The simulation has a transport without a network."""

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers with lower-case names, and body. Raises NothingSentError or AnswerLostError."""
        ...
