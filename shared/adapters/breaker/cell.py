"""One breaker as a worker holds it: a copy of the shared record that may be a little old, and the way to change it."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from shared.domain.breaker import BreakerPolicy, BreakerRecord, Event, apply_event
from shared.domain.errors import ConflictError
from shared.domain.ports import BreakerStore

log = logging.getLogger(__name__)

_RACES = 50
_NOTHING = timedelta(0)
_STALE = 2.0
"""While one thread reads, the others go by a copy of up to so many times its age; by an older one nobody goes."""


class BreakerCell:
    """Thread-safe. Never raises StorageUnavailableError, as long as its store does not (FallbackBreakers)."""

    def __init__(self, name: str, store: BreakerStore, policy: BreakerPolicy, now: Callable[[], datetime]) -> None:
        self.name = name
        self.policy = policy
        self.now = now
        self._store = store
        self._fresh_for = timedelta(seconds=policy.cache_seconds)
        self._copy: tuple[BreakerRecord, datetime] | None = None
        self._reading = threading.Lock()

    @property
    def is_shared(self) -> bool:
        """Whether all workers see this record."""
        return self._store.is_shared

    def record(self) -> BreakerRecord:
        """The record, at most `cache_seconds` old, or twice that while another thread is reading it."""
        copy = self._copy
        if copy is not None:
            age = self.now() - copy[1]
            maximum = _STALE * self._fresh_for if self._reading.locked() else self._fresh_for
            if _NOTHING <= age < maximum:  # a clock that was set back makes no copy young again
                return copy[0]
        with self._reading:
            stored = self._copy
            if stored is not None and stored is not copy:
                return stored[0]  # another thread has read it meanwhile
            found = self._store.read(self.name)
            return self._keep(found.record if found else BreakerRecord(self.name))

    def apply(self, event: Event) -> BreakerRecord:
        """What stands after the event: read, decided, and written as a whole in one conditional write, or not at all
        where the event changes nothing. A lost race is decided anew on the fresh record."""
        for _ in range(_RACES):
            found = self._store.read(self.name)
            before = found.record if found else BreakerRecord(self.name)
            after = apply_event(before, event, self.now(), self.policy)
            if after is before:
                return self._keep(before)
            try:
                return self._keep(self._store.write(found, after).record)
            except ConflictError:
                continue
        log.warning("the breaker '%s' changed %d times while it was written: %s dropped", self.name, _RACES, event)
        return self.record()

    def _keep(self, record: BreakerRecord) -> BreakerRecord:
        self._copy = (record, self.now())
        return record
