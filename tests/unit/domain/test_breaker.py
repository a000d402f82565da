"""The breaker's decisions, as a state machine over random histories, and which errors count as failures."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.domain.breaker import (
    Answered,
    BreakerPolicy,
    BreakerRecord,
    BreakerState,
    ClaimProbe,
    Failure,
    ManualOverride,
    Pass,
    ProbeRequired,
    Reject,
    apply_event,
    is_failure,
    permission,
)
from shared.domain.errors import (
    FabricAmbiguousError,
    FabricAuthError,
    FabricError,
    FabricNotFoundError,
    FabricRefusedError,
    FabricTransientError,
    UnknownVersionError,
)
from shared.domain.fabric_paths import AREAS, area
from tests.fakes import START

POLICY = BreakerPolicy(
    failures=3, window_seconds=60, open_seconds=30, max_open_seconds=100, probe_seconds=20, cache_seconds=0
)


class BreakerMachine(RuleBasedStateMachine):
    """Random failures, responses, claims, deaths of probing workers and passing of time, compared with a
    simple model."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.record = BreakerRecord("items")
        self.claims = 0
        self.recent: list[float] = []
        self.holder: str | None = None
        self.superseded: list[str] = []
        self.previous = self.record

    def happen(self, event: Failure | Answered | ClaimProbe | ManualOverride) -> None:
        """Apply one event."""
        self.previous, self.record = self.record, apply_event(self.record, event, self.now, POLICY)

    @rule(seconds=st.floats(0.01, 40))
    def time_passes(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    @rule()
    def failure_of_an_ordinary_call(self) -> None:
        """Report a failure: while closed it counts, and the third within the window opens the breaker; else it changes
        nothing."""
        before = self.record
        self.happen(Failure("HTTP 503"))
        if before.state is not BreakerState.CLOSED:
            assert self.record is before
            return
        self.recent.append(self.now.timestamp())
        within = [at for at in self.recent if at > self.now.timestamp() - 60]
        assert (self.record.state is BreakerState.OPEN) == (len(within) >= 3)
        if self.record.state is BreakerState.OPEN:
            assert self.record.open_until == self.now + timedelta(seconds=30)

    @rule()
    def worker_requests_the_probe(self) -> None:
        """Claim the probe: it succeeds exactly when the record permits it, and then excludes others while the lease
        lasts."""
        allowed = isinstance(permission(self.record, self.now), ProbeRequired)
        self.claims += 1
        holder = f"h{self.claims}"
        self.happen(ClaimProbe(holder))
        assert (self.record.probe == holder) == allowed
        if allowed:
            assert self.record.state is BreakerState.HALF_OPEN
            self.superseded += [self.holder] if self.holder else []
            self.holder = holder
            repeated = apply_event(self.record, ClaimProbe("another"), self.now, POLICY)
            assert repeated is self.record

    @precondition(lambda self: self.holder is not None)
    @rule(is_answered=st.booleans())
    def prober_reports(self, is_answered: bool) -> None:
        """Report the probe: a success closes the breaker, a failure opens it for twice as long, up to the maximum."""
        assert self.holder is not None
        before = self.record
        self.happen(Answered(self.holder) if is_answered else Failure("HTTP 500", self.holder))
        self.holder, self.recent = None, []
        if before.state is not BreakerState.HALF_OPEN:
            return
        if is_answered:
            assert self.record.state is BreakerState.CLOSED
            assert (self.record.failures, self.record.openings) == ((), 0)
        else:
            assert self.record.state is BreakerState.OPEN
            assert self.record.open_until is not None
            wait = (self.record.open_until - self.now).total_seconds()
            assert wait == min(100, 30 * 2**before.openings)

    @precondition(lambda self: self.superseded)
    @rule(is_answered=st.booleans())
    def superseded_prober_reports(self, is_answered: bool) -> None:
        """Report a superseded probe: it changes nothing. (A closed breaker is left out: there the failure still
        counts.)"""
        holder = self.superseded.pop()
        before = self.record
        if before.state is BreakerState.CLOSED:
            return
        self.happen(Answered(holder) if is_answered else Failure("HTTP 500", holder))
        assert self.record is before

    @rule()
    def operator_closes_it(self) -> None:
        """Close the breaker from any state."""
        self.happen(ManualOverride(BreakerState.CLOSED))
        assert isinstance(permission(self.record, self.now), Pass)
        assert self.record.failures == ()
        self.holder, self.recent, self.superseded = None, [], []

    @invariant()
    def record_is_valid(self) -> None:
        """Check that the record can be stored, counts its changes, and never rejects for longer than the maximum."""
        record = self.record
        assert BreakerRecord.from_json(record.to_json()) == record
        assert record.sequence - self.previous.sequence in (0, 1)
        assert (record == self.previous) == (record.sequence == self.previous.sequence)
        assert (record.probe is None) == (record.state is not BreakerState.HALF_OPEN)
        may = permission(record, self.now)
        assert isinstance(may, Pass) == (record.state is BreakerState.CLOSED)
        if isinstance(may, Reject):
            assert 0 < may.seconds <= 100


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def transient(status: int | None, **more: object) -> FabricError:
    """Return a transient error, which may count."""
    return FabricTransientError("x", call="GET /x", status=status, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (transient(None), True),
        (FabricAmbiguousError("reset", call="POST /x"), True),
        (transient(408), True),
        (transient(500), True),
        (transient(503), True),
        (transient(429, counts_as_attempt=False), False),
        (transient(None, counts_as_attempt=False), False),
        (transient(500, error_code="CapacityNotActive"), False),
        (transient(400, error_code="CapacityNotActive"), False),
        (transient(200), False),
        (FabricAuthError("x", call="GET /x", status=401), False),
        (FabricAuthError("x", call="GET /x", status=403), False),
        (FabricNotFoundError("x", call="GET /x", status=404), False),
        (FabricRefusedError("x", call="GET /x", status=400), False),
        (ValueError("a bug of ours"), False),
    ],
)
def test_failure_is_only_what_the_service_caused(error: BaseException, counts: bool) -> None:
    """No response, 408 and 5xx count; refusals, throttling and paused capacities do not."""
    assert is_failure(error) == counts


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/workspaces", "workspaces"),
        ("/workspaces/1?x=/items", "workspaces"),
        ("/workspaces/1/items", "items"),
        ("/workspaces/1/lakehouses/2", "items"),
        ("/workspaces/1/items/2/getDefinition", "items"),
        ("/workspaces/1/items/2/jobs/instances", "jobs"),
        ("/workspaces/1/roleAssignments/2", "roles"),
        ("/workspaces/1/assignToCapacity", "capacities"),
        ("/workspaces/1/git/status", "git"),
        ("/operations/1/result", "operations"),
        ("/capacities", "capacities"),
        ("/gateways", "other"),
        ("", "other"),
    ],
)
def test_area_is_derived_from_the_path(path: str, expected: str) -> None:
    """Each part of the API that fails on its own has its own breaker."""
    assert area(path) == expected
    assert expected in AREAS


@given(st.text(max_size=60))
def test_area_is_always_a_known_one(path: str) -> None:
    """For any path it is a name that can be a key."""
    assert area(path) in AREAS


def test_record_of_a_newer_version_is_refused() -> None:
    with pytest.raises(UnknownVersionError):
        BreakerRecord.from_json({**BreakerRecord("x").to_json(), "schema_version": 2})


def test_reset_by_hand_of_a_new_breaker_changes_nothing() -> None:
    """Then nothing must be written."""
    record = BreakerRecord("x")
    assert apply_event(record, ManualOverride(BreakerState.CLOSED), START, POLICY) is record
    half = apply_event(record, ManualOverride(BreakerState.HALF_OPEN), START, POLICY)
    assert isinstance(permission(half, START), ProbeRequired)
    opened = apply_event(record, ManualOverride(BreakerState.OPEN, "maintenance"), START, POLICY)
    assert isinstance(permission(opened, START), Reject)
