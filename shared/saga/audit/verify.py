"""Proves a deployment from its audit: replays every move, recomputes every hash, and says where the journal differs.

Pure, over what was read: the entries, the rows as they stand (none of them after retention, which leaves the audit),
the head of the notes, and what the store says of rows that it would write otherwise. What the hashes bind is drawn in
shared/domain/audit.py. A row that only learned something since its last entry (an attempt counted, an operation
polled) is held to its own digest and to its last entry's state; every other row is held to the one in its last entry.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from shared.domain import audit
from shared.domain.errors import ConflictError, ForgottenError, NotFoundError
from shared.domain.ports import CorruptRow, Journal, NoteHead
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, FORWARD_SETTLED, STEP_SETTLED, DeploymentState, StepState
from shared.saga.audit import replay
from shared.saga.audit.replay import Difference

ROLLED_BACK = frozenset({StepState.COMPENSATED, StepState.SKIPPED})
_FINAL_STEP_STATES: dict[str, frozenset[StepState]] = {
    DeploymentState.SUCCEEDED: frozenset({StepState.SUCCEEDED}),
    DeploymentState.COMPENSATED: ROLLED_BACK,
    DeploymentState.CANCELLED: ROLLED_BACK | {StepState.PENDING},
    DeploymentState.REJECTED: frozenset({StepState.PENDING}),
    DeploymentState.FAILED: FORWARD_SETTLED,
}
"""What an end of the deployment says of its steps; cancelled or rejected before it began, it leaves them pending."""
_RELEASED_STEP_STATES = ROLLED_BACK | STEP_SETTLED
_READINGS = 10


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
    """A deployment as it was read. Without a header it is past its retention, and the audit stands alone, but for what
    stays of the header (`forgotten`). `corrupt_rows` are rows that stand otherwise than they are written."""

    deployment_id: str
    entries: Sequence[AuditEntry]
    header: DeploymentRecord | None
    steps: Sequence[StepRecord]
    notes: NoteHead | None
    corrupt_rows: Sequence[CorruptRow] = ()
    forgotten: DeploymentRecord | None = None


def read(journal: Journal, deployment_id: str) -> Evidence:
    """Everything of a deployment, as it stood at one moment; of one with a row that cannot be read, its misfits alone.
    Raises NotFoundError where there is neither a header nor an audit, and ConflictError where it moves too fast to be
    read whole."""
    for _ in range(_READINGS):
        corrupt_rows = journal.corrupt_rows(deployment_id)
        if not all(each.is_readable for each in corrupt_rows):
            return Evidence(deployment_id, (), None, (), None, corrupt_rows)
        (header, tag, forgotten), steps = _header(journal, deployment_id), journal.steps(deployment_id)
        entries, notes = journal.audit(deployment_id), journal.note_head(deployment_id)
        if header is None and not entries:
            raise NotFoundError(f"there is no deployment '{deployment_id}'")
        repeated = [s.etag for s in journal.steps(deployment_id)]
        if (tag, [s.etag for s in steps]) == (_header(journal, deployment_id)[1], repeated):
            return Evidence(deployment_id, entries, header, [s.record for s in steps], notes, corrupt_rows, forgotten)
    raise ConflictError(f"'{deployment_id}' moved whenever it was read: verify it when it rests")


def _header(journal: Journal, deployment_id: str) -> tuple[DeploymentRecord | None, str, DeploymentRecord | None]:
    """Return the header with its tag, and what stays of it past its retention."""
    try:
        found = journal.header(deployment_id)
    except ForgottenError as error:
        return None, "", error.record
    except NotFoundError:
        return None, "", None
    return found.record, found.etag, None


def verify(evidence: Evidence) -> Verdict:
    """Never raises for anything that may stand in the journal."""
    chains = _chains(evidence)
    differences = [Difference(each.row, None, each.message) for each in evidence.corrupt_rows]
    if all(each.is_readable for each in evidence.corrupt_rows):
        differences += _differences(evidence, chains)
    else:
        differences.append(Difference(audit.DEPLOYMENT, None, "not compared while a row of it cannot be read"))
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
        found.setdefault(replay.NOTES if replay.is_note(entry) else entry.subject, []).append(entry)
    for name, entries in found.items():
        entries.sort(key=replay.number_of if name == replay.NOTES else lambda e: e.sequence)
    return found


def _differences(evidence: Evidence, chains: dict[str, list[AuditEntry]]) -> Iterator[Difference]:
    rows: dict[str, StepRecord | DeploymentRecord] = {audit.subject_of(s): s for s in evidence.steps}
    if evidence.header is not None:
        rows[audit.DEPLOYMENT] = evidence.header
    for before, after in pairwise(evidence.entries):
        if after.at < before.at and int(after.at.timestamp() * 1000) < int(before.at.timestamp() * 1000):
            yield Difference(after.subject, after.sequence, "stands after an entry that is younger")
    for subject in sorted(chains.keys() | rows.keys() | {replay.NOTES}):
        entries = chains.get(subject, [])
        yield from replay.links(evidence.deployment_id, subject, entries)
        if subject == replay.NOTES:
            yield from replay.notes(evidence.notes, entries)
            continue
        yield from replay.moves(subject, entries)
        row = rows.get(subject)
        if row is not None:
            yield from replay.row(evidence.deployment_id, subject, row, entries)
        elif rows:
            yield Difference(subject, None, "the audit speaks of it, and the journal does not know it")
    if evidence.forgotten is not None:
        yield from replay.kept(evidence.deployment_id, evidence.forgotten, chains.get(audit.DEPLOYMENT, []))
    yield from _whole(evidence, chains)


def _whole(evidence: Evidence, chains: dict[str, list[AuditEntry]]) -> Iterator[Difference]:
    """What the header's entries say of the steps."""
    moves = chains.get(audit.DEPLOYMENT, [])
    if not moves:
        yield Difference(audit.DEPLOYMENT, None, "there is no entry of its acceptance")
        return
    header, last = evidence.header, moves[-1]
    if header is None and last.after not in DEPLOYMENT_ENDED:
        yield Difference(audit.DEPLOYMENT, None, f"the header is gone, and the audit ends at '{last.after}'")
    # What was accepted in part was never begun, so of the rows that are there none may be missing or strange.
    is_partial = header is not None and len(evidence.steps) < header.step_count and _never_ran(moves)
    if header is not None and header.step_count != len(evidence.steps) and not is_partial:
        yield Difference(
            audit.DEPLOYMENT, None, f"{len(evidence.steps)} steps stand, and {header.step_count} were accepted"
        )
    steps = {s: e for s, e in chains.items() if s not in (audit.DEPLOYMENT, replay.NOTES)}
    born = {s: e[0].link.previous for s, e in steps.items() if e[0].link is not None}
    alone = {
        audit.subject_of(s): s.chain.head
        for s in evidence.steps
        if s.chain is not None and s.chain.head and audit.subject_of(s) not in steps
    }
    begin = moves[0].link
    is_complete = (header is not None or len(born) > 0) and not is_partial
    births = sorted([*born.items(), *alone.items()])
    appends = [e for e in moves[1:] if _reopens(e)]
    first_added = max(0, len(births) - len(appends))
    accepted, added = births[:first_added], births[first_added:]
    if begin is not None and is_complete and begin.steps != audit.steps_digest(accepted):
        yield Difference(audit.DEPLOYMENT, moves[0].sequence, "the steps are not those that were accepted")
    for entry, birth in zip_longest(appends, added):
        if (
            is_complete
            and entry is not None
            and entry.link is not None
            and entry.link.steps != audit.steps_digest([birth] if birth else [])
        ):
            yield Difference(audit.DEPLOYMENT, entry.sequence, "the step that it took up is not the one that stands")
    last_release = 0
    for entry in moves[1:]:
        if _reopens(entry):
            continue
        if entry.link is None or entry.link.steps is None:
            if entry.link is not None and entry.after in DEPLOYMENT_ENDED:
                yield Difference(audit.DEPLOYMENT, entry.sequence, "the end says nothing of the steps")
            continue
        possible = [
            audit.steps_digest(heads.items()) if heads or header is not None or begin is None else begin.steps
            for heads in _heads_at(entry, steps, alone, last_release)
        ]
        last_release = entry.sequence if _is_release(entry) else last_release
        if entry.link.steps not in possible:
            yield Difference(audit.DEPLOYMENT, entry.sequence, "the steps' chains are not what they were at this end")
    states = {StepState(e[-1].after) if e[-1].after in set(StepState) else None for e in steps.values()}
    states |= {StepState.PENDING} if alone else set()
    # A script may go on where something could not be made, and commit the rest.
    states -= {StepState.FAILED} if appends and last.after == DeploymentState.SUCCEEDED else set()
    ends = _RELEASED_STEP_STATES if _is_release(last) else _FINAL_STEP_STATES.get(last.after)
    if ends is not None and not states <= ends:
        yield Difference(audit.DEPLOYMENT, last.sequence, f"ends '{last.after}', which its steps' ends do not bear out")


