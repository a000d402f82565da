"""pybreaker's circuit breaker over one shared record. docs/adr/0009-breaker.md says what is overridden and why.

pybreaker keeps counter, state and time apart, writes them one by one, holds a lock during the call, and lets
everybody through in half-open. Here its storage maps each of its operations onto one decision and one write of the
whole record, its states ask that storage for the one probe, and calls run side by side.
"""

# pybreaker names what a subclass needs with one underscore, and annotates callables without arguments.
# pyright: reportPrivateUsage=false, reportUnknownVariableType=false, reportMissingTypeArgument=false
# pyright: reportUnknownMemberType=false, reportUnknownParameterType=false
# It declares that some of its methods never return, or return nothing, where their callers use what they return.
# pyright: reportIncompatibleMethodOverride=false

import logging
import threading
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

import pybreaker

from shared.adapters.breaker.cell import BreakerCell
from shared.adapters.fabric.foreign_errors import fabric_error_of
from shared.domain.breaker import (
    Answered,
    BreakerRecord,
    BreakerState,
    ClaimProbe,
    Failure,
    ManualOverride,
    Pass,
    ProbeRequired,
    Reject,
    is_failure,
    permission,
    reason_of,
)
from shared.domain.json import JsonObject

log = logging.getLogger(__name__)

_THEIRS = {
    BreakerState.CLOSED: pybreaker.STATE_CLOSED,
    BreakerState.OPEN: pybreaker.STATE_OPEN,
    BreakerState.HALF_OPEN: pybreaker.STATE_HALF_OPEN,
}
_OURS = {theirs: ours for ours, theirs in _THEIRS.items()}


@dataclass(frozen=True)
class BreakerStatus:
    """A breaker for people and monitors, at most `cache_seconds` old. `retry_after_seconds` is None unless calls are
    refused now; `is_shared` is false while storage fails and this worker goes by what it sees itself."""

    name: str
    state: BreakerState
    failures: int
    opened_at: datetime | None
    retry_after_seconds: float | None
    reason: str
    is_shared: bool

    def to_json(self, now: datetime) -> JsonObject:
        """For machines."""
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
    """The call was not made. `retry_after_seconds` is when it may be."""

    def __init__(self, record: BreakerRecord, seconds: float) -> None:
        super().__init__(f"the circuit breaker '{record.name}' is {record.state.value} ({record.reason}): not called")
        self.retry_after_seconds = max(0.0, seconds)


class SharedStorage(pybreaker.CircuitBreakerStorage):
    """pybreaker's storage on one record. What changes anything is one conditional write; the rest writes nothing."""

    def __init__(self, cell: BreakerCell) -> None:
        super().__init__("table")
        self.cell = cell
        self._mine = threading.local()

    @property
    def state(self) -> str:
        """From the cached record."""
        return _THEIRS[self.cell.record().state]

    @state.setter
    def state(self, state: str) -> None:
        """By hand: `CircuitBreaker.open`, `close` and `half_open` end here; pybreaker's own flow does not."""
        self.cell.apply(ManualOverride(_OURS[state]))

    def increment_counter(self) -> None:
        """A fault. The same write opens the breaker where it is one too many, or where it was the probe's."""
        self.cell.apply(Failure(getattr(self._mine, "reason", ""), self._probe))

    def reset_counter(self) -> None:
        """Nothing: faults are forgotten by time, so a success writes nothing."""

    def increment_success_counter(self) -> None:
        """An answer in half-open. The same write closes the breaker where it was the probe's."""
        if self._probe is not None:
            self.cell.apply(Answered(self._probe))

    def reset_success_counter(self) -> None:
        """Nothing: one answered probe closes."""

    @property
    def counter(self) -> int:
        """Faults in the record."""
        return len(self.cell.record().failures)

    @property
    def success_counter(self) -> int:
        """Never above zero: the answer that would count closes at once."""
        return 0

    @property
    def opened_at(self) -> datetime | None:
        """When it opened last."""
        return self.cell.record().opened_at

    @opened_at.setter
    def opened_at(self, datetime: datetime) -> None:
        """Nothing: the write that opens sets it."""

    @property
    def _probe(self) -> str | None:
        return getattr(self._mine, "probe", None)

    def because(self, reason: str) -> None:
        """Why the next fault of this thread is one; pybreaker's `increment_counter` has no room for it."""
        self._mine.reason = reason

    @contextmanager
    def probing(self) -> Generator[None]:
        """While this thread may call although the breaker is not closed: it is the one prober of all workers.
        Raises BreakerOpenError where it is not."""
        seen = self.cell.record()
        may = permission(seen, self.cell.now())
        if isinstance(may, ProbeRequired):
            holder = uuid.uuid4().hex
            seen = self.cell.apply(ClaimProbe(holder))
            if seen.probe == holder:
                self._mine.probe = holder
                try:
                    yield
                finally:
                    self._mine.probe = None
                return
            may = permission(seen, self.cell.now())
        if not isinstance(may, Pass):  # ProbeRequired: a lost race of many; one of the others probes
            raise BreakerOpenError(seen, may.seconds if isinstance(may, Reject) else 1.0)
        yield


