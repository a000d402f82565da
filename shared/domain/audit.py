"""The audit as chains of hashes, so that what was written cannot be changed afterwards without notice.

Every row of a deployment (its header, each step) has a chain of its own, for one chain over all would make every
writer wait for every other. Row and entry are one batch under the row's ETag, so a chain cannot fork:

    row      chain: head = H0 ──> head = H1 ──────────> head = H1 ─────────> head = H2
    entries                       E1: previous H0       (learned something,  E2: previous H1
                                      row = digest       no entry owed)          row = digest
                                      hash = H1                                  hash = H2

H0 is the digest of the row as it was created. A row keeps its own digest too, and is held to it before it is written
again: the chain of one that was changed in between is broken from there on. The entry of the acceptance binds the H0
of all steps; an entry of a deployment that has ended binds the heads of all their chains. Notes, which move no row,
have a chain of their own. A hash is SHA-256 over the canonical JSON of an entry, the deployment's id and `previous`.
No key goes into it: who can rewrite the whole partition can compute it anew, which a copy of the last hash elsewhere
gives away.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.json import content_hash
from shared.domain.ports import Change, NoteHead, Versioned
from shared.domain.record_json import hashable_fields
from shared.domain.records import AuditEntry, Chain, DeploymentRecord, Link, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, StepState

DEPLOYMENT = "deployment"
"""The header, as the subject of an entry."""
_MAX_REASON = 1000


def step_subject(ordinal: int) -> str:
    """A step, as the subject of an entry; sorts by ordinal."""
    return f"step_{ordinal:05d}"


def subject_of(record: StepRecord | DeploymentRecord) -> str:
    """Whose chain it is."""
    return step_subject(record.ordinal) if isinstance(record, StepRecord) else DEPLOYMENT


def row_digest(record: StepRecord | DeploymentRecord) -> str:
    """Of everything in a row but its `chain`."""
    return content_hash(hashable_fields(record))


def entry_hash(deployment_id: str, entry: AuditEntry) -> str:
    """Of everything in a linked entry but the hash itself."""
    link = replace(entry.link, hash="") if entry.link is not None else None
    return content_hash([deployment_id, hashable_fields(replace(entry, link=link))])


def steps_digest(heads: Iterable[tuple[str, str]]) -> str:
    """Of pairs of subject and head, in whatever order they come."""
    return content_hash(sorted(heads))


def heads_of(steps: Iterable[StepRecord]) -> str:
    """The digest over the steps' chains as they stand; a row from before there were chains has none."""
    return steps_digest((subject_of(s), s.chain.head) for s in steps if s.chain is not None and s.chain.head)


_LEFT = "left as it is: released with write "


def release_reason(release_write: int) -> str:
    """Return the reason of the entry by which a release leaves a step as it is; it names the header's write that asks
    for it, so that of several releases each has its own entries."""
    return f"{_LEFT}{release_write}"


def left_with(entry: AuditEntry) -> int:
    """Return the header's write that asks for the release which this entry of a step is about; 0 for any other."""
    number = entry.reason.removeprefix(_LEFT)
    return int(number) if number != entry.reason and number.isascii() and number.isdigit() else 0


@dataclass(frozen=True)
class AuditedWrite[T]:
    """What one write puts down in one batch: the row, and the audit entry that it owes."""

    record: T
    entry: AuditEntry | None


def chain_start(steps: Iterable[StepRecord]) -> list[StepRecord]:
    """Steps as they are created, their chains begun."""
    digests = ((step, row_digest(step)) for step in steps)
    return [step.replace(chain=Chain(digest, digest)) for step, digest in digests]


def chain_accept(
    header: DeploymentRecord, steps: Sequence[StepRecord], reason: str, at: datetime
) -> tuple[DeploymentRecord, AuditEntry]:
    """A header as it is created, and the entry of its acceptance, which binds the steps as `chain_start` made them."""
    entry = AuditEntry(at, DEPLOYMENT, "", header.state.value, "accept", reason[:_MAX_REASON], header.sequence)
    row = row_digest(header)
    entry = _linked(header.deployment_id, entry, Link("", "", row, heads_of(steps)))
    return header.replace(chain=Chain(_hash(entry), row)), entry


