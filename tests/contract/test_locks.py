"""The contract of the port Locks: one holder for each target, and a fencing token that grows with every holder."""

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.adapters.storage.lock_table import TableLocks
from shared.domain.errors import StorageUnavailableError
from shared.domain.ports import Lock, Locks
from tests.contract.harness import VARIANTS, FaultyTransport, at_once, faulty_clients
from tests.fakes import START, MemoryLocks

LEASE = 60.0


@pytest.fixture(params=VARIANTS)
def locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Locks:
    """Return each implementation of the port Locks in turn."""
    if request.param == "memory":
        return MemoryLocks()
    return TableLocks(faulty_clients(request.getfixturevalue("storage"), monkeypatch)[0])


@pytest.fixture
def target() -> str:
    """Return a target that no other test has used."""
    return f"target {uuid.uuid4().hex}"


def test_lock_free_target_is_taken(locks: Locks, target: str) -> None:
    """The first caller holds it for the requested time."""
    assert locks.acquire(target, "a", START, LEASE) == Lock("a", START + timedelta(seconds=LEASE), 1)


def test_lock_is_held_by_one(locks: Locks, target: str) -> None:
    """Until the last moment of the lease another caller gets the present lock, and changes nothing."""
    held = locks.acquire(target, "a", START, LEASE)
    for seconds in (0.0, 30.0, LEASE - 0.001):
        assert locks.acquire(target, "b", START + timedelta(seconds=seconds), LEASE) == held
    assert locks.acquire(target, "a", START + timedelta(seconds=1), LEASE).fence == held.fence


def test_lock_renewed_keeps_its_fence(locks: Locks, target: str) -> None:
    """The holder renews its lease, also after the end of the lease, and stays the same holder."""
    locks.acquire(target, "a", START, LEASE)
    for seconds in (10, 59, 200):
        now = START + timedelta(seconds=seconds)
        assert locks.acquire(target, "a", now, LEASE) == Lock("a", now + timedelta(seconds=LEASE), 1)
    assert locks.acquire(target, "b", START + timedelta(seconds=200 + LEASE - 1), LEASE).holder == "a"


def test_lock_expired_goes_to_the_next_with_a_higher_fence(locks: Locks, target: str) -> None:
    """Anybody may take an expired lease; the former holder is then a foreign caller with an old token."""
    locks.acquire(target, "a", START, LEASE)
    later = START + timedelta(seconds=LEASE)
    taken = locks.acquire(target, "b", later, LEASE)
    assert taken == Lock("b", later + timedelta(seconds=LEASE), 2)
    assert locks.acquire(target, "a", later, LEASE) == taken
    repeated = locks.acquire(target, "a", later + timedelta(seconds=LEASE), LEASE)
    assert (repeated.holder, repeated.fence) == ("a", 3)


def test_lock_released_goes_to_the_next_with_a_higher_fence(locks: Locks, target: str) -> None:
    """A released lock is free at once, and the token continues to grow."""
    for fence, holder in enumerate(("a", "b", "c"), start=1):
        taken = locks.acquire(target, holder, START, LEASE)
        assert (taken.holder, taken.fence) == (holder, fence)
        locks.release(target, holder)
        locks.release(target, holder)


def test_lock_release_by_another_does_nothing(locks: Locks, target: str) -> None:
    """Neither a foreign caller nor a former holder ends the lease; an unknown target is not an error."""
    locks.release(target, "nobody")
    locks.acquire(target, "a", START, LEASE)
    held = locks.acquire(target, "b", START + timedelta(seconds=LEASE), LEASE)
    locks.release(target, "a")
    locks.release(target, "nobody")
    assert locks.acquire(target, "c", START + timedelta(seconds=LEASE), LEASE) == held


def test_lock_race_has_one_winner(locks: Locks, target: str) -> None:
    """Eight callers race for a free target, then for an expired one: one holds it, and all get that lock."""
    for fence in (1, 2):
        now = START + timedelta(seconds=fence * 1000)
        tasks: list[Callable[[], Lock]] = [
            lambda n=n, now=now, fence=fence: locks.acquire(target, f"{fence}-{n}", now, LEASE) for n in range(8)
        ]
        answers = at_once(tasks)
        assert len(set(answers)) == 1, answers
        assert isinstance(answers[0], Lock)
        assert answers[0].fence == fence


def test_lock_targets_are_kept_apart(locks: Locks, target: str) -> None:
    """Case, spaces, escapes and characters that no key may contain make different names."""
    strange = ["", " ", "A", "a", "/", "\\", "#", "?", "=2f", "%2F", "'", "ß", "漢" * 256, "😀", "\t\n\x00", "\ud800"]
    for name in strange:
        locks.acquire(target + name, f"holder of {name!r}", START, LEASE)
    for name in strange:
        assert locks.acquire(target + name, "late", START, LEASE).holder == f"holder of {name!r}"


class _Faulty:
    def __init__(self, locks: TableLocks, wire: FaultyTransport) -> None:
        self.locks, self.wire = locks, wire


@pytest.fixture
def faulty(storage: str, monkeypatch: pytest.MonkeyPatch) -> _Faulty:
    """Return the real locks over a transport that fails on request. Their table exists."""
    clients, wire = faulty_clients(storage, monkeypatch)
    locks = TableLocks(clients)
    locks.release("warm-up", "nobody")
    return _Faulty(locks, wire)


@pytest.mark.azurite
@pytest.mark.parametrize("standing", ["nothing", "own", "expired"])
def test_lock_is_our_own_after_a_lost_response(faulty: _Faulty, target: str, standing: str) -> None:
    """Acquired, renewed or taken over: after a lost response a second request returns the same holder and fencing
    token."""
    now = START + timedelta(seconds=LEASE)
    if standing != "nothing":
        faulty.locks.acquire(target, "me" if standing == "own" else "other", START, LEASE)
    faulty.wire.lose_next_answer()
    try:
        lock = faulty.locks.acquire(target, "me", now, LEASE)
    except StorageUnavailableError:
        lock = faulty.locks.acquire(target, "me", now, LEASE)
    assert lock == Lock("me", now + timedelta(seconds=LEASE), 2 if standing == "expired" else 1)


@pytest.mark.azurite
def test_lock_release_with_a_lost_response_frees_it(faulty: _Faulty, target: str) -> None:
    """A repeated release takes nothing from the next holder."""
    faulty.locks.acquire(target, "me", START, LEASE)
    faulty.wire.lose_next_answer()
    faulty.locks.release(target, "me")
    assert faulty.locks.acquire(target, "b", START, LEASE).fence == 2
