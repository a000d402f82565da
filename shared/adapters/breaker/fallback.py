"""What holds the breakers when storage does not: the records in this process's memory, until storage is back.

A breaker guards deployments; it must never be what stops them. So trouble with its storage is said once in the
log and in its status, and each worker goes on by what it sees itself, from the last shared record that it knows.
"""

import itertools
import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from shared.domain.breaker import BreakerRecord
from shared.domain.errors import ConflictError, SagaError, StorageUnavailableError, UnknownVersionError
from shared.domain.ports import BreakerStore, Versioned

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""How long storage is left alone after it failed: trying costs a call its time."""


class LocalBreakers:
    """The port `BreakerStore` in one process; thread-safe."""

    def __init__(self) -> None:
        self._rows: dict[str, Versioned[BreakerRecord]] = {}
        self._tags = itertools.count(1)
        self._lock = threading.Lock()

    @property
    def is_shared(self) -> bool:
        """As the port says."""
        return False

    def read(self, name: str) -> Versioned[BreakerRecord] | None:
        """As the port says; never raises."""
        return self._rows.get(name)

    def write(self, before: Versioned[BreakerRecord] | None, after: BreakerRecord) -> Versioned[BreakerRecord]:
        """As the port says."""
        with self._lock:
            stored = self._rows.get(after.name)
            if (stored.etag if stored else None) != (before.etag if before else None):
                raise ConflictError(f"the breaker '{after.name}' moved since it was read")
            return self.put(after)

    def all(self) -> list[Versioned[BreakerRecord]]:
        """As the port says."""
        return [row for _, row in sorted(self._rows.items())]

    def put(self, record: BreakerRecord) -> Versioned[BreakerRecord]:
        """Set it, whatever stood there."""
        row = Versioned(record, f"local-{next(self._tags)}")
        self._rows[record.name] = row
        return row


class FallbackBreakers:
    """The shared store while it answers, else the local one; asks the shared one again after `RETRY_SECONDS`."""

    def __init__(self, shared: BreakerStore, now: Callable[[], datetime]) -> None:
        self._shared, self._now = shared, now
        self._local = LocalBreakers()
        self._retry_at: datetime | None = None

    @property
    def is_shared(self) -> bool:
        """Whether all workers see the same, as far as is known."""
        return self._retry_at is None

    def read(self, name: str) -> Versioned[BreakerRecord] | None:
        """As the port says; never raises StorageUnavailableError."""
        found = self._ask(lambda store: store.read(name))
        return self._keep(found) if found is not None else None

    def write(self, before: Versioned[BreakerRecord] | None, after: BreakerRecord) -> Versioned[BreakerRecord]:
        """As the port says. ConflictError also where the store changed between read and write."""
        return self._keep(self._ask(lambda store: store.write(before, after)))

    def all(self) -> list[Versioned[BreakerRecord]]:
        """As the port says."""
        return self._ask(lambda store: store.all())

    def _keep(self, row: Versioned[BreakerRecord]) -> Versioned[BreakerRecord]:
        if self._retry_at is None:
            self._local.put(row.record)
        return row

    def _ask[T](self, question: Callable[[BreakerStore], T]) -> T:
        was_lost = self._retry_at is not None
        if self._retry_at is not None:
            if self._now() < self._retry_at:
                return question(self._local)
            self._retry_at = self._now() + timedelta(seconds=RETRY_SECONDS)  # the others need not try as well
        try:
            answer = question(self._shared)
        except (StorageUnavailableError, UnknownVersionError) as error:
            self._lost(error)
            return question(self._local)
        if was_lost:
            self._retry_at = None
            log.warning("the circuit breakers are shared by all workers again")
        return answer

    def _lost(self, error: SagaError) -> None:
        if self._retry_at is None:
            log.warning("the circuit breakers' storage fails (%s): each worker goes by what it sees itself", error)
        self._retry_at = self._now() + timedelta(seconds=RETRY_SECONDS)
