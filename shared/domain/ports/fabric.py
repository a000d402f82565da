"""The Fabric REST API, and what its client is made of."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from shared.domain.json import JsonObject


@dataclass(frozen=True)
class OperationStarted:
    """Fabric answered 202: the work goes on under this id."""

    id: str
    location: str | None
    retry_after_seconds: float | None


@dataclass(frozen=True)
class FabricReply:
    """A success of the Fabric REST API. `body` is None where there is none (or a bare `null`)."""

    status: int
    body: JsonObject | None
    operation: OperationStarted | None = None


@dataclass(frozen=True)
class OperationStatus:
    """How an operation stands: `running`, `succeeded` or `failed`; `has_result` says whether to ask for one. `message`
    says why it failed, or what is odd about one that runs."""

    state: str
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
        """One resource. Repeated within the delivery's budget where the fault is transient."""
        ...

    def list(self, path: str, query: dict[str, str] | None = None) -> Iterator[JsonObject]:
        """All rows of all pages."""
        ...

    def send(
        self, method: str, path: str, body: JsonObject | None = None, query: dict[str, str] | None = None
    ) -> FabricReply:
        """One mutating call, sent once. Raises FabricAmbiguousError where it may have happened."""
        ...

    def poll(self, operation_id: str, location: str | None) -> OperationStatus:
        """One look at a long-running operation."""
        ...

    def result(self, operation_id: str, location: str | None) -> JsonObject | None:
        """The result of a succeeded operation, None where it has none."""
        ...


class Tokens(Protocol):
    """Where bearer tokens come from."""

    def token(self) -> str:
        """A token that lives. Raises FabricAuthError."""
        ...

    def invalidate(self, token: str) -> None:
        """This token was refused; get another next time."""
        ...


class Gate(Protocol):
    """What every exchange passes: gate.py's breaker and rate. It may refuse; it never waits."""

    def through(
        self, method: str, path: str, exchange: Callable[[], tuple[int, dict[str, str], bytes]]
    ) -> tuple[int, dict[str, str], bytes]:
        """The exchange's answer. Raises FabricTransientError, counting as no attempt, where it was not made."""
        ...


class Transport(Protocol):
    """What the client needs of HTTP; the deterministic simulation has one without a network."""

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers with lower-case names, body. Raises NothingSentError or AnswerLostError."""
        ...
