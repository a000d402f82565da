"""How records stand in the tables: keys, the columns an operator sees, and the record itself as one JSON property."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from shared.adapters.storage.clients import checked_entity, checked_key, escape_key
from shared.domain.audit import step_subject
from shared.domain.errors import NotFoundError, SagaError, UnknownVersionError
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import CorruptRow, NoteHead
from shared.domain.record_json import check_types, encoded
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED

log = logging.getLogger(__name__)

HEADER = "header"
AUDIT_PREFIX = "audit_"
STEP_PREFIX = "step_"
NOTES = "notes"
NEVER = "9999"
"""Sorts after every moment, as text."""


def step_key(ordinal: int) -> str:
    """The row key of a step; sorts by ordinal."""
    return step_subject(ordinal)


def audit_key(entry: AuditEntry) -> str:
    """The row key of an audit entry; sorts by time, and is the same when the same write is repeated."""
    milliseconds = int(entry.at.timestamp() * 1000)
    return f"{AUDIT_PREFIX}{milliseconds:015d}_{entry.subject}_{entry.sequence:06d}"


def header_entity(header: DeploymentRecord) -> JsonObject:
    """The header's row in the deployment's partition."""
    columns: JsonObject = {
        "state": header.state.value,
        "name": header.name,
        "target": header.target,
        "sequence": header.sequence,
    }
    if header.forgotten_at is not None:
        columns["forgotten_at"] = header.forgotten_at.isoformat()
    return _entity(header.deployment_id, HEADER, encoded(header), columns)


def step_entity(step: StepRecord) -> JsonObject:
    """A step's row. Raises UnwritableError."""
    record = encoded(step)
    columns = {"state": step.state.value, "step_id": step.step_id, "kind": step.kind, "sequence": step.sequence}
    return _entity(step.deployment_id, step_key(step.ordinal), record, columns)


def audit_entity(deployment_id: str, entry: AuditEntry) -> JsonObject:
    """An audit entry's row."""
    columns = {"subject": entry.subject, "before": entry.before, "after": entry.after, "actor": entry.actor}
    return _entity(deployment_id, audit_key(entry), encoded(entry), columns)


def note_entity(deployment_id: str, entry: AuditEntry) -> JsonObject:
    """A note's row. It counts no write of its own, so what it says tells it from what happened at the same instant."""
    text = hashlib.sha256(f"{entry.actor}\n{entry.reason}".encode("utf-8", "surrogatepass")).hexdigest()
    row = audit_entity(deployment_id, entry)
    return {**row, "RowKey": f"{row['RowKey']}_{text[:12]}"}


def index_entity(header: DeploymentRecord, is_open: bool | None = None) -> JsonObject:
    """The header once more, by target, for lists; `is_open` lets the sweeper ask for what has not ended. It may be
    said beforehand of what is only about to be written, so that the sweeper looks at it in any case.
    """
    columns = {
        "state": header.state.value,
        "is_open": header.state not in DEPLOYMENT_ENDED if is_open is None else is_open,
        "due_at": header.due_at.isoformat() if header.due_at is not None else NEVER,
        "sequence": header.sequence,
        "name": header.name,
    }
    return _entity(escape_key(header.target), header.deployment_id, encoded(header), columns, key_is_escaped=True)


def record_of(entity: Any) -> JsonObject:
    """The JSON record in a row. Raises UnknownVersionError where there is none: no version wrote that."""
    try:
        record = as_object(json.loads(entity["record"]))
    except (KeyError, TypeError, ValueError, RecursionError):
        record = None
    if record is None:
        raise UnknownVersionError("the row holds no record: its column 'record' is no JSON object")
    return record


def skip_unreadable[T](deployment_id: str, read: Callable[[], T | None]) -> T | None:
    """What `read` reads of one deployment among many; None, and an error in the log, where only another version of
    the app can read it: it must not hide all the others."""
    try:
        return read()
    except UnknownVersionError as error:
        log.error("deployment %s is passed over: %s", deployment_id, error)
        return None


