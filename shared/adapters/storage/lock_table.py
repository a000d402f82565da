"""Leases on targets: table `locks`, one row a target, every change one conditional write.

free or over ─ acquire ─> held by A until t, fence 7 ─ acquire by A ─> until t', fence 7
                               │ release ─> over, fence 7
                               └ t passes ─ acquire by B ─> held by B, fence 8: A's fence is old for good
"""

# The vendor annotates **kwargs as unknown, which makes every one of its methods partially unknown.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from datetime import UTC, datetime, timedelta

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableClient, UpdateMode

from shared.adapters.storage.clients import StorageClients, ensure, escape_key, mapped
from shared.domain.errors import StorageUnavailableError
from shared.domain.ports import Lock

TABLE = "locks"
_PARTITION = "lock"
_RACES = 20


class TableLocks:
    """Implements the port `Locks`."""

    def __init__(self, clients: StorageClients) -> None:
        self._table: TableClient = clients.tables.get_table_client(TABLE)
        self._is_there = False

    def acquire(self, target: str, holder: str, now: datetime, lease_seconds: float) -> Lock:
        """Take, keep or renew; the Lock that stands. Raises StorageUnavailableError."""
        expires = now + timedelta(seconds=lease_seconds)
        with mapped("table", "lock"):
            self._ensure()
            for _ in range(_RACES):
                row = self._read(target)
                if row is None:
                    lock = Lock(holder, expires, 1)
                    try:
                        self._table.create_entity(_entity(target, lock))
                    except ResourceExistsError:
                        continue
                    return lock
                stored, etag = row
                if stored.holder != holder and stored.expires_at > now:
                    return stored
                fence = stored.fence if stored.holder == holder else stored.fence + 1
                lock = Lock(holder, expires, fence)
                if self._replace(target, lock, etag):
                    return lock
        raise StorageUnavailableError(f"the lock on a target changed {_RACES} times while it was asked for")

    def release(self, target: str, holder: str) -> None:
        """End the lease; the fence number stays for the next holder. Another's lease is left alone."""
        with mapped("table", "unlock"):
            self._ensure()
            row = self._read(target)
            if row is not None and row[0].holder == holder:
                stored, etag = row
                over = Lock(holder, datetime.fromtimestamp(0, UTC), stored.fence)
                self._replace(target, over, etag)

    def _ensure(self) -> None:
        if not self._is_there:
            ensure(self._table.create_table)
            self._is_there = True

    def _read(self, target: str) -> tuple[Lock, str] | None:
        try:
            entity = self._table.get_entity(_PARTITION, escape_key(target))
        except ResourceNotFoundError:
            return None
        expires = datetime.fromisoformat(entity["expires_at"])
        return Lock(entity["holder"], expires, int(entity["fence"])), str(entity.metadata["etag"])

    def _replace(self, target: str, lock: Lock, etag: str) -> bool:
        try:
            self._table.update_entity(
                _entity(target, lock), mode=UpdateMode.REPLACE, etag=etag, match_condition=MatchConditions.IfNotModified
            )
        except (ResourceModifiedError, ResourceNotFoundError):
            return False
        except HttpResponseError as error:
            if error.status_code == 412:
                return False
            raise
        return True


def _entity(target: str, lock: Lock) -> dict[str, object]:
    return {
        "PartitionKey": _PARTITION,
        "RowKey": escape_key(target),
        "target": target,
        "holder": lock.holder,
        "expires_at": lock.expires_at.isoformat(),
        "fence": lock.fence,
    }
