"""The rows of the journal: keys, columns for operators and filters, and the record as one JSON property."""

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
"""A text that sorts after every time."""


def step_key(ordinal: int) -> str:
    """Return the row key of a step; it sorts by ordinal."""
    return step_subject(ordinal)


def audit_key(entry: AuditEntry) -> str:
    """Return the row key of an audit entry; it sorts by time, and a repeated write has the same key."""
    milliseconds = int(entry.at.timestamp() * 1000)
    return f"{AUDIT_PREFIX}{milliseconds:015d}_{entry.subject}_{entry.sequence:06d}"


def header_entity(header: DeploymentRecord) -> JsonObject:
    """Return the header's row in the deployment's partition."""
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
    """Return a step's row. Raises UnwritableError."""
    record = encoded(step)
    columns = {"state": step.state.value, "step_id": step.step_id, "kind": step.kind, "sequence": step.sequence}
    return _entity(step.deployment_id, step_key(step.ordinal), record, columns)


def audit_entity(deployment_id: str, entry: AuditEntry) -> JsonObject:
    """Return an audit entry's row."""
    columns = {"subject": entry.subject, "before": entry.before, "after": entry.after, "actor": entry.actor}
    return _entity(deployment_id, audit_key(entry), encoded(entry), columns)


def note_entity(deployment_id: str, entry: AuditEntry) -> JsonObject:
    """Return a note's row. Notes do not increase a sequence, so its key contains a hash of its text, which
    distinguishes notes of the same instant."""
    text = hashlib.sha256(f"{entry.actor}\n{entry.reason}".encode("utf-8", "surrogatepass")).hexdigest()
    row = audit_entity(deployment_id, entry)
    return {**row, "RowKey": f"{row['RowKey']}_{text[:12]}"}


def index_entity(header: DeploymentRecord, is_open: bool | None = None) -> JsonObject:
    """Return the header's row in the list by target. The sweeper filters by `is_open`; it can be set before the header
    is written, so that the sweeper finds the deployment in any case.
    """
    columns = {
        "state": header.state.value,
        "is_open": header.state not in DEPLOYMENT_ENDED if is_open is None else is_open,
        "due_at": header.due_at.isoformat() if header.due_at is not None else NEVER,
        "sequence": header.sequence,
        "name": header.name,
        **{label_column(name): value for name, value in (header.labels or {}).items()},
    }
    return _entity(escape_key(header.target), header.deployment_id, encoded(header), columns, key_is_escaped=True)


def label_column(name: str) -> str:
    """Return the column of a label in the lists. A column's name has only letters, digits and `_`, so `-` is
    written `_h` and `_` itself `_u`."""
    return f"label_{name.replace('_', '_u').replace('-', '_h')}"


def record_of(entity: Any) -> JsonObject:
    """Return the JSON record in a row. Raises UnknownVersionError if it is missing: no known version wrote that."""
    try:
        record = as_object(json.loads(entity["record"]))
    except (KeyError, TypeError, ValueError, RecursionError):
        record = None
    if record is None:
        raise UnknownVersionError("the row has no record: its column 'record' is not a JSON object")
    return record


def skip_unreadable[T](deployment_id: str, read: Callable[[], T | None]) -> T | None:
    """Return what `read` returns for one of many deployments. If only another version of the app can read it, log an
    error and return None: one row must not hide all others."""
    try:
        return read()
    except UnknownVersionError as error:
        log.error("deployment %s is skipped: %s", deployment_id, error)
        return None


def raise_unreadable[T](deployment_id: str, read: Callable[[], T | None]) -> T | None:
    """Return what `read` returns; an unreadable row raises, because the caller needs a complete list."""
    return read()


def header_of(entity: Any) -> DeploymentRecord:
    """Return the header in a row of the journal or of a list. Raises UnknownVersionError."""
    return DeploymentRecord.from_json(record_of(entity))


def note_head_entity(deployment_id: str, head: NoteHead) -> JsonObject:
    """Return the row of the notes' chain; it is kept with the audit."""
    return _entity(deployment_id, NOTES, {**vars(head)}, {"number": head.number})


def note_head_of(entity: Any) -> NoteHead:
    """Return the head in a row of `note_head_entity`."""
    return NoteHead(**record_of(entity))


SEQUENCES = ["RowKey", "sequence", "number", "forgotten_at"]
"""The columns that `sequences_of` reads."""


def sequences_of(deployment_id: str, entities: Iterable[Any]) -> dict[str, int]:
    """Return the rows' sequence numbers by row key, and the number of notes. Raises NotFoundError if the header is
    missing or forgotten."""
    stored = (e for e in entities if not e.get("forgotten_at"))
    columns = ((e["RowKey"], e.get("number" if e["RowKey"] == NOTES else "sequence")) for e in stored)
    found = {key: number for key, number in columns if key in (HEADER, NOTES) or key.startswith(STEP_PREFIX)}
    if HEADER not in found:
        raise NotFoundError(f"there is no deployment '{deployment_id}'")
    return found


def turned[T](listed: Sequence[T], turn: int) -> list[T]:
    """Return the list rotated, so that it begins at position `turn`."""
    first = turn % len(listed) if listed else 0
    return [*listed[first:], *listed[:first]]


def corrupt_row(entity: Any) -> CorruptRow | None:
    """Return a row that differs in key or columns from what would be written for its record, else None."""
    key = entity["RowKey"]
    try:
        written = _written_again(entity)
    except (SagaError, KeyError, TypeError, ValueError) as error:
        text = str(error) if isinstance(error, SagaError) else f"its record is not valid ({type(error).__name__})"
        return CorruptRow(key, text, is_readable=False)
    if written is None:
        return CorruptRow(key, "its key does not exist in a journal", is_readable=True)
    if written["RowKey"] != key:
        return CorruptRow(key, f"its record belongs to the row {written['RowKey']}", is_readable=True)
    # Older rows do not have a column that a later version adds.
    wrong = [name for name, value in written.items() if name != "record" and entity.get(name, value) != value]
    text = ", ".join(f"'{name}' is {entity[name]!r}, but {written[name]!r} in its record" for name in wrong)
    return CorruptRow(key, text, is_readable=True) if wrong else None


def _written_again(entity: Any) -> JsonObject | None:
    """Return what would be written for the record in a row, or None if its key is unknown. Raises what reading raises,
    and UnknownVersionError for a field of a type that is never written."""
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
