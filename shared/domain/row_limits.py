"""The row limit of each field, so that a row that was created can always be written again.

A row is one string property of Azure Tables. It grows while its step runs: a claim, times, waits, an intent with its
before-image, an operation, a resource, outputs, two errors. Each field has a limit that covers its largest value, and
all limits together fit into the property. Every later write of a row fits. `fitted` checks a
record before it is written. It cuts texts for people to their limit, and refuses any other value that is too large,
because a cut id or address would be wrong.

A row is ASCII, so any other character takes up to twelve. All numbers are characters of JSON.
"""

import json
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii
from typing import Any

from shared.domain.errors import LimitError
from shared.domain.labels import LABELS_CHARACTERS
from shared.domain.record_json import changed
from shared.domain.records import DeploymentRecord, RecordedError, StepRecord

ROW_CHARACTERS = 32_768
"""Characters of a string property (64 KiB of UTF-16)."""
PAYLOAD_CHARACTERS = 2_800
"""Characters of a payload in its row; larger payloads are blobs (saga/payloads.py)."""
APART = "$apart"
"""The member of a payload that is a blob although it is small. The share of an intent has room for one payload: what an
update made is a second one beside its before-image."""
PERSON_CHARACTERS, REASON_CHARACTERS = 256 * 6, 2_000
"""Characters of a requester's name, and of a reason."""
NAME_CHARACTERS = 256 * 12
"""Characters of the longest name in Fabric."""
ERROR_CHARACTERS = 2_800
DONE_CHARACTERS = 100
"""Characters of what a step did, in ASCII."""
PROBLEMS_CHARACTERS = 14_500
_REMEDY, _CALL, _CODE = 600, 400, 250
_ROW = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))
_NUMBERS = frozenset({int, bool, float})
_LONG = 10**30
"""No number below it takes more characters than `_PLAIN`."""
_PLAIN = 36
"""The limit of a field that has no entry: a number, a time, a state."""

STEP_SHARES = {
    "deployment_id": 102,
    "step_id": 102,
    "kind": 80,
    "spec": PAYLOAD_CHARACTERS,
    "needs": 3_900,  # packed: any ordinals below MAX_STEPS
    "refers_to": PAYLOAD_CHARACTERS,
    "claim": 200,
    "intent": PAYLOAD_CHARACTERS + 300,
    "operation": 1_500,
    "resource": 3_500,  # a name of 256 characters
    "outputs": 3_650,
    "error": ERROR_CHARACTERS,
    "compensation_error": ERROR_CHARACTERS,
    "waits": 3_600,  # MAX_WAITS of them
    "done": DONE_CHARACTERS + 2,
    "chain": 170,
}
HEADER_SHARES = {
    "deployment_id": 102,
    "name": 1_210,
    "target": 4_620,
    "manifest_hash": 70,
    "requested_by": PERSON_CHARACTERS + 2,
    "requester_id": 48,
    "cancel_requested_by": PERSON_CHARACTERS + 2,
    "compensate_requested_by": PERSON_CHARACTERS + 2,
    "resume_requested_by": PERSON_CHARACTERS + 2,
    "retire_requested_by": PERSON_CHARACTERS + 2,
    "labels": LABELS_CHARACTERS,
    "promotes": 102,
    "error": ERROR_CHARACTERS,
    "problems": PROBLEMS_CHARACTERS + 110,
    "traceparent": 60,
    "chain": 170,
}
_OF_A_VALID_ONE = ("labels", "promotes")
"""Only an invalid submission has problems, and only a valid one has these, so they use the room of the problems."""


def fitted[T: (StepRecord, DeploymentRecord)](record: T) -> T:
    """Return the record with each text for people cut to its limit.

    Raises LimitError, which names the row and the field, if another value is too large.
    """
    shares = STEP_SHARES if isinstance(record, StepRecord) else HEADER_SHARES
    errors = {name: fitted_error(error) for name in ("error", "compensation_error") if (error := _error(record, name))}
    record = changed(record, errors) if errors else record
    for name, value in record.to_json().items():
        if value.__class__ in _NUMBERS and -_LONG < value < _LONG:
            continue
        size, share = len(encoded(value)), shares.get(name, _PLAIN)
        if name in _OF_A_VALID_ONE and isinstance(record, DeploymentRecord) and record.problems and value:
            share = 0
        if size > share:
            owner = f"step '{record.step_id}'" if isinstance(record, StepRecord) else "the deployment"
            raise LimitError(
                f"'{name}' of {owner[:100]} takes {size} characters of its row; at most {share} are allowed"
            )
    return record


def fitting(text: str, room: int) -> str:
    """Return the beginning of a text that takes at most `room` characters in a row."""
    if len(text) * 12 <= room or len(encoded(text)) - 2 <= room:
        return text
    left = room
    for i, character in enumerate(text):
        left -= len(encoded(character)) - 2
        if left < 0:
            return text[:i]
    return text


def as_many(texts: Iterable[str], room: int) -> list[str]:
    """Return the first texts, as many as take at most `room` characters in a row as a list."""
    found: list[str] = []
    for text in texts:
        if len(encoded([*found, text])) > room:
            break
        found.append(text)
    return found


def person(name: str) -> str:
    """Return a requester's name as rows keep it: at most 256 characters, within its limit."""
    return fitting(name[:256], PERSON_CHARACTERS)


def encoded(value: Any) -> str:
    """Return a value as a row contains it."""
    return encode_basestring_ascii(value) if value.__class__ is str else _ROW.encode(value)


def largest(record: type[StepRecord] | type[DeploymentRecord]) -> int:
    """Return the characters of a row in which every field is at its limit."""
    shares = STEP_SHARES if record is StepRecord else HEADER_SHARES
    names = ["version", *record.__dataclass_fields__]
    if record is DeploymentRecord:
        names = [name for name in names if name not in _OF_A_VALID_ONE]  # together less than the problems
    return 1 + sum(len(f'"{name}":,') + shares.get(name, _PLAIN) for name in names)


def _error(record: StepRecord | DeploymentRecord, name: str) -> RecordedError | None:
    return getattr(record, name, None)


def fitted_error(error: RecordedError) -> RecordedError:
    """Return the error with its texts cut so that it fits its limit."""
    rest = RecordedError(
        message="",
        remedy=fitting(error.remedy, _REMEDY),
        call=fitting(error.call, _CALL) if error.call else error.call,
        status=error.status,
        error_code=fitting(error.error_code, _CODE) if error.error_code else error.error_code,
        request_id=fitting(error.request_id, _CODE) if error.request_id else error.request_id,
    )
    taken = len(encoded({name: value for name, value in vars(rest).items() if value is not None}))
    return changed(rest, {"message": fitting(error.message, ERROR_CHARACTERS - taken)})
