"""Accepts a submission: from the message on the queue to a header and journaled steps.

Every submission is answered and recorded; only an error of storage makes the queue deliver the message again.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.domain.access import KEYS, AccessPolicy, approvers_problem
from shared.domain.actors import ACCEPT
from shared.domain.approval import APPROVAL, SEPARATION
from shared.domain.deployment_ids import ID_RULE, is_deployment_id
from shared.domain.errors import (
    InvalidInputError,
    LimitError,
    NotFoundError,
    Problem,
    Problems,
    StorageUnavailableError,
    how_many,
)
from shared.domain.fields import GUID, child
from shared.domain.json import JsonObject, as_object, canonical, content_hash
from shared.domain.manifest import compile_manifest
from shared.domain.names import normal_target
from shared.domain.ordinals import packed
from shared.domain.policy import EnginePolicy
from shared.domain.ports import Blobs, Clock, Journal, KindRules
from shared.domain.records import AuditEntry, DeploymentRecord, RecordedError, StepRecord
from shared.domain.references import referred, resolve
from shared.domain.row_limits import PROBLEMS_CHARACTERS, fitted, person
from shared.domain.states import DeploymentState
from shared.domain.step_graph import GraphStep, StepGraph
from shared.domain.template import OPENING
from shared.domain.text import parse, utf8
from shared.domain.trace import TRACEPARENT, TRACEPARENT_HINT, root
from shared.saga.payloads import Payloads
from shared.saga.submission.encoding import decoded
from shared.saga.submission.promotion import promotion_problems

log = logging.getLogger(__name__)

_UNHANDLED = RecordedError(
    "every delivery of the submission failed; its manifest is not to blame",
    "See health and the app's log: a setting may be invalid, or storage fails. Then submit again under a new id.",
)
_UNPROVEN = Problem(
    "$",
    "came by the queue, which does not prove who sent it (QUEUE_NEEDS_IDENTITY); submit over the HTTP API, signed in",
)
_ENVELOPE = frozenset({"deployment_id", "manifest", "manifest_text", "manifest_blob", "requested_by", "source"})
_SHOWN_INPUTS = 2_000
"""Characters of the inputs that the audit shows."""
_BESIDE = "traceparent"
"""Allowed in an envelope and beside a bare manifest, so it does not make a message an envelope."""


@dataclass(frozen=True)
class Submission:
    """The content of a message, as far as it can be read."""

    deployment_id: str
    manifest: Any
    requested_by: str = ""
    traceparent: str = ""
    requester_id: str = ""
    """The object id of the signed-in requester; empty if the requester is not proven."""


@dataclass(frozen=True)
class Accepted:
    """The stored header; `conflict` is True if the submission is rejected because another manifest has the id."""

    header: DeploymentRecord
    conflict: bool = False
    manifest: Any = None
    """The manifest of the submission; None if it could not be read."""


@dataclass(frozen=True)
class Acceptance:
    """Accepts submissions. It is idempotent, because compiling is pure and the journal's create is idempotent."""

    journal: Journal
    blobs: Blobs
    payloads: Payloads
    clock: Clock
    kinds: Mapping[str, KindRules]
    retention_seconds: float = EnginePolicy.retention_seconds
    access: AccessPolicy = KEYS

    def accept(self, content: bytes, message_id: str) -> Accepted:
        """Record the submission as accepted or rejected. Raises only StorageUnavailableError."""
        fallback_id = fallback_id_of(content, message_id)
        try:
            submission = self._read(content, fallback_id)
        except InvalidInputError as error:
            return self._reject(salvaged_id(content) or fallback_id, content, error.problems)
        if self.access.queue_needs_identity and not self._is_known(submission):
            accepted = self.reject(submission, Problems([_UNPROVEN]))
        else:
            accepted = self.submit(submission)
        return replace(accepted, manifest=submission.manifest)

    def keep(self, manifest: Any) -> None:
        """Store an accepted manifest under its hash, which its header has, so that it can be sent again.

        Raises StorageUnavailableError.
        """
        self.blobs.put(canonical(manifest).encode("utf-8", "surrogatepass"))

    def _is_known(self, submission: Submission) -> bool:
        """Return True if the message is the queue's copy of a submission that came over the HTTP API."""
        try:
            header = self.journal.header(submission.deployment_id).record
        except NotFoundError:
            return False
        return header.manifest_hash == content_hash(submission.manifest)

    def submit(self, submission: Submission) -> Accepted:
        """Do the same as `accept` for a submission that has been read."""
        try:
            graph = compile_manifest(submission.manifest, self.kinds)
        except InvalidInputError as error:
            return self.reject(submission, error.problems)
        if problems := self._unenforceable(submission, graph):
            return self.reject(submission, problems)
        if graph.promotes and not self._is_known(submission):
            problems = promotion_problems(submission.manifest, graph.promotes, self.journal, self.blobs)
            if problems:
                return self.reject(submission, problems)
        return self._record(submission, graph)

    def _unenforceable(self, submission: Submission, graph: StepGraph) -> Problems:
        """Return what the manifest asks of its approvers and this app cannot check. A stored deployment keeps what it
        was accepted with."""
        problems = Problems()
        asks = [step for step in graph.steps if step.kind == APPROVAL]
        if not any(step.spec.get(SEPARATION) or step.spec.get("approvers") for step in asks):
            return problems
        if self._is_known(submission):
            return problems
        for step in asks:
            if step.spec.get(SEPARATION) and not submission.requester_id:
                detail = f"step '{step.step_id}' has {SEPARATION}, and the requester is not proven: "
                need = "submit it over the HTTP API, signed in" if self.access.signs_in else "configure sign-in"
                problems.append(Problem("$.steps", detail + need))
            named: list[str] = step.spec.get("approvers") or []
            approvers = [text for text in named if OPENING not in text]
            if self.access.signs_in and (detail := approvers_problem(approvers)):
                problems.append(Problem("$.steps", f"step '{step.step_id}', approvers: {detail}"))
        return problems

    def reject(self, submission: Submission, problems: Problems) -> Accepted:
        """Record a submission as rejected. Raises StorageUnavailableError."""
        trace = _trace_of(submission)
        return self._reject(submission.deployment_id, submission.manifest, problems, submission.requested_by, trace)

    def refuse(self, content: bytes, message_id: str, problem: Problem) -> Accepted:
        """Reject a message whose every delivery failed; an existing deployment with its id keeps its state."""
        fallback_id = fallback_id_of(content, message_id)
        manifest: Any = content
        try:
            # A delivery may have been accepted and interrupted: the hash of the manifest finds its record.
            manifest = self._read(content, fallback_id).manifest
        except StorageUnavailableError:
            raise
        except Exception as error:  # reading it may be what failed every time
            log.info("a poisoned submission cannot be read: %s", error)
        try:
            return self._reject(salvaged_id(content) or fallback_id, manifest, Problems([problem]), error=_UNHANDLED)
        except StorageUnavailableError:
            raise
        except Exception as error:  # a poison queue has no poison queue: what it holds must be recorded
            log.warning("a poisoned submission is recorded without its content: %s", error)
            return self._reject(fallback_id, content, Problems([problem]), error=_UNHANDLED)

    def _record(self, submission: Submission, graph: StepGraph) -> Accepted:
        now = self.clock.now()
        digest = content_hash(submission.manifest)
        header = DeploymentRecord(
            deployment_id=submission.deployment_id,
            name=graph.name,
            target=normal_target(graph.target),
            state=DeploymentState.ACCEPTED,
            manifest_hash=digest,
            accepted_at=now,
            concurrency=graph.concurrency,
            on_failure=graph.on_failure,
            requested_by=person(submission.requested_by or graph.requested_by),
            requester_id=submission.requester_id,
            expires_after_seconds=graph.expires_after_seconds,
            keep_for_seconds=graph.keep_for_seconds,
            labels=graph.labels,
            promotes=graph.promotes,
            step_count=len(graph.steps),
            traceparent=_trace_of(submission) or root(submission.deployment_id, now).traceparent,
        )
        try:
            header = fitted(header)
            steps = step_records(submission.deployment_id, graph, self.payloads)
            by = f" by {header.requested_by}" if header.requested_by else ""
            given = f", with {graph.inputs[:_SHOWN_INPUTS]}" if graph.inputs else ""
            stored = self.journal.create(header, steps, f"submitted{by}{given}")
        except LimitError as error:
            problem = Problem("$", f"is too large for the journal: {error}")
            return self.reject(submission, Problems([problem]))
        return self._answer(stored, digest, now)

    def _reject(
        self,
        deployment_id: str,
        manifest: Any,
        problems: Problems,
        requested_by: str = "",
        traceparent: str = "",
        error: RecordedError | None = None,
    ) -> Accepted:
        """Record the rejection; `error` is for a submission that is not to blame."""
        now = self.clock.now()
        fields = as_object(manifest) or {}
        name = fields.get("name")
        name = name[:100] if isinstance(name, str) and name else "(unreadable)"
        digest = hashlib.sha256(manifest).hexdigest() if isinstance(manifest, bytes) else content_hash(manifest)
        header = DeploymentRecord(
            deployment_id=deployment_id,
            name=name,
            target=normal_target(name),
            state=DeploymentState.REJECTED,
            manifest_hash=digest,
            accepted_at=now,
            finished_at=now,
            due_at=now + timedelta(seconds=self.retention_seconds),
            requested_by=person(requested_by),
            error=error
            or RecordedError(
                f"the manifest has {how_many(problems)}",
                "Correct what is listed and submit again under a new id.",
            ),
            problems=tuple(problem.to_json() for problem in _shortened(problems)),
            traceparent=traceparent or root(deployment_id, now).traceparent,
        )
        stored = self.journal.create(header, [], header.error.message if header.error else "")
        return self._answer(stored, digest, now)

    def _answer(self, stored: DeploymentRecord, digest: str, now: datetime) -> Accepted:
        if stored.manifest_hash == digest:
            return Accepted(stored)
        reason = f"refused: the id is taken by another manifest (this one's hash is {digest[:12]})"
        entry = AuditEntry(now, "deployment", stored.state.value, stored.state.value, ACCEPT, reason, stored.sequence)
        self.journal.note(stored.deployment_id, entry)
        log.warning("deployment %s: %s", stored.deployment_id, reason)
        return Accepted(stored, conflict=True)

    def _read(self, content: bytes, fallback_id: str) -> Submission:
        """Parse a message: an envelope or a bare manifest; JSON or YAML; plain or base64."""
        value = parse(decoded(content), may_be_enclosed=True)
        top = as_object(value)
        if top is None or not _ENVELOPE & top.keys():
            declared = top.get("id") if top else None
            manifest = {k: v for k, v in top.items() if k not in ("id", _BESIDE)} if top else value
            deployment_id = _checked_id(declared, "$.id") if declared is not None else fallback_id
            return Submission(deployment_id, manifest, traceparent=_checked_trace(top or {}))
        unknown = sorted(top.keys() - _ENVELOPE - {_BESIDE})
        problems = Problems(Problem(child("$", name), "is not a field of a submission") for name in unknown)
        bodies = [name for name in ("manifest", "manifest_text", "manifest_blob") if top.get(name) is not None]
        if len(bodies) != 1:
            problems.append(Problem("$", "give exactly one of manifest, manifest_text, manifest_blob"))
        if problems:
            raise InvalidInputError(problems)
        requester = top.get("requested_by")
        return Submission(
            _checked_id(top.get("deployment_id", fallback_id), "$.deployment_id"),
            self._body(bodies[0], top[bodies[0]]),
            requester if isinstance(requester, str) else "",
            _checked_trace(top),
        )

    def _body(self, name: str, body: Any) -> Any:
        if name == "manifest":
            return body
        if not isinstance(body, str):
            raise InvalidInputError([Problem(f"$.{name}", "must be a string")])
        if name == "manifest_text":
            return parse(body)
        try:
            text = utf8(self.blobs.get(body))
        except (NotFoundError, InvalidInputError) as error:
            why = error.problems[0].message if isinstance(error, InvalidInputError) else error
            raise InvalidInputError([Problem("$.manifest_blob", f"cannot be read: {why}; submit again")]) from None
        return parse(text)


