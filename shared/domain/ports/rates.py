"""The records of the rate that all workers share."""

from typing import Protocol

from shared.domain.clock_offset import ClockOffset
from shared.domain.ports.journal import Versioned
from shared.domain.rate import Bucket
from shared.domain.rate_window import SharedWindow


class RateStore(Protocol):
    """The store of the shared windows, one row for each of Fabric's quotas. Reads and writes raise
    StorageUnavailableError."""

    def read(self, bucket: Bucket) -> Versioned[SharedWindow] | None:
        """Return the window; None if no worker has written it yet. Raises UnknownVersionError."""
        ...

    def write(self, before: Versioned[SharedWindow] | None, after: SharedWindow) -> Versioned[SharedWindow]:
        """Write the whole window, on the condition that it is unchanged since it was read.

        With `before` None, the condition is that it does not exist. Raises ConflictError if the condition fails.
        """
        ...

    def clock(self) -> ClockOffset | None:
        """Return how far the store's clock is from this machine's, by the answers so far; None without an answer."""
        ...
