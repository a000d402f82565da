"""Definitions of many items, read by one operation (`bulkExportDefinitions`), for all who ask for one of them.

To read one definition takes three calls: a POST, a poll and a result. An export takes as many for fifty items. Fabric
serves it as a beta, and refuses it as a whole for one item that it does not export; so an export is never needed: who
gets none reads the item's own definition. An export proves only that an item is as it should be. A before-image is
always read by itself, immediately before the update.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from weakref import WeakSet

from shared.domain.errors import FabricError, FabricTransientError
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.polling import poll_delay_seconds
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.states import OperationState
from shared.saga.per_client import PerClient
from shared.steps.definition_parts import restorable

TOGETHER = 50
"""Items of one export. An answer has at most 64 MiB (adapters/fabric/transport.py)."""
EXPECTED_SECONDS = 1.3
"""The usual duration of an export. Source: recorded traffic of microsoft/fabric-cli."""
_PATIENCE = timedelta(minutes=2)
_BUSY_SECONDS = 1.0
_AT_ONCE = 4
"""Exports whose definitions a process has in memory, or will have: each may have as much as an answer."""
_KEPT = timedelta(seconds=30)
"""How long definitions are kept after anybody last asked for one of them."""
_FRESH = timedelta(minutes=5)
"""The greatest age of an export: a held deployment goes on days later. It is more than `_PATIENCE`, so that an export
without an end is given up and not requested again."""
_REMEMBERED = timedelta(hours=1)
"""How long the exports of other workspaces are remembered, whose deployments may go on at the same time."""


@dataclass
class _Export:
    """The export of one group of items. `found` is None until it is over; then it has the definitions by item id.

    `asked_at` has the items that somebody asked for and has not got yet, with the times of the last requests.
    """

    requested_at: datetime
    used_at: datetime
    asked_at: dict[str, datetime] = field(default_factory=lambda: dict[str, datetime]())
    lock: threading.Lock = field(default_factory=threading.Lock)
    operation: OperationStarted | None = None
    next_poll_at: datetime | None = None
    found: dict[str, JsonObject] | None = None

    @property
    def is_in_memory(self) -> bool:
        """Return True if it has definitions, or will have them."""
        return self.found is None or bool(self.found)

    def is_awaited(self, now: datetime) -> bool:
        """Return True if it runs, or has a definition that somebody asked for and will come back for."""
        found = self.found
        return found is None or any(item in found for item, at in list(self.asked_at.items()) if at + _KEPT >= now)


class Exports:
    """The exports of one process. Thread-safe; no method waits.

    An item that is exported and then changed needs a definition of its own, so nobody asks for the exported one. Such
    definitions give way when another export needs their place. All definitions are dropped when nobody has asked for
    any of their group for a while: `watch` gets the exports whenever there is something to drop later, and must then
    call `drop_unused` from time to time.
    """

    def __init__(self, now: Callable[[], datetime], watch: "Callable[[Exports], None] | None" = None) -> None:
        self._now, self._watch = now, watch or unused.watch
        self._lock = threading.Lock()
        self._groups: dict[tuple[str, int], _Export] = {}
        self._asked_at: dict[tuple[str, int], dict[str, datetime]] = {}

    def definition(
        self, fabric: Fabric, workspace_id: str, item_id: str, ids: Sequence[str], later_than: datetime
    ) -> JsonObject | float | None:
        """Return an item's definition as it was at some time after `later_than`; the seconds until it is worth asking
        again; or None if no export has it. Each definition is returned once, so that few of them are kept.

        `ids` are the items that are read too, in an order that is the same for all who ask. Raises FabricTransientError
        if Fabric throttles, which does not count as an attempt.
        """
        if item_id not in ids:
            return None
        number = ids.index(item_id) // TOGETHER
        group = self._group((workspace_id, number), item_id, max(later_than, self._now() - _FRESH))
        if group is None:
            return EXPECTED_SECONDS
        if not group.lock.acquire(blocking=False):
            return _BUSY_SECONDS  # another thread is asking Fabric
        try:
            if group.found is None:
                wait = self._advance(group, fabric, workspace_id, ids[number * TOGETHER : (number + 1) * TOGETHER])
                if wait is not None:
                    return wait
            group.asked_at.pop(item_id, None)
            return (group.found or {}).pop(item_id, None)
        finally:
            group.lock.release()

    def drop_unused(self) -> int:
        """Drop the definitions that nobody asks for any more. Return how many are still in memory or on their way."""
        with self._lock:
            self._drop(self._now())
            return sum(1 if each.found is None else len(each.found) for each in self._groups.values())

    def _drop(self, now: datetime) -> None:
        for each in self._groups.values():
            is_over = each.requested_at + _PATIENCE < now if each.found is None else each.used_at + _KEPT < now
            if is_over:
                each.found = {}

    def _group(self, key: tuple[str, int], item_id: str, later_than: datetime) -> _Export | None:
        """Return the export of a group, a new one if the last is too old; None if too many are in memory."""
        with self._lock:
            now, group = self._now(), self._groups.get(key)
            self._drop(now)
            asked_at = self._asked_at.setdefault(key, {})
            asked_at[item_id] = now
            if group is not None and group.requested_at >= later_than:
                group.used_at = now
                return group
            if not self._has_room(now):
                return None
            # Those of earlier deployments are forgotten, and not those that deployments of other workspaces wait for.
            since = {key[0]: later_than}
            kept = {k: g for k, g in self._groups.items() if g.requested_at >= since.get(k[0], now - _REMEMBERED)}
            self._groups = {**kept, key: _Export(now, now, asked_at)}
            self._asked_at = {k: a for k, a in self._asked_at.items() if k in self._groups or _is_recent(a, now)}
            group = self._groups[key]
        self._watch(self)
        return group

    def _has_room(self, now: datetime) -> bool:
        """Return True if one more export may be in memory, after those that nobody waits for gave way."""
        held = [each for each in self._groups.values() if each.is_in_memory]
        waiting = [each for each in held if each.is_awaited(now)]
        if len(waiting) >= _AT_ONCE:
            return False
        spare = sorted((each for each in held if each not in waiting), key=lambda each: each.used_at)
        for each in spare[: max(0, len(held) + 1 - _AT_ONCE)]:
            each.found = {}
        return True

    def _advance(self, group: _Export, fabric: Fabric, workspace_id: str, ids: Sequence[str]) -> float | None:
        """Start the export or look at it; return the seconds until the next look, or None if it is over."""
        now = self._now()
        if group.next_poll_at is not None and now < group.next_poll_at:
            return (group.next_poll_at - now).total_seconds()
        try:
            answer = self._started(group, fabric, workspace_id, ids) if group.operation is None else None
            if group.operation is not None and answer is None:
                answer = self._polled(group, group.operation, fabric)
        except FabricTransientError as error:
            if not error.counts_as_attempt:
                raise
            answer = {}
        except FabricError:
            answer = {}  # not served here, or not for one of these items
        if answer is None:
            delay = poll_delay_seconds(EXPECTED_SECONDS, (now - group.requested_at).total_seconds())
            group.next_poll_at = now + timedelta(seconds=delay)
            return float(delay)
        group.operation, group.found = None, _definitions(answer)
        return None

    def _started(self, group: _Export, fabric: Fabric, workspace_id: str, ids: Sequence[str]) -> JsonObject | None:
        """Return the answer of an export that is over at once; None for one that goes on."""
        path = f"/workspaces/{workspace_id}/items/bulkExportDefinitions"
        body: JsonObject = {"mode": "Selective", "items": [{"id": each} for each in ids]}
        reply = fabric.send("POST", path, body, {"beta": "true"})
        group.operation = reply.operation
        group.next_poll_at = self._now() + timedelta(seconds=1)
        return (reply.body or {}) if reply.operation is None else None

    def _polled(self, group: _Export, operation: OperationStarted, fabric: Fabric) -> JsonObject | None:
        """Return the result of the operation, empty if it failed; None while it runs."""
        if group.next_poll_at is not None and self._now() < group.next_poll_at:
            return None
        status = fabric.poll(operation.id, operation.location)
        if status.state is OperationState.RUNNING and self._now() < group.requested_at + _PATIENCE:
            return None
        if status.state is not OperationState.SUCCEEDED:
            return {}
        return fabric.result(operation.id, operation.location) or {}


def _definitions(answer: JsonObject) -> dict[str, JsonObject]:
    """Return the definitions in an answer by item id; an item whose parts are not complete is left out."""
    index = [as_object(row) or {} for row in as_list(answer.get("itemDefinitionsIndex")) or []]
    roots = {str(row.get("rootPath")): str(row.get("id")).lower() for row in index}
    found: dict[str, JsonObject] = {}
    for part in (as_object(row) or {} for row in as_list(answer.get("definitionParts")) or []):
        path = str(part.get("path"))
        root = next((each for each in _folders(path) if each in roots), None)
        if root is None:
            continue
        own: JsonObject = {**part, "path": path[len(root) + 1 :]}
        found.setdefault(roots[root], {"parts": []})["parts"].append(own)
    whole = {item_id: restorable(definition) for item_id, definition in found.items()}
    return {item_id: definition for item_id, definition in whole.items() if definition is not None}


def _folders(path: str) -> list[str]:
    """Return the folders of a path, the longest first: an item's folder may be inside that of another."""
    pieces = path.split("/")
    return ["/".join(pieces[:count]) for count in range(len(pieces) - 1, 0, -1)]


