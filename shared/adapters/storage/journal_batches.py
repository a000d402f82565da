"""What the journal writes at once: rows on condition of their ETags, and batches as Azure takes them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableTransactionError, UpdateMode

from shared.adapters.storage.clients import BATCH_BYTES, BATCH_OPERATIONS, checked_entity, checked_key, mapped
from shared.domain.errors import ConflictError
from shared.domain.json import JsonObject
from shared.domain.records import AuditEntry, Chain


@dataclass(frozen=True)
class Update:
    """One row to be written, on condition of its ETag, and the audit entry that goes with it."""

    entity: JsonObject
    etag: str
    entry: AuditEntry | None


@dataclass(frozen=True)
class StoredRow:
    """A row that was written; its chain where it is not the one that was just to be written."""

    etag: str
    chain: Chain | None = None


def condition_of(etag: str) -> dict[str, Any]:
    return {"mode": UpdateMode.REPLACE, "etag": etag, "match_condition": MatchConditions.IfNotModified}


class mapped_transaction:
    """Failed conditions become ConflictError; everything else as `storage.mapped`."""

    def __enter__(self) -> None:
        self._outer = mapped("table", "write")
        self._outer.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if isinstance(error, HttpResponseError | TableTransactionError) and error.status_code in (404, 409, 412):
            raise ConflictError("a condition of the write failed") from None
        return self._outer.__exit__(kind, error, trace)


def batches(entities: Iterable[JsonObject]) -> Iterator[list[JsonObject]]:
    """Rows, in their order, in batches that Azure takes: 100 operations, 4 MiB."""
    batch, size = list[JsonObject](), 0
    for entity in entities:
        length = 2 * checked_entity(entity) + 1024  # JSON and MIME around it, on the safe side
        if batch and (len(batch) >= BATCH_OPERATIONS or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entity)
        size += length
    if batch:
        yield batch


def purging(steps: Sequence[str], header: Update) -> Iterator[list[Any]]:
    """Yield the batches that delete these rows of a deployment, and write its header together with the last of them."""
    partition = header.entity["PartitionKey"]
    operations: list[Any] = [("delete", {"PartitionKey": partition, "RowKey": key}) for key in steps]
    operations.append(("update", header.entity, condition_of(header.etag)))
    first = len(operations) % BATCH_OPERATIONS
    for start in range(first - BATCH_OPERATIONS if first else 0, len(operations), BATCH_OPERATIONS):
        yield operations[max(0, start) : start + BATCH_OPERATIONS]


def quoted(text: str) -> str:
    """For an OData filter: quotes doubled, and only what may be a key at all."""
    return checked_key(text, "a key").replace("'", "''")
