"""The circuit breakers' records: table `breakers`, one row each, every change one conditional write.

The record is one JSON property, so that no reader ever sees half of a change; state and reason stand beside it for
people who look at the table. Calls are short and never repeated: whoever waits here keeps a call to Fabric waiting,
and what to do when storage is down is decided one floor up (fallback.py).
"""

# The vendor annotates **kwargs as unknown, which makes every one of its methods partially unknown.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

import json
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableClient, UpdateMode

from shared.adapters.storage.clients import StorageClients, checked_entity, checked_key, ensure, mapped
from shared.domain.breaker import BreakerRecord
from shared.domain.errors import ConflictError, UnknownVersionError
from shared.domain.ports import Versioned

TABLE = "breakers"
_PARTITION = "breaker"


class TableBreakers:
    """Implements the port `BreakerStore`."""

    def __init__(self, clients: StorageClients, answer_seconds: float = 5.0) -> None:
        """`answer_seconds` is how long one answer of the table may take before the table counts as failing."""
        self._table: TableClient = clients.tables.get_table_client(TABLE)
        # No repetition: a write whose answer was lost and that is sent again would fail its own condition.
        self._brief: dict[str, Any] = {"retry_total": 0, "connection_timeout": 2, "read_timeout": answer_seconds}
        self._is_there = False

    @property
    def is_shared(self) -> bool:
        """As the port says."""
        return True

    def read(self, name: str) -> Versioned[BreakerRecord] | None:
        """One point read. Raises StorageUnavailableError, UnknownVersionError."""
        with mapped("table", "read a breaker"):
            self._ensure()
            try:
                return _versioned(
                    self._table.get_entity(_PARTITION, checked_key(name, "a breaker's name"), **self._brief)
                )
            except ResourceNotFoundError:
                return None

    def write(self, before: Versioned[BreakerRecord] | None, after: BreakerRecord) -> Versioned[BreakerRecord]:
        """One conditional write. Raises ConflictError, StorageUnavailableError, LimitError."""
        entity = entity_of(after)
        with mapped("table", "write a breaker"):
            self._ensure()
            try:
                if before is None:
                    done = self._table.create_entity(entity, **self._brief)
                else:
                    done = self._table.update_entity(
                        entity,
                        mode=UpdateMode.REPLACE,
                        etag=before.etag,
                        match_condition=MatchConditions.IfNotModified,
                        **self._brief,
                    )
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
                raise _moved(after) from None
            except HttpResponseError as error:
                if error.status_code == 412:
                    raise _moved(after) from None
                raise
        return Versioned(after, str(done["etag"]))

    def all(self) -> list[Versioned[BreakerRecord]]:
        """Every record, by name. Raises StorageUnavailableError, UnknownVersionError."""
        with mapped("table", "list the breakers"):
            self._ensure()
            return [_versioned(e) for e in self._table.query_entities(f"PartitionKey eq '{_PARTITION}'", **self._brief)]

    def _ensure(self) -> None:
        if not self._is_there:
            ensure(lambda: self._table.create_table(**self._brief))
            self._is_there = True


def entity_of(record: BreakerRecord) -> dict[str, Any]:
    """The row. Raises LimitError."""
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
    """The record of a row. Raises UnknownVersionError, also where the row is no record at all."""
    try:
        return BreakerRecord.from_json(json.loads(entity["record"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnknownVersionError(f"a row of table {TABLE} cannot be read ({type(error).__name__})") from None


def _versioned(entity: Any) -> Versioned[BreakerRecord]:
    return Versioned(record_of(entity), str(entity.metadata["etag"]))


def _moved(record: BreakerRecord) -> ConflictError:
    return ConflictError(f"the breaker '{record.name}' moved since it was read")
