"""The shared windows of the rate: table `rates`, a row for each of Fabric's quotas, every change one conditional write.

The record is one JSON property, so that no reader sees half of a change; the limit is a column as well, for people who
look at the table. Requests are short and never repeated, because a call to Fabric waits for them; what happens if
storage fails is decided by the caller (shared/adapters/fabric/rate_bucket.py).
"""

import json
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

from shared.adapters.storage.clients import StorageClients, checked_entity
from shared.adapters.storage.table import Table
from shared.domain.clock_offset import ClockOffset, narrowed
from shared.domain.errors import ConflictError, UnknownVersionError
from shared.domain.ports import Versioned
from shared.domain.rate import Bucket
from shared.domain.rate_window import SharedWindow

TABLE = "rates"
_PARTITION = "rate"


class TableRates:
    """Implements the port `RateStore`."""

    def __init__(
        self, clients: StorageClients, answer_seconds: float = 5.0, seconds: Callable[[], float] = time.time
    ) -> None:
        """`answer_seconds` is how long one answer of the table may take before the table counts as failing; `seconds`
        is this machine's time."""
        # No retries: after a write whose response was lost, a repeated one fails, because the ETag has changed.
        options = {"retry_total": 0, "connection_timeout": 2, "read_timeout": answer_seconds}
        self._table = Table(clients, TABLE, options | {"raw_response_hook": self._answered})
        self._seconds = seconds
        self._offset: ClockOffset | None = None

    def read(self, bucket: Bucket) -> Versioned[SharedWindow] | None:
        """Return the window, by one point read. Raises StorageUnavailableError, UnknownVersionError."""
        found = self._table.read(_PARTITION, bucket.value)
        return None if found is None else Versioned(window_of(found), str(found.metadata["etag"]))

    def write(self, before: Versioned[SharedWindow] | None, after: SharedWindow) -> Versioned[SharedWindow]:
        """Write the window, by one conditional write. Raises ConflictError, StorageUnavailableError, LimitError."""
        entity = entity_of(after)
        try:
            etag = self._table.insert(entity) if before is None else self._table.replace(entity, before.etag)
        except ConflictError:
            raise ConflictError(f"the rate of '{after.bucket}' changed since it was read") from None
        return Versioned(after, etag)

    def clock(self) -> ClockOffset | None:
        """Return how far the account's clock is from this machine's, by the answers so far."""
        return self._offset

    def _answered(self, exchange: Any) -> None:
        """Take the time of the account from one of its answers."""
        answer = exchange.http_response
        taken = getattr(getattr(answer, "internal_response", None), "elapsed", None)
        if taken is None or not answer.headers.get("date"):
            return
        try:
            date = parsedate_to_datetime(answer.headers["date"]).timestamp()
        except ValueError:
            return
        now = self._seconds()
        # `elapsed` ends with the headers of the answer; reading a body of some kilobytes takes no time beside it.
        self._offset = narrowed(self._offset, date, now - taken.total_seconds(), now)


def entity_of(window: SharedWindow) -> dict[str, Any]:
    """Return the row of a window. Raises LimitError."""
    entity = {
        "PartitionKey": _PARTITION,
        "RowKey": window.bucket.value,
        "limit": window.limit,
        "record": json.dumps(window.to_json(), separators=(",", ":")),
    }
    checked_entity(entity)
    return entity


def window_of(entity: Any) -> SharedWindow:
    """Return the window of a row. Raises UnknownVersionError, also if the row does not contain one."""
    try:
        return SharedWindow.from_json(json.loads(entity["record"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnknownVersionError(f"a row of table {TABLE} cannot be read ({type(error).__name__})") from None
