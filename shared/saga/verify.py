"""Proves a deployment from its audit: replays every move, recomputes every hash, and says where the journal differs.

Pure, over what was read: the entries, the rows as they stand (none of them after retention, which leaves the audit),
and the head of the notes. What the hashes bind is drawn in shared/domain/audit.py. A row that only learned something
since its last entry (an attempt counted, an operation polled) is held to its own digest and to its last entry's
state; every other row is held to the digest in its last entry.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shared.domain import audit
from shared.domain.errors import ConflictError, NotFoundError
from shared.domain.ports import Journal, NoteHead
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState, StepState
from shared.domain.transitions import DEPLOYMENT_TRANSITIONS, STEP_TRANSITIONS

_BEGINNINGS = (DeploymentState.ACCEPTED, DeploymentState.REJECTED)
_PUT_BACK = frozenset({StepState.COMPENSATED, StepState.SKIPPED})
_STEPS_AT_THE_END: dict[str, frozenset[StepState]] = {
    DeploymentState.SUCCEEDED: frozenset({StepState.SUCCEEDED}),
    DeploymentState.COMPENSATED: _PUT_BACK,
    DeploymentState.CANCELLED: _PUT_BACK | {StepState.PENDING},
    DeploymentState.REJECTED: frozenset({StepState.PENDING}),
}
"""What an end of the deployment says of its steps; cancelled or rejected before it began, it leaves them pending."""
NOTES = "notes"
_READINGS = 10
_DEPLOYMENT_MOVES = frozenset((str(b), str(a)) for b, a in DEPLOYMENT_TRANSITIONS)
_STEP_MOVES = frozenset((str(b), str(a)) for b, a in STEP_TRANSITIONS)


@dataclass(frozen=True)
class Difference:
    """Where audit and journal, or the audit and itself, do not agree. `sequence` is None where it is about no entry."""

    subject: str
    sequence: int | None
    message: str

    def __str__(self) -> str:
        where = self.subject if self.sequence is None else f"{self.subject}, write {self.sequence}"
        return f"{where}: {self.message}"


@dataclass(frozen=True)
class Verdict:
    """What came of it. `unchained` entries are from before there were hashes: they are replayed, not proven.
    `head` is the last hash of the header's chain, for comparison with a copy kept elsewhere."""

    state: str
    entries: int
    unchained: int
    differences: tuple[Difference, ...]
    head: str

    @property
    def is_proven(self) -> bool:
        """Whether every entry is in its chain and nothing differs."""
        return not self.differences and not self.unchained


@dataclass(frozen=True)
class Evidence:
    """A deployment as it was read. Without a header it is past its retention, and the audit stands alone."""

    deployment_id: str
    entries: Sequence[AuditEntry]
    header: DeploymentRecord | None
    steps: Sequence[StepRecord]
    notes: NoteHead | None


def read(journal: Journal, deployment_id: str) -> Evidence:
    """Everything of a deployment, as it stood at one moment. Raises NotFoundError where there is neither a header
    nor an audit, and ConflictError where it moves too fast to be read whole."""
    for _ in range(_READINGS):
        (header, tag), steps = _header(journal, deployment_id), journal.steps(deployment_id)
        entries, notes = journal.audit(deployment_id), journal.note_head(deployment_id)
        if header is None and not entries:
            raise NotFoundError(f"there is no deployment '{deployment_id}'")
        again = [s.etag for s in journal.steps(deployment_id)]
        if (tag, [s.etag for s in steps]) == (_header(journal, deployment_id)[1], again):
            return Evidence(deployment_id, entries, header, [s.record for s in steps], notes)
    raise ConflictError(f"'{deployment_id}' moved whenever it was read: verify it when it rests")


def _header(journal: Journal, deployment_id: str) -> tuple[DeploymentRecord | None, str]:
    try:
        found = journal.header(deployment_id)
    except NotFoundError:
        return None, ""
    return found.record, found.etag


def verify(evidence: Evidence) -> Verdict:
    """Never raises for anything that may stand in the journal."""
    chains = _chains(evidence)
    differences = list(_differences(evidence, chains))
    moves = chains.get(audit.DEPLOYMENT, [])
    last = moves[-1] if moves else None
    return Verdict(
        last.after if last else "",
        len(evidence.entries),
        sum(e.link is None for e in evidence.entries),
        tuple(differences),
        last.link.hash if last and last.link else "",
    )


