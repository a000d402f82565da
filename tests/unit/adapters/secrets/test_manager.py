"""The cache in front of a vault: no value after its lifetime, no other value in a secret's place, one request at a
time."""

import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.adapters.secrets.manager import SecretManager
from shared.domain.errors import SecretNotFoundError, VaultAuthError, VaultUnavailableError
from shared.domain.secrets import CachePolicy, Secret
from tests.contract.harness import at_once

POLICY = CachePolicy(cache_seconds=100.0, missing_seconds=20.0, renew_at=0.8, pause_seconds=5.0)
FAULTS: dict[str, Callable[[], Exception]] = {
    "away": lambda: VaultUnavailableError("the vault does not answer"),
    "refuses": lambda: VaultAuthError("HTTP 403"),
    "breaks": lambda: RuntimeError("a fault that nobody foresaw"),
}


class Source:
    """A vault in memory that counts, waits and fails on request."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.fault: Callable[[], Exception] | None = None
        self.asked: list[str] = []
        self.gate: threading.Event | None = None
        self.entered = threading.Event()

    def fetch(self, name: str) -> Secret:
        """Return the secret, wait or raise, as the test has set."""
        self.asked.append(name)
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(30)
        if self.fault is not None:
            raise self.fault()
        if name not in self.values:
            raise SecretNotFoundError(f"secret '{name}' is not in the vault")
        return Secret(self.values[name])


class CachedVault:
    """A manager, its source and its time."""

    def __init__(self, policy: CachePolicy = POLICY) -> None:
        self.time = 1000.0
        self.source = Source()
        self.source.values["a-b"] = "one"
        self.manager = SecretManager(self.source, policy, now=lambda: self.time)

    def get(self) -> str:
        """Return the value of `A_B`."""
        return self.manager.get_secret("A_B").reveal()


@pytest.fixture
def vault() -> CachedVault:
    """Return a vault with one secret."""
    return CachedVault()


class Cache(RuleBasedStateMachine):
    """Time passes, secrets are rotated, deleted and created, the vault fails and recovers; readers read in between."""

    def __init__(self) -> None:
        super().__init__()
        self.vault = CachedVault()
        self.said: list[tuple[float, str | None]] = [(self.vault.time, "one")]
        """The vault's values, each with the time from which it was valid; None means missing."""
        self.reached: float | None = None
        """The time of the vault's last successful response."""
        self.count = 1

    @rule(seconds=st.sampled_from([0.5, 4.0, 6.0, 15.0, 25.0, 79.0, 81.0, 101.0]))
    def time_passes(self, seconds: float) -> None:
        """Move the clock forward."""
        self.vault.time += seconds

    @rule(is_there=st.booleans())
    def rotate(self, is_there: bool) -> None:
        """Set another value, or delete the secret."""
        self.count += 1
        value = f"value {self.count}" if is_there else None
        self.vault.source.values = {"a-b": value} if value is not None else {}
        self.said.append((self.vault.time, value))

    @rule(fault=st.sampled_from([None, *FAULTS]))
    def vault_changes_its_state(self, fault: str | None) -> None:
        """Let the vault fail or recover."""
        self.vault.source.fault = FAULTS[fault] if fault else None

    @rule(forced=st.booleans())
    def read(self, forced: bool) -> None:
        """Read once, and check the laws."""
        vault = self.vault
        before = len(vault.source.asked)
        reader = vault.manager.refresh if forced else vault.manager.get_secret
        try:
            found: str | None = reader("a.b").reveal()
        except SecretNotFoundError:
            found = None
        except Exception:
            assert len(vault.source.asked) > before, "an error without a request to the vault"
            assert vault.source.fault is not None, "an error although the vault is healthy"
            assert forced or not self._had_within(POLICY.cache_seconds), "a valid copy was not returned"
            return
        request = len(vault.source.asked) > before
        if request and vault.source.fault is None:
            self.reached = vault.time
            assert found == self.said[-1][1], "the vault returned another value just now"
        elif forced:
            raise AssertionError("a forced read returned a copy")
        life = POLICY.cache_seconds if found is not None else POLICY.missing_seconds
        assert found in self._said_within(life), "a value after its lifetime, or one that the vault never had"

    def _said_within(self, seconds: float) -> set[str | None]:
        """Return the values that the vault had within so many seconds."""
        since = self.vault.time - seconds
        ends = [at for at, _ in self.said[1:]] + [float("inf")]
        return {value for (_, value), end in zip(self.said, ends, strict=True) if end >= since}

    def _had_within(self, seconds: float) -> bool:
        """Return True if the manager holds a value (not "missing") that is still valid."""
        entry = self.vault.manager._slots["a-b"].entry
        return entry is not None and entry.secret is not None and self.vault.time - entry.fetched_at < seconds

    @invariant()
    def stats_have_no_value(self) -> None:
        """Check that the statistics contain names and counts only."""
        shown = repr(self.vault.manager.get_cache_stats())
        assert all(value is None or value not in shown for _, value in self.said)
        assert self.vault.manager.get_cache_stats()["fetches"] == len(self.vault.source.asked)


TestCache = Cache.TestCase
TestCache.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_all_spellings_and_reads_need_one_request(vault: CachedVault) -> None:
    """All spellings are one name, a fresh copy is reused, and the statistics count both."""
    for name in ("A_B", "a-b", "A.b", "a b"):
        assert vault.manager.get_secret(name).reveal() == "one"
    assert vault.source.asked == ["a-b"]
    stats = vault.manager.get_cache_stats()
    assert (stats["hits"], stats["fetches"], list(stats["names"])) == (3, 1, ["a-b"])


