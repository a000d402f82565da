"""Proves a deployment from its audit: replays every move, recomputes every hash, and lists where the journal differs.

`verify` is pure. Its evidence is the entries, the current rows (none after retention, which keeps the audit), the head
of the notes, and the rows that the store would write differently. shared/domain/audit.py draws what the hashes bind.
A row is compared with the digest in its last entry. If it changed without a move since that entry (an attempt was
counted, an operation polled), it is compared with its own digest, and its state with that of the entry.
replay.py checks each chain, deployment_checks.py the whole deployment.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shared.domain import audit
from shared.domain.errors import ConflictError, NotFoundError
from shared.domain.forgotten import ForgottenError
from shared.domain.ports import CorruptRow, Journal, NoteHead
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.saga.audit import replay
from shared.saga.audit.deployment_checks import check_deployment
from shared.saga.audit.replay import Difference

_READINGS = 10


@dataclass(frozen=True)
class Verdict:
    """The result of a verification.

    `unchained` counts the entries from before there were hashes: they are replayed, not proven. `head` is the last hash
    of the header's chain, for comparison with a copy kept elsewhere.
    """

    state: str
    entries: int
    unchained: int
    differences: tuple[Difference, ...]
    head: str

    @property
    def is_proven(self) -> bool:
        """Return True if every entry is in its chain and nothing differs."""
        return not self.differences and not self.unchained


@dataclass(frozen=True)
class Evidence:
    """A deployment as it was read.

    Without a header it is past its retention: only the audit is left, and what is kept of the header (`forgotten`).
    `corrupt_rows` are rows whose stored form differs from the form in which the store writes them.
    """

    deployment_id: str
    entries: Sequence[AuditEntry]
    header: DeploymentRecord | None
    steps: Sequence[StepRecord]
    notes: NoteHead | None
    corrupt_rows: Sequence[CorruptRow] = ()
    forgotten: DeploymentRecord | None = None


def read(journal: Journal, deployment_id: str) -> Evidence:
    """Return all rows of a deployment as of one moment; only the corrupt rows if one of them cannot be read.

    Raises NotFoundError if there is neither a header nor an audit, and ConflictError if the deployment changed during
    every reading.
    """
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
    raise ConflictError(f"'{deployment_id}' changed during the verification: repeat it when the deployment is idle")


def _header(journal: Journal, deployment_id: str) -> tuple[DeploymentRecord | None, str, DeploymentRecord | None]:
    """Return the header with its ETag, and what is kept of it past its retention."""
    try:
        found = journal.header(deployment_id)
    except ForgottenError as error:
        return None, "", error.record
    except NotFoundError:
        return None, "", None
    return found.record, found.etag, None


def verify(evidence: Evidence) -> Verdict:
    """Return the verdict. Raises nothing, whatever the journal contains."""
    chains = _chains(evidence)
    differences = [Difference(each.row, None, each.message) for each in evidence.corrupt_rows]
    if all(each.is_readable for each in evidence.corrupt_rows):
        differences += _differences(evidence, chains)
    else:
        differences.append(Difference(audit.DEPLOYMENT, None, "not compared, because a row of it cannot be read"))
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
    """Return the entries of each chain, in its order."""
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
            yield Difference(after.subject, after.sequence, "comes after an entry with a later time")
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
            yield Difference(subject, None, "in the audit but not in the journal")
    if evidence.forgotten is not None:
        yield from replay.kept(evidence.deployment_id, evidence.forgotten, chains.get(audit.DEPLOYMENT, []))
    yield from check_deployment(evidence.header, evidence.steps, chains)
