"""The circuit breakers' records: table `breakers`, one row for each breaker, every change one conditional write.

The record is one JSON property, so that no reader sees half of a change; state and reason are columns as well, for
people who look at the table. Requests are short and never repeated, because a call to Fabric waits for them; what
happens if storage fails is decided by the caller (fallback.py).
"""

import json
from typing import Any

from shared.adapters.storage.clients import StorageClients, checked_entity, checked_key
from shared.adapters.storage.table import Table
from shared.domain.breaker import BreakerRecord
from shared.domain.errors import ConflictError, UnknownVersionError
from shared.domain.ports import Versioned

TABLE = "breakers"
_PARTITION = "breaker"


class TableBreakers:
    """Implements the port `BreakerStore`."""

    def __init__(self, clients: StorageClients, answer_seconds: float = 5.0) -> None:
        """`answer_seconds` is how long one answer of the table may take before the table counts as failing."""
        # No retries: after a write whose response was lost, a repeated one fails, because the ETag has changed.
        options = {"retry_total": 0, "connection_timeout": 2, "read_timeout": answer_seconds}
        self._table = Table(clients, TABLE, options)

    @property
    def is_shared(self) -> bool:
        """Return True: every worker reads this table."""
        return True

    def read(self, name: str) -> Versioned[BreakerRecord] | None:
        """Return the record, by one point read. Raises StorageUnavailableError, UnknownVersionError."""
        found = self._table.read(_PARTITION, checked_key(name, "a breaker's name"))
        return None if found is None else _versioned(found)

    def write(self, before: Versioned[BreakerRecord] | None, after: BreakerRecord) -> Versioned[BreakerRecord]:
        """Write the record, by one conditional write. Raises ConflictError, StorageUnavailableError, LimitError."""
        entity = entity_of(after)
        try:
            etag = self._table.insert(entity) if before is None else self._table.replace(entity, before.etag)
        except ConflictError:
            raise ConflictError(f"the breaker '{after.name}' changed since it was read") from None
        return Versioned(after, etag)

    def all(self) -> list[Versioned[BreakerRecord]]:
        """Return every record, by name. Raises StorageUnavailableError, UnknownVersionError."""
        return [_versioned(e) for e in self._table.query(f"PartitionKey eq '{_PARTITION}'")]


def entity_of(record: BreakerRecord) -> dict[str, Any]:
    """Return the row of a record. Raises LimitError."""
    entity = {
        "PartitionKey": _PARTITION,
        "RowKey": checked_key(record.name, "a breaker's name"),
        "state": record.state.value,
        "reason": record.reason,
        "record": json.dumps(record.to_json()),
    }
    checked_entity(entity)
    return entity


def record_of(entity: Any) -> BreakerRecord:
    """Return the record of a row. Raises UnknownVersionError, also if the row does not contain a record."""
    try:
        return BreakerRecord.from_json(json.loads(entity["record"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnknownVersionError(f"a row of table {TABLE} cannot be read ({type(error).__name__})") from None


def _versioned(entity: Any) -> Versioned[BreakerRecord]:
    return Versioned(record_of(entity), str(entity.metadata["etag"]))
