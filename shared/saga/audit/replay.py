"""Replays one chain of the audit: every entry is what was written, in its place, and legal, and the row is at its end.

The audit of a deployment has a chain for its header, for each step, and for the notes; verify.py checks them all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.domain import audit
from shared.domain.actors import ACCEPT
from shared.domain.ports import NoteHead
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import STEP_SETTLED, DeploymentState, StepState
from shared.domain.transitions import DEPLOYMENT_TRANSITIONS, STEP_TRANSITIONS

NOTES = "notes"
"""The chain of the entries that moved nothing."""
_BEGINNINGS = (DeploymentState.ACCEPTED, DeploymentState.REJECTED)
_DEPLOYMENT_MOVES = frozenset((str(b), str(a)) for b, a in DEPLOYMENT_TRANSITIONS)
_STEP_MOVES = frozenset((str(b), str(a)) for b, a in STEP_TRANSITIONS)


@dataclass(frozen=True)
class Difference:
    """A contradiction between audit and journal, or within the audit; `sequence` is None if it concerns no entry."""

    subject: str
    sequence: int | None
    message: str

    def __str__(self) -> str:
        where = self.subject if self.sequence is None else f"{self.subject}, write {self.sequence}"
        return f"{where}: {self.message}"


def is_note(entry: AuditEntry) -> bool:
    """Return True for an entry that moves nothing and has no write's number; guess for one from before the chains."""
    if entry.link is not None:
        return entry.link.note is not None
    return entry.before == entry.after and (entry.actor == ACCEPT or entry.subject.startswith("orphan_"))


def number_of(note: AuditEntry) -> int:
    """Return a note's place in its chain; 0 for a note from before the chains."""
    return (note.link.note or 0) if note.link is not None else 0


def links(deployment_id: str, subject: str, entries: Sequence[AuditEntry]) -> Iterator[Difference]:
    """Check the hashes of one chain, entry by entry."""
    head: str | None = None
    for i, entry in enumerate(entries):
        number = number_of(entry) if subject == NOTES else entry.sequence
        if entry.link is None:
            if head is not None:
                yield Difference(subject, number, "has no hash, and entries before it have one")
            continue
        if audit.entry_hash(deployment_id, entry) != entry.link.hash:
            yield Difference(subject, number, "is not what was written: its hash does not match")
        # A step's first entry names the row as it was created; that is compared with the entry of the acceptance.
        may_name_creation = i == 0 and subject not in (NOTES, audit.DEPLOYMENT)
        if not may_name_creation and entry.link.previous != (head or ""):
            yield Difference(
                subject,
                number,
                "does not follow the entry before it: an entry is missing or inserted, or the row was changed",
            )
        head = entry.link.hash


def notes(head: NoteHead | None, entries: Sequence[AuditEntry]) -> Iterator[Difference]:
    chained = [e for e in entries if e.link is not None]
    last = chained[-1].link.hash if chained and chained[-1].link else ""
    current = head or NoteHead(0, "")
    if (current.number, current.hash) != (len(chained), last):
        yield Difference(NOTES, None, f"the audit has {len(chained)} notes, and {current.number} were written")


def moves(subject: str, entries: Sequence[AuditEntry]) -> Iterator[Difference]:
    """Check that every move is legal, starts where the one before it ended, and happens once."""
    is_header, legal = subject == audit.DEPLOYMENT, _legal(subject)
    state, last = ("" if is_header else str(StepState.PENDING)), -1
    for i, entry in enumerate(entries):
        if entry.sequence == last:
            yield Difference(subject, entry.sequence, "this write is in the audit twice")
        if entry.before != state:
            yield Difference(subject, entry.sequence, f"moves from '{entry.before}', and the state was '{state}'")
        is_begin = is_header and i == 0 and (entry.before, entry.sequence) == ("", 0)
        is_legal = entry.after in _BEGINNINGS if is_begin else (entry.before, entry.after) in legal
        if not is_legal:
            yield Difference(subject, entry.sequence, f"'{entry.before}' to '{entry.after}' is not a legal move")
        state, last = entry.after, entry.sequence


def kept(deployment_id: str, header: DeploymentRecord, entries: Sequence[AuditEntry]) -> Iterator[Difference]:
    """Compare what is kept of a header past its retention with its own digest and its last entry."""
    last = entries[-1] if entries else None
    if header.deployment_id != deployment_id:
        yield Difference(audit.DEPLOYMENT, None, "what is kept of its header belongs to another deployment")
    if last is not None and header.state != last.after:
        yield Difference(
            audit.DEPLOYMENT,
            None,
            f"the audit ends at '{last.after}', and the header at '{header.state}'",
        )
    chain = header.chain
    if chain is None or audit.row_digest(header) != chain.row:
        yield Difference(audit.DEPLOYMENT, None, "what is kept of its header is not what was written")
    elif last is not None and last.link is not None and chain.head != last.link.hash:
        yield Difference(
            audit.DEPLOYMENT,
            None,
            "what is kept of its header does not name its last entry: an entry is missing",
        )


def _legal(subject: str) -> frozenset[tuple[str, str]]:
    return _DEPLOYMENT_MOVES if subject == audit.DEPLOYMENT else _STEP_MOVES


def row(
    deployment_id: str, subject: str, row: StepRecord | DeploymentRecord, entries: Sequence[AuditEntry]
) -> Iterator[Difference]:
    """Compare the current row with its own digest and its last entry."""
    last = entries[-1] if entries else None
    state = last.after if last else str(StepState.PENDING)
    if row.deployment_id != deployment_id:
        yield Difference(subject, None, "the row belongs to another deployment")
    if row.state != state:
        yield Difference(subject, None, f"the audit ends at '{state}', and the row is '{row.state}'")
    written = last.sequence if last else 0
    if row.sequence < written:
        yield Difference(subject, None, f"the row is at write {row.sequence}, and the audit at {written}")
    link = last.link if last else None
    if row.chain is None:
        if link is not None:
            yield Difference(subject, None, "the row has no hash, and its last entry has one")
        return
    if link is not None and row.chain.head != link.hash:
        yield Difference(
            subject,
            None,
            "the row does not name its last entry: an entry is missing or inserted, or it was changed",
        )
    digest = audit.row_digest(row)
    if digest != row.chain.row:
        yield Difference(subject, None, "the row is not what was written: its digest does not match")
    if row.sequence == written and digest != (link.row if link is not None else row.chain.head):
        yield Difference(subject, written, "the row is not what was written with this entry")
    is_bound = audit.has_ended(row) or row.state in STEP_SETTLED | {StepState.COMPENSATED}
    may_be_silent = not is_bound and (str(row.state), str(row.state)) in _legal(subject)
    if row.sequence > written and not may_be_silent:
        yield Difference(subject, None, f"the row is at write {row.sequence}, which has no entry")
