"""The circuit breakers' records, and operators' access to them."""

from typing import Protocol

from shared.domain.breaker import BreakerRecord
from shared.domain.json import JsonObject
from shared.domain.ports.journal import Versioned


class BreakerStore(Protocol):
    """Where the records of the circuit breakers are, one row each. Raises StorageUnavailableError."""

    @property
    def is_shared(self) -> bool:
        """Whether all workers see the same records, as far as is known."""
        ...

    def read(self, name: str) -> Versioned[BreakerRecord] | None:
        """The record as it stands; None where there is none yet."""
        ...

    def write(self, before: Versioned[BreakerRecord] | None, after: BreakerRecord) -> Versioned[BreakerRecord]:
        """The whole record in one conditional write: on what was read, or, where `before` is None, on there being
        none. Raises ConflictError where somebody else was first."""
        ...

    def all(self) -> list[Versioned[BreakerRecord]]:
        """Every record, by name."""
        ...


class BreakerAdmin(Protocol):
    """The circuit breakers, for the command line; a row each, as the HTTP API has it."""

    def items(self) -> list[JsonObject]:
        """All of them."""
        ...

    def reset(self, name: str) -> JsonObject:
        """Close one for all workers; how it stands then. Raises NotFoundError."""
        ...
