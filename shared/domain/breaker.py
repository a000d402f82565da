"""The circuit breaker as a pure state machine: (record, event, now) -> record. All workers share the record.

              five faults within the window                 its time is over, one claims the probe
    closed ───────────────────────────────────> open ──────────────────────────────────────────> half_open
       ^                                          ^                                               │     │
       │                                          └────────── the probe met a fault ──────────────┘     │
       └──────────────────────────────────────── the probe was answered ────────────────────────────────┘

The claim of the probe has a lease: when it is over, another worker may probe. The report of a call that started before
the breaker opened, or of a worker that lost its claim, changes nothing.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.domain.errors import FabricError, FabricTransientError, UnknownVersionError
from shared.domain.fabric_codes import CODES
from shared.domain.json import JsonObject

SCHEMA_VERSION = 1
MAX_PROBE_WAIT_SECONDS = 5.0
"""The longest wait while another worker probes, because a probe is one call."""
REASON_CHARACTERS = 300


class BreakerState(StrEnum):
    """The state of a breaker. The names are persisted: add, never rename."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True)
class BreakerPolicy:
    """When a breaker opens, and for how long.

    `failures` failures within `window_seconds` open it for `open_seconds`. The time doubles after each failed probe, up
    to `max_open_seconds`. `probe_seconds` is the lease of a probe and must outlast one call. `cache_seconds` is the
    maximum age of a worker's copy. With `failures` 0 the breaker never opens.
    """

    failures: int = 5
    window_seconds: float = 60.0
    open_seconds: float = 30.0
    max_open_seconds: float = 300.0
    probe_seconds: float = 60.0
    cache_seconds: float = 2.0


@dataclass(frozen=True)
class BreakerRecord:
    """A breaker as it is persisted, in one row and one conditional write.

    `failures` are the times of the last ones, oldest first, at most as many as open it. `open_until` is when the first
    probe may be sent; `openings` counts the openings since it was last closed. `sequence` grows with every change.
    """

    name: str
    state: BreakerState = BreakerState.CLOSED
    failures: tuple[datetime, ...] = ()
    opened_at: datetime | None = None
    open_until: datetime | None = None
    openings: int = 0
    probe: str | None = None
    probe_until: datetime | None = None
    reason: str = ""
    sequence: int = 0

    def to_json(self) -> JsonObject:
        """Return the record as it is stored, with times in ISO 8601."""
        data = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in vars(self).items()}
        return {**data, "failures": [at.isoformat() for at in self.failures], "schema_version": SCHEMA_VERSION}

    @classmethod
    def from_json(cls, data: JsonObject) -> "BreakerRecord":
        """Read a stored record. Raises UnknownVersionError."""
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise UnknownVersionError(
                f"a breaker's record has version {version!r}; this program knows {SCHEMA_VERSION}"
            )
        given: dict[str, Any] = {k: v for k, v in data.items() if k != "schema_version"}
        for name in ("opened_at", "open_until", "probe_until"):
            given[name] = datetime.fromisoformat(given[name]) if given.get(name) else None
        given["failures"] = tuple(datetime.fromisoformat(at) for at in given["failures"])
        given["state"] = BreakerState(given["state"])
        return cls(**given)


@dataclass(frozen=True)
class Failure:
    """A call failed because of the service; `probe` is its claim if it was the probe."""

    reason: str
    probe: str | None = None


@dataclass(frozen=True)
class Answered:
    """The probe got a response. The service works, even if it refused the call."""

    probe: str


@dataclass(frozen=True)
class ClaimProbe:
    """A worker asks for the probe. If it gets it, the record's `probe` is its name."""

    holder: str


@dataclass(frozen=True)
class ManualOverride:
    """An operator or a program sets the state."""

    state: BreakerState
    reason: str = "by hand"


Event = Failure | Answered | ClaimProbe | ManualOverride


@dataclass(frozen=True)
class Pass:
    """The call may be sent."""


@dataclass(frozen=True)
class ProbeRequired:
    """The call may be sent only by the worker that gets the claim of the probe."""


@dataclass(frozen=True)
class Reject:
    """The call must not be sent before so many seconds."""

    seconds: float