def step_records(deployment_id: str, graph: StepGraph, payloads: Payloads) -> list[StepRecord]:
    """Return the journal rows of a step graph; the same graph always gives the same rows. Raises LimitError if a row
    would have no room for later writes."""
    ordinals = {step.step_id: i for i, step in enumerate(graph.steps)}
    return [_row(deployment_id, i, step, ordinals, payloads) for i, step in enumerate(graph.steps)]


def _row(
    deployment_id: str, ordinal: int, step: GraphStep, ordinals: Mapping[str, int], payloads: Payloads
) -> StepRecord:
    """Return a step's row. Without `refers_to`, its `with` is sent to Fabric as it is: nothing in it is replaced."""
    refers_to = {other: ordinals[other] for other in referred(step.spec)}
    row = StepRecord(
        deployment_id=deployment_id,
        ordinal=ordinal,
        step_id=step.step_id,
        kind=step.kind,
        spec=payloads.store(step.spec if refers_to else resolve(step.spec, _nothing)),
        needs=packed(ordinals[need] for need in step.needs),
        refers_to=payloads.store(refers_to),
        timeout_seconds=step.timeout_seconds,
        on_failure=step.on_failure,
        is_always=step.is_always,
    )
    return fitted(row)


def _nothing(step_id: str, output: str) -> Any:
    raise KeyError(step_id, output)


