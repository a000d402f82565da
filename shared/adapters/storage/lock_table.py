"""Leases on targets: table `locks`, one row for each target, every change one conditional write.

free or over ─ acquire ─> held by A until t, fence 7 ─ acquire by A ─> until t', fence 7
                               │ release ─> over, fence 7
                               └ t passes ─ acquire by B ─> held by B, fence 8: A's fence is never valid again
"""

from datetime import UTC, datetime, timedelta

from shared.adapters.storage.clients import StorageClients, escape_key
from shared.adapters.storage.table import Table
from shared.domain.errors import ConflictError, StorageUnavailableError
from shared.domain.ports import Lock

TABLE = "locks"
_PARTITION = "lock"
_RACES = 20


class TableLocks:
    """Implements the port `Locks`."""

    def __init__(self, clients: StorageClients) -> None:
        self._table = Table(clients, TABLE)

    def acquire(self, target: str, holder: str, now: datetime, lease_seconds: float) -> Lock:
        """Take, keep or renew the lease, and return the Lock that is stored. Raises StorageUnavailableError."""
        expires = now + timedelta(seconds=lease_seconds)
        for _ in range(_RACES):
            row = self._read(target)
            if row is None:
                lock = Lock(holder, expires, 1)
            else:
                stored = row[0]
                if stored.holder != holder and stored.expires_at > now:
                    return stored
                lock = Lock(holder, expires, stored.fence if stored.holder == holder else stored.fence + 1)
            if self._write(target, lock, row[1] if row is not None else None):
                return lock
        raise StorageUnavailableError(f"the lock of a target changed {_RACES} times while it was requested")

    def release(self, target: str, holder: str) -> None:
        """End the lease; the fence stays for the next holder. Does nothing if another holder has the lease."""
        row = self._read(target)
        if row is not None and row[0].holder == holder:
            self._write(target, Lock(holder, datetime.fromtimestamp(0, UTC), row[0].fence), row[1])

    def _read(self, target: str) -> tuple[Lock, str] | None:
        entity = self._table.read(_PARTITION, escape_key(target))
        if entity is None:
            return None
        expires = datetime.fromisoformat(entity["expires_at"])
        return Lock(entity["holder"], expires, int(entity["fence"])), str(entity.metadata["etag"])

    def _write(self, target: str, lock: Lock, etag: str | None) -> bool:
        """Return False if the row is not as it was read."""
        entity = {
            "PartitionKey": _PARTITION,
            "RowKey": escape_key(target),
            "target": target,
            "holder": lock.holder,
            "expires_at": lock.expires_at.isoformat(),
            "fence": lock.fence,
        }
        try:
            self._table.insert(entity) if etag is None else self._table.replace(entity, etag)
        except ConflictError:
            return False
        return True
