"""Notices: moves that people want to know of, as events of CloudEvents 1.0, signed as Standard Webhooks says.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md (structured mode) and
https://www.standardwebhooks.com.
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from shared.domain.approval import question, waits_for_person
from shared.domain.audit import step_subject
from shared.domain.json import JsonObject
from shared.domain.records import DeploymentRecord, RecordedError, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState

DEPLOYMENT = "deployment"
"""The subject of the audit for moves of the header."""
CHECK_SECONDS = 5
"""Delay of a notice. It is sent before the write that it announces, so that a crash between the two loses nothing."""
UNWRITTEN_SECONDS = 360.0
"""How long the write may take: longer than a function may run (`functionTimeout` of host.json). After that it has
failed, and nothing is announced."""
PAUSES_SECONDS = (10, 60, 300, 1800, 3600, 3600)
"""Before each further try. A notice is given up after about three hours."""
MEDIA_TYPE = "application/cloudevents+json; charset=utf-8"
_TYPE = "fabric-saga.deployment."
_KEY = "whsec_"
"""The prefix of a key in base64. A secret without it is the key itself."""
_MIN_KEY = 24
"""Bytes. Source: Standard Webhooks, "Signature scheme"; a key of no bytes would sign for everybody."""


class NoticeKind(StrEnum):
    """The kind of a move that is announced; the last part of an event's type. Receivers compare it: add, never
    rename."""

    APPROVAL_WAITING = "approval_waiting"
    ENDED = "ended"
    HELD = "held"
    STUCK = "stuck"


@dataclass(frozen=True)
class Notice:
    """One announced move: the `sequence` that the row (`deployment`, `step_NNNNN`) has after its write.

    `attempt` counts tries to send it that failed.
    """

    deployment_id: str
    row: str
    sequence: int
    kind: NoticeKind
    created_at: datetime
    attempt: int = 0

    @property
    def event_id(self) -> str:
        """Return the event's id: every repetition has the same one, so that a receiver can drop it."""
        return f"{self.deployment_id}/{self.row}/{self.sequence}"

    def again(self) -> Self:
        """Return the notice of the next try."""
        return replace(self, attempt=self.attempt + 1)

    def to_json(self) -> JsonObject:
        """Return the message of the queue."""
        return {**vars(self), "kind": self.kind.value, "created_at": self.created_at.isoformat()}

    @classmethod
    def from_json(cls, data: JsonObject) -> Self:
        """Return the notice of a message. Raises KeyError, TypeError, ValueError."""
        kind, created_at = NoticeKind(data["kind"]), datetime.fromisoformat(data["created_at"])
        if created_at.tzinfo is None:
            raise ValueError("its time has no zone")
        texts, numbers = (data["deployment_id"], data["row"]), (data["sequence"], data["attempt"])
        if not all(isinstance(text, str) for text in texts) or not all(type(n) is int and n >= 0 for n in numbers):
            raise TypeError("a field has another type")
        return cls(*texts, numbers[0], kind, created_at, numbers[1])


def of_header(before: DeploymentState, after: DeploymentState) -> NoticeKind | None:
    """Return what a move of a deployment announces; None if nothing."""
    if before is after:
        return None
    if after is DeploymentState.HELD:
        return NoticeKind.HELD
    if after is DeploymentState.STUCK:
        return NoticeKind.STUCK
    return NoticeKind.ENDED if after in DEPLOYMENT_ENDED else None


def of_step(before: StepRecord, after: StepRecord) -> NoticeKind | None:
    """Return what a write of a step announces: that it waits for a person now."""
    return NoticeKind.APPROVAL_WAITING if waits_for_person(after) and not waits_for_person(before) else None


def header_event(notice: Notice, header: DeploymentRecord, app: str) -> JsonObject:
    """Return the event of a move of a deployment; `app` is the app's address, or empty."""
    data: JsonObject = _about(header, app)
    if header.error is not None:
        data["error"] = _error(header.error)
    return _event(notice, header.deployment_id, data, app)


def approval_event(
    notice: Notice, header: DeploymentRecord, step: StepRecord, spec: JsonObject, app: str
) -> JsonObject:
    """Return the event of an approval that waits; `spec` is the step's, with its question."""
    about = {"step": step.step_id, **question(spec)}
    if step.deadline_at is not None:
        about["until"] = step.deadline_at.isoformat()
    return _event(notice, header.deployment_id, {**_about(header, app), "approval": about}, app)


def row_of(step: StepRecord) -> str:
    """Return the name of a step's row."""
    return step_subject(step.ordinal)


def _event(notice: Notice, deployment_id: str, data: JsonObject, app: str) -> JsonObject:
    return {
        "specversion": "1.0",
        "id": notice.event_id,
        "source": app or "/fabric-saga",
        "type": f"{_TYPE}{notice.kind.value}",
        "subject": deployment_id,
        "time": notice.created_at.isoformat(),
        "datacontenttype": "application/json",
        "data": data,
    }


def _about(header: DeploymentRecord, app: str) -> JsonObject:
    about: JsonObject = {
        "deployment_id": header.deployment_id,
        "name": header.name,
        "target": header.target,
        "state": header.state.value,
        "requested_by": header.requested_by,
        "labels": header.labels or {},
    }
    if app:
        about["page"] = f"{app}/api/dashboard#/deployments/{header.deployment_id}"
    return about


def _error(error: RecordedError) -> JsonObject:
    found = {"message": error.message, "remedy": error.remedy, "error_code": error.error_code}
    return {name: text for name, text in found.items() if text}


def body_of(event: JsonObject) -> bytes:
    """Return the bytes that are signed and sent."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def signed_headers(secret: str, event_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the headers by which a receiver knows the sender: the id, the time and an HMAC-SHA256 of both and the
    body. Raises ValueError if the secret has the prefix of base64 and is not base64, or if its key is too short."""
    try:
        key = base64.b64decode(secret.removeprefix(_KEY), validate=True) if secret.startswith(_KEY) else secret.encode()
    except binascii.Error:
        raise ValueError(f"the secret begins with {_KEY} and is not base64") from None
    if len(key) < _MIN_KEY:
        raise ValueError(f"the secret's key has {len(key)} bytes: give it at least {_MIN_KEY} random ones")
    timestamp = str(int(at.timestamp()))
    content = f"{event_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {"webhook-id": event_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}