def fallback_id_of(content: bytes, message_id: str) -> str:
    """Return the id of a submission without one: the id of its message, so each message is a new deployment.

    The Functions host puts the top-level properties of a JSON body over the properties of the message
    (azure-functions-host, Utility.ApplyBindingData), so a manifest's own `id` arrives as the message's. Storage gives
    its messages GUIDs; without one, the id is a hash of the content.
    """
    if GUID.fullmatch(message_id):
        return f"unreadable-{message_id.lower()}"
    return f"unreadable-{hashlib.sha256(content).hexdigest()[:32]}"


def _shortened(problems: Problems) -> Problems:
    """Return as many problems as fit into the row; a character beyond ASCII takes up to twelve in it."""
    short = (Problem(each.path[:300], each.message[:500], each.count) for each in problems)
    return Problems(short).fitting(PROBLEMS_CHARACTERS)


def _checked_id(value: Any, path: str) -> str:
    if is_deployment_id(value):
        return value
    raise InvalidInputError([Problem(path, ID_RULE)])


def _checked_trace(top: JsonObject) -> str:
    value = top.get(_BESIDE)
    if value is None or (isinstance(value, str) and TRACEPARENT.fullmatch(value)):
        return value or ""
    raise InvalidInputError([Problem(f"$.{_BESIDE}", TRACEPARENT_HINT)])


def _trace_of(submission: Submission) -> str:
    """Return the traceparent beside the manifest, or in it; '' if there is neither."""
    value = submission.traceparent or (as_object(submission.manifest) or {}).get(_BESIDE)
    return value if isinstance(value, str) and TRACEPARENT.fullmatch(value) else ""


def opened(content: bytes) -> JsonObject | None:
    """Return the object in a message, even one that may not be accepted; None if the message contains no object."""
    try:
        text = decoded(content)
    except InvalidInputError:
        return None
    try:
        return as_object(parse(text, may_be_enclosed=True))
    except InvalidInputError:
        try:  # a valid envelope may carry an invalid manifest: nested too deep, or with forbidden characters
            return as_object(json.loads(text))
        except (ValueError, RecursionError):
            return None


def salvaged_id(content: bytes) -> str | None:
    """Return the id that a submission names, even if the rest of it cannot be read; None if it names none."""
    top = opened(content) or {}
    value = top.get("deployment_id", top.get("id"))
    return value if is_deployment_id(value) else None
