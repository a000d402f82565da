"""pybreaker's circuit breakers on shared records: the one module of this package that others import.

docs/adr/0009-breaker.md says what is replaced and why. pybreaker keeps the public interface (`call`, `open`, `close`,
`half_open`, listeners, states) and runs each call: it decides with `is_system_error` whether a result is a failure and
calls the listeners. Its storage and its decisions in several steps are replaced by one record and one pure function:
the record admits a call, and the call's result is at most one conditional write of the record.
"""

# pybreaker names what a subclass needs with one underscore, and annotates callables without arguments.
# pyright: reportPrivateUsage=false, reportUnknownVariableType=false, reportMissingTypeArgument=false
# pyright: reportUnknownMemberType=false, reportUnknownParameterType=false

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pybreaker

from shared.adapters.breaker.cell import BreakerCell
from shared.adapters.breaker.fallback import FallbackBreakers
from shared.adapters.fabric.foreign_errors import fabric_error_of
from shared.domain.breaker import (
    Answered,
    BreakerPolicy,
    BreakerRecord,
    BreakerState,
    ClaimProbe,
    Event,
    Failure,
    ManualOverride,
    Pass,
    ProbeRequired,
    Reject,
    is_failure,
    permission,
    reason_of,
)
from shared.domain.errors import NotFoundError
from shared.domain.fabric_paths import AREAS
from shared.domain.json import JsonObject
from shared.domain.ports import BreakerStore, Telemetry
from shared.domain.telemetry import NoTelemetry

log = logging.getLogger(__name__)

_PYBREAKER_STATES = {
    BreakerState.CLOSED: pybreaker.STATE_CLOSED,
    BreakerState.OPEN: pybreaker.STATE_OPEN,
    BreakerState.HALF_OPEN: pybreaker.STATE_HALF_OPEN,
}
_OWN_STATES = {theirs: own for own, theirs in _PYBREAKER_STATES.items()}
_LOST_RACE_SECONDS = 1.0
"""When to come back after another worker won the claim on the probe."""


@dataclass(frozen=True)
class BreakerStatus:
    """A breaker for people and monitors, at most `cache_seconds` old. `retry_after_seconds` is None unless calls are
    rejected now; `is_shared` is False while storage fails and this worker uses its own records."""

    name: str
    state: BreakerState
    failures: int
    opened_at: datetime | None
    retry_after_seconds: float | None
    reason: str
    is_shared: bool

    def to_json(self, now: datetime) -> JsonObject:
        """Return the status for the API; `retry_at` counts from `now`."""
        body: JsonObject = {
            "name": self.name,
            "state": self.state.value,
            "failures": self.failures,
            "reason": self.reason,
            "is_shared": self.is_shared,
        }
        if self.opened_at is not None:
            body["opened_at"] = self.opened_at.isoformat()
        if self.retry_after_seconds is not None:
            body["retry_at"] = (now + timedelta(seconds=self.retry_after_seconds)).isoformat()
        return body


class BreakerOpenError(pybreaker.CircuitBreakerError):
    """The call was rejected and not made; it may be made after `retry_after_seconds`."""

    def __init__(self, record: BreakerRecord, seconds: float) -> None:
        super().__init__(f"the circuit breaker '{record.name}' is {record.state.value} ({record.reason}): not called")
        self.retry_after_seconds = max(0.0, seconds)


class _SharedRecord(pybreaker.CircuitBreakerStorage):
    """pybreaker's storage on one record. It is only read, except by hand: what a call changes, `_Call` writes."""

    def __init__(self, cell: BreakerCell) -> None:
        super().__init__("table")
        self._cell = cell

    @property
    def state(self) -> str:
        return _PYBREAKER_STATES[self._cell.record().state]

    @state.setter
    def state(self, state: str) -> None:
        """Write the state: `CircuitBreaker.open`, `close` and `half_open` end here."""
        self._cell.apply(ManualOverride(_OWN_STATES[state]))

    @property
    def counter(self) -> int:
        return len(self._cell.record().failures)

    @property
    def success_counter(self) -> int:
        """Return 0: one answered probe closes the breaker."""
        return 0

    @property
    def opened_at(self) -> datetime | None:
        return self._cell.record().opened_at

    @opened_at.setter
    def opened_at(self, datetime: datetime) -> None:
        """Do nothing: the write that opens the breaker sets the time."""


class _Call(pybreaker.CircuitBreakerState):
    """One admitted call. `probe` is its claim if it is the one probe of all workers."""

    def __init__(self, breaker: "SharedCircuitBreaker", probe: str | None) -> None:
        super().__init__(breaker, breaker.current_state)
        self._cell, self._probe = breaker.cell, probe

    def _handle_error(self, exc: BaseException, reraise: bool = True) -> Any:
        """Let pybreaker judge only Fabric's responses, or their absence, whichever library reports them. Another error
        (a bug, the end of the process) is neither a failure nor a success; the probe's lease handles the rest."""
        if fabric_error_of(exc, self._cell.now()) is None:
            raise exc
        return super()._handle_error(exc, True)

    def on_failure(self, exc: BaseException) -> None:
        error = fabric_error_of(exc, self._cell.now())
        self._write(Failure(reason_of(error) if error is not None else "", self._probe))

    def on_success(self) -> None:
        """Close the breaker if this is the probe; another success writes nothing, because failures expire."""
        if self._probe is not None:
            self._write(Answered(self._probe))

    def _write(self, event: Event) -> None:
        self._cell.apply(event)
        _ = self._breaker.state  # reports a change to the listeners