def _chains(evidence: Evidence) -> dict[str, list[AuditEntry]]:
    """Entries by the chain they are in, in its order."""
    found: dict[str, list[AuditEntry]] = {}
    for entry in evidence.entries:
        found.setdefault(NOTES if _is_note(entry) else entry.subject, []).append(entry)
    for name, entries in found.items():
        entries.sort(key=_number if name == NOTES else lambda e: e.sequence)
    return found


def _is_note(entry: AuditEntry) -> bool:
    """It moves nothing and bears the number of no write. One from before there were chains shows it less clearly."""
    if entry.link is not None:
        return entry.link.note is not None
    return entry.before == entry.after and (entry.actor == "accept" or entry.subject.startswith("orphan_"))


def _number(note: AuditEntry) -> int:
    return (note.link.note or 0) if note.link is not None else 0


def _differences(evidence: Evidence, chains: dict[str, list[AuditEntry]]) -> Iterator[Difference]:
    rows: dict[str, StepRecord | DeploymentRecord] = {audit.subject_of(s): s for s in evidence.steps}
    if evidence.header is not None:
        rows[audit.DEPLOYMENT] = evidence.header
    for before, after in pairwise(evidence.entries):
        if after.at < before.at and int(after.at.timestamp() * 1000) < int(before.at.timestamp() * 1000):
            yield Difference(after.subject, after.sequence, "stands after an entry that is younger")
    for subject in sorted(chains.keys() | rows.keys() | {NOTES}):
        entries = chains.get(subject, [])
        yield from _chain(evidence.deployment_id, subject, entries)
        if subject == NOTES:
            yield from _notes(evidence.notes, entries)
            continue
        yield from _replay(subject, entries)
        row = rows.get(subject)
        if row is not None:
            yield from _row(evidence, subject, row, entries)
        elif rows:
            yield Difference(subject, None, "the audit speaks of it, and the journal does not know it")
    yield from _whole(evidence, chains)


def _chain(deployment_id: str, subject: str, entries: Sequence[AuditEntry]) -> Iterator[Difference]:
    """The hashes of one chain, entry by entry."""
    head: str | None = None
    for i, entry in enumerate(entries):
        number = _number(entry) if subject == NOTES else entry.sequence
        if entry.link is None:
            if head is not None:
                yield Difference(subject, number, "bears no hash, and entries before it do")
            continue
        if audit.entry_hash(deployment_id, entry) != entry.link.hash:
            yield Difference(subject, number, "is not what was written: its hash does not fit")
        # A step's first entry names the row as it was created; that is compared with the entry of the acceptance.
        may_name_creation = i == 0 and subject not in (NOTES, audit.DEPLOYMENT)
        if not may_name_creation and entry.link.previous != (head or ""):
            yield Difference(
                subject, number, "does not follow the entry before it: one is missing or put in, or the row was changed"
            )
        head = entry.link.hash


def _notes(head: NoteHead | None, entries: Sequence[AuditEntry]) -> Iterator[Difference]:
    chained = [e for e in entries if e.link is not None]
    last = chained[-1].link.hash if chained and chained[-1].link else ""
    stands = head or NoteHead(0, "")
    if (stands.number, stands.hash) != (len(chained), last):
        yield Difference(NOTES, None, f"{len(chained)} stand in the audit, and {stands.number} were written")


def _replay(subject: str, entries: Sequence[AuditEntry]) -> Iterator[Difference]:
    """Every move is legal, begins where the one before it ended, and happens once."""
    is_header, legal = subject == audit.DEPLOYMENT, _legal(subject)
    state, last = ("" if is_header else str(StepState.PENDING)), -1
    for i, entry in enumerate(entries):
        if entry.sequence == last:
            yield Difference(subject, entry.sequence, "this write is in the audit twice")
        if entry.before != state:
            yield Difference(subject, entry.sequence, f"moves from '{entry.before}', and '{state}' was its state")
        is_begin = is_header and i == 0 and (entry.before, entry.sequence) == ("", 0)
        is_legal = entry.after in _BEGINNINGS if is_begin else (entry.before, entry.after) in legal
        if not is_legal:
            yield Difference(subject, entry.sequence, f"'{entry.before}' to '{entry.after}' is no legal move")
        state, last = entry.after, entry.sequence


def _legal(subject: str) -> frozenset[tuple[str, str]]:
    return _DEPLOYMENT_MOVES if subject == audit.DEPLOYMENT else _STEP_MOVES


