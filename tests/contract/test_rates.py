"""The contract of every store of the rate: the table on Azurite and its twin in memory."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.adapters.storage.clients import StorageClients
from shared.adapters.storage.rate_table import TableRates, entity_of
from shared.domain.errors import ConflictError, UnknownVersionError
from shared.domain.ports import RateStore
from shared.domain.rate import Bucket, RatePolicy
from shared.domain.rate_window import Part, Share, SharedWindow, Spent, aged, reported
from tests.contract.harness import VARIANTS
from tests.fakes import MemoryRates

NOW = 1_767_323_045.678
FULL = SharedWindow(
    Bucket.JOBS,
    237.5,
    (Part("a", (Share(3, 0, NOW + 15), Share(0, 2, NOW)), (Spent(NOW - 0.178, 1, 2),)), Part("b", (), ())),
    NOW + 20,
    NOW - 5,
)


@pytest.fixture(params=VARIANTS)
def store(request: pytest.FixtureRequest) -> Iterator[RateStore]:
    """Return each store in turn, without a record of the quota for jobs, which only these tests use."""
    if request.param == "memory":
        yield MemoryRates()
        return
    clients = StorageClients(request.getfixturevalue("storage"))
    found = TableRates(clients, 60.0)
    found.read(Bucket.JOBS)  # creates the table
    table = clients.tables.get_table_client("rates")
    table.delete_entity("rate", Bucket.JOBS.value)
    yield found
    table.delete_entity("rate", Bucket.JOBS.value)


def test_rate_reads_what_was_written(store: RateStore) -> None:
    """Every field is kept, times to the millisecond; before the write the record is missing."""
    assert store.read(Bucket.JOBS) is None
    written = store.write(None, FULL)
    found = store.read(Bucket.JOBS)
    assert found is not None
    assert (found.record, found.etag) == (FULL, written.etag)
    assert store.read(Bucket.DELETES) is None


def test_rate_write_is_conditional(store: RateStore) -> None:
    """A write depends on the record that was read, or on its absence: the second writer gets a conflict and changes
    nothing."""
    first = store.write(None, FULL)
    with pytest.raises(ConflictError):
        store.write(None, replace(FULL, limit=1.0))
    second = store.write(first, replace(FULL, limit=2.0))
    with pytest.raises(ConflictError):
        store.write(first, replace(FULL, limit=3.0))
    assert second.etag != first.etag
    found = store.read(Bucket.JOBS)
    assert found is not None
    assert (found.record.limit, found.etag) == (2.0, second.etag)


def test_rate_race_has_one_winner(store: RateStore) -> None:
    first = store.write(None, FULL)
    start, won = threading.Barrier(20), list[float]()

    def run(i: int) -> None:
        start.wait()
        try:
            store.write(first, replace(FULL, limit=float(i)))
        except ConflictError:
            return
        won.append(float(i))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.read(Bucket.JOBS)
    assert found is not None
    assert won == [found.record.limit]


def test_rate_of_the_most_workers_fits_into_a_row(store: RateStore) -> None:
    """A hundred workers whose calls end all the time: longer slots keep the record within a property's 32,768
    characters, and no call is forgotten."""
    policy = RatePolicy(per_minute=20_000)
    window, calls = SharedWindow(Bucket.JOBS, 20_000.0), 0
    for worker in range(100):
        spent = tuple(Spent(NOW - 60 + i / 2, 1, 1) for i in range(1, 120))
        calls += 2 * len(spent)
        window = reported(window, Part(f"worker-{worker:05d}", (Share(5, 5, NOW + 15),), spent), NOW, policy)
    assert len(entity_of(window)["record"]) <= 32_768
    assert sum(each.first + each.later for part in window.parts for each in part.spent) == calls
    store.write(None, window)
    found = store.read(Bucket.JOBS)
    assert found is not None
    assert len(aged(found.record, NOW, policy).parts) == 100


@pytest.mark.azurite
@pytest.mark.parametrize(
    "junk", ["", "[]", "{}", '{"schema_version": 2}', '{"schema_version": 1, "bucket": "jobs", "parts": {"a": 1}}']
)
def test_rate_refuses_a_row_that_is_not_a_valid_record(storage: str, junk: str) -> None:
    """The store does not guess the meaning of a newer program's row, or of a foreign one."""
    clients = StorageClients(storage)
    store = TableRates(clients, 60.0)
    assert store.read(Bucket.OPERATIONS) is None
    table = clients.tables.get_table_client("rates")
    table.create_entity({"PartitionKey": "rate", "RowKey": "operations", "record": junk})
    try:
        with pytest.raises(UnknownVersionError):
            store.read(Bucket.OPERATIONS)
    finally:
        table.delete_entity("rate", "operations")


@pytest.mark.azurite
@pytest.mark.parametrize("ahead", [-300.0, 0.0, 300.0])
def test_rate_knows_how_far_the_clock_of_the_account_is(storage: str, ahead: float) -> None:
    """Every answer names the account's time: a machine whose clock is wrong by minutes corrects it to a second."""

    store = TableRates(StorageClients(storage), 60.0, lambda: time.time() + ahead)
    assert store.clock() is None
    store.read(Bucket.DELETES)
    offset = store.clock()
    assert offset is not None
    assert offset.low <= -ahead <= offset.high
    assert abs(offset.correction + ahead) <= offset.high - offset.low
