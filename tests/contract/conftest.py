"""One fixture for each port, in two variants: the in-memory twin and the real adapter on Azurite."""

import uuid
from dataclasses import dataclass

import pytest

from shared.adapters.storage.journal_table import TableJournal
from shared.domain.ports import Journal
from tests.contract.harness import VARIANTS, FaultyTransport, faulty_clients
from tests.fake_journal import MemoryJournal
from tests.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still unless a test moves it."""
    return FakeClock()


@pytest.fixture
def fresh_id() -> str:
    """Return an id that no other test has used, because all tests of a worker share one emulator."""
    return f"d-{uuid.uuid4().hex}"


@pytest.fixture(params=VARIANTS)
def journal(request: pytest.FixtureRequest, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """Return each implementation of the port Journal in turn."""
    if request.param == "memory":
        return MemoryJournal(clock)
    clients, _ = faulty_clients(request.getfixturevalue("storage"), monkeypatch)
    return TableJournal(clients, clock.now)


@dataclass(frozen=True)
class FaultyJournal:
    """The journal on tables, and the transport below it."""

    journal: TableJournal
    wire: FaultyTransport


@pytest.fixture
def faulty(storage: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> FaultyJournal:
    """Return the real journal over a transport that fails on request. Its tables exist."""
    clients, wire = faulty_clients(storage, monkeypatch)
    journal = TableJournal(clients, clock.now)
    journal.steps("warm-up")
    assert list(journal.deployments("warm-up")) == journal.page(1, target="warm-up") == []
    return FaultyJournal(journal, wire)
