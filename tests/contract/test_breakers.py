"""The contract of every breaker store: the table on Azurite, its twin in memory, and the local store."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.adapters.breaker.fallback import LocalBreakers
from shared.adapters.storage.breaker_table import TableBreakers
from shared.adapters.storage.clients import StorageClients
from shared.domain.breaker import BreakerRecord, BreakerState
from shared.domain.errors import ConflictError, LimitError, UnknownVersionError
from shared.domain.ports import BreakerStore
from tests.fakes import MemoryBreakers

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture(params=["memory", "local", pytest.param("azurite", marks=pytest.mark.azurite)])
def store(request: pytest.FixtureRequest) -> BreakerStore:
    """Return each breaker store in turn."""
    if request.param == "memory":
        return MemoryBreakers()
    if request.param == "local":
        return LocalBreakers()
    return TableBreakers(StorageClients(request.getfixturevalue("storage")), 60.0)


def named() -> BreakerRecord:
    """Return a record that has a unique name and a value in every field."""
    return BreakerRecord(
        f"b-{secrets.token_hex(6)}", BreakerState.HALF_OPEN, (NOW, NOW), NOW, NOW, 3, "me", NOW, "HTTP 503 täst", 9
    )


def test_store_reads_what_was_written(store: BreakerStore) -> None:
    """Every field is kept, times to the microsecond; before the write the record is missing."""
    record = named()
    assert store.read(record.name) is None
    written = store.write(None, record)
    found = store.read(record.name)
    assert found is not None
    assert (found.record, found.etag) == (record, written.etag)
    assert record in [row.record for row in store.all()]


def test_store_write_is_conditional(store: BreakerStore) -> None:
    """A write depends on the record that was read, or on its absence: the second writer gets a conflict and changes
    nothing."""
    record = named()
    first = store.write(None, record)
    with pytest.raises(ConflictError):
        store.write(None, replace(record, sequence=10))
    second = store.write(first, replace(record, sequence=11))
    with pytest.raises(ConflictError):
        store.write(first, replace(record, sequence=12))
    assert second.etag != first.etag
    third = store.write(second, replace(record, sequence=13))
    found = store.read(record.name)
    assert found is not None
    assert (found.record.sequence, found.etag) == (13, third.etag)


def test_store_update_of_a_removed_row_is_a_conflict(store: BreakerStore) -> None:
    written = store.write(None, named())
    with pytest.raises(ConflictError):
        store.write(written, named())


def test_store_race_has_one_winner(store: BreakerStore) -> None:
    first = store.write(None, named())
    start, won = threading.Barrier(20), list[int]()

    def run(i: int) -> None:
        start.wait()
        try:
            store.write(first, replace(first.record, sequence=100 + i))
        except ConflictError:
            return
        won.append(100 + i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.read(first.record.name)
    assert found is not None
    assert won == [found.record.sequence]


@pytest.mark.parametrize(
    "make",
    [MemoryBreakers, pytest.param(TableBreakers, marks=pytest.mark.azurite)],
    ids=["memory", "azurite"],
)
def test_store_refuses_a_name_that_is_not_a_key(
    make: Callable[..., BreakerStore], request: pytest.FixtureRequest
) -> None:
    """Azurite would accept some of these names."""
    store = make(StorageClients(request.getfixturevalue("storage"))) if make is TableBreakers else make()
    with pytest.raises(LimitError):
        store.write(None, BreakerRecord("a/b"))


@pytest.mark.azurite
@pytest.mark.parametrize("junk", ["", "[]", "{}", '{"schema_version": 2}', '{"schema_version": 1, "state": "ajar"}'])
def test_store_refuses_a_row_that_is_not_a_valid_record(storage: str, junk: str) -> None:
    """The store does not guess the meaning of a newer program's row, or of a foreign one."""
    clients = StorageClients(storage)
    store = TableBreakers(clients, 60.0)
    name = f"b-{secrets.token_hex(6)}"
    assert store.read(name) is None
    table = clients.tables.get_table_client("breakers")
    table.create_entity({"PartitionKey": "breaker", "RowKey": name, "record": junk})
    try:
        with pytest.raises(UnknownVersionError):
            store.read(name)
    finally:
        table.delete_entity("breaker", name)
