"""Definitions that were just written, read back by few calls: an export for as many items as have waited for one.

The items of a deployment are written one after the other. A read back waits a moment, so that the next ones join it. It
proves nothing and is never needed: an item that no export shows is not read by itself.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.json import JsonObject
from shared.domain.ports import Fabric
from shared.saga.exports import TOGETHER, Exports
from shared.saga.per_client import PerClient

COLLECTING = timedelta(seconds=3)
"""How long an item waits for others, from the first that waits."""
_COMING = timedelta(seconds=15)
"""How long an item that nobody has asked for since is read with others. After that, its step has probably ended in
another process, and a rollback may have deleted the item: Fabric refuses an export as a whole for one that is gone."""
_KEPT = timedelta(minutes=5)
"""How long an export is remembered: more than an item waits for it."""
_AT_ONCE = 4
"""Exports whose definitions a process has in memory, or will have: each may have as much as an answer."""
_AGAIN_SECONDS = 1.0


@dataclass
class _Wait:
    """When an item was asked for first, and last."""

    since: datetime
    asked_at: datetime


@dataclass(frozen=True)
class _Group:
    """The items of one export."""

    formed_at: datetime
    ids: Sequence[str]
    exports: Exports


class ReadBacks:
    """The definitions that deliveries of one process wait for. Thread-safe; no method waits."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str], _Wait] = {}
        self._groups: dict[tuple[str, str], _Group] = {}

    def definition(
        self, fabric: Fabric, workspace_id: str, item_id: str, later_than: datetime
    ) -> JsonObject | float | None:
        """Return an item's definition as it was at some time after `later_than`; the seconds until it is worth asking
        again; or None if the export does not have it. A definition is returned once. Raises FabricTransientError if
        Fabric throttles."""
        key = (workspace_id, item_id)
        with self._lock:
            group = self._groups.get(key)
            if group is None or group.formed_at <= later_than:
                group = self._formed(key, later_than)
        if group is None:
            return _AGAIN_SECONDS
        found = group.exports.definition(fabric, workspace_id, item_id, group.ids, group.formed_at)
        if not isinstance(found, float):
            with self._lock:
                self._groups.pop(key, None)
        return found

    def forget(self, workspace_id: str, item_id: str) -> None:
        """Forget an item that nobody waits for any more."""
        with self._lock:
            self._waiting.pop((workspace_id, item_id), None)
            self._groups.pop((workspace_id, item_id), None)

    def _formed(self, key: tuple[str, str], later_than: datetime) -> _Group | None:
        """Return the group of an item, if those that wait are many or have waited long enough; None if it waits."""
        now = self._now()
        waiting = self._waiting.items()
        self._waiting = {each: wait for each, wait in waiting if each == key or now - wait.asked_at < _COMING}
        self._groups = {each: group for each, group in self._groups.items() if now - group.formed_at < _KEPT}
        if now <= later_than:
            return None
        self._waiting.setdefault(key, _Wait(now, now)).asked_at = now
        own = sorted(each for each in self._waiting if each[0] == key[0])
        began = min(self._waiting[each].since for each in own)
        if (len(own) < TOGETHER and now - began < COLLECTING) or self._in_memory() >= _AT_ONCE:
            return None
        chosen = [key, *(each for each in own if each != key)][:TOGETHER]
        group = _Group(now, sorted(item_id for _, item_id in chosen), Exports(self._now))
        for each in chosen:
            del self._waiting[each]
            self._groups[each] = group
        return group

    def _in_memory(self) -> int:
        exports = {id(group.exports): group.exports for group in self._groups.values()}
        return sum(1 for each in exports.values() if each.drop_unused())


_shared = PerClient(ReadBacks)


def read_backs_of(fabric: Fabric, now: Callable[[], datetime]) -> ReadBacks:
    """Return the read backs that all deliveries of one process share, which all use one client."""
    return _shared.of(fabric, now)
