"""The cache in front of a vault: nothing past its life, nothing else in a secret's place, one question at a time."""

import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.adapters.secret_manager import SecretManager
from shared.domain.errors import SecretNotFoundError, VaultAuthError, VaultUnavailableError
from shared.domain.secrets import CachePolicy, Secret
from tests.contract.harness import at_once

POLICY = CachePolicy(ttl_seconds=100.0, missing_seconds=20.0, renew_at=0.8, pause_seconds=5.0)
FAULTS: dict[str, Callable[[], Exception]] = {
    "away": lambda: VaultUnavailableError("the vault does not answer"),
    "refuses": lambda: VaultAuthError("HTTP 403"),
    "breaks": lambda: RuntimeError("a fault that nobody foresaw"),
}


class Source:
    """A vault in memory that counts, waits and fails on demand."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.fault: Callable[[], Exception] | None = None
        self.asked: list[str] = []
        self.gate: threading.Event | None = None
        self.entered = threading.Event()

    def fetch(self, name: str) -> Secret:
        """As a vault does."""
        self.asked.append(name)
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(30)
        if self.fault is not None:
            raise self.fault()
        if name not in self.values:
            raise SecretNotFoundError(f"secret '{name}' is not in the vault")
        return Secret(self.values[name])


class World:
    """A manager, its source and its time."""

    def __init__(self, policy: CachePolicy = POLICY) -> None:
        self.time = 1000.0
        self.source = Source()
        self.source.values["a-b"] = "one"
        self.manager = SecretManager(self.source, policy, now=lambda: self.time)

    def get(self) -> str:
        """What `A_B` is."""
        return self.manager.get_secret("A_B").reveal()


@pytest.fixture
def world() -> World:
    """A vault with one secret."""
    return World()


class Cache(RuleBasedStateMachine):
    """Time passes, secrets are rotated, deleted and made, the vault fails and heals; readers read in between."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.said: list[tuple[float, str | None]] = [(self.world.time, "one")]
        """Since when the vault had which value, None: none."""
        self.reached: float | None = None
        """When the vault last answered."""
        self.count = 1

    @rule(seconds=st.sampled_from([0.5, 4.0, 6.0, 15.0, 25.0, 79.0, 81.0, 101.0]))
    def time_passes(self, seconds: float) -> None:
        """The clock goes on."""
        self.world.time += seconds

    @rule(is_there=st.booleans())
    def rotate(self, is_there: bool) -> None:
        """Another value from now on, or none."""
        self.count += 1
        value = f"value {self.count}" if is_there else None
        self.world.source.values = {"a-b": value} if value is not None else {}
        self.said.append((self.world.time, value))

    @rule(fault=st.sampled_from([None, *FAULTS]))
    def vault_changes_its_mood(self, fault: str | None) -> None:
        """It fails, or is well."""
        self.world.source.fault = FAULTS[fault] if fault else None

    @rule(forced=st.booleans())
    def read(self, forced: bool) -> None:
        """One reading, held to the laws."""
        world = self.world
        before = len(world.source.asked)
        reader = world.manager.refresh if forced else world.manager.get_secret
        try:
            found: str | None = reader("a.b").reveal()
        except SecretNotFoundError:
            found = None
        except Exception:
            assert len(world.source.asked) > before, "an error without having asked"
            assert world.source.fault is not None, "an error of a vault that is well"
            assert forced or not self._had_within(POLICY.ttl_seconds), "a living copy was not served"
            return
        asked = len(world.source.asked) > before
        if asked and world.source.fault is None:
            self.reached = world.time
            assert found == self.said[-1][1], "the vault said something else just now"
        elif forced:
            raise AssertionError("a forced reading gave a copy")
        life = POLICY.ttl_seconds if found is not None else POLICY.missing_seconds
        assert found in self._said_within(life), "served past its life, or never said by the vault"

    def _said_within(self, seconds: float) -> set[str | None]:
        """What the vault has said within so many seconds, if it was asked then."""
        since = self.world.time - seconds
        ends = [at for at, _ in self.said[1:]] + [float("inf")]
        return {value for (_, value), end in zip(self.said, ends, strict=True) if end >= since}

    def _had_within(self, seconds: float) -> bool:
        """Whether a value (not "none") is in the manager and lives."""
        entry = self.world.manager._slots["a-b"].entry
        return entry is not None and entry.secret is not None and self.world.time - entry.fetched_at < seconds

    @invariant()
    def stats_have_no_value(self) -> None:
        """Names and counts only."""
        shown = repr(self.world.manager.get_cache_stats())
        assert all(value is None or value not in shown for _, value in self.said)
        assert self.world.manager.get_cache_stats()["fetches"] == len(self.world.source.asked)


TestCache = Cache.TestCase
TestCache.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_one_question_for_all_spellings_and_many_readings(world: World) -> None:
    """A name is one, and a copy serves while it is fresh; the statistics say so."""
    for name in ("A_B", "a-b", "A.b", "a b"):
        assert world.manager.get_secret(name).reveal() == "one"
    assert world.source.asked == ["a-b"]
    stats = world.manager.get_cache_stats()
    assert (stats["hits"], stats["fetches"], list(stats["names"])) == (3, 1, ["a-b"])