def _never_ran(moves: Sequence[AuditEntry]) -> bool:
    """Whether it has yet to begin, or ended without; what is noted of it afterwards is no move of its steps."""
    return all(DeploymentState.RUNNING not in (entry.before, entry.after) for entry in moves)


def _reopens(entry: AuditEntry) -> bool:
    """Whether a header's entry binds a row that it takes up, one by one, and not all of them at an end."""
    return entry.link is not None and entry.link.steps is not None and entry.after not in DEPLOYMENT_ENDED


def _is_release(entry: AuditEntry) -> bool:
    """Return True for the end of a deployment that was stuck, and that a person released."""
    return (entry.before, entry.after) == (DeploymentState.STUCK, DeploymentState.FAILED)


def _heads_at(
    end: AuditEntry, steps: dict[str, list[AuditEntry]], alone: dict[str, str], last_release: int
) -> Iterator[dict[str, str]]:
    """The heads of the steps' chains at an end of their deployment. A `failed` one may have been resumed and have
    failed again: each time every step that was not done settled once more, so one of these times it is."""
    if _is_release(end):
        for by_time in (False, True):
            yield {s: _head_at_release(end, e, last_release, by_time=by_time) for s, e in steps.items()} | alone
        return
    # A step that a release leaves as it is had settled before.
    moved = {s: [e for e in es if e.before != e.after or not audit.left_with(e)] for s, es in steps.items()}
    if end.after != DeploymentState.FAILED:
        yield {s: head for s, e in moved.items() if (head := _head_at(end.after, e))} | alone
        return
    settled = {s: [e.link.hash for e in es if e.link and e.after in FORWARD_SETTLED] for s, es in moved.items()}
    for time in range(max(map(len, settled.values()), default=0)):
        yield {s: hashes[min(time, len(hashes) - 1)] for s, hashes in settled.items() if hashes} | alone


def _head_at_release(end: AuditEntry, entries: Sequence[AuditEntry], last_release: int, *, by_time: bool) -> str:
    """The head of a step's chain when its deployment was released: of the entry that leaves it as it is. A step that
    has none was compensated before, and is at its last entry; or its row could not be written, and only the time of its
    entries (`by_time`) says which came before that end."""
    linked = [(e, e.link.hash) for e in entries if e.link is not None]
    left = [head for e, head in linked if last_release < audit.left_with(e) < end.sequence]
    until = [head for e, head in linked if e.at <= end.at or not by_time]
    return (left or until or [""])[-1]


def _head_at(end: str, entries: Iterable[AuditEntry]) -> str:
    """The head of a step's chain at an end of its deployment: of the last entry, or, of a success that was put back
    later, of the one by which the step had succeeded."""
    hashes = [(e.after, e.link.hash) for e in entries if e.link is not None]
    if end == DeploymentState.SUCCEEDED:
        hashes = [h for h in hashes if h[0] in (StepState.SUCCEEDED, StepState.FAILED)]
    return hashes[-1][1] if hashes else ""