def _row(
    evidence: Evidence, subject: str, row: StepRecord | DeploymentRecord, entries: Sequence[AuditEntry]
) -> Iterator[Difference]:
    """The row as it stands, against its own digest and its last entry."""
    last = entries[-1] if entries else None
    state = last.after if last else str(StepState.PENDING)
    if row.deployment_id != evidence.deployment_id:
        yield Difference(subject, None, "the row is another deployment's")
    if row.state != state:
        yield Difference(subject, None, f"the audit ends at '{state}', and the row is '{row.state}'")
    written = last.sequence if last else 0
    if row.sequence < written:
        yield Difference(subject, None, f"the row is at write {row.sequence}, and the audit at {written}")
    link = last.link if last else None
    if row.chain is None:
        if link is not None:
            yield Difference(subject, None, "the row bears no hash, and its last entry does")
        return
    if link is not None and row.chain.head != link.hash:
        yield Difference(
            subject, None, "the row does not name the audit's last entry: one is missing or put in, or it was changed"
        )
    digest = audit.row_digest(row)
    if digest != row.chain.row:
        yield Difference(subject, None, "the row is not what was written: its digest does not fit")
    if row.sequence == written and digest != (link.row if link is not None else row.chain.head):
        yield Difference(subject, written, "the row is not what was written with this entry")
    may_be_silent = not audit.has_ended(row) and (str(row.state), str(row.state)) in _legal(subject)
    if row.sequence > written and not may_be_silent:
        yield Difference(subject, None, f"the row is at write {row.sequence}, which nobody audited")


def _whole(evidence: Evidence, chains: dict[str, list[AuditEntry]]) -> Iterator[Difference]:
    """What the header's entries say of the steps."""
    moves = chains.get(audit.DEPLOYMENT, [])
    if not moves:
        yield Difference(audit.DEPLOYMENT, None, "there is no entry of its acceptance")
        return
    header, last = evidence.header, moves[-1]
    if header is None and last.after not in DEPLOYMENT_ENDED:
        yield Difference(audit.DEPLOYMENT, None, f"the header is gone, and the audit ends at '{last.after}'")
    if header is not None and header.step_count != len(evidence.steps):
        yield Difference(
            audit.DEPLOYMENT, None, f"{len(evidence.steps)} steps stand, and {header.step_count} were accepted"
        )
    steps = {s: e for s, e in chains.items() if s not in (audit.DEPLOYMENT, NOTES)}
    born = {s: e[0].link.previous for s, e in steps.items() if e[0].link is not None}
    alone = {
        audit.subject_of(s): s.chain.head
        for s in evidence.steps
        if s.chain is not None and s.chain.head and audit.subject_of(s) not in steps
    }
    begin = moves[0].link
    is_complete = header is not None or len(born) > 0
    if begin is not None and is_complete and begin.steps != audit.steps_digest([*born.items(), *alone.items()]):
        yield Difference(audit.DEPLOYMENT, moves[0].sequence, "the steps are not those that were accepted")
    for entry in moves[1:]:
        if entry.link is None or entry.link.steps is None:
            if entry.link is not None and entry.after in DEPLOYMENT_ENDED:
                yield Difference(audit.DEPLOYMENT, entry.sequence, "the end says nothing of the steps")
            continue
        heads = {s: head for s, e in steps.items() if (head := _head_at(entry.after, e))} | alone
        expected = audit.steps_digest(heads.items()) if heads or header is not None or begin is None else begin.steps
        if entry.link.steps != expected:
            yield Difference(audit.DEPLOYMENT, entry.sequence, "the steps' chains are not what they were at this end")
    states = {StepState(e[-1].after) if e[-1].after in set(StepState) else None for e in steps.values()}
    states |= {StepState.PENDING} if alone else set()
    if last.after in _STEPS_AT_THE_END and not states <= _STEPS_AT_THE_END[last.after]:
        yield Difference(audit.DEPLOYMENT, last.sequence, f"ends '{last.after}', which its steps' ends do not bear out")


def _head_at(end: str, entries: Iterable[AuditEntry]) -> str:
    """The head of a step's chain at an end of its deployment: of the last entry, or, of a success that was put back
    later, of the one by which the step had succeeded."""
    hashes = [(e.after, e.link.hash) for e in entries if e.link is not None]
    if end == DeploymentState.SUCCEEDED:
        hashes = [h for h in hashes if h[0] == StepState.SUCCEEDED]
    return hashes[-1][1] if hashes else ""