class _LogListener(pybreaker.CircuitBreakerListener):
    """Logs each change of state that this worker notices, once: an opening as a warning."""

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        level = logging.WARNING if new_state.name == pybreaker.STATE_OPEN else logging.INFO
        log.log(level, "circuit breaker '%s' is %s", cb.name, new_state.name)


class SharedCircuitBreaker(pybreaker.CircuitBreaker):
    """A pybreaker circuit breaker that all workers share."""

    def __init__(self, cell: BreakerCell) -> None:
        self.cell = cell
        super().__init__(
            fail_max=cell.policy.failures,
            reset_timeout=cell.policy.open_seconds,
            exclude=[lambda error: not is_failure(fabric_error_of(error, cell.now()) or error)],
            listeners=(_LogListener(),),
            state_storage=_SharedRecord(cell),
            name=cell.name,
            throw_new_error_on_trip=False,
        )

    @property
    def state(self) -> Any:
        """Return pybreaker's state object, updated from the record; listeners are called once for each change."""
        current = self.current_state
        if current != self._state.name:
            with self._lock:
                if current != self._state.name:
                    self._state = self._create_new_state(current, prev_state=self._state, notify=True)
        return self._state

    @state.setter
    def state(self, state_str: str) -> None:
        """Update the state object: `open`, `close` and `half_open` have written the record before they set this."""
        _ = self.state

    def call[T](self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call the function unless the breaker rejects the call. Calls run in parallel: pybreaker's lock, which would
        allow one call at a time, is not held. Raises BreakerOpenError, and what the function raises."""
        _ = self.state
        return _Call(self, self._admit()).call(func, *args, **kwargs)

    def _admit(self) -> str | None:
        """Return the claim on the probe, or None if every caller may call. Raises BreakerOpenError."""
        record = self.cell.record()
        may = permission(record, self.cell.now())
        if isinstance(may, ProbeRequired):
            holder = uuid.uuid4().hex
            record = self.cell.apply(ClaimProbe(holder))
            if record.probe == holder:
                return holder
            may = permission(record, self.cell.now())
        if isinstance(may, Pass):
            return None
        raise BreakerOpenError(record, may.seconds if isinstance(may, Reject) else _LOST_RACE_SECONDS)

    def status(self) -> BreakerStatus:
        record = self.cell.record()
        may = permission(record, self.cell.now())
        return BreakerStatus(
            self.cell.name,
            record.state,
            len(record.failures),
            record.opened_at,
            may.seconds if isinstance(may, Reject) else None,
            record.reason,
            self.cell.is_shared,
        )


class CircuitBreakers:
    """All circuit breakers of a process, each created when it is first used. Thread-safe.

    No method raises StorageUnavailableError: while storage fails, the breakers are local to this worker.
    """

    def __init__(
        self,
        store: BreakerStore,
        policy: BreakerPolicy,
        now: Callable[[], datetime],
        telemetry: Telemetry | None = None,
    ) -> None:
        self._store, self._telemetry = FallbackBreakers(store, now), telemetry or NoTelemetry()
        self._policy, self._now = policy, now
        self._breakers: dict[str, SharedCircuitBreaker] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> SharedCircuitBreaker:
        """Return the breaker of that name."""
        found = self._breakers.get(name)
        if found is not None:
            return found
        new = SharedCircuitBreaker(BreakerCell(name, self._store, self._policy, self._now, self._telemetry))
        with self._lock:
            return self._breakers.setdefault(name, new)

    def all(self) -> dict[str, SharedCircuitBreaker]:
        """Return, by name, the breakers that this process uses and those that any worker has written a record of."""
        names = {row.record.name for row in self._store.all()} | set(self._breakers)
        return {name: self.get(name) for name in sorted(names)}

    def statuses(self) -> dict[str, BreakerStatus]:
        """Return each status by name: of every area of Fabric's API, used or not, and of all other breakers."""
        return {name: self.get(name).status() for name in sorted({*AREAS, *self.all()})}

    def items(self) -> list[JsonObject]:
        """Return the statuses for the API."""
        return [status.to_json(self._now()) for status in self.statuses().values()]

    def reset(self, name: str) -> JsonObject:
        """Close a breaker for all workers, forget its failures and return its status; other workers notice within
        `cache_seconds`. Raises NotFoundError for a name that `items` does not contain."""
        if name not in {*AREAS, *self.all()}:
            raise NotFoundError(f"there is no circuit breaker '{name[:80]}'")
        breaker = self.get(name)
        breaker.close()
        return breaker.status().to_json(self._now())
