"""Objects that all deliveries of one process share if they use the same client of Fabric."""

import threading
from collections.abc import Callable
from datetime import datetime
from weakref import WeakKeyDictionary

from shared.domain.ports import Fabric


class PerClient[T]:
    """One object for each client, made when it is first asked for. Thread-safe.

    A kept object must not refer to its client, or the client would be kept forever.
    """

    def __init__(self, make: Callable[[Callable[[], datetime]], T]) -> None:
        self._make = make
        self._kept: WeakKeyDictionary[Fabric, T] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, fabric: Fabric, now: Callable[[], datetime]) -> T:
        """Return the object of a client; `now` is the clock of one that is made."""
        with self._lock:
            found = self._kept.get(fabric)
            if found is None:
                found = self._kept[fabric] = self._make(now)
            return found
