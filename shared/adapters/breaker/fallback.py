"""A breaker store that survives an outage of storage: it keeps the records in this process until storage is back.

A breaker protects deployments and must never stop them. If its storage fails, that is reported once in the log and in
its status, and each worker continues alone from the last shared record that it has.
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
"""How long storage is not accessed after a failure, because each try delays a call."""


class LocalBreakers:
    """Implements the port `BreakerStore` in one process. Thread-safe; only `write` raises, ConflictError."""

    def __init__(self) -> None:
        self._rows: dict[str, Versioned[BreakerRecord]] = {}
        self._tags = itertools.count(1)
        self._lock = threading.Lock()

    @property
    def is_shared(self) -> bool:
        """Return False: other workers do not see these records."""
        return False

    def read(self, name: str) -> Versioned[BreakerRecord] | None:
        """Return the record, or None if it does not exist."""
        return self._rows.get(name)

    def write(self, before: Versioned[BreakerRecord] | None, after: BreakerRecord) -> Versioned[BreakerRecord]:
        """Store the record. Raises ConflictError if it changed since `before` was read."""
        with self._lock:
            stored = self._rows.get(after.name)
            if (stored.etag if stored else None) != (before.etag if before else None):
                raise ConflictError(f"the breaker '{after.name}' changed since it was read")
            return self.put(after)

    def all(self) -> list[Versioned[BreakerRecord]]:
        """Return every record, by name."""
        return [row for _, row in sorted(self._rows.items())]

    def put(self, record: BreakerRecord) -> Versioned[BreakerRecord]:
        """Store the record without a condition."""
        row = Versioned(record, f"local-{next(self._tags)}")
        self._rows[record.name] = row
        return row


class FallbackBreakers:
    """Implements the port `BreakerStore`: the shared store while it responds, else a local one.

    The shared store is tried again every `RETRY_SECONDS`. No method raises StorageUnavailableError.
    """

    def __init__(self, shared: BreakerStore, now: Callable[[], datetime]) -> None:
        self._shared, self._now = shared, now
        self._local = LocalBreakers()
        self._retry_at: datetime | None = None

    @property
    def is_shared(self) -> bool:
        """Return True if the shared store responded last time, so that all workers see the same records."""
        return self._retry_at is None

    def read(self, name: str) -> Versioned[BreakerRecord] | None:
        """Return the record, or None if it does not exist."""
        found = self._ask(lambda store: store.read(name))
        return self._keep(found) if found is not None else None

    def write(self, before: Versioned[BreakerRecord] | None, after: BreakerRecord) -> Versioned[BreakerRecord]:
        """Store the record. Raises ConflictError, also if the store in use changed between read and write."""
        return self._keep(self._ask(lambda store: store.write(before, after)))

    def all(self) -> list[Versioned[BreakerRecord]]:
        """Return every record, by name."""
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
            self._retry_at = self._now() + timedelta(seconds=RETRY_SECONDS)  # other threads need not try as well
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
            log.warning("the storage of the circuit breakers fails (%s): each worker uses its own records", error)
        self._retry_at = self._now() + timedelta(seconds=RETRY_SECONDS)
