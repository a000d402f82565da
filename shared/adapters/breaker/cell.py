"""One breaker as a worker sees it: a copy of the shared record that may be slightly old, and the way to change it."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from shared.domain.breaker import BreakerPolicy, BreakerRecord, BreakerState, Event, apply_event
from shared.domain.errors import ConflictError
from shared.domain.ports import BreakerStore, Telemetry
from shared.domain.telemetry import Event as TelemetryEvent

log = logging.getLogger(__name__)

_RACES = 50
_NOTHING = timedelta(0)
_STALE = 2.0
"""While one thread refreshes, the others may use a copy up to this multiple of its maximum age."""
_EVENTS = {
    BreakerState.OPEN: TelemetryEvent.BREAKER_OPENED,
    BreakerState.HALF_OPEN: TelemetryEvent.BREAKER_HALF_OPEN,
    BreakerState.CLOSED: TelemetryEvent.BREAKER_CLOSED,
}


class BreakerCell:
    """Thread-safe. Raises StorageUnavailableError only if its store does, which FallbackBreakers does not."""

    def __init__(
        self,
        name: str,
        store: BreakerStore,
        policy: BreakerPolicy,
        now: Callable[[], datetime],
        telemetry: Telemetry,
    ) -> None:
        self.name = name
        self.policy = policy
        self.now = now
        self._store, self._telemetry = store, telemetry
        self._fresh_for = timedelta(seconds=policy.cache_seconds)
        self._copy: tuple[BreakerRecord, datetime] | None = None
        self._reading = threading.Lock()

    @property
    def is_shared(self) -> bool:
        """Return True if all workers see this record."""
        return self._store.is_shared

    def record(self) -> BreakerRecord:
        """Return the record, at most `cache_seconds` old, or twice that while another thread reads it."""
        copy = self._copy
        if copy is not None:
            age = self.now() - copy[1]
            maximum = _STALE * self._fresh_for if self._reading.locked() else self._fresh_for
            if _NOTHING <= age < maximum:  # a clock that was set back does not make an old copy fresh
                return copy[0]
        with self._reading:
            current = self._copy
            if current is not None and current is not copy:
                return current[0]  # another thread has read it in the meantime
            found = self._store.read(self.name)
            return self._keep(found.record if found else BreakerRecord(self.name))

    def apply(self, event: Event) -> BreakerRecord:
        """Return the record after an event. The change is one conditional write; a lost race is decided again on the
        fresh record, and an event that changes nothing writes nothing. A change of the state is emitted as telemetry
        by the one worker whose write it was."""
        for _ in range(_RACES):
            found = self._store.read(self.name)
            before = found.record if found else BreakerRecord(self.name)
            after = apply_event(before, event, self.now(), self.policy)
            if after is before:
                return self._keep(before)
            try:
                written = self._keep(self._store.write(found, after).record)
            except ConflictError:
                continue
            if written.state is not before.state:
                self._telemetry.event(_EVENTS[written.state], self._properties(written))
            return written
        log.warning("the breaker '%s' changed %d times during one write: %s was dropped", self.name, _RACES, event)
        return self.record()

    def _keep(self, record: BreakerRecord) -> BreakerRecord:
        self._copy = (record, self.now())
        return record

    def _properties(self, record: BreakerRecord) -> dict[str, str | int | float | bool | None]:
        seconds = None
        if record.opened_at is not None and record.open_until is not None:
            seconds = (record.open_until - record.opened_at).total_seconds()
        return {
            "breaker": record.name,
            "reason": record.reason,
            "openings": record.openings,
            "open_seconds": seconds,
            "is_shared": self.is_shared,
        }
