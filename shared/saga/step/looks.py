"""Lists of Fabric that several deliveries share: one request answers all that may use it.

A delivery may use a list that was requested after the last change that the delivery knows of: its own call, or the end
of an operation. It never uses an older one, because that could miss what the delivery looks for. Only the first look of
a step that has begun nothing may use a list of the last seconds, if it was requested after the deployment began: what
others create in the meantime is noticed by the conflict that the create gets. For the same reason such a step needs no
list of a workspace that its deployment has created in the last minute, if its kind gets that conflict at once
(ADR 40).
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.errors import FabricTransientError
from shared.domain.json import JsonObject
from shared.domain.ports import Fabric, FabricReply, OperationStatus
from shared.saga.per_client import PerClient

FIRST_LOOK_SECONDS = 5.0
"""The greatest age of a list that the first look of a step may use."""
_KEPT = 16
"""Lists that a process keeps, the latest ones."""
_NEW_SECONDS = 60.0
"""How long a workspace counts as new: the longer it exists, the more others have had time to put into it."""
_MADE_KEPT = 1_000
"""New workspaces that a process remembers, the latest ones."""
_READS = "/getDefinition"
"""The end of the path of a POST that changes nothing."""


@dataclass(frozen=True)
class _List:
    """The rows of a list. `ticket` and `requested_at` are from before its request."""

    ticket: int
    requested_at: datetime
    rows: list[JsonObject]


@dataclass(frozen=True)
class _Request:
    """A request that is on its way, and the thread that waits for it."""

    thread: int


class SharedLists:
    """The lists that one process has requested. Tickets order requests and changes: a later event has a greater one."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._lists: dict[str, _List] = {}
        self._running: dict[str, _Request] = {}
        self.refused_until: datetime | None = None
        self._makers: dict[str, tuple[str, datetime]] = {}

    def note_made(self, workspace_id: str, deployment_id: str) -> None:
        """Note that a deployment has created a workspace, in which nothing was before."""
        with self._changed:
            self._makers[workspace_id] = deployment_id, self._now()
            while len(self._makers) > _MADE_KEPT:
                del self._makers[next(iter(self._makers))]

    def is_made_by(self, workspace_id: str, deployment_id: str) -> bool:
        """Return True if it is known that this deployment has created the workspace within the last seconds."""
        with self._changed:
            maker, made_at = self._makers.get(workspace_id, ("", self._now()))
        return maker == deployment_id and self._now() < made_at + timedelta(seconds=_NEW_SECONDS)

    def ticket(self) -> int:
        """Return a number that is greater than those of all requests so far."""
        return next(self._numbers)

    def rows(
        self, fabric: Fabric, path: str, query: dict[str, str] | None, since: int, later_than: datetime | None
    ) -> list[JsonObject]:
        """Return a list that was requested from `fabric` after the ticket `since`, or after a time.

        If a request for it is on its way on another thread, wait for that one first. Raises FabricError.
        """
        key = _key(path, query)
        own = _Request(threading.get_ident())
        with self._changed:
            while True:
                known = self._lists.get(key)
                if known is not None and (
                    known.ticket > since or (later_than is not None and known.requested_at > later_than)
                ):
                    return known.rows
                running = self._running.get(key)
                if running is None or running.thread == own.thread:
                    break
                self._changed.wait()
            self._running[key] = own
            ticket, requested_at = self.ticket(), self._now()
        try:
            found = _List(ticket, requested_at, list(fabric.list(path, query)))
        except FabricTransientError as error:
            self.note_refusal(error)
            raise
        finally:
            with self._changed:
                if self._running.get(key) is own:
                    del self._running[key]
                self._changed.notify_all()
        with self._changed:
            if (known := self._lists.get(key)) is None or known.ticket < ticket:
                self._lists.pop(key, None)
                self._lists[key] = found
            while len(self._lists) > _KEPT:
                del self._lists[next(iter(self._lists))]
        return found.rows

    def known(self, path: str, query: dict[str, str] | None, later_than: datetime) -> list[JsonObject] | None:
        """Return a list that was requested after a time, if there is one already."""
        with self._changed:
            found = self._lists.get(_key(path, query))
        return found.rows if found is not None and found.requested_at > later_than else None

    def note_refusal(self, error: FabricTransientError) -> None:
        """Note the time that a refused call named: until then, a list would probably be refused too."""
        if error.retry_after_seconds is not None and not error.counts_as_attempt:
            self.refused_until = self._now() + timedelta(seconds=error.retry_after_seconds)


def _key(path: str, query: dict[str, str] | None) -> str:
    return f"{path}?{sorted((query or {}).items())}"


class DeliveryFabric:
    """The port `Fabric` of one delivery, whose lists are shared."""

    def __init__(self, fabric: Fabric, lists: SharedLists, later_than: datetime | None) -> None:
        self._fabric, self.lists, self._later_than = fabric, lists, later_than
        self._since = lists.ticket()

    def identity(self) -> str:
        return self._fabric.identity()

    def get(self, path: str, query: dict[str, str] | None = None) -> JsonObject:
        return self._fabric.get(path, query)

    def list(self, path: str, query: dict[str, str] | None = None) -> Iterator[JsonObject]:
        """Yield the rows of all pages, requested after the last change that this delivery knows of."""
        return iter(self.lists.rows(self._fabric, path, query, self._since, self._later_than))

    def send(
        self, method: str, path: str, body: JsonObject | None = None, query: dict[str, str] | None = None
    ) -> FabricReply:
        try:
            return self._fabric.send(method, path, body, query)
        except FabricTransientError as error:
            self.lists.note_refusal(error)
            raise
        finally:
            if method != "GET" and not path.endswith(_READS):
                self._note_change()

    def poll(self, operation_id: str, location: str | None) -> OperationStatus:
        try:
            return self._fabric.poll(operation_id, location)
        finally:
            self._note_change()

    def result(self, operation_id: str, location: str | None) -> JsonObject | None:
        return self._fabric.result(operation_id, location)

    def _note_change(self) -> None:
        self._since, self._later_than = self.lists.ticket(), None


class UnknownListError(Exception):
    """A list was not requested since. `refused_until` is until when it would probably be refused, if that is known."""

    def __init__(self, refused_until: datetime | None) -> None:
        super().__init__("the list was not requested since")
        self.refused_until = refused_until


class KnownFabric(DeliveryFabric):
    """The port `Fabric` with the lists that exist, if they were requested after a time. It requests none."""

    def __init__(self, fabric: Fabric, lists: SharedLists, later_than: datetime) -> None:
        super().__init__(fabric, lists, later_than)
        self._known_since = later_than

    def list(self, path: str, query: dict[str, str] | None = None) -> Iterator[JsonObject]:
        """Yield the rows of a list that is known. Raises UnknownListError."""
        rows = self.lists.known(path, query, self._known_since)
        if rows is None:
            raise UnknownListError(self.lists.refused_until)
        return iter(rows)


_shared = PerClient(SharedLists)


def shared_by(fabric: Fabric, now: Callable[[], datetime]) -> SharedLists:
    """Return the lists that all deliveries of one process share, which all use one client."""
    return _shared.of(fabric, now)
