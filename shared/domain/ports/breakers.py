"""The circuit breakers' records, and operators' access to them."""

from typing import Protocol

from shared.domain.breaker import BreakerRecord
from shared.domain.json import JsonObject
from shared.domain.ports.journal import Versioned


class BreakerStore(Protocol):
    """The store of the circuit breakers' records, one row each. All methods raise StorageUnavailableError."""

    @property
    def is_shared(self) -> bool:
        """Return True if all workers see the same records, as far as is known."""
        ...

    def read(self, name: str) -> Versioned[BreakerRecord] | None:
        """Return the record; None if it does not exist yet."""
        ...

    def write(self, before: Versioned[BreakerRecord] | None, after: BreakerRecord) -> Versioned[BreakerRecord]:
        """Write the whole record, on the condition that it is unchanged since it was read.

        With `before` None, the condition is that it does not exist. Raises ConflictError if the condition fails.
        """
        ...

    def all(self) -> list[Versioned[BreakerRecord]]:
        """Return every record, by name."""
        ...


class BreakerAdmin(Protocol):
    """The circuit breakers for the command line, in the form of the HTTP API's rows."""

    def items(self) -> list[JsonObject]:
        """Return all of them."""
        ...

    def reset(self, name: str) -> JsonObject:
        """Close one for all workers, and return its new row. Raises NotFoundError."""
        ...