def raise_unreadable[T](deployment_id: str, read: Callable[[], T | None]) -> T | None:
    """As `skip_unreadable`, for who has to know all that is there."""
    return read()


def header_of(entity: Any) -> DeploymentRecord:
    """The header in a row of its own or of a projection. Raises UnknownVersionError."""
    return DeploymentRecord.from_json(record_of(entity))


def note_head_entity(deployment_id: str, head: NoteHead) -> JsonObject:
    """The row of the notes' chain; it stays with the audit."""
    return _entity(deployment_id, NOTES, vars(head), {"number": head.number})


def note_head_of(entity: Any) -> NoteHead:
    """The reverse of `note_head_entity`."""
    return NoteHead(**record_of(entity))


SEQUENCES = ["RowKey", "sequence", "number", "forgotten_at"]
"""The columns that `sequences_of` reads."""


def sequences_of(deployment_id: str, entities: Iterable[Any]) -> dict[str, int]:
    """Return the rows' sequence numbers by row key, and the number of notes. Raises NotFoundError if there is no
    header, or only what stays of it past its retention."""
    stored = (e for e in entities if not e.get("forgotten_at"))
    columns = ((e["RowKey"], e.get("number" if e["RowKey"] == NOTES else "sequence")) for e in stored)
    found = {key: number for key, number in columns if key in (HEADER, NOTES) or key.startswith(STEP_PREFIX)}
    if HEADER not in found:
        raise NotFoundError(f"there is no deployment '{deployment_id}'")
    return found


def turned[T](listed: Sequence[T], turn: int) -> list[T]:
    """From one of them on and round to the one before it."""
    first = turn % len(listed) if listed else 0
    return [*listed[first:], *listed[:first]]


def corrupt_row(entity: Any) -> CorruptRow | None:
    """A row of the journal that is not what would be written of its own record: under that key, with those columns."""
    key = entity["RowKey"]
    try:
        written = _written_again(entity)
    except (SagaError, KeyError, TypeError, ValueError) as error:
        text = str(error) if isinstance(error, SagaError) else f"its record is none ({type(error).__name__})"
        return CorruptRow(key, text, is_readable=False)
    if written is None:
        return CorruptRow(key, "no row of a journal has such a key", is_readable=True)
    if written["RowKey"] != key:
        return CorruptRow(key, f"its record belongs to the row {written['RowKey']}", is_readable=True)
    # A column that a later version adds is not in the rows of before.
    wrong = [name for name, value in written.items() if name != "record" and entity.get(name, value) != value]
    text = ", ".join(f"'{name}' shows {entity[name]!r}, and its record says {written[name]!r}" for name in wrong)
    return CorruptRow(key, text, is_readable=True) if wrong else None


def _written_again(entity: Any) -> JsonObject | None:
    """What is written of the record in a row; None where its key is of no kind. Raises as whatever reads it, and
    UnknownVersionError for a field of another type than is ever written."""
    partition, key, data = entity["PartitionKey"], entity["RowKey"], record_of(entity)
    if key == HEADER:
        return header_entity(DeploymentRecord.from_json(data))
    if key == NOTES:
        return note_head_entity(partition, check_types(NoteHead(**data)))
    if key.startswith(STEP_PREFIX):
        return step_entity(StepRecord.from_json(data))
    if not key.startswith(AUDIT_PREFIX):
        return None
    entry = AuditEntry.from_json(data)
    note = note_entity(partition, entry)
    return note if note["RowKey"] == key else audit_entity(partition, entry)


def _entity(
    partition: str, row: str, record: JsonObject, columns: JsonObject, *, key_is_escaped: bool = False
) -> JsonObject:
    entity: JsonObject = {
        "PartitionKey": partition if key_is_escaped else checked_key(partition, "a deployment id"),
        "RowKey": checked_key(row, "a row key"),
        **columns,
        "record": json.dumps(record, ensure_ascii=True, separators=(",", ":")),
    }
    checked_entity(entity)
    return entity
