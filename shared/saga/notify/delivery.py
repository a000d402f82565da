"""Sends what was announced, if the journal proves it, and tries again later if the receiver does not take it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.approval import waits_for_person
from shared.domain.errors import NotFoundError
from shared.domain.json import JsonObject
from shared.domain.notices import (
    DEPLOYMENT,
    PAUSES_SECONDS,
    UNWRITTEN_SECONDS,
    Notice,
    approval_event,
    header_event,
    of_header,
    row_of,
)
from shared.domain.ports import Clock, Journal, Receiver, Refusal
from shared.domain.ports.telemetry import Telemetry
from shared.domain.records import DeploymentRecord
from shared.domain.states import DeploymentState, StepState
from shared.domain.telemetry import Event
from shared.saga.payloads import Payloads

log = logging.getLogger(__name__)

_SOON_SECONDS = 10.0
_LONGEST_SECONDS = 3600.0


@dataclass(frozen=True)
class Notifications:
    """Handles the messages of the queue of notices. `send_later` puts a notice on the queue again, with a delay in
    seconds; `app` is the app's address for links, or empty."""

    journal: Journal
    payloads: Payloads
    clock: Clock
    receiver: Receiver
    send_later: Callable[[Notice, float], None]
    telemetry: Telemetry
    app: str = ""

    def deliver(self, notice: Notice) -> None:
        """Send the event of a notice, reschedule the notice, or drop it. Raises StorageUnavailableError."""
        found = find(self.journal, self.payloads, notice, self.app)
        if found is None:
            log.info("notice %s is dropped: the journal does not have this move, or it is over", notice.event_id)
        elif isinstance(found, Unwritten):
            if self.clock.now() - notice.created_at < timedelta(seconds=UNWRITTEN_SECONDS):
                self.send_later(notice, _SOON_SECONDS)
        elif refusal := self.receiver.send(notice.event_id, found):
            self._refused(notice, refusal)

    def _refused(self, notice: Notice, refusal: Refusal) -> None:
        if refusal.may_pass and notice.attempt < len(PAUSES_SECONDS):
            pause = max(PAUSES_SECONDS[notice.attempt], min(refusal.retry_after_seconds, _LONGEST_SECONDS))
            log.warning("notice %s is sent again in %g s: %s", notice.event_id, pause, refusal.message)
            self.send_later(notice.again(), pause)
            return
        log.error("notice %s is given up: %s", notice.event_id, refusal.message)
        about = {"deployment_id": notice.deployment_id, "kind": notice.kind.value, "message": refusal.message}
        self.telemetry.event(Event.NOTIFICATION_FAILED, about)


class Unwritten:
    """The move is not written yet."""


def find(journal: Journal, payloads: Payloads, notice: Notice, app: str = "") -> JsonObject | Unwritten | None:
    """Return the event of a notice; None if the move was not made or nobody needs to know of it any more.

    Raises StorageUnavailableError.
    """
    try:
        header = journal.header(notice.deployment_id).record
        if notice.row == DEPLOYMENT:
            return _of_header(journal, notice, header, app)
        return _of_step(journal, payloads, notice, header, app)
    except NotFoundError:
        return None


def _of_header(journal: Journal, notice: Notice, header: DeploymentRecord, app: str) -> JsonObject | Unwritten | None:
    if header.sequence < notice.sequence:
        return Unwritten()
    if header.sequence > notice.sequence or of_header(DeploymentState.ACCEPTED, header.state) is not notice.kind:
        # It has moved on, or another write took the number: the audit knows what that write was.
        entries = (e for e in journal.audit(notice.deployment_id) if e.subject == DEPLOYMENT and e.before != e.after)
        entry = next((e for e in entries if e.sequence == notice.sequence), None)
        if entry is None or of_header(DeploymentState(entry.before), DeploymentState(entry.after)) is not notice.kind:
            return None
        header = header.replace(state=DeploymentState(entry.after))
    return header_event(notice, header, app)


def _of_step(
    journal: Journal, payloads: Payloads, notice: Notice, header: DeploymentRecord, app: str
) -> JsonObject | Unwritten | None:
    step = next((s.record for s in journal.steps(notice.deployment_id) if row_of(s.record) == notice.row), None)
    if step is None:
        return None
    if step.sequence < notice.sequence:
        return Unwritten()
    if not waits_for_person(step) or header.is_rolling_back:
        return None
    if step.sequence > notice.sequence and not _began_to_wait(journal, notice):
        return None
    return approval_event(notice, header, step, payloads.load(step.spec), app)


def _began_to_wait(journal: Journal, notice: Notice) -> bool:
    """Return True if the audit has the write by which the step began to wait under the number of the notice. Another
    write may have taken that number; then the write that came after it has a notice of its own."""
    entries = (e for e in journal.audit(notice.deployment_id) if e.subject == notice.row)
    return any(e.sequence == notice.sequence and e.before == e.after == StepState.PENDING for e in entries)