def permission(record: BreakerRecord, now: datetime) -> Pass | ProbeRequired | Reject:
    """Return what a caller may do, by the record alone."""
    if record.state is BreakerState.CLOSED:
        return Pass()
    if record.state is BreakerState.OPEN:
        left = (record.open_until - now).total_seconds() if record.open_until else 0.0
        return Reject(left) if left > 0 else ProbeRequired()
    left = (record.probe_until - now).total_seconds() if record.probe_until else 0.0
    return Reject(min(left, MAX_PROBE_WAIT_SECONDS)) if left > 0 else ProbeRequired()


def apply_event(record: BreakerRecord, event: Event, now: datetime, policy: BreakerPolicy) -> BreakerRecord:
    """Return the record after the event. The same object means that nothing changed and nothing needs to be written."""
    after = _decided(record, event, now, policy)
    return record if after is record else replace(after, sequence=record.sequence + 1)


def _decided(record: BreakerRecord, event: Event, now: datetime, policy: BreakerPolicy) -> BreakerRecord:
    match event:
        case Failure(reason, probe):
            if record.state is BreakerState.CLOSED:
                return _failed(record, reason, now, policy)
            return _opened(record, reason, now, policy) if _probes(record, probe) else record
        case Answered(probe):
            return BreakerRecord(record.name, reason="the probe was answered") if _probes(record, probe) else record
        case ClaimProbe(holder):
            if not isinstance(permission(record, now), ProbeRequired):
                return record
            until = now + timedelta(seconds=policy.probe_seconds)
            return replace(record, state=BreakerState.HALF_OPEN, probe=holder, probe_until=until)
        case ManualOverride(BreakerState.CLOSED, reason):
            is_plain = record.state is BreakerState.CLOSED and not record.failures
            return record if is_plain else BreakerRecord(record.name, reason=reason[:REASON_CHARACTERS])
        case ManualOverride(BreakerState.OPEN, reason):
            return record if record.state is BreakerState.OPEN else _opened(record, reason, now, policy)
        case ManualOverride(_, reason):
            return replace(record, state=BreakerState.HALF_OPEN, probe=None, probe_until=None, reason=reason)


def _probes(record: BreakerRecord, probe: str | None) -> bool:
    return record.state is BreakerState.HALF_OPEN and probe is not None and record.probe == probe


def _failed(record: BreakerRecord, reason: str, now: datetime, policy: BreakerPolicy) -> BreakerRecord:
    if policy.failures <= 0:
        return record
    since = now - timedelta(seconds=policy.window_seconds)
    failures = (*(at for at in record.failures if at > since), now)[-policy.failures :]
    counted = replace(record, failures=failures, reason=reason[:REASON_CHARACTERS])
    return _opened(counted, reason, now, policy) if len(failures) >= policy.failures else counted


def _opened(record: BreakerRecord, reason: str, now: datetime, policy: BreakerPolicy) -> BreakerRecord:
    seconds = min(policy.max_open_seconds, policy.open_seconds * 2 ** min(record.openings, 20))
    return replace(
        record,
        state=BreakerState.OPEN,
        opened_at=now,
        open_until=now + timedelta(seconds=seconds),
        openings=record.openings + 1,
        probe=None,
        probe_until=None,
        reason=reason[:REASON_CHARACTERS],
    )


def is_failure(error: BaseException) -> bool:
    """Return True if an error shows that the service is failing: no response, 408 or 5xx.

    Refusals, throttling and failed operations are responses of a service that works.
    """
    if not isinstance(error, FabricTransientError) or not error.counts_as_attempt:
        return False
    if error.error_code in CODES:
        return False  # a paused capacity sometimes answers 500: the tenant paused it, and it affects one workspace
    return error.status is None or error.status == 408 or error.status >= 500


def reason_of(error: FabricError) -> str:
    """Return status and code of an error, or that no response came. The record keeps no ids and no bodies."""
    if error.status is None:
        return f"no answer: {error.detail}"[:REASON_CHARACTERS]
    return f"HTTP {error.status} {error.error_code or ''}".strip()