def _is_recent(asked_at: dict[str, datetime], now: datetime) -> bool:
    return any(at + _KEPT >= now for at in list(asked_at.values()))


class Unused:
    """Lets exports drop what nobody asks for, although nobody asks for anything else either: from a thread that runs as
    long as there is something to drop. `start` starts it."""

    def __init__(self, start: Callable[[threading.Thread], None] = threading.Thread.start) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._watched: WeakSet[Exports] = WeakSet()
        self._is_running = False

    def watch(self, exports: Exports) -> None:
        """Call `drop_unused` of these exports from time to time, until nothing is left in them."""
        with self._lock:
            self._watched.add(exports)
            if self._is_running:
                return
            self._is_running = True
        self._start(threading.Thread(target=self._run, name="unused exports", daemon=True))

    def _run(self) -> None:
        while not self.look():
            time.sleep(_KEPT.total_seconds())

    def look(self) -> bool:
        """Let all of them drop what is unused. Return True if nothing is left, and the thread ends."""
        with self._lock:
            for exports in list(self._watched):
                if not exports.drop_unused():
                    self._watched.discard(exports)
            self._is_running = bool(self._watched)
            return not self._watched


unused = Unused()
"""The watch of this process."""
_shared = PerClient(Exports)


def exports_of(fabric: Fabric, now: Callable[[], datetime]) -> Exports:
    """Return the exports that all deliveries of one process share, which all use one client."""
    return _shared.of(fabric, now)
