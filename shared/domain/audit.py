"""The audit as chains of hashes, so that a later change of what was written is noticed.

Every row of a deployment (its header, each step) has a chain of its own, because with one chain for all rows every
writer would wait for every other. Row and entry are one batch under the row's ETag, so a chain cannot fork:

    row      chain: head = H0 ──> head = H1 ──────────> head = H1 ─────────> head = H2
    entries                       E1: previous H0       (no move,            E2: previous H1
                                      row = digest       no entry owed)          row = digest
                                      hash = H1                                  hash = H2

H0 is the digest of the row as it was created. A row also keeps its own digest, which is compared before it is written
again: if the row was changed in between, its chain is broken from there on. The entry of the acceptance binds the H0
of all steps; an entry of a deployment that has ended binds the heads of all their chains. Notes, which move no row,
have a chain of their own. A hash is SHA-256 over the canonical JSON of an entry, the deployment's id and `previous`.
It contains no key: whoever can rewrite the whole partition can compute the chain again, which only a
copy of the last hash elsewhere reveals.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.actors import ACCEPT
from shared.domain.json import content_hash
from shared.domain.ports import Change, NoteHead, Versioned
from shared.domain.record_json import changed, hashable_fields
from shared.domain.records import AuditEntry, Chain, DeploymentRecord, Link, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, StepState

DEPLOYMENT = "deployment"
"""The header, as the subject of an entry."""
_MAX_REASON = 1000


def step_subject(ordinal: int) -> str:
    """Return a step's name as the subject of an entry; it sorts by ordinal."""
    return f"step_{ordinal:05d}"


def subject_of(record: StepRecord | DeploymentRecord) -> str:
    """Return the name of the row that the chain belongs to."""
    return step_subject(record.ordinal) if isinstance(record, StepRecord) else DEPLOYMENT


def row_digest(record: StepRecord | DeploymentRecord) -> str:
    """Return the digest of everything in a row except its `chain`."""
    return content_hash(hashable_fields(record))


def entry_hash(deployment_id: str, entry: AuditEntry) -> str:
    """Return the hash of everything in a linked entry except the hash itself."""
    fields = hashable_fields(entry)
    if entry.link is not None:
        fields["link"]["hash"] = ""
    return content_hash([deployment_id, fields])


def steps_digest(heads: Iterable[tuple[str, str]]) -> str:
    """Return the digest of pairs of subject and head, in any order."""
    return content_hash(sorted(heads))


def heads_of(steps: Iterable[StepRecord]) -> str:
    """Return the digest of the steps' chains. A row from before there were chains has no chain."""
    return steps_digest((subject_of(s), s.chain.head) for s in steps if s.chain is not None and s.chain.head)


_LEFT = "left as it is: released with write "


def release_reason(release_write: int) -> str:
    """Return the reason of the entry by which a release leaves a step as it is.

    It names the header's write that requested it, so that each of several releases has its own entries.
    """
    return f"{_LEFT}{release_write}"


def left_with(entry: AuditEntry) -> int:
    """Return the header's write that requested the release of which this is an entry; 0 for any other entry."""
    number = entry.reason.removeprefix(_LEFT)
    return int(number) if number != entry.reason and number.isascii() and number.isdigit() else 0


@dataclass(frozen=True)
class AuditedWrite[T]:
    """One write: the row, and its audit entry if there is one, in one batch."""

    record: T
    entry: AuditEntry | None


def chain_start(steps: Iterable[StepRecord]) -> list[StepRecord]:
    """Return new steps with the start of their chains."""
    digests = ((step, row_digest(step)) for step in steps)
    return [step.replace(chain=Chain(digest, digest)) for step, digest in digests]


def chain_accept(
    header: DeploymentRecord, steps: Sequence[StepRecord], reason: str, at: datetime
) -> tuple[DeploymentRecord, AuditEntry]:
    """Return a new header, and the entry of its acceptance, which binds the steps as `chain_start` returned them."""
    entry = AuditEntry(at, DEPLOYMENT, "", header.state.value, ACCEPT, reason[:_MAX_REASON], header.sequence)
    row = row_digest(header)
    entry = _linked(header.deployment_id, entry, Link("", "", row, heads_of(steps)))
    return header.replace(chain=Chain(_hash(entry), row)), entry


def chain_move[T: (StepRecord, DeploymentRecord)](
    change: Change[T], at: datetime, heads: str | None = None
) -> AuditedWrite[T]:
    """Return a row's next version, with its entry if there is one.

    There is an entry for every move to another state, every reason, and every write of an ended deployment. `heads` is
    `heads_of` its steps, which the entry of an ended deployment contains.
    """
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
    """Return the writes of a header and of a row that was not known at the acceptance.

    The row moves from `pending`. An entry of the header binds the row as it was created, so that no row can be inserted
    unnoticed.
    """
    born = chain_start([step.replace(state=StepState.PENDING)])[0]
    row = chain_move(Change(Versioned(born, ""), step, change.actor, change.reason), at)
    birth = steps_digest([(subject_of(step), _head(born))])
    return chain_move(replace(change, reason=f"takes up step {step.step_id}"), at, birth), row


def forgotten_header(header: DeploymentRecord, at: datetime) -> DeploymentRecord:
    """Return what is kept of an ended deployment's header after its retention.

    It keeps the id taken, the head of the header's chain, the hash of the manifest, and the final state.
    """
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
    """Return the hash that the row's next entry follows.

    If the stored row was changed outside the app, return a hash that breaks the chain, so that the app's next write
    cannot hide the change.
    """
    if found.chain is None:
        return ""
    digest = row_digest(found)
    return found.chain.head if digest == found.chain.row else content_hash([found.chain.head, digest])


def chain_note(deployment_id: str, entry: AuditEntry, last: NoteHead | None) -> tuple[AuditEntry, NoteHead]:
    """Return a note with its place after the last one, and the new head of the notes' chain."""
    last = last or NoteHead(0, "")
    entry = _linked(deployment_id, entry, Link(last.hash, "", note=last.number + 1))
    return entry, NoteHead(last.number + 1, _hash(entry))


def has_ended(record: StepRecord | DeploymentRecord) -> bool:
    """Return True for the header of an ended deployment; its entries bind the steps."""
    return isinstance(record, DeploymentRecord) and record.state in DEPLOYMENT_ENDED


def _linked(deployment_id: str, entry: AuditEntry, link: Link) -> AuditEntry:
    entry = changed(entry, {"correlation_id": entry.correlation_id or deployment_id, "link": link})
    return changed(entry, {"link": changed(link, {"hash": entry_hash(deployment_id, entry)})})


def _hash(entry: AuditEntry) -> str:
    return entry.link.hash if entry.link is not None else ""