@pytest.mark.parametrize("has_copy", [False, True])
@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_sixteen_readers_ask_once_and_share_the_answer(world: World, fault: str | None, has_copy: bool) -> None:
    """Also the bad one: a vault that fails slowly is not asked sixteen times in turn. A copy that is over is none."""
    if has_copy:
        world.get()
        world.time += POLICY.ttl_seconds
        world.source.asked.clear()
        world.source.entered.clear()
    world.source.fault = FAULTS[fault] if fault else None
    world.source.gate = threading.Event()

    def open_when_all_wait() -> str:
        assert world.source.entered.wait(30)
        slot = world.manager._slots["a-b"]
        # Nothing else tells how many wait for the flight.
        while slot.flight is not None and len(slot.flight._condition._waiters) < 15:  # type: ignore[attr-defined]  # of the standard library's
            time.sleep(0.001)
        world.source.gate.set() if world.source.gate else None
        return "opened"

    answers = at_once([world.get] * 16 + [open_when_all_wait])[:16]
    assert len(world.source.asked) == 1
    if fault is None:
        assert answers == ["one"] * 16
    else:
        assert {type(answer) for answer in answers} == {type(FAULTS[fault]())}


def test_copy_is_renewed_before_its_end_by_one_reader(world: World) -> None:
    """The others go on with what lives and do not wait; the next reading has the new value."""
    world.get()
    world.source.values["a-b"] = "two"
    world.time += 85
    world.source.gate = threading.Event()
    world.source.entered.clear()
    found: list[str] = []
    renewing = threading.Thread(target=lambda: found.append(world.get()))
    renewing.start()
    assert world.source.entered.wait(30)
    assert at_once([world.get] * 8) == ["one"] * 8
    world.source.gate.set()
    renewing.join(30)
    assert found == ["two"]
    assert world.get() == "two"
    assert len(world.source.asked) == 2


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_costs_nothing_while_a_copy_lives_and_is_an_error_after(world: World, fault: str) -> None:
    """Renewing is tried again only after a pause, so that an outage does not slow every reading down."""
    world.get()
    world.source.fault = FAULTS[fault]
    world.time += 85
    assert [world.get() for _ in range(5)] == ["one"] * 5
    assert len(world.source.asked) == 2
    world.time += POLICY.pause_seconds
    assert world.get() == "one"
    assert len(world.source.asked) == 3
    world.time += 10
    for _ in range(2):
        with pytest.raises(type(FAULTS[fault]())):
            world.get()
    world.source.fault = None
    assert world.get() == "one"


def test_fault_that_outlasts_the_copy_is_an_error(world: World) -> None:
    """A copy that dies while the vault is being asked is dead."""
    world.get()
    world.time += 99

    def slow() -> Exception:
        world.time += 5
        return VaultUnavailableError("after a while")

    world.source.fault = slow
    with pytest.raises(VaultUnavailableError):
        world.get()


def test_answer_that_there_is_none_ends_the_copy_and_is_believed_for_a_while(world: World) -> None:
    """A secret that was deleted or disabled is not used on; the vault is not asked at each reading; one that is made
    then is seen soon."""
    world.get()
    world.source.values.clear()
    world.time += 85
    for _ in range(3):
        with pytest.raises(SecretNotFoundError, match="a-b"):
            world.get()
    assert len(world.source.asked) == 2
    world.source.values["a-b"] = "two"
    world.time += POLICY.missing_seconds
    assert world.get() == "two"


def test_fault_never_becomes_none(world: World) -> None:
    """What was not there is not known to be still not there when the vault fails."""
    world.source.values.clear()
    with pytest.raises(SecretNotFoundError):
        world.get()
    world.time += POLICY.missing_seconds
    world.source.fault = FAULTS["away"]
    with pytest.raises(VaultUnavailableError):
        world.get()


def test_refresh_cache_asks_for_every_name_and_says_which_failed(world: World) -> None:
    """Rotation is seen at once; a name that cannot be read keeps its copy to its end."""
    world.source.values["c"] = "three"
    world.get()
    world.manager.get_secret("c")
    world.source.values = {"a-b": "two", "c": "four"}
    world.manager.refresh_cache()
    assert (world.get(), world.manager.get_secret("c").reveal()) == ("two", "four")
    world.source.fault = FAULTS["away"]
    with pytest.raises(VaultUnavailableError, match="a-b, c"):
        world.manager.refresh_cache()
    assert world.get() == "two"


def test_without_a_life_nothing_is_kept() -> None:
    """FEATURE_USE_SECRET_MANAGER off: every reading is the source's, and so is every fault."""
    world = World(CachePolicy(ttl_seconds=0.0))
    assert world.get() == "one"
    world.source.values["a-b"] = "two"
    assert world.get() == "two"
    world.source.fault = FAULTS["away"]
    with pytest.raises(VaultUnavailableError):
        world.get()