def chain_move[T: (StepRecord, DeploymentRecord)](
    change: Change[T], at: datetime, heads: str | None = None
) -> AuditedWrite[T]:
    """A row's next version, with the entry it owes: for every move to another state, every reason given, and every
    write of a deployment that has ended. `heads` is `heads_of` its steps and goes into the entry of an ended one."""
    before = change.before.record
    after = change.after.replace(sequence=before.sequence + 1)
    head, row = _head(before), row_digest(after)
    if before.state == after.state and not change.reason and not has_ended(after):
        return AuditedWrite(after.replace(chain=Chain(head, row)), None)
    entry = AuditEntry(
        at,
        subject_of(after),
        before.state.value,
        after.state.value,
        change.actor,
        change.reason[:_MAX_REASON],
        after.sequence,
        change.correlation_id,
    )
    entry = _linked(after.deployment_id, entry, Link(head, "", row, heads))
    return AuditedWrite(after.replace(chain=Chain(_hash(entry), row)), entry)


def chain_append(
    change: Change[DeploymentRecord], step: StepRecord, at: datetime
) -> tuple[AuditedWrite[DeploymentRecord], AuditedWrite[StepRecord]]:
    """A header and a row that was not known at the acceptance: its first move, from `pending`, and an entry of the
    header's that binds what it was created as, so that no row can be put in unseen."""
    born = chain_start([step.replace(state=StepState.PENDING)])[0]
    row = chain_move(Change(Versioned(born, ""), step, change.actor, change.reason), at)
    birth = steps_digest([(subject_of(step), _head(born))])
    return chain_move(replace(change, reason=f"takes up step {step.step_id}"), at, birth), row


def forgotten_header(header: DeploymentRecord, at: datetime) -> DeploymentRecord:
    """Return what stays of an ended deployment's header past its retention: it keeps the id taken and the head of the
    header's chain, and says which manifest had the id and how it ended."""
    kept = DeploymentRecord(
        deployment_id=header.deployment_id,
        name=header.name,
        target=header.target,
        state=header.state,
        manifest_hash=header.manifest_hash,
        accepted_at=header.accepted_at,
        origin=header.origin,
        requested_by=header.requested_by,
        sequence=header.sequence,
        finished_at=header.finished_at,
        forgotten_at=at,
    )
    return kept.replace(chain=Chain(_head(header), row_digest(kept)))


def _head(found: StepRecord | DeploymentRecord) -> str:
    """Where a row's chain goes on. From a row that is not what was written last it leads nowhere: our own next write,
    which takes over what it finds, must not make good what somebody else changed."""
    if found.chain is None:
        return ""
    digest = row_digest(found)
    return found.chain.head if digest == found.chain.row else content_hash([found.chain.head, digest])


def chain_note(deployment_id: str, entry: AuditEntry, last: NoteHead | None) -> tuple[AuditEntry, NoteHead]:
    """A note with its place after the last one, and the head of the notes' chain then."""
    last = last or NoteHead(0, "")
    entry = _linked(deployment_id, entry, Link(last.hash, "", note=last.number + 1))
    return entry, NoteHead(last.number + 1, _hash(entry))


def has_ended(record: StepRecord | DeploymentRecord) -> bool:
    """Whether it is the header of a deployment that has ended: its entries bind the steps."""
    return isinstance(record, DeploymentRecord) and record.state in DEPLOYMENT_ENDED


def _linked(deployment_id: str, entry: AuditEntry, link: Link) -> AuditEntry:
    entry = replace(entry, correlation_id=entry.correlation_id or deployment_id, link=link)
    return replace(entry, link=replace(link, hash=entry_hash(deployment_id, entry)))


def _hash(entry: AuditEntry) -> str:
    return entry.link.hash if entry.link is not None else ""
