"""The queue of notices and the webhook of a world, and the law of them: news is true and complete.

A notice is handled as the app handles it, some time after it was announced, also while a process is held up between the
announcement and the write. Nothing here is drawn at random, so a seed's schedule stays the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.domain.approval import APPROVAL
from shared.domain.json import JsonObject
from shared.domain.notices import (
    CHECK_SECONDS,
    DEPLOYMENT,
    UNWRITTEN_SECONDS,
    Notice,
    NoticeKind,
    of_header,
    row_of,
)
from shared.domain.ports import Clock, Refusal
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import StepState
from shared.domain.telemetry import NoTelemetry
from shared.saga.notify.delivery import Notifications
from shared.saga.payloads import Payloads
from tests.fake_journal import MemoryJournal

Key = tuple[str, str, int]
"""A write: the deployment, the row, and the number that the row had after it."""


@dataclass
class NewsDesk:
    """Handles the notices of a world. `handled` has each notice that is done with, whether its event was sent, and how
    many writes the journal had then."""

    journal: MemoryJournal
    payloads: Payloads
    clock: Clock
    announced: list[Notice] = field(default_factory=list[Notice])
    handled: list[tuple[Notice, bool, int]] = field(default_factory=list[tuple[Notice, bool, int]])
    _due: list[tuple[datetime, Notice]] = field(default_factory=list[tuple[datetime, Notice]])
    _sent: set[str] = field(default_factory=set[str])

    def announce(self, notice: Notice) -> None:
        """Put a notice on the queue."""
        self.announced.append(notice)
        self._again(notice, CHECK_SECONDS)

    def _again(self, notice: Notice, delay_seconds: float) -> None:
        self._due.append((self.clock.now() + timedelta(seconds=delay_seconds), notice))

    def send(self, event_id: str, event: JsonObject) -> Refusal | None:
        """Receive an event."""
        self._sent.add(event_id)
        return None

    def deliver(self, *, is_over: bool = False) -> None:
        """Handle the notices that are due; with `is_over`, all of them."""
        now = self.clock.now()
        ready = [entry for entry in self._due if is_over or entry[0] <= now]
        if not ready:
            return
        app = Notifications(self.journal, self.payloads, self.clock, self, self._again, NoTelemetry())
        for entry in ready:
            self._due.remove(entry)
            self._sent.clear()
            waiting = len(self._due)
            app.deliver(entry[1])
            if len(self._due) == waiting:
                self.handled.append((entry[1], bool(self._sent), len(self.journal.history)))


def violations(desk: NewsDesk, ids: Sequence[str]) -> Iterable[str]:
    """Check that people were told of each move that they must know of, and of nothing else.

    A move that was written later than a function may run after its notice is left out: the host would have ended it.
    """
    desk.deliver(is_over=True)
    history, moves = desk.journal.history, dict[Key, tuple[NoticeKind, int]]()
    for number, (before, after) in enumerate(history, start=1):
        kind = _kind(before, after)
        if kind is not None and after.deployment_id in ids:
            moves[(after.deployment_id, _row(after), after.sequence)] = kind, number
    told, over, late = set[Key](), set[Key](), set(_late(desk, ids))
    for notice, is_sent, moment in desk.handled:
        key = (notice.deployment_id, notice.row, notice.sequence)
        kind, number = moves.get(key, (None, 0))
        is_wanted = notice.row == DEPLOYMENT or _is_asked(history[:moment], key)
        if is_sent:
            told.add(key)
        elif number <= moment and not is_wanted:
            over.add(key)
        if is_sent and not (kind is notice.kind and number <= moment and is_wanted):
            yield f"{notice.event_id}: the event {notice.kind.value} was sent, and that was not so"
    for key, (kind, _) in moves.items():
        if key not in told | over | late:
            yield f"{key}: no event of the move {kind.value} was sent"


def _late(desk: NewsDesk, ids: Sequence[str]) -> Iterable[Key]:
    """Yield the announced writes that were made later than any function runs."""
    announced = {(n.deployment_id, n.row, n.sequence): n.created_at for n in desk.announced}
    for deployment_id in ids:
        for entry in desk.journal.audit(deployment_id):
            key = (deployment_id, entry.subject, entry.sequence)
            if key in announced and entry.at - announced[key] > timedelta(seconds=UNWRITTEN_SECONDS):
                yield key


def _kind(before: StepRecord | DeploymentRecord, after: StepRecord | DeploymentRecord) -> NoticeKind | None:
    """Return what people must be told of a write."""
    if isinstance(before, DeploymentRecord) and isinstance(after, DeploymentRecord):
        return of_header(before.state, after.state)
    assert isinstance(before, StepRecord)
    assert isinstance(after, StepRecord)
    begins = before.started_at is None and after.started_at is not None
    is_asking = after.kind == APPROVAL and after.state is StepState.PENDING and begins
    return NoticeKind.APPROVAL_WAITING if is_asking else None


def _row(record: StepRecord | DeploymentRecord) -> str:
    return DEPLOYMENT if isinstance(record, DeploymentRecord) else row_of(record)


def _is_asked(history: Sequence[tuple[object, StepRecord | DeploymentRecord]], key: Key) -> bool:
    """Return True if, after these writes, an approval waits and its deployment goes on."""
    is_waiting, goes_on = False, True
    for _, after in history:
        if after.deployment_id != key[0]:
            continue
        if isinstance(after, DeploymentRecord):
            goes_on = not after.is_rolling_back
        elif row_of(after) == key[1]:
            is_waiting = after.state is StepState.PENDING and after.started_at is not None
    return is_waiting and goes_on
