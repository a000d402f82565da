"""A store of breakers that tells every change of state: once, by the one worker whose conditional write it was."""

from shared.domain.breaker import BreakerRecord, BreakerState
from shared.domain.ports import BreakerStore, Telemetry, Versioned
from shared.domain.telemetry import Event

_EVENTS = {
    BreakerState.OPEN: Event.BREAKER_OPENED,
    BreakerState.HALF_OPEN: Event.BREAKER_HALF_OPEN,
    BreakerState.CLOSED: Event.BREAKER_CLOSED,
}


class ObservedBreakers:
    """Implements the port `BreakerStore` around another."""

    def __init__(self, store: BreakerStore, telemetry: Telemetry) -> None:
        self._store, self._telemetry = store, telemetry

    @property
    def is_shared(self) -> bool:
        """As the port says."""
        return self._store.is_shared

    def read(self, name: str) -> Versioned[BreakerRecord] | None:
        """As the port says."""
        return self._store.read(name)

    def write(self, before: Versioned[BreakerRecord] | None, after: BreakerRecord) -> Versioned[BreakerRecord]:
        """As the port says; then a change of the state is told."""
        written = self._store.write(before, after)
        if after.state is not (before.record.state if before else BreakerState.CLOSED):
            self._telemetry.event(_EVENTS[after.state], self._properties(after))
        return written

    def all(self) -> list[Versioned[BreakerRecord]]:
        """As the port says."""
        return self._store.all()

    def _properties(self, record: BreakerRecord) -> dict[str, str | int | float | bool | None]:
        seconds = None
        if record.opened_at is not None and record.open_until is not None:
            seconds = (record.open_until - record.opened_at).total_seconds()
        return {
            "breaker": record.name,
            "reason": record.reason,
            "openings": record.openings,
            "open_seconds": seconds,
            "is_shared": self._store.is_shared,
        }
