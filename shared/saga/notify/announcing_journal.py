"""A journal that announces moves before it writes them.

The announcement is a message with a short delay. When it is handled, the journal proves that the move was made, or that
it was not. So a crash at any place loses no notification and invents none, and no write waits for a receiver.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from shared.domain.notices import DEPLOYMENT, Notice, NoticeKind, of_header, of_step, row_of
from shared.domain.ports import Change, Journal, Versioned
from shared.domain.records import DeploymentRecord, StepRecord

log = logging.getLogger(__name__)


class AnnouncingJournal:
    """Implements the port `Journal` around another journal; methods that announce nothing are that journal's own."""

    def __init__(self, journal: Journal, announce: Callable[[Notice], None], now: Callable[[], datetime]) -> None:
        self._journal, self._announce, self._now = journal, announce, now
        self.create = journal.create
        self.header = journal.header
        self.step = journal.step
        self.steps = journal.steps
        self.append = journal.append
        self.deployments = journal.deployments
        self.page = journal.page
        self.due = journal.due
        self.note = journal.note
        self.audit = journal.audit
        self.note_head = journal.note_head
        self.sequences = journal.sequences
        self.corrupt_rows = journal.corrupt_rows
        self.purge = journal.purge

    def write_header(self, change: Change[DeploymentRecord]) -> Versioned[DeploymentRecord]:
        before = change.before.record
        if kind := of_header(before.state, change.after.state):
            self._send(before.deployment_id, DEPLOYMENT, before.sequence, kind)
        return self._journal.write_header(change)

    def write_step(self, change: Change[StepRecord]) -> Versioned[StepRecord]:
        self._step(change)
        return self._journal.write_step(change)

    def write_steps(self, changes: Sequence[Change[StepRecord]]) -> None:
        for change in changes:
            self._step(change)
        self._journal.write_steps(changes)

    def _step(self, change: Change[StepRecord]) -> None:
        before = change.before.record
        if kind := of_step(before, change.after):
            self._send(before.deployment_id, row_of(before), before.sequence, kind)

    def _send(self, deployment_id: str, row: str, sequence: int, kind: NoticeKind) -> None:
        try:
            self._announce(Notice(deployment_id, row, sequence + 1, kind, self._now()))
        except Exception:  # no error of a notification may stop a deployment
            log.warning("deployment %s: the move of %s is not announced", deployment_id, row, exc_info=True)