class _FabricErrorsOnly(pybreaker.CircuitBreakerState):
    """What is no answer of Fabric's, whichever library says so, (a bug of ours, the end of the process) is neither a
    fault nor a success: where it ends a probe, the lease does the rest."""

    def _handle_error(self, exc: BaseException, reraise: bool = True) -> NoReturn:
        storage: SharedStorage = self._breaker._state_storage  # type: ignore[assignment]
        found = fabric_error_of(exc, storage.cell.now())
        if found is not None:
            storage.because(reason_of(found))
            super()._handle_error(exc, True)
        raise exc

    def on_failure(self, exc: BaseException) -> None:
        """Look only: the write of `increment_counter` has decided already."""
        _ = self._breaker.state


class _Closed(_FabricErrorsOnly, pybreaker.CircuitClosedState):
    """Everybody may call."""


class _HalfOpen(_FabricErrorsOnly, pybreaker.CircuitHalfOpenState):
    """One may call."""

    def call[T](self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Only with the claim on the probe. Raises BreakerOpenError."""
        with self._breaker._state_storage.probing():  # type: ignore[attr-defined]
            return super().call(func, *args, **kwargs)

    def on_success(self) -> None:
        """One write closes it; `CircuitBreaker.close` would be another."""
        self._breaker._state_storage.increment_success_counter()
        _ = self._breaker.state


class _Open(_FabricErrorsOnly, pybreaker.CircuitOpenState):
    """Nobody may call before its time is over."""

    def before_call[T](self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Once its time is over, by the record and not by a fixed timeout: as in half-open, for the claim on the
        probe is what makes it half-open. Raises BreakerOpenError."""
        return _HalfOpen(self._breaker, self).call(func, *args, **kwargs)


_STATES: dict[str, type[_Closed | _HalfOpen | _Open]] = {
    pybreaker.STATE_CLOSED: _Closed,
    pybreaker.STATE_HALF_OPEN: _HalfOpen,
    pybreaker.STATE_OPEN: _Open,
}


class LogListener(pybreaker.CircuitBreakerListener):
    """Every change of state that this worker notices, once, in the log."""

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        """A warning where it opens, else for information."""
        level = logging.WARNING if new_state.name == pybreaker.STATE_OPEN else logging.INFO
        log.log(level, "circuit breaker '%s' is %s", cb.name, new_state.name)


class SharedCircuitBreaker(pybreaker.CircuitBreaker):
    """A pybreaker circuit breaker that all workers share. `call` raises BreakerOpenError where it may not."""

    def __init__(self, cell: BreakerCell, listeners: tuple[pybreaker.CircuitBreakerListener, ...] = ()) -> None:
        self.cell = cell
        super().__init__(
            fail_max=cell.policy.failures,
            reset_timeout=cell.policy.open_seconds,
            exclude=[lambda error: not is_failure(fabric_error_of(error, cell.now()) or error)],
            listeners=(LogListener(), *listeners),
            state_storage=SharedStorage(cell),
            name=cell.name,
            throw_new_error_on_trip=False,
        )

    def _create_new_state(
        self, new_state: str, prev_state: pybreaker.CircuitBreakerState | None = None, notify: bool = False
    ) -> Any:
        return _STATES[new_state](self, prev_state, notify)

    @property
    def state(self) -> Any:
        """pybreaker's state object, brought up to date; a change that was noticed is told to the listeners once."""
        current = self.current_state
        if current != self._state.name:
            with self._lock:
                if current != self._state.name:
                    self._state = self._create_new_state(current, prev_state=self._state, notify=True)
        return self._state

    @state.setter
    def state(self, state_str: str) -> None:
        """Nothing to set: `open`, `close` and `half_open` have written the record, and this looks at it."""
        _ = self.state

    def status(self) -> BreakerStatus:
        """How it stands."""
        record = self.cell.record()
        may = permission(record, self.cell.now())
        wait = may.seconds if isinstance(may, Reject) else None
        return BreakerStatus(
            self.cell.name,
            record.state,
            len(record.failures),
            record.opened_at,
            wait,
            record.reason,
            self.cell.is_shared,
        )

    def call[T](self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Without pybreaker's lock, which would make one call at a time of a whole worker."""
        return self.state.call(func, *args, **kwargs)
