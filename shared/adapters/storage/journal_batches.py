"""The journal's batches: rows with the ETags that they must have, in groups that Azure accepts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shared.adapters.storage.clients import BATCH_BYTES, BATCH_OPERATIONS, checked_entity
from shared.adapters.storage.table import condition_of
from shared.domain.json import JsonObject
from shared.domain.records import AuditEntry, Chain

_MIME_BYTES = 1024
"""Bytes that a batch needs for an operation beside its entity, at most."""


@dataclass(frozen=True)
class Update:
    """A row to replace, the ETag that it must have, and the audit entry to write with it."""

    entity: JsonObject
    etag: str
    entry: AuditEntry | None


@dataclass(frozen=True)
class StoredRow:
    """A row as it was written. `chain` is set if it differs from the chain that the caller was about to write."""

    etag: str
    chain: Chain | None = None


def batches(entities: Iterable[JsonObject], room: int = 0) -> Iterator[list[JsonObject]]:
    """Yield rows, in their order, in batches that Azure accepts: 100 operations, 4 MiB. `room` is how many small
    operations of at most 1 KiB the caller adds to each batch."""
    batch, size = list[JsonObject](), room * _MIME_BYTES
    for entity in entities:
        length = 2 * checked_entity(entity) + _MIME_BYTES  # an upper bound that includes JSON
        if batch and (len(batch) >= BATCH_OPERATIONS - room or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], room * _MIME_BYTES
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