@pytest.mark.parametrize("has_copy", [False, True])
@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_sixteen_readers_send_one_request_and_share_its_result(
    vault: CachedVault, fault: str | None, has_copy: bool
) -> None:
    """An error is shared too, because a slow failing vault must not be asked sixteen times in turn. An expired copy is
    not used."""
    if has_copy:
        vault.get()
        vault.time += POLICY.cache_seconds
        vault.source.asked.clear()
        vault.source.entered.clear()
    vault.source.fault = FAULTS[fault] if fault else None
    vault.source.gate = threading.Event()

    def open_when_all_wait() -> str:
        assert vault.source.entered.wait(30)
        slot = vault.manager._slots["a-b"]
        # Nothing else shows how many threads wait for the request.
        while slot.flight is not None and len(slot.flight._condition._waiters) < 15:  # type: ignore[attr-defined]  # of the standard library's
            time.sleep(0.001)
        vault.source.gate.set() if vault.source.gate else None
        return "opened"

    answers = at_once([vault.get] * 16 + [open_when_all_wait])[:16]
    assert len(vault.source.asked) == 1
    if fault is None:
        assert answers == ["one"] * 16
    else:
        assert {type(answer) for answer in answers} == {type(FAULTS[fault]())}


def test_copy_is_renewed_before_its_end_by_one_reader(vault: CachedVault) -> None:
    """The other readers use the valid copy and do not wait; the next read returns the new value."""
    vault.get()
    vault.source.values["a-b"] = "two"
    vault.time += 85
    vault.source.gate = threading.Event()
    vault.source.entered.clear()
    found: list[str] = []
    renewing = threading.Thread(target=lambda: found.append(vault.get()))
    renewing.start()
    assert vault.source.entered.wait(30)
    assert at_once([vault.get] * 8) == ["one"] * 8
    vault.source.gate.set()
    renewing.join(30)
    assert found == ["two"]
    assert vault.get() == "two"
    assert len(vault.source.asked) == 2


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_has_no_effect_while_a_copy_is_valid_and_is_an_error_after(vault: CachedVault, fault: str) -> None:
    """Renewal is retried only after a pause, so that an outage does not slow down every read."""
    vault.get()
    vault.source.fault = FAULTS[fault]
    vault.time += 85
    assert [vault.get() for _ in range(5)] == ["one"] * 5
    assert len(vault.source.asked) == 2
    vault.time += POLICY.pause_seconds
    assert vault.get() == "one"
    assert len(vault.source.asked) == 3
    vault.time += 10
    for _ in range(2):
        with pytest.raises(type(FAULTS[fault]())):
            vault.get()
    vault.source.fault = None
    assert vault.get() == "one"


def test_fault_that_outlasts_the_copy_is_an_error(vault: CachedVault) -> None:
    """A copy that expires while the vault is being asked is not used."""
    vault.get()
    vault.time += 99

    def slow() -> Exception:
        vault.time += 5
        return VaultUnavailableError("after a while")

    vault.source.fault = slow
    with pytest.raises(VaultUnavailableError):
        vault.get()


def test_missing_secret_ends_the_copy_and_is_cached_for_a_while(vault: CachedVault) -> None:
    """A deleted or disabled secret is not used any longer, the vault is not asked at every read, and a new secret is
    found soon."""
    vault.get()
    vault.source.values.clear()
    vault.time += 85
    for _ in range(3):
        with pytest.raises(SecretNotFoundError, match="a-b"):
            vault.get()
    assert len(vault.source.asked) == 2
    vault.source.values["a-b"] = "two"
    vault.time += POLICY.missing_seconds
    assert vault.get() == "two"


def test_fault_is_never_reported_as_missing(vault: CachedVault) -> None:
    """A secret that was missing before may exist by the time the vault fails."""
    vault.source.values.clear()
    with pytest.raises(SecretNotFoundError):
        vault.get()
    vault.time += POLICY.missing_seconds
    vault.source.fault = FAULTS["away"]
    with pytest.raises(VaultUnavailableError):
        vault.get()


def test_refresh_cache_reads_every_name_and_reports_failed_ones(vault: CachedVault) -> None:
    """A rotation takes effect at once; a name that cannot be read keeps its copy until the copy expires."""
    vault.source.values["c"] = "three"
    vault.get()
    vault.manager.get_secret("c")
    vault.source.values = {"a-b": "two", "c": "four"}
    vault.manager.refresh_cache()
    assert (vault.get(), vault.manager.get_secret("c").reveal()) == ("two", "four")
    vault.source.fault = FAULTS["away"]
    with pytest.raises(VaultUnavailableError, match="a-b, c"):
        vault.manager.refresh_cache()
    assert vault.get() == "two"


def test_without_a_lifetime_nothing_is_cached() -> None:
    """With FEATURE_USE_SECRET_MANAGER off every read goes to the source, and so does every fault."""
    vault = CachedVault(CachePolicy(cache_seconds=0.0))
    assert vault.get() == "one"
    vault.source.values["a-b"] = "two"
    assert vault.get() == "two"
    vault.source.fault = FAULTS["away"]
    with pytest.raises(VaultUnavailableError):
        vault.get()
